//! Request and response bodies, with limits on size, time and memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use convoke_grid::VALUE_BYTES_MAX;
use futures_util::stream;
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::OwnedSemaphorePermit;

use super::failure::Failure;
use super::web::Web;
use crate::ledger::{Account, FREE_BYTES};

/// Time for a request body to arrive, in milliseconds.
const BODY_MS_MAX: u64 = 60_000;
/// How long a request waits for its share of that limit, in milliseconds.
const BODY_WAIT_MS_MAX: u64 = 5_000;

/// Reads a request body. The permit holds its share of the memory until it is dropped.
pub(super) async fn read(
    web: &Web,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), Failure> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // A body without a length may be as long as the maximum.
    let length = announced.and_then(|text| text.parse().ok()).unwrap_or(VALUE_BYTES_MAX);
    if length > VALUE_BYTES_MAX {
        return Err(Failure::TooLong);
    }
    let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
    let body_budget = Arc::clone(&web.body_budget).acquire_many_owned(kib);
    let body_budget =
        tokio::time::timeout(Duration::from_millis(BODY_WAIT_MS_MAX), body_budget).await;
    let Ok(Ok(body_budget)) = body_budget else { return Err(Failure::TooMany) };
    let whole = Limited::new(body, VALUE_BYTES_MAX).collect();
    let whole = tokio::time::timeout(Duration::from_millis(BODY_MS_MAX), whole).await;
    match whole {
        Ok(Ok(collected)) => Ok((collected.to_bytes(), body_budget)),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Failure::TooLong),
        Ok(Err(_)) | Err(_) => Err(Failure::Incomplete),
    }
}

/// Chunk size of a response body, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Returns a value as a response body. It counts as memory held for the client until it is sent.
///
/// # Errors
/// [`Failure::Busy`] if the memory held for clients is at its limit.
pub(super) fn answer(web: &Web, value: Bytes) -> Result<Response, Failure> {
    if value.len() <= FREE_BYTES {
        return Ok(value.into_response());
    }
    let ledger = &web.pubsub.ledger;
    if ledger.is_full() {
        return Err(Failure::Busy);
    }
    let mut account = Account::new(ledger);
    account.set(value.len());
    let length = value.len();
    let pieces = stream::unfold((value, account), async |(mut value, mut account)| {
        if value.is_empty() {
            return None;
        }
        let piece = value.split_to(value.len().min(PIECE_BYTES));
        account.set(value.len());
        Some((Ok::<_, Infallible>(piece), (value, account)))
    });
    let length = [(header::CONTENT_LENGTH, length)];
    Ok((length, Body::from_stream(pieces)).into_response())
}
