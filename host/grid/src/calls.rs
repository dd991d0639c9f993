//! Requests to other members that are waited for.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::Mutex;

use crate::message::Outcome;
use crate::topic::{SubscriptionInfo, TooManyNames};

/// What came of a request is kept for so long after its time was over, in case
/// that whoever asked still waits.
const KEPT_MS: u64 = 60_000;

/// What a member answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What came of an operation.
    Outcome(Outcome),
    /// What its subscriptions are.
    Subscriptions(Result<SubscriptionInfo, TooManyNames>),
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

    /// As [`Calls::poll`], but a request whose time is over stays open until `later`: an
    /// answer that is on its way then still counts.
    pub(crate) fn poll_and_keep(
        &self,
        id: u64,
        later: Duration,
        context: &mut Context<'_>,
    ) -> Poll<Progress> {
        let mut inner = self.inner.lock();
        match inner.calls.get_mut(&id) {
            Some(call) if matches!(call.progress, Some(Progress::Late)) => {
                call.progress = None;
                call.deadline = later;
                Poll::Ready(Progress::Late)
            }
            _ => inner.poll(id, context),
        }
    }

    /// Nobody waits for it any more. Returns whether it was still open.
    pub(crate) fn end(&self, id: u64) -> bool {
        self.inner.lock().calls.remove(&id).is_some_and(|call| call.progress.is_none())
    }

    /// The member answered: that counts even if the time was over, as long as nobody was
    /// told so.
    pub(crate) fn handle_answer(&self, from: MemberId, id: u64, answer: Answer) {
        let mut inner = self.inner.lock();
        if let Some(call) = inner.calls.get_mut(&id).filter(|call| call.to == from) {
            if matches!(call.progress, Some(Progress::Late)) {
                call.progress = None;
            }
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
        self.inner.lock().poll(id, context)
    }
}

impl Inner {
    fn poll(&mut self, id: u64, context: &mut Context<'_>) -> Poll<Progress> {
        let Some(call) = self.calls.get_mut(&id) else { return Poll::Ready(Progress::Gone) };
        match call.progress.take() {
            Some(progress) => {
                self.calls.remove(&id);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_when_the_time_is_over_still_counts() {
        let (calls, member) = (Calls::default(), MemberId::from_bytes([1; 16]));
        let mut context = Context::from_waker(Waker::noop());
        let (second, later) = (Duration::from_secs(1), Duration::from_secs(9));
        // It comes before anybody was told that the time is over.
        let id = calls.begin(member, second);
        calls.tick(second);
        calls.handle_answer(member, id, Answer::Delivered(3));
        let progress = calls.poll(id, &mut context);
        assert!(matches!(progress, Poll::Ready(Progress::Answered(Answer::Delivered(3)))));
        // It comes right afterwards.
        let id = calls.begin(member, second);
        calls.tick(second);
        let progress = calls.poll_and_keep(id, later, &mut context);
        assert!(matches!(progress, Poll::Ready(Progress::Late)));
        calls.handle_answer(member, id, Answer::Delivered(4));
        let progress = calls.poll(id, &mut context);
        assert!(matches!(progress, Poll::Ready(Progress::Answered(Answer::Delivered(4)))));
        assert!(!calls.end(id), "it is forgotten");
    }
}
