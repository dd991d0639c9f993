//! The keys of two maps are exchanged in one step: no client sees a part of it, whichever member is
//! lost meanwhile.

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{KeyOp, Lifetime, MapOp, Op, PlainOp, PutAnswer, PutIf};
use convoke_grid::{MapCatalog, MapSettings, OpError, Reply, Started};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::network::Node;
use crate::store::Store;
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;
/// Keys of each map; they lie in several partitions. Those of one map have one color.
const KEYS: usize = 12;
const MAPS: [&str; 2] = ["one", "other"];
const COLORS: [&[u8]; 2] = [b"red", b"blue"];

#[derive(Debug, Default)]
struct Seen {
    violations: Vec<String>,
    exchanged: u64,
    refused: u64,
    unknown: u64,
    reads: u64,
    /// When a read that saw this order of colors was started, and when it completed.
    orders: Vec<(Duration, Duration, usize)>,
    /// When an exchange was started, and when it completed, if it is known to have happened.
    exchanges: Vec<(Duration, Option<Duration>)>,
}

struct Clients {
    seen: Arc<Mutex<Seen>>,
}

fn key(at: usize) -> Vec<u8> {
    format!("key-{at}").into_bytes()
}

fn get(key: &[u8]) -> Op<'_> {
    Op::Key(key, KeyOp::Plain(PlainOp::Get))
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Op<'a> {
    Op::Key(
        key,
        KeyOp::Plain(PlainOp::Put {
            kind: 0,
            value,
            lifetime: Lifetime::Default,
            condition: PutIf::Always,
            answer: PutAnswer::Done,
        }),
    )
}

/// Which color the first map has, if each map has one and they differ.
fn order_of(replies: &[Reply]) -> Option<usize> {
    let (first, second) = replies.split_at(replies.len() / 2);
    let of = |color: usize| Reply::Bytes(COLORS[color].into());
    (0..2).find(|order| {
        first.iter().all(|reply| *reply == of(*order))
            && second.iter().all(|reply| *reply == of(1 - order))
    })
}

impl Clients {
    fn finish<R: Send + 'static>(
        store: &mut Store,
        node: Node,
        started: Started,
        then: impl FnOnce(Result<Reply, OpError>) -> R + Send + 'static,
    ) {
        match started {
            Started::Now(reply) => {
                then(reply);
            }
            Started::Later(later) => store.add_task(node, async move {
                then(later.await);
            }),
        }
    }

    fn exchange(&self, store: &mut Store, node: Node) {
        let grid = store.members[node].grid.clone();
        let [one, other] = MAPS.map(|name| grid.open(name).expect("a map"));
        let started = if store.world.rng.random_bool(0.5) {
            grid.exchange(&one, &other)
        } else {
            grid.exchange(&other, &one)
        };
        let at = {
            let mut seen = self.seen.lock();
            seen.exchanges.push((store.world.now, None));
            seen.exchanges.len() - 1
        };
        let (seen, clock) = (Arc::clone(&self.seen), store.clock());
        Self::finish(store, node, started, move |reply| {
            let mut seen = seen.lock();
            match reply {
                Ok(_) => {
                    seen.exchanged += 1;
                    seen.exchanges[at].1 = Some(clock());
                }
                Err(OpError::Indeterminate) => seen.unknown += 1,
                Err(_) => {
                    seen.refused += 1;
                    seen.exchanges[at].0 = Duration::MAX;
                }
            }
        });
    }

    fn read(&self, store: &mut Store, node: Node) {
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        let ops = MAPS.iter().flat_map(|map| keys.iter().map(|key| MapOp { map, op: get(key) }));
        let started = store.members[node].grid.transact(Vec::new(), ops.collect(), true);
        let (seen, clock, since) = (Arc::clone(&self.seen), store.clock(), store.world.now);
        Self::finish(store, node, started, move |reply| {
            let Ok(Reply::List(replies)) = reply else { return };
            let mut seen = seen.lock();
            seen.reads += 1;
            match order_of(&replies) {
                Some(order) => seen.orders.push((since, clock(), order)),
                None => seen.violations.push(format!("{:?}: partly visible: {replies:?}", clock())),
            }
        });
    }

    /// Writes the color that a map has, so that the exchange meets other transactions and writes.
    fn touch(&self, store: &mut Store, node: Node) {
        let key = key(store.world.rng.random_range(0..KEYS));
        let map = MAPS[store.world.rng.random_range(0..2)];
        let grid = store.members[node].grid.clone();
        let append = Op::Key(&key, KeyOp::Plain(PlainOp::Append(b"")));
        if store.world.rng.random_bool(0.5) {
            let map = grid.open(map).expect("a map");
            let started = grid.start(&map, grid.partition_of(&key), &append);
            return Self::finish(store, node, started, drop);
        }
        let ops = MAPS.map(|map| MapOp { map, op: append.clone() });
        let started = grid.transact(Vec::new(), ops.into(), true);
        Self::finish(store, node, started, drop);
    }

    fn act(&self, store: &mut Store) {
        let living = store.living();
        let node = living[store.world.rng.random_range(0..living.len())];
        if store.is_stopped(node) {
            return;
        }
        match store.world.rng.random_range(0..10) {
            0 => self.exchange(store, node),
            1..4 => self.read(store, node),
            _ => self.touch(store, node),
        }
        store.drive(node);
    }

    fn run(&self, store: &mut Store, time: Duration) {
        let end = store.world.now + time;
        while store.world.now < end {
            self.act(store);
            store.run(Duration::from_millis(20));
        }
    }

    /// Reads all keys of the settled cluster, one by one.
    fn check(&self, store: &mut Store) {
        let seed = store.world.seed;
        store.settle_transactions();
        let living = store.living();
        let mut replies = Vec::new();
        for map in MAPS {
            for at in 0..KEYS {
                let node = living[at % living.len()];
                let grid = store.members[node].grid.clone();
                let (key, map) = (key(at), grid.open(map).expect("a map"));
                let got: Arc<Mutex<Option<Reply>>> = Arc::default();
                let received = Arc::clone(&got);
                let started = grid.start(&map, grid.partition_of(&key), &get(&key));
                Self::finish(store, node, started, move |reply| *received.lock() = reply.ok());
                store.drive(node);
                let limit = store.world.now + SECOND;
                while got.lock().is_none() && store.world.now < limit {
                    store.run(Duration::from_millis(2));
                }
                replies.push(got.lock().take().expect("the cluster has settled"));
            }
        }
        let order = order_of(&replies);
        let seen = self.seen.lock();
        assert!(seen.violations.is_empty(), "SEED={seed}: {:?}", seen.violations);
        let order = order.unwrap_or_else(|| panic!("SEED={seed}: {replies:?} {seen:?}"));
        let now = store.world.now;
        for (since, until, order) in seen.orders.iter().copied().chain([(now, now, order)]) {
            // Those that completed before certainly happened, those that overlap possibly did.
            let certain =
                seen.exchanges.iter().filter(|(_, done)| done.is_some_and(|at| at < since));
            let possible = seen
                .exchanges
                .iter()
                .filter(|(at, done)| *at <= until && done.is_none_or(|at| at >= since));
            let parity = certain.count() % 2;
            assert!(
                possible.count() > 0 || parity == order,
                "SEED={seed}: a read from {since:?} to {until:?} saw {order}: {seen:?}"
            );
        }
    }
}

fn cluster(seed: u64, size: usize, backups: u8) -> (Store, Clients) {
    let defaults = MapSettings { backups, ..MapSettings::default() };
    let catalog = MapCatalog { defaults, named: Vec::new() };
    let mut store = Store::new(seed, PARTITIONS, catalog);
    store.grow(size);
    let grid = store.members[0].grid.clone();
    for (map, color) in MAPS.iter().zip(COLORS) {
        let map = grid.open(map).expect("a map");
        for at in 0..KEYS {
            let key = key(at);
            let started = grid.start(&map, grid.partition_of(&key), &put(&key, color));
            Clients::finish(&mut store, 0, started, |reply| assert_eq!(reply, Ok(Reply::Done)));
            store.drive(0);
        }
    }
    store.run(SECOND);
    store.settle();
    (store, Clients { seen: Arc::default() })
}

#[test]
fn an_exchange_is_one_step_without_faults() {
    for seed in seeds!(40) {
        let (mut store, clients) = cluster(seed, 1 + (seed % 4) as usize, (seed % 3) as u8);
        clients.run(&mut store, SECOND * 4);
        store.settle();
        clients.check(&mut store);
        let seen = clients.seen.lock();
        assert!(seen.exchanged > 4 && seen.reads > 20, "SEED={seed}: {seen:?}");
        assert_eq!(seen.unknown, 0, "SEED={seed}: {seen:?}");
    }
}

#[test]
fn a_crash_leaves_no_exchange_half_done() {
    for seed in seeds!(40) {
        let (mut store, clients) = cluster(seed, 3 + (seed % 3) as usize, 1);
        for _ in 0..2 {
            clients.run(&mut store, SECOND);
            let victim = store.world.any_living();
            store.crash(victim);
            clients.run(&mut store, SECOND * 3);
            if store.living().len() < 3 {
                let at = store.living()[0];
                store.start(false, &[at]);
            }
            store.settle();
            clients.check(&mut store);
        }
    }
}

#[test]
fn random_faults_leave_no_exchange_half_done() {
    for seed in seeds!(30) {
        let (mut store, clients) = cluster(seed, 3, 1);
        for _ in 0..5 {
            let node = store.world.any_living();
            match store.world.rng.random_range(0..4) {
                0 | 1 => {
                    store.start(false, &[node]);
                }
                2 if store.living().len() > 2 => store.leave(node),
                _ => {
                    let late = store.world.rng.random_range(0..400);
                    store.break_connections(node, Duration::from_millis(late));
                }
            }
            clients.run(&mut store, Duration::from_millis(1_500));
            store.settle();
            clients.check(&mut store);
        }
    }
}

/// What a member wrote before it was partitioned belongs to the other map by now.
#[test]
fn a_member_that_returns_brings_no_keys_back_under_the_former_name() {
    for seed in seeds!(20) {
        let (mut store, clients) = cluster(seed, 3, 1);
        store.split(&[2]);
        store.run(SECOND * 15);
        clients.exchange(&mut store, 0);
        store.drive(0);
        store.run(SECOND * 2);
        store.heal();
        store.settle();
        assert_eq!(clients.seen.lock().exchanged, 1, "SEED={seed}");
        clients.check(&mut store);
    }
}
