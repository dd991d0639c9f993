//! What a client subscribed to and was not sent yet.

use std::collections::VecDeque;

use bytes::Bytes;
use convoke_grid::Subscriber;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::encode::Encoder;

/// Bytes that may wait for one client: beyond that it does not keep up, and is
/// cut off, so that it knows that it missed something.
pub(crate) const MAILBOX_BYTES_MAX: usize = 32 << 20;
/// Bytes that a message takes beside its own.
const MESSAGE_BYTES: usize = 128;

struct Letter {
    topic: Bytes,
    pattern: Option<Bytes>,
    payload: Bytes,
}

impl Letter {
    fn bytes(&self) -> usize {
        MESSAGE_BYTES + self.topic.len() + self.payload.len()
    }
}

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
    /// Writes what is there, until the buffer has so many bytes. `None` when
    /// something was lost.
    pub(crate) fn take(&self, encoder: &mut Encoder<'_>, bytes_max: usize) -> Option<bool> {
        let mut inner = self.inner.lock();
        if inner.overflowed {
            return None;
        }
        let mut any = false;
        while encoder.buffer.len() < bytes_max
            && let Some(letter) = inner.letters.pop_front()
        {
            inner.bytes -= letter.bytes();
            any = true;
            encoder.push(if letter.pattern.is_some() { 4 } else { 3 });
            match &letter.pattern {
                Some(pattern) => {
                    encoder.bulk(b"pmessage");
                    encoder.bulk(pattern);
                }
                None => encoder.bulk(b"message"),
            }
            encoder.bulk(&letter.topic);
            encoder.bulk(&letter.payload);
        }
        Some(any)
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::Protocol;
    use super::*;

    #[test]
    fn who_does_not_keep_up_is_told_by_being_cut_off() {
        let mailbox = Mailbox::default();
        let payload = Bytes::from(vec![0; MAILBOX_BYTES_MAX / 2]);
        mailbox.deliver(&"t".into(), None, &payload);
        mailbox.deliver(&"t".into(), None, &payload);
        let mut buffer = Vec::new();
        let mut encoder = Encoder { buffer: &mut buffer, protocol: Protocol::Resp2 };
        assert_eq!(mailbox.take(&mut encoder, usize::MAX), None);
        assert!(buffer.is_empty());
    }

    #[test]
    fn messages_come_in_order_and_name_the_pattern() {
        let mailbox = Mailbox::default();
        mailbox.deliver(&"t".into(), None, &"1".into());
        mailbox.deliver(&"t".into(), Some(&"*".into()), &"2".into());
        let mut buffer = Vec::new();
        let mut encoder = Encoder { buffer: &mut buffer, protocol: Protocol::Resp3 };
        assert_eq!(mailbox.take(&mut encoder, usize::MAX), Some(true));
        assert_eq!(
            String::from_utf8(buffer).unwrap(),
            ">3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$1\r\n1\r\n>4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nt\r\n$1\r\n2\r\n"
        );
    }
}
