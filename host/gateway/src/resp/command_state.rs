//! The states of a command that was started.

use std::future::Future;
use std::pin::Pin;

use convoke_grid::Reply;

use super::answer::{Answer, CommandError, PendingAnswer};
use super::client::Client;

/// The next step of a command, run once what it waited for is available.
pub(crate) type Continuation = Box<dyn FnOnce(&mut Client) -> CommandState + Send>;

/// The state of a command after it was started.
pub(crate) enum CommandState {
    /// The reply is available.
    Ready(Answer),
    /// In progress. Later commands of the client may start meanwhile.
    Pending(PendingAnswer),
    /// In progress. The client's next command starts after it has completed.
    Barrier(PendingAnswer),
    /// Blocked until an event occurs or a timeout expires, possibly forever. A barrier.
    Blocking(PendingAnswer),
    /// In progress, with another step that needs the client's state. A barrier.
    Continue(Pin<Box<dyn Future<Output = Continuation> + Send>>),
    /// Starts once all earlier commands of the client are answered. A barrier. Its keys are in
    /// several partitions, and commands in progress may reach those partitions in any order.
    WhenIdle(Continuation),
    /// The reply is available, and the connection is closed after it.
    Close(Answer),
}

/// The outcome of a command that was started, or why it was not.
pub(crate) type CommandResult = Result<CommandState, CommandError>;

impl From<Reply> for CommandState {
    fn from(reply: Reply) -> Self {
        Self::Ready(Answer::Reply(reply))
    }
}

impl From<Answer> for CommandState {
    fn from(answer: Answer) -> Self {
        Self::Ready(answer)
    }
}

impl From<CommandError> for CommandState {
    fn from(error: CommandError) -> Self {
        Self::Ready(error.into())
    }
}
