//! The addresses that this member has, followed while it runs: DHCP gives another, a card is
//! replaced, a virtual address comes and goes. It listens on what is there, and tells the others.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_discovery::{DiscoveryHost, Interface};
use convoke_gateway::http::{self, Pages, Web};
use convoke_gateway::resp::server::Server;
use convoke_membership::member::ADDRESSES_MAX;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::accept::Door;
use super::input::Input;
use super::ports;
use crate::describe::list;
use crate::interfaces::{
    Changes, Choice, LocalAddress, Wishes, local_addresses, system_route, zone,
};
use crate::status::Status;

/// When an address that could not be listened on is tried again, in milliseconds.
const AGAIN_MS: u64 = 1_000;
/// Times that is tried.
const AGAIN_MAX: u32 = 10;

/// What is bound at each address.
pub(crate) struct Ports {
    pub(crate) member: u16,
    pub(crate) http: u16,
    /// None when RESP is off, or for this machine only.
    pub(crate) resp: Option<u16>,
}

/// Who is to know of other addresses.
pub(crate) struct Followers {
    pub(crate) driver: mpsc::Sender<Input>,
    pub(crate) door: Arc<Door>,
    pub(crate) web: Arc<Web>,
    pub(crate) pages: Pages,
    pub(crate) resp: Option<Arc<Server>>,
    pub(crate) host: DiscoveryHost,
    pub(crate) status: Arc<Status>,
}

/// Follows the machine's addresses.
pub(crate) struct Follow {
    wishes: Wishes,
    /// What is used now.
    choice: Choice,
    /// What `--public-address` says, which goes first.
    public: Vec<SocketAddr>,
    ports: Ports,
    followers: Followers,
    /// Whether operators know that there is a network after all.
    is_network_noted: bool,
    /// Listeners by address: none for those from the start, which stay.
    listening: HashMap<IpAddr, Listening>,
}

/// The tasks that accept at one address.
#[derive(Default)]
struct Listening(Vec<JoinHandle<()>>);

impl Listening {
    /// Ends with nothing listening: the address may come back at once.
    async fn close(self) {
        for task in &self.0 {
            task.abort();
        }
        for task in self.0 {
            let _ = task.await;
        }
    }
}

/// The addresses to tell others: those of `--public-address` first, as many as can be told.
pub(crate) fn advertised(public: &[SocketAddr], bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses = public.to_vec();
    for address in bound {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    let told = addresses.len().min(ADDRESSES_MAX);
    if told < addresses.len() {
        warn!(
            beyond = list(addresses.drain(told..)),
            "this member has more addresses than the {ADDRESSES_MAX} that others are told"
        );
    }
    addresses
}

impl Follow {
    /// Of a member that listens on what was chosen.
    pub(crate) fn new(
        wishes: Wishes,
        choice: Choice,
        public: Vec<SocketAddr>,
        ports: Ports,
        followers: Followers,
    ) -> Self {
        let bound = choice.to_bind().into_iter();
        let listening = bound.map(|ip| (ip, Listening::default())).collect();
        Self { wishes, choice, public, ports, followers, is_network_noted: false, listening }
    }

    /// Runs as long as the process does.
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

    /// Takes what the machine has now; `gone` was taken away meanwhile, even if it is back.
    /// Gives whether all of it is in use.
    async fn look(&mut self, have: &[LocalAddress], gone: &HashSet<IpAddr>) -> bool {
        let choice = self.wishes.choose_again(have, &system_route, &self.choice);
        let is_lost = choice.is_none();
        if self.followers.status.is_addressless.swap(is_lost, Ordering::Relaxed) != is_lost {
            let before = list(self.choice.to_bind());
            match &choice {
                None => error!(
                    gone = before,
                    "this host has no address left that this member could use; it is not ready until one is back"
                ),
                Some(choice) => {
                    info!(now = list(choice.to_bind()), "this member has an address again");
                }
            }
        }
        let Some(choice) = choice else { return true };
        self.note_network(have);
        // A card that is replaced has the same address and another index; and one whose address
        // was taken away has left its multicast groups.
        let is_renewed = choice.all.iter().any(|address| gone.contains(&address.ip));
        if choice.all == self.choice.all && !is_renewed && self.is_bound(&choice) {
            return true;
        }
        let (now, before) = (choice.to_bind(), self.choice.to_bind());
        if now != before {
            info!(
                now = list(now),
                before = list(before),
                "the addresses of this host have changed"
            );
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
        let is_whole = self.is_bound(&self.choice);
        if bound.is_empty() {
            return is_whole;
        }
        let told = advertised(&self.public, &bound);
        let here = told.iter().filter(|a| a.port() == told[0].port());
        let here: Vec<IpAddr> = here.map(SocketAddr::ip).collect();
        self.followers.host.move_to(&interfaces(&self.choice), &here);
        let used = bound.iter().map(SocketAddr::ip).collect();
        let input = Input::Addresses { told, used, closed, opened };
        let _ = self.followers.driver.send(input).await;
        is_whole
    }

    /// Listens on what is chosen and not listened on yet. Gives where the member listens now, and
    /// the new sockets for datagrams.
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

    /// A member that had loopback only when it started does not go out on its own account.
    fn note_network(&mut self, have: &[LocalAddress]) {
        let is_alone = self.choice.primary.ip.is_loopback() && self.wishes.are_none();
        if !is_alone || self.is_network_noted {
            return;
        }
        let Ok(other) = self.wishes.choose(have, &system_route) else { return };
        if !other.primary.ip.is_loopback() {
            self.is_network_noted = true;
            warn!(
                address = %other.primary,
                "this host has a network address now, and had none when this member started: it stays on loopback. Restart it to use the network"
            );
        }
    }

    fn is_bound(&self, choice: &Choice) -> bool {
        choice.to_bind().iter().all(|ip| self.listening.contains_key(ip))
    }

    /// Serves members and clients at one more address.
    fn listen(&self, ip: IpAddr, listener: TcpListener) -> Listening {
        let Followers { door, web, pages, resp, .. } = &self.followers;
        let mut tasks = vec![tokio::spawn(Arc::clone(door).answer(vec![listener]))];
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
            also("RESP", port, &|listener| tokio::spawn(Arc::clone(resp).listen(listener)));
        }
        Listening(tasks)
    }
}

/// For the modes.
pub(crate) fn interfaces(choice: &Choice) -> Vec<Interface> {
    let all = choice.all.iter();
    all.map(|local| Interface { address: local.ip, index: local.index }).collect()
}
