//! Cancellation of blocked operations.

use std::task::Waker;

use parking_lot::Mutex;

/// Ends the blocked operations that it was passed to, as if their timeout had passed: see
/// [`Grid::block`](crate::Grid::block).
#[derive(Debug, Default)]
pub struct Unblock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_set: bool,
    wakers: Vec<Waker>,
}

impl Unblock {
    /// Ends the operations.
    pub fn set(&self) {
        let wakers = {
            let mut state = self.0.lock();
            state.is_set = true;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the operations are to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.lock().is_set
    }

    /// Like [`Unblock::is_set`]; if false, `waker` is woken once they are to end.
    pub(super) fn poll(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        if !state.is_set && !state.wakers.iter().any(|other| other.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        state.is_set
    }
}
