//! The UDP sockets of a member, one on each of its addresses: receives from all of them, and sends
//! from the one with the route to the destination.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::interfaces::{source_to, zone};

/// Destinations whose route is cached; the cache is cleared when it is full.
const ROUTES_MAX: usize = 4_096;

/// The sockets; at least one.
pub(crate) struct Sockets {
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
    /// For each destination IP, the index of the socket that has the route to it.
    routes: HashMap<IpAddr, Option<usize>>,
    /// The socket to poll first, so that none is starved.
    turn: usize,
}

impl Sockets {
    pub(crate) fn new(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<io::Result<_>>()?;
        Ok(Self { sockets, addresses, routes: HashMap::new(), turn: 0 })
    }

    /// Closes the sockets of some addresses and adds others. Sockets from the start are kept, since
    /// they work again when their address is restored.
    pub(crate) fn change(&mut self, closed: &[IpAddr], opened: Vec<UdpSocket>) {
        let mut kept = Vec::new();
        for (socket, address) in self.sockets.drain(..).zip(self.addresses.drain(..)) {
            if !closed.contains(&address.ip()) {
                kept.push((socket, address));
            }
        }
        let opened = opened.into_iter().filter_map(|socket| {
            let address = socket.local_addr().ok()?;
            Some((socket, address))
        });
        (self.sockets, self.addresses) = kept.into_iter().chain(opened).unzip();
        self.routes.clear();
        self.turn = 0;
    }

    /// The next datagram on any of the sockets.
    pub(crate) async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        std::future::poll_fn(|context| self.poll(context, buffer)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let count = self.sockets.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let mut filled = ReadBuf::new(buffer);
            if let Poll::Ready(done) = self.sockets[index].poll_recv_from(context, &mut filled) {
                self.turn = (index + 1) % count;
                return Poll::Ready(done.map(|from| (filled.filled().len(), zone::without(from))));
            }
        }
        Poll::Pending
    }

    /// A datagram that has already arrived.
    pub(crate) fn try_receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let count = self.sockets.len();
        (0..count).find_map(|step| {
            let index = (self.turn + step) % count;
            let (length, from) = self.sockets[index].try_recv_from(buffer).ok()?;
            Some((length, zone::without(from)))
        })
    }

    /// Sends if a socket has a route to the destination. Errors are ignored: datagrams may be lost
    /// anyway.
    pub(crate) fn send(&mut self, datagram: &[u8], to: SocketAddr) {
        let to = zone::with(to);
        let Some(index) = self.route(to) else { return };
        if self.sockets[index].try_send_to(datagram, to).is_err() {
            // The interface may be down: look the route up again next time.
            self.routes.remove(&to.ip());
        }
    }

    fn route(&mut self, to: SocketAddr) -> Option<usize> {
        let alike = |address: &SocketAddr| address.is_ipv4() == to.is_ipv4();
        let mut fitting = (0..self.addresses.len()).filter(|&index| alike(&self.addresses[index]));
        let first = fitting.next()?;
        if fitting.next().is_none() {
            return Some(first);
        }
        if let Some(known) = self.routes.get(&to.ip()) {
            return *known;
        }
        // The system picks the source address.
        let local = source_to(to);
        let own = local.and_then(|local| self.addresses.iter().position(|a| a.ip() == local));
        let index = Some(own.unwrap_or(first));
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        self.routes.insert(to.ip(), index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bound(addresses: &[&str]) -> Sockets {
        let mut sockets = Vec::new();
        for address in addresses {
            let socket = UdpSocket::bind(format!("{address}:0")).await.unwrap();
            socket.writable().await.unwrap();
            sockets.push(socket);
        }
        Sockets::new(sockets).unwrap()
    }

    #[tokio::test]
    async fn each_family_sends_from_its_own_socket_and_receives_on_any() {
        let mut both = bound(&["127.0.0.1", "[::1]"]).await;
        let mut buffer = [0; 64];
        for address in ["127.0.0.1", "[::1]"] {
            let peer = UdpSocket::bind(format!("{address}:0")).await.unwrap();
            both.send(b"hello", peer.local_addr().unwrap());
            let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"hello");
            peer.send_to(b"back", from).await.unwrap();
            let (length, heard) = both.receive(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], heard), (&b"back"[..], peer.local_addr().unwrap()));
        }
    }

    #[tokio::test]
    async fn without_a_route_nothing_is_sent() {
        let mut v4 = bound(&["127.0.0.1"]).await;
        v4.send(b"hello", "[::1]:9".parse().unwrap());
        assert!(v4.try_receive(&mut [0; 8]).is_none());
    }

    #[tokio::test]
    async fn the_system_chooses_between_sockets_of_one_family() {
        let mut two = bound(&["127.0.0.2", "127.0.0.1"]).await;
        // To loopback, the system sends from 127.0.0.1.
        assert_eq!(two.route("127.0.0.9:1".parse().unwrap()), Some(1));
    }
}
