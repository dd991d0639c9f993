//! Grids on top of simulated members, their connections, and clients.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use convoke_grid::op::{Lifetime, PlainOp, PutAnswer, PutIf};
use convoke_grid::{
    Grid, GridSettings, Host, KeyHasher, KeyOp, MapCatalog, Op, OpError, Opened, Receipt, Reply,
    Report, Started,
};
use parking_lot::Mutex;
use rand::{Rng as _, RngExt as _};

use crate::network::Node;
use crate::oracle::{Oracle, Outcome, Read};
use crate::world::World;

/// Time step of the simulation.
pub(crate) const STEP: Duration = Duration::from_millis(2);
/// Time until a broken connection is noticed.
const SILENCE: Duration = Duration::from_millis(1_000);
/// Time until the owner of a grid connects again.
const REDIAL: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(convoke_grid::grid::TICK_MS);
/// Real time at the start, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The environment of a simulated process.
pub(crate) struct SimHost {
    /// Virtual time, in microseconds.
    clock: Arc<AtomicU64>,
    started_us: u64,
    /// Error of the machine's clock, in milliseconds.
    pub(crate) skew_ms: AtomicI64,
    random: Mutex<rand::rngs::StdRng>,
    name: Node,
    spawned: Mutex<Vec<Task>>,
    pub(crate) reports: Mutex<Vec<Report>>,
}

impl Host for SimHost {
    fn now(&self) -> Duration {
        Duration::from_micros(self.clock.load(Ordering::Relaxed) - self.started_us)
    }

    fn unix_ms(&self) -> u64 {
        let ms = START_MS + self.clock.load(Ordering::Relaxed) / 1_000;
        ms.saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        self.random.lock().next_u64()
    }

    fn spawn(&self, task: Task) {
        self.spawned.lock().push(task);
    }

    fn report(&self, report: Report) {
        if std::env::var_os("TRACE").is_some() {
            let what = match &report {
                Report::Table { table, safe, .. } => {
                    let ancestors: Vec<_> =
                        table.ancestors.iter().take(3).map(ToString::to_string).collect();
                    let members: Vec<_> = table.members.iter().map(|k| k.generation).collect();
                    format!("table {} of {members:?} from {ancestors:?} safe {safe}", table.stamp)
                }
                other => format!("{other:?}"),
            };
            println!("{:?} {}: {what}", self.now(), self.name);
        }
        self.reports.lock().push(report);
    }
}

/// One member's grid.
pub(crate) struct Member {
    pub(crate) grid: Grid,
    pub(crate) host: Arc<SimHost>,
    tasks: Vec<Task>,
    views: usize,
    ticked: Duration,
    /// Events that arrived while the process was paused.
    held: Vec<Event>,
}

enum Event {
    Open {
        from: Node,
        to: Node,
        connection: u64,
        session: u64,
        acknowledged: u64,
    },
    Resumed {
        from: Node,
        to: Node,
        connection: u64,
        opened: Option<Opened>,
    },
    Bytes {
        from: Node,
        to: Node,
        connection: u64,
        opened: u64,
        bytes: Bytes,
    },
    Receipt {
        from: Node,
        to: Node,
        connection: u64,
        receipt: Option<Receipt>,
    },
    Closed {
        from: Node,
        to: Node,
        connection: u64,
    },
    /// Sent back over the connection that the receiver opened.
    OutOfBand {
        from: Node,
        to: Node,
        bytes: Bytes,
    },
}

impl Event {
    /// The node that handles the event.
    fn node(&self) -> Node {
        match self {
            Self::Open { to, .. } | Self::Bytes { to, .. } | Self::OutOfBand { to, .. } => *to,
            Self::Resumed { from, .. } | Self::Receipt { from, .. } | Self::Closed { from, .. } => {
                *from
            }
        }
    }
}

/// A connection from one node to another.
struct Connection {
    id: u64,
    session: u64,
    /// The receiver's number of the connection, once it has answered.
    opened: u64,
    open: bool,
    /// Arrival of the last message, which later ones do not overtake.
    there_at: Duration,
    back_at: Duration,
    cut: bool,
}

/// A cluster with data.
pub(crate) struct Store {
    pub(crate) world: World,
    pub(crate) members: Vec<Member>,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) partitions: u16,
    /// The configuration of members that start from now on.
    pub(crate) catalog: MapCatalog,
    min_members: u32,
    clock: Arc<AtomicU64>,
    connections: BTreeMap<(Node, Node), Connection>,
    redial_at: BTreeMap<(Node, Node), Duration>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    count: u64,
    /// Number of keys that clients use.
    pub(crate) keys: u64,
    /// Requests of all clients in one second.
    pub(crate) rate: f64,
    /// Lifetime of written values, in milliseconds; unlimited if `None`.
    pub(crate) ttl_ms: Option<u64>,
    /// The share of written values that expire, and the range of their lifetimes in milliseconds.
    pub(crate) some_expire: Option<(f64, std::ops::Range<u64>)>,
    /// Digest of all events: the same for the same seed.
    pub(crate) trace: u64,
    /// Clients that act in each step in which clients send requests.
    pub(crate) clients: Option<Act>,
    side: u32,
    island: Option<HashSet<Node>>,
}

/// What clients do in a step.
pub(crate) type Act = Box<dyn FnMut(&mut Store)>;

impl Store {
    pub(crate) fn new(seed: u64, partitions: u16, catalog: MapCatalog) -> Self {
        Self {
            world: World::new(seed),
            members: Vec::new(),
            oracle: Arc::default(),
            partitions,
            catalog,
            min_members: 0,
            clock: Arc::default(),
            connections: BTreeMap::new(),
            redial_at: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            count: 0,
            keys: 40,
            rate: 200.0,
            ttl_ms: None,
            some_expire: None,
            trace: 0,
            clients: None,
            side: 0,
            island: None,
        }
    }

    pub(crate) fn min_members(mut self, count: u32) -> Self {
        self.min_members = count;
        self
    }

    /// Starts a member that discovers `finds`, on a machine whose clock is a little wrong.
    pub(crate) fn start(&mut self, lite: bool, finds: &[Node]) -> Node {
        self.start_with_clock(lite, finds, None)
    }

    /// Starts a member that discovers `finds`, on a machine whose clock is wrong by `skew_ms`, or by
    /// a random time of up to three seconds.
    pub(crate) fn start_with_clock(
        &mut self,
        lite: bool,
        finds: &[Node],
        skew_ms: Option<i64>,
    ) -> Node {
        let node = self.world.start(lite, finds);
        let random = rand::SeedableRng::seed_from_u64(self.world.rng.next_u64());
        let skew_ms = skew_ms.unwrap_or_else(|| self.world.rng.random_range(-3_000..3_000));
        let host = Arc::new(SimHost {
            clock: Arc::clone(&self.clock),
            started_us: self.world.now.as_micros() as u64,
            skew_ms: AtomicI64::new(skew_ms),
            random: Mutex::new(random),
            name: node,
            spawned: Mutex::default(),
            reports: Mutex::default(),
        });
        let settings = GridSettings {
            partitions: Some(self.partitions),
            min_members: self.min_members,
            hasher: KeyHasher::new([7; 16]),
        };
        let me = self.world.nodes[node].core.me().id;
        let grid = Grid::new(me, Arc::clone(&host) as _, settings, self.catalog.clone());
        self.members.push(Member {
            grid,
            host,
            tasks: Vec::new(),
            views: 0,
            ticked: self.world.now,
            held: Vec::new(),
        });
        node
    }

    /// Grows to this number of members, and waits until data is safe.
    pub(crate) fn grow(&mut self, size: usize) {
        for n in 0..size {
            let finds: Vec<Node> = if n == 0 { vec![] } else { vec![n - 1] };
            self.start(false, &finds);
            self.run(Duration::from_millis(100));
        }
        self.settle();
    }

    /// Partitions the network: separates the nodes on the island from the others.
    pub(crate) fn split(&mut self, island: &[Node]) {
        self.world.network.island = Some(island.iter().copied().collect());
        self.island = self.world.network.island.clone();
        self.side += 2;
        self.cut();
    }

    pub(crate) fn heal(&mut self) {
        self.world.network.island = None;
        self.cut();
    }

    /// The side of a split that a client of this member is on. The sides differ until they have
    /// merged.
    pub(crate) fn side_of(&self, node: Node) -> u32 {
        let island = self.island.as_ref();
        island.map_or(0, |island| self.side + u32::from(island.contains(&node)))
    }

    /// Whether the network is split, or not all members have joined again since.
    pub(crate) fn is_split(&self) -> bool {
        self.island.is_some()
    }

    /// Breaks connections between nodes that cannot reach each other; that is noticed after a
    /// while.
    pub(crate) fn cut(&mut self) {
        let mut cut = Vec::new();
        for ((from, to), connection) in &mut self.connections {
            let there = self.world.nodes[*to].alive && self.world.network.connects(*from, *to);
            if !there && !connection.cut {
                connection.cut = true;
                cut.push((*from, *to, connection.id));
            }
        }
        for (from, to, connection) in cut {
            let after = if self.world.nodes[to].alive { SILENCE } else { STEP };
            self.at(self.world.now + after, Event::Closed { from, to, connection });
        }
    }

    pub(crate) fn crash(&mut self, node: Node) {
        self.world.crash(node);
        self.lose_sent(node);
        self.members[node].tasks.clear();
        self.cut();
    }

    /// The last bytes that a crashed member sent do not all arrive: each of its streams is cut at a
    /// random moment.
    fn lose_sent(&mut self, node: Node) {
        let now = self.world.now;
        let cuts: Vec<_> = (0..self.members.len())
            .map(|_| now + Duration::from_millis(self.world.rng.random_range(0..10)))
            .collect();
        let events = &mut self.events;
        self.queue.retain(|Reverse((at, key))| {
            let is_lost = match &events[key] {
                Event::Bytes { from, to, .. } => *from == node && *at > cuts[*to],
                _ => false,
            };
            if is_lost {
                events.remove(key);
            }
            !is_lost
        });
    }

    /// Makes a member leave gracefully: it hands over its data, then leaves the view.
    pub(crate) fn leave(&mut self, node: Node) {
        let mut leaving = self.members[node].grid.leave();
        let limit = self.world.now + Duration::from_secs(20);
        let mut context = Context::from_waker(Waker::noop());
        while leaving.as_mut().poll(&mut context).is_pending() {
            assert!(
                self.world.now < limit,
                "SEED={}: {node} cannot leave {}",
                self.world.seed,
                self.tables()
            );
            self.drive(node);
            self.run_with_clients(Duration::from_millis(20));
        }
        // Its clients get their replies first.
        self.run(Duration::from_millis(100));
        self.world.leave(node);
        self.run(Duration::from_secs(2));
        self.cut();
    }

    /// All members leave at once. Returns how long the slowest takes to hand over its data.
    pub(crate) fn leave_all(&mut self) -> Duration {
        let started = self.world.now;
        let mut leaving: Vec<_> =
            self.living().into_iter().map(|node| self.members[node].grid.leave()).collect();
        let mut context = Context::from_waker(Waker::noop());
        while !leaving.is_empty() {
            assert!(
                self.world.now < started + Duration::from_secs(60),
                "the members wait for each other"
            );
            leaving.retain_mut(|leaving| leaving.as_mut().poll(&mut context).is_pending());
            self.run(Duration::from_millis(20));
        }
        self.world.now - started
    }

    /// Changes the clock of a machine abruptly.
    pub(crate) fn jump_clock(&mut self, node: Node) {
        let skew_ms = self.world.rng.random_range(-3_600_000..3_600_000);
        self.members[node].host.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    pub(crate) fn living(&self) -> Vec<Node> {
        self.world.living().collect()
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.count += 1;
        self.events.insert(self.count, event);
        self.queue.push(Reverse((at, self.count)));
    }

    /// Adds a task of a client of this member.
    pub(crate) fn add_task(&mut self, node: Node, task: impl Future<Output = ()> + Send + 'static) {
        self.members[node].tasks.push(Box::pin(task));
    }

    /// A function that reads the virtual time, for tasks.
    pub(crate) fn clock(&self) -> impl Fn() -> Duration + Send + use<> {
        let clock = Arc::clone(&self.clock);
        move || Duration::from_micros(clock.load(Ordering::Relaxed))
    }

    /// Waits until no transaction is open anywhere.
    pub(crate) fn settle_transactions(&mut self) {
        let limit = self.world.now + Duration::from_secs(20);
        loop {
            let open = |node: &Node| self.members[*node].grid.open_transactions();
            let open: usize = self.living().iter().map(open).sum();
            if open == 0 {
                return;
            }
            assert!(
                self.world.now < limit,
                "SEED={}: {open} transactions stay open",
                self.world.seed
            );
            self.run(Duration::from_millis(50));
        }
    }

    pub(crate) fn is_stopped(&self, node: Node) -> bool {
        self.world.nodes[node].paused_until.is_some_and(|until| self.world.now < until)
    }

    fn runs(&self, node: Node) -> bool {
        self.world.nodes[node].alive && !self.world.nodes[node].left
    }

    /// Advances time while clients send requests.
    pub(crate) fn run_with_clients(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            let chance = self.rate * STEP.as_secs_f64();
            if self.world.rng.random_bool(chance.min(1.0)) {
                self.client_request();
            }
            if let Some(mut clients) = self.clients.take() {
                clients(self);
                self.clients = Some(clients);
            }
            self.step();
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.step();
        }
    }

    /// Waits until all running members agree, all replicas are complete and everything is merged.
    pub(crate) fn settle(&mut self) {
        let limit = self.world.now + Duration::from_secs(60);
        // Other members may not have noticed the last fault yet.
        self.run(Duration::from_millis(300));
        loop {
            let living = self.living();
            let stopped = living.iter().any(|node| self.is_stopped(*node));
            let safe = living.iter().all(|node| self.members[*node].grid.is_safe());
            let stamps: Vec<_> = living
                .iter()
                .map(|node| self.members[*node].grid.table().map(|table| table.stamp))
                .collect();
            let same = stamps.windows(2).all(|pair| pair[0] == pair[1]);
            // No client waits for a reply any more.
            let idle = living.iter().all(|node| self.members[*node].tasks.is_empty());
            if !stopped && safe && same && idle && self.world.all_agree() {
                self.run(Duration::from_millis(500));
                let still = living.iter().all(|node| self.members[*node].grid.is_safe());
                if still && self.world.all_agree() {
                    self.island = None;
                    return;
                }
            }
            assert!(
                self.world.now < limit,
                "SEED={} is not safe: {} {}",
                self.world.seed,
                self.world.describe(),
                self.tables()
            );
            self.run(Duration::from_millis(50));
        }
    }

    /// All tables and partitions, for error messages.
    fn tables(&self) -> String {
        let mut text = String::new();
        for node in self.living() {
            let grid = &self.members[node].grid;
            let Some(table) = grid.table() else { continue };
            let number = |id| self.members.iter().position(|member| member.grid.me() == id);
            text += &format!("\n{node}: {} {}", table.stamp, grid.describe_control());
            for (at, assignment) in table.partitions.iter().enumerate() {
                text += &format!(" {at}/{}", assignment.epoch);
                for replica in &assignment.replicas {
                    let (member, place) = (number(replica.member), replica.place);
                    text += &format!(" {}@{place}{:?}", member.unwrap_or(99), replica.complete);
                }
                text += &format!(" [{}]", grid.describe(at as u16));
            }
        }
        text
    }

    /// Checks that members that report safe data, with the same view and table, have nothing left
    /// to merge.
    fn check_safe(&self) {
        let living = self.living();
        let grids = || living.iter().map(|node| &self.members[*node].grid);
        let mut stamps = grids().map(|grid| grid.table().map(|table| table.stamp));
        let first = stamps.next().flatten();
        if first.is_some()
            && stamps.all(|stamp| stamp == first)
            && grids().all(Grid::is_safe)
            && self.world.all_agree()
        {
            let unmerged: Vec<_> =
                living.iter().filter(|node| self.members[**node].grid.has_leftovers()).collect();
            assert!(
                unmerged.is_empty(),
                "SEED={}: safe at {:?}, but {unmerged:?} have not merged {}",
                self.world.seed,
                self.world.now,
                self.tables()
            );
        }
    }

    fn step(&mut self) {
        self.check_safe();
        self.world.run(STEP);
        let now = self.world.now;
        self.clock.store(now.as_micros() as u64, Ordering::Relaxed);
        for node in 0..self.members.len() {
            if !self.runs(node) || self.is_stopped(node) {
                continue;
            }
            let mut busy = false;
            let views = self.world.nodes[node].views.len();
            while self.members[node].views < views {
                let at = self.members[node].views;
                self.members[node].views += 1;
                let view = self.world.nodes[node].views[at].clone();
                self.members[node].grid.expect_view(&view);
                self.members[node].grid.handle_view(&view);
                busy = true;
            }
            for event in std::mem::take(&mut self.members[node].held) {
                self.handle_event(event);
                busy = true;
            }
            if now >= self.members[node].ticked + TICK {
                self.members[node].ticked = now;
                self.members[node].grid.tick();
                busy = true;
            }
            if busy {
                self.drive(node);
            }
        }
        while let Some(Reverse((at, key))) = self.queue.peek().copied() {
            if at > now {
                break;
            }
            self.queue.pop();
            let event = self.events.remove(&key).expect("an event is queued once");
            let node = event.node();
            self.record_event(at, node, &event);
            if !self.runs(node) {
                continue;
            }
            if self.is_stopped(node) {
                self.members[node].held.push(event);
                continue;
            }
            self.handle_event(event);
            self.drive(node);
        }
    }

    /// Adds an event to the trace (FNV-1a).
    fn record_event(&mut self, at: Duration, node: Node, event: &Event) {
        let bytes = match event {
            Event::Bytes { bytes, .. } => &bytes[..],
            _ => &[],
        };
        let head = [at.as_micros() as u64, node as u64, bytes.len() as u64];
        let head = head.iter().flat_map(|number| number.to_be_bytes());
        for byte in head.chain(bytes.iter().copied()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Breaks the connections of a member. Senders notice at once and connect again; bytes on their
    /// way arrive up to `late` later.
    pub(crate) fn break_connections(&mut self, node: Node, late: Duration) {
        let keys: Vec<_> = self.connections.keys().copied().collect();
        for (from, to) in keys.into_iter().filter(|(from, to)| *from == node || *to == node) {
            let id = self.connections[&(from, to)].id;
            self.close(from, to, id);
            self.redial_at.insert((from, to), self.world.now);
        }
        let mut late_queue = BinaryHeap::new();
        for Reverse((at, key)) in std::mem::take(&mut self.queue) {
            let is_its = match &self.events[&key] {
                Event::Bytes { from, to, .. } => *from == node || *to == node,
                _ => false,
            };
            late_queue.push(Reverse((if is_its { at + late } else { at }, key)));
        }
        self.queue = late_queue;
    }

    fn connection(&mut self, from: Node, to: Node, id: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&(from, to)).filter(|connection| connection.id == id)
    }

    fn handle_event(&mut self, event: Event) {
        let id = |store: &Self, node: Node| store.members[node].grid.me();
        match event {
            Event::Open { from, to, connection, session, acknowledged } => {
                let from_id = id(self, from);
                let opened = self.members[to].grid.handle_opened(from_id, session, acknowledged);
                self.send_back(from, to, connection, |connection| Event::Resumed {
                    from,
                    to,
                    connection,
                    opened,
                });
            }
            Event::Resumed { from, to, connection, opened } => {
                let peer = id(self, to);
                let mut number = 0;
                let is_resumed = match opened {
                    Some(Opened {
                        receipt: Receipt::Resume { session, received, refused },
                        connection,
                        ..
                    }) => {
                        number = connection;
                        let grid = &self.members[from].grid;
                        grid.handle_resumed(peer, session, received, &refused)
                    }
                    _ => false,
                };
                if let Some(connection) = self.connection(from, to, connection) {
                    connection.open = is_resumed;
                    connection.opened = number;
                }
                if !is_resumed {
                    self.close(from, to, connection);
                }
            }
            Event::Bytes { from, to, connection, opened, bytes } => {
                let receipt = self.members[to].grid.handle_bytes(id(self, from), opened, &bytes);
                self.send_back(from, to, connection, |connection| Event::Receipt {
                    from,
                    to,
                    connection,
                    receipt,
                });
            }
            Event::Receipt { from, to, connection, receipt } => {
                let Some(session) = self.connection(from, to, connection).map(|c| c.session) else {
                    return;
                };
                match receipt {
                    Some(Receipt::Received { received, refused }) => {
                        let peer = id(self, to);
                        let grid = &self.members[from].grid;
                        grid.handle_received(peer, session, received, &refused);
                    }
                    _ => self.close(from, to, connection),
                }
            }
            Event::Closed { from, to, connection } => self.close(from, to, connection),
            Event::OutOfBand { from, to, bytes } => {
                self.members[to].grid.handle_out_of_band(id(self, from), &bytes);
            }
        }
    }

    fn close(&mut self, from: Node, to: Node, connection: u64) {
        if self.connection(from, to, connection).is_none() {
            return;
        }
        self.connections.remove(&(from, to));
        self.redial_at.insert((from, to), self.world.now + REDIAL);
        let peer = self.members[to].grid.me();
        if let Some(peer) = self.members[from].grid.peer(peer) {
            peer.handle_closed();
        }
    }

    /// Sends an event back over a connection.
    fn send_back(&mut self, from: Node, to: Node, id: u64, event: impl FnOnce(u64) -> Event) {
        let Some(way) = self.world.network.stream(&mut self.world.rng, to, from) else { return };
        let now = self.world.now;
        let Some(connection) = self.connection(from, to, id).filter(|c| !c.cut) else { return };
        connection.back_at = connection.back_at.max(now + way);
        let at = connection.back_at;
        self.at(at, event(id));
    }

    /// Runs the tasks of a member, and sends its messages.
    pub(crate) fn drive(&mut self, node: Node) {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let spawned = std::mem::take(&mut *self.members[node].host.spawned.lock());
            let more = !spawned.is_empty();
            self.members[node].tasks.extend(spawned);
            self.members[node]
                .tasks
                .retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
            if !more {
                break;
            }
        }
        let now = self.world.now;
        for to in 0..self.members.len() {
            if to == node {
                continue;
            }
            let peer = self.members[to].grid.me();
            let Some(peer) = self.members[node].grid.peer(peer) else {
                self.connections.remove(&(node, to));
                continue;
            };
            let can_send_back = self.connections.get(&(to, node)).is_some_and(|c| c.open && !c.cut);
            while can_send_back && let Poll::Ready(bytes) = peer.poll_out_of_band(&mut context) {
                if let Some(way) = self.world.network.stream(&mut self.world.rng, node, to) {
                    self.at(now + way, Event::OutOfBand { from: node, to, bytes });
                }
            }
            // The member was removed and has rejoined in the meantime.
            if self.connections.get(&(node, to)).is_some_and(|c| c.session != peer.session()) {
                self.connections.remove(&(node, to));
                peer.handle_closed();
            }
            match self.connections.get(&(node, to)) {
                None => {
                    let waits = self.redial_at.get(&(node, to)).is_some_and(|at| now < *at);
                    if waits || peer.poll_connect(&mut context).is_pending() {
                        continue;
                    }
                    self.redial_at.insert((node, to), now + REDIAL);
                    let alive = self.runs(to);
                    let way = self.world.network.stream(&mut self.world.rng, node, to);
                    let Some(way) = way.filter(|_| alive) else { continue };
                    self.count += 1;
                    let (id, session) = (self.count, peer.session());
                    let acknowledged = peer.acknowledged();
                    let connection = Connection {
                        id,
                        session,
                        opened: 0,
                        open: false,
                        there_at: now + way,
                        back_at: now,
                        cut: false,
                    };
                    self.connections.insert((node, to), connection);
                    let event =
                        Event::Open { from: node, to, connection: id, session, acknowledged };
                    self.at(now + way, event);
                }
                Some(connection) if connection.open => {
                    let (id, opened) = (connection.id, connection.opened);
                    while let Poll::Ready(Some(bytes)) = peer.poll_send(&mut context) {
                        let way = self.world.network.stream(&mut self.world.rng, node, to);
                        let Some(connection) = self.connections.get_mut(&(node, to)) else { break };
                        let Some(way) = way.filter(|_| !connection.cut) else { continue };
                        connection.there_at = connection.there_at.max(now + way);
                        let at = connection.there_at;
                        let event = Event::Bytes { from: node, to, connection: id, opened, bytes };
                        self.at(at, event);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// A random request of a client.
    fn client_request(&mut self) {
        let living = self.living();
        let node = living[self.world.rng.random_range(0..living.len())];
        if self.is_stopped(node) {
            return;
        }
        let key = self.world.rng.random_range(0..self.keys);
        if self.world.rng.random_bool(0.4) {
            self.client_read(node, key);
        } else {
            let remove = self.world.rng.random_bool(0.2);
            self.write(node, key, remove);
        }
    }

    /// A client of a member reads a key. Not during a split until it has healed: a request may
    /// still go to a member of the other side, and each side returns its own data.
    pub(crate) fn client_read(&mut self, node: Node, key: u64) {
        if self.island.is_some() {
            return;
        }
        let (side, table) = (self.side_of(node), self.members[node].grid.table());
        let read = Read::new(self.world.now, key, side, table);
        let (bytes, op) = (key_bytes(key), KeyOp::Plain(PlainOp::Get));
        let grid = self.members[node].grid.clone();
        let map = grid.open("m").expect("a map");
        let started = grid.start(&map, grid.partition_of(&bytes), &Op::Key(&bytes, op));
        let (oracle, clock) = (Arc::clone(&self.oracle), Arc::clone(&self.clock));
        let observe = move |reply: Result<Reply, OpError>| {
            if let Ok(reply) = reply {
                let now = Duration::from_micros(clock.load(Ordering::Relaxed));
                oracle.lock().observed(now, read, number(reply), grid.table());
            }
        };
        match started {
            Started::Now(reply) => observe(reply),
            Started::Later(later) => {
                self.members[node].tasks.push(Box::pin(async move { observe(later.await) }));
            }
        }
        self.drive(node);
    }

    /// A client of a member writes a key.
    pub(crate) fn write(&mut self, node: Node, key: u64, remove: bool) {
        let now = self.world.now;
        let (side, table) = (self.side_of(node), self.members[node].grid.table());
        let ttl_ms = match self.some_expire.clone() {
            Some((share, range)) if self.world.rng.random_bool(share) => {
                Some(self.world.rng.random_range(range))
            }
            _ => self.ttl_ms,
        };
        let mut oracle = self.oracle.lock();
        let value = (!remove).then(|| oracle.new_value());
        let ttl = ttl_ms.map(Duration::from_millis);
        let id = oracle.issue(now, key, (value, ttl), side, table);
        drop(oracle);
        let text = value.map(|value| value.to_string()).unwrap_or_default();
        let put = (!remove).then_some(text.as_str());
        let lifetime = ttl_ms.map_or(Lifetime::Default, Lifetime::For);
        let started = start(&self.members[node].grid, key, put, lifetime);
        let (oracle, clock) = (Arc::clone(&self.oracle), Arc::clone(&self.clock));
        let grid = self.members[node].grid.clone();
        let complete = move |reply: Result<Reply, OpError>| {
            let outcome = match reply {
                Ok(_) => Outcome::Acknowledged,
                Err(OpError::Indeterminate) => Outcome::Unknown,
                Err(_) => Outcome::Refused,
            };
            let now = Duration::from_micros(clock.load(Ordering::Relaxed));
            oracle.lock().completed(now, id, outcome, grid.table());
        };
        match started {
            Started::Now(reply) => complete(reply),
            Started::Later(later) => {
                self.members[node].tasks.push(Box::pin(async move { complete(later.await) }));
            }
        }
        self.drive(node);
    }

    /// Starts an operation on a member, and passes its reply to `then`. With `wait` it blocks for
    /// up to that time, until it has an element to return.
    pub(crate) fn start_op(
        &mut self,
        node: Node,
        op: &Op<'_>,
        wait: Option<Duration>,
        then: impl FnOnce(Result<Reply, OpError>) + Send + 'static,
    ) {
        let partition = self.members[node].grid.partition_of(op.key().expect("a key"));
        self.start_in(node, partition, op, wait, then);
    }

    /// Like [`Self::start_op`], in a partition.
    pub(crate) fn start_in(
        &mut self,
        node: Node,
        partition: u16,
        op: &Op<'_>,
        wait: Option<Duration>,
        then: impl FnOnce(Result<Reply, OpError>) + Send + 'static,
    ) {
        let grid = self.members[node].grid.clone();
        let map = grid.open("m").expect("a map");
        let started = match wait {
            Some(_) => Started::Later(grid.block(&map, partition, op, wait)),
            None => grid.start(&map, partition, op),
        };
        match started {
            Started::Now(reply) => then(reply),
            Started::Later(later) => {
                self.members[node].tasks.push(Box::pin(async move { then(later.await) }));
            }
        }
        self.drive(node);
    }

    /// Executes an operation on a member, and waits for the reply.
    pub(crate) fn ask_for(&mut self, node: Node, op: &Op<'_>) -> Result<Reply, OpError> {
        let grid = &self.members[node].grid;
        let map = grid.open("m").expect("a map");
        let partition = grid.partition_of(op.key().expect("a key"));
        match grid.start(&map, partition, op) {
            Started::Now(reply) => reply,
            Started::Later(mut later) => loop {
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(reply) = later.as_mut().poll(&mut context) {
                    return reply;
                }
                self.drive(node);
                self.step();
            },
        }
    }

    /// Reads a key on a member.
    pub(crate) fn read(&mut self, node: Node, key: u64) -> Result<Option<u64>, OpError> {
        let bytes = key_bytes(key);
        let op = Op::Key(&bytes, KeyOp::Plain(PlainOp::Get));
        self.ask_for(node, &op).map(number)
    }

    /// Describes two copies of a partition that differ, if there are any.
    fn differing_copies(&self) -> Option<String> {
        (0..self.partitions).find_map(|number| {
            let copies = self
                .living()
                .into_iter()
                .filter_map(|node| Some((node, self.members[node].grid.digests(number)?)));
            let copies: Vec<_> = copies.collect();
            let other = copies.iter().find(|(_, digests)| *digests != copies[0].1)?;
            Some(format!("partition {number} differs on {} and {}", copies[0].0, other.0))
        })
    }

    /// Asserts that no member reported a lost partition.
    pub(crate) fn assert_nothing_lost(&self) {
        for node in self.living() {
            let reports = self.members[node].host.reports.lock();
            let lost = reports.iter().find(|report| matches!(report, Report::Lost { .. }));
            assert!(
                lost.is_none(),
                "SEED={} {node}: {lost:?}, although nothing was lost",
                self.world.seed
            );
        }
    }

    /// Checks copies and values of a settled cluster.
    pub(crate) fn check(&mut self) {
        let seed = self.world.seed;
        let living = self.living();
        // The expiry of entries may be on its way to the backups.
        let limit = self.world.now + SILENCE;
        while let Some(differ) = self.differing_copies() {
            assert!(self.world.now < limit, "SEED={seed}: {differ}");
            self.run(STEP * 5);
        }
        if let Some(problem) = self.oracle.lock().violation() {
            panic!("SEED={seed}: {problem}");
        }
        // The keys of transactions are checked separately.
        let keys = self.oracle.lock().keys().into_iter().filter(|key| *key < self.keys);
        let keys: Vec<_> = keys.collect();
        for (n, key) in keys.into_iter().enumerate() {
            let node = living[n % living.len()];
            let found = self.read(node, key);
            let found = found.unwrap_or_else(|error| {
                panic!("SEED={seed}: reading key {key} on {node} failed: {error} {}", self.tables())
            });
            let checked = self.oracle.lock().check(self.world.now, key, found);
            checked.unwrap_or_else(|problem| panic!("SEED={seed} {:?}: {problem}", self.world.now));
        }
    }
}

/// The value in a reply.
pub(crate) fn number(reply: Reply) -> Option<u64> {
    match reply {
        Reply::Nil => None,
        Reply::Bytes(bytes) => {
            Some(String::from_utf8_lossy(&bytes).parse().expect("values are numbers"))
        }
        other => panic!("not a plain value: {other:?}"),
    }
}

pub(crate) fn key_bytes(key: u64) -> Vec<u8> {
    format!("key-{key}").into_bytes()
}

fn start(grid: &Grid, key: u64, value: Option<&str>, lifetime: Lifetime) -> Started {
    let bytes = key_bytes(key);
    let map = grid.open("m").expect("a map");
    let op = match value {
        Some(value) => KeyOp::Plain(PlainOp::Put {
            kind: 0,
            value: value.as_bytes(),
            lifetime,
            condition: PutIf::Always,
            answer: PutAnswer::Done,
        }),
        None => KeyOp::Generic(convoke_grid::op::GenericOp::Remove),
    };
    grid.start(&map, grid.partition_of(&bytes), &Op::Key(&bytes, op))
}
