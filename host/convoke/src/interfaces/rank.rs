//! Ranks the addresses of this host by their suitability for a member, if the operator has chosen
//! none.

use std::net::IpAddr;

use crate::local_address::{LocalAddress, is_link_local};

/// Name prefixes of interfaces that lead to containers or virtual machines on this host, and not to
/// other hosts.
const VIRTUAL: [&str; 11] = [
    "docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "cni", "flannel", "cali", "podman", "lxc",
];

/// Addresses with at most this rank are reachable for other hosts.
pub(super) const RANK_REAL_MAX: u8 = 2;
/// Rank of addresses on the loopback interface that are not loopback addresses.
pub(super) const RANK_OF_LOOPBACK_INTERFACE: u8 = 5;

/// Ranks an address, with the reason; lower is better.
pub(super) fn rank(address: &LocalAddress, have: &[LocalAddress]) -> (u8, &'static str) {
    let is_virtual = VIRTUAL.iter().any(|prefix| address.interface.starts_with(prefix));
    let mut siblings = have.iter().filter(|other| other.interface == address.interface);
    match address.ip {
        ip if ip.is_loopback() => (7, "loopback, this machine only"),
        IpAddr::V4(ip) if ip.is_link_local() => (6, "link-local"),
        // Reached by IPv6 multicast or when it is listed: not chosen by rank.
        ip if is_link_local(ip) => (8, "link-local, reachable on this link only"),
        _ if siblings.any(|other| other.ip.is_loopback()) => (
            RANK_OF_LOOPBACK_INTERFACE,
            "on the loopback interface, not reachable from other hosts",
        ),
        _ if is_virtual => (4, "on an interface to containers or virtual machines of this host"),
        _ if address.traits.is_temporary => (3, "temporary"),
        IpAddr::V4(ip) if ip.is_private() => (0, "a private IPv4 address on a physical interface"),
        IpAddr::V4(_) => (1, "an IPv4 address on a physical interface"),
        IpAddr::V6(_) => (RANK_REAL_MAX, "an IPv6 address on a physical interface"),
    }
}
