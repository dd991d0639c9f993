//! Runs the commands of one script on a simulated cluster, and describes what happens.

mod describe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{
    GenericOp, GroupStart, KeyOp, Lifetime, MapOp, NewId, Op, PlainOp, PutAnswer, PutIf, ReadFrom,
    SeveralOp, StreamOp, StreamRead,
};
use convoke_grid::table::Table;
use convoke_grid::{
    Grid, MapCatalog, MapSettings, OpError, Reply, Report, Started, StreamId, Version,
};
use parking_lot::Mutex;

use self::describe::{counted, describe_reply, seconds};
use crate::command::{Command, MapOption, Request, Start, What};
use crate::network::Node;
use crate::store::{STEP, Store};

/// The map of all keys.
const MAP: &str = "m";
/// Time limit of a request; the grid itself answers after 5 s at the latest.
const REPLY_MAX: Duration = Duration::from_secs(10);
/// Time limit until the data is safe.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Time limit for a member to leave.
const LEAVE_MAX: Duration = Duration::from_secs(25);

/// The output of a command of which there is nothing to show.
pub(crate) const OK: &str = "ok";

/// The output of a command, or what is wrong with the command.
type Output = Result<String, String>;

/// Runs commands. The first one starts the cluster.
#[derive(Default)]
pub(crate) struct Runner {
    cluster: Option<Cluster>,
}

impl Runner {
    /// Runs a command, and returns its output: lines, each with its line end.
    pub(crate) fn run(&mut self, command: Command) -> Output {
        let mut output = match (&mut self.cluster, command) {
            (None, Command::Start(start)) => {
                let cluster = self.cluster.insert(Cluster::new(&start)?);
                cluster.describe_views()
            }
            (Some(_), Command::Start(_)) => return Err("there is a cluster already".into()),
            (None, _) => return Err("no cluster: the first command is \"start\"".into()),
            (Some(cluster), command) => {
                let answer = cluster.run(command)?;
                cluster.take_events() + &answer
            }
        };
        if output.is_empty() {
            output.push_str(OK);
        }
        if !output.ends_with('\n') {
            output.push('\n');
        }
        Ok(output)
    }
}

/// The reported state of a member so far.
#[derive(Default)]
struct Seen {
    views: usize,
    reports: usize,
    is_safe: bool,
    /// Assignments of watched partitions.
    assignments: BTreeMap<u16, String>,
}

/// An event, with the members at which it occurred; none for an event at a client.
struct Event {
    text: String,
    nodes: BTreeSet<Node>,
    /// The side of a split on which it happened, 0 or 1.
    side: u8,
}

type Answer = Arc<Mutex<Option<Result<Reply, OpError>>>>;

/// A request whose reply is not known yet.
struct Pending {
    node: Node,
    request: Request,
    answer: Answer,
    since: Duration,
    /// Whether the member has received it: one that is paused has not.
    is_received: bool,
    /// Whether the command waits for the reply, which is an event otherwise.
    is_awaited: bool,
}

struct Cluster {
    store: Store,
    /// By node.
    names: Vec<String>,
    seen: Vec<Seen>,
    watched: BTreeSet<u16>,
    pending: Vec<Pending>,
    events: Vec<Event>,
    /// The versions that were shown, which are named v1, v2 and so on.
    versions: Vec<Version>,
}

impl Cluster {
    fn new(start: &Start) -> Result<Self, String> {
        let mut settings = MapSettings::default();
        start.maps.iter().for_each(|option| option.apply(&mut settings));
        let catalog = MapCatalog { defaults: settings, named: Vec::new() };
        let mut store =
            Store::new(start.seed, start.partitions, catalog).min_members(start.min_members);
        store.rate = 0.0;
        let mut cluster = Self {
            store,
            names: Vec::new(),
            seen: Vec::new(),
            watched: BTreeSet::new(),
            pending: Vec::new(),
            events: Vec::new(),
            versions: Vec::new(),
        };
        cluster.set_delay(Duration::from_millis(1));
        for name in &start.names {
            cluster.join(name, false, 0)?;
            cluster.advance(Duration::from_millis(500));
        }
        cluster.settle()?;
        cluster.events.clear();
        Ok(cluster)
    }

    fn run(&mut self, command: Command) -> Output {
        match command {
            Command::Start(_) => {}
            Command::Join { name, lite, clock_ms, maps } => {
                self.join_with(&name, lite, clock_ms, &maps)?;
            }
            Command::Leave(name) => self.leave(&name)?,
            Command::Crash(names) => self.crash(&names)?,
            Command::Pause(name, time) => {
                let node = self.awake(&name)?;
                self.store.world.pause(node, time);
            }
            Command::Partition(sides) => self.partition(&sides)?,
            Command::Heal => self.store.heal(),
            Command::Delay(time) => self.set_delay(time),
            Command::Clock(name, skew_ms) => {
                let node = self.living(&name)?;
                let skew = &self.store.members[node].host.skew_ms;
                skew.store(skew_ms, std::sync::atomic::Ordering::Relaxed);
            }
            Command::Advance(time) => self.advance(time),
            Command::Settle => self.settle()?,
            Command::Watch(keys) => return Ok(self.watch(&keys)),
            Command::Where(keys) => return Ok(self.place(&keys)),
            Command::Table => return Ok(self.describe_tables()),
            Command::Copies(key) => return Ok(self.describe_copies(&key)),
            Command::Versions(key) => return self.describe_versions(&key),
            Command::State(name) => return self.describe_state(&name),
            Command::Safe => {
                let safe = |grid: &Grid| if grid.is_safe() { "safe" } else { "not safe" }.into();
                return Ok(self.lines(&self.groups(safe)));
            }
            Command::Time => return Ok(self.lines(&self.groups(|grid| self.describe_time(grid)))),
            Command::Transactions => {
                let open = |grid: &Grid| format!("{} open", grid.open_transactions());
                return Ok(self.lines(&self.groups(open)));
            }
            Command::Request { request, begins } => return self.request(request, begins),
        }
        Ok(String::new())
    }

    /// Messages take this time from now on. It does not vary, so that a change of what is random
    /// elsewhere changes no output.
    fn set_delay(&mut self, time: Duration) {
        self.store.world.network.delay_min = time;
        self.store.world.network.delay_max = time;
    }

    /// Starts a member that finds all members that run.
    fn join(&mut self, name: &str, lite: bool, clock_ms: i64) -> Result<(), String> {
        if self.names.iter().any(|known| known == name) {
            return Err(format!("{name:?} has been the name of a member already"));
        }
        let finds = self.store.living();
        self.store.start_with_clock(lite, &finds, Some(clock_ms));
        self.names.push(name.into());
        self.seen.push(Seen::default());
        Ok(())
    }

    fn join_with(
        &mut self,
        name: &str,
        lite: bool,
        clock_ms: i64,
        maps: &[MapOption],
    ) -> Result<(), String> {
        let before = self.store.catalog.clone();
        maps.iter().for_each(|option| option.apply(&mut self.store.catalog.defaults));
        let joined = self.join(name, lite, clock_ms);
        self.store.catalog = before;
        joined
    }

    /// Hands over the data of a member, which then leaves the view.
    fn leave(&mut self, name: &str) -> Result<(), String> {
        let node = self.awake(name)?;
        let left = Arc::new(Mutex::new(false));
        let (leaving, done) = (self.store.members[node].grid.leave(), Arc::clone(&left));
        self.store.add_task(node, async move {
            leaving.await;
            *done.lock() = true;
        });
        self.store.drive(node);
        self.advance_until(LEAVE_MAX, |_| *left.lock())
            .ok_or_else(|| format!("{name} cannot leave within {LEAVE_MAX:?}"))?;
        self.emit(node, "has handed over its data".into());
        // Its clients get their replies first.
        self.advance(Duration::from_millis(100));
        self.store.world.leave(node);
        self.advance_until(LEAVE_MAX, |cluster| cluster.store.world.nodes[node].left)
            .ok_or_else(|| format!("{name} stays in the view"))?;
        self.emit(node, "has left".into());
        self.advance(Duration::from_millis(500));
        self.store.cut();
        self.drop_requests_of(node, "has left");
        Ok(())
    }

    fn crash(&mut self, names: &[String]) -> Result<(), String> {
        let nodes: Result<Vec<_>, _> = names.iter().map(|name| self.living(name)).collect();
        for node in nodes? {
            self.store.crash(node);
            self.drop_requests_of(node, "has crashed");
        }
        Ok(())
    }

    fn drop_requests_of(&mut self, node: Node, why: &str) {
        let pending = std::mem::take(&mut self.pending).into_iter();
        let (lost, kept): (Vec<_>, _) = pending.partition(|pending| pending.node == node);
        self.pending = kept;
        for Pending { request, .. } in lost {
            self.emit_reply(node, format!("{request}: no reply, as {} {why}", self.names[node]));
        }
    }

    /// Notes a reply that a client of a member received.
    fn emit_reply(&mut self, node: Node, text: String) {
        let side = self.side_of(node);
        self.events.push(Event { text, nodes: BTreeSet::new(), side });
    }

    fn partition(&mut self, sides: &[Vec<String>; 2]) -> Result<(), String> {
        let nodes = |names: &Vec<String>| names.iter().map(|name| self.living(name)).collect();
        let [one, other]: [Result<Vec<_>, String>; 2] = sides.each_ref().map(nodes);
        let (one, other) = (one?, other?);
        let mut all = [&one[..], &other].concat();
        all.sort_unstable();
        if all != self.store.living() {
            return Err("the sides have to name each member that runs once".into());
        }
        self.store.split(&one);
        Ok(())
    }

    /// A member that runs.
    fn living(&self, name: &str) -> Result<Node, String> {
        let node = self.names.iter().position(|known| known == name);
        let node = node.ok_or_else(|| format!("no member is named {name:?}"))?;
        let process = &self.store.world.nodes[node];
        match (process.alive, process.left) {
            (true, false) => Ok(node),
            (false, _) => Err(format!("{name} has crashed")),
            (_, true) => Err(format!("{name} has left")),
        }
    }

    /// A member that runs and is not paused.
    fn awake(&self, name: &str) -> Result<Node, String> {
        let node = self.living(name)?;
        if self.store.is_stopped(node) { Err(format!("{name} is paused")) } else { Ok(node) }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.store.world.now + time;
        while self.store.world.now < end {
            self.step();
        }
    }

    /// Lets time pass until something is so; `None` if that takes longer than `limit`.
    fn advance_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<()> {
        let end = self.store.world.now + limit;
        while !done(self) {
            if self.store.world.now >= end {
                return None;
            }
            self.step();
        }
        Some(())
    }

    /// Lets time pass until all members agree and report safe data.
    fn settle(&mut self) -> Result<(), String> {
        if self.store.living().is_empty() {
            return Err("no member runs".into());
        }
        // Other members may not have noticed the last fault yet.
        self.advance(Duration::from_millis(300));
        let is_settled = |cluster: &Self| {
            let store = &cluster.store;
            let living = store.living();
            let table = |node: &Node| store.members[*node].grid.table().map(|table| table.stamp);
            living
                .iter()
                .all(|node| !store.is_stopped(*node) && store.members[*node].grid.is_safe())
                && living.windows(2).all(|pair| table(&pair[0]) == table(&pair[1]))
                && store.world.all_agree()
        };
        let settled = self.advance_until(SETTLE_MAX, is_settled);
        settled.ok_or_else(|| format!("the data is not safe after {SETTLE_MAX:?}"))
    }

    fn step(&mut self) {
        // A request reaches a member that was paused before anything else does.
        let next = self.store.world.now + STEP;
        for at in 0..self.pending.len() {
            let node = self.pending[at].node;
            let wakes = self.store.world.nodes[node].paused_until.is_none_or(|until| until <= next);
            if !self.pending[at].is_received && wakes {
                self.pending[at].is_received = true;
                let answer = Arc::clone(&self.pending[at].answer);
                let what = self.pending[at].request.what.clone();
                self.execute(node, &what, answer);
            }
        }
        self.store.run(STEP);
        self.observe();
    }

    /// Notes what happened in the last step.
    fn observe(&mut self) {
        for node in self.store.living() {
            if self.store.is_stopped(node) {
                continue;
            }
            let views = &self.store.world.nodes[node].views[self.seen[node].views..];
            let views: Vec<_> = views.iter().map(|view| self.describe_view(view)).collect();
            self.seen[node].views += views.len();
            let all_reports = &self.store.members[node].host.reports;
            let reports = all_reports.lock()[self.seen[node].reports..].to_vec();
            self.seen[node].reports += reports.len();
            for text in views {
                self.emit(node, text);
            }
            for report in &reports {
                self.note_report(node, report);
            }
            let is_safe = self.store.members[node].grid.is_safe();
            if is_safe != self.seen[node].is_safe {
                self.seen[node].is_safe = is_safe;
                self.emit(node, if is_safe { "safe" } else { "not safe" }.into());
            }
        }
        let (now, mut replies) = (self.store.world.now, Vec::new());
        self.pending.retain(|pending| {
            let answer = pending.answer.lock();
            let Some(reply) = answer.as_ref().filter(|_| !pending.is_awaited) else { return true };
            let reply = describe_reply(reply, now - pending.since);
            replies.push((pending.node, format!("{}: {reply}", pending.request)));
            false
        });
        for (node, text) in replies {
            self.emit_reply(node, text);
        }
    }

    fn note_report(&mut self, node: Node, report: &Report) {
        let text = match report {
            Report::Table { table, .. } => return self.note_table(node, table),
            Report::Diverged => "follows a table that does not continue its own".into(),
            Report::MapSettings => {
                let settings = self.store.members[node].grid.open(MAP).map(|map| map.settings());
                let backups = settings.map_or(0, |settings| settings.backups);
                format!("map settings changed: backups={backups}")
            }
            Report::Lost { partitions } => {
                let numbers: Vec<_> = partitions.iter().map(u16::to_string).collect();
                format!(
                    "data loss: no complete replica is left of partition {}",
                    numbers.join(", ")
                )
            }
            Report::Merging { partitions } => {
                format!(
                    "offers its data of {}",
                    counted(*partitions as u64, "partition", "partitions")
                )
            }
            Report::Merged { items } => {
                format!("has merged {}", counted(*items, "entry or removal", "entries or removals"))
            }
            Report::Differs { partition, member } => {
                format!("copies partition {partition} to {} again", self.name(*member))
            }
            Report::Paused { ms } => {
                format!("was paused for about {} s", seconds(Duration::from_millis(*ms)))
            }
            Report::Resumed { ms } => {
                format!("serves again after {} s", seconds(Duration::from_millis(*ms)))
            }
            Report::Writes { here, needed } if here < needed => "refuses writes".into(),
            Report::Writes { .. } => "accepts writes".into(),
            Report::RemovalsGivenUp { count } => format!("gave up {count} removals"),
        };
        self.emit(node, text);
    }

    fn note_table(&mut self, node: Node, table: &Table) {
        for partition in self.watched.clone() {
            let text = self.describe_assignment(&table.partitions[usize::from(partition)]);
            let text = format!("partition {partition}: {text}");
            let before = self.seen[node].assignments.insert(partition, text.clone());
            if before.as_ref() != Some(&text) {
                self.emit(node, text);
            }
        }
    }

    /// Notes an event of a member. If other members of its side have the same event, it is one
    /// line, as long as the order of the events of each member remains.
    fn emit(&mut self, node: Node, text: String) {
        let side = self.side_of(node);
        let last = self.events.iter().rposition(|event| event.nodes.contains(&node));
        let after = last.map_or(0, |last| last + 1);
        let is_same = |e: &&mut Event| e.text == text && e.side == side && !e.nodes.is_empty();
        match self.events[after..].iter_mut().find(is_same) {
            Some(event) => _ = event.nodes.insert(node),
            None => self.events.push(Event { text, nodes: BTreeSet::from([node]), side }),
        }
    }

    /// The side of a split that a member is on.
    fn side_of(&self, node: Node) -> u8 {
        let island = self.store.world.network.island.as_ref();
        island.map_or(0, |island| u8::from(!island.contains(&node)))
    }

    /// The events since the last command: first those of one side of a split, then those of the
    /// other.
    fn take_events(&mut self) -> String {
        let mut text = String::new();
        self.events.sort_by_key(|event| event.side);
        for event in std::mem::take(&mut self.events) {
            if !event.nodes.is_empty() {
                text += &format!("{}: ", self.node_names(&event.nodes));
            }
            text += &format!("{}\n", event.text);
        }
        text
    }

    fn request(&mut self, request: Request, begins: bool) -> Output {
        let node = self.living(&request.member)?;
        let since = self.store.world.now;
        let answer = self.begin(node, request, !begins);
        if !begins {
            self.wait_for(&answer)?;
        }
        let waited = self.store.world.now - since;
        let Some(reply) = &*answer.lock() else { return Ok("pending".into()) };
        self.pending.retain(|pending| !Arc::ptr_eq(&pending.answer, &answer));
        Ok(describe_reply(reply, waited))
    }

    /// Sends a request to a member, which receives it at once unless it is paused.
    fn begin(&mut self, node: Node, request: Request, is_awaited: bool) -> Answer {
        let (answer, since) = (Answer::default(), self.store.world.now);
        let is_received = !self.store.is_stopped(node);
        if is_received {
            self.execute(node, &request.what, Arc::clone(&answer));
            self.store.drive(node);
        }
        let pending =
            Pending { node, request, answer: Arc::clone(&answer), since, is_received, is_awaited };
        self.pending.push(pending);
        answer
    }

    /// Waits for the reply to a request.
    fn wait_for(&mut self, answer: &Answer) -> Result<(), String> {
        // A paused member receives it later.
        let is_received = |cluster: &Self| {
            let mut all = cluster.pending.iter();
            all.all(|pending| pending.is_received || !Arc::ptr_eq(&pending.answer, answer))
        };
        while !is_received(self) {
            self.step();
        }
        let replied = self.advance_until(REPLY_MAX, |_| answer.lock().is_some());
        replied.ok_or_else(|| format!("no reply within {REPLY_MAX:?}"))
    }

    /// Executes a request at a member.
    fn execute(&mut self, node: Node, what: &What, answer: Answer) {
        match start(&self.store.members[node].grid, what) {
            Started::Now(reply) => *answer.lock() = Some(reply),
            Started::Later(later) => {
                self.store.add_task(node, async move {
                    let reply = later.await;
                    *answer.lock() = Some(reply);
                });
            }
        }
    }
}

fn get(key: &str) -> Op<'_> {
    Op::Key(key.as_bytes(), KeyOp::Plain(PlainOp::Get))
}

fn add(key: &str, number: i64) -> Op<'_> {
    Op::Key(key.as_bytes(), KeyOp::Plain(PlainOp::Add(number)))
}

/// The group of each stream that has one.
const GROUP: &[u8] = b"g";

fn of_stream<'a>(key: &'a str, op: StreamOp<'a>) -> Op<'a> {
    Op::Key(key.as_bytes(), KeyOp::Stream(op))
}

fn start(grid: &Grid, what: &What) -> Started {
    let op = match what {
        What::Append { key, number, value } => {
            let id = NewId::Given(StreamId::new(*number, 0));
            let fields = vec![&b"value"[..], value.as_bytes()];
            of_stream(key, StreamOp::Add { id, fields, create: true, trim: None })
        }
        What::Entries(key) => {
            let (from, to) = (StreamId::MIN, StreamId::MAX);
            of_stream(key, StreamOp::Range { from, to, reverse: false, count: None })
        }
        What::Group(key) => {
            let start = GroupStart::After(StreamId::MIN);
            let op = StreamOp::CreateGroup { group: GROUP, start, read: None, create: true };
            of_stream(key, op)
        }
        What::Consume { key, consumer } => {
            let streams = vec![StreamRead { key: key.as_bytes(), from: ReadFrom::New }];
            Op::Several(SeveralOp::ReadGroup {
                group: GROUP,
                consumer: consumer.as_bytes(),
                streams,
                count: 1,
                acknowledged: true,
            })
        }
        What::Pending(key) => of_stream(key, StreamOp::PendingSummary(GROUP)),
        What::Get(key) => get(key),
        What::Delete(key) => Op::Key(key.as_bytes(), KeyOp::Generic(GenericOp::Remove)),
        What::Version(key) => Op::Key(key.as_bytes(), KeyOp::Generic(GenericOp::Version)),
        What::Add(key, n) => add(key, *n),
        What::Put { key, value, ttl } => {
            let put = PlainOp::Put {
                kind: 0,
                value: value.as_bytes(),
                lifetime: ttl
                    .map_or(Lifetime::Default, |ttl| Lifetime::For(ttl.as_millis() as u64)),
                condition: PutIf::Always,
                answer: PutAnswer::Done,
            };
            Op::Key(key.as_bytes(), KeyOp::Plain(put))
        }
        What::Read(keys) => {
            let ops = keys.iter().map(|key| MapOp { map: MAP, op: get(key) }).collect();
            return grid.transact(Vec::new(), ops, true);
        }
        What::Transfer { from, to, amount } => {
            let ops = [add(from, -amount), add(to, *amount)].map(|op| MapOp { map: MAP, op });
            return grid.transact(Vec::new(), ops.into(), true);
        }
    };
    let map = grid.open(MAP).expect("a map");
    grid.start(&map, grid.partition_of(op.key().expect("a key")), &op)
}
