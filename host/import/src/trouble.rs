//! Why a step of an import failed.

use thiserror::Error;

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Trouble {
    /// The connection was lost, or the server is busy: the step may be tried again.
    #[error("{0}")]
    Lost(String),
    /// The import cannot go on. One line for the user.
    #[error("{0}")]
    Final(String),
    /// The user has interrupted the import.
    #[error("interrupted")]
    Interrupted,
}

impl Trouble {
    /// Makes what could be tried again final: at the start, a wrong address is more likely than a
    /// server that comes back.
    pub(crate) fn at_start(self) -> String {
        self.to_string()
    }
}
