//! Sessions: messages to another member, each delivered exactly once and in order for as long as
//! both processes live, on however many connections.
//!
//! Each direction has its own connection; when a newer one opens, the remaining data of the older
//! one is ignored. The sender numbers its messages from one, and keeps them until the receiver has
//! acknowledged them. On a new connection it continues after the last message that the receiver has
//! processed, and learns again which messages were refused. A receiver that does not know the
//! session (it removed the sender, and dropped its state) makes the sender start a new one.
//! Messages that were on their way are lost then, and tasks that wait for them are woken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use convoke_membership::MemberId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::encoding;

pub use crate::limits::MESSAGE_BYTES_MAX;

/// Bytes that may wait for one member. Beyond that, whatever needs the member is refused: writes
/// that it backs up, operations for it, its requests, and messages on topics. Events are dropped.
pub const OUTGOING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum number of bytes that are passed to a connection at once; a longer message is passed
/// alone.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Length of the header of each message, which contains its length.
const LENGTH_BYTES: usize = 4;
/// Maximum number of asides that wait for one member.
const ASIDES_MAX: usize = 64;
/// Number of refusals of one session that each side remembers.
const REFUSED_MAX: usize = 65_536;

/// What the receiver of a session sends back over the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// The first receipt: the session continues after this message.
    Resume {
        /// The session, as named by the sender.
        session: u64,
        /// The last message that was processed; [`u64::MAX`] ends the session, because the receiver
        /// has forgotten refusals that the sender does not know.
        received: u64,
        /// Refused messages after the last one that the sender knew to be acknowledged.
        refused: Vec<u64>,
    },
    /// All messages up to this one are processed.
    Received {
        /// The last processed message.
        received: u64,
        /// Messages since the last receipt whose content was refused: the sender did not know yet
        /// that another member is the primary.
        refused: Vec<u64>,
    },
}

impl Receipt {
    /// Its encoding (postcard).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encoded(self)
    }

    /// Decodes a receipt; `None` when it is malformed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// The outgoing side of a session.
#[derive(Debug)]
struct Outgoing {
    session: u64,
    /// Batches in order: first those that were passed to the connection.
    batches: VecDeque<Batch>,
    /// Number of batches that were passed to the connection.
    handed: usize,
    /// The last message that was ever passed to a connection.
    handed_through: u64,
    /// Messages that are not in a batch yet.
    tail: Vec<u8>,
    /// The number of the first message in the tail.
    tail_from: u64,
    next: u64,
    is_open: bool,
    refused: BTreeSet<u64>,
    writer: Option<Waker>,
    waiters: Waiters,
    /// The member has left the view.
    is_over: bool,
}

#[derive(Debug)]
struct Batch {
    first: u64,
    last: u64,
    bytes: Bytes,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    since: Duration,
    waker: Waker,
}

/// Wakers of tasks that wait for acknowledgements.
#[derive(Debug, Default)]
struct Waiters {
    /// Those that were added in the order of their messages, as most are.
    in_order: VecDeque<Waiting>,
    /// Those that wait for an older message than the previous one, by its number.
    late: BTreeMap<u64, Vec<Waiting>>,
}

impl Waiters {
    fn add(&mut self, waiting: Waiting) {
        if self.in_order.back().is_none_or(|last| last.number <= waiting.number) {
            return self.in_order.push_back(waiting);
        }
        let others = self.late.entry(waiting.number).or_default();
        if !others.iter().any(|other| other.waker.will_wake(&waiting.waker)) {
            others.push(waiting);
        }
    }

    /// Removes and returns the wakers for messages up to `number`.
    fn take_through(&mut self, number: u64) -> Vec<Waker> {
        let done = self.in_order.partition_point(|waiting| waiting.number <= number);
        let mut taken: Vec<Waker> =
            self.in_order.drain(..done).map(|waiting| waiting.waker).collect();
        while let Some(late) = self.late.first_entry().filter(|late| *late.key() <= number) {
            taken.extend(late.remove().into_iter().map(|waiting| waiting.waker));
        }
        taken
    }

    /// Removes and returns the wakers that have waited since this time or longer.
    fn take_old(&mut self, since: Duration) -> Vec<Waker> {
        let mut taken = Vec::new();
        let mut stays = |waiting: &Waiting| {
            let stays = waiting.since > since;
            if !stays {
                taken.push(waiting.waker.clone());
            }
            stays
        };
        self.in_order.retain(&mut stays);
        self.late.retain(|_, late| {
            late.retain(&mut stays);
            !late.is_empty()
        });
        taken
    }

    fn take_all(&mut self) -> Vec<Waker> {
        self.take_through(u64::MAX)
    }
}

/// Another member, with the sessions to and from it.
#[derive(Debug)]
pub struct Peer {
    id: MemberId,
    session: AtomicU64,
    acknowledged: AtomicU64,
    /// Whether any message of this session was refused.
    has_refused: AtomicBool,
    /// Bytes that wait to be sent or acknowledged.
    backlog: AtomicUsize,
    outgoing: Mutex<Outgoing>,
    incoming: Mutex<Incoming>,
    asides: Mutex<Asides>,
}

/// Asides: messages outside the session, which may be lost and overtake the session's messages.
/// They are sent back over the connection that the other member opened.
#[derive(Debug, Default)]
struct Asides {
    queue: VecDeque<Bytes>,
    writer: Option<Waker>,
}

/// Identifies a message that was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) session: u64,
    pub(crate) number: u64,
}

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageState {
    /// Not acknowledged yet.
    Open,
    /// The receiver processed it.
    Received,
    /// The receiver refused its content.
    Refused,
    /// The session ended before it was acknowledged.
    Lost,
}

impl Peer {
    pub(crate) fn new(id: MemberId, session: u64) -> Self {
        Self {
            id,
            session: AtomicU64::new(session),
            acknowledged: AtomicU64::new(0),
            has_refused: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            outgoing: Mutex::new(Outgoing::new(session)),
            incoming: Mutex::default(),
            asides: Mutex::default(),
        }
    }

    /// Queues an aside; drops the oldest if there are too many.
    pub(crate) fn push_aside(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        let mut asides = self.asides.lock();
        if asides.queue.len() >= ASIDES_MAX {
            asides.queue.pop_front();
        }
        asides.queue.push_back(bytes.into());
        if let Some(writer) = asides.writer.take() {
            writer.wake();
        }
    }

    /// The next aside, to be sent back over the connection that this peer opened.
    pub fn poll_aside(&self, context: &mut Context<'_>) -> Poll<Bytes> {
        let mut asides = self.asides.lock();
        match asides.queue.pop_front() {
            Some(bytes) => Poll::Ready(bytes),
            None => {
                asides.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The member's id.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Queues a message.
    pub(crate) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Sent {
        let mut outgoing = self.outgoing.lock();
        let (number, session) = (outgoing.next, outgoing.session);
        outgoing.next += 1;
        let start = outgoing.tail.len();
        outgoing.tail.extend_from_slice(&[0; LENGTH_BYTES]);
        encode(&mut outgoing.tail);
        let length = outgoing.tail.len() - start - LENGTH_BYTES;
        let head = u32::try_from(length).expect("a message is far below 4 GiB").to_be_bytes();
        outgoing.tail[start..start + LENGTH_BYTES].copy_from_slice(&head);
        self.backlog.fetch_add(LENGTH_BYTES + length, Ordering::Relaxed);
        if outgoing.tail.len() >= BATCH_BYTES_MAX {
            outgoing.cut();
        }
        let writer = outgoing.writer.take();
        drop(outgoing);
        if let Some(writer) = writer {
            writer.wake();
        }
        Sent { session, number }
    }

    /// Bytes that wait to be sent or acknowledged.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Whether more bytes wait than [`OUTGOING_BYTES_MAX`]: then operations that need this member
    /// are refused, and events dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.backlog() > OUTGOING_BYTES_MAX
    }

    /// The state of a message.
    pub(crate) fn state(&self, sent: Sent) -> MessageState {
        let is_current = || self.session.load(Ordering::Acquire) == sent.session;
        if is_current() {
            if self.acknowledged.load(Ordering::Acquire) < sent.number {
                return MessageState::Open;
            }
            // The reads above are consistent only if the session has not changed since.
            if !self.has_refused.load(Ordering::Acquire) && is_current() {
                return MessageState::Received;
            }
        }
        let outgoing = self.outgoing.lock();
        if outgoing.session != sent.session {
            MessageState::Lost
        } else if outgoing.refused.contains(&sent.number) {
            MessageState::Refused
        } else if self.acknowledged.load(Ordering::Acquire) >= sent.number {
            MessageState::Received
        } else {
            MessageState::Open
        }
    }

    /// Whether a message may have left this process.
    pub(crate) fn was_handed_over(&self, sent: Sent) -> bool {
        let outgoing = self.outgoing.lock();
        outgoing.session != sent.session || outgoing.handed_through >= sent.number
    }

    /// The last message that was queued.
    pub(crate) fn last_sent(&self) -> Sent {
        let outgoing = self.outgoing.lock();
        Sent { session: outgoing.session, number: outgoing.next - 1 }
    }

    /// Registers `waker` until the state of a message may be known: it is acknowledged, the session
    /// ends, the member leaves the view, or the next tick comes. Returns `false`, and registers
    /// nothing, if that is the case already.
    pub(crate) fn wait(&self, sent: Sent, since: Duration, waker: &Waker) -> bool {
        let mut outgoing = self.outgoing.lock();
        if outgoing.session != sent.session
            || outgoing.is_over
            || self.acknowledged.load(Ordering::Acquire) >= sent.number
        {
            return false;
        }
        let waiting = Waiting { number: sent.number, since, waker: waker.clone() };
        outgoing.waiters.add(waiting);
        true
    }

    /// Wakes the tasks that have waited since this time or longer.
    pub(crate) fn wake_old(&self, since: Duration) {
        let old = self.outgoing.lock().waiters.take_old(since);
        old.into_iter().for_each(Waker::wake);
    }

    /// Whether the member has left the view.
    pub(crate) fn is_over(&self) -> bool {
        self.outgoing.lock().is_over
    }

    /// The member has left the view: wakes all waiting tasks.
    pub(crate) fn end(&self) {
        let mut outgoing = self.outgoing.lock();
        outgoing.is_over = true;
        let waiting = outgoing.waiters.take_all();
        drop(outgoing);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The session that the sender names when it opens a connection. If it has changed by the time
    /// of the receipt, the connection must be closed.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session.load(Ordering::Acquire)
    }

    /// The last message that is known to be processed. The sender names it when it opens a
    /// connection.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The receiver resumed `session`: messages after `received` are to be sent (again). Returns
    /// `false` when the connection must be closed, since the session has changed.
    pub(crate) fn handle_resumed(
        &self,
        session: u64,
        received: u64,
        refused: &[u64],
        fresh_session: u64,
    ) -> bool {
        let mut outgoing = self.outgoing.lock();
        if outgoing.session != session {
            return false;
        }
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        if received < acknowledged || received >= outgoing.next {
            // The receiver does not know the session, or has lost its count.
            self.reset_session(&mut outgoing, fresh_session);
            return false;
        }
        outgoing.is_open = true;
        outgoing.rewind();
        let woken = self.acknowledge(&mut outgoing, received, refused);
        self.backlog.fetch_sub(outgoing.skip(received), Ordering::Relaxed);
        drop(outgoing);
        woken.into_iter().for_each(Waker::wake);
        true
    }

    /// Handles that the connection closed.
    pub fn handle_closed(&self) {
        let mut outgoing = self.outgoing.lock();
        outgoing.is_open = false;
        outgoing.rewind();
    }

    /// Handles a receipt for messages of a session.
    pub(crate) fn handle_received(&self, session: u64, received: u64, refused: &[u64]) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.session != session || received >= outgoing.next {
            return;
        }
        let woken = self.acknowledge(&mut outgoing, received, refused);
        drop(outgoing);
        woken.into_iter().for_each(Waker::wake);
    }

    fn acknowledge(&self, outgoing: &mut Outgoing, received: u64, refused: &[u64]) -> Vec<Waker> {
        if !refused.is_empty() {
            outgoing.refused.extend(refused);
            self.has_refused.store(true, Ordering::Release);
        }
        while outgoing.refused.len() > REFUSED_MAX {
            outgoing.refused.pop_first();
        }
        let before = self.acknowledged.load(Ordering::Acquire);
        if received <= before {
            return Vec::new();
        }
        self.acknowledged.store(received, Ordering::Release);
        while outgoing.batches.front().is_some_and(|batch| batch.last <= received) {
            let Some(batch) = outgoing.batches.pop_front() else { break };
            self.backlog.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
            outgoing.handed = outgoing.handed.saturating_sub(1);
        }
        outgoing.waiters.take_through(received)
    }

    /// Ends the session: messages on their way are lost.
    #[cfg(test)]
    fn reset(&self, fresh_session: u64) {
        self.reset_session(&mut self.outgoing.lock(), fresh_session);
        *self.incoming.lock() = Incoming::default();
    }

    fn reset_session(&self, outgoing: &mut Outgoing, session: u64) {
        let (waiting, writer) = (outgoing.waiters.take_all(), outgoing.writer.take());
        *outgoing = Outgoing { is_over: outgoing.is_over, ..Outgoing::new(session) };
        self.acknowledged.store(0, Ordering::Release);
        self.session.store(session, Ordering::Release);
        // Must follow the store of the session: see [`Peer::state`].
        self.has_refused.store(false, Ordering::Release);
        self.backlog.store(0, Ordering::Relaxed);
        waiting.into_iter().for_each(Waker::wake);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Ready when there are messages to open a connection for.
    pub fn poll_wanted(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut outgoing = self.outgoing.lock();
        if outgoing.batches.is_empty() && outgoing.tail.is_empty() {
            outgoing.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Ready when the open connection has something to send, or is closed.
    pub fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut outgoing = self.outgoing.lock();
        let is_idle = outgoing.handed == outgoing.batches.len() && outgoing.tail.is_empty();
        if outgoing.is_open && is_idle {
            outgoing.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The next bytes for the open connection. `None` when it is closed, or not open yet.
    pub fn poll_send(&self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut outgoing = self.outgoing.lock();
        if !outgoing.is_open {
            return Poll::Ready(None);
        }
        if outgoing.handed == outgoing.batches.len() {
            outgoing.cut();
        }
        let handed = outgoing.handed;
        match outgoing.batches.get(handed) {
            Some(batch) => {
                let (bytes, last) = (batch.bytes.clone(), batch.last);
                outgoing.handed += 1;
                outgoing.handed_through = outgoing.handed_through.max(last);
                Poll::Ready(Some(bytes))
            }
            None => {
                outgoing.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Handles a new connection, whose number is unique in this process. The sender named its
    /// session and the last message that it knows to be acknowledged.
    pub(crate) fn handle_opened(&self, connection: u64, session: u64, acknowledged: u64) -> Opened {
        let mut incoming = self.incoming.lock();
        let is_new = incoming.session.is_some_and(|other| other != session);
        if incoming.session != Some(session) {
            *incoming = Incoming { session: Some(session), ..Incoming::default() };
        }
        incoming.connection = Some(connection);
        incoming.partial.clear();
        let unheard = |number: &u64| *number > acknowledged;
        let refused = incoming.refused.iter().copied().filter(unheard).collect();
        let vouches = incoming.refused_before <= acknowledged;
        let received = if vouches { incoming.received } else { u64::MAX };
        let receipt = Receipt::Resume { session, received, refused };
        Opened { receipt, connection, is_new }
    }

    /// Handles bytes of a connection: passes each complete message to `each`. `None` when the
    /// connection must be closed: a newer one has opened, or a message is malformed.
    pub(crate) fn handle_bytes(
        &self,
        connection: u64,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Verdict,
    ) -> Option<Receipt> {
        let mut incoming = self.incoming.lock();
        if incoming.connection != Some(connection) {
            return None;
        }
        incoming.partial.extend_from_slice(bytes);
        let mut refused = Vec::new();
        while let Some(head) = incoming.partial.first_chunk::<LENGTH_BYTES>() {
            let length = u32::from_be_bytes(*head) as usize;
            if length > MESSAGE_BYTES_MAX {
                return None;
            }
            if incoming.partial.len() < LENGTH_BYTES + length {
                break;
            }
            incoming.partial.advance(LENGTH_BYTES);
            let message = incoming.partial.split_to(length).freeze();
            let number = incoming.received + 1;
            match each(&message) {
                Verdict::Processed => {}
                Verdict::Refused => {
                    refused.push(number);
                    incoming.remember_refusal(number);
                }
                Verdict::Malformed => return None,
            }
            incoming.received = number;
        }
        Some(Receipt::Received { received: incoming.received, refused })
    }
}

/// The result of opening a connection.
#[derive(Debug)]
pub struct Opened {
    /// The first receipt, to be sent back over the connection.
    pub receipt: Receipt,
    /// Identifies the connection in this process. Bytes of older connections of the same member,
    /// even from before it was removed and returned, have another number.
    pub connection: u64,
    /// Whether this ended another session.
    pub(crate) is_new: bool,
}

/// The result of handling a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was processed.
    Processed,
    /// Its sender is not the primary any more.
    Refused,
    /// It is malformed.
    Malformed,
}

/// The incoming side of a session.
#[derive(Debug, Default)]
struct Incoming {
    session: Option<u64>,
    /// The current connection: the latest one that opened.
    connection: Option<u64>,
    received: u64,
    partial: BytesMut,
    /// Numbers of the last messages that were refused.
    refused: VecDeque<u64>,
    /// Refusals up to this number are forgotten.
    refused_before: u64,
}

impl Incoming {
    fn remember_refusal(&mut self, number: u64) {
        if self.refused.len() >= REFUSED_MAX
            && let Some(oldest) = self.refused.pop_front()
        {
            self.refused_before = oldest;
        }
        self.refused.push_back(number);
    }
}

impl Outgoing {
    fn new(session: u64) -> Self {
        Self {
            session,
            batches: VecDeque::new(),
            handed: 0,
            handed_through: 0,
            tail: Vec::new(),
            tail_from: 1,
            next: 1,
            is_open: false,
            refused: BTreeSet::new(),
            writer: None,
            waiters: Waiters::default(),
            is_over: false,
        }
    }

    /// Turns the tail into a batch.
    fn cut(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // The next batch is probably about as long.
        let next = Vec::with_capacity(self.tail.len().min(BATCH_BYTES_MAX));
        let bytes = Bytes::from(std::mem::replace(&mut self.tail, next));
        self.batches.push_back(Batch { first: self.tail_from, last: self.next - 1, bytes });
        self.tail_from = self.next;
    }

    /// Drops messages up to this one from the first batch, as the receiver has them. Returns their
    /// length in bytes.
    fn skip(&mut self, received: u64) -> usize {
        let mut skipped = 0;
        let Some(batch) = self.batches.front_mut() else { return skipped };
        while batch.first <= received
            && let Some(head) = batch.bytes.first_chunk::<LENGTH_BYTES>()
        {
            let message = LENGTH_BYTES + u32::from_be_bytes(*head) as usize;
            batch.bytes.advance(message);
            batch.first += 1;
            skipped += message;
        }
        skipped
    }

    /// Prepares for the next connection, which starts with the first unacknowledged message.
    fn rewind(&mut self) {
        self.handed = 0;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All bytes that the sender has for the connection now.
    fn sent(peer: &Peer) -> Vec<Bytes> {
        let mut context = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while let Poll::Ready(Some(bytes)) = peer.poll_send(&mut context) {
            all.push(bytes);
        }
        all
    }

    /// Opens a connection from one peer to the other. `None` when it must be closed.
    fn open(from: &Peer, to: &Peer) -> Option<u64> {
        let session = from.session();
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let opened = to.handle_opened(connection, session, from.acknowledged());
        let Receipt::Resume { session, received, refused } = opened.receipt else {
            panic!("the first receipt is Resume");
        };
        let useful = from.handle_resumed(session, received, &refused, session + 1);
        useful.then_some(opened.connection)
    }

    fn pair() -> (Peer, Peer) {
        let id = |n| MemberId::from_bytes([n; 16]);
        (Peer::new(id(2), 7), Peer::new(id(1), 99))
    }

    fn numbers(messages: &[Vec<u8>]) -> Vec<u64> {
        let number = |m: &Vec<u8>| u64::from_be_bytes(m[..8].try_into().unwrap());
        messages.iter().map(number).collect()
    }

    #[test]
    fn waiters_are_woken_by_their_message_in_any_order() {
        #[derive(Default)]
        struct Woken(AtomicUsize);
        impl std::task::Wake for Woken {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut waiters = Waiters::default();
        let numbers = [5, 3, 9, 9, 1, 7, 3];
        let woken: Vec<_> = numbers.iter().map(|_| std::sync::Arc::new(Woken::default())).collect();
        let count = |at: usize| woken[at].0.load(Ordering::Relaxed);
        for (number, woken) in numbers.iter().zip(&woken) {
            let waker = Waker::from(std::sync::Arc::clone(woken));
            // A task that waits twice for the same message is registered once.
            for _ in 0..2 {
                let since = Duration::from_millis(*number);
                waiters.add(Waiting { number: *number, since, waker: waker.clone() });
            }
        }
        waiters.take_through(4).into_iter().for_each(Waker::wake);
        assert_eq!([count(1), count(4), count(6)], [1, 1, 1]);
        assert_eq!([count(0), count(2), count(3), count(5)], [0; 4]);
        waiters.take_old(Duration::from_millis(7)).into_iter().for_each(Waker::wake);
        assert!(count(0) > 0 && count(5) == 1);
        assert_eq!([count(2), count(3)], [0; 2]);
        waiters.take_all().into_iter().for_each(Waker::wake);
        assert!(count(2) > 0 && count(3) > 0);
        assert!(waiters.take_all().is_empty());
    }

    proptest! {
        #[test]
        fn each_message_arrives_once_and_in_order_when_connections_break(
            steps in proptest::collection::vec((0..4_u8, 1..40_usize, 1..3_000_usize), 1..60),
        ) {
            let (sender, receiver) = pair();
            let mut got = Vec::new();
            let mut pushed = 0_u64;
            let mut connection = open(&sender, &receiver).expect("the session is resumed");
            // Delivers bytes, of which a break may cut off the rest.
            let deliver = |connection: u64, bytes: &[u8], got: &mut Vec<Vec<u8>>| {
                receiver.handle_bytes(connection, bytes, |message| {
                    got.push(message.to_vec());
                    Verdict::Processed
                })
            };
            for (what, count, size) in steps {
                match what {
                    0 | 1 => for _ in 0..count {
                        pushed += 1;
                        sender.push(|bytes| {
                            bytes.extend_from_slice(&pushed.to_be_bytes());
                            bytes.resize(bytes.len() + size, 0);
                        });
                    },
                    2 => {
                        for bytes in sent(&sender) {
                            for piece in bytes.chunks(size) {
                                let receipt = deliver(connection, piece, &mut got);
                                prop_assert!(receipt.is_some());
                            }
                        }
                        let received = got.len() as u64;
                        sender.handle_received(sender.session(), received, &[]);
                        prop_assert_eq!(sender.backlog(), 0);
                    }
                    _ => {
                        let all: Vec<u8> = sent(&sender).concat();
                        let cut = (count * size).min(all.len());
                        deliver(connection, &all[..cut], &mut got);
                        sender.handle_closed();
                        let broken = std::mem::replace(
                            &mut connection,
                            open(&sender, &receiver).expect("the session is resumed"),
                        );
                        // The rest of the broken connection arrives late, and is ignored.
                        prop_assert!(deliver(broken, &all[cut..], &mut got).is_none());
                    }
                }
            }
            for bytes in sent(&sender) {
                deliver(connection, &bytes, &mut got);
            }
            prop_assert_eq!(numbers(&got), (1..=pushed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_receiver_that_lost_its_state_makes_the_sender_start_a_new_session() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let first = sender.push(|bytes| bytes.push(1));
        let bytes = sent(&sender).concat();
        receiver.handle_bytes(connection, &bytes, |_| Verdict::Processed).unwrap();
        sender.handle_received(first.session, 1, &[]);
        let second = sender.push(|bytes| bytes.push(2));
        receiver.reset(100);
        sender.handle_closed();
        assert!(open(&sender, &receiver).is_none());
        assert_eq!(
            (sender.state(first), sender.state(second)),
            (MessageState::Lost, MessageState::Lost)
        );
        assert!(open(&sender, &receiver).is_some());
    }

    #[test]
    fn a_refusal_whose_receipt_is_lost_is_repeated_on_the_next_connection() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let [a, b] = [1, 2].map(|n| sender.push(|bytes| bytes.push(n)));
        let verdict = |m: &[u8]| if m == [2] { Verdict::Refused } else { Verdict::Processed };
        receiver.handle_bytes(connection, &sent(&sender).concat(), verdict).unwrap();
        sender.handle_closed();
        open(&sender, &receiver).unwrap();
        assert_eq!(
            (sender.state(a), sender.state(b)),
            (MessageState::Received, MessageState::Refused)
        );
    }

    #[test]
    fn a_receiver_that_forgot_refusals_ends_the_session() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let first = sender.push(|bytes| bytes.push(1));
        for _ in 0..REFUSED_MAX {
            sender.push(|bytes| bytes.push(1));
        }
        for bytes in sent(&sender) {
            receiver.handle_bytes(connection, &bytes, |_| Verdict::Refused).unwrap();
        }
        sender.handle_closed();
        assert!(open(&sender, &receiver).is_none());
        assert_eq!(sender.state(first), MessageState::Lost);
    }

    #[test]
    fn a_receipt_of_another_session_is_ignored() {
        let (sender, receiver) = pair();
        open(&sender, &receiver);
        let sent = sender.push(|bytes| bytes.push(1));
        sender.handle_received(sent.session + 1, 1, &[]);
        assert_eq!(sender.state(sent), MessageState::Open);
    }

    #[test]
    fn a_refusal_is_part_of_the_receipt_that_covers_it() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let [a, b] = [1, 2].map(|n| sender.push(|bytes| bytes.push(n)));
        assert!(!sender.was_handed_over(a));
        let bytes = sent(&sender).concat();
        assert!(sender.was_handed_over(b));
        let verdict = |m: &[u8]| if m == [2] { Verdict::Refused } else { Verdict::Processed };
        let receipt = receiver.handle_bytes(connection, &bytes, verdict);
        assert_eq!(sender.state(a), MessageState::Open);
        let Some(Receipt::Received { received, refused }) = receipt else { panic!() };
        sender.handle_received(a.session, received, &refused);
        assert_eq!(
            (sender.state(a), sender.state(b)),
            (MessageState::Received, MessageState::Refused)
        );
    }

    #[test]
    fn a_receipt_for_messages_that_were_never_sent_is_ignored() {
        let (sender, receiver) = pair();
        open(&sender, &receiver);
        let sent = sender.push(|bytes| bytes.push(1));
        sender.handle_received(sent.session, 9, &[]);
        assert_eq!(sender.state(sent), MessageState::Open);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Receipt::decode(&bytes);
            let (_, receiver) = pair();
            let opened = receiver.handle_opened(1, 7, 0);
            receiver.handle_bytes(opened.connection, &bytes, |_| Verdict::Processed);
        }
    }
}
