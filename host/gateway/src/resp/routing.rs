//! Where the keys of a command are: in which partition, and, for clients of a Redis Cluster, on
//! which node.

use convoke_grid::Grid;
use convoke_grid::slot::{self, slot};

use super::answer::CommandError;
use super::server::Server;

/// The partition of the keys if they are all in one; `None` otherwise.
#[inline]
pub(crate) fn one_partition(grid: &Grid, keys: &[&[u8]]) -> Result<Option<u16>, CommandError> {
    let mut partitions = keys.iter().map(|key| grid.partition_of(key));
    let first = partitions.next().ok_or(CommandError::SYNTAX)?;
    Ok(partitions.all(|partition| partition == first).then_some(first))
}

/// Fails for keys of several slots (`CROSSSLOT`) and for keys whose primary is another member
/// (`MOVED`).
pub(crate) fn check_slot<'k>(
    server: &Server,
    keys: impl IntoIterator<Item = &'k [u8]>,
) -> Result<(), CommandError> {
    let mut slots = keys.into_iter().map(slot);
    let Some(first) = slots.next() else { return Ok(()) };
    if slots.any(|slot| slot != first) {
        return Err(CommandError::CROSS_SLOT);
    }
    let partition = slot::partition(first, server.grid.partitions());
    let primary = server.grid.table().and_then(|table| {
        table.partitions.get(usize::from(partition)).and_then(|partition| partition.primary())
    });
    let Some(primary) = primary.filter(|primary| *primary != server.grid.me()) else {
        return Ok(());
    };
    // If clients cannot connect to the primary, this member forwards the operation.
    let nodes = server.cluster.nodes();
    match nodes.iter().find(|node| node.member == primary).and_then(|node| node.endpoint.as_ref()) {
        Some(endpoint) => Err(CommandError(format!("MOVED {first} {endpoint}").into())),
        None => Ok(()),
    }
}
