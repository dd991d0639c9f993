//! Errors of the harness.

use std::fmt;
use std::io;

use convoke_discovery::{CallError, EngineError, GrantError, LoadError};

/// Why a harness cannot be opened. `Debug` prints the same text as `Display`, so that `unwrap`
/// is readable.
#[derive(thiserror::Error)]
pub enum HarnessError {
    /// An invalid grant.
    #[error("{0}")]
    Grant(#[from] GrantError),
    /// Text that is not an IP address.
    #[error("{0:?} is not an IP address; expected the address of a member, such as \"10.0.0.1\"")]
    Address(String),
    /// The component cannot be read, compiled or linked with these grants.
    #[error("{0}")]
    Load(Box<LoadError>),
    /// The mode rejected its configuration, or cannot run.
    #[error("configure: {}", describe(.0))]
    Configure(CallError),
    /// This machine cannot run WebAssembly.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// A thread or a temporary folder cannot be created.
    #[error("this machine cannot run a test of a mode: {0}")]
    Machine(#[from] io::Error),
}

impl From<LoadError> for HarnessError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl fmt::Debug for HarnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text of an error, with the kind of a problem as prefix.
pub(crate) fn describe(error: &CallError) -> String {
    match error {
        CallError::Problem(problem) => format!("{}: {problem}", problem.kind()),
        error => format!("it {error}"),
    }
}
