//! `FlakeIdGenerator`: batches of ids of this member.

use std::time::Duration;

use convoke_hazelcast::codec::flake_id::{NewIdBatch, Request};
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;
use super::id_generator::{INCREMENT, IdError};
use super::map::{Task, denied};
use super::names;
use super::session::{Begun, Session};
use super::settings::INVOCATION_MS_MAX;

/// Maximum number of ids in a batch.
const BATCH_MAX: u32 = 100_000;

/// Begins a request of a generator of ids.
pub(super) fn begin(session: &Session, request: &Request<'_>) -> Result<Begun, Failure> {
    let Request::NewIdBatch(r) = request;
    if !session.trust.may_write() {
        return Err(denied());
    }
    names::check(r.name)?;
    count(r)?;
    Ok(Begun::Task)
}

fn count(request: &NewIdBatch<'_>) -> Result<u32, Failure> {
    let count = u32::try_from(request.batch_size).ok();
    count.filter(|count| (1..=BATCH_MAX).contains(count)).ok_or_else(|| {
        let text = format!("a batch has 1 to {BATCH_MAX} ids");
        Failure::new(ErrorCode::IllegalArgument, text)
    })
}

/// Executes a request of a generator of ids.
pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let Request::NewIdBatch(r) = request;
    let (server, count) = (task.server, count(r)?);
    let reserved = server.id_generator.reserve(&server.grid, count, INVOCATION_MS_MAX / 2).await;
    let batch = reserved.map_err(|error| match error {
        IdError::Grid(error) => error.into(),
        IdError::TooMany => Failure::try_again("too many ids were requested at once"),
        IdError::NoNumber => {
            let text = "all numbers of members that generate ids are in use";
            Failure::new(ErrorCode::FlakeIdNodeIdOutOfRange, text)
        }
        IdError::Clock => {
            let text = "the clock is outside the range of ids, which begins in 2018";
            Failure::new(ErrorCode::Hazelcast, text)
        }
    })?;
    if batch.wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(batch.wait_ms)).await;
    }
    let (output, id) = (&mut task.output, task.correlation_id);
    NewIdBatch::respond(output, id, 0, batch.base, INCREMENT, r.batch_size);
    Ok(())
}
