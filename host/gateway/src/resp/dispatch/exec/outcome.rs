//! Steps with scripts, and what comes of a step of either kind.

use convoke_grid::{Later, OpError, Reply, Started, StepResult};

use super::super::super::answer::CommandError;
use super::super::super::client::Client;
use super::super::super::scripts;
use super::super::super::scripts::evaluation::Code;
use super::super::super::scripts::program::{Ended, PartReply, Program};
use super::super::super::server::Server;
use super::super::super::tracking::ReadWindow;
use super::super::table::TABLE;
use super::ReplySource;

/// The replies of a step, or why it was not executed.
pub(super) type StepOutcome = Result<Vec<PartReply>, NotDone>;

/// Why a step was not executed.
pub(super) enum NotDone {
    /// A watched key has changed.
    Changed,
    Failed(CommandError),
}

impl From<OpError> for NotDone {
    fn from(error: OpError) -> Self {
        match error {
            OpError::Changed => Self::Changed,
            error => Self::Failed(error.into()),
        }
    }
}

/// A program that was not started.
pub(super) struct PlannedProgram {
    pub(super) program: Program,
    pub(super) codes: Vec<Code>,
    pub(super) home: u16,
    pub(super) sources: Vec<Option<ReplySource>>,
    /// Records changes if the keys that scripts read are noted.
    pub(super) window: Option<ReadWindow>,
}

impl PlannedProgram {
    /// Executes the program at once in this partition, if that is possible.
    pub(super) fn start_in(
        &mut self,
        client: &Client,
        partition: u16,
    ) -> Option<Later<StepOutcome>> {
        let stepped = scripts::step(&client.server, &TABLE, &self.program, &self.codes, partition);
        let StepResult::Done { result, replicated } = stepped else { return None };
        let outcome = of_program(result, (&client.server, client.lane), self.window.take());
        Some(Box::pin(async move {
            if let Some(replicated) = replicated {
                replicated.await?;
            }
            outcome
        }))
    }
}

/// The outcome of a step without scripts.
pub(super) fn of_grid(started: Started) -> Later<StepOutcome> {
    Box::pin(async move {
        let reply = match started {
            Started::Now(reply) => reply,
            Started::Later(later) => later.await,
        };
        match reply? {
            Reply::List(replies) => Ok(replies.into_iter().map(PartReply::Op).collect()),
            _ => Err(OpError::Malformed.into()),
        }
    })
}

/// The outcome of a step with scripts, of a client on this lane.
pub(super) fn of_program(
    ended: Ended,
    (server, lane): (&Server, usize),
    window: Option<ReadWindow>,
) -> StepOutcome {
    match ended {
        Ended::Done(replies, notes) => {
            notes.calls.report(server, lane);
            if let Some(window) = window {
                window.end(notes.read);
            }
            Ok(replies)
        }
        Ended::Changed => Err(NotDone::Changed),
        Ended::Failed(text) => {
            Err(NotDone::Failed(CommandError(String::from_utf8_lossy(&text).into_owned().into())))
        }
    }
}
