//! Messages for a subscriber that were not sent yet.

use std::collections::VecDeque;

use bytes::Bytes;
use convoke_grid::Subscriber;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::Arc;

use crate::ledger::{Account, Ledger};

/// Limit of the unsent messages of one client, in bytes. A client beyond it is disconnected, so
/// that it knows that it missed messages.
pub(crate) const OUTPUT_BUFFER_BYTES_MAX: usize = 32 << 20;
/// The limit, in bytes, while the memory held for all clients is at its limit.
const OUTPUT_BUFFER_BYTES_WHEN_FULL_MAX: usize = 1 << 20;
/// Granularity of the accounting, in bytes.
const COUNTED_BYTES: usize = 64 << 10;
/// Overhead of a message, in bytes.
const MESSAGE_BYTES: usize = 128;

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// It was published on a topic.
    #[default]
    Published,
    /// It was published on a shard topic.
    Shard,
    /// The payload is a key that has changed, for client-side caching.
    Invalidation {
        /// Whether it is about reads of another client, which sends its messages here.
        is_redirected: bool,
    },
    /// As [`MessageKind::Invalidation`]: several keys, whose encodings are the payload.
    Invalidations {
        /// As above.
        is_redirected: bool,
        /// Number of keys.
        count: usize,
    },
    /// As [`MessageKind::Invalidation`]: any key may have changed.
    InvalidationOfAll {
        /// As above.
        is_redirected: bool,
    },
    /// The client with this number, to which the messages of this one are sent, has disconnected.
    RedirectionLost(u64),
    /// The payload is a line about a command, for `MONITOR`.
    Line,
    /// The payload is an encoded push message, for clients that use RESP3.
    Encoded,
}

/// A message for a subscriber.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboundMessage {
    pub(crate) kind: MessageKind,
    pub(crate) topic: Bytes,
    /// The pattern that the channel matched, for a pattern subscription.
    pub(crate) pattern: Option<Bytes>,
    pub(crate) payload: Bytes,
}

impl OutboundMessage {
    fn bytes(&self) -> usize {
        MESSAGE_BYTES + self.topic.len() + self.payload.len()
    }
}

/// Messages were dropped, since the client did not keep up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflowed;

struct Inner {
    messages: VecDeque<OutboundMessage>,
    bytes: usize,
    overflowed: bool,
    account: Account,
    counted: usize,
}

impl Inner {
    fn count(&mut self) {
        if self.bytes.abs_diff(self.counted) >= COUNTED_BYTES {
            self.account.set(self.bytes);
            self.counted = self.bytes;
        }
    }
}

/// A bounded queue of messages for one client; see the [module](self).
pub(crate) struct OutputBuffer {
    ledger: Arc<Ledger>,
    inner: Mutex<Inner>,
    /// Woken by each message.
    pub(crate) waker: AtomicWaker,
    /// Woken by an overflow only: for a client whose messages are not being written.
    pub(crate) overflow_waker: AtomicWaker,
}

impl Subscriber for OutputBuffer {
    fn deliver(&self, topic: &Bytes, pattern: Option<&Bytes>, payload: &Bytes) {
        self.push(OutboundMessage {
            kind: MessageKind::Published,
            topic: topic.clone(),
            pattern: pattern.cloned(),
            payload: payload.clone(),
        });
    }

    fn deliver_shard(&self, topic: &Bytes, payload: &Bytes) {
        self.push(OutboundMessage {
            kind: MessageKind::Shard,
            topic: topic.clone(),
            pattern: None,
            payload: payload.clone(),
        });
    }
}

impl OutputBuffer {
    /// Appends a message, and wakes the connection. Must not block.
    pub(crate) fn push(&self, message: OutboundMessage) {
        let mut inner = self.inner.lock();
        if inner.overflowed {
            return;
        }
        inner.bytes += message.bytes();
        inner.messages.push_back(message);
        let is_full = self.ledger.is_full();
        let max = if is_full { OUTPUT_BUFFER_BYTES_WHEN_FULL_MAX } else { OUTPUT_BUFFER_BYTES_MAX };
        if inner.bytes > max {
            (inner.overflowed, inner.bytes) = (true, 0);
            inner.messages = VecDeque::new();
        }
        inner.count();
        let overflowed = inner.overflowed;
        drop(inner);
        self.waker.wake();
        if overflowed {
            self.overflow_waker.wake();
        }
    }

    /// An empty buffer, counted in `ledger`.
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        let inner = Inner {
            messages: VecDeque::new(),
            bytes: 0,
            overflowed: false,
            account: Account::new(ledger),
            counted: 0,
        };
        let (waker, overflow_waker) = (AtomicWaker::new(), AtomicWaker::new());
        Self { ledger: Arc::clone(ledger), inner: Mutex::new(inner), waker, overflow_waker }
    }

    /// Passes messages to `each`, in order, until it returns true. Returns whether there were any.
    pub(crate) fn take(
        &self,
        mut each: impl FnMut(OutboundMessage) -> bool,
    ) -> Result<bool, Overflowed> {
        let mut inner = self.inner.lock();
        if inner.overflowed {
            return Err(Overflowed);
        }
        let mut any = false;
        while let Some(message) = inner.messages.pop_front() {
            inner.bytes -= message.bytes();
            any = true;
            if each(message) {
                break;
            }
        }
        inner.count();
        Ok(any)
    }

    /// Removes the messages of one kind.
    pub(crate) fn discard(&self, kind: MessageKind) {
        let mut inner = self.inner.lock();
        inner.messages.retain(|message| message.kind != kind);
        inner.bytes = inner.messages.iter().map(OutboundMessage::bytes).sum();
        inner.count();
    }

    /// Whether messages were dropped.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.inner.lock().overflowed
    }

    /// Removes and returns the next message.
    pub(crate) fn next(&self) -> Result<Option<OutboundMessage>, Overflowed> {
        let mut next = None;
        self.take(|message| {
            next = Some(message);
            true
        })?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_reports_an_overflow() {
        let output_buffer = OutputBuffer::new(&Arc::default());
        let payload = Bytes::from(vec![0; OUTPUT_BUFFER_BYTES_MAX / 2]);
        output_buffer.deliver(&"t".into(), None, &payload);
        output_buffer.deliver(&"t".into(), None, &payload);
        assert_eq!(output_buffer.next(), Err(Overflowed));
    }

    #[test]
    fn messages_of_one_kind_are_discarded() {
        let output_buffer = OutputBuffer::new(&Arc::default());
        let line = OutboundMessage { kind: MessageKind::Line, ..OutboundMessage::default() };
        output_buffer.push(line);
        output_buffer.deliver(&"t".into(), None, &"kept".into());
        output_buffer.discard(MessageKind::Line);
        let payload = |message: Option<OutboundMessage>| message.map(|message| message.payload);
        assert_eq!(payload(output_buffer.next().unwrap()), Some("kept".into()));
        assert_eq!(output_buffer.next(), Ok(None));
    }

    #[test]
    fn unsent_messages_are_counted_and_limited_further_when_memory_is_full() {
        let ledger = Arc::new(Ledger::default());
        let (slow, other) = (OutputBuffer::new(&ledger), OutputBuffer::new(&ledger));
        let payload = Bytes::from(vec![0; OUTPUT_BUFFER_BYTES_MAX / 2]);
        slow.deliver(&"t".into(), None, &payload);
        assert!(ledger.held() >= payload.len() - COUNTED_BYTES);
        let mut account = Account::new(&ledger);
        account.set(2 * crate::ledger::HELD_BYTES_MAX);
        let small = Bytes::from(vec![0; OUTPUT_BUFFER_BYTES_WHEN_FULL_MAX / 2]);
        other.deliver(&"t".into(), None, &small);
        assert!(other.next().is_ok_and(|message| message.is_some()));
        slow.deliver(&"t".into(), None, &small);
        assert_eq!(slow.next(), Err(Overflowed));
        drop((account, slow, other));
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn messages_are_in_order_and_carry_the_pattern() {
        let output_buffer = OutputBuffer::new(&Arc::default());
        output_buffer.deliver(&"t".into(), None, &"1".into());
        output_buffer.deliver(&"t".into(), Some(&"*".into()), &"2".into());
        let message = |pattern: Option<Bytes>, payload: &'static str| {
            let (kind, topic) = (MessageKind::Published, "t".into());
            Some(OutboundMessage { kind, topic, pattern, payload: payload.into() })
        };
        assert_eq!(output_buffer.next(), Ok(message(None, "1")));
        assert_eq!(output_buffer.next(), Ok(message(Some("*".into()), "2")));
        assert_eq!(output_buffer.next(), Ok(None));
    }
}
