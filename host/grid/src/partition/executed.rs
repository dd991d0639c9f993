//! Results of executing operations, immediately or later.

use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::ticket::Ticket;
use crate::{OpError, Reply};

/// Receives the outcome of a blocked operation. The operation is executed only after its slot is
/// claimed, and a claimed slot is filled or released. Otherwise an element could be removed for a
/// client that has disconnected, and would be lost.
#[derive(Default)]
pub(crate) struct Slot {
    inner: Mutex<SlotInner>,
}

#[derive(Default)]
struct SlotInner {
    state: SlotState,
    /// The task no longer waits; takes effect unless the slot is claimed.
    is_closing: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
enum SlotState {
    #[default]
    Waiting,
    /// The operation is being executed.
    Claimed,
    Filled(Executed),
    Closed,
}

impl Slot {
    /// Claims the slot. Returns whether the operation may be executed now; if so, [`Slot::fill`] or
    /// [`Slot::release`] must follow.
    pub(crate) fn claim(&self) -> bool {
        let mut inner = self.inner.lock();
        let is_free = matches!(inner.state, SlotState::Waiting) && !inner.is_closing;
        if is_free {
            inner.state = SlotState::Claimed;
        }
        is_free
    }

    /// Stores the outcome in a claimed slot.
    pub(crate) fn fill(&self, outcome: Executed) {
        self.end_claim(SlotState::Filled(outcome));
    }

    /// Releases a slot whose operation had no element to return. Returns whether a task is still
    /// waiting.
    pub(super) fn release(&self) -> bool {
        self.end_claim(SlotState::Waiting);
        !self.is_closed()
    }

    fn end_claim(&self, state: SlotState) {
        let mut inner = self.inner.lock();
        debug_assert!(matches!(inner.state, SlotState::Claimed), "the slot must be claimed");
        inner.state = match state {
            SlotState::Waiting if inner.is_closing => SlotState::Closed,
            state => state,
        };
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        let inner = self.inner.lock();
        inner.is_closing || matches!(inner.state, SlotState::Closed)
    }

    /// The outcome; `None` if the slot was closed before it was claimed.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Option<Executed>> {
        let mut inner = self.inner.lock();
        match std::mem::replace(&mut inner.state, SlotState::Closed) {
            SlotState::Filled(outcome) => Poll::Ready(Some(outcome)),
            SlotState::Closed => Poll::Ready(None),
            waiting => {
                inner.state = waiting;
                inner.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Closes the slot. An operation that is being executed is completed, and [`Slot::poll`]
    /// returns its outcome.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.is_closing = true;
        if matches!(inner.state, SlotState::Waiting) {
            inner.state = SlotState::Closed;
        }
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
}

/// The result of executing an operation in a partition.
pub(crate) enum Executed {
    /// It was executed, or failed. The reply must wait for the ticket.
    Done(Result<Reply, OpError>, Option<Ticket>),
    /// It waits for locks of a transaction; the slot receives the outcome.
    Queued(Arc<Slot>),
    /// It is a transaction that is running; the slot receives the outcome.
    Runs(Arc<Slot>),
    /// This member is not the serving primary.
    NotPrimary,
}
