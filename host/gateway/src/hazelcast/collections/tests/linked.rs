//! Two members in this process, whose grids are linked in memory.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::session::Receipt;
use convoke_grid::{Grid, GridSettings, KeyHasher, MapCatalog};
use convoke_membership::view::Departure;
use convoke_membership::{Member, MemberId, View, ViewId};
use tokio::task::JoinHandle;

use super::super::super::Server;
use super::super::super::tests::server_on;
use super::super::kind;
use super::WAIT_MAX;
use crate::testing::Process;
use crate::trust::Passwords;

/// Time between ticks of the grids.
const TICK: Duration = Duration::from_millis(5);

/// Two members that serve clients.
pub(in crate::hazelcast) struct Members {
    grids: Vec<Grid>,
    servers: Vec<(Arc<Server>, SocketAddr)>,
    view: View,
    /// The links between them, and the ticks of the first one.
    tasks: Vec<JoinHandle<()>>,
}

fn member(age: u64) -> Member {
    Member {
        id: MemberId::new_now(),
        addresses: vec!["127.0.0.1:6900".parse().unwrap()],
        name: "m".into(),
        group: "g".into(),
        lite: false,
        modes: String::new(),
        http: None,
        resp: None,
        hazelcast: None,
        generation: 1,
        age,
    }
}

fn ticking(grid: Grid) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            grid.tick();
            tokio::time::sleep(TICK).await;
        }
    })
}

/// Delivers the messages of one grid to another, and what that sends back.
async fn link(from: Grid, to: Grid) {
    let (sender, receiver) = (from.peer(to.me()).unwrap(), to.peer(from.me()).unwrap());
    loop {
        poll_fn(|context| sender.poll_connect(context)).await;
        let session = sender.session();
        let opened = to.handle_opened(from.me(), session, sender.acknowledged()).unwrap();
        let Receipt::Resume { received, refused, .. } = opened.receipt else { return };
        if !from.handle_resumed(to.me(), session, received, &refused) {
            sender.handle_closed();
            continue;
        }
        loop {
            tokio::select! {
                payload = poll_fn(|context| receiver.poll_out_of_band(context)) => {
                    from.handle_out_of_band(to.me(), &payload);
                }
                bytes = poll_fn(|context| sender.poll_send(context)) => {
                    let Some(bytes) = bytes else { break };
                    let receipt = to.handle_bytes(from.me(), opened.connection, &bytes);
                    let Some(Receipt::Received { received, refused }) = receipt else { break };
                    from.handle_received(to.me(), session, received, &refused);
                }
            }
        }
        sender.handle_closed();
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, wait).await.expect("the condition");
}

impl Members {
    pub(in crate::hazelcast) async fn start() -> Self {
        let (one, two) = (member(1), member(2));
        let settings =
            GridSettings { partitions: Some(7), min_members: 1, hasher: KeyHasher::new([7; 16]) };
        let grid = |id| {
            let process = Arc::new(Process::new());
            Grid::new(id, process, settings.clone(), MapCatalog::default())
        };
        let grids = vec![grid(one.id), grid(two.id)];
        let id = ViewId { epoch: 1, version: 2, coordinator: one.id };
        let view = View::founded_by(one).with(id, &[two], &[]).unwrap();
        for grid in &grids {
            grid.expect_view(&view);
        }
        for grid in &grids {
            grid.handle_view(&view);
        }
        let mut tasks = vec![ticking(grids[0].clone())];
        ticking(grids[1].clone());
        for (from, to) in [(0, 1), (1, 0)] {
            tasks.push(tokio::spawn(link(grids[from].clone(), grids[to].clone())));
        }
        until(|| grids.iter().all(Grid::is_safe)).await;
        let mut servers = Vec::new();
        for grid in &grids {
            servers.push(server_on(grid.clone(), Passwords::default()).await);
        }
        Self { grids, servers, view, tasks }
    }

    pub(in crate::hazelcast) fn address(&self, member: usize) -> SocketAddr {
        self.servers[member].1
    }

    pub(in crate::hazelcast) fn server(&self, member: usize) -> &Server {
        &self.servers[member].0
    }

    /// The name of a collection whose primary is this member.
    pub(in crate::hazelcast) fn name_at(&self, member: usize) -> String {
        let table = self.grids[0].table().unwrap();
        let is_there = |name: &String| {
            let mut stored = Vec::new();
            let partition = kind::key(&self.servers[member].0, name, &mut stored).unwrap();
            let primary = table.partitions[usize::from(partition)].primary();
            primary == Some(self.grids[member].me())
        };
        (0..1_000).map(|number| format!("q{number}")).find(is_there).unwrap()
    }

    /// All members know the listeners of the others.
    pub(in crate::hazelcast) async fn announced(&self) {
        for grid in &self.grids {
            grid.announcements_received().await;
        }
    }

    /// The first member is lost.
    pub(super) async fn lose_first(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        let left = &self.grids[1];
        let id = ViewId { epoch: 1, version: 3, coordinator: left.me() };
        let view = self.view.with(id, &[], &[(self.grids[0].me(), Departure::Lost)]).unwrap();
        left.expect_view(&view);
        left.handle_view(&view);
        self.view = view;
        until(|| left.is_safe()).await;
    }
}
