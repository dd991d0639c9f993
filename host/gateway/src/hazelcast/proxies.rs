//! Data structures that clients have named.

use std::collections::BTreeSet;

use convoke_grid::op::WholeOp;
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::client::{DestroyProxy, GetDistributedObjects};
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::codec::structures::DistributedObjectInfo;

use super::collections::{self, Kind};
use super::errors::Failure;
use super::map::{self, Task};
use super::names::{self, Object};
use super::server::{ProxyName, Server};
use super::settings::PROXIES_MAX;
use super::{destroyed, multi_map, pn_counter, replicated_map, whole};

impl Server {
    /// A client uses a data structure. Does nothing if there is no service of this name.
    pub(super) fn create(&self, service: &str, name: &str) -> Result<(), Failure> {
        if is_offered(service) {
            open(self, service, name)?;
            self.add_proxy(service, name);
        }
        Ok(())
    }

    fn add_proxy(&self, service: &str, name: &str) {
        let mut proxies = self.proxies.lock();
        if proxies.len() < PROXIES_MAX {
            proxies.insert((service.into(), name.into()));
            self.objects.change(service, name, true);
        }
    }

    /// A client has destroyed a data structure.
    pub(super) fn remove_proxy(&self, service: &str, name: &str) {
        self.proxies.lock().remove(&(service.into(), name.into()));
        self.objects.change(service, name, false);
    }
}

/// Appends the response with the data structures that clients of this member have named, the
/// multimaps and replicated maps that it has entries of, and the counters of the cluster.
pub(super) async fn write_proxies(task: &mut Task<'_>) -> Result<(), Failure> {
    let mut proxies: BTreeSet<ProxyName> = task.server.proxies.lock().clone();
    for map in task.server.grid.maps() {
        let Some((service, name)) = names::structure_of(&map.name) else { continue };
        // A map without entries may still have bytes: those of its tables.
        if map.bytes() > 0 && whole::sum(task.server, &map, WholeOp::Length).await? > 0 {
            proxies.insert((service.into(), name.into()));
        }
    }
    let counters = pn_counter::existing(task.server).await?;
    proxies.extend(counters.into_iter().map(|name| (service_name::PN_COUNTER.into(), name)));
    proxies.extend(collections::objects::existing(task.server).await?);
    let infos: Vec<DistributedObjectInfo<'_>> = proxies
        .iter()
        .map(|(service_name, name)| DistributedObjectInfo { service_name, name })
        .collect();
    let infos = List::from(&infos[..]);
    GetDistributedObjects::respond(&mut task.output, task.correlation_id, 0, infos);
    Ok(())
}

/// Whether there is a service of this name.
pub(super) fn is_offered(service: &str) -> bool {
    let others = [
        service_name::MAP,
        service_name::MULTI_MAP,
        service_name::REPLICATED_MAP,
        service_name::TOPIC,
        // A ringbuffer of another name.
        service_name::RELIABLE_TOPIC,
        service_name::PN_COUNTER,
        service_name::FLAKE_ID,
        service_name::CACHE,
    ];
    others.contains(&service) || Kind::of(service).is_some()
}

/// Checks that a structure of this name can be used.
pub(super) fn open(server: &Server, service: &str, name: &str) -> Result<(), Failure> {
    match service {
        service_name::MULTI_MAP => drop(server.open_stored(names::MULTI_MAP, name)?),
        service_name::REPLICATED_MAP => drop(server.open_stored(names::REPLICATED_MAP, name)?),
        service_name::TOPIC | service_name::PN_COUNTER | service_name::FLAKE_ID => {
            names::check(name)?;
        }
        service_name::MAP => drop(server.open(name)?),
        _ => {}
    }
    Ok(())
}

/// Removes what is stored for a structure, and appends the response.
pub(super) async fn destroy(task: &mut Task<'_>, service: &str, name: &str) -> Result<(), Failure> {
    // Before the locks end: what waits for one must not get it.
    destroyed::report(task.server, &Object::new(service, name)).await;
    task.server.remove_proxy(service, name);
    match service {
        service_name::MULTI_MAP => multi_map::destroy(task, name).await?,
        service_name::REPLICATED_MAP => replicated_map::destroy(task, name).await?,
        service_name::PN_COUNTER => pn_counter::destroy(task, name).await?,
        // Nothing is stored.
        service_name::TOPIC | service_name::FLAKE_ID => {}
        service_name::MAP => map::bulk::destroy(task, name).await?,
        _ => {
            if let Some(kind) = Kind::of(service) {
                collections::objects::destroy(task.server, kind, name).await?;
            }
        }
    }
    DestroyProxy::respond(&mut task.output, task.correlation_id, 0);
    Ok(())
}
