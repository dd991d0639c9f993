//! Errors of HTTP requests.

use std::fmt;

use crate::Problem;

/// Why a request failed. The texts are for an operator: the request, what happened, and a hint
/// where it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The request is invalid: a malformed URL or header.
    Invalid(String),
    /// No grant covers the server.
    Denied(String),
    /// The failure may be temporary: the name does not resolve, nothing listens on the port, or
    /// there is no response in time.
    Temporary(String),
    /// The response is larger than the request allows.
    TooLarge(String),
    /// The response has an unsuccessful status; carries the status and a text.
    Status(u16, String),
    /// Any other failure, such as a TLS error or an invalid response; carries a text.
    Other(String),
}

impl Error {
    /// The text for an operator.
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

/// Maps an error to the problem that the host should see, so that `?` works in a mode's calls.
///
/// ```
/// use convoke_mode_sdk::{Problem, http::Error};
///
/// let refused = Error::Temporary("GET http://127.0.0.1:8500/: connection refused".to_owned());
/// assert!(matches!(Problem::from(refused), Problem::Temporary(_)));
/// // An overloaded or faulty server may recover soon.
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
