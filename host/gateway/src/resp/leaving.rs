//! Announcements of maintenance to the clients that asked for them with `CLIENT
//! MAINT_NOTIFICATIONS`, so that a member can leave without an error at any of them.
//!
//! A member that leaves sends `MOVING`: a sequence number, the seconds until the connection is closed,
//! and another member to connect to, or nil for a client that connects to its configured address
//! again. It serves the client until then. A node of a Redis Cluster sends `SMIGRATING` with its
//! slots before it hands them over, and `SMIGRATED` with their new nodes afterwards.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use convoke_grid::slot;
use convoke_membership::MemberId;

use super::client_info::ClientInfo;
use super::encode::{Encoder, Protocol};
use super::maintenance::{EndpointType, Leave};
use super::server::{ClusterNode, Endpoint, Server};
use crate::FINISH_POLL_MS;
use crate::output_buffer::{MessageKind, OutboundMessage};

/// How long a client that was sent an announcement may take to move, in milliseconds. A multiple of
/// a second, since the announcement contains it in seconds.
pub const MOVE_MS_MAX: u64 = 10_000;
/// A client that has sent no command for this long, in milliseconds, is not waited for: most libraries
/// read an announcement only with the reply to the next command of that connection. They connect
/// again if it is closed between two commands.
const MOVE_QUIET_MS: u64 = 2_000;

impl Server {
    /// Announces to clients that this member leaves. It must go on to serve them until
    /// [`await_moves`](Self::await_moves) has completed.
    pub fn announce_leave(&self) {
        let leave = Leave {
            since_ms: self.elapsed_ms(),
            sequence: self.grid.now_ms(),
            partitions: self.own_partitions(),
        };
        *self.leave.lock() = Some(leave.clone());
        if self.settings.redis_cluster {
            if !leave.partitions.is_empty() {
                let slots = self.slots_text(&leave.partitions);
                let message = encoded(3, |encoder| {
                    encoder.bulk(b"SMIGRATING");
                    encoder.integer(number(leave.sequence));
                    encoder.bulk(slots.as_bytes());
                });
                self.send_to_subscribed(&message);
            }
            return;
        }
        for info in self.client_infos() {
            self.announce_to(&info);
        }
    }

    /// Announces to one client that this member leaves, if it does, and there is another member.
    pub(crate) fn announce_to(&self, info: &ClientInfo) {
        if self.settings.redis_cluster {
            return;
        }
        let Some(leave) = self.leave.lock().clone() else { return };
        let mut subscribed = info.maintenance.lock();
        let Some(subscribed) = subscribed.as_mut().filter(|client| !client.is_announced) else {
            return;
        };
        let Some(target) = self.target(info, subscribed.endpoint_type) else { return };
        let passed_ms = self.elapsed_ms().saturating_sub(leave.since_ms);
        let left_ms = MOVE_MS_MAX.saturating_sub(passed_ms);
        push(
            info,
            &encoded(4, |encoder| {
                encoder.bulk(b"MOVING");
                encoder.integer(number(leave.sequence));
                encoder.integer(number(left_ms.div_ceil(1_000)));
                match &target {
                    Some(target) => encoder.bulk(target.as_bytes()),
                    None => encoder.nil(),
                }
            }),
        );
        subscribed.is_announced = true;
    }

    /// Waits until the clients that were sent an announcement have moved, for at most
    /// [`MOVE_MS_MAX`] from the announcement on. The data must have been handed over. Completes at
    /// once if no client was sent one.
    pub async fn await_moves(&self) {
        let Some(mut leave) = self.leave.lock().clone() else { return };
        if self.settings.redis_cluster {
            self.announce_new_nodes(&leave);
            leave.since_ms = self.elapsed_ms();
        }
        loop {
            let now = self.elapsed_ms();
            if now.saturating_sub(leave.since_ms) >= MOVE_MS_MAX
                || !self.client_infos().iter().any(|info| is_moving(info, leave.since_ms, now))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(FINISH_POLL_MS)).await;
        }
    }

    /// Sends clients of this node of a Redis Cluster the nodes that have its slots now.
    fn announce_new_nodes(&self, leave: &Leave) {
        let Some(table) = self.grid.table() else { return };
        let nodes = self.cluster.nodes();
        let endpoint =
            |member: MemberId| nodes.iter().find(|node| node.member == member)?.endpoint.as_ref();
        let Some(source) = endpoint(self.grid.me()) else { return };
        let mut by_primary: BTreeMap<MemberId, Vec<u16>> = BTreeMap::new();
        for number in &leave.partitions {
            let primary = table.partitions.get(usize::from(*number)).and_then(|p| p.primary());
            if let Some(primary) = primary.filter(|primary| *primary != self.grid.me()) {
                by_primary.entry(primary).or_default().push(*number);
            }
        }
        let moved: Vec<(&Endpoint, String)> = by_primary
            .iter()
            .filter_map(|(member, numbers)| Some((endpoint(*member)?, self.slots_text(numbers))))
            .collect();
        if moved.is_empty() {
            return;
        }
        let message = encoded(3, |encoder| {
            encoder.bulk(b"SMIGRATED");
            // A later number than that of SMIGRATING, also if no time has passed.
            encoder.integer(number(self.grid.now_ms().max(leave.sequence + 1)));
            encoder.list(moved.len());
            for (target, slots) in &moved {
                encoder.list(3);
                for text in [source.to_string(), target.to_string(), slots.clone()] {
                    encoder.bulk(text.as_bytes());
                }
            }
        });
        self.send_to_subscribed(&message);
    }

    /// Sends all clients that asked for announcements a message.
    fn send_to_subscribed(&self, message: &Bytes) {
        for info in self.client_infos() {
            if let Some(subscribed) = info.maintenance.lock().as_mut() {
                subscribed.is_announced = true;
                push(&info, message);
            }
        }
    }

    /// The partitions whose primary is this member.
    fn own_partitions(&self) -> Vec<u16> {
        let Some(table) = self.grid.table() else { return Vec::new() };
        let is_own = |number: &u16| {
            let partition = table.partitions.get(usize::from(*number));
            partition.and_then(|partition| partition.primary()) == Some(self.grid.me())
        };
        (0..self.grid.partitions()).filter(is_own).collect()
    }

    /// The slots of partitions, in the form `0-99,200`.
    fn slots_text(&self, partitions: &[u16]) -> String {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for partition in partitions {
            let slots = slot::slots(*partition, self.grid.partitions());
            match ranges.last_mut() {
                _ if slots.is_empty() => {}
                Some(last) if last.1 == slots.start => last.1 = slots.end,
                _ => ranges.push((slots.start, slots.end)),
            }
        }
        let text = |(start, end): &(u16, u16)| match end - 1 {
            last if last == *start => start.to_string(),
            last => format!("{start}-{last}"),
        };
        ranges.iter().map(text).collect::<Vec<_>>().join(",")
    }

    /// Where a client is to connect to: `None` if there is no other member, `Some(None)` for the
    /// address that it is configured with.
    ///
    /// All clients on one host are sent to the same member, since libraries apply an announcement to
    /// all connections of a pool.
    #[expect(clippy::option_option, reason = "nil is a value of the message")]
    fn target(&self, info: &ClientInfo, endpoint_type: EndpointType) -> Option<Option<String>> {
        let nodes = self.cluster.nodes();
        let leaving = self.grid.leaving();
        let stays = |node: &&ClusterNode| !node.this && !leaving.contains(&node.member);
        if endpoint_type == EndpointType::None {
            return nodes.iter().any(|node| stays(&node)).then_some(None);
        }
        let endpoints: Vec<&Endpoint> =
            nodes.iter().filter(stays).filter_map(|node| node.endpoint.as_ref()).collect();
        let mut hasher = DefaultHasher::new();
        info.peer.ip().hash(&mut hasher);
        let count = u64::try_from(endpoints.len()).ok().filter(|count| *count > 0)?;
        let endpoint = endpoints.get(usize::try_from(hasher.finish() % count).ok()?)?;
        let own = nodes.iter().find(|node| node.this)?.endpoint.as_ref();
        // A port that is mapped belongs to the configured host.
        let is_mapped = own.is_some_and(|own| own.port != self.port);
        Some(Some(match endpoint_type {
            EndpointType::InternalIp if !is_mapped => {
                Endpoint { hostname: None, ..(*endpoint).clone() }.to_string()
            }
            _ => endpoint.to_string(),
        }))
    }
}

/// Whether a client that was sent an announcement is waited for, as of `now`.
fn is_moving(info: &Arc<ClientInfo>, since_ms: u64, now: u64) -> bool {
    let is_announced = info.maintenance.lock().is_some_and(|client| client.is_announced);
    let active_ms = info.active_ms.load(Ordering::Relaxed).max(since_ms);
    let is_quiet = now.saturating_sub(active_ms) >= MOVE_QUIET_MS;
    // They read messages while they wait.
    let waits = info.is_subscribed() || info.is_blocked.load(Ordering::Relaxed);
    is_announced && (waits || !is_quiet)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A push message of this many elements.
fn encoded(count: usize, write: impl FnOnce(&mut Encoder<'_>)) -> Bytes {
    let mut buffer = Vec::new();
    let mut encoder = Encoder { buffer: &mut buffer, protocol: Protocol::Resp3 };
    encoder.push(count);
    write(&mut encoder);
    buffer.into()
}

fn push(info: &ClientInfo, message: &Bytes) {
    let payload = message.clone();
    info.output_buffer.push(OutboundMessage {
        kind: MessageKind::Encoded,
        payload,
        ..OutboundMessage::default()
    });
}
