//! The ports for clients of RESP and of Hazelcast.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use convoke_membership::Service;
use tokio::net::TcpListener;
use tracing::info;

use super::ports;
use crate::settings::ClientAddress;

/// A protocol of clients that has a port of its own.
pub(crate) struct Protocol {
    /// Its name in the log.
    pub(crate) name: &'static str,
    /// The setting of its port.
    pub(crate) setting: &'static str,
}

/// Clients of Redis.
pub(crate) const RESP: Protocol = Protocol { name: "RESP", setting: "resp-port" };
/// Clients of Hazelcast.
pub(crate) const HAZELCAST: Protocol = Protocol { name: "Hazelcast", setting: "hazelcast-port" };

/// A port for clients, with its listeners.
pub(crate) struct ClientPort {
    pub(super) listeners: Vec<TcpListener>,
    /// The port number.
    pub(crate) port: u16,
    /// Whether clients on other hosts can reach it.
    pub(crate) is_public: bool,
}

impl ClientPort {
    /// Binds the first free port from `start`, unless it is `None`. Only loopback is served, unless
    /// `has_password`.
    pub(crate) fn bind(
        protocol: &Protocol,
        start: Option<u16>,
        has_password: bool,
        ips: &[IpAddr],
    ) -> Result<Option<Self>, String> {
        let Some(start) = start else { return Ok(None) };
        let is_public = has_password;
        let loopback: IpAddr = match ips.first() {
            Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let mut hosts: Vec<IpAddr> =
            ips.iter().copied().filter(|ip| is_public || ip.is_loopback()).collect();
        if !hosts.iter().any(IpAddr::is_loopback) {
            hosts.push(loopback);
        }
        let listeners = ports::bind_for_clients(protocol, &hosts, start)?;
        let port = listeners[0].local_addr().map_err(|error| error.to_string())?.port();
        let on_loopback_only = if is_public {
            ""
        } else {
            "; from this host only, since no --client-password-file is set"
        };
        let addresses: Vec<String> = listeners
            .iter()
            .filter_map(|listener| Some(listener.local_addr().ok()?.ip().to_string()))
            .collect();
        let addresses = addresses.join(", ");
        info!(port, %addresses, "{} for clients{on_loopback_only}", protocol.name);
        Ok(Some(Self { listeners, port, is_public }))
    }

    /// The endpoint to advertise to other members, if clients on other hosts can reach it.
    pub(crate) fn advertised(
        &self,
        ips: &[IpAddr],
        public: Option<&ClientAddress>,
    ) -> Option<Service> {
        let is_reached = self.is_public || public.is_some() || ips.iter().all(IpAddr::is_loopback);
        is_reached.then(|| ClientAddress::service(public, self.port))
    }

    /// The port number, if it has to be bound on further addresses of this host.
    pub(super) fn on_further_addresses(&self) -> Option<u16> {
        self.is_public.then_some(self.port)
    }
}
