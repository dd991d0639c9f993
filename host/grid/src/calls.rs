//! Requests to other members that are waited for.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::Mutex;

use crate::message::Outcome;

/// What came of a request is kept for so long after its time was over, in case
/// that whoever asked still waits.
const KEPT_MS: u64 = 60_000;

/// What a member answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What came of an operation.
    Outcome(Outcome),
    /// How many subscribers got it.
    Delivered(u64),
    /// Which ranges it wants.
    Wants(Vec<(u64, u64)>),
    /// Whether it took what was merged.
    Merged(bool),
}

/// How a request fares.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It was answered.
    Answered(Answer),
    /// Its time is over.
    Late,
    /// The member is gone.
    Gone,
}

struct Call {
    to: MemberId,
    deadline: Duration,
    progress: Option<Progress>,
    waker: Option<Waker>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Calls {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    calls: BTreeMap<u64, Call>,
}

impl Calls {
    /// A request is about to be sent.
    pub(crate) fn begin(&self, to: MemberId, deadline: Duration) -> u64 {
        let mut inner = self.inner.lock();
        inner.next += 1;
        let id = inner.next;
        inner.calls.insert(id, Call { to, deadline, progress: None, waker: None });
        id
    }

    /// A request whose time was over is waited for once more.
    pub(crate) fn reopen(&self, id: u64, to: MemberId, deadline: Duration) {
        let call = Call { to, deadline, progress: None, waker: None };
        self.inner.lock().calls.insert(id, call);
    }

    /// Nobody waits for it any more. Returns whether it was still open.
    pub(crate) fn end(&self, id: u64) -> bool {
        self.inner.lock().calls.remove(&id).is_some_and(|call| call.progress.is_none())
    }

    /// The member answered. An answer that is late is dropped.
    pub(crate) fn handle_answer(&self, from: MemberId, id: u64, answer: Answer) {
        let mut inner = self.inner.lock();
        if let Some(call) = inner.calls.get_mut(&id).filter(|call| call.to == from) {
            call.finish(Progress::Answered(answer));
        }
    }

    /// The member is gone, or the messages to it are lost.
    pub(crate) fn handle_gone(&self, whom: MemberId) {
        for call in self.inner.lock().calls.values_mut().filter(|call| call.to == whom) {
            call.finish(Progress::Gone);
        }
    }

    /// Ends those whose time is over, and drops those that nobody fetched since.
    pub(crate) fn tick(&self, now: Duration) {
        let kept = Duration::from_millis(KEPT_MS);
        self.inner.lock().calls.retain(|_, call| {
            if call.deadline <= now {
                call.finish(Progress::Late);
            }
            now < call.deadline.saturating_add(kept)
        });
    }

    pub(crate) fn poll(&self, id: u64, context: &mut Context<'_>) -> Poll<Progress> {
        let mut inner = self.inner.lock();
        let Some(call) = inner.calls.get_mut(&id) else { return Poll::Ready(Progress::Gone) };
        match call.progress.take() {
            Some(progress) => {
                inner.calls.remove(&id);
                Poll::Ready(progress)
            }
            None => {
                call.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Call {
    fn finish(&mut self, progress: Progress) {
        if self.progress.is_none() {
            self.progress = Some(progress);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}
