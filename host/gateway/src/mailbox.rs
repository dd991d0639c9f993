//! What a client subscribed to and was not sent yet.

use std::collections::VecDeque;

use bytes::Bytes;
use convoke_grid::Subscriber;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// Bytes that may wait for one client: beyond that it does not keep up, and is
/// cut off, so that it knows that it missed something.
pub(crate) const MAILBOX_BYTES_MAX: usize = 32 << 20;
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

#[derive(Default)]
struct Inner {
    letters: VecDeque<Letter>,
    bytes: usize,
    overflowed: bool,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    pub(crate) waker: AtomicWaker,
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
        if inner.bytes > MAILBOX_BYTES_MAX {
            *inner = Inner { overflowed: true, ..Inner::default() };
        }
        drop(inner);
        self.waker.wake();
    }
}

impl Mailbox {
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
        Ok(any)
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
        let mailbox = Mailbox::default();
        let payload = Bytes::from(vec![0; MAILBOX_BYTES_MAX / 2]);
        mailbox.deliver(&"t".into(), None, &payload);
        mailbox.deliver(&"t".into(), None, &payload);
        assert_eq!(mailbox.next(), Err(Overflowed));
    }

    #[test]
    fn messages_come_in_order_and_name_the_pattern() {
        let mailbox = Mailbox::default();
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
