//! Locks of keys.

use convoke_grid::op::{LeaseOp, Op};
use convoke_grid::{OpError, Reply};
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::error::ErrorCode;

use super::super::clients::{LEASE_MS, Lock, Reference};
use super::super::errors::Failure;
use super::super::settings::INVOCATION_MS_MAX;
use super::tasks::{Place, Retry, Task, respond_empty};

/// Whether a request is about the lock of a key.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Lock(_)
            | Request::TryLock(_)
            | Request::IsLocked(_)
            | Request::Unlock(_)
            | Request::ForceUnlock(_)
    )
}

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match request {
        Request::Lock(r) => {
            let place = task.place(r.name, r.key)?;
            let reference = reference(r.thread_id, r.reference_id, false);
            lock_or_fail(task, place, reference, r.ttl).await?;
            respond_empty(task, request);
        }
        Request::TryLock(r) => {
            let place = task.place(r.name, r.key)?;
            let reference = reference(r.thread_id, r.reference_id, false);
            let wait_ms = u64::try_from(r.timeout).unwrap_or(0);
            let is_locked = lock(task, place, reference, r.lease, wait_ms).await?;
            map::TryLock::respond(&mut task.output, task.correlation_id, 0, is_locked);
        }
        Request::IsLocked(r) => {
            let place = task.place(r.name, r.key)?;
            let is_locked = is_locked(task, &place).await?;
            map::IsLocked::respond(&mut task.output, task.correlation_id, 0, is_locked);
        }
        Request::Unlock(r) => {
            let place = task.place(r.name, r.key)?;
            unlock(task, place, reference(r.thread_id, r.reference_id, true)).await?;
            respond_empty(task, request);
        }
        Request::ForceUnlock(r) => {
            let place = task.place(r.name, r.key)?;
            force_unlock(task, &place).await?;
            respond_empty(task, request);
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

pub(in super::super) fn reference(thread_id: i64, reference_id: i64, is_unlock: bool) -> Reference {
    Reference { thread_id, reference_id, is_unlock }
}

/// Whether any thread has locked a key.
pub(in super::super) async fn is_locked(task: &Task<'_>, place: &Place) -> Result<bool, Failure> {
    Ok(submit(task, place, LeaseOp::Holder).await? != Reply::Nil)
}

/// Unlocks a key, regardless of who has locked it.
pub(in super::super) async fn force_unlock(task: &Task<'_>, place: &Place) -> Result<(), Failure> {
    submit(task, place, LeaseOp::Break).await?;
    task.server.clients.release_key(&place.map, &place.key);
    Ok(())
}

/// Locks a key, as [`lock`] does, within the time for which a client waits.
pub(in super::super) async fn lock_or_fail(
    task: &Task<'_>,
    place: Place,
    reference: Reference,
    lease: i64,
) -> Result<(), Failure> {
    if lock(task, place, reference, lease, INVOCATION_MS_MAX).await? {
        return Ok(());
    }
    let text = "the lock was not released within the time of an invocation";
    Err(Failure::new(ErrorCode::OperationTimeout, text))
}

async fn submit(task: &Task<'_>, place: &Place, op: LeaseOp<'_>) -> Result<Reply, OpError> {
    task.server.submit(&place.map, place.partition, &Op::Lease(&place.key, op)).await
}

/// Locks a key, for `lease` milliseconds if that is positive. Returns whether it was locked within
/// `wait_ms`.
pub(in super::super) async fn lock(
    task: &Task<'_>,
    place: Place,
    reference: Reference,
    lease: i64,
    wait_ms: u64,
) -> Result<bool, Failure> {
    if let Some(result) = task.client.known_result(reference) {
        return Ok(result);
    }
    let limited_ms = u64::try_from(lease).ok().filter(|lease| (1..i64::MAX as u64).contains(lease));
    if limited_ms.is_none() && !task.client.may_hold() {
        let text = "this client holds too many locks";
        return Err(Failure::new(ErrorCode::IllegalState, text));
    }
    let owner = task.client.owner(reference.thread_id);
    let lease_ms = limited_ms.unwrap_or(LEASE_MS);
    let lock = Lock {
        map: std::sync::Arc::clone(&place.map),
        partition: place.partition,
        key: place.key.as_slice().into(),
        owner,
    };
    if limited_ms.is_none() {
        // Before the lease begins: it may be granted after the connection is closed, and is released
        // with the locks of the client.
        task.client.hold(lock.clone(), false, task.server.elapsed_ms());
    }
    let mut retry = Retry::new(task.server, &place.map, wait_ms);
    let is_locked = loop {
        match submit(task, &place, LeaseOp::Hold { owner: &owner, lease_ms }).await? {
            Reply::Integer(0) => match retry.next().await {
                Ok(true) => {}
                Ok(false) => break false,
                Err(destroyed) => {
                    task.client.forget(&lock);
                    return Err(destroyed);
                }
            },
            _ => break true,
        }
    };
    task.client.remember(reference, is_locked);
    if limited_ms.is_none() {
        if is_locked {
            // Also if it was found that the owner did not hold it, while the request was waiting.
            task.client.hold(lock, true, task.server.elapsed_ms());
        } else {
            task.client.forget(&lock);
        }
    }
    Ok(is_locked)
}

/// Unlocks a key once.
pub(in super::super) async fn unlock(
    task: &Task<'_>,
    place: Place,
    reference: Reference,
) -> Result<(), Failure> {
    if task.client.known_result(reference).is_some() {
        return Ok(());
    }
    let owner = task.client.owner(reference.thread_id);
    let left = match submit(task, &place, LeaseOp::Release { owner: &owner }).await {
        Err(OpError::Held) => {
            let text = "this thread does not hold the lock of the key";
            return Err(Failure::new(ErrorCode::IllegalMonitorState, text));
        }
        left => left?,
    };
    task.client.remember(reference, true);
    if left == Reply::Integer(0) {
        let Place { map, partition, key, .. } = place;
        task.client.release(&Lock { map, partition, key: key.into(), owner });
    }
    Ok(())
}
