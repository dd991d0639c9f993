//! Operations on all entries of a map of the grid, partition by partition. Entries that change
//! meanwhile may be in the result or not, as in Hazelcast.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{Op, ScanFilter, WholeOp};
use convoke_grid::{Map, OpError, Reply};
use futures_util::future::join_all;

use super::errors::Failure;
use super::server::Server;
use super::settings::RESULT_BYTES_MAX;

/// Number of keys that one step of an iteration visits, approximately.
pub(super) const SCAN_KEYS: u64 = 512;
/// Maximum number of operations of one request that are in progress at the same time. Those whose
/// primary is this member are executed without a break.
pub(super) const CONCURRENT_MAX: usize = 32;

/// The bytes of a result, which are limited.
#[derive(Default)]
pub(super) struct Budget(usize);

impl Budget {
    /// Counts bytes of the result.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 > RESULT_BYTES_MAX { Err(Failure::result_too_large()) } else { Ok(()) }
    }
}

/// The number of partitions.
pub(super) fn partitions(server: &Server) -> Result<u16, OpError> {
    Ok(server.tags().ok_or(OpError::NoCluster)?.partitions())
}

/// Executes an operation in each partition. Returns the sum of the replies, which are numbers.
pub(super) async fn sum(server: &Server, map: &Arc<Map>, op: WholeOp<'_>) -> Result<i64, Failure> {
    let op = Op::Whole(op);
    let all: Vec<u16> = (0..partitions(server)?).collect();
    let mut sum = 0_i64;
    for part in all.chunks(CONCURRENT_MAX) {
        let started = part.iter().map(|partition| server.submit(map, *partition, &op));
        for reply in join_all(started.collect::<Vec<_>>()).await {
            if let Reply::Integer(number) = reply? {
                sum = sum.saturating_add(number);
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(sum)
}

/// Removes all entries of a map that a client destroys, and then its locks.
pub(super) async fn destroy(server: &Server, map: &Arc<Map>) -> Result<(), Failure> {
    sum(server, map, WholeOp::Clear).await?;
    sum(server, &server.grid.leases_of(map)?, WholeOp::Clear).await?;
    Ok(())
}

/// One step of an iteration over a partition: stored keys, and the next cursor, which is 0 at the
/// end. Keys are in the order of their hashes, so that one which exists all the time is found, no
/// matter what is written meanwhile, and also if another member becomes the primary.
pub(super) async fn scan(
    server: &Server,
    map: &Arc<Map>,
    partition: u16,
    (cursor, count): (u64, u64),
) -> Result<(Vec<Bytes>, u64), Failure> {
    let op = WholeOp::Scan { cursor, count, filter: ScanFilter::default() };
    let reply = server.submit(map, partition, &Op::Whole(op)).await?;
    let Reply::List(parts) = reply else { return Err(OpError::Malformed.into()) };
    let mut parts = parts.into_iter();
    let (Some(Reply::Integer(next)), Some(Reply::List(found))) = (parts.next(), parts.next())
    else {
        return Err(OpError::Malformed.into());
    };
    let keys = found.into_iter().filter_map(|key| match key {
        Reply::Bytes(key) => Some(key),
        _ => None,
    });
    Ok((keys.collect(), u64::try_from(next).unwrap_or(0)))
}

/// An iteration over the stored keys of a map.
pub(super) struct Keys<'a> {
    server: &'a Server,
    map: &'a Arc<Map>,
    partition: u16,
    cursor: u64,
}

impl<'a> Keys<'a> {
    pub(super) fn new(server: &'a Server, map: &'a Arc<Map>) -> Self {
        Self { server, map, partition: 0, cursor: 0 }
    }

    /// Some keys of one partition, and its number; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(u16, Vec<Bytes>)>, Failure> {
        while self.partition < partitions(self.server)? {
            let (partition, at) = (self.partition, (self.cursor, SCAN_KEYS));
            let (keys, next) = scan(self.server, self.map, partition, at).await?;
            self.cursor = next;
            if next == 0 {
                self.partition += 1;
            }
            if !keys.is_empty() {
                tokio::task::yield_now().await;
                return Ok(Some((partition, keys)));
            }
        }
        Ok(None)
    }
}

/// Executes an operation on each of these keys of one partition, in one step. Returns the replies.
pub(super) async fn on_keys<'k>(
    server: &Server,
    map: &Arc<Map>,
    partition: u16,
    keys: &'k [Bytes],
    op: convoke_grid::KeyOp<'k>,
) -> Result<Vec<Reply>, Failure> {
    let ops = keys.iter().map(|key| Op::Key(key, op.clone())).collect();
    let batch = Op::Batch { watched: Vec::new(), ops };
    let Reply::List(replies) = server.submit(map, partition, &batch).await? else {
        return Err(OpError::Malformed.into());
    };
    let check = |reply| match reply {
        Reply::Failed(error) => Err(error.into()),
        reply => Ok(reply),
    };
    replies.into_iter().map(check).collect()
}
