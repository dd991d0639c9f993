//! Why a grant is invalid.

/// The capabilities that need a grant, by their names in a grant.
const KNOWN: &str = "dns, http, kubernetes, multicast, probe, store";

/// An invalid grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// An unknown capability.
    #[error("unknown grant {0:?}; the capabilities are: {KNOWN}")]
    UnknownCapability(String),
    /// A pattern that is invalid for its capability.
    #[error("{capability} grant {pattern:?}: {reason}")]
    Malformed {
        /// The capability.
        capability: &'static str,
        /// The pattern, as written.
        pattern: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
}

impl GrantError {
    pub(super) fn malformed(
        capability: &'static str,
        pattern: &str,
        reason: impl Into<String>,
    ) -> Self {
        Self::Malformed { capability, pattern: pattern.to_owned(), reason: reason.into() }
    }
}
