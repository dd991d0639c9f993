//! Why there is no mode to test.

use std::fmt;
use std::io;

use convoke_discovery::{CallError, EngineError, GrantError, LoadError};

/// Why a harness does not open. Its `Debug` is its text, so that `unwrap` says it plainly.
#[derive(thiserror::Error)]
pub enum HarnessError {
    /// A grant cannot be read.
    #[error("{0}")]
    Grant(#[from] GrantError),
    /// Text that should be an IP address.
    #[error("{0:?} is not an IP address, where a member's is expected, such as \"10.0.0.1\"")]
    Address(String),
    /// The component cannot be read, compiled or linked with these grants.
    #[error("{0}")]
    Load(Box<LoadError>),
    /// The mode refused its configuration, or cannot run.
    #[error("configure: {}", in_words(.0))]
    Configure(CallError),
    /// This machine cannot run WebAssembly.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// This machine has no thread or no temporary folder left.
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

/// A problem with its case in front, or what happened to the mode.
pub(crate) fn in_words(error: &CallError) -> String {
    match error {
        CallError::Problem(problem) => format!("{}: {problem}", problem.kind()),
        error => format!("it {error}"),
    }
}
