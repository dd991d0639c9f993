//! Simulated members, the network between them, and the event queue.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use convoke_membership::terms::{Rule, Scope, Term, Terms};
use convoke_membership::view::{Departure, ViewId};
use convoke_membership::{
    AtAddress, Config, Event, Hello, JoinRefusal, Member, MemberId, Membership, Message, Output,
    Reach, View,
};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::network::{Network, Node};

/// Time that the driver waits for a connection.
const CALL_WAIT: Duration = Duration::from_millis(400);
/// Time that it waits to determine whether there is any route.
const PATIENT_WAIT: Duration = Duration::from_secs(3);
/// Interval at which a mode looks for members again; it finds the same ones.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// More events than this at one instant of virtual time mean a busy loop.
const EVENTS_PER_INSTANT_MAX: u64 = 100_000;

/// The seeds of the scenario in which this is used: see [`seeds_of`].
macro_rules! seeds {
    ($default_count:expr) => {{
        fn here() {}
        crate::world::seeds_of(
            crate::world::kept_seeds(include_str!("seeds.txt"), crate::SCENARIOS),
            std::any::type_name_of_val(&here).trim_end_matches("::here"),
            $default_count,
        )
    }};
}
pub(crate) use seeds;

/// The seeds of a scenario: those in the seed file, and a default number of others. `SEED=n` runs
/// one seed only, `TRACE=1` prints each step, `SEED_TIMES=n` runs more seeds, and `SEED_FROM=n`
/// starts at another seed.
pub(crate) fn seeds_of(
    kept: Vec<(&str, u64)>,
    scenario: &str,
    default_count: u64,
) -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let name = scenario.rsplit("::").next().unwrap_or(scenario);
    let mut kept: Vec<u64> =
        kept.into_iter().filter(|(of, _)| *of == name).map(|(_, seed)| seed).collect();
    let from = number("SEED_FROM").unwrap_or(1);
    let mut others = from..from + default_count * number("SEED_TIMES").unwrap_or(1);
    if let Some(seed) = number("SEED") {
        kept.clear();
        others = seed..seed + 1;
    }
    kept.into_iter().chain(others)
}

/// Parses a seed file: lines with the name of a test in one of these sources and a seed, and comments.
pub(crate) fn kept_seeds<'a>(text: &'a str, sources: &[&str]) -> Vec<(&'a str, u64)> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let pair = |line: &'a str| {
        let (name, seed) = line.split_once(' ').expect("a line is SCENARIO SEED");
        let test = format!("fn {name}()");
        let is_known = sources.iter().any(|source| source.contains(&test));
        assert!(is_known, "seeds.txt: no scenario {name}");
        (name, seed.trim().parse().expect("a seed is a number"))
    };
    lines.map(pair).collect()
}

enum SimEvent {
    Wake(Node),
    Datagram { from: Node, to: Node, bytes: Vec<u8> },
    Message { from: Node, to: Node, message: Box<Message> },
    Connected { at: Node, hello: Box<Hello>, called: bool },
    Reached { at: Node, id: MemberId, reach: Reach },
    DiscoveryDone(Node),
    Find { at: Node, whom: Node },
}

/// A simulated process.
pub(crate) struct Process {
    /// The membership core under test.
    pub(crate) core: Membership,
    /// Whether the process runs.
    pub(crate) alive: bool,
    /// Paused by the operating system until then.
    pub(crate) paused_until: Option<Duration>,
    woken_for: Option<Duration>,
    held: Vec<SimEvent>,
    /// Views reported so far.
    pub(crate) views: Vec<View>,
    /// Whether it has left.
    pub(crate) left: bool,
    /// The address of its host.
    pub(crate) address: SocketAddr,
    /// The configured number of partitions, if it was set.
    set_to: Option<u16>,
}

/// Terms with an explicit number of partitions, or the default of 271, and further ones.
fn terms(set_to: Option<u16>, more: Vec<Term>) -> Terms {
    let value = set_to.unwrap_or(271).to_string();
    let partitions =
        Term { name: "partitions".into(), value, is_set: set_to.is_some(), rule: Rule::Same };
    let terms = [partitions].into_iter().chain(more).collect();
    Terms::new(vec![Scope { name: Terms::GENERAL.into(), terms }])
}

/// The configuration of a member. The defaults are those of most scenarios.
#[derive(Default)]
pub(crate) struct Setup {
    /// Its name; by default `n` and its number.
    pub(crate) name: Option<String>,
    /// The number of partitions, if it is set.
    pub(crate) partitions: Option<u16>,
    /// Further terms.
    pub(crate) more_terms: Vec<Term>,
    /// Whether it is a lite member.
    pub(crate) lite: bool,
    /// The address of its host; by default one of its own.
    pub(crate) address: Option<SocketAddr>,
    /// Addresses that it advertises after that of its host.
    pub(crate) more_addresses: Vec<SocketAddr>,
}

/// An event that a member reported.
pub(crate) struct Reported {
    pub(crate) at: Duration,
    pub(crate) by: Node,
    pub(crate) event: Event,
}

/// The removal of a member as lost by a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) at: Duration,
    pub(crate) by: Node,
    pub(crate) whom: Node,
}

/// The whole simulation.
pub(crate) struct World {
    /// Virtual time.
    pub(crate) now: Duration,
    /// The network between the members.
    pub(crate) network: Network,
    /// By node number.
    pub(crate) nodes: Vec<Process>,
    /// The source of all randomness.
    pub(crate) rng: StdRng,
    /// Datagrams sent so far.
    pub(crate) datagrams: u64,
    /// Total length of them, in bytes.
    pub(crate) datagram_bytes: u64,
    /// The seed, for messages.
    pub(crate) seed: u64,
    /// Each removal of a member as lost.
    pub(crate) removed: Vec<Removal>,
    /// Members that reported another as lost that had left.
    pub(crate) left_as_lost: Vec<(Node, Node)>,
    /// Reports that datagrams do not arrive: the reporting member, the other one, and whether they
    /// do not arrive at the first.
    pub(crate) blocked: Vec<(Node, Node, bool)>,
    /// Reports that datagrams arrive again.
    pub(crate) passed: Vec<(Node, Node)>,
    /// Refusals: the refused member, and the one that refused it.
    pub(crate) refused: Vec<(Node, Node)>,
    /// Refusals because of terms: the refusing and the refused member, with their numbers of
    /// partitions.
    pub(crate) differ: Vec<(Node, Node, [u16; 2])>,
    /// The digest of the view with each id; in the first epoch of a cluster, in which members only
    /// hand over to each other, without the member that wrote it.
    digests: HashMap<(MemberId, ViewId), u32>,
    /// Packets sent over streams so far.
    pub(crate) stream_packets: u64,
    /// The events of all members, if they are recorded.
    pub(crate) log: Option<Vec<Reported>>,
    trace: bool,
    /// Pairs of which the first has connected to the second.
    pub(crate) streams: HashSet<(Node, Node)>,
    by_id: HashMap<MemberId, Node>,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: HashMap<usize, SimEvent>,
    count: u64,
    same_instant: u64,
}

impl World {
    /// A simulation without members.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            network: Network::default(),
            nodes: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            datagrams: 0,
            datagram_bytes: 0,
            seed,
            removed: Vec::new(),
            left_as_lost: Vec::new(),
            blocked: Vec::new(),
            passed: Vec::new(),
            refused: Vec::new(),
            differ: Vec::new(),
            digests: HashMap::new(),
            stream_packets: 0,
            log: None,
            trace: std::env::var_os("TRACE").is_some(),
            streams: HashSet::new(),
            by_id: HashMap::new(),
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            count: 0,
            same_instant: 0,
        }
    }

    /// Starts a member that finds `finds` at once and has then completed its lookup.
    pub(crate) fn start(&mut self, lite: bool, finds: &[Node]) -> Node {
        self.start_with(None, lite, finds)
    }

    /// Starts a member with a number of partitions.
    pub(crate) fn start_with(&mut self, set_to: Option<u16>, lite: bool, finds: &[Node]) -> Node {
        self.start_as(Setup { partitions: set_to, lite, ..Setup::default() }, finds)
    }

    /// Starts a member with a time to live that may be changing.
    pub(crate) fn start_with_ttl(&mut self, seconds: u16, rule: Rule, finds: &[Node]) -> Node {
        let ttl = Term { name: "ttl".into(), value: seconds.to_string(), is_set: true, rule };
        self.start_as(Setup { more_terms: vec![ttl], ..Setup::default() }, finds)
    }

    /// Starts a member that finds `finds` at once and has then completed its lookup.
    pub(crate) fn start_as(&mut self, setup: Setup, finds: &[Node]) -> Node {
        let node = self.nodes.len();
        // Like a UUID of version 7: the time first, then random bits.
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(self.now.as_millis() as u64).to_be_bytes());
        bytes[8..].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        let id = MemberId::from_bytes(bytes);
        let octets = (node as u32 + 1).to_be_bytes();
        let default_address = SocketAddr::from(([10, octets[1], octets[2], octets[3]], 6900));
        let address = setup.address.unwrap_or(default_address);
        let me = Member {
            id,
            addresses: [address].into_iter().chain(setup.more_addresses).collect(),
            name: setup.name.unwrap_or_else(|| format!("n{node}")),
            group: "convoke".into(),
            lite: setup.lite,
            modes: String::new(),
            http: None,
            resp: None,
            hazelcast: None,
            generation: 0,
            age: 0,
        };
        self.by_id.insert(id, node);
        let terms = terms(setup.partitions, setup.more_terms);
        self.nodes.push(Process {
            core: Membership::new(me, terms, Config::default(), self.rng.next_u64()),
            alive: true,
            paused_until: None,
            woken_for: None,
            held: Vec::new(),
            views: Vec::new(),
            left: false,
            address,
            set_to: setup.partitions,
        });
        let latency = Duration::from_millis(2);
        for whom in finds {
            self.at(self.now + latency, SimEvent::Find { at: node, whom: *whom });
        }
        self.at(self.now + latency * 5, SimEvent::DiscoveryDone(node));
        node
    }

    /// A further lookup of a member's modes finds another member.
    pub(crate) fn find(&mut self, at: Node, whom: Node) {
        self.at(self.now, SimEvent::Find { at, whom });
    }

    /// SIGKILL.
    pub(crate) fn crash(&mut self, node: Node) {
        self.nodes[node].alive = false;
    }

    /// SIGSTOP, then SIGCONT after `time`.
    pub(crate) fn pause(&mut self, node: Node, time: Duration) {
        self.nodes[node].paused_until = Some(self.now + time);
        self.at(self.now + time, SimEvent::Wake(node));
    }

    /// Changes the address of a member's host to a random one; see [`Self::move_host_to`].
    pub(crate) fn move_host(&mut self, node: Node) {
        let place = self.rng.random_range(0..u32::MAX >> 8).to_be_bytes();
        let address = SocketAddr::from(([172, place[1], place[2], place[3]], 6900));
        self.move_host_to(node, address);
    }

    /// Changes the address of a member's host, which the member notices.
    pub(crate) fn move_host_to(&mut self, node: Node, address: SocketAddr) {
        self.nodes[node].address = address;
        self.streams.retain(|(from, to)| *from != node && *to != node);
        let now = self.now;
        self.nodes[node].core.handle_addresses(now, vec![address]);
        self.drain(node);
        // Both ends of each stream find it broken; other members only know the old address.
        let others: Vec<_> = self.living().filter(|other| *other != node).collect();
        for other in others {
            self.call(node, other);
            let view = self.nodes[other].core.view();
            let known = view.and_then(|view| view.get(self.nodes[node].core.me().id)).cloned();
            if let Some(known) = known {
                self.call_member(other, &known, CALL_WAIT);
            }
        }
    }

    /// SIGTERM.
    pub(crate) fn leave(&mut self, node: Node) {
        let now = self.now;
        self.nodes[node].core.handle_leave(now);
        self.drain(node);
    }

    /// Advances virtual time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, _, key))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.same_instant = if at == self.now { self.same_instant + 1 } else { 0 };
            assert!(
                self.same_instant < EVENTS_PER_INSTANT_MAX,
                "SEED={}: too many events at {at:?}",
                self.seed
            );
            self.now = at;
            let event = self.events.remove(&key).expect("queued once");
            self.process(event);
        }
        self.now = end;
    }

    /// Advances time until `done`, at most `limit`; returns the time that it took.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(
                self.now - start < limit,
                "SEED={} not done after {limit:?}: {}",
                self.seed,
                self.describe()
            );
            self.run(Duration::from_millis(20));
        }
        self.now - start
    }

    /// Members that run.
    pub(crate) fn living(&self) -> impl Iterator<Item = Node> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].alive && !self.nodes[*n].left)
    }

    /// Whether the operating system has paused a process.
    pub(crate) fn is_paused(&self, node: Node) -> bool {
        self.nodes[node].paused_until.is_some_and(|until| self.now < until)
    }

    /// The number of the member with this id.
    pub(crate) fn node_of(&self, id: MemberId) -> Node {
        self.by_id[&id]
    }

    /// Whether all of `nodes` hold one view with exactly these members.
    pub(crate) fn agree(&self, nodes: &[Node]) -> bool {
        let ids: BTreeSet<_> = nodes.iter().map(|n| self.nodes[*n].core.me().id).collect();
        let Some(first) = self.nodes[nodes[0]].core.view() else { return false };
        first.len() == ids.len()
            && first.members().iter().all(|m| ids.contains(&m.id))
            && nodes
                .iter()
                .all(|n| self.nodes[*n].core.view().is_some_and(|v| v.stamp() == first.stamp()))
    }

    /// Whether all running members agree.
    pub(crate) fn all_agree(&self) -> bool {
        self.agree(&self.living().collect::<Vec<_>>())
    }

    /// The number of partitions of a member.
    pub(crate) fn partitions(&self, node: Node) -> u16 {
        let value = self.nodes[node].core.terms().get(Terms::GENERAL, "partitions");
        value.expect("every member has this term").0.parse().expect("a number")
    }

    /// Asserts that no view contains a member with another explicit number of partitions.
    fn assert_set_alike(&self, node: Node, view: &View) {
        let partitions = self.partitions(node);
        for member in view.members() {
            let other = self.by_id[&member.id];
            let set_to = self.nodes[other].set_to;
            assert!(
                set_to.is_none_or(|set_to| set_to == partitions),
                "SEED={}: {node} has {partitions} partitions, and in its view is {other}, which was set to {set_to:?}",
                self.seed
            );
        }
    }

    /// Asserts that no two views have the same id, and no two of the first epoch of a cluster the
    /// same version.
    fn assert_one_view_of_an_id(&mut self, node: Node, view: &View) {
        let stamp = view.stamp();
        let by = if stamp.id.epoch == 1 { view.lineage } else { stamp.id.coordinator };
        let id = ViewId { coordinator: by, ..stamp.id };
        let known = *self.digests.entry((view.lineage, id)).or_insert(stamp.digest);
        assert_eq!(known, stamp.digest, "SEED={}: {node} has another view {id}", self.seed);
    }

    /// The order of a member's view, as node numbers.
    pub(crate) fn order(&self, node: Node) -> Vec<Node> {
        let view = self.nodes[node].core.view().expect("has a view");
        view.members().iter().map(|m| self.by_id[&m.id]).collect()
    }

    /// The views, and how many members hold each.
    pub(crate) fn describe(&self) -> String {
        let mut held = HashMap::<String, Vec<Node>>::new();
        for node in self.living() {
            let what = match self.nodes[node].core.view() {
                Some(view) => format!("{} of {} [{:x}]", view.id, view.len(), view.stamp().digest),
                None => "no view".into(),
            };
            held.entry(what).or_default().push(node);
        }
        let mut held: Vec<_> = held.into_iter().collect();
        held.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
        held.iter()
            .take(12)
            .map(|(what, nodes)| {
                format!("{what}: {} ({:?}…)", nodes.len(), &nodes[..nodes.len().min(4)])
            })
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn at(&mut self, at: Duration, event: SimEvent) {
        self.count += 1;
        let key = self.count as usize;
        self.events.insert(key, event);
        self.queue.push(Reverse((at, self.count, key)));
    }

    fn process(&mut self, event: SimEvent) {
        let node = match &event {
            SimEvent::Wake(at) | SimEvent::DiscoveryDone(at) => *at,
            SimEvent::Datagram { to, .. } | SimEvent::Message { to, .. } => *to,
            SimEvent::Connected { at, .. }
            | SimEvent::Reached { at, .. }
            | SimEvent::Find { at, .. } => *at,
        };
        let process = &mut self.nodes[node];
        if !process.alive || process.left {
            return;
        }
        if let Some(until) = process.paused_until {
            if self.now < until {
                // Input to a paused process waits in its socket buffers.
                if !matches!(event, SimEvent::Wake(_)) && process.held.len() < 500 {
                    process.held.push(event);
                }
                return;
            }
            process.paused_until = None;
            for held in std::mem::take(&mut process.held) {
                self.process(held);
            }
        }
        let (now, core) = (self.now, &mut self.nodes[node].core);
        match event {
            SimEvent::Wake(_) => {
                if self.nodes[node].woken_for.is_some_and(|at| at > now) {
                    // It was rescheduled.
                    return;
                }
                self.nodes[node].woken_for = None;
                let core = &mut self.nodes[node].core;
                if core.poll_timeout().is_some_and(|at| at <= now) {
                    core.handle_timeout(now);
                }
            }
            SimEvent::Datagram { from, bytes, .. } => {
                let from = self.nodes[from].core.me().id;
                self.nodes[node].core.handle_packet(now, from, &bytes).expect("of this version");
            }
            SimEvent::Message { from, message, .. } => {
                let from = self.nodes[from].core.me().clone();
                self.nodes[node].core.handle_message(now, &from, *message);
            }
            SimEvent::Connected { hello, called, .. } => {
                core.handle_connected(now, *hello, called);
            }
            SimEvent::Reached { id, reach, .. } => core.handle_reach(now, id, reach),
            SimEvent::DiscoveryDone(_) => core.handle_discovery_done(now),
            SimEvent::Find { whom, .. } => {
                if self.call(node, whom) == Reach::Silent {
                    self.at(self.now + LOOK_AGAIN, SimEvent::Find { at: node, whom });
                }
            }
        }
        self.drain(node);
    }

    /// Performs a handshake between two processes, if they can connect.
    fn call(&mut self, from: Node, to: Node) -> Reach {
        self.call_within(from, to, CALL_WAIT, true)
    }

    /// Calls a member at the address that it advertises.
    fn call_member(&mut self, from: Node, member: &Member, wait: Duration) -> Reach {
        let to = self.by_id[&member.id];
        let is_there = member.addresses.contains(&self.nodes[to].address);
        self.call_within(from, to, wait, is_there)
    }

    fn call_within(&mut self, from: Node, to: Node, wait: Duration, is_there: bool) -> Reach {
        let id = self.nodes[to].core.me().id;
        let way = self.network.stream(&mut self.rng, from, to);
        let back = self.network.stream(&mut self.rng, to, from);
        let stopped = self.is_paused(to);
        let first = match (way, back) {
            _ if !is_there || !self.network.takes_call(from, to) => None,
            (Some(way), Some(back)) if way + back < wait && !stopped => {
                Some((way + back, self.at_address_of(to)))
            }
            _ => None,
        };
        let (after, reach) = self.everywhere(first);
        if reach == Reach::Answered {
            let (mine, theirs) = (self.nodes[from].core.hello(), self.nodes[to].core.hello());
            self.streams.insert((from, to));
            for (at, hello, called) in [(to, mine, false), (from, theirs, true)] {
                let hello = Box::new(hello);
                self.at(self.now + after, SimEvent::Connected { at, hello, called });
            }
        }
        self.at(self.now + after, SimEvent::Reached { at: from, id, reach });
        reach
    }

    /// The result of a call to the address of a member that can be reached.
    fn at_address_of(&self, node: Node) -> AtAddress {
        let process = &self.nodes[node];
        if process.alive && !process.left {
            return AtAddress::Member;
        }
        let mut others = self.living().map(|other| self.nodes[other].address);
        match others.any(|address| address == process.address) {
            true => AtAddress::OtherProcess,
            false => AtAddress::Refused,
        }
    }

    /// The result of calls to all addresses of a member, and the time that they take, if its
    /// `first` address has this result, or none.
    fn everywhere(&mut self, first: Option<(Duration, AtAddress)>) -> (Duration, Reach) {
        let (after, at_first) = first.unwrap_or((CALL_WAIT, AtAddress::Silent));
        let at_second = self.network.at_second_address(&mut self.rng);
        let reach = Reach::of([at_first].into_iter().chain(at_second));
        let waits = at_second == Some(AtAddress::Silent) && reach != Reach::Answered;
        (if waits { CALL_WAIT } else { after }, reach)
    }

    /// Reports data streams that cannot be opened, as the driver does.
    pub(crate) fn report_data_unreachable(&mut self) {
        let living: Vec<Node> = self.living().filter(|node| !self.is_paused(*node)).collect();
        for from in living {
            let Some(view) = self.nodes[from].core.view() else { continue };
            let others = view.members().iter().map(|member| member.id);
            let others: Vec<_> = others.filter(|id| self.by_id[id] != from).collect();
            for id in others {
                if !self.network.takes_call(from, self.by_id[&id]) {
                    let now = self.now;
                    self.nodes[from].core.handle_data_unreachable(now, id);
                    self.drain(from);
                }
            }
        }
    }

    /// Breaks the streams to a member: each of the others calls it.
    pub(crate) fn break_streams(&mut self, to: Node) {
        let others: Vec<_> = self.living().filter(|n| *n != to && !self.is_paused(*n)).collect();
        for from in others {
            self.call(from, to);
        }
    }

    fn drain(&mut self, node: Node) {
        // Sent before the next message over the same stream.
        let mut before = None;
        while let Some(output) = self.nodes[node].core.poll_output() {
            self.trace_output(node, &output);
            if let (Some(log), Output::Event(event)) = (&mut self.log, &output) {
                log.push(Reported { at: self.now, by: node, event: event.clone() });
            }
            match output {
                Output::Message { message, .. } if message.is_supplement() => {
                    before = Some(Box::new(message));
                }
                Output::Packet { to, bytes } => {
                    self.datagrams += 1;
                    self.datagram_bytes += bytes.len() as u64;
                    let view = self.nodes[node].core.view();
                    let member = view.and_then(|view| view.get(to));
                    let to = self.by_id[&to];
                    let address = self.nodes[to].address;
                    let is_there = member.is_none_or(|member| member.addresses.contains(&address));
                    let delay = self.network.datagram(&mut self.rng, node, to);
                    if let Some(delay) = delay.filter(|_| is_there) {
                        self.at(self.now + delay, SimEvent::Datagram { from: node, to, bytes });
                    }
                }
                Output::Message { to, message } => {
                    let encoded = Message::decode(&message.encode());
                    assert_eq!(encoded.as_ref(), Ok(&message), "what is sent can be read");
                    self.stream_packets += u64::from(matches!(message, Message::Packet { .. }));
                    let addresses = to.addresses;
                    let to = self.by_id[&to.id];
                    let gone = !self.nodes[to].alive || self.nodes[to].left;
                    // Over a stream that the other opened, if it accepts none.
                    let takes_none = !self.network.takes_call(node, to)
                        || !addresses.contains(&self.nodes[to].address);
                    let is_closed = takes_none && !self.streams.contains(&(to, node));
                    let way = self.network.stream(&mut self.rng, node, to);
                    match way.filter(|_| !is_closed) {
                        Some(delay) if !gone => {
                            if let Some(message) = before.take() {
                                let at = self.now + delay;
                                self.at(at, SimEvent::Message { from: node, to, message });
                            }
                            let message = Box::new(message);
                            self.at(
                                self.now + delay,
                                SimEvent::Message { from: node, to, message },
                            );
                        }
                        way => {
                            let id = self.nodes[to].core.me().id;
                            // A firewall that takes no connections does not answer either.
                            let way = way.filter(|_| gone);
                            let first = way.map(|way| (way * 2, self.at_address_of(to)));
                            let (after, reach) = self.everywhere(first);
                            self.at(self.now + after, SimEvent::Reached { at: node, id, reach });
                        }
                    }
                }
                Output::Call { to, patient } => {
                    let wait = if patient { PATIENT_WAIT } else { CALL_WAIT };
                    self.call_member(node, &to, wait);
                }
                Output::Event(Event::View { view, departed, .. }) => {
                    for gone in &departed {
                        let whom = self.by_id[&gone.member.id];
                        if self.nodes[whom].left && gone.how == Departure::Lost {
                            self.left_as_lost.push((node, whom));
                        }
                    }
                    if view.id.coordinator == self.nodes[node].core.me().id {
                        let lost = departed.iter().filter(|gone| gone.how == Departure::Lost).map(
                            |gone| {
                                let whom = self.by_id[&gone.member.id];
                                Removal { at: self.now, by: node, whom }
                            },
                        );
                        self.removed.extend(lost);
                    }
                    self.assert_set_alike(node, &view);
                    self.assert_one_view_of_an_id(node, &view);
                    self.nodes[node].views.push(view);
                }
                Output::Event(Event::DatagramsBlocked { member, here }) => {
                    self.blocked.push((node, self.by_id[&member.id], here));
                }
                Output::Event(Event::Refused { by, .. }) => {
                    self.refused.push((node, self.by_id[&by.id]));
                }
                Output::Event(Event::MemberRefused {
                    member,
                    why: JoinRefusal::Differs(differences),
                }) => {
                    let [difference] = &differences[..] else { panic!("{differences:?}") };
                    let values = [&difference.cluster, &difference.newcomer];
                    let values = values.map(|value| value.parse().expect("a number"));
                    self.differ.push((node, self.by_id[&member.id], values));
                }
                Output::Event(Event::DatagramsRestored(member)) => {
                    self.passed.push((node, self.by_id[&member.id]));
                }
                Output::Event(Event::Left) => self.nodes[node].left = true,
                Output::Event(_) => {}
            }
        }
        let due = self.nodes[node].core.poll_timeout().map(|at| at.max(self.now));
        if let Some(due) = due
            && self.nodes[node].woken_for.is_none_or(|at| due < at)
        {
            self.nodes[node].woken_for = Some(due);
            self.at(due, SimEvent::Wake(node));
        }
    }

    /// Prints what a member does, except its datagrams, if `TRACE=1`.
    fn trace_output(&self, node: Node, output: &Output) {
        if !self.trace {
            return;
        }
        let what = match output {
            Output::Packet { .. } => return,
            Output::Message { to, message } => format!("to {}: {message:?}", self.by_id[&to.id]),
            Output::Call { to, .. } => format!("calls {}", self.by_id[&to.id]),
            Output::Event(Event::View { view, .. }) => {
                let members = view.members().iter().map(|m| (self.by_id[&m.id], m.generation));
                format!("view {} {:?}", view.id, members.collect::<Vec<_>>())
            }
            Output::Event(event) => format!("{event:?}"),
        };
        println!("{:?} {node} {}", self.now, what.chars().take(160).collect::<String>());
    }

    /// A random running member.
    pub(crate) fn any_living(&mut self) -> Node {
        let living: Vec<_> = self.living().collect();
        living[self.rng.random_range(0..living.len())]
    }
}
