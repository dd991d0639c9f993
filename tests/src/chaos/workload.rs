//! The workload of one round: its keys, and the requests of its clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{self, Client};
use super::fleet::Place;
use super::history::{Action, Answer, Operation, Outcome, Profile, first_value};
use super::random::Random;

/// Clients of a run.
pub(super) const CLIENTS: u32 = 24;

/// Registers that many clients use concurrently, and registers with few operations each that cover
/// all partitions.
const HOT: usize = 12;
const COLD: usize = 1_200;
const DELETING_HOT: usize = 6;
const DELETING_COLD: usize = 300;
const COUNTERS: usize = 4;
const QUEUES: usize = 6;
const SETS: usize = 6;
/// Keys with a time to live, of each client.
const EXPIRING_EACH: usize = 16;
/// Keys of each client that are deleted and must stay deleted.
const DELETED_EACH: usize = 20;

/// Elements of a set that one client leaves in it.
const SET_ELEMENTS_MAX: usize = 40;

/// Maximum number of milliseconds that a client waits after an operation.
const PAUSE_MS_MAX: u64 = 9;

/// Values of one client in one round, as bits.
const VALUE_BITS: u32 = 20;

/// Lengths of values, in bytes.
const WIDTHS: [usize; 8] = [16, 16, 16, 64, 64, 300, 2_000, 20_000];

/// Time to live of keys, in milliseconds.
const TTL_MS: [u64; 6] = [300, 700, 1_500, 2_500, 4_000, 8_000];

/// The keys of a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) hot: Vec<String>,
    pub(super) cold: Vec<String>,
    deleting: Vec<String>,
    deleting_cold: Vec<String>,
    counters: Vec<String>,
    /// The two lists of each.
    queues: Vec<[String; 2]>,
    sets: Vec<String>,
    /// By client.
    expiring: Vec<Vec<String>>,
    /// By client.
    pub(super) deleted: Vec<Vec<String>>,
    /// Of earlier rounds: only read.
    pub(super) earlier: Vec<String>,
}

impl Keys {
    pub(super) fn new(round: u64, profile: Profile, earlier: Vec<String>) -> Self {
        let many = |kind: &str, name: &str, count: usize| -> Vec<String> {
            (0..count).map(|index| format!("{kind}:{round}:{name}{index}")).collect()
        };
        let each = |kind: &str, count: usize| -> Vec<Vec<String>> {
            (0..CLIENTS).map(|client| many(kind, &format!("{client}-"), count)).collect()
        };
        let registers = Self {
            hot: many("register", "hot", HOT),
            cold: many("register", "", COLD),
            deleted: each("deleted", DELETED_EACH),
            earlier,
            ..Self::default()
        };
        if profile == Profile::Split {
            return registers;
        }
        let list = |index: usize, side: &str| format!("queue:{{{round}-{index}}}:{side}");
        Self {
            deleting: many("deleting", "hot", DELETING_HOT),
            deleting_cold: many("deleting", "", DELETING_COLD),
            counters: many("counter", "", COUNTERS),
            queues: (0..QUEUES).map(|index| [list(index, "a"), list(index, "b")]).collect(),
            sets: many("set", "", SETS),
            expiring: each("expiring", EXPIRING_EACH),
            ..registers
        }
    }

    /// Each key, with the action that reads all of it.
    pub(super) fn reads(&self) -> Vec<(String, Action)> {
        let values = [&self.hot, &self.cold, &self.deleting, &self.deleting_cold];
        let values = values.into_iter().chain([&self.counters, &self.earlier]);
        let values = values.chain(&self.expiring).chain(&self.deleted);
        let values = values.flatten().map(|key| (key.clone(), Action::Get));
        let lists = self.queues.iter().flatten().map(|key| (key.clone(), Action::List));
        let sets = self.sets.iter().map(|key| (key.clone(), Action::Members));
        values.chain(lists).chain(sets).collect()
    }
}

/// Running clients, on their own thread. They are stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Workload {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Operation>>>,
}

/// The shared state of all clients of a round.
struct Round {
    number: u64,
    profile: Profile,
    seed: u64,
    start: Instant,
    keys: Keys,
    sides: Vec<u32>,
    is_over: Arc<AtomicBool>,
}

impl Workload {
    /// Starts all clients, spread over the members. Times count from `start`; `sides`
    /// has the side of each member.
    pub(super) fn start(
        places: &Arc<Vec<Place>>,
        (seed, number): (u64, u64),
        profile: Profile,
        start: Instant,
        keys: Keys,
        sides: Vec<u32>,
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let round = Round { number, profile, seed, start, keys, sides, is_over };
        let is_over = Arc::clone(&round.is_over);
        let places = Arc::clone(places);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(all(Arc::new(round), places))
        });
        Self { is_over, thread: Some(thread) }
    }

    /// Stops all clients after their current operation, and returns the operations.
    pub(super) fn stop(mut self) -> Vec<Operation> {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

async fn all(round: Arc<Round>, places: Arc<Vec<Place>>) -> Vec<Operation> {
    let workers = (0..CLIENTS).map(|number| {
        let worker = Worker::new(number, Arc::clone(&round), &places);
        tokio::spawn(worker.run())
    });
    let mut operations = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        operations.append(&mut worker.await.expect("the client did not panic"));
    }
    operations
}

/// A key with a time to live, as its only writer knows it.
#[derive(Clone, Copy, Debug, Default)]
struct Lifetime {
    /// Whether it is no longer written, because its last outcome is unknown.
    is_lost: bool,
}

struct Worker {
    number: u32,
    round: Arc<Round>,
    client: Client,
    random: Random,
    value: u64,
    operations: Vec<Operation>,
    lifetimes: Vec<Lifetime>,
    /// Elements that it added to sets, and when they were acknowledged.
    added: VecDeque<(usize, u64)>,
    /// Keys that are to be deleted.
    deletions: VecDeque<String>,
}

impl Worker {
    fn new(number: u32, round: Arc<Round>, places: &Arc<Vec<Place>>) -> Self {
        let at = number as usize % places.len();
        let moves = round.profile == Profile::Strong;
        let stream = (round.number << 16) + u64::from(number) + 1;
        let mut random = Random::stream(round.seed, stream);
        let mut deletions: Vec<String> = round.keys.deleted[number as usize].clone();
        let turn = random.index(deletions.len());
        deletions.rotate_left(turn);
        Self {
            number,
            client: Client::new(Arc::clone(places), at, moves),
            random,
            value: first_value(number) + (round.number << VALUE_BITS),
            operations: Vec::new(),
            lifetimes: vec![Lifetime::default(); EXPIRING_EACH],
            added: VecDeque::new(),
            deletions: deletions.into(),
            round,
        }
    }

    async fn run(mut self) -> Vec<Operation> {
        while !self.round.is_over.load(Ordering::Relaxed) {
            if !self.client.connect().await {
                continue;
            }
            self.step().await;
            let pause = self.random.below(PAUSE_MS_MAX + 1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.operations
    }

    /// The side of the network that it is on.
    fn side(&self) -> u64 {
        let member = self.client.member() as usize;
        self.round.sides.get(member).copied().unwrap_or(0).into()
    }

    async fn step(&mut self) {
        let dice = self.random.below(100);
        if self.round.profile == Profile::Split {
            match dice {
                0..30 => self.register(true).await,
                30..94 => self.register(false).await,
                _ => self.deletion().await,
            }
            return;
        }
        match dice {
            0..20 => self.register(true).await,
            20..38 => self.register(false).await,
            38..54 => self.deleting().await,
            54..61 => self.counter().await,
            61..81 => self.queue().await,
            81..90 => self.set().await,
            90..97 => self.expiring().await,
            _ => self.deletion().await,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.value += 1;
        self.value
    }

    async fn register(&mut self, is_hot: bool) {
        let round = Arc::clone(&self.round);
        let keys = if is_hot { &round.keys.hot } else { &round.keys.cold };
        let index = self.random.index(keys.len());
        // With splits, each of the many keys is written on one side only.
        let is_ours =
            is_hot || round.profile == Profile::Strong || index as u64 % 2 == self.side() % 2;
        let action = if is_ours && self.random.percent(50) {
            Action::Set { value: self.fresh(), ttl_ms: None }
        } else {
            Action::Get
        };
        self.command(&keys[index], action).await;
    }

    async fn deleting(&mut self) {
        let round = Arc::clone(&self.round);
        let is_hot = self.random.percent(50);
        let keys = if is_hot { &round.keys.deleting } else { &round.keys.deleting_cold };
        let key = &keys[self.random.index(keys.len())];
        let action = match self.random.below(20) {
            0..6 => Action::Set { value: self.fresh(), ttl_ms: None },
            6..8 => Action::SetIfAbsent { value: self.fresh() },
            8..12 => Action::Delete,
            12 => Action::GetDelete,
            _ => Action::Get,
        };
        self.command(key, action).await;
    }

    async fn counter(&mut self) {
        let round = Arc::clone(&self.round);
        let key = self.random.pick(&round.keys.counters);
        let action = if self.random.percent(80) { Action::Increment } else { Action::Get };
        self.command(key, action).await;
    }

    async fn queue(&mut self) {
        let round = Arc::clone(&self.round);
        let index = self.random.index(round.keys.queues.len());
        let [first, second] = &round.keys.queues[index];
        // The first queue has one consumer.
        let consumes = index > 0 || self.number == 0;
        let dice = self.random.below(if consumes { 100 } else { 44 });
        let timeout_ms = self.random.between(5, 120);
        let (key, action) = match dice {
            0..44 => (first, Action::Push { value: self.fresh() }),
            44..56 => (first, Action::Pop),
            56..66 => (first, Action::BlockingPop { timeout_ms }),
            66..76 => (first, Action::PopMany { count: self.random.between(1, 5), timeout_ms }),
            76..86 => (first, Action::Move { to: second.clone(), timeout_ms }),
            86..92 => (second, Action::Pop),
            92..97 => (second, Action::BlockingPop { timeout_ms }),
            97..99 => (first, Action::List),
            _ => (second, Action::List),
        };
        self.command(key, action).await;
    }

    async fn set(&mut self) {
        let round = Arc::clone(&self.round);
        let dice = self.random.below(100);
        if dice < 20 {
            let key = self.random.pick(&round.keys.sets);
            self.command(key, Action::Members).await;
            return;
        }
        if (dice < 55 || self.added.len() > SET_ELEMENTS_MAX)
            && let Some((index, value)) = self.added.pop_front()
        {
            self.command(&round.keys.sets[index], Action::Remove { value }).await;
            return;
        }
        let (index, value) = (self.random.index(round.keys.sets.len()), self.fresh());
        if self.command(&round.keys.sets[index], Action::Add { value }).await {
            self.added.push_back((index, value));
        }
    }

    async fn expiring(&mut self) {
        let round = Arc::clone(&self.round);
        let index = self.random.index(EXPIRING_EACH);
        if self.random.percent(30) && !self.lifetimes[index].is_lost {
            let key = &round.keys.expiring[self.number as usize][index];
            let ttl_ms = self.random.percent(65).then(|| *self.random.pick(&TTL_MS));
            let action = if self.random.percent(10) {
                Action::Delete
            } else {
                Action::Set { value: self.fresh(), ttl_ms }
            };
            self.command(key, action).await;
            let is_unknown = self.operations.last().is_some_and(Operation::is_unknown);
            self.lifetimes[index].is_lost = is_unknown;
        } else {
            let owner = self.random.index(round.keys.expiring.len());
            self.command(&round.keys.expiring[owner][index], Action::Get).await;
        }
    }

    /// Deletes one of its keys permanently, or reads one that was deleted.
    async fn deletion(&mut self) {
        let round = Arc::clone(&self.round);
        if self.random.percent(25)
            && let Some(key) = self.deletions.pop_front()
        {
            self.command(&key, Action::Delete).await;
            return;
        }
        let earlier = &round.keys.earlier;
        let key = if !earlier.is_empty() && self.random.percent(50) {
            self.random.pick(earlier)
        } else {
            let of = self.random.index(round.keys.deleted.len());
            self.random.pick(&round.keys.deleted[of])
        };
        self.command(key, Action::Get).await;
    }

    /// Returns whether it was executed.
    async fn command(&mut self, key: &str, action: Action) -> bool {
        let width = *self.random.pick(&WIDTHS);
        let words = client::request(key, &action, width);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let member = self.client.member();
        let call = nanos(self.round.start);
        let answer = self.client.command(&words, client::waits(&action)).await;
        let ret = nanos(self.round.start);
        let outcome = client::outcome(&action, &answer);
        let is_done = matches!(outcome, Outcome::Done(_));
        let key = key.to_owned();
        self.operations.push(Operation {
            key,
            client: self.number,
            member,
            action,
            call,
            ret,
            outcome,
        });
        is_done
    }
}

/// Nanoseconds since `start`.
pub(super) fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Whether this acknowledged operation deleted an existing key.
pub(super) fn is_deleted(operation: &Operation) -> bool {
    operation.action == Action::Delete && operation.answer() == Some(&Answer::Integer(1))
}
