//! Data structures that clients have named.

use std::collections::BTreeSet;
use std::sync::Arc;

use convoke_grid::OpError;
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::client::GetDistributedObjects;
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::codec::structures::DistributedObjectInfo;

use super::collections::{self, Kind};
use super::errors::Failure;
use super::server::{ProxyName, Server};
use super::settings::PROXIES_MAX;

impl Server {
    /// A client uses a data structure. Does nothing if there is no service of this name.
    pub(super) fn create(&self, service: &str, name: &str) -> Result<(), OpError> {
        if service == service_name::MAP {
            self.open(name)?;
        } else if !is_offered(service) {
            return Ok(());
        }
        self.add_proxy(service, name);
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

/// Appends the response with the data structures that clients of this member have named, and the
/// collections of the cluster.
pub(super) async fn write_proxies(
    server: &Arc<Server>,
    output: &mut Vec<u8>,
    correlation_id: i64,
) -> Result<(), Failure> {
    let mut proxies: BTreeSet<ProxyName> = server.proxies.lock().clone();
    proxies.extend(collections::objects::existing(server).await?);
    let infos: Vec<DistributedObjectInfo<'_>> = proxies
        .iter()
        .map(|(service_name, name)| DistributedObjectInfo { service_name, name })
        .collect();
    GetDistributedObjects::respond(output, correlation_id, 0, List::from(&infos[..]));
    Ok(())
}

/// Whether there is a service of this name.
pub(super) fn is_offered(service: &str) -> bool {
    // A reliable topic is a ringbuffer of another name.
    [service_name::MAP, service_name::RELIABLE_TOPIC].contains(&service)
        || Kind::of(service).is_some()
}
