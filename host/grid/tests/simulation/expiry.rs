//! Lifetimes and idle times of entries: none ends early or late, and none comes back.

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{
    CacheAction, CacheLifetime, CacheOp, CachePolicy, GenericOp, KeyOp, Lifetime, PlainOp,
    PutAnswer, PutIf,
};
use convoke_grid::{MapCatalog, MapSettings, Op, OpError, Reply};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::faults::strike;
use crate::store::{STEP, Store};
use crate::world::seeds;

const PARTITIONS: u16 = 7;
/// Seeds by default.
const COUNT: u64 = 30;
/// Keys, each of which has one client.
const KEYS: usize = 12;
/// Operations of a client in a second, if replies come at once.
const RATE: f64 = 16.0;
/// How much earlier or later than by the time of the simulation an entry may end, as the cluster's
/// clock follows that of a machine.
const SLACK: Duration = Duration::from_millis(400);
/// Reading moves a deadline in steps of this part of the lifetime.
const STEPS: u32 = 16;

/// The earliest and the latest end of an entry.
type End = (Duration, Duration);

/// How the lifetime of an entry is determined.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// After it is written.
    lifetime: Option<Duration>,
    /// After it is read or written.
    idle: Option<Duration>,
    /// Whether it is an entry of a cache, whose deadline is moved when it is read.
    is_cache: bool,
}

/// An entry that was written.
#[derive(Clone, Copy, Debug)]
struct Written {
    value: u32,
    rules: Rules,
    /// The end of its lifetime.
    lifetime: Option<End>,
    /// The end of its idle time.
    idle: Option<End>,
}

impl Written {
    fn new(value: u32, rules: Rules, from: Duration, to: Duration) -> Self {
        let end = |time: Duration| (from + time, to + time);
        let idle = rules.idle.filter(|_| !rules.is_cache).map(end);
        Self { value, rules, lifetime: rules.lifetime.map(end), idle }
    }

    fn earliest(&self) -> Duration {
        self.lifetime.iter().chain(&self.idle).map(|end| end.0).min().unwrap_or(Duration::MAX)
    }

    fn latest(&self) -> Duration {
        self.lifetime.iter().chain(&self.idle).map(|end| end.1).min().unwrap_or(Duration::MAX)
    }

    /// It was read, or may have been read.
    fn touch(&mut self, from: Duration, to: Duration, is_certain: bool) {
        let Some(idle) = self.rules.idle else { return };
        let end = (from + idle, to + idle + idle / STEPS);
        match (self.rules.is_cache, &mut self.lifetime, &mut self.idle) {
            // There is one deadline, which was that of the creation until now.
            (true, lifetime, moved) => {
                let before = lifetime.take().or(*moved).unwrap_or((Duration::MAX, Duration::MAX));
                *moved = Some(if is_certain { end } else { union(before, end) });
            }
            (false, _, Some(moved)) => {
                let first = if is_certain { end.0.max(moved.0) } else { moved.0 };
                *moved = (first, end.1.max(moved.1));
            }
            (false, _, None) => {}
        }
    }
}

fn union(a: End, b: End) -> End {
    (a.0.min(b.0), a.1.max(b.1))
}

/// The client of a key. After an operation of unknown outcome it uses another key.
#[derive(Clone, Debug, Default)]
struct Client {
    is_busy: bool,
    generation: u32,
    written: Option<Written>,
    is_cache: bool,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Put(u32, Rules),
    Get,
    Remove,
}

#[derive(Debug, Default)]
struct Log {
    clients: Vec<Client>,
    violations: Vec<String>,
    /// Reads that found a value, and entries that had ended.
    found: u64,
    ended: u64,
}

struct InProgress {
    log: Arc<Mutex<Log>>,
    index: usize,
    call: Call,
    at: Duration,
    is_done: bool,
}

impl InProgress {
    fn end(&mut self, now: Duration, answer: Result<Reply, OpError>) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        let mut log = self.log.lock();
        let Log { clients, violations, found, ended } = &mut *log;
        let client = &mut clients[self.index];
        client.is_busy = false;
        let at = self.at;
        let mut wrong = |client: &Client, why: &str| {
            violations.push(format!("{why}: {:?} from {at:?} to {now:?}, {client:?}", self.call));
        };
        match (self.call, answer) {
            (_, Err(OpError::Indeterminate)) => {
                let (generation, is_cache) = (client.generation + 1, client.is_cache);
                *client = Client { generation, is_cache, ..Client::default() };
            }
            // It may have been read.
            (Call::Get, Err(_)) => {
                if let Some(written) = &mut client.written {
                    written.touch(at, now, false);
                }
            }
            (_, Err(_)) => {}
            (Call::Put(value, rules), Ok(_)) => {
                client.written = Some(Written::new(value, rules, at, now));
            }
            (Call::Remove, Ok(_)) => client.written = None,
            (Call::Get, Ok(Reply::Nil)) => {
                if client.written.is_some_and(|written| now + SLACK < written.earliest()) {
                    wrong(client, "it ended early");
                }
                *ended += u64::from(client.written.take().is_some());
            }
            (Call::Get, Ok(reply)) => {
                *found += 1;
                let Some(written) = &mut client.written else {
                    return wrong(client, "it came back");
                };
                let is_it = reply == Reply::bytes(&written.value.to_be_bytes());
                let is_late = at > written.latest().saturating_add(SLACK);
                written.touch(at, now, true);
                if !is_it {
                    wrong(client, "another value");
                }
                if is_late {
                    wrong(client, "it ended late");
                }
            }
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.end(self.at, Err(OpError::Indeterminate));
    }
}

fn policy(rules: Rules) -> CachePolicy {
    let lifetime = |time: Duration| CacheLifetime::Ms(time.as_millis() as u64);
    CachePolicy {
        creation: rules.lifetime.map_or(CacheLifetime::Eternal, lifetime),
        access: rules.idle.map(lifetime),
        update: rules.lifetime.map(lifetime),
    }
}

fn send(store: &mut Store, log: &Arc<Mutex<Log>>, index: usize, number: u32) {
    let living = store.living();
    let node = living[store.world.rng.random_range(0..living.len())];
    if store.is_stopped(node) {
        return;
    }
    let client = log.lock().clients[index].clone();
    let mut time = |chance: f64| {
        let ms = store.world.rng.random_range(300..3_000);
        store.world.rng.random_bool(chance).then_some(Duration::from_millis(ms))
    };
    let rules = Rules { lifetime: time(0.7), idle: time(0.5), is_cache: client.is_cache };
    let call = match store.world.rng.random_range(0..20) {
        0..2 => Call::Put(number, rules),
        2 => Call::Remove,
        _ => Call::Get,
    };
    // A cache applies the rules of the entry that is there.
    let policy = policy(client.written.map_or(rules, |written| written.rules));
    if let (Call::Put(..), true, Some(_)) = (call, client.is_cache, client.written) {
        return;
    }
    let key = format!("key-{index}-{}", client.generation).into_bytes();
    log.lock().clients[index].is_busy = true;
    let bytes = number.to_be_bytes();
    let op = if client.is_cache {
        let action = match call {
            Call::Put(..) => CacheAction::Put(&bytes),
            Call::Get => CacheAction::Get,
            Call::Remove => CacheAction::Remove,
        };
        KeyOp::Cache(CacheOp { action, policy, overrides: true, room: None, tag: &[] })
    } else {
        let ms = |time: Duration| time.as_millis() as u64;
        match call {
            Call::Put(_, rules) => KeyOp::Plain(PlainOp::Put {
                kind: 0,
                value: &bytes,
                lifetime: Lifetime::Limited {
                    ttl_ms: rules.lifetime.map(ms),
                    max_idle_ms: rules.idle.map(ms),
                },
                condition: PutIf::Always,
                answer: PutAnswer::Done,
            }),
            Call::Get => KeyOp::Plain(PlainOp::Get),
            Call::Remove => KeyOp::Generic(GenericOp::Remove),
        }
    };
    let at = store.world.now;
    let mut open = InProgress { log: Arc::clone(log), index, call, at, is_done: false };
    let clock = store.clock();
    store.start_op(node, &Op::Key(&key, op), None, move |answer| open.end(clock(), answer));
}

#[test]
fn entries_end_neither_early_nor_late_by_lifetime_and_by_idle_time() {
    for seed in seeds!(COUNT) {
        let defaults = MapSettings { backups: 1, ..MapSettings::default() };
        let catalog = MapCatalog { defaults, named: Vec::new() };
        let mut store = Store::new(seed, PARTITIONS, catalog);
        store.rate = 0.0;
        store.grow(3);
        let client = |index| Client { is_cache: index % 2 == 1, ..Client::default() };
        let clients = (0..KEYS).map(client).collect();
        let log = Arc::new(Mutex::new(Log { clients, ..Log::default() }));
        let (all, mut number) = (Arc::clone(&log), 0);
        store.clients = Some(Box::new(move |store| {
            for index in 0..KEYS {
                let is_idle = !all.lock().clients[index].is_busy;
                if is_idle && store.world.rng.random_bool(RATE * STEP.as_secs_f64()) {
                    number += 1;
                    send(store, &all, index, number);
                }
            }
        }));
        for _ in 0..3 {
            strike(&mut store);
        }
        let log = log.lock();
        assert_eq!(log.violations, [""; 0], "SEED={seed}");
        assert!(log.found > 100 && log.ended > 0, "SEED={seed}: {} {}", log.found, log.ended);
    }
}
