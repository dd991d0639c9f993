//! An address of this host.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddress {
    pub(crate) interface: String,
    pub(crate) index: Option<u32>,
    pub(crate) ip: IpAddr,
    /// Prefix length of its network, in bits.
    pub(crate) prefix: u8,
    pub(crate) traits: Traits,
}

/// Properties of an address that decide whether it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Not the first address of its network, or in a network of its own within a wider one, or
    /// deprecated: typical of a virtual IP address, which moves from host to host.
    pub(crate) is_secondary: bool,
    /// The system replaces it from time to time (RFC 8981, temporary addresses).
    pub(crate) is_temporary: bool,
    /// Tentative or duplicate: not usable yet, or at all (RFC 4862, section 5.4).
    pub(crate) is_unusable: bool,
}

impl LocalAddress {
    /// Whether it is on the interface with this name or index.
    pub(crate) fn is_on(&self, zone: &str) -> bool {
        zone == self.interface || self.index.is_some_and(|index| zone == index.to_string())
    }

    /// Its network; the address alone if the system reports an impossible prefix length.
    pub(crate) fn network(&self) -> IpNet {
        IpNet::new(self.ip, self.prefix).unwrap_or_else(|_| self.ip.into())
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.ip, self.interface)
    }
}

/// Whether the address is valid on its link only (RFC 3927; RFC 4291, section 2.5.6).
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
