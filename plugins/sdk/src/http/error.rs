//! Why there is no answer.

use std::fmt;

use crate::Problem;

/// Why a request has no answer. Texts are for an operator: what was asked, what
/// happened, and where it helps what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The request is none: a malformed URL or header.
    Invalid(String),
    /// No grant covers the place.
    Denied(String),
    /// It may pass: the name leads nowhere now, nothing listens, no answer in time.
    Temporary(String),
    /// The answer is longer than the request allowed.
    TooLarge(String),
    /// The answer is one, but not a success; carries the status as well.
    Status(u16, String),
    /// Anything else, in words: TLS, a broken answer.
    Other(String),
}

impl Error {
    /// The words for an operator.
    pub fn text(&self) -> &str {
        match self {
            Self::Invalid(text)
            | Self::Denied(text)
            | Self::Temporary(text)
            | Self::TooLarge(text)
            | Self::Status(_, text)
            | Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Error {}

/// What the host should do about it: `?` in a mode's calls does this.
///
/// ```
/// use convoke_mode_sdk::{Problem, http::Error};
///
/// let away = Error::Temporary("GET http://127.0.0.1:8500/: connection refused".to_owned());
/// assert!(matches!(Problem::from(away), Problem::Temporary(_)));
/// // A server that is overloaded, or has a fault, may be well a little later.
/// assert!(matches!(Problem::from(Error::Status(503, String::new())), Problem::Temporary(_)));
/// assert!(matches!(Problem::from(Error::Status(404, String::new())), Problem::Failed(_)));
/// ```
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(text) => Self::Misconfigured(text),
            Error::Denied(text) => Self::Denied(text),
            Error::Temporary(text) | Error::Status(408 | 429 | 500..=599, text) => {
                Self::Temporary(text)
            }
            Error::TooLarge(text) | Error::Status(_, text) | Error::Other(text) => {
                Self::Failed(text)
            }
        }
    }
}
