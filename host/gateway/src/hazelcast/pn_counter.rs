//! `PNCounter`: a counter in the grid, changed by its primary.
//!
//! Hazelcast has a replica on each member, which exchange their changes; a client sends the timestamps
//! of the replicas that it has seen, so that it never reads an older state. Here there is one state,
//! whose id and number of changes are the only timestamp.

use std::sync::Arc;

use convoke_grid::op::{COUNTER_ID_BYTES, CounterOp, CounterSeen, GenericOp, KeyOp, Op};
use convoke_grid::{OpError, Reply};
use convoke_hazelcast::codec::Packed;
use convoke_hazelcast::codec::pn_counter::{Add, Get, GetConfiguredReplicaCount, Request};
use convoke_hazelcast::error::ErrorCode;
use uuid::Uuid;

use super::errors::Failure;
use super::map::{Task, denied};
use super::names;
use super::server::Server;
use super::session::{Begun, Respond, Session, start};
use super::whole::{Budget, Keys};

/// The number of replicas that is reported to clients: all members, as in Hazelcast by default.
/// They send their requests to any of these.
const REPLICAS: i32 = i32::MAX;

/// Begins a request of a counter.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    let (name, add, timestamps, respond): (_, _, _, Respond) = match request {
        Request::Get(r) => (r.name, None, r.replica_timestamps, |output, id, reply| {
            respond_with(output, id, &reply, |output, state| {
                Get::respond(output, id, 0, state.after, REPLICAS, state.timestamps());
            });
        }),
        Request::Add(r) if r.get_before_update => {
            (r.name, Some(r.delta), r.replica_timestamps, |output, id, reply| {
                respond_with(output, id, &reply, |output, state| {
                    Add::respond(output, id, 0, state.before, REPLICAS, state.timestamps());
                });
            })
        }
        Request::Add(r) => (r.name, Some(r.delta), r.replica_timestamps, |output, id, reply| {
            respond_with(output, id, &reply, |output, state| {
                Add::respond(output, id, 0, state.after, REPLICAS, state.timestamps());
            });
        }),
        Request::GetConfiguredReplicaCount(_) => {
            GetConfiguredReplicaCount::respond(output, correlation_id, 0, REPLICAS);
            return Ok(Begun::Done);
        }
    };
    if add.is_some() && !session.trust.may_write() {
        return Err(denied());
    }
    names::check(name)?;
    let op = CounterOp { add, seen: seen(timestamps)? };
    let server = Arc::clone(&session.server);
    let map = server.grid.open_system(names::COUNTERS)?;
    let partition = server.grid.partition_of(name.as_bytes());
    let op = Op::Key(name.as_bytes(), KeyOp::Counter(op));
    Ok(start(&server, output, correlation_id, (&map, partition), &op, respond))
}

/// What a client has seen.
fn seen(timestamps: Packed<'_, (Uuid, i64)>) -> Result<Option<CounterSeen>, Failure> {
    let mut all = timestamps.iter();
    let first = all.next();
    // Two ids: at least one of these states is gone.
    if all.next().is_some() {
        return Err(lost());
    }
    Ok(first.map(|(id, changes)| (*id.as_bytes(), u64::try_from(changes).unwrap_or(0))))
}

fn lost() -> Failure {
    let text = "changes of this counter that the client has seen were lost, or it was destroyed; \
                the client continues after reset()";
    Failure::new(ErrorCode::ConsistencyLost, text)
}

/// The state of a counter after an operation.
struct State {
    before: i64,
    after: i64,
    timestamp: [(Uuid, i64); 1],
}

impl State {
    fn of(reply: &Reply) -> Result<Self, Failure> {
        let Reply::List(parts) = reply else { return Err(lost()) };
        let [
            Reply::Integer(before),
            Reply::Integer(after),
            Reply::Bytes(id),
            Reply::Integer(changes),
        ] = &parts[..]
        else {
            return Err(OpError::Malformed.into());
        };
        let id = <[u8; COUNTER_ID_BYTES]>::try_from(&id[..]).map_err(|_| OpError::Malformed)?;
        let timestamp = [(Uuid::from_bytes(id), *changes)];
        Ok(Self { before: *before, after: *after, timestamp })
    }

    /// What a client has seen. Of a counter that does not exist, that is nothing.
    fn timestamps(&self) -> Packed<'_, (Uuid, i64)> {
        let count = usize::from(self.timestamp[0].1 > 0);
        Packed::from(&self.timestamp[..count])
    }
}

/// Appends the response, or the error that what the client has seen was lost.
fn respond_with(
    output: &mut Vec<u8>,
    correlation_id: i64,
    reply: &Reply,
    respond: impl FnOnce(&mut Vec<u8>, &State),
) {
    match State::of(reply) {
        Ok(state) => respond(output, &state),
        Err(failure) => failure.respond(output, correlation_id),
    }
}

/// The names of all counters of the cluster; an error if there are too many for a response.
pub(super) async fn existing(server: &Server) -> Result<Vec<String>, Failure> {
    let map = server.grid.open_system(names::COUNTERS)?;
    let (mut all, mut budget) = (Vec::new(), Budget::default());
    let mut keys = Keys::new(server, &map);
    while let Some((_, names)) = keys.next().await? {
        for name in names {
            budget.take(name.len())?;
            all.extend(String::from_utf8(name.into()));
        }
    }
    Ok(all)
}

/// Removes a counter that a client destroys.
pub(super) async fn destroy(task: &Task<'_>, name: &str) -> Result<(), Failure> {
    let map = task.server.grid.open_system(names::COUNTERS)?;
    let partition = task.server.grid.partition_of(name.as_bytes());
    let remove = KeyOp::Generic(GenericOp::Remove);
    task.server.submit_key(&map, partition, name.as_bytes(), remove).await?;
    Ok(())
}
