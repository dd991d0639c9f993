//! Which collections exist, and how they are destroyed.

use std::sync::Arc;

use convoke_grid::OpError;
use convoke_grid::op::{GenericOp, KeyOp};

use super::super::errors::Failure;
use super::super::server::{ProxyName, Server};
use super::super::settings::PROXIES_MAX;
use super::super::whole::{SCAN_KEYS, scan};
use super::{Kind, kind};

/// Services and names of the collections that exist in the cluster, at most [`PROXIES_MAX`].
pub(in super::super) async fn existing(server: &Server) -> Result<Vec<ProxyName>, Failure> {
    let partitions = server.tags().ok_or(OpError::NoCluster)?.partitions();
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let map = kind.open(&server.grid)?;
        for partition in 0..partitions {
            let mut cursor = 0;
            loop {
                let at = (cursor, SCAN_KEYS);
                let (keys, next) = scan(server, &map, partition, at).await?;
                let names = keys.iter().filter_map(|key| kind::name(key));
                found.extend(names.map(|name| (kind.service().into(), name.into())));
                if found.len() >= PROXIES_MAX {
                    found.truncate(PROXIES_MAX);
                    return Ok(found);
                }
                cursor = next;
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
