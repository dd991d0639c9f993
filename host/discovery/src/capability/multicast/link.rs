//! The transport of a group: a socket on one interface, or a simulated network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::socket::GroupSocket;
use crate::backend::{Fakes, Lan, LanSocket};

#[derive(Debug)]
pub(super) enum Link {
    Socket(GroupSocket),
    Lan(LanSocket),
}

impl Link {
    /// A link to the simulated network of `fakes`, or to an empty one.
    pub(super) fn fake(fakes: &Fakes, group: SocketAddr) -> Self {
        let alone = || (Lan::new(0), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), group.port()));
        let (lan, address) = fakes.lan.clone().unwrap_or_else(alone);
        Self::Lan(lan.join(group, address))
    }

    pub(super) async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.udp.send_to(datagram, socket.group).await.map(drop),
            Self::Lan(lan) => {
                lan.send(datagram);
                Ok(())
            }
        }
    }

    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Socket(socket) => socket.udp.recv_from(buffer).await,
            Self::Lan(lan) => Ok(lan.receive(buffer).await),
        }
    }

    pub(super) fn interface(&self) -> IpAddr {
        match self {
            Self::Socket(socket) => socket.interface,
            Self::Lan(lan) => lan.address().ip(),
        }
    }
}
