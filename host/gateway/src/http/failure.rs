//! Error responses to requests for data.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use convoke_grid::OpError;

/// Why a request failed, or has an unknown outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The key does not exist.
    NoSuchKey,
    /// The condition of `If-Match` or `If-None-Match` is false.
    Condition,
    /// The request is invalid, with the reason.
    Malformed(&'static str),
    /// The body exceeds the maximum size of a value.
    TooLong,
    /// The body did not arrive completely or in time.
    Incomplete,
    /// Too many streams, or too many large bodies in transfer.
    TooMany,
    /// The memory held for clients is at its limit.
    Busy,
    /// An error of the grid.
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
        let message = match &self {
            Self::NoSuchKey => "no such key".to_owned(),
            Self::Condition => "precondition failed; nothing was done".to_owned(),
            Self::Malformed(why) => (*why).to_owned(),
            Self::TooLong => OpError::TooLong.to_string(),
            Self::Incomplete => {
                "the request body is incomplete or did not arrive in time".to_owned()
            }
            Self::TooMany => {
                "too many streams or large request bodies; nothing was done, try again later"
                    .to_owned()
            }
            Self::Busy => {
                "the memory held for clients is at its limit; nothing was done, try again later"
                    .to_owned()
            }
            Self::Grid(OpError::Indeterminate) => {
                format!("INDETERMINATE {}", OpError::Indeterminate)
            }
            Self::Grid(error) => error.to_string(),
        };
        let mut response = (status, message + "\n").into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
