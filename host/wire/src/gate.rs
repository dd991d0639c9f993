//! Bounds the handshakes of unauthenticated peers.
//!
//! A handshake is *waiting* until its first message proves that the peer knows the cluster's name
//! and password, and *proved* from then on. A waiting handshake costs a descriptor and a few
//! hundred bytes, and may belong to any peer, so it must never keep others out:
//!
//! - A new connection is always admitted. If the gate is full, the oldest waiting handshake is
//!   dropped for it: of the same origin, if that has reached its share, otherwise of the origin
//!   with the most. A member sends its first message with the connection, so it waits about as long
//!   as that message takes, and is dropped only if a whole share of newer connections arrives in
//!   that time.
//! - While the gate is more than half full, a waiting handshake has less time for its first
//!   message.
//! - A proved handshake is never dropped for another one. Proved handshakes have a limit of their
//!   own; a peer beyond it receives "busy", which unauthenticated peers never do.
//!
//! Limitation: a recorded first message can be replayed and counts as proved until its
//! [`HANDSHAKE_MS_MAX`] are over, since only the next message reveals the replay.

use crate::handshake::{HANDSHAKE_MS_MAX, HandshakeError, check_hello, respond, within};
use crate::keys::ClusterKeys;
use crate::stream::SealedStream;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Maximum number of handshakes that may wait for their first message.
pub const WAITING_MAX: usize = 256;
/// Maximum number of waiting handshakes of one [`Origin`]: half of all, so that one origin never
/// fills the gate.
pub const WAITING_PER_ORIGIN_MAX: usize = WAITING_MAX / 2;
/// Maximum number of proved handshakes in progress.
pub const PROVED_MAX: usize = 256;
/// Time limit of the first message while more than half of [`WAITING_MAX`] handshakes are waiting,
/// in milliseconds; otherwise it is [`HANDSHAKE_MS_MAX`]. Allows for one TCP retransmission.
pub const CROWDED_MS_MAX: u64 = 500;

/// The source of a connection, by which the gate is shared: an IPv4 address, or the /64 network of
/// an IPv6 address, since one host may have all addresses of it. Loopback is treated like any
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(ip: IpAddr) -> Self {
        /// The upper 64 bits.
        const NETWORK: u128 = !0 << 64;
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & NETWORK).into(),
            ip => ip,
        })
    }
}

/// Bounds the handshakes that a member answers; one is shared by all its listeners.
#[derive(Debug, Default)]
pub struct HandshakeGate {
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Room {
    /// By ticket number, so the oldest first.
    waiting: BTreeMap<u64, Waiting>,
    /// Number of waiting handshakes by origin; entries are never zero.
    by_origin: HashMap<Origin, usize>,
    proved: usize,
    /// The next ticket number.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    origin: Origin,
    since: Instant,
    drop: oneshot::Sender<()>,
}

/// A handshake's slot in the gate; dropping it frees the slot.
struct Slot<'a> {
    gate: &'a HandshakeGate,
    number: u64,
    proved: AtomicBool,
}

impl HandshakeGate {
    /// An empty gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Like [`accept`](crate::accept), for a peer that connects from `origin`. Returns
    /// [`HandshakeError::Dropped`] if the slot was needed for newer connections before the first
    /// message arrived, and [`HandshakeError::Busy`] if the peer authenticated but [`PROVED_MAX`]
    /// others did as well.
    pub async fn accept<S>(
        &self,
        io: S,
        origin: Origin,
        keys: &ClusterKeys,
        hello: &[u8],
    ) -> Result<(SealedStream<S>, Vec<u8>), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        check_hello(hello)?;
        let (place, dropped, first_ms) = self.admit(origin);
        let handshake = within(HANDSHAKE_MS_MAX, respond(io, keys, hello, || place.prove()));
        let first_message = async {
            tokio::time::sleep(Duration::from_millis(first_ms)).await;
            if place.proved.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let dropped = async {
            // Proved in time: it is not listed as waiting any more, so nothing can drop it.
            if dropped.await.is_err() || place.proved.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            done = handshake => done,
            () = first_message => Err(HandshakeError::TimedOut { ms_max: first_ms }),
            () = dropped => Err(HandshakeError::Dropped),
        }
    }

    /// Admits one more handshake, if need be by dropping others. Returns its slot, a future that
    /// resolves when it is dropped, and how long its first message may take, in milliseconds.
    fn admit(&self, origin: Origin) -> (Slot<'_>, oneshot::Receiver<()>, u64) {
        let now = Instant::now();
        let mut room = self.room();
        if room.is_crowded() {
            room.drop_overdue(now);
        }
        if room.by_origin.get(&origin).is_some_and(|count| *count >= WAITING_PER_ORIGIN_MAX) {
            room.drop_oldest_of(origin);
        } else if room.waiting.len() >= WAITING_MAX {
            room.drop_one();
        }
        let (drop, dropped) = oneshot::channel();
        let number = room.next;
        room.next += 1;
        room.waiting.insert(number, Waiting { origin, since: now, drop });
        *room.by_origin.entry(origin).or_default() += 1;
        let first_ms = if room.is_crowded() { CROWDED_MS_MAX } else { HANDSHAKE_MS_MAX };
        (Slot { gate: self, number, proved: AtomicBool::new(false) }, dropped, first_ms)
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        // No code that holds the lock panics, so a poisoned lock is still consistent.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn is_crowded(&self) -> bool {
        self.waiting.len() > WAITING_MAX / 2
    }

    /// Drops handshakes that have waited longer than a crowded gate allows.
    fn drop_overdue(&mut self, now: Instant) {
        while let Some((number, oldest)) = self.waiting.first_key_value()
            && now >= oldest.since + Duration::from_millis(CROWDED_MS_MAX)
        {
            let number = *number;
            self.drop(number);
        }
    }

    fn drop_oldest_of(&mut self, origin: Origin) {
        let oldest = self.waiting.iter().find(|(_, waiting)| waiting.origin == origin);
        if let Some(number) = oldest.map(|(number, _)| *number) {
            self.drop(number);
        }
    }

    /// Drops the oldest handshake of the origin with the most; on a tie, the oldest of all.
    fn drop_one(&mut self) {
        let most = self.by_origin.values().copied().max();
        let oldest = self
            .waiting
            .iter()
            .find(|(_, waiting)| self.by_origin.get(&waiting.origin).copied() == most);
        if let Some(number) = oldest.map(|(number, _)| *number) {
            self.drop(number);
        }
    }

    fn drop(&mut self, number: u64) {
        if let Some(waiting) = self.remove(number) {
            let _ = waiting.drop.send(());
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        if let Some(count) = self.by_origin.get_mut(&waiting.origin) {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&waiting.origin);
            }
        }
        Some(waiting)
    }
}

impl Slot<'_> {
    /// Records that the first message is valid. Returns whether one more proved handshake is
    /// allowed.
    fn prove(&self) -> bool {
        let mut room = self.gate.room();
        room.remove(self.number);
        let has_room = room.proved < PROVED_MAX;
        if has_room {
            room.proved += 1;
            self.proved.store(true, Ordering::Relaxed);
        }
        has_room
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut room = self.gate.room();
        room.remove(self.number);
        room.proved -= usize::from(self.proved.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests;
