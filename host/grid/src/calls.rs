//! Requests to other members that await an answer.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::Mutex;

use crate::message::RemoteResult;
use crate::topic::{SubscriptionInfo, TooManyNames};

/// Time for which the result of a request is kept after its deadline, in milliseconds, for a caller
/// that still polls.
const KEPT_MS: u64 = 60_000;

/// The answer of a member.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The outcome of an operation.
    RemoteResult(RemoteResult),
    /// The member's subscriptions.
    Subscriptions(Result<SubscriptionInfo, TooManyNames>),
    /// Number of subscribers that received the message.
    Delivered(u64),
    /// Ranges that the primary requests for merging.
    Wants(Vec<(u64, u64)>),
    /// Whether the merge was accepted.
    Merged(bool),
}

/// The state of a request.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The member answered.
    Answered(Answer),
    /// The deadline has passed.
    Late,
    /// The member left the view, or the messages to it were lost.
    Gone,
}

struct Call {
    to: MemberId,
    deadline: Duration,
    progress: Option<Progress>,
    waker: Option<Waker>,
}

/// All open requests.
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
    /// Registers a request that is about to be sent.
    pub(crate) fn begin(&self, to: MemberId, deadline: Duration) -> u64 {
        let mut inner = self.inner.lock();
        inner.next += 1;
        let id = inner.next;
        inner.calls.insert(id, Call { to, deadline, progress: None, waker: None });
        id
    }

    /// Like [`Calls::poll`], but after the deadline the request stays open until `later`, since an
    /// answer may be in transit.
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

    /// Drops a request that no caller awaits any more. Returns whether it was still open.
    pub(crate) fn end(&self, id: u64) -> bool {
        self.inner.lock().calls.remove(&id).is_some_and(|call| call.progress.is_none())
    }

    /// Handles an answer. It is accepted after the deadline unless the timeout has been reported.
    pub(crate) fn handle_answer(&self, from: MemberId, id: u64, answer: Answer) {
        let mut inner = self.inner.lock();
        if let Some(call) = inner.calls.get_mut(&id).filter(|call| call.to == from) {
            if matches!(call.progress, Some(Progress::Late)) {
                call.progress = None;
            }
            call.finish(Progress::Answered(answer));
        }
    }

    /// Handles that a member left the view, or that messages to it were lost.
    pub(crate) fn handle_gone(&self, member: MemberId) {
        for call in self.inner.lock().calls.values_mut().filter(|call| call.to == member) {
            call.finish(Progress::Gone);
        }
    }

    /// Ends requests whose deadline has passed, and drops those that no caller polled since.
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
    fn an_answer_just_after_the_deadline_still_counts() {
        let (calls, member) = (Calls::default(), MemberId::from_bytes([1; 16]));
        let mut context = Context::from_waker(Waker::noop());
        let (second, later) = (Duration::from_secs(1), Duration::from_secs(9));
        // It arrives before the passed deadline was reported.
        let id = calls.begin(member, second);
        calls.tick(second);
        calls.handle_answer(member, id, Answer::Delivered(3));
        let progress = calls.poll(id, &mut context);
        assert!(matches!(progress, Poll::Ready(Progress::Answered(Answer::Delivered(3)))));
        // It arrives right afterwards.
        let id = calls.begin(member, second);
        calls.tick(second);
        let progress = calls.poll_and_keep(id, later, &mut context);
        assert!(matches!(progress, Poll::Ready(Progress::Late)));
        calls.handle_answer(member, id, Answer::Delivered(4));
        let progress = calls.poll(id, &mut context);
        assert!(matches!(progress, Poll::Ready(Progress::Answered(Answer::Delivered(4)))));
        assert!(!calls.end(id), "it is dropped");
    }
}
