//! Scenarios of caches outside of the cluster, which each member keeps for its clients: whatever
//! happens, no cache holds an old value for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{KeyOp, Op, PlainOp};
use convoke_grid::{Change, MapCatalog, MapSettings, Tracker};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::network::Node;
use crate::store::{STEP, Store, key_bytes, number};
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;

/// The cache of a client: keys that it has read.
#[derive(Default)]
struct Cache {
    values: BTreeMap<Vec<u8>, Option<u64>>,
    /// Reads in progress, by number. What changes meanwhile is not kept.
    reading: BTreeMap<u64, Vec<u8>>,
    reads: u64,
    /// Values that were dropped, one by one and all together.
    dropped: u64,
    emptied: u64,
}

#[derive(Default)]
struct CacheOfMember(Mutex<Cache>);

impl Tracker for CacheOfMember {
    fn handle_changes(&self, changes: &[Change]) {
        let mut cache = self.0.lock();
        for change in changes {
            match &change.key {
                Some(key) => {
                    cache.dropped += u64::from(cache.values.remove(&key[..]).is_some());
                    cache.reading.retain(|_, reading| reading != key);
                }
                None => {
                    cache.values.clear();
                    cache.reading.clear();
                }
            }
        }
    }

    fn handle_uncertain(&self) {
        let mut cache = self.0.lock();
        cache.values.clear();
        cache.reading.clear();
        cache.emptied += 1;
    }
}

/// A cluster with a cache at each member.
struct Caches {
    store: Store,
    caches: Vec<Arc<CacheOfMember>>,
}

impl Caches {
    fn new(seed: u64, size: usize) -> Self {
        let defaults = MapSettings { backups: 1, ..MapSettings::default() };
        let catalog = MapCatalog { defaults, named: Vec::new() };
        let mut all = Self { store: Store::new(seed, PARTITIONS, catalog), caches: Vec::new() };
        all.store.grow(size);
        all.follow();
        all.run(SECOND / 10);
        all
    }

    /// Gives a cache to each member that has none.
    fn follow(&mut self) {
        while self.caches.len() < self.store.members.len() {
            let cache = Arc::new(CacheOfMember::default());
            let grid = &self.store.members[self.caches.len()].grid;
            drop(grid.follow(&["m".into()], Arc::clone(&cache) as _));
            self.caches.push(cache);
        }
    }

    /// Advances time while clients write, and read through their caches.
    fn run(&mut self, time: Duration) {
        let end = self.store.world.now + time;
        while self.store.world.now < end {
            if self.store.world.rng.random_bool(0.3) {
                let node = self.store.world.any_living();
                let key = self.store.world.rng.random_range(0..self.store.keys);
                self.read(node, key);
            }
            self.store.run_with_clients(STEP);
        }
    }

    fn read(&mut self, node: Node, key: u64) {
        if self.store.is_stopped(node) {
            return;
        }
        let key = key_bytes(key);
        let cache = Arc::clone(&self.caches[node]);
        let id = {
            let mut cache = cache.0.lock();
            if cache.values.contains_key(&key) {
                return;
            }
            cache.reads += 1;
            let id = cache.reads;
            cache.reading.insert(id, key.clone());
            id
        };
        let kept = key.clone();
        let op = Op::Key(&key, KeyOp::Plain(PlainOp::Get));
        self.store.start_op(node, &op, None, move |reply| {
            let mut cache = cache.0.lock();
            if cache.reading.remove(&id).is_some()
                && let Ok(reply) = reply
            {
                cache.values.insert(kept, number(reply));
            }
        });
    }

    /// Checks that no cache holds an old value.
    fn check(&mut self) {
        self.store.settle();
        let seed = self.store.world.seed;
        for node in self.store.living() {
            for key in 0..self.store.keys {
                let kept = self.caches[node].0.lock().values.get(&key_bytes(key)).copied();
                let Some(kept) = kept else { continue };
                let is = self.store.read(node, key).expect("a settled cluster");
                assert_eq!(kept, is, "SEED={seed}: member {node} keeps an old value of key {key}");
            }
        }
        self.store.check();
    }
}

#[test]
fn no_cache_keeps_an_old_value() {
    for seed in seeds!(240) {
        let mut all = Caches::new(seed, 3 + (seed % 2) as usize);
        all.run(SECOND * 2);
        all.check();
        let kept: usize = all.caches.iter().map(|cache| cache.0.lock().values.len()).sum();
        let dropped: u64 = all.caches.iter().map(|cache| cache.0.lock().dropped).sum();
        assert!(kept > 0 && dropped > 20, "SEED={seed}: {kept} kept, {dropped} dropped");
        for _ in 0..2 {
            match all.store.world.rng.random_range(0..6) {
                0 => {
                    let victim = all.store.world.any_living();
                    all.store.crash(victim);
                    all.run(SECOND * 3);
                    let at = all.store.living()[0];
                    all.store.start(false, &[at]);
                    all.follow();
                }
                1 => {
                    let at = all.store.world.any_living();
                    all.store.start(false, &[at]);
                    all.follow();
                    all.run(SECOND);
                    all.store.settle();
                    let leaver = all.store.world.any_living();
                    all.store.leave(leaver);
                }
                2 => {
                    let sleeper = all.store.world.any_living();
                    let time = all.store.world.rng.random_range(300..15_000);
                    let time = Duration::from_millis(time);
                    all.store.world.pause(sleeper, time);
                    all.run(time);
                }
                3 => {
                    let alone = all.store.world.any_living();
                    all.store.split(&[alone]);
                    all.run(SECOND * 8);
                    all.store.heal();
                }
                4 => {
                    let living = all.store.living();
                    all.store.split(&living[..2]);
                    all.run(SECOND * 8);
                    all.store.heal();
                }
                _ => {
                    for _ in 0..3 {
                        let node = all.store.world.any_living();
                        all.store.break_connections(node, Duration::from_millis(200));
                        all.run(SECOND / 2);
                    }
                }
            }
            all.run(SECOND * 2);
            all.check();
        }
    }
}
