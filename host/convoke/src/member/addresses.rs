//! Follows the addresses of this host while the member runs: DHCP may assign another one, an
//! interface may be replaced, a virtual address may move. Listens on the current addresses and
//! advertises them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_discovery::{DiscoveryHost, Interface};
use convoke_gateway::http::{self, Pages, Web};
use convoke_gateway::{hazelcast, resp};
use convoke_membership::member::ADDRESSES_MAX;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::accept::Acceptor;
use super::input::Input;
use super::ports;
use crate::describe::list;
use crate::interfaces::{Changes, Choice, Preferences, local_addresses, system_route, zone};
use crate::local_address::LocalAddress;
use crate::status::Status;

/// Delay before listening on an address is tried again, in milliseconds.
const AGAIN_MS: u64 = 1_000;
/// Attempts to listen on an address.
const AGAIN_MAX: u32 = 10;

/// The ports that are bound at each address.
pub(crate) struct Ports {
    pub(crate) member: u16,
    pub(crate) http: u16,
    /// `None` when RESP is off or serves this host only.
    pub(crate) resp: Option<u16>,
    /// `None` when there is none, or it serves this host only.
    pub(crate) hazelcast: Option<u16>,
}

/// The parts of the process that are notified of other addresses.
pub(crate) struct AddressUsers {
    pub(crate) driver: mpsc::Sender<Input>,
    pub(crate) acceptor: Arc<Acceptor>,
    pub(crate) web: Arc<Web>,
    pub(crate) pages: Pages,
    pub(crate) resp: Option<Arc<resp::server::Server>>,
    pub(crate) hazelcast: Option<Arc<hazelcast::Server>>,
    pub(crate) host: DiscoveryHost,
    pub(crate) status: Arc<Status>,
}

/// Follows this host's addresses.
pub(crate) struct AddressWatcher {
    preferences: Preferences,
    /// The addresses in use.
    choice: Choice,
    /// The addresses of `--public-address`, which are advertised first.
    public: Vec<SocketAddr>,
    ports: Ports,
    users: AddressUsers,
    /// Whether it has been logged that this host now has a network address.
    is_network_noted: bool,
    /// Listeners by address; empty for the listeners from the start, which are kept.
    listening: HashMap<IpAddr, Listening>,
}

/// The tasks that accept connections at one address.
#[derive(Default)]
struct Listening(Vec<JoinHandle<()>>);

impl Listening {
    /// Returns when no socket listens any more, since the address may be used again immediately.
    async fn close(self) {
        for task in &self.0 {
            task.abort();
        }
        for task in self.0 {
            let _ = task.await;
        }
    }
}

/// The addresses to advertise, those of `--public-address` first, at most [`ADDRESSES_MAX`].
pub(crate) fn advertised(public: &[SocketAddr], bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses = public.to_vec();
    for address in bound {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    let advertised_addresses = addresses.len().min(ADDRESSES_MAX);
    if advertised_addresses < addresses.len() {
        warn!(
            beyond = list(addresses.drain(advertised_addresses..)),
            "this member has more than {ADDRESSES_MAX} addresses; the rest are not advertised"
        );
    }
    addresses
}

impl AddressWatcher {
    /// Creates the state of a member that already listens on `choice`.
    pub(crate) fn new(
        preferences: Preferences,
        choice: Choice,
        public: Vec<SocketAddr>,
        ports: Ports,
        users: AddressUsers,
    ) -> Self {
        let bound = choice.to_bind().into_iter();
        let listening = bound.map(|ip| (ip, Listening::default())).collect();
        Self { preferences, choice, public, ports, users, is_network_noted: false, listening }
    }

    /// Runs until the process exits.
    pub(crate) async fn run(mut self, mut changes: Changes) {
        let mut tries_left = 0;
        loop {
            let again = async {
                match tries_left {
                    0 => std::future::pending().await,
                    _ => tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await,
                }
            };
            let gone = tokio::select! {
                gone = changes.next() => {
                    tries_left = AGAIN_MAX;
                    gone.into_iter().collect()
                }
                () = again => {
                    tries_left -= 1;
                    HashSet::new()
                }
            };
            let Ok(have) = local_addresses().await else { continue };
            if self.look(&have, &gone).await {
                tries_left = 0;
            }
        }
    }

    /// Applies the host's current addresses. `gone` have been removed since the last call, even if
    /// they exist again. Returns whether all chosen addresses are in use.
    async fn look(&mut self, have: &[LocalAddress], gone: &HashSet<IpAddr>) -> bool {
        let choice = self.preferences.choose_again(have, &system_route, &self.choice);
        let is_lost = choice.is_none();
        if self.users.status.is_addressless.swap(is_lost, Ordering::Relaxed) != is_lost {
            let before = list(self.choice.to_bind());
            match &choice {
                None => error!(
                    gone = before,
                    "this host has no usable address any more; this member is not ready until it has one"
                ),
                Some(choice) => {
                    info!(now = list(choice.to_bind()), "this host has a usable address again");
                }
            }
        }
        let Some(choice) = choice else { return true };
        self.note_network(have);
        // A replaced interface has the same address and another index, and an interface that lost
        // an address has left its multicast groups.
        let is_renewed = choice.all.iter().any(|address| gone.contains(&address.ip));
        if choice.all == self.choice.all && !is_renewed && self.is_bound(&choice) {
            return true;
        }
        let (now, before) = (choice.to_bind(), self.choice.to_bind());
        if now != before {
            info!(now = list(now), before = list(before), "the addresses of this host changed");
        }
        zone::set(choice.primary.index);
        self.choice = choice;
        let is_gone = |ip: &IpAddr, listening: &mut Listening| {
            let is_here = self.choice.all.iter().any(|address| address.ip == *ip);
            !is_here && !listening.0.is_empty()
        };
        let gone: Vec<_> = self.listening.extract_if(is_gone).collect();
        let mut closed = Vec::new();
        for (ip, listening) in gone {
            listening.close().await;
            closed.push(ip);
        }
        let (bound, opened) = self.bind();
        let all_bound = self.is_bound(&self.choice);
        if bound.is_empty() {
            return all_bound;
        }
        let advertised_addresses = advertised(&self.public, &bound);
        let here =
            advertised_addresses.iter().filter(|a| a.port() == advertised_addresses[0].port());
        let here: Vec<IpAddr> = here.map(SocketAddr::ip).collect();
        self.users.host.move_to(&interfaces(&self.choice), &here);
        let used = bound.iter().map(SocketAddr::ip).collect();
        let input = Input::Addresses { advertised_addresses, used, closed, opened };
        let _ = self.users.driver.send(input).await;
        all_bound
    }

    /// Listens on the chosen addresses that are not in use yet. Returns the addresses that this
    /// member listens on now, and the new UDP sockets.
    fn bind(&mut self) -> (Vec<SocketAddr>, Vec<std::net::UdpSocket>) {
        let (mut bound, mut opened) = (Vec::new(), Vec::new());
        for ip in self.choice.to_bind() {
            let address = SocketAddr::new(ip, self.ports.member);
            if self.listening.contains_key(&ip) {
                bound.push(address);
                continue;
            }
            match ports::bind_both(address) {
                Ok((listener, socket)) => {
                    let listening = self.listen(ip, listener);
                    self.listening.insert(ip, listening);
                    opened.extend(socket.into_std());
                    bound.push(address);
                }
                Err(error) => {
                    warn!(%address, %error, "cannot listen on a new address of this host");
                }
            }
        }
        (bound, opened)
    }

    /// A member that started with loopback only does not start to use the network by itself.
    fn note_network(&mut self, have: &[LocalAddress]) {
        let is_alone = self.choice.primary.ip.is_loopback() && self.preferences.is_empty();
        if !is_alone || self.is_network_noted {
            return;
        }
        let Ok(other) = self.preferences.choose(have, &system_route) else { return };
        if !other.primary.ip.is_loopback() {
            self.is_network_noted = true;
            warn!(
                address = %other.primary,
                "this host has a network address now, but this member started without one and stays on loopback. Restart it to use the network"
            );
        }
    }

    fn is_bound(&self, choice: &Choice) -> bool {
        choice.to_bind().iter().all(|ip| self.listening.contains_key(ip))
    }

    /// Serves members and clients at one more address.
    fn listen(&self, ip: IpAddr, listener: TcpListener) -> Listening {
        let AddressUsers { acceptor, web, pages, resp, hazelcast, .. } = &self.users;
        let mut tasks = vec![tokio::spawn(Arc::clone(acceptor).answer(vec![listener]))];
        let mut also =
            |what, port, serve: &dyn Fn(TcpListener) -> JoinHandle<()>| match ports::listen(
                SocketAddr::new(ip, port),
            ) {
                Ok(listener) => tasks.push(serve(listener)),
                Err(error) => {
                    warn!(%ip, port, %error, "cannot serve {what} on a new address of this host");
                }
            };
        also("HTTP", self.ports.http, &|listener| {
            tokio::spawn(http::serve(vec![listener], Arc::clone(web), *pages))
        });
        if let (Some(port), Some(resp)) = (self.ports.resp, resp) {
            also("RESP clients", port, &|listener| tokio::spawn(Arc::clone(resp).listen(listener)));
        }
        if let (Some(port), Some(server)) = (self.ports.hazelcast, hazelcast) {
            let listen = |listener| tokio::spawn(Arc::clone(server).listen(listener));
            also("Hazelcast clients", port, &listen);
        }
        Listening(tasks)
    }
}

/// The interfaces that modes may use.
pub(crate) fn interfaces(choice: &Choice) -> Vec<Interface> {
    let all = choice.all.iter();
    all.map(|local| Interface { address: local.ip, index: local.index }).collect()
}
