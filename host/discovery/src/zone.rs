//! The zones of link-local addresses (RFC 4007): interfaces of this host.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use rustix::net::netdevice;

/// The index of an interface that is given by name or by index.
pub(crate) fn interface_index(zone: &str) -> Option<u32> {
    // The request works on any socket (netdevice(7)).
    let any = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .or_else(|_| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)));
    let named = any.ok().and_then(|socket| netdevice::name_to_index(&socket, zone).ok());
    named.or_else(|| zone.parse().ok().filter(|index| *index != 0))
}
