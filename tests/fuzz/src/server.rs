//! A member in this process: a single grid, driven as a member drives it, with RESP and HTTP.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use convoke_gateway::hazelcast;
use convoke_gateway::http::{self, Pages, Web};
use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::server::{Cluster, ClusterNode, RespSettings, Server};
use convoke_gateway::{Node, admin};
use convoke_grid::{Grid, GridSettings, Host, KeyHasher, MapCatalog, Report};
use convoke_membership::{Member, MemberId, View};
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Interval at which a member's grid is ticked.
const TICK: Duration = Duration::from_millis(50);

/// Worker threads of the member.
const WORKERS: usize = 2;

/// Time limit of a command.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Limit of the resident memory of this process, in MiB; exceeding it is a finding.
pub(crate) const RESIDENT_MIB_MAX: u64 = 3_000;

/// Number of partitions; low, so that keys share partitions.
const PARTITIONS: u16 = 7;

/// Clocks, randomness and tasks of a grid (its `Host`).
pub(crate) struct Process {
    started: Instant,
    /// Offset of all clocks, in milliseconds.
    ahead_ms: AtomicU64,
}

impl Process {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), ahead_ms: AtomicU64::new(0) })
    }

    /// Advances the clocks.
    pub(crate) fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Host for Process {
    fn now(&self) -> Duration {
        self.started.elapsed() + Duration::from_millis(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        now.saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn report(&self, _: Report) {}
}

/// The settings of all grids here.
pub(crate) fn grid_settings() -> GridSettings {
    GridSettings { partitions: Some(PARTITIONS), min_members: 1, hasher: KeyHasher::new([7; 16]) }
}

/// A member with this id and age.
pub(crate) fn member(id: MemberId, age: u64) -> Member {
    Member {
        id,
        addresses: vec![SocketAddr::from(([127, 0, 0, 1], 6900))],
        name: format!("member-{age}"),
        group: "fuzz".into(),
        lite: false,
        modes: String::new(),
        http: None,
        resp: None,
        hazelcast: None,
        generation: 1,
        age,
    }
}

struct Nodes;

impl Cluster for Nodes {
    fn nodes(&self) -> Vec<ClusterNode> {
        Vec::new()
    }
}

impl Node for Nodes {
    fn unready(&self) -> Option<String> {
        None
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "cluster": { "size": 1 } })
    }

    fn members(&self) -> serde_json::Value {
        serde_json::json!({ "size": 1 })
    }

    fn partitions(&self) -> serde_json::Value {
        serde_json::json!({ "safe": true })
    }

    fn overview(&self) -> admin::Overview {
        admin::Overview::default()
    }

    fn metrics(&self) -> String {
        "convoke_members 1\n".to_owned()
    }
}

/// A running member. Dropping it stops it.
pub(crate) struct Served {
    pub(crate) resp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) hazelcast: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .expect("a runtime");
        let (resp, http, hazelcast) = runtime.block_on(async {
            let id = MemberId::new_now();
            let grid = Grid::new(id, Process::new(), grid_settings(), MapCatalog::default());
            let view = View::founded_by(member(id, 1));
            grid.expect_view(&view);
            grid.handle_view(&view);
            grid.tick();
            let listen = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let (resp, http, hazelcast) = (listen().await, listen().await, listen().await);
            let addresses = (address(&resp), address(&http), address(&hazelcast));
            let pubsub = PubSub::new(grid.clone());
            let settings = RespSettings { clients_max: 100, ..RespSettings::default() };
            let nodes = Arc::new(Nodes);
            let port = addresses.0.port();
            let server = Server::new(
                grid.clone(),
                Arc::clone(&pubsub),
                settings.clone(),
                Arc::clone(&nodes) as Arc<dyn Cluster>,
                port,
            );
            tokio::spawn(server.serve(vec![resp]));
            let server = hazelcast::Server::new(
                grid.clone(),
                Arc::clone(&pubsub),
                hazelcast::HazelcastSettings::default(),
                Arc::clone(&nodes) as Arc<dyn Cluster>,
                addresses.2.port(),
            );
            tokio::spawn(server.serve(vec![hazelcast]));
            let web = Web::new(nodes, grid.clone(), pubsub, settings.passwords);
            tokio::spawn(http::serve(vec![http], web, Pages::Member));
            tokio::spawn(async move {
                let mut tick = tokio::time::interval(TICK);
                loop {
                    tick.tick().await;
                    grid.tick();
                }
            });
            addresses
        });
        Self { resp, http, hazelcast, runtime: Some(runtime) }
    }

    /// Whether a new client is still answered.
    pub(crate) fn answers(&self) -> bool {
        let Ok(mut client) = Client::connect(self.resp) else { return false };
        matches!(client.call(&[b"PING"]), Ok(Value::Word(word)) if word == "PONG")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("it is bound")
}

/// Resident memory of this process, in MiB.
pub(crate) fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Word(String),
    Error(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Nil,
    List(Vec<Self>),
}

/// A client that speaks RESP2.
pub(crate) struct Client {
    stream: TcpStream,
    input: VecDeque<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_nodelay(true)?;
        reset_on_close(&stream)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, input: VecDeque::new() })
    }

    pub(crate) fn call<W: AsRef<[u8]>>(&mut self, args: &[W]) -> io::Result<Value> {
        self.send(&encode(args))?;
        self.receive()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] or [`ErrorKind::TimedOut`] if it times out.
    pub(crate) fn receive(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(ErrorKind::InvalidData)?;
        let text = String::from_utf8_lossy(rest).into_owned();
        let number = || text.parse::<i64>().map_err(|_| io::Error::from(ErrorKind::InvalidData));
        match kind {
            b'+' => Ok(Value::Word(text)),
            b'-' => Ok(Value::Error(text)),
            b':' => Ok(Value::Integer(number()?)),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Ok(Value::Nil),
                Ok(length) => {
                    let mut bytes = self.take(length + 2)?;
                    bytes.truncate(length);
                    Ok(Value::Bytes(bytes))
                }
            },
            b'*' => match usize::try_from(number()?) {
                Err(_) => Ok(Value::Nil),
                Ok(count) => {
                    Ok(Value::List((0..count).map(|_| self.receive()).collect::<io::Result<_>>()?))
                }
            },
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Reads until the other side closes the connection, or sends nothing for `silence`.
    pub(crate) fn drain(&mut self, silence: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(silence))?;
        let mut bytes = [0; 4096];
        while self.stream.read(&mut bytes)? > 0 {}
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.truncate(end.saturating_sub(1));
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.fill()?;
        }
        Ok(self.input.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.input.extend(&bytes[..count]);
                Ok(())
            }
        }
    }
}

/// Lets a connection close without the TIME_WAIT state.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// A request: an array of bulk strings.
pub(crate) fn encode<W: AsRef<[u8]>>(args: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Whether an error is a timeout.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
