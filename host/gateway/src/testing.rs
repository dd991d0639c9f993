//! A grid of one member, and a RESP server on it, for tests.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_grid::{Grid, GridSettings, Host, KeyHasher, MapCatalog, Report};
use convoke_membership::{Member, MemberId, View};

use crate::pubsub::PubSub;
use crate::resp::answer::{Answer, Outcome};
use crate::resp::client::{Client, ClientInfo};
use crate::resp::commands;
use crate::resp::request::Request;
use crate::resp::server::{Cluster, ClusterNode, RespSettings, Server};
use crate::trust::{Passwords, Trust};

/// The process of the test.
struct Process {
    started: Instant,
}

impl Host for Process {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        crate::resp::server::now_ms()
    }

    fn random(&self) -> u64 {
        4
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn report(&self, _: Report) {}
}

/// A member alone, ready to serve. Needs a runtime, whose test does not pause: the
/// grid is driven only here.
pub(crate) fn single_member_grid() -> Grid {
    single_member_grid_with(MapCatalog::default())
}

/// As [`single_member_grid`], with settings of maps.
pub(crate) fn single_member_grid_with(catalog: MapCatalog) -> Grid {
    let settings =
        GridSettings { partitions: Some(7), min_members: 1, hasher: KeyHasher::new([7; 16]) };
    let me = MemberId::new_now();
    let process = Arc::new(Process { started: Instant::now() });
    let grid = Grid::new(me, process, settings, catalog);
    let member = Member {
        id: me,
        addresses: vec!["127.0.0.1:6900".parse().unwrap()],
        name: "lone".into(),
        group: "test".into(),
        lite: false,
        modes: String::new(),
        http: None,
        resp: None,
        generation: 1,
        age: 1,
    };
    let view = View::founded_by(member);
    grid.expect_view(&view);
    grid.handle_view(&view);
    grid.tick();
    grid
}

/// The members that clients of a Redis Cluster are shown: none.
struct NoNodes;

impl Cluster for NoNodes {
    fn nodes(&self) -> Vec<ClusterNode> {
        Vec::new()
    }
}

/// A RESP server on a grid. It listens nowhere.
pub(crate) fn server_on(grid: Grid, passwords: Passwords) -> Arc<Server> {
    server_with(grid, RespSettings { passwords, clients_max: 100, ..RespSettings::default() })
}

/// As [`server_on`], with settings.
pub(crate) fn server_with(grid: Grid, settings: RespSettings) -> Arc<Server> {
    let pubsub = PubSub::new(grid.clone());
    Server::new(grid, pubsub, settings, Arc::new(NoNodes), 6379)
}

/// Hands a request of these words to `work`.
pub(crate) fn with_request<R>(words: &[&[u8]], work: impl FnOnce(&Request<'_>) -> R) -> R {
    let mut at = 0;
    let arguments: Vec<_> = words
        .iter()
        .map(|word| {
            let start = at;
            at += word.len();
            start..at
        })
        .collect();
    work(&Request::of(&words.concat(), &arguments))
}

/// A client of that server, which may do so much.
pub(crate) fn client_of(server: &Arc<Server>, trust: Trust) -> Client {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let info = Arc::new(ClientInfo::new(1, address, address, server.elapsed_ms()));
    let mut client = Client::new(server, info).expect("the first database can be opened");
    client.set_trust(trust);
    client
}

/// Does a command, and waits for what comes of it.
pub(crate) async fn call(client: &mut Client, words: &[&[u8]]) -> Answer {
    let mut sink = Vec::new();
    let mut outcome = with_request(words, |request| commands::begin(client, request, &mut sink));
    loop {
        outcome = match outcome {
            // A value that was at hand is written already.
            Outcome::Ready(Answer::Nothing) if !sink.is_empty() => return written(&sink),
            Outcome::Ready(answer) | Outcome::Close(answer) => return answer,
            Outcome::Pending(later) | Outcome::Barrier(later) | Outcome::Blocking(later) => {
                return later.await;
            }
            Outcome::Continue(next) => next.await(client),
            Outcome::WhenIdle(next) => next(client),
        }
    }
}

/// A bulk string, or nil, as it was written.
fn written(bytes: &[u8]) -> Answer {
    let end = bytes.windows(2).position(|end| end == b"\r\n").expect("a line ends");
    if bytes[..end] == *b"$-1" || bytes[..end] == *b"_" {
        return Answer::NIL;
    }
    Answer::bytes(&bytes[end + 2..bytes.len() - 2])
}
