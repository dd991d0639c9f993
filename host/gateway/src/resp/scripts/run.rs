//! Runs a program on the member that is the primary of its home partition, and answers the requests
//! of other members that concern scripts.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke_grid::op::Op;
use convoke_grid::{OpError, Reply, Running, StepResult};
use convoke_script::{Failure, Script};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::runtime;

use super::super::answer::CommandError;
use super::super::command::CommandTable;
use super::super::routing::one_partition;
use super::super::script_cache::RunningInfo;
use super::super::server::Server;
use super::program::{Ended, Program};
use super::stepping::step;
use super::transacting::{stopped, transact};
use super::{NO_MEMORY, with_engine};

/// A request to another member.
#[derive(Debug, Serialize, Deserialize)]
enum MemberRequest {
    /// To run a program: returns how it has [`Ended`].
    Run(Program),
    /// To stop the scripts, or the functions, that it runs: returns how many there were.
    Stop { functions: bool },
    /// What it runs: returns a list of [`RunningInfo`].
    Running,
}

/// Runs a program on a thread of its own, where it may wait.
async fn run_apart(
    server: Arc<Server>,
    table: &'static CommandTable,
    program: Program,
    home: u16,
) -> Option<Ended> {
    let permits = Arc::clone(&server.scripts.permits);
    let Ok(permit) = permits.acquire_owned().await else {
        return Some(Ended::failed(&OpError::Busy));
    };
    let runtime = runtime::Handle::current();
    let ran = tokio::task::spawn_blocking(move || {
        let value = transact(&server, table, &runtime, &program, home);
        drop(permit);
        value
    });
    ran.await.unwrap_or_else(|_| Some(Ended::failed(&OpError::Indeterminate)))
}

/// The partition whose primary runs a program, and whether all its keys are there.
pub(crate) fn home<'w>(
    server: &Server,
    keys: impl Iterator<Item = &'w [u8]> + Clone,
) -> (u16, bool) {
    let grid = &server.grid;
    let mut partitions = keys.map(|key| grid.partition_of(key));
    let mut all = partitions.clone();
    let first = partitions.next();
    if let Some(first) = first
        && partitions.all(|partition| partition == first)
    {
        return (first, true);
    }
    let table = grid.table();
    let is_here = |number: &u16| {
        let partition = table.as_ref().and_then(|table| table.partitions.get(usize::from(*number)));
        partition.and_then(|partition| partition.primary()) == Some(grid.me())
    };
    match first {
        // A partition that this member leads saves the way to another.
        Some(first) => (all.find(is_here).unwrap_or(first), false),
        None => ((0..grid.partitions()).find(is_here).unwrap_or(0), false),
    }
}

/// Runs a program on the primary of its home partition.
pub(crate) async fn run(
    server: Arc<Server>,
    table: &'static CommandTable,
    program: Program,
    home: u16,
) -> Ended {
    let table_of_grid = server.grid.table();
    let primary =
        table_of_grid.as_ref().and_then(|table| table.partitions.get(usize::from(home))?.primary());
    if primary == Some(server.grid.me())
        && let Some(ended) = run_apart(Arc::clone(&server), table, program.clone(), home).await
    {
        return ended;
    }
    let database = program.databases().first().copied().unwrap_or_default();
    let map = match server.database(database) {
        Ok(map) => map,
        Err(error) => return Ended::failed(&error),
    };
    let reads = program.reads();
    let Ok(request) = postcard::to_allocvec(&MemberRequest::Run(program)) else {
        return Ended::failed(&OpError::Malformed);
    };
    match server.submit(&map, home, &Op::Request { reads, request: &request }).await {
        Ok(Reply::Bytes(bytes)) => {
            postcard::from_bytes(&bytes).unwrap_or_else(|_| Ended::failed(&OpError::Malformed))
        }
        Ok(_) => Ended::failed(&OpError::Malformed),
        Err(error) => Ended::failed(&error),
    }
}

/// Executes a request of another member.
pub(crate) fn run_request(
    server: &Arc<Server>,
    table: &'static CommandTable,
    partition: u16,
    request: &[u8],
) -> Running {
    let ready = |reply| -> Running { Box::pin(std::future::ready(Some(reply))) };
    let program = match postcard::from_bytes::<MemberRequest>(request) {
        Ok(MemberRequest::Run(program)) => program,
        Ok(MemberRequest::Stop { functions }) => {
            return ready(Ok(Reply::count(server.scripts.stop_all(functions))));
        }
        Ok(MemberRequest::Running) => {
            let running = postcard::to_allocvec(&server.scripts.running());
            return ready(
                running.map(|bytes| Reply::Bytes(bytes.into())).map_err(|_| OpError::Malformed),
            );
        }
        Err(_) => return ready(Err(OpError::Malformed)),
    };
    let server = Arc::clone(server);
    Box::pin(async move {
        if let Ok(Some(here)) = one_partition(&server.grid, &program.keys(table))
            && here == partition
            && let Ok(codes) = program.codes()
            && let StepResult::Done { result, replicated } =
                step(&server, table, &program, &codes, partition)
        {
            let replicated = match replicated {
                Some(replicated) => replicated.await,
                None => Ok(Reply::Done),
            };
            return Some(replicated.and_then(|_| sent(&result)));
        }
        let ended = run_apart(server, table, program, partition).await?;
        Some(sent(&ended))
    })
}

/// Asks each member that runs scripts, which are the primaries. One that does not answer is left
/// out.
async fn ask_all(server: &Arc<Server>, asked: &MemberRequest) -> Result<Vec<Reply>, OpError> {
    let request = postcard::to_allocvec(asked).map_err(|_| OpError::Malformed)?;
    let map = server.database(0)?;
    let table = server.grid.table().ok_or(OpError::Unavailable)?;
    let mut partitions = BTreeMap::new();
    for (number, partition) in (0..).zip(&table.partitions) {
        if let Some(primary) = partition.primary() {
            partitions.entry(primary).or_insert(number);
        }
    }
    let op = Op::Request { reads: true, request: &request };
    let all = partitions.into_values().map(|partition| server.submit(&map, partition, &op));
    let all: Vec<_> = all.collect();
    Ok(join_all(all).await.into_iter().filter_map(Result::ok).collect())
}

/// Stops the scripts, or the functions, that any member runs. Returns whether there were any.
pub(super) async fn stop(server: &Arc<Server>, functions: bool) -> Result<bool, OpError> {
    let replies = ask_all(server, &MemberRequest::Stop { functions }).await?;
    Ok(replies.iter().any(|reply| matches!(reply, Reply::Integer(1..))))
}

/// What all members run.
pub(super) async fn running(server: &Arc<Server>) -> Result<Vec<RunningInfo>, OpError> {
    let mut all: Vec<RunningInfo> = Vec::new();
    for reply in ask_all(server, &MemberRequest::Running).await? {
        let Reply::Bytes(bytes) = reply else { return Err(OpError::Malformed) };
        all.extend(postcard::from_bytes::<Vec<_>>(&bytes).map_err(|_| OpError::Malformed)?);
    }
    Ok(all)
}

fn sent(ended: &Ended) -> Result<Reply, OpError> {
    let bytes = postcard::to_allocvec(ended).map_err(|_| OpError::Malformed)?;
    Ok(Reply::Bytes(bytes.into()))
}

/// Whether a source can be compiled.
pub(super) fn check(script: &Script) -> Result<(), CommandError> {
    let failed = |failure: Failure| match stopped(failure) {
        Ended::Failed(text) => CommandError(String::from_utf8_lossy(&text).into_owned().into()),
        _ => CommandError::SYNTAX,
    };
    let checked = with_engine(|engine| engine.check(script));
    checked.unwrap_or_else(|_| Err(Failure::Error(NO_MEMORY.into()))).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::program::tests::programs;
    use super::*;

    /// A request on its way to the member that executes it.
    #[test]
    fn fuzz_member_request() {
        let mut samples: Vec<MemberRequest> =
            programs().into_iter().map(MemberRequest::Run).collect();
        samples.extend([MemberRequest::Stop { functions: true }, MemberRequest::Running]);
        let samples: Vec<_> =
            samples.iter().map(|sample| postcard::to_allocvec(sample).unwrap()).collect();
        convoke_harness::check!(&samples, |bytes| {
            let Ok(request) = postcard::from_bytes::<MemberRequest>(bytes) else { return };
            let encoded = postcard::to_allocvec(&request).unwrap();
            let again = postcard::from_bytes::<MemberRequest>(&encoded).expect("its own encoding");
            assert_eq!(postcard::to_allocvec(&again).unwrap(), encoded);
        });
    }
}
