//! The commands of one connection that are in progress.
//!
//! Commands start as they are read and may complete in any order; their replies are put back in
//! the order of the requests here. A command that is a barrier prevents later commands from
//! starting.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::answer::{Answer, PendingAnswer};
use super::client::Client;
use super::command_state::{CommandState, Continuation};
use super::encode::Protocol;
use super::stats::InProgress;

/// Maximum number of commands of one client in progress.
const PIPELINE_MAX: usize = 1_024;
/// Maximum size of requests in progress, in bytes, and of their replies, estimated by the largest
/// recent one. No further command starts beyond it.
const PIPELINE_BYTES_MAX: usize = 8 << 20;
/// A request in progress is held twice: here, and while it is sent to another member.
const REQUEST_COPIES: usize = 2;
/// Estimated size of a reply, in bytes, before there was one.
const ANSWER_BYTES_INITIAL: usize = 256 * 1_024;
/// Unsent output, in bytes, beyond which no further command starts.
pub(super) const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// A command in progress, with the replies of later commands that have completed already.
struct Pending {
    awaited: Awaited,
    protocol: Protocol,
    is_silent: bool,
    /// Size of its request, in bytes.
    request_bytes: usize,
    queued_output: Vec<u8>,
    /// What statistics note of it; `None` if they note nothing.
    noted: Option<InProgress>,
}

/// What a command in progress waits for.
enum Awaited {
    /// Its reply.
    Answer(PendingAnswer),
    /// Its next step.
    Continuation(Pin<Box<dyn Future<Output = Continuation> + Send>>),
}

/// The commands in progress; see the [module](self).
pub(super) struct Pipeline {
    pending: VecDeque<Pending>,
    /// Total size of the requests in `pending`, in bytes.
    pending_bytes: usize,
    /// Total size of the replies kept in `pending`, in bytes.
    queued_output_bytes: usize,
    /// Size of the largest recent reply of a command that did not complete at once, in bytes;
    /// decays.
    answer_bytes: usize,
    /// The last command must complete before the next one starts.
    has_barrier: bool,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            pending: VecDeque::new(),
            pending_bytes: 0,
            queued_output_bytes: 0,
            answer_bytes: ANSWER_BYTES_INITIAL,
            has_barrier: false,
        }
    }
}

impl Pipeline {
    /// Whether no command is in progress.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether the only command in progress is blocked.
    #[inline]
    pub(super) fn is_only_blocked(&self, client: &Client) -> bool {
        self.pending.len() == 1 && client.info.is_blocked.load(Ordering::Relaxed)
    }

    /// Whether there is room for messages behind the replies that are kept back.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.queued_output_bytes < OUTPUT_BYTES_MAX
    }

    /// Whether the last command must complete before the next one starts.
    #[inline]
    pub(super) fn has_barrier(&self) -> bool {
        self.has_barrier
    }

    /// Whether no further command starts until pending ones are answered. `unsent` is the size of
    /// the replies that were not sent yet, in bytes.
    #[inline]
    pub(super) fn is_full(&self, unsent: usize) -> bool {
        let commands_max = (PIPELINE_BYTES_MAX / self.answer_bytes.max(1)).clamp(1, PIPELINE_MAX);
        self.pending.len() >= commands_max
            || self.pending_bytes >= PIPELINE_BYTES_MAX
            || unsent + self.queued_output_bytes >= OUTPUT_BYTES_MAX
    }

    /// Memory held for the commands in progress, in bytes.
    #[inline]
    pub(super) fn held_bytes(&self) -> usize {
        REQUEST_COPIES * self.pending_bytes + self.queued_output_bytes
    }

    /// Passes the buffer for a reply that is available at once: after those of all earlier
    /// commands.
    #[inline]
    pub(super) fn with_sink<R>(
        &mut self,
        output: &mut Vec<u8>,
        work: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let Some(last) = self.pending.back_mut() else { return work(output) };
        let before = last.queued_output.len();
        let result = work(&mut last.queued_output);
        self.queued_output_bytes += last.queued_output.len() - before;
        result
    }

    /// Writes the reply of a command, or keeps the command as pending. `request_bytes` is the size
    /// of its request. Returns whether the connection is closed after the reply.
    #[inline]
    pub(super) fn track(
        &mut self,
        outcome: CommandState,
        request_bytes: usize,
        client: &mut Client,
        output: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> bool {
        let is_silent = client.is_silent();
        let noted = client.in_progress.take();
        // The protocol of the request: the command may change it.
        let protocol = client.protocol;
        let is_first = self.pending.is_empty();
        match advance(outcome, client, context, is_first) {
            Progress::Done(answer, is_last) => {
                if let Some(noted) = noted {
                    client.note_completed(&noted, &answer);
                    if ends_connection(&noted, &answer) {
                        return true;
                    }
                }
                // Confirmations of subscriptions are sent even to a client that turned replies off.
                if !is_silent || answer.is_push() {
                    let protocol = client.protocol;
                    self.with_sink(output, |sink| answer.write(sink, protocol));
                }
                is_last
            }
            Progress::Pending { awaited, is_barrier, is_blocked } => {
                self.has_barrier = is_barrier;
                client.info.is_blocked.store(is_blocked, Ordering::Relaxed);
                self.pending_bytes += request_bytes;
                self.pending.push_back(Pending {
                    awaited,
                    protocol,
                    is_silent,
                    request_bytes,
                    queued_output: Vec::new(),
                    noted,
                });
                false
            }
        }
    }

    /// Writes the reply of the first command if it has completed. Returns whether the connection
    /// is closed after it; `None` if the command is in progress or there is none.
    pub(super) fn collect_next(
        &mut self,
        client: &mut Client,
        output: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> Option<bool> {
        let first = self.pending.front_mut()?;
        let outcome = match &mut first.awaited {
            Awaited::Answer(later) => {
                let Poll::Ready(answer) = later.as_mut().poll(context) else { return None };
                CommandState::Ready(answer)
            }
            Awaited::Continuation(next) => {
                let Poll::Ready(next) = next.as_mut().poll(context) else { return None };
                let before = client.protocol;
                let outcome = next(client);
                if client.protocol != before {
                    // `HELLO` in a transaction.
                    first.protocol = client.protocol;
                }
                outcome
            }
        };
        let (answer, is_last) = match advance(outcome, client, context, true) {
            Progress::Done(answer, is_last) => (answer, is_last),
            Progress::Pending { awaited, is_blocked, .. } => {
                first.awaited = awaited;
                if self.pending.len() == 1 {
                    client.info.is_blocked.store(is_blocked, Ordering::Relaxed);
                }
                return None;
            }
        };
        let mut is_written = !first.is_silent || answer.is_push();
        let mut is_last = is_last;
        if let Some(noted) = first.noted.take() {
            client.note_completed(&noted, &answer);
            if ends_connection(&noted, &answer) {
                (is_written, is_last) = (false, true);
            }
        }
        let before = output.len();
        if is_written {
            answer.write(output, first.protocol);
        }
        let bytes = output.len() - before;
        self.answer_bytes = bytes.max(self.answer_bytes - self.answer_bytes / 8);
        output.extend_from_slice(&first.queued_output);
        self.queued_output_bytes -= first.queued_output.len();
        self.pending_bytes -= first.request_bytes;
        self.pending.pop_front();
        if self.pending.is_empty() {
            self.has_barrier = false;
            client.info.is_blocked.store(false, Ordering::Relaxed);
        }
        Some(is_last)
    }
}

/// Whether the connection is closed instead of answering a blocking command: its outcome is unknown
/// since a member was lost. When a Redis fails, its clients lose their connection, and workers that
/// wait for elements (of Celery, of RQ) wait again on a new one; an error reply ends them.
fn ends_connection(command: &InProgress, answer: &Answer) -> bool {
    command.is_blocking && answer.is_indeterminate()
}

/// Progress of a command.
enum Progress {
    /// Completed. The flag says whether the connection is closed after the reply.
    Done(Answer, bool),
    /// In progress.
    Pending { awaited: Awaited, is_barrier: bool, is_blocked: bool },
}

/// Runs a command until it completes or has to wait. What it waits for is polled once, so that it
/// is sent before the next command starts. `is_first` means that all earlier commands are answered.
fn advance(
    mut outcome: CommandState,
    client: &mut Client,
    context: &mut Context<'_>,
    is_first: bool,
) -> Progress {
    // The client's next commands would reach its keys by other ways, and overtake it.
    let mut was_idle = false;
    loop {
        let (mut later, is_barrier, is_blocked) = match outcome {
            CommandState::Ready(answer) => return Progress::Done(answer, false),
            CommandState::Close(answer) => return Progress::Done(answer, true),
            CommandState::Pending(later) => (later, false, false),
            CommandState::Barrier(later) => (later, true, false),
            CommandState::Blocking(later) => (later, true, true),
            CommandState::WhenIdle(next) if is_first => {
                was_idle = true;
                outcome = next(client);
                continue;
            }
            CommandState::WhenIdle(next) => {
                let awaited = Awaited::Continuation(Box::pin(std::future::ready(next)));
                return Progress::Pending { awaited, is_barrier: true, is_blocked: false };
            }
            CommandState::Continue(mut next) => match next.as_mut().poll(context) {
                Poll::Ready(next) => {
                    outcome = next(client);
                    continue;
                }
                Poll::Pending => {
                    let awaited = Awaited::Continuation(next);
                    return Progress::Pending { awaited, is_barrier: true, is_blocked: false };
                }
            },
        };
        return match later.as_mut().poll(context) {
            Poll::Ready(answer) => Progress::Done(answer, false),
            Poll::Pending => {
                let (awaited, is_barrier) = (Awaited::Answer(later), is_barrier || was_idle);
                Progress::Pending { awaited, is_barrier, is_blocked }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Instant;

    use convoke_grid::{OpError, Reply};

    use super::*;
    use crate::resp::slow_log::KeptArguments;
    use crate::testing::{client_of, server_on, single_member_grid, with_request};
    use crate::trust::Trust;

    /// The output after a command whose reply is `reply`, and whether the connection is closed.
    fn completed(is_blocking: bool, reply: Result<Reply, OpError>) -> (bool, bool, Option<bool>) {
        let server = server_on(single_member_grid(), crate::trust::Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        client.in_progress = Some(InProgress {
            command: 0,
            started: Instant::now(),
            is_fast: false,
            is_blocking,
            arguments: with_request(&[b"blpop"], KeptArguments::of),
        });
        let (mut pipeline, mut output) = (Pipeline::default(), Vec::new());
        let mut context = Context::from_waker(Waker::noop());
        let mut is_polled = false;
        let later = std::future::poll_fn(move |_| {
            if std::mem::replace(&mut is_polled, true) {
                Poll::Ready(Answer::from(reply.clone()))
            } else {
                Poll::Pending
            }
        });
        let state = CommandState::Blocking(Box::pin(later));
        let is_last = pipeline.track(state, 10, &mut client, &mut output, &mut context);
        let collected = pipeline.collect_next(&mut client, &mut output, &mut context);
        (output.is_empty(), is_last, collected)
    }

    #[tokio::test]
    async fn a_blocking_command_with_an_unknown_outcome_ends_the_connection() {
        let unknown = || Err(OpError::Indeterminate);
        assert_eq!(completed(true, unknown()), (true, false, Some(true)));
        assert_eq!(completed(false, unknown()), (false, false, Some(false)));
        assert_eq!(completed(true, Err(OpError::WrongType)), (false, false, Some(false)));
        assert_eq!(completed(true, Ok(Reply::Nil)), (false, false, Some(false)));
    }

    #[tokio::test]
    async fn a_transaction_replies_in_the_protocol_that_it_selects() {
        let server = server_on(single_member_grid(), crate::trust::Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let (mut pipeline, mut output) = (Pipeline::default(), Vec::new());
        let mut context = Context::from_waker(Waker::noop());
        let mut is_polled = false;
        let later = std::future::poll_fn(move |_| {
            if !std::mem::replace(&mut is_polled, true) {
                return Poll::Pending;
            }
            let next: Continuation = Box::new(|client| {
                client.set_protocol(Protocol::Resp3);
                Answer::Map(Vec::new()).into()
            });
            Poll::Ready(next)
        });
        let state = CommandState::Continue(Box::pin(later));
        pipeline.track(state, 10, &mut client, &mut output, &mut context);
        assert_eq!(output, b"");
        pipeline.collect_next(&mut client, &mut output, &mut context);
        assert_eq!(output, b"%0\r\n");
    }
}
