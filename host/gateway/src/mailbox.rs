//! What a client subscribed to and was not sent yet.

use std::collections::VecDeque;

use bytes::Bytes;
use convoke_grid::Subscriber;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::Arc;

use crate::ledger::{Account, Ledger};

/// Bytes that may wait for one client: beyond that it does not keep up, and is
/// cut off, so that it knows that it missed something.
pub(crate) const MAILBOX_BYTES_MAX: usize = 32 << 20;
/// The same while as much is held for all clients together as may be.
const MAILBOX_BYTES_WHEN_FULL_MAX: usize = 1 << 20;
/// What waits is counted in steps of this many bytes.
const COUNTED_BYTES: usize = 64 << 10;
/// Bytes that a message takes beside its own.
const MESSAGE_BYTES: usize = 128;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) topic: Bytes,
    /// What fits the topic, if it was subscribed to by a pattern.
    pub(crate) pattern: Option<Bytes>,
    pub(crate) payload: Bytes,
}

impl Letter {
    fn bytes(&self) -> usize {
        MESSAGE_BYTES + self.topic.len() + self.payload.len()
    }
}

/// Something was lost, since the client did not keep up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflowed;

struct Inner {
    letters: VecDeque<Letter>,
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

/// See the [module](self).
pub(crate) struct Mailbox {
    ledger: Arc<Ledger>,
    inner: Mutex<Inner>,
    /// Woken by each message.
    pub(crate) waker: AtomicWaker,
    /// Woken when something was lost, and by nothing else: for a client that takes none now.
    pub(crate) overflow_waker: AtomicWaker,
}

impl Subscriber for Mailbox {
    fn deliver(&self, topic: &Bytes, pattern: Option<&Bytes>, payload: &Bytes) {
        let letter =
            Letter { topic: topic.clone(), pattern: pattern.cloned(), payload: payload.clone() };
        let mut inner = self.inner.lock();
        if inner.overflowed {
            return;
        }
        inner.bytes += letter.bytes();
        inner.letters.push_back(letter);
        let is_full = self.ledger.is_full();
        let max = if is_full { MAILBOX_BYTES_WHEN_FULL_MAX } else { MAILBOX_BYTES_MAX };
        if inner.bytes > max {
            (inner.overflowed, inner.bytes) = (true, 0);
            inner.letters = VecDeque::new();
        }
        inner.count();
        let overflowed = inner.overflowed;
        drop(inner);
        self.waker.wake();
        if overflowed {
            self.overflow_waker.wake();
        }
    }
}

impl Mailbox {
    /// An empty one.
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        let inner = Inner {
            letters: VecDeque::new(),
            bytes: 0,
            overflowed: false,
            account: Account::new(ledger),
            counted: 0,
        };
        let (waker, overflow_waker) = (AtomicWaker::new(), AtomicWaker::new());
        Self { ledger: Arc::clone(ledger), inner: Mutex::new(inner), waker, overflow_waker }
    }

    /// Hands over what is there, in order, until `each` says that it is enough.
    /// Returns whether there was anything.
    pub(crate) fn take(&self, mut each: impl FnMut(Letter) -> bool) -> Result<bool, Overflowed> {
        let mut inner = self.inner.lock();
        if inner.overflowed {
            return Err(Overflowed);
        }
        let mut any = false;
        while let Some(letter) = inner.letters.pop_front() {
            inner.bytes -= letter.bytes();
            any = true;
            if each(letter) {
                break;
            }
        }
        inner.count();
        Ok(any)
    }

    /// Whether something was lost.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.inner.lock().overflowed
    }

    /// The next one.
    pub(crate) fn next(&self) -> Result<Option<Letter>, Overflowed> {
        let mut next = None;
        self.take(|letter| {
            next = Some(letter);
            true
        })?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_keep_up_is_told() {
        let mailbox = Mailbox::new(&Arc::default());
        let payload = Bytes::from(vec![0; MAILBOX_BYTES_MAX / 2]);
        mailbox.deliver(&"t".into(), None, &payload);
        mailbox.deliver(&"t".into(), None, &payload);
        assert_eq!(mailbox.next(), Err(Overflowed));
    }

    #[test]
    fn what_waits_is_counted_and_less_of_it_may_wait_when_much_is_held() {
        let ledger = Arc::new(Ledger::default());
        let (slow, other) = (Mailbox::new(&ledger), Mailbox::new(&ledger));
        let payload = Bytes::from(vec![0; MAILBOX_BYTES_MAX / 2]);
        slow.deliver(&"t".into(), None, &payload);
        assert!(ledger.held() >= payload.len() - COUNTED_BYTES);
        let mut account = Account::new(&ledger);
        account.set(2 * crate::ledger::HELD_BYTES_MAX);
        let small = Bytes::from(vec![0; MAILBOX_BYTES_WHEN_FULL_MAX / 2]);
        other.deliver(&"t".into(), None, &small);
        assert!(other.next().is_ok_and(|letter| letter.is_some()));
        slow.deliver(&"t".into(), None, &small);
        assert_eq!(slow.next(), Err(Overflowed));
        drop((account, slow, other));
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn messages_come_in_order_and_name_the_pattern() {
        let mailbox = Mailbox::new(&Arc::default());
        mailbox.deliver(&"t".into(), None, &"1".into());
        mailbox.deliver(&"t".into(), Some(&"*".into()), &"2".into());
        let letter = |pattern: Option<Bytes>, payload: &'static str| {
            Some(Letter { topic: "t".into(), pattern, payload: payload.into() })
        };
        assert_eq!(mailbox.next(), Ok(letter(None, "1")));
        assert_eq!(mailbox.next(), Ok(letter(Some("*".into()), "2")));
        assert_eq!(mailbox.next(), Ok(None));
    }
}
