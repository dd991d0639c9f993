//! What a request ends with that was not done.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use convoke_grid::OpError;

/// Why something was not done, or may not have been.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such key.
    NoSuchKey,
    /// The condition does not hold.
    Condition,
    /// The request makes no sense; why.
    Malformed(&'static str),
    /// The body is longer than a value may be.
    TooLong,
    /// The body did not arrive in time, or whole.
    Incomplete,
    /// Too many large bodies are on their way.
    TooMany,
    /// As much is held for all clients already as may be.
    Busy,
    /// What the grid says.
    Grid(OpError),
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::Grid(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSuchKey | Self::Grid(OpError::NoSuchKey) => StatusCode::NOT_FOUND,
            Self::Condition | Self::Grid(OpError::Changed) => StatusCode::PRECONDITION_FAILED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLong | Self::Grid(OpError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::Grid(error) => match error {
                OpError::WrongType | OpError::Held => StatusCode::CONFLICT,
                OpError::KeyTooLong => StatusCode::URI_TOO_LONG,
                OpError::Full | OpError::TooManyMaps => StatusCode::INSUFFICIENT_STORAGE,
                OpError::Indeterminate => StatusCode::GATEWAY_TIMEOUT,
                OpError::TooFewMembers { .. }
                | OpError::NoDataMember
                | OpError::NoCluster
                | OpError::Unavailable
                | OpError::Busy
                | OpError::Conflict => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            },
            Self::TooMany | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        let words = match &self {
            Self::NoSuchKey => "no such key".to_owned(),
            Self::Condition => "the condition does not hold; nothing was done".to_owned(),
            Self::Malformed(why) => (*why).to_owned(),
            Self::TooLong => OpError::TooLong.to_string(),
            Self::Incomplete => "the body did not arrive whole".to_owned(),
            Self::TooMany => "too many large bodies are on their way; nothing was done".to_owned(),
            Self::Busy => "too much is held for clients already; try again later".to_owned(),
            Self::Grid(OpError::Indeterminate) => {
                format!("INDETERMINATE {}", OpError::Indeterminate)
            }
            Self::Grid(error) => error.to_string(),
        };
        let mut response = (status, words + "\n").into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
