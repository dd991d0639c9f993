//! Who may be at the door before having proved anything.
//!
//! A handshake *waits* until its first message proves that the peer knows the cluster's name and
//! password, and is *proved* from then on. What waits costs a descriptor and a few hundred bytes,
//! and may belong to anybody; so it never keeps anybody else out:
//!
//! - a newcomer is always let in. Where there is no room, the oldest that waits is dropped for it:
//!   of the same origin when that has its share, else of the origin with the most. A member sends
//!   its first message with the connection, so it waits for about as long as the message is under
//!   way, and is dropped only when a whole share of newer connections comes in that time;
//! - while the gate is more than half full, what waits has less time for its first message;
//! - a proved handshake is never dropped for another one. Of these there is a number of their own;
//!   one more gets the answer that this member is busy, which nobody else gets.
//!
//! Honest limit: an opening that was captured can be replayed, and counts as proved until its
//! [`HANDSHAKE_MS_MAX`] are over, since only the next message shows the difference.

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

/// How many handshakes may wait for their first message at once.
pub const WAITING_MAX: usize = 256;
/// How many of them may be of one [`Origin`]: half, so that one alone never fills the gate.
pub const WAITING_PER_ORIGIN_MAX: usize = WAITING_MAX / 2;
/// How many handshakes that proved to know the password a member completes at once.
pub const PROVED_MAX: usize = 256;
/// How long the first message may take while more than half of [`WAITING_MAX`] wait, in
/// milliseconds; [`HANDSHAKE_MS_MAX`] otherwise. Leaves time for one lost packet to be sent again.
pub const CROWDED_MS_MAX: u64 = 500;

/// Where a peer calls from, as far as room is shared by it: an IPv4 address, or the /64 network of
/// an IPv6 address, of which one host may have all addresses. Loopback is one like any other.
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

/// Bounds the handshakes that a member answers at once; one for all its listeners.
#[derive(Debug, Default)]
pub struct HandshakeGate {
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Room {
    /// By number, and so the oldest first.
    waiting: BTreeMap<u64, Waiting>,
    /// How many wait, by origin; never zero.
    by_origin: HashMap<Origin, usize>,
    proved: usize,
    /// The number of the next one.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    origin: Origin,
    since: Instant,
    drop: oneshot::Sender<()>,
}

/// A handshake's place at the gate, given back when it is dropped.
struct Place<'a> {
    gate: &'a HandshakeGate,
    number: u64,
    proved: AtomicBool,
}

impl HandshakeGate {
    /// A gate at which nobody is.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`accept`](crate::accept), for a peer that calls from `origin`. Gives
    /// [`HandshakeError::Dropped`] when newer peers needed the place before this one had sent its
    /// first message, and [`HandshakeError::Busy`] when it knows the password and [`PROVED_MAX`]
    /// others do as well.
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
            // Proved, it is no longer listed, or was so only just in time.
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

    /// Lets one more in, at the price of others if need be. Gives its place, what resolves when it
    /// is dropped, and how long its first message may take.
    fn admit(&self, origin: Origin) -> (Place<'_>, oneshot::Receiver<()>, u64) {
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
        (Place { gate: self, number, proved: AtomicBool::new(false) }, dropped, first_ms)
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        // Nothing in here panics half-way.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn is_crowded(&self) -> bool {
        self.waiting.len() > WAITING_MAX / 2
    }

    /// Drops those that have waited for longer than a crowded gate allows.
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

    /// Drops the oldest of the origin with the most; of several such origins, the oldest of all.
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

impl Place<'_> {
    /// Its first message is valid. Returns whether there is room for one more that proved so.
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut room = self.gate.room();
        room.remove(self.number);
        room.proved -= usize::from(self.proved.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests;
