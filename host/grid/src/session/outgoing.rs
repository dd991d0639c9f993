//! The outgoing half of a session: messages are numbered, and kept until they are acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;

use super::receipt::{LENGTH_BYTES, REFUSED_MAX};

/// Maximum number of bytes that wait for one member. Beyond that, everything that needs the member
/// is refused: writes that it backs up, operations and requests sent to it, and messages on topics.
/// Events are dropped.
pub const OUTGOING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum number of bytes that are passed to a connection at once; a longer message is passed
/// alone.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;

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

/// The outgoing half of a session. No other lock is taken under its own.
#[derive(Debug)]
pub(super) struct Outgoing {
    session: AtomicU64,
    acknowledged: AtomicU64,
    /// Whether any message of this session was refused.
    has_refused: AtomicBool,
    /// Bytes that wait to be sent or acknowledged.
    backlog: AtomicUsize,
    queue: Mutex<Queue>,
}

/// Messages that are not acknowledged yet.
#[derive(Debug)]
struct Queue {
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
    /// Those that were added in the order of their messages (most of them).
    in_order: VecDeque<Waiting>,
    /// The others, by the number of the message.
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

impl Outgoing {
    pub(super) fn new(session: u64) -> Self {
        Self {
            session: AtomicU64::new(session),
            acknowledged: AtomicU64::new(0),
            has_refused: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            queue: Mutex::new(Queue::new(session)),
        }
    }

    /// Queues a message.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Sent {
        let mut queue = self.queue.lock();
        let (number, session) = (queue.next, queue.session);
        queue.next += 1;
        let start = queue.tail.len();
        queue.tail.extend_from_slice(&[0; LENGTH_BYTES]);
        encode(&mut queue.tail);
        let length = queue.tail.len() - start - LENGTH_BYTES;
        let head = u32::try_from(length).expect("a message is far below 4 GiB").to_be_bytes();
        queue.tail[start..start + LENGTH_BYTES].copy_from_slice(&head);
        self.backlog.fetch_add(LENGTH_BYTES + length, Ordering::Relaxed);
        if queue.tail.len() >= BATCH_BYTES_MAX {
            queue.cut();
        }
        let writer = queue.writer.take();
        drop(queue);
        if let Some(writer) = writer {
            writer.wake();
        }
        Sent { session, number }
    }

    /// Bytes that wait to be sent or acknowledged.
    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Whether more bytes wait than [`OUTGOING_BYTES_MAX`]: then operations that need this member
    /// are refused, and events dropped.
    pub(super) fn is_full(&self) -> bool {
        self.backlog() > OUTGOING_BYTES_MAX
    }

    /// The state of a message.
    pub(super) fn state(&self, sent: Sent) -> MessageState {
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
        let queue = self.queue.lock();
        if queue.session != sent.session {
            MessageState::Lost
        } else if queue.refused.contains(&sent.number) {
            MessageState::Refused
        } else if self.acknowledged.load(Ordering::Acquire) >= sent.number {
            MessageState::Received
        } else {
            MessageState::Open
        }
    }

    /// Whether a message may have left this process.
    pub(super) fn was_handed_over(&self, sent: Sent) -> bool {
        let queue = self.queue.lock();
        queue.session != sent.session || queue.handed_through >= sent.number
    }

    /// The last message that was queued.
    pub(super) fn last_sent(&self) -> Sent {
        let queue = self.queue.lock();
        Sent { session: queue.session, number: queue.next - 1 }
    }

    /// Registers `waker` until the state of a message may be known: it is acknowledged, the session
    /// ends, the member leaves the view, or the next tick comes. Returns `false`, and registers
    /// nothing, if that is the case already.
    pub(super) fn wait(&self, sent: Sent, since: Duration, waker: &Waker) -> bool {
        let mut queue = self.queue.lock();
        if queue.session != sent.session
            || queue.is_over
            || self.acknowledged.load(Ordering::Acquire) >= sent.number
        {
            return false;
        }
        let waiting = Waiting { number: sent.number, since, waker: waker.clone() };
        queue.waiters.add(waiting);
        true
    }

    /// Wakes the tasks that have waited since this time or longer.
    pub(super) fn wake_old(&self, since: Duration) {
        let old = self.queue.lock().waiters.take_old(since);
        old.into_iter().for_each(Waker::wake);
    }

    /// Whether the member has left the view.
    pub(super) fn is_over(&self) -> bool {
        self.queue.lock().is_over
    }

    /// The member has left the view: wakes all waiting tasks.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.is_over = true;
        let waiting = queue.waiters.take_all();
        drop(queue);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The session that the sender names when it opens a connection. If it has changed by the time
    /// of the receipt, the connection must be closed.
    pub(super) fn session(&self) -> u64 {
        self.session.load(Ordering::Acquire)
    }

    /// The last message that is known to be processed. The sender names it when it opens a
    /// connection.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The receiver resumed `session`: messages after `received` are to be sent (again). Returns
    /// `false` when the connection must be closed, since the session has changed.
    pub(super) fn handle_resumed(
        &self,
        session: u64,
        received: u64,
        refused: &[u64],
        fresh_session: u64,
    ) -> bool {
        let mut queue = self.queue.lock();
        if queue.session != session {
            return false;
        }
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        if received < acknowledged || received >= queue.next {
            // The receiver does not know the session, or has lost its count.
            self.reset_session(&mut queue, fresh_session);
            return false;
        }
        queue.is_open = true;
        queue.rewind();
        let woken = self.acknowledge(&mut queue, received, refused);
        self.backlog.fetch_sub(queue.skip(received), Ordering::Relaxed);
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
        true
    }

    /// Handles that the connection closed.
    pub(super) fn handle_closed(&self) {
        let mut queue = self.queue.lock();
        queue.is_open = false;
        queue.rewind();
    }

    /// Handles a receipt for messages of a session.
    pub(super) fn handle_received(&self, session: u64, received: u64, refused: &[u64]) {
        let mut queue = self.queue.lock();
        if queue.session != session || received >= queue.next {
            return;
        }
        let woken = self.acknowledge(&mut queue, received, refused);
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }

    fn acknowledge(&self, queue: &mut Queue, received: u64, refused: &[u64]) -> Vec<Waker> {
        if !refused.is_empty() {
            queue.refused.extend(refused);
            self.has_refused.store(true, Ordering::Release);
        }
        while queue.refused.len() > REFUSED_MAX {
            queue.refused.pop_first();
        }
        let before = self.acknowledged.load(Ordering::Acquire);
        if received <= before {
            return Vec::new();
        }
        self.acknowledged.store(received, Ordering::Release);
        while queue.batches.front().is_some_and(|batch| batch.last <= received) {
            let Some(batch) = queue.batches.pop_front() else { break };
            self.backlog.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
            queue.handed = queue.handed.saturating_sub(1);
        }
        queue.waiters.take_through(received)
    }

    fn reset_session(&self, queue: &mut Queue, session: u64) {
        let (waiting, writer) = (queue.waiters.take_all(), queue.writer.take());
        *queue = Queue { is_over: queue.is_over, ..Queue::new(session) };
        self.acknowledged.store(0, Ordering::Release);
        self.session.store(session, Ordering::Release);
        // Must follow the store of the session: see [`Outgoing::state`].
        self.has_refused.store(false, Ordering::Release);
        self.backlog.store(0, Ordering::Relaxed);
        waiting.into_iter().for_each(Waker::wake);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Ready when there are messages to open a connection for.
    pub(super) fn poll_connect(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.batches.is_empty() && queue.tail.is_empty() {
            queue.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Ready when the open connection has something to send, or is closed.
    pub(super) fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        let is_idle = queue.handed == queue.batches.len() && queue.tail.is_empty();
        if queue.is_open && is_idle {
            queue.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The next bytes for the open connection. `None` when it is closed, or not open yet.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = self.queue.lock();
        if !queue.is_open {
            return Poll::Ready(None);
        }
        if queue.handed == queue.batches.len() {
            queue.cut();
        }
        let handed = queue.handed;
        match queue.batches.get(handed) {
            Some(batch) => {
                let (bytes, last) = (batch.bytes.clone(), batch.last);
                queue.handed += 1;
                queue.handed_through = queue.handed_through.max(last);
                Poll::Ready(Some(bytes))
            }
            None => {
                queue.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Ends the session: messages in transit are lost.
    #[cfg(test)]
    pub(super) fn reset(&self, fresh_session: u64) {
        self.reset_session(&mut self.queue.lock(), fresh_session);
    }
}

impl Queue {
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

    /// Makes a batch of the tail.
    fn cut(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // The next batch will probably have a similar length.
        let next = Vec::with_capacity(self.tail.len().min(BATCH_BYTES_MAX));
        let bytes = Bytes::from(std::mem::replace(&mut self.tail, next));
        self.batches.push_back(Batch { first: self.tail_from, last: self.next - 1, bytes });
        self.tail_from = self.next;
    }

    /// Drops messages up to this one from the first batch, since the receiver has them. Returns
    /// their length in bytes.
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
}
