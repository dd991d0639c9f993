//! Data structures that clients have named.

use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::client::GetDistributedObjects;
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::codec::structures::DistributedObjectInfo;

use super::server::{ProxyName, Server};
use super::settings::PROXIES_MAX;

impl Server {
    /// A client uses a data structure.
    pub(super) fn add_proxy(&self, service: &str, name: &str) {
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

    /// Appends the response with the data structures that clients of this member have named, and the
    /// maps of the cluster.
    pub(super) fn write_proxies(&self, output: &mut Vec<u8>, correlation_id: i64) {
        let proxies: Vec<ProxyName> = self.proxies.lock().iter().cloned().collect();
        let infos: Vec<DistributedObjectInfo<'_>> = proxies
            .iter()
            .map(|(service_name, name)| DistributedObjectInfo { service_name, name })
            .collect();
        GetDistributedObjects::respond(output, correlation_id, 0, List::from(&infos[..]));
    }
}

/// Whether there is a service of this name.
pub(super) fn is_offered(service: &str) -> bool {
    service == service_name::MAP
}
