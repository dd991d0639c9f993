//! Binds ports: the member port for TCP and UDP, and those for RESP and HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::client_port::Protocol;
use crate::describe::list;
use crate::interfaces::zone;

/// Ports tried for clients of one protocol.
const CLIENT_PORT_TRIES: u16 = 100;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Receive buffer requested for UDP sockets, in bytes: a burst from a large cluster must not
/// overflow it.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The member port, bound on each address of the member.
pub(crate) struct MemberPort {
    /// In the order in which addresses are advertised.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) sockets: Vec<UdpSocket>,
    /// Lower ports that were in use.
    pub(crate) taken: Vec<u16>,
}

/// Binds the first port from `start` on that is free for TCP and UDP on all of `ips`; tries `range`
/// ports.
pub(crate) fn bind_member_port(
    ips: &[IpAddr],
    start: u16,
    range: u16,
) -> Result<MemberPort, String> {
    let mut taken = Vec::new();
    for port in (start..=u16::MAX).take(usize::from(range)) {
        let mut bound = MemberPort {
            addresses: Vec::new(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            taken: taken.clone(),
        };
        match ips.iter().try_for_each(|ip| bound.add(SocketAddr::new(*ip, port))) {
            Ok(()) => return Ok(bound),
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse => taken.push(port),
            Err((address, error)) => return Err(format!("cannot listen on {address}: {error}")),
        }
    }
    let last = taken.last().copied().unwrap_or(start);
    Err(format!(
        "every member port from {start} to {last} on {} is in use; set another with --start-port, or try more with --start-port-range",
        list(ips)
    ))
}

impl MemberPort {
    fn add(&mut self, address: SocketAddr) -> Result<(), (SocketAddr, io::Error)> {
        let (listener, socket) = bind_both(address).map_err(|error| (address, error))?;
        self.addresses.push(address);
        self.listeners.push(listener);
        self.sockets.push(socket);
        Ok(())
    }

    /// The address that is advertised first.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }
}

/// Binds one address for TCP and UDP.
pub(crate) fn bind_both(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let address = zone::with(address);
    let listener = listen(address)?;
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // Above the system's limit (net.core.rmem_max) only with CAP_NET_ADMIN; a smaller buffer works,
    // too.
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok((listener, UdpSocket::from_std(socket.into())?))
}

/// Listens on an address, with SO_REUSEADDR: the port of a process that has just exited can be
/// used.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(zone::with(address))?;
    socket.listen(BACKLOG)
}

/// Listens on all of these and, if possible, on the loopback addresses of both families:
/// `localhost` is 127.0.0.1 for some clients and ::1 for others.
fn listen_on_all(hosts: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    let listen_on = |host: &IpAddr| listen(SocketAddr::new(*host, port));
    let mut listeners = hosts.iter().map(listen_on).collect::<io::Result<Vec<_>>>()?;
    for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let is_alike = |host: &IpAddr| host.is_loopback() && host.is_ipv4() == loopback.is_ipv4();
        if !hosts.iter().any(is_alike)
            && let Ok(listener) = listen_on(&loopback)
        {
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

/// Binds the first port from `start` on that is free on all of `ips`, for clients of a protocol.
pub(crate) fn bind_for_clients(
    protocol: &Protocol,
    ips: &[IpAddr],
    start: u16,
) -> Result<Vec<TcpListener>, String> {
    let Protocol { name, setting } = protocol;
    let mut last = start;
    for port in (start..=u16::MAX).take(usize::from(CLIENT_PORT_TRIES)) {
        last = port;
        match listen_on_all(ips, port) {
            Ok(listeners) => return Ok(listeners),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(format!(
                    "cannot serve {name} clients on port {port} of {}: {error}; to turn this off, set --{setting} 0",
                    list(ips)
                ));
            }
        }
    }
    Err(format!(
        "every port for {name} clients from {start} to {last} is in use; set another with --{setting}, or 0 to turn this off"
    ))
}

/// Binds the HTTP port on all of `ips`, and on loopback.
pub(crate) fn bind_http(
    ips: &[IpAddr],
    port: u16,
    further: Option<u16>,
) -> Result<Vec<TcpListener>, String> {
    let mut hosts = ips.to_vec();
    for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let loopback: IpAddr = if family(&Ipv4Addr::LOCALHOST.into()) {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        let mut alike = ips.iter().filter(|ip| family(ip)).peekable();
        if alike.peek().is_some() && !alike.any(IpAddr::is_loopback) {
            hosts.push(loopback);
        }
    }
    let last = port.saturating_add(further.unwrap_or(0));
    for port in port..=last {
        match listen_on_all(&hosts, port) {
            Ok(listeners) => return Ok(listeners),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(format!("cannot serve HTTP on port {port} of {}: {error}", list(ips)));
            }
        }
    }
    Err(match further {
        None => format!(
            "HTTP port {port} is in use; set another with --port, or use the next free one with --auto-bind-http"
        ),
        Some(_) => format!(
            "every HTTP port from {port} to {last} is in use; set another with --port, or widen --auto-bind-range"
        ),
    })
}
