//! Changes of members and partitions, for tasks that wait for the next one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::state::{Grid, Later};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Changes(Mutex<State>);

#[derive(Default)]
struct State {
    count: u64,
    wakers: Vec<Waker>,
}

impl Changes {
    /// Something has changed.
    pub(super) fn note(&self) {
        let wakers = {
            let mut state = self.0.lock();
            state.count += 1;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, seen: u64, waker: &Waker) -> Poll<u64> {
        let mut state = self.0.lock();
        if state.count != seen {
            return Poll::Ready(state.count);
        }
        if !state.wakers.iter().any(|other| other.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }
}

impl Grid {
    /// How often the members, the table or the state of its partitions have changed so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.inner.changes.0.lock().count
    }

    /// Waits until [`changes`](Self::changes) is another number than `seen`, and returns it. The
    /// change itself is visible then.
    pub fn changed(&self, seen: u64) -> Later<u64> {
        let inner = Arc::clone(&self.inner);
        Box::pin(poll_fn(move |context| inner.changes.poll(seen, context.waker())))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    #[test]
    fn each_change_is_seen_once() {
        let changes = Changes::default();
        let mut context = Context::from_waker(Waker::noop());
        let poll = |seen, context: &mut Context<'_>| changes.poll(seen, context.waker());
        assert_eq!(poll(0, &mut context), Poll::Pending);
        changes.note();
        changes.note();
        assert_eq!(poll(0, &mut context), Poll::Ready(2));
        assert_eq!(poll(2, &mut context), Poll::Pending);
        assert_eq!(changes.0.lock().wakers.len(), 1);
    }
}
