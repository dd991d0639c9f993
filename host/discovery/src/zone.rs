//! The zones of link-local addresses (RFC 4007): this host's interfaces.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use rustix::net::netdevice;

/// The index of an interface given by name or by index.
pub(crate) fn interface_index(zone: &str) -> Option<u32> {
    // Any socket will do (netdevice(7)).
    let any = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .or_else(|_| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)));
    let named = any.ok().and_then(|socket| netdevice::name_to_index(&socket, zone).ok());
    named.or_else(|| zone.parse().ok().filter(|index| *index != 0))
}
