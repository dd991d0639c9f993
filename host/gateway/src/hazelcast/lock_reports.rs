//! What members report to each other about locks of clients, so that a lock remains if the member that
//! granted it is lost, or its client connects to another member.
//!
//! ```text
//! report   [id of the member, 16 bytes][kind, 1 byte][locks, or ids of clients of 16 bytes each]
//! lock     [u16 length][name of the map][u16 partition][u32 length][key][owner, 24 bytes]
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use convoke_grid::Subscriber;
use convoke_grid::map::STRUCTURES;
use tokio::sync::mpsc::{self, Sender};
use uuid::Uuid;

use super::clients::{Lock, OWNER_BYTES, client_of};
use super::names;
use super::server::Server;
use super::view;
use crate::pubsub::Subscription;

/// Length of the id of a member or a client, in bytes.
const ID_BYTES: usize = 16;
/// Length of a report after which another one begins, in bytes.
const REPORT_BYTES: usize = 256 << 10;
/// Maximum number of reports that were not handled yet. Further ones are lost; they are repeated.
const REPORTS_MAX: usize = 1_024;

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// These locks are held.
    Held,
    /// As [`Kind::Held`]: members to which their clients are connected answer with
    /// [`Kind::Present`].
    Asked,
    /// These locks were released.
    Released,
    /// These clients are connected.
    Present,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Held, Self::Asked, Self::Released, Self::Present];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A lock in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reported<'a> {
    map: &'a str,
    partition: u16,
    key: &'a [u8],
    owner: [u8; OWNER_BYTES],
}

impl<'a> Reported<'a> {
    /// Appends it. Returns false if a name or a key is too long, which it never is.
    fn append_to(&self, report: &mut Vec<u8>) -> bool {
        let (Ok(name), Ok(key)) = (u16::try_from(self.map.len()), u32::try_from(self.key.len()))
        else {
            return false;
        };
        report.extend_from_slice(&name.to_be_bytes());
        report.extend_from_slice(self.map.as_bytes());
        report.extend_from_slice(&self.partition.to_be_bytes());
        report.extend_from_slice(&key.to_be_bytes());
        report.extend_from_slice(self.key);
        report.extend_from_slice(&self.owner);
        true
    }

    /// The lock that `bytes` begin with, and what follows it.
    fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (map, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (key, rest) = rest.split_at_checked(length)?;
        let (owner, rest) = rest.split_first_chunk()?;
        let map = str::from_utf8(map).ok()?;
        let partition = u16::from_be_bytes(*partition);
        Some((Self { map, partition, key, owner: *owner }, rest))
    }
}

/// The locks of a report, up to the first one that is malformed.
fn locks(mut bytes: &[u8]) -> impl Iterator<Item = Reported<'_>> {
    std::iter::from_fn(move || {
        let (lock, rest) = Reported::decode(bytes)?;
        bytes = rest;
        Some(lock)
    })
}

impl Server {
    fn report_begins(&self, kind: Kind) -> Vec<u8> {
        [view::uuid(self.grid.me()).as_bytes(), &[kind as u8][..]].concat()
    }

    async fn publish_report(&self, report: &[u8]) {
        if let Ok(delivered) = self.grid.publish_shard(&names::locks(), report) {
            delivered.await;
        }
    }

    /// Reports locks to the other members.
    pub(super) async fn report_locks(&self, kind: Kind, locks: &[Lock]) {
        let mut report = self.report_begins(kind);
        let empty = report.len();
        for lock in locks {
            let Lock { map, partition, key, owner } = lock;
            let reported = Reported { map: &map.name, partition: *partition, key, owner: *owner };
            reported.append_to(&mut report);
            if report.len() >= REPORT_BYTES {
                self.publish_report(&report).await;
                report.truncate(empty);
            }
        }
        if report.len() > empty {
            self.publish_report(&report).await;
        }
    }

    /// Handles a report of another member.
    async fn handle_lock_report(&self, report: &[u8]) {
        let Some((kind, body)) = report.get(ID_BYTES..).and_then(<[u8]>::split_first) else {
            return;
        };
        let Some(kind) = Kind::of(*kind) else { return };
        if kind == Kind::Present {
            for id in body.as_chunks::<ID_BYTES>().0 {
                self.clients.hear_of_presence(Uuid::from_bytes(*id));
            }
            return;
        }
        let mut present = BTreeSet::new();
        for lock in locks(body) {
            let Reported { map, partition, key, owner } = lock;
            let map = if map.starts_with(STRUCTURES) {
                self.grid.open_structure(map)
            } else {
                self.grid.open(map)
            };
            let Ok(map) = map else { continue };
            let lock = Lock { map, partition, key: key.into(), owner };
            if kind == Kind::Released {
                self.clients.hear_of_release(&lock);
                continue;
            }
            if kind == Kind::Asked && self.clients.is_connected(client_of(&owner)) {
                present.insert(client_of(&owner));
            }
            self.clients.hear_of(lock, self.elapsed_ms());
        }
        if !present.is_empty() {
            let mut answer = self.report_begins(Kind::Present);
            present.iter().for_each(|id| answer.extend_from_slice(id.as_bytes()));
            self.publish_report(&answer).await;
        }
    }
}

/// Follows the reports of other members until it is dropped.
pub(super) fn follow(server: &Arc<Server>) -> Subscription {
    let (reports, mut received) = mpsc::channel::<Bytes>(REPORTS_MAX);
    let handler = Arc::downgrade(server);
    // One after the other: a release must not be handled before the report of its lock.
    tokio::spawn(async move {
        while let Some(report) = received.recv().await {
            let Some(server) = handler.upgrade() else { return };
            server.handle_lock_report(&report).await;
        }
    });
    let follower = Follower { server: Arc::downgrade(server), reports };
    server.pubsub.subscribe_shard(&names::locks(), Arc::new(follower))
}

struct Follower {
    server: Weak<Server>,
    reports: Sender<Bytes>,
}

impl Subscriber for Follower {
    fn deliver(&self, _: &Bytes, _: Option<&Bytes>, _: &Bytes) {}

    fn deliver_shard(&self, _: &Bytes, report: &Bytes) {
        let Some(server) = self.server.upgrade() else { return };
        if !report.starts_with(view::uuid(server.grid.me()).as_bytes()) {
            let _ = self.reports.try_send(report.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_lock_report() {
        let mut sample = Vec::new();
        for (map, key) in [("m", &b"k"[..]), ("hazelcast:multimap:m", b"")] {
            let lock = Reported { map, partition: 7, key, owner: [3; OWNER_BYTES] };
            assert!(lock.append_to(&mut sample));
        }
        assert_eq!(locks(&sample).count(), 2);
        convoke_harness::check!(&[sample], |bytes| {
            let mut again = Vec::new();
            for lock in locks(bytes) {
                assert!(lock.append_to(&mut again));
            }
            assert!(bytes.starts_with(&again));
        });
    }
}
