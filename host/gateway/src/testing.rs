//! A grid of a single member, and a RESP server on it, for tests.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_grid::{Grid, GridSettings, Host, KeyHasher, MapCatalog, Report};
use convoke_membership::{Member, MemberId, View};
use parking_lot::Mutex;

use crate::pubsub::PubSub;
use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::client_info::ClientInfo;
use crate::resp::command_state::CommandState;
use crate::resp::dispatch;
use crate::resp::request::{OwnedRequest, Request};
use crate::resp::server::{Cluster, ClusterNode, RespSettings, Server};
use crate::trust::{Passwords, Trust};

/// Time between ticks of the grid.
const TICK: Duration = Duration::from_millis(5);

/// Longest time that counts as passed between two readings of the clock of [`Process`].
const STEP_MAX: Duration = Duration::from_millis(200);

/// The host of a grid: the test process. Its clock stops while the process gets no processor time, so
/// that no lease ends on a busy machine.
pub(crate) struct Process {
    started: Instant,
    clock: Mutex<Clock>,
}

#[derive(Default)]
struct Clock {
    last: Duration,
    skipped: Duration,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), clock: Mutex::default() }
    }
}

impl Host for Process {
    fn now(&self) -> Duration {
        let mut clock = self.clock.lock();
        let elapsed = self.started.elapsed();
        let step = elapsed.saturating_sub(clock.last);
        clock.last = elapsed;
        clock.skipped += step.saturating_sub(STEP_MAX);
        elapsed - clock.skipped
    }

    fn unix_ms(&self) -> u64 {
        crate::clock::unix_ms()
    }

    fn random(&self) -> u64 {
        u64::from(self.started.elapsed().subsec_nanos())
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn report(&self, _: Report) {}
}

/// The grid of a single member, ready to serve. Must be called in a runtime whose clock is not
/// paused: `tick` renews the lease, without which a test that takes long would wait forever.
pub(crate) fn single_member_grid() -> Grid {
    single_member_grid_with(MapCatalog::default())
}

/// Like [`single_member_grid`], with settings of maps.
pub(crate) fn single_member_grid_with(catalog: MapCatalog) -> Grid {
    let settings =
        GridSettings { partitions: Some(7), min_members: 1, hasher: KeyHasher::new([7; 16]) };
    let me = MemberId::new_now();
    let process = Arc::new(Process::new());
    let grid = Grid::new(me, process, settings, catalog);
    let member = Member {
        id: me,
        addresses: vec!["127.0.0.1:6900".parse().unwrap()],
        name: "single".into(),
        group: "test".into(),
        lite: false,
        modes: String::new(),
        http: None,
        resp: None,
        hazelcast: None,
        generation: 1,
        age: 1,
    };
    let view = View::founded_by(member);
    grid.expect_view(&view);
    grid.handle_view(&view);
    grid.tick();
    // Without ticks the lease ends after a second, and operations wait forever.
    let ticking = grid.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(TICK).await;
            ticking.tick();
        }
    });
    grid
}

/// A cluster without nodes.
struct NoNodes;

impl Cluster for NoNodes {
    fn nodes(&self) -> Vec<ClusterNode> {
        Vec::new()
    }
}

/// A RESP server on a grid, without listeners.
pub(crate) fn server_on(grid: Grid, passwords: Passwords) -> Arc<Server> {
    server_with(grid, RespSettings { passwords, clients_max: 100, ..RespSettings::default() })
}

/// Like [`server_on`], with settings.
pub(crate) fn server_with(grid: Grid, settings: RespSettings) -> Arc<Server> {
    let pubsub = PubSub::new(grid.clone());
    Server::new(grid, pubsub, settings, Arc::new(NoNodes), 6379)
}

/// Passes a request with these arguments to `work`.
pub(crate) fn with_request<R>(args: &[&[u8]], work: impl FnOnce(&Request<'_>) -> R) -> R {
    work(&OwnedRequest::of(args.iter().copied()).as_request())
}

/// What a server knows of a client with this number, without a connection.
pub(crate) fn info(id: u64) -> Arc<ClientInfo> {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let buffer = Arc::new(crate::output_buffer::OutputBuffer::new(&Arc::default()));
    Arc::new(ClientInfo::new(id, address, address, 1, buffer))
}

/// A client of the server with a number of its own, which other clients see.
pub(crate) fn numbered_client(server: &Arc<Server>, id: u64, trust: Trust) -> Client {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let buffer = server.pubsub.output_buffer();
    let info = Arc::new(ClientInfo::new(id, address, address, server.elapsed_ms(), buffer));
    server.add_client(&info);
    let mut client = Client::new(server, info).expect("the first database can be opened");
    client.set_trust(trust);
    client
}

/// A client of the server, with the given permissions.
pub(crate) fn client_of(server: &Arc<Server>, trust: Trust) -> Client {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let buffer = server.pubsub.output_buffer();
    let info = Arc::new(ClientInfo::new(1, address, address, server.elapsed_ms(), buffer));
    let mut client = Client::new(server, info).expect("the first database can be opened");
    client.set_trust(trust);
    client
}

/// Runs a command to completion and returns its reply.
pub(crate) async fn call(client: &mut Client, args: &[&[u8]]) -> Answer {
    let mut sink = Vec::new();
    let mut outcome = with_request(args, |request| dispatch::begin(client, request, &mut sink));
    loop {
        outcome = match outcome {
            // The reply was written to the output already.
            CommandState::Ready(Answer::Nothing) if !sink.is_empty() => return written(&sink),
            CommandState::Ready(answer) | CommandState::Close(answer) => return answer,
            CommandState::Pending(later)
            | CommandState::Barrier(later)
            | CommandState::Blocking(later) => {
                return later.await;
            }
            CommandState::Continue(next) => next.await(client),
            CommandState::WhenIdle(next) => next(client),
        }
    }
}

/// Parses a bulk string, nil or error that was written to the output.
fn written(bytes: &[u8]) -> Answer {
    let end = bytes.windows(2).position(|end| end == b"\r\n").expect("a line ends");
    if bytes[..end] == *b"$-1" || bytes[..end] == *b"_" {
        return Answer::NIL;
    }
    if bytes[0] == b'-' {
        return Answer::Error(String::from_utf8_lossy(&bytes[1..end]).into_owned().into());
    }
    Answer::bytes(&bytes[end + 2..bytes.len() - 2])
}
