//! Errors of the grid, as clients of Hazelcast know them.

use convoke_grid::OpError;
use convoke_hazelcast::error::ErrorCode;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The request, of this name, is not supported in this form.
    pub(super) fn unsupported(name: &str, what: &str) -> Self {
        Self::new(ErrorCode::UnsupportedOperation, format!("{name}: {what} is not supported"))
    }

    /// The object is of a class that members do not have: the error of a member of Hazelcast
    /// without it, after which libraries do the same on the client.
    pub(super) fn no_class(name: &str, object: &str) -> Self {
        Self::new(
            ErrorCode::HazelcastSerialization,
            format!("{name}: members run no Java, and have no class of this {object}"),
        )
    }

    /// Nothing was done; the client sends the request again after a second.
    pub(super) fn try_again(text: &str) -> Self {
        Self::new(ErrorCode::RetryableHazelcast, text)
    }

    /// The result would be too large.
    pub(super) fn result_too_large() -> Self {
        let text = format!(
            "the result would exceed {} bytes; read it in parts",
            super::settings::RESULT_BYTES_MAX
        );
        Self::new(ErrorCode::QueryResultSizeExceeded, text)
    }

    /// Appends the response.
    pub(super) fn respond(&self, output: &mut Vec<u8>, correlation_id: i64) {
        self.code.respond(output, correlation_id, &self.text);
    }
}

/// The code of an error.
fn code(error: &OpError) -> ErrorCode {
    match error {
        // Clients send the request again after a second.
        OpError::Unavailable
        | OpError::NoCluster
        | OpError::Busy
        | OpError::Conflict
        | OpError::TookTooLong
        | OpError::Held => ErrorCode::RetryableHazelcast,
        OpError::Indeterminate => ErrorCode::IndeterminateOperationState,
        OpError::TooFewMembers { .. } => ErrorCode::SplitBrainProtection,
        OpError::NoDataMember => ErrorCode::NoDataMember,
        OpError::Full => ErrorCode::ReachedMaxSize,
        OpError::AnswerTooLong => ErrorCode::QueryResultSizeExceeded,
        OpError::WrongType => ErrorCode::ClassCast,
        OpError::NoSuchIndex => ErrorCode::IndexOutOfBounds,
        OpError::TooLong | OpError::KeyTooLong | OpError::Malformed => ErrorCode::IllegalArgument,
        _ => ErrorCode::IllegalState,
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_repeat_a_request_only_if_nothing_was_done() {
        for error in [OpError::Unavailable, OpError::NoCluster, OpError::Busy, OpError::Held] {
            assert!(code(&error).is_retryable(), "{error}");
        }
        for error in [OpError::Indeterminate, OpError::Full, OpError::WrongType, OpError::TooLong] {
            assert!(!code(&error).is_retryable(), "{error}");
        }
    }
}
