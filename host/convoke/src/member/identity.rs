//! The identity of this member, for other members and for modes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use convoke_discovery::LocalMember;
use convoke_membership::{Member, MemberId, Service};
use convoke_wire::ClusterKeys;
use tracing::warn;

use super::client_port::ClientPort;
use super::clients::BoundPorts;
use super::{modes, names};
use crate::interfaces::Choice;
use crate::settings::{ClientAddress, Settings};

/// The client endpoints that this member advertises.
#[derive(Default)]
pub(super) struct AdvertisedPorts {
    http: Option<Service>,
    resp: Option<Service>,
    hazelcast: Option<Service>,
}

impl AdvertisedPorts {
    pub(super) fn new(
        settings: &Settings,
        http_port: u16,
        bound: &BoundPorts,
        ips: &[IpAddr],
    ) -> Self {
        let BoundPorts { resp, hazelcast } = bound;
        let advertised = |port: &Option<ClientPort>, public: &Option<ClientAddress>| {
            port.as_ref().and_then(|port| port.advertised(ips, public.as_ref()))
        };
        Self {
            http: Some(ClientAddress::service(settings.http_public_address.as_ref(), http_port)),
            resp: advertised(resp, &settings.resp_public_address),
            hazelcast: advertised(hazelcast, &settings.hazelcast_public_address),
        }
    }
}

/// The member as other members see it.
pub(super) fn introduce(
    settings: &Settings,
    id: MemberId,
    addresses: Vec<SocketAddr>,
    ports_to_advertise: AdvertisedPorts,
) -> Member {
    Member {
        id,
        addresses,
        name: settings.name.clone().unwrap_or_else(|| names::generate(id.as_bytes())),
        group: settings.group.clone(),
        lite: settings.lite,
        modes: modes::listed(settings),
        http: ports_to_advertise.http,
        resp: ports_to_advertise.resp,
        hazelcast: ports_to_advertise.hazelcast,
        generation: 0,
        age: 0,
    }
}

/// The member as modes see it.
pub(super) fn local_member(settings: &Settings, me: &Member) -> LocalMember {
    let port = me.address().port();
    LocalMember {
        cluster_name: settings.cluster_name.clone(),
        member_id: me.id.to_string(),
        addresses: me.addresses.iter().filter(|a| a.port() == port).map(SocketAddr::ip).collect(),
        port,
        attributes: Vec::new(),
    }
}

/// The keys of the cluster, derived on another thread, since it takes long on purpose.
pub(super) async fn derive_keys(
    settings: &Settings,
    choice: &Choice,
) -> Result<Arc<ClusterKeys>, String> {
    if settings.password.is_empty() && !choice.primary.ip.is_loopback() {
        warn!(
            "the cluster password is empty: any host on this network can join cluster {:?}; set --cluster-password-file or CONVOKE_CLUSTER_PASSWORD",
            settings.cluster_name
        );
    }
    let (name, password) = (settings.cluster_name.clone(), settings.password.clone());
    let keys = tokio::task::spawn_blocking(move || ClusterKeys::derive(&name, &password))
        .await
        .map_err(|error| error.to_string())?;
    keys.map(Arc::new).map_err(|error| error.to_string())
}
