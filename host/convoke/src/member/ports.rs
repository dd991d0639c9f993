//! Binding: one number for streams and datagrams, the first that is free.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, UdpSocket};

/// Ports tried from the start port on.
const PORT_TRIES: u16 = 100;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Receive buffer asked of the system for datagrams, in bytes: a burst of a
/// large cluster must not overflow it.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Where a member listens.
pub(crate) struct MemberPort {
    pub(crate) address: SocketAddr,
    pub(crate) listener: TcpListener,
    pub(crate) socket: UdpSocket,
    /// Ports that were taken before a free one.
    pub(crate) taken: Vec<u16>,
}

/// Binds the first port from `start` on that is free for both.
pub(crate) fn bind_member_port(ip: IpAddr, start: u16) -> Result<MemberPort, String> {
    let mut taken = Vec::new();
    for port in (start..=u16::MAX).take(usize::from(PORT_TRIES)) {
        let address = SocketAddr::new(ip, port);
        match bind_both(address) {
            Ok((listener, socket)) => return Ok(MemberPort { address, listener, socket, taken }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken.push(port),
            Err(error) => return Err(format!("cannot listen on {address}: {error}")),
        }
    }
    let last = taken.last().copied().unwrap_or(start);
    Err(format!(
        "every member port from {start} to {last} on {ip} is taken; name another with --start-port"
    ))
}

fn bind_both(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let listener = listen(address)?;
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // Less is fine: the system has a limit of its own.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok((listener, UdpSocket::from_std(socket.into())?))
}

/// Listens; a port whose last owner has just died is free.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds the HTTP port on `ip`, and on loopback as well when that is another.
pub(crate) fn bind_http(
    ip: IpAddr,
    port: u16,
    further: Option<u16>,
) -> Result<Vec<TcpListener>, String> {
    let loopback: IpAddr =
        if ip.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    let mut hosts = vec![ip];
    if !ip.is_loopback() {
        hosts.push(loopback);
    }
    let last = port.saturating_add(further.unwrap_or(0));
    for port in port..=last {
        let all: io::Result<Vec<_>> =
            hosts.iter().map(|host| listen(SocketAddr::new(*host, port))).collect();
        match all {
            Ok(listeners) => return Ok(listeners),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(format!("cannot serve HTTP on {ip}:{port}: {error}")),
        }
    }
    Err(match further {
        None => format!(
            "HTTP port {port} is taken; name another with --port, or let the next free one be taken with --auto-bind-http"
        ),
        Some(_) => format!(
            "every HTTP port from {port} to {last} is taken; name another with --port, or widen --auto-bind-range"
        ),
    })
}
