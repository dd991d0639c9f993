//! Which collections exist, and how they are destroyed.

use std::sync::Arc;

use convoke_grid::op::{GenericOp, KeyOp, Op, ScanFilter, WholeOp};
use convoke_grid::{OpError, Reply};

use super::super::errors::Failure;
use super::super::server::{ProxyName, Server};
use super::super::settings::PROXIES_MAX;
use super::{Kind, kind};

/// Number of collections that one step of the search visits, approximately.
const SCAN_KEYS: u64 = 512;

/// Services and names of the collections that exist in the cluster, at most [`PROXIES_MAX`].
pub(in super::super) async fn existing(server: &Server) -> Result<Vec<ProxyName>, Failure> {
    let partitions = server.tags().ok_or(OpError::NoCluster)?.partitions();
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let map = kind.open(&server.grid)?;
        for partition in 0..partitions {
            let mut cursor = 0;
            loop {
                let op = WholeOp::Scan { cursor, count: SCAN_KEYS, filter: ScanFilter::default() };
                let reply = server.submit(&map, partition, &Op::Whole(op)).await?;
                let Reply::List(parts) = reply else { return Err(OpError::Malformed.into()) };
                let [Reply::Integer(next), Reply::List(keys)] = &parts[..] else {
                    return Err(OpError::Malformed.into());
                };
                for key in keys {
                    if let Reply::Bytes(key) = key
                        && let Some(name) = kind::name(key)
                    {
                        found.push((kind.service().into(), name.into()));
                    }
                }
                if found.len() >= PROXIES_MAX {
                    found.truncate(PROXIES_MAX);
                    return Ok(found);
                }
                cursor = u64::try_from(*next).unwrap_or(0);
                if cursor == 0 {
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// Removes a collection.
pub(in super::super) async fn destroy(
    server: &Arc<Server>,
    kind: Kind,
    name: &str,
) -> Result<(), Failure> {
    let map = kind.open(&server.grid)?;
    let mut key = Vec::new();
    let partition = kind::key(server, name, &mut key)?;
    server.submit_key(&map, partition, &key, KeyOp::Generic(GenericOp::Remove)).await?;
    Ok(())
}
