//! The local member and its addresses.

use std::net::IpAddr;
use std::sync::Arc;

/// The local member, as modes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMember {
    /// The cluster name; members join only members of the same cluster name.
    pub cluster_name: String,
    /// The member id, as text.
    pub member_id: String,
    /// The addresses at which other members connect.
    pub addresses: Vec<IpAddr>,
    /// The port of these addresses.
    pub port: u16,
    /// Hints for other members, such as `zone`.
    pub attributes: Vec<(String, String)>,
}

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The address; it identifies the interface for IPv4.
    pub address: IpAddr,
    /// The interface's index; it identifies the interface for IPv6.
    pub index: Option<u32>,
}

/// The addresses of the member, which change with those of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddresses {
    /// See [`HostConfig::interfaces`](crate::HostConfig::interfaces).
    pub(crate) interfaces: Arc<[Interface]>,
    /// The addresses at which other members connect, replacing [`LocalMember::addresses`];
    /// `None` for no replacement.
    pub(crate) addresses: Option<Arc<[IpAddr]>>,
}

impl LocalAddresses {
    /// `local` with the current addresses.
    pub(crate) fn of(&self, local: &LocalMember) -> LocalMember {
        let addresses = self.addresses.as_deref().unwrap_or(&local.addresses).to_vec();
        LocalMember { addresses, ..local.clone() }
    }
}
