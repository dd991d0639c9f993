//! One socket in one multicast group on one interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::member::Interface;

/// A socket that has joined a group, and its destination.
#[derive(Debug)]
pub(crate) struct GroupSocket {
    pub(crate) udp: UdpSocket,
    /// The group, for IPv6 with the interface index as scope.
    pub(crate) group: SocketAddr,
    /// The interface on which it was opened.
    pub(crate) interface: IpAddr,
}

/// Joins `group` on `interface`, which must have the same IP version. Several members on one
/// machine share the port.
pub(crate) fn open(group: SocketAddr, interface: Interface, hops: u8) -> io::Result<GroupSocket> {
    let (socket, group) = match (group.ip(), interface.address) {
        (IpAddr::V4(ip), IpAddr::V4(address)) => open_v4(ip, group.port(), address, hops)?,
        (IpAddr::V6(ip), IpAddr::V6(_)) => {
            let index = interface.index.ok_or_else(|| {
                io::Error::other("its interface index is unknown, and IPv6 multicast needs it")
            })?;
            open_v6(ip, group.port(), index, hops)?
        }
        _ => return Err(io::Error::other("the group has the other IP version")),
    };
    if let SocketAddr::V6(group) = group {
        check_route(group, interface.address)?;
    }
    let udp = UdpSocket::from_std(socket.into())?;
    Ok(GroupSocket { udp, group, interface: interface.address })
}

fn open_v4(
    ip: Ipv4Addr,
    port: u16,
    interface: Ipv4Addr,
    hops: u8,
) -> io::Result<(Socket, SocketAddr)> {
    let group = SocketAddr::from((ip, port));
    let socket = shared(Domain::IPV4)?;
    // Otherwise Linux also delivers datagrams of groups joined by other sockets, on other
    // interfaces.
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    socket.bind(&bind_address(group).into())?;
    socket.join_multicast_v4(&ip, &interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_ttl_v4(u32::from(hops))?;
    socket.set_multicast_loop_v4(true)?;
    Ok((socket, group))
}

fn open_v6(ip: Ipv6Addr, port: u16, index: u32, hops: u8) -> io::Result<(Socket, SocketAddr)> {
    let group = SocketAddr::V6(SocketAddrV6::new(ip, port, 0, index));
    let socket = shared(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v6(false)?;
    socket.bind(&bind_address(group).into())?;
    socket.join_multicast_v6(&ip, index)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(u32::from(hops))?;
    socket.set_multicast_loop_v6(true)?;
    Ok((socket, group))
}

/// Checks that the group can be sent to: joining succeeds without a route, IPv6 sending needs
/// one, and the loopback interface of Linux has none by default.
fn check_route(group: SocketAddrV6, interface: IpAddr) -> io::Result<()> {
    let unbound = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    unbound.set_multicast_if_v6(group.scope_id())?;
    match unbound.connect(&SocketAddr::V6(group).into()) {
        Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {
            let advice = match interface.is_loopback() {
                true => {
                    "; on Linux add one with `ip -6 route add local ff00::/8 dev lo table local`"
                }
                false => "",
            };
            Err(io::Error::other(format!("there is no route for IPv6 multicast{advice}")))
        }
        _ => Ok(()),
    }
}

fn shared(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Unix systems bind to the group address, which excludes datagrams for other groups on the
/// same port; Windows rejects that.
fn bind_address(group: SocketAddr) -> SocketAddr {
    if cfg!(unix) {
        return group;
    }
    match group {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, group.port()).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, group.port()).into(),
    }
}
