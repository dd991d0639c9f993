//! Transactions over several partitions: each is executed completely or not at all, and no client
//! sees a part of one.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{
    GenericOp, KeyOp, Lifetime, MapOp, Op, PlainOp, PutAnswer, PutIf, SeveralOp, WatchedKey,
};
use convoke_grid::{
    AbortReason, Grid, MapCatalog, MapSettings, OpError, Reply, Started, StepResult, Version,
};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::network::Node;
use crate::oracle::{Outcome, Read};
use crate::store::Store;
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;
/// Groups of keys that are always written together.
const GROUPS: u64 = 6;
/// Keys of one group; they lie in several partitions.
const GROUP_KEYS: u64 = 3;
/// The oracle treats a group as one key; their numbers start here.
const GROUPS_FROM: u64 = 1_000;
/// Amounts are transferred between these accounts; their sum is 0.
const ACCOUNTS: usize = 5;
/// Keys of which one holds a token, which is renamed from one to another.
const NAMES: usize = 5;
/// Pairs of counters.
const PAIRS: usize = 4;

/// The observations of the clients of transactions.
#[derive(Debug, Default)]
struct Seen {
    violations: Vec<String>,
    committed: u64,
    refused: u64,
    unknown: u64,
    conflicts: u64,
    reads: u64,
    errors: BTreeSet<String>,
}

struct Clients {
    seen: Arc<Mutex<Seen>>,
    /// Whether clients read: during a split, each side returns its own data.
    reads: bool,
}

fn group_keys(group: u64) -> Vec<Vec<u8>> {
    (0..GROUP_KEYS).map(|at| format!("group-{group}-{at}").into_bytes()).collect()
}

fn account(at: usize) -> Vec<u8> {
    format!("account-{at}").into_bytes()
}

fn name(at: usize) -> Vec<u8> {
    format!("name-{at}").into_bytes()
}

fn on_map(op: Op<'_>) -> MapOp<'_> {
    MapOp { map: "m", op }
}

fn get(key: &[u8]) -> MapOp<'_> {
    on_map(Op::Key(key, KeyOp::Plain(PlainOp::Get)))
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> MapOp<'a> {
    on_map(Op::Key(
        key,
        KeyOp::Plain(PlainOp::Put {
            kind: 0,
            value,
            lifetime: Lifetime::Default,
            condition: PutIf::Always,
            answer: PutAnswer::Done,
        }),
    ))
}

fn numbers(reply: &Reply) -> Option<Vec<Option<i64>>> {
    let Reply::List(all) = reply else { return None };
    all.iter()
        .map(|reply| match reply {
            Reply::Nil => Some(None),
            Reply::Bytes(bytes) => Some(Some(String::from_utf8_lossy(bytes).parse().ok()?)),
            Reply::Integer(number) => Some(Some(*number)),
            _ => None,
        })
        .collect()
}

/// Executes operations one by one, as a script does.
fn one_by_one<F: FnOnce(Result<Reply, OpError>) + Send + 'static>(
    grid: Grid,
    home: u16,
    ops: &[MapOp<'_>],
    then: F,
) -> impl Future<Output = ()> + Send + use<F> {
    let encoded = |op: &MapOp<'_>| postcard::to_allocvec(&op.op).expect("an operation");
    let ops: Vec<Vec<u8>> = ops.iter().map(encoded).collect();
    async move {
        let maps = vec![grid.open("m").expect("a map")];
        let age = grid.age();
        let reply = loop {
            let mut transaction = match grid.open_transaction(home, age, maps.clone()) {
                Ok(transaction) => transaction,
                Err(error) => break Err(error),
            };
            let (mut replies, mut stop) = (Vec::new(), None);
            for op in &ops {
                let op: Op<'_> = postcard::from_bytes(op).expect("an operation");
                match transaction.execute("m", &op).await {
                    Ok(reply) => replies.push(reply),
                    Err(why) => {
                        stop = Some(why);
                        break;
                    }
                }
            }
            let stop = match stop {
                Some(stop) => stop,
                None => match transaction.commit().await {
                    Ok(Ok(())) => break Ok(Reply::List(replies)),
                    Ok(Err(error)) => break Err(error),
                    Err(stop) => stop,
                },
            };
            match stop {
                AbortReason::NotPrimary => break Err(OpError::Unavailable),
                AbortReason::Failed(error) => break Err(error),
                AbortReason::Retry => {
                    if let Err(error) = transaction.give_up().await {
                        break Err(error);
                    }
                }
            }
        };
        then(reply);
    }
}

/// Two counters in one partition that are always equal.
fn pair(pair: usize) -> [Vec<u8>; 2] {
    ["a", "b"].map(|end| format!("{{pair-{pair}}}{end}").into_bytes())
}

impl Clients {
    fn new() -> Self {
        Self { seen: Arc::default(), reads: true }
    }

    /// Starts a transaction at a member.
    fn start(
        &self,
        store: &mut Store,
        node: Node,
        watched: Vec<WatchedKey<'_>>,
        ops: Vec<MapOp<'_>>,
        batch: bool,
        then: impl FnOnce(Result<Reply, OpError>) + Send + 'static,
    ) {
        let changes = ops.iter().any(|op| op.op.effect() > convoke_grid::op::Effect::Reads);
        let seen = Arc::clone(&self.seen);
        let then = move |reply: Result<Reply, OpError>| {
            let mut seen = seen.lock();
            match &reply {
                Ok(_) if changes => seen.committed += 1,
                Ok(_) => seen.reads += 1,
                Err(OpError::Indeterminate) => seen.unknown += 1,
                Err(OpError::Conflict) => seen.conflicts += 1,
                Err(error) => {
                    seen.refused += 1;
                    seen.errors.insert(error.to_string());
                }
            }
            drop(seen);
            then(reply);
        };
        if batch && watched.is_empty() && store.world.rng.random_bool(0.5) {
            let grid = store.members[node].grid.clone();
            let table = grid.table();
            let is_led = |partition: &u16| {
                let of = table.as_ref().and_then(|of| of.partitions.get(usize::from(*partition)));
                of.and_then(|of| of.primary()) == Some(grid.me())
            };
            let keys = ops.iter().flat_map(|op| op.op.keys());
            let home = keys.map(|key| grid.partition_of(key)).find(is_led);
            if let Some(home) = home {
                store.add_task(node, one_by_one(grid.clone(), home, &ops, then));
                return;
            }
        }
        let started = store.members[node].grid.transact(watched, ops, batch);
        match started {
            Started::Now(reply) => then(reply),
            Started::Later(later) => store.add_task(node, async move { then(later.await) }),
        }
    }

    /// A client executes a random operation.
    fn act(&self, store: &mut Store) {
        let living = store.living();
        let node = living[store.world.rng.random_range(0..living.len())];
        if store.is_stopped(node) {
            return;
        }
        match store.world.rng.random_range(0..12) {
            0..3 => self.write_group(store, node),
            3 if self.reads => self.read_group(store, node),
            4 if self.reads => self.read_key_of_group(store, node),
            5 | 6 => self.transfer(store, node),
            7 if self.reads => self.sum(store, node),
            8 => self.rename(store, node),
            9 if self.reads => self.count(store, node),
            10 => self.step(store, node),
            11 if self.reads => self.read_pair(store, node),
            _ => {}
        }
        store.drive(node);
    }

    fn write_group(&self, store: &mut Store, node: Node) {
        let group = store.world.rng.random_range(0..GROUPS);
        let (side, table) = (store.side_of(node), store.members[node].grid.table());
        let mut oracle = store.oracle.lock();
        let value = oracle.new_value();
        let id =
            oracle.issue(store.world.now, GROUPS_FROM + group, (Some(value), None), side, table);
        drop(oracle);
        let (keys, text) = (group_keys(group), value.to_string());
        let ops = keys.iter().map(|key| put(key, text.as_bytes())).collect();
        let (oracle, clock) = (Arc::clone(&store.oracle), store.clock());
        let grid = store.members[node].grid.clone();
        self.start(store, node, Vec::new(), ops, true, move |reply| {
            let outcome = match reply {
                Ok(_) => Outcome::Acknowledged,
                Err(OpError::Indeterminate) => Outcome::Unknown,
                Err(_) => Outcome::Refused,
            };
            oracle.lock().completed(clock(), id, outcome, grid.table());
        });
    }

    fn read_group(&self, store: &mut Store, node: Node) {
        let group = store.world.rng.random_range(0..GROUPS);
        let (side, table) = (store.side_of(node), store.members[node].grid.table());
        let read = Read::new(store.world.now, GROUPS_FROM + group, side, table);
        let keys = group_keys(group);
        let ops = keys.iter().map(|key| get(key)).collect();
        let (oracle, clock) = (Arc::clone(&store.oracle), store.clock());
        let (grid, seen) = (store.members[node].grid.clone(), Arc::clone(&self.seen));
        self.start(store, node, Vec::new(), ops, true, move |reply| {
            let Ok(reply) = reply else { return };
            let found = numbers(&reply).expect("numbers");
            if found.iter().any(|value| *value != found[0]) {
                let text =
                    format!("{:?}: group {group} is only partly visible: {found:?}", clock());
                seen.lock().violations.push(text);
            }
            let found = found[0].map(|value| value as u64);
            oracle.lock().observed(clock(), read, found, grid.table());
        });
    }

    /// A plain read of one key also sees the whole transaction or nothing.
    fn read_key_of_group(&self, store: &mut Store, node: Node) {
        let group = store.world.rng.random_range(0..GROUPS);
        let at = store.world.rng.random_range(0..GROUP_KEYS) as usize;
        let (side, table) = (store.side_of(node), store.members[node].grid.table());
        let read = Read::new(store.world.now, GROUPS_FROM + group, side, table);
        let key = group_keys(group).swap_remove(at);
        let (oracle, clock) = (Arc::clone(&store.oracle), store.clock());
        let grid = store.members[node].grid.clone();
        let op = Op::Key(&key, KeyOp::Plain(PlainOp::Get));
        store.start_op(node, &op, None, move |reply| {
            let Ok(reply) = reply else { return };
            let found = numbers(&Reply::List(vec![reply])).expect("a number")[0];
            oracle.lock().observed(clock(), read, found.map(|value| value as u64), grid.table());
        });
    }

    fn transfer(&self, store: &mut Store, node: Node) {
        let from = store.world.rng.random_range(0..ACCOUNTS);
        let to = (from + store.world.rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let amount = store.world.rng.random_range(1..100);
        let (from, to) = (account(from), account(to));
        let add = |key, amount| on_map(Op::Key(key, KeyOp::Plain(PlainOp::Add(amount))));
        let ops = vec![add(&from, -amount), add(&to, amount)];
        self.start(store, node, Vec::new(), ops, true, |_| {});
    }

    fn sum(&self, store: &mut Store, node: Node) {
        let keys: Vec<_> = (0..ACCOUNTS).map(account).collect();
        let ops = keys.iter().map(|key| get(key)).collect();
        let (clock, seen) = (store.clock(), Arc::clone(&self.seen));
        self.start(store, node, Vec::new(), ops, true, move |reply| {
            let Ok(reply) = reply else { return };
            let found = numbers(&reply).expect("numbers");
            if found.iter().flatten().sum::<i64>() != 0 {
                let text = format!("{:?}: a transfer is only partly visible: {found:?}", clock());
                seen.lock().violations.push(text);
            }
        });
    }

    fn rename(&self, store: &mut Store, node: Node) {
        let from = store.world.rng.random_range(0..NAMES);
        let to = (from + store.world.rng.random_range(1..NAMES)) % NAMES;
        let (from, to) = (name(from), name(to));
        let rename = SeveralOp::Rename { from: &from, to: &to, absent: false };
        self.start(store, node, Vec::new(), vec![on_map(Op::Several(rename))], false, |_| {});
    }

    fn count(&self, store: &mut Store, node: Node) {
        let names: Vec<_> = (0..NAMES).map(name).collect();
        let keys = names.iter().map(|name| &**name).collect();
        let ops = vec![on_map(Op::Several(SeveralOp::Exist(keys)))];
        let (clock, seen) = (store.clock(), Arc::clone(&self.seen));
        self.start(store, node, Vec::new(), ops, false, move |reply| {
            if let Ok(count) = reply
                && count != Reply::Integer(1)
            {
                seen.lock().violations.push(format!("{:?}: {count:?} tokens", clock()));
            }
        });
    }

    /// Counts up both counters of a pair, or gives up after one of them.
    fn step(&self, store: &mut Store, node: Node) {
        let [first, second] = pair(store.world.rng.random_range(0..PAIRS));
        let gives_up = store.world.rng.random_bool(0.3);
        let grid = store.members[node].grid.clone();
        let (map, partition) = (grid.open("m").expect("a map"), grid.partition_of(&first));
        let up = |key| Op::Key(key, KeyOp::Plain(PlainOp::Add(1)));
        let stepped = grid.step(&map, partition, |step| {
            step.execute(&up(&first))?.ok()?;
            if gives_up {
                return None;
            }
            step.execute(&up(&second))?.ok()
        });
        assert!(!gives_up || matches!(stepped, StepResult::NotExecuted), "it was given up");
        if let StepResult::Done { replicated: Some(replicated), .. } = stepped {
            store.add_task(node, async move {
                let _ = replicated.await;
            });
        }
    }

    fn read_pair(&self, store: &mut Store, node: Node) {
        let keys = pair(store.world.rng.random_range(0..PAIRS));
        let ops = keys.iter().map(|key| get(key).op).collect();
        let (clock, seen) = (store.clock(), Arc::clone(&self.seen));
        let batch = Op::Batch { watched: Vec::new(), ops };
        store.start_op(node, &batch, None, move |reply| {
            let Ok(reply) = reply else { return };
            let found = numbers(&reply).expect("numbers");
            if found[0] != found[1] {
                let text = format!("{:?}: a step is only partly visible: {found:?}", clock());
                seen.lock().violations.push(text);
            }
        });
    }

    /// Stores the token.
    fn begin(&self, store: &mut Store) {
        let first = name(0);
        let done = store.ask_for(0, &put(&first, b"7").op);
        assert_eq!(done, Ok(Reply::Done), "SEED={}", store.world.seed);
        store.settle();
    }

    /// Lets time pass with clients of transactions and of single keys.
    fn run(&self, store: &mut Store, time: Duration) {
        let end = store.world.now + time;
        while store.world.now < end {
            self.act(store);
            store.run_with_clients(Duration::from_millis(10));
        }
    }

    /// Checks all invariants of a settled cluster.
    fn check(&self, store: &mut Store) {
        let seed = store.world.seed;
        store.settle_transactions();
        store.check();
        let living = store.living();
        for group in 0..GROUPS {
            let keys = group_keys(group);
            let mut found = Vec::new();
            for (n, key) in keys.iter().enumerate() {
                let node = living[(n + group as usize) % living.len()];
                let reply = store.ask_for(node, &get(key).op).expect("the cluster has settled");
                found.push(numbers(&Reply::List(vec![reply])).expect("a number")[0]);
            }
            let same = found.iter().all(|value| *value == found[0]);
            assert!(same, "SEED={seed}: group {group} was applied partially: {found:?}");
            let value = found[0].map(|value| value as u64);
            let checked = store.oracle.lock().check(store.world.now, GROUPS_FROM + group, value);
            checked.unwrap_or_else(|problem| panic!("SEED={seed}: {problem}"));
        }
        let mut sum = 0;
        for at in 0..ACCOUNTS {
            let reply = store.ask_for(living[at % living.len()], &get(&account(at)).op);
            let reply = reply.expect("the cluster has settled");
            sum += numbers(&Reply::List(vec![reply])).expect("a number")[0].unwrap_or(0);
        }
        assert_eq!(sum, 0, "SEED={seed}: a transfer was applied partially");
        let mut tokens = 0;
        for at in 0..NAMES {
            let key = name(at);
            let exists = Op::Key(&key, KeyOp::Generic(GenericOp::Exists));
            let reply = store.ask_for(living[at % living.len()], &exists);
            tokens += i32::from(reply == Ok(Reply::Integer(1)));
        }
        assert_eq!(tokens, 1, "SEED={seed}: a rename was applied partially");
        for at in 0..PAIRS {
            let found = pair(at).map(|key| store.ask_for(living[0], &get(&key).op));
            assert_eq!(found[0], found[1], "SEED={seed}: a step was applied partially");
        }
        let seen = self.seen.lock();
        assert!(seen.violations.is_empty(), "SEED={seed}: {:?}", seen.violations);
    }
}

fn cluster(seed: u64, size: usize, backups: u8, min_members: u32) -> (Store, Clients) {
    let defaults = MapSettings { backups, ..MapSettings::default() };
    let catalog = MapCatalog { defaults, named: Vec::new() };
    let mut store = Store::new(seed, PARTITIONS, catalog).min_members(min_members);
    store.grow(size);
    let clients = Clients::new();
    clients.begin(&mut store);
    (store, clients)
}

#[test]
fn transactions_are_atomic_without_faults() {
    for seed in seeds!(60) {
        let size = 1 + (seed % 4) as usize;
        let (mut store, clients) = cluster(seed, size, (seed % 3) as u8, 0);
        clients.run(&mut store, SECOND * 4);
        store.settle();
        clients.check(&mut store);
        let seen = clients.seen.lock();
        assert!(seen.committed > 100 && seen.reads > 50, "SEED={seed}: {seen:?}");
        assert_eq!((seen.unknown, seen.conflicts), (0, 0), "SEED={seed}: {seen:?}");
    }
}

#[test]
fn a_crash_leaves_no_transaction_half_done() {
    for seed in seeds!(140) {
        let size = 2 + (seed % 4) as usize;
        let (mut store, clients) = cluster(seed, size, 1, 0);
        for _ in 0..2 {
            clients.run(&mut store, SECOND);
            let victim = store.world.any_living();
            store.crash(victim);
            clients.run(&mut store, SECOND * 3);
            if store.living().len() < 2 {
                let at = store.living()[0];
                store.start(false, &[at]);
            }
            store.settle();
            clients.check(&mut store);
        }
    }
}

#[test]
fn joins_and_leaves_leave_no_transaction_half_done() {
    for seed in seeds!(60) {
        let (mut store, clients) = cluster(seed, 2, 1, 0);
        for round in 0..3 {
            let at = store.world.any_living();
            store.start(false, &[at]);
            clients.run(&mut store, SECOND * 2);
            store.settle();
            if round > 0 {
                let leaver = store.world.any_living();
                store.leave(leaver);
                store.settle();
            }
            clients.check(&mut store);
        }
    }
}

#[test]
fn a_pause_leaves_no_transaction_half_done() {
    for seed in seeds!(60) {
        let (mut store, clients) = cluster(seed, 3, 1, 0);
        clients.run(&mut store, SECOND);
        let sleeper = store.world.any_living();
        let time = Duration::from_millis(store.world.rng.random_range(300..20_000));
        store.world.pause(sleeper, time);
        clients.run(&mut store, time + SECOND * 2);
        store.settle();
        clients.check(&mut store);
    }
}

#[test]
fn a_split_leaves_no_transaction_half_done_when_a_majority_is_needed() {
    for seed in seeds!(60) {
        let size = 3 + 2 * (seed % 2) as usize;
        let majority = size as u32 / 2 + 1;
        let (mut store, mut clients) = cluster(seed, size, size as u8 - 1, majority);
        clients.run(&mut store, SECOND);
        let island: Vec<_> = (0..1 + seed as usize % (size - 1)).collect();
        store.split(&island);
        // What is read on one side is not comparable with what the other shows.
        clients.reads = false;
        clients.run(&mut store, SECOND * 8);
        store.heal();
        clients.run(&mut store, SECOND * 3);
        store.settle();
        clients.check(&mut store);
    }
}

#[test]
fn a_watched_key_that_changed_in_any_partition_aborts_the_transaction() {
    for seed in seeds!(20) {
        let (mut store, clients) = cluster(seed, 3, 1, 0);
        let keys: Vec<_> = (0..8).map(|at| format!("watched-{at}").into_bytes()).collect();
        for (at, watched) in keys.iter().enumerate() {
            let node = store.world.any_living();
            let version = Op::Key(watched, KeyOp::Generic(GenericOp::Version));
            let Ok(Reply::Integer(version)) = store.ask_for(node, &version) else {
                panic!("SEED={seed}: a version")
            };
            let version = Version(version.cast_unsigned());
            let changes = at % 2 == 0;
            if changes {
                let done = store.ask_for(node, &put(watched, b"1").op);
                assert_eq!(done, Ok(Reply::Done));
            }
            let others = group_keys(at as u64 % GROUPS);
            let ops = others.iter().map(|key| put(key, b"1")).collect();
            let watched = vec![WatchedKey { map: "m", key: watched, version }];
            let reply: Arc<Mutex<Option<Result<Reply, OpError>>>> = Arc::default();
            let received = Arc::clone(&reply);
            clients.start(&mut store, node, watched, ops, true, move |reply| {
                *received.lock() = Some(reply);
            });
            store.drive(node);
            store.run(SECOND);
            let expected = if changes {
                Err(OpError::Changed)
            } else {
                Ok(Reply::List(vec![Reply::Done; GROUP_KEYS as usize]))
            };
            assert_eq!(*reply.lock(), Some(expected), "SEED={seed}: {at}");
        }
    }
}

#[test]
fn transactions_on_the_same_keys_wait_for_each_other_and_all_complete() {
    for seed in seeds!(40) {
        let (mut store, clients) = cluster(seed, 3, 1, 0);
        for _ in 0..20 {
            for _ in 0..10 {
                let node = store.world.any_living();
                clients.transfer(&mut store, node);
                store.drive(node);
            }
            store.run(Duration::from_millis(300));
        }
        store.run(SECOND * 5);
        store.settle();
        clients.check(&mut store);
        let seen = clients.seen.lock();
        assert_eq!((seen.committed, seen.unknown), (200, 0), "SEED={seed}: {seen:?}");
    }
}

#[test]
fn random_faults_leave_no_transaction_half_done() {
    for seed in seeds!(60) {
        let size = 3 + (seed % 3) as usize;
        let backups = 1 + (seed % 2) as u8;
        let (mut store, clients) = cluster(seed, size, backups, 0);
        for _ in 0..6 {
            let node = store.world.any_living();
            match store.world.rng.random_range(0..6) {
                0 | 1 if store.living().len() > 2 => store.crash(node),
                2 => {
                    let at = store.world.any_living();
                    store.start(false, &[at]);
                }
                3 if store.living().len() > 2 => store.leave(node),
                4 => {
                    let ms = store.world.rng.random_range(200..4_000);
                    store.world.pause(node, Duration::from_millis(ms));
                }
                _ => {
                    let late = store.world.rng.random_range(0..400);
                    store.break_connections(node, Duration::from_millis(late));
                }
            }
            clients.run(&mut store, Duration::from_millis(1_500));
            if store.world.rng.random_bool(0.5) {
                store.settle();
                clients.check(&mut store);
            } else {
                // The copies are complete again, so that the next loss loses nothing.
                store.settle();
            }
        }
        clients.check(&mut store);
    }
}

#[test]
fn two_members_lost_at_once_leave_no_transaction_half_done_with_two_backups() {
    for seed in seeds!(60) {
        let (mut store, clients) = cluster(seed, 4 + (seed % 2) as usize, 2, 0);
        clients.run(&mut store, SECOND);
        store.settle();
        clients.run(&mut store, Duration::from_millis(300));
        for _ in 0..2 {
            let victim = store.world.any_living();
            store.crash(victim);
        }
        clients.run(&mut store, SECOND * 3);
        store.settle();
        clients.check(&mut store);
        store.assert_nothing_lost();
    }
}
