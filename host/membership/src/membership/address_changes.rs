//! Addresses that change while a member runs: DHCP, a replaced interface, an address that a host
//! gets or loses.
//!
//! A member sends its current addresses to the coordinator until the view has them. The coordinator
//! publishes them for the same member, with its age and generation: to the layers above it is still
//! the same member. Frequent changes are published at most once within [`MOVED_PERIOD`]. A member
//! that cannot be reached at its new addresses is detected like any other; see `reachability`.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ClusterState, Membership, Phase, RequestKind};
use crate::member::{Member, MemberId};
use crate::message::Message;

/// Shortest time between two publications of one member's addresses.
const MOVED_PERIOD: Duration = Duration::from_secs(5);

/// Changed addresses of a member of the view.
pub(super) struct Moved {
    /// The addresses to publish, if they have not been.
    addresses: Option<Vec<SocketAddr>>,
    /// When they may be published; afterwards, when the next change may be.
    due: Duration,
}

impl ClusterState {
    /// When the next change is to be published.
    pub(super) fn moved_due(&self) -> Option<Duration> {
        let waiting = self.moved.values().filter(|moved| moved.addresses.is_some());
        waiting.map(|moved| moved.due).min()
    }

    /// The members to publish with new addresses now.
    pub(super) fn take_moved(&mut self, now: Duration) -> Vec<Member> {
        let mut taken = Vec::new();
        for (id, moved) in &mut self.moved {
            // A member that leaves or joins is published as such.
            let is_out = self.departing.contains_key(id) || self.joining.contains_key(id);
            if now < moved.due || is_out {
                continue;
            }
            if let Some(known) = self.view.get(*id)
                && let Some(addresses) = moved.addresses.take()
            {
                moved.due = now + MOVED_PERIOD;
                taken.push(Member { addresses, ..Member::clone(known) });
            }
        }
        taken
    }

    fn note_moved(&mut self, now: Duration, id: MemberId, addresses: &[SocketAddr]) {
        let Some(known) = self.view.get(id) else { return };
        let news = (known.addresses != addresses).then(|| addresses.to_vec());
        if let Some(moved) = self.moved.get_mut(&id) {
            moved.addresses = news;
        } else if news.is_some() {
            self.moved.insert(id, Moved { addresses: news, due: now });
        }
    }
}

impl Membership {
    /// Sets the addresses of this member, the preferred one first. Ignored unless there is at least
    /// one, and at most [`ADDRESSES_MAX`](crate::member::ADDRESSES_MAX).
    pub fn handle_addresses(&mut self, now: Duration, addresses: Vec<SocketAddr>) {
        self.notice_pause(now);
        let me = Member { addresses, ..self.me.clone() };
        if me.is_valid() {
            self.me = me;
        }
        let listed = self.view().and_then(|view| view.get(self.me.id));
        self.has_moved = listed.is_some_and(|listed| listed.addresses != self.me.addresses);
        self.after_input(now);
    }

    /// Handles the new addresses of a member of the view.
    pub(super) fn handle_addresses_of(
        &mut self,
        now: Duration,
        id: MemberId,
        addresses: &[SocketAddr],
    ) {
        let Phase::Joined(cluster) = &self.phase else { return };
        if !self.is_acting(cluster) {
            return;
        }
        if let Phase::Joined(cluster) = &mut self.phase {
            cluster.note_moved(now, id, addresses);
        }
    }

    /// Whether the coordinator has to be notified of new addresses.
    fn must_announce(&self, cluster: &ClusterState) -> bool {
        self.has_moved && cluster.rejoin.is_none() && cluster.leaving_since.is_none()
    }

    /// Repeats the notification until the view has the current addresses of this member.
    pub(super) fn tick_moving(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        if !self.must_announce(cluster) {
            return;
        }
        let (coordinator, addresses) = (self.acting(cluster).clone(), self.me.addresses.clone());
        if self.is_acting(cluster) {
            self.handle_addresses_of(now, self.me.id, &addresses);
        } else if self.may_request(now, RequestKind::Moved, coordinator.id) {
            self.send(coordinator, Message::Addresses(addresses));
        }
    }

    /// When to do that next.
    pub(super) fn moving_due(&self, cluster: &ClusterState) -> Option<Duration> {
        if !self.must_announce(cluster) || self.is_acting(cluster) {
            return None;
        }
        let asked = self.asked.get(&(RequestKind::Moved, self.acting(cluster).id));
        Some(asked.map_or(Duration::ZERO, |at| *at + self.config.answer_wait))
    }
}
