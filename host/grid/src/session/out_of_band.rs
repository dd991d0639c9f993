//! Out-of-band messages: messages outside of the session.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

/// Maximum number of out-of-band messages that wait for one member.
const OUT_OF_BAND_MAX: usize = 64;

/// Out-of-band messages, which may be lost, and may overtake the session's messages. They are sent
/// back over the connection that the other member opened.
#[derive(Debug, Default)]
pub(super) struct OutOfBand {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Bytes>,
    writer: Option<Waker>,
}

impl OutOfBand {
    /// Queues an out-of-band message; drops the oldest if there are too many.
    pub(super) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        let mut waiting = self.waiting.lock();
        if waiting.queue.len() >= OUT_OF_BAND_MAX {
            waiting.queue.pop_front();
        }
        waiting.queue.push_back(bytes.into());
        if let Some(writer) = waiting.writer.take() {
            writer.wake();
        }
    }

    /// The next out-of-band message, to be sent back over the connection that this peer opened.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Bytes> {
        let mut waiting = self.waiting.lock();
        match waiting.queue.pop_front() {
            Some(bytes) => Poll::Ready(bytes),
            None => {
                waiting.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
