//! A DNS server for one test: UDP and TCP, with records that the test changes while members run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

use crate::lab::Host;
use crate::ports;
use crate::server_thread::ServerThread;

/// Time after which an idle TCP connection is closed.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Maximum number of pending answers on one TCP connection.
const ANSWERS_MAX: usize = 32;

/// How a server answers queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behavior {
    /// According to its records.
    #[default]
    Normal,
    /// No answer.
    Silent,
    /// SERVFAIL to everything.
    Failing,
    /// REFUSED to everything.
    Refusing,
    /// According to its records, after a delay in milliseconds.
    Slow(u64),
}

/// A running server. Dropping it stops it and frees its port.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    _thread: ServerThread,
}

/// The data of a server.
#[derive(Debug, Default)]
struct Zone {
    state: Mutex<State>,
    queries: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    behavior: Behavior,
    /// Names that fail although the server behaves normally.
    failing: Vec<String>,
    records: BTreeMap<String, Vec<Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    data: RData,
    ttl_s: u32,
}

impl DnsServer {
    /// Starts one on an unused port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(ports::block(1))
    }

    /// Starts one on `port` of loopback, with no records.
    ///
    /// # Panics
    /// If the port is in use.
    #[must_use]
    pub fn start_at(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self::serve(address, move || async move {
            let udp = ports::bind(async || UdpSocket::bind(address).await).await;
            let tcp = ports::bind(async || TcpListener::bind(address).await).await;
            (udp, tcp)
        })
    }

    /// Starts one on port 53 of a host of a lab, with no records. A link-local address is scoped to
    /// the host's `eth0`.
    ///
    /// # Panics
    /// If the host does not have the address.
    #[must_use]
    pub fn start_on(host: &Host, ip: impl Into<IpAddr>) -> Self {
        let ip = ip.into();
        let (address, udp, tcp) = host.inside(|| {
            let address = match ip {
                IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                    let any = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
                    let interface = rustix::net::netdevice::name_to_index(&any, "eth0");
                    SocketAddrV6::new(ip, 53, 0, interface.expect("each host has eth0")).into()
                }
                ip => SocketAddr::new(ip, 53),
            };
            let udp = std::net::UdpSocket::bind(address).expect("the address is the host's");
            let tcp = std::net::TcpListener::bind(address).expect("the port is free");
            udp.set_nonblocking(true)
                .and(tcp.set_nonblocking(true))
                .expect("sockets can be non-blocking");
            (address, udp, tcp)
        });
        Self::serve(address, move || async move {
            let here = "called within a runtime";
            (UdpSocket::from_std(udp).expect(here), TcpListener::from_std(tcp).expect(here))
        })
    }

    fn serve<F>(address: SocketAddr, bind: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = (UdpSocket, TcpListener)>,
    {
        let zone = Arc::new(Zone::default());
        let served = Arc::clone(&zone);
        let (thread, ()) = ServerThread::start(move || async move {
            let (udp, tcp) = bind().await;
            let mut server = Server::new(Handler(served));
            server.register_socket(udp);
            server.register_listener(tcp, IDLE_MAX, ANSWERS_MAX);
            // It answers until the runtime is stopped.
            tokio::spawn(async move { server.block_until_done().await });
        });
        Self { address, zone, _thread: thread }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of queries so far.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.zone.queries.load(Ordering::Relaxed)
    }

    /// Sets how it answers queries.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.change(|state| state.behavior = behavior);
    }

    /// Lets queries for one name fail.
    pub fn fail(&self, name: &str) {
        self.change(|state| state.failing.push(key(name)));
    }

    /// Replaces the addresses of a name.
    pub fn set<T: Into<IpAddr> + Copy>(&self, name: &str, addresses: &[T], ttl_s: u32) {
        let data = addresses.iter().map(|&address| match address.into() {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        });
        self.replace(name, data, ttl_s);
    }

    /// Replaces the SRV records of a service: priority, port and host of each.
    pub fn set_service(&self, name: &str, targets: &[(u16, u16, &str)], ttl_s: u32) {
        let data = targets
            .iter()
            .map(|&(priority, port, host)| RData::SRV(SRV::new(priority, 1, port, absolute(host))));
        self.replace(name, data, ttl_s);
    }

    /// Makes a name an alias of another one.
    pub fn set_alias(&self, name: &str, of: &str, ttl_s: u32) {
        self.replace(name, [RData::CNAME(CNAME(absolute(of)))], ttl_s);
    }

    /// Removes a name.
    pub fn remove(&self, name: &str) {
        self.change(|state| state.records.remove(&key(name)));
    }

    fn replace(&self, name: &str, data: impl IntoIterator<Item = RData>, ttl_s: u32) {
        let entries = data.into_iter().map(|data| Entry { data, ttl_s }).collect();
        self.change(|state| state.records.insert(key(name), entries));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.zone.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The normalized form of a name.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn absolute(name: &str) -> Name {
    let name = if name == "." { String::new() } else { key(name) };
    Name::from_ascii(format!("{name}.")).expect("a valid name")
}

impl Zone {
    /// The answer to one query.
    fn answer(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, ResponseCode> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.behavior == Behavior::Refusing {
            return Err(ResponseCode::Refused);
        }
        if state.behavior == Behavior::Failing || state.failing.contains(&key(name)) {
            return Err(ResponseCode::ServFail);
        }
        let Some(entries) = state.records.get(&key(name)) else {
            return Err(ResponseCode::NXDomain);
        };
        let fits = |entry: &&Entry| {
            let found = entry.data.record_type();
            found == kind || found == RecordType::CNAME
        };
        let record =
            |entry: &Entry| Record::from_rdata(absolute(name), entry.ttl_s, entry.data.clone());
        Ok(entries.iter().filter(fits).map(record).collect())
    }

    fn behavior(&self) -> Behavior {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).behavior
    }
}

struct Handler(Arc<Zone>);

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        self.0.queries.fetch_add(1, Ordering::Relaxed);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        match self.0.behavior() {
            Behavior::Silent => {
                return ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
            }
            Behavior::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            _ => {}
        }
        let answer = match request.request_info() {
            Ok(info) => {
                let name = info.query.name().to_string();
                self.0.answer(&name, info.query.query_type())
            }
            Err(_) => Err(ResponseCode::FormErr),
        };
        let builder = MessageResponseBuilder::from_message_request(request);
        let sent = match &answer {
            Ok(records) => {
                response.send_response(builder.build(metadata, records, [], [], [])).await
            }
            Err(code) => response.send_response(builder.error_msg(&request.metadata, *code)).await,
        };
        sent.unwrap_or_else(|error| panic!("an answer cannot be sent: {error}"))
    }
}
