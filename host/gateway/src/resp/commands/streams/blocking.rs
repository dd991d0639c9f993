//! `XREAD` and `XREADGROUP` that block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_grid::op::{KeyOp, MapOp, Op, ReadFrom, SeveralOp, StreamOp, StreamRead};
use convoke_grid::{ClientTraits, Later, Map, OpError, Reply, Started};
use futures_util::future::select_all;

use super::ids::id;
use crate::resp::answer::{Answer, CommandError};
use crate::resp::client::{Client, with_traits};
use crate::resp::command_state::{CommandResult, CommandState};
use crate::resp::routing::{check_slot, one_partition};
use crate::resp::server::Server;

/// What `XREAD` reads.
struct Reading {
    server: Arc<Server>,
    map: Arc<Map>,
    streams: Vec<(Vec<u8>, ReadFrom)>,
    count: u64,
    wait: Option<Duration>,
    since: Instant,
    traits: ClientTraits,
}

/// The reply of a read that may have waited.
fn answer(reply: Result<Reply, OpError>) -> Answer {
    match reply {
        Ok(Reply::Nil) => Answer::Reply(Reply::NilList),
        reply => reply.into(),
    }
}

/// Starts a read that blocks, of streams in any partitions; as a consumer, of streams in one
/// partition.
pub(crate) fn start(client: &Client, op: &Op<'_>, wait: Option<Duration>) -> CommandResult {
    let server = &client.server;
    let keys = op.keys();
    if server.settings.redis_cluster {
        check_slot(server, keys.iter().copied())?;
    }
    let partition = one_partition(&server.grid, &keys)?;
    let later = match (op, partition) {
        (Op::Several(SeveralOp::ReadStreams { streams, count }), _) => {
            // The ends of streams are determined before the client waits.
            let ends = streams.iter().enumerate().filter(|(_, read)| read.from == ReadFrom::End);
            let ends = ends.map(|(at, read)| {
                let last = Op::Key(read.key, KeyOp::Stream(StreamOp::Last));
                let last = with_traits(last, client.traits());
                let partition = server.grid.partition_of(read.key);
                (at, server.submit(&client.map, partition, &last))
            });
            let ends = ends.collect();
            let reading = Reading {
                server: Arc::clone(server),
                map: Arc::clone(&client.map),
                streams: streams.iter().map(|read| (read.key.to_vec(), read.from)).collect(),
                count: *count,
                wait,
                since: Instant::now(),
                traits: client.traits(),
            };
            Box::pin(reading.run(ends))
        }
        (_, Some(partition)) => {
            let op = with_traits(op.clone(), client.traits());
            server.grid.block(&client.map, partition, &op, wait)
        }
        (_, None) => return Err(CommandError::CROSS_SLOT),
    };
    Ok(CommandState::Blocking(Box::pin(async move { answer(later.await) })))
}

/// The operation that reads these streams for a client.
fn read(streams: &[(Vec<u8>, ReadFrom)], count: u64, traits: ClientTraits) -> Op<'_> {
    let streams = streams.iter().map(|(key, from)| StreamRead { key, from: *from }).collect();
    with_traits(Op::Several(SeveralOp::ReadStreams { streams, count }), traits)
}

impl Reading {
    /// Waits until one of the streams has an entry. `ends` are the last IDs of those of which only
    /// later entries are read.
    async fn run(
        mut self,
        ends: Vec<(usize, Later<Result<Reply, OpError>>)>,
    ) -> Result<Reply, OpError> {
        for (at, end) in ends {
            let Reply::Bytes(last) = end.await? else { return Err(OpError::Malformed) };
            let last = id(&last, 0).map_err(|_| OpError::Malformed)?;
            self.streams[at].1 = ReadFrom::After(last);
        }
        let Self { server, map, streams, count, wait, since, traits } = self;
        let grid = &server.grid;
        let left = || wait.map(|wait| wait.saturating_sub(since.elapsed()));
        let keys: Vec<&[u8]> = streams.iter().map(|(key, _)| &key[..]).collect();
        if let Ok(Some(partition)) = one_partition(grid, &keys) {
            return grid.block(&map, partition, &read(&streams, count, traits), left()).await;
        }
        let each = || {
            streams.iter().map(|stream| {
                let one = read(std::slice::from_ref(stream), count, traits);
                (grid.partition_of(&stream.0), one)
            })
        };
        loop {
            let mut found = Vec::new();
            for (partition, op) in each() {
                if let Reply::ByKey(entries) = server.submit(&map, partition, &op).await? {
                    found.extend(entries);
                }
            }
            if !found.is_empty() {
                return Ok(Reply::ByKey(found));
            }
            let left = left();
            if left == Some(Duration::ZERO) {
                return Ok(Reply::NilList);
            }
            let waiting = each().map(|(partition, op)| grid.block(&map, partition, &op, left));
            let (first, ..) = select_all(waiting).await;
            first?;
        }
    }
}

/// Reads streams in several partitions as a consumer, as soon as one of them has an entry.
pub(crate) fn read_as_consumer(
    client: &Client,
    op: &Op<'_>,
    wait: Option<Duration>,
) -> CommandState {
    let &Op::Several(SeveralOp::ReadGroup { group, consumer, ref streams, count, acknowledged }) =
        op
    else {
        return CommandState::Ready(CommandError::CROSS_SLOT.into());
    };
    let (server, map) = (Arc::clone(&client.server), Arc::clone(&client.map));
    let (group, consumer) = (group.to_vec(), consumer.to_vec());
    let streams: Vec<(Vec<u8>, ReadFrom)> =
        streams.iter().map(|read| (read.key.to_vec(), read.from)).collect();
    let (since, traits) = (Instant::now(), client.traits());
    CommandState::Blocking(Box::pin(async move {
        let grid = &server.grid;
        loop {
            let (group, consumer) = (&group[..], &consumer[..]);
            let reads = streams.iter().map(|(key, from)| StreamRead { key, from: *from }).collect();
            let op = SeveralOp::ReadGroup { group, consumer, streams: reads, count, acknowledged };
            let op = MapOp { map: &map.name, op: with_traits(Op::Several(op), traits) };
            let reply = match grid.transact(Vec::new(), vec![op], false) {
                Started::Now(reply) => reply,
                Started::Later(later) => later.await,
            };
            if !matches!(reply, Ok(Reply::Nil | Reply::NilList)) {
                return answer(reply);
            }
            let left = wait.map(|wait| wait.saturating_sub(since.elapsed()));
            if left == Some(Duration::ZERO) {
                return answer(reply);
            }
            let waiting = streams.iter().map(|(key, _)| {
                let ready = Op::Several(SeveralOp::GroupReady { group, keys: vec![key] });
                grid.block(&map, grid.partition_of(key), &ready, left)
            });
            let (first, ..) = select_all(waiting).await;
            if let Err(error) = first {
                return answer(Err(error));
            }
        }
    }))
}
