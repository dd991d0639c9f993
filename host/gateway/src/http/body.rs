//! Bodies of requests, within bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use convoke_grid::VALUE_BYTES_MAX;
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Web;
use super::failure::Failure;

/// How long a body may take to arrive.
const BODY_MS_MAX: u64 = 60_000;
/// KiB of bodies that are on their way, all together: the largest value four times.
const ROOM_KIB: usize = 4 * VALUE_BYTES_MAX / 1024;
/// How long a body waits for room.
const ROOM_MS_MAX: u64 = 5_000;

/// Room for the bodies that are on their way.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM_KIB))
}

/// Reads a body; it has its room for as long as the permit is kept.
pub(super) async fn read(
    web: &Web,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), Failure> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // What does not say how long it is may be as long as can be.
    let length = announced.and_then(|text| text.parse().ok()).unwrap_or(VALUE_BYTES_MAX);
    if length > VALUE_BYTES_MAX {
        return Err(Failure::TooLong);
    }
    let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
    let room = Arc::clone(&web.room).acquire_many_owned(kib);
    let room = tokio::time::timeout(Duration::from_millis(ROOM_MS_MAX), room).await;
    let Ok(Ok(room)) = room else { return Err(Failure::TooMany) };
    let whole = Limited::new(body, VALUE_BYTES_MAX).collect();
    let whole = tokio::time::timeout(Duration::from_millis(BODY_MS_MAX), whole).await;
    match whole {
        Ok(Ok(collected)) => Ok((collected.to_bytes(), room)),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Failure::TooLong),
        Ok(Err(_)) | Err(_) => Err(Failure::Incomplete),
    }
}
