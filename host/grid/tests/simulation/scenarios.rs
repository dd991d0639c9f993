//! What must hold, and the trouble it must hold in.

use std::time::Duration;

use convoke_grid::{MapCatalog, MapSettings};
use rand::RngExt as _;

use crate::store::Store;
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;

fn with_backups(backups: u8) -> MapCatalog {
    MapCatalog { usual: MapSettings { backups, ..MapSettings::default() }, named: Vec::new() }
}

fn cluster(seed: u64, size: usize, backups: u8) -> Store {
    let mut store = Store::new(seed, PARTITIONS, with_backups(backups));
    store.grow(size);
    store
}

#[test]
fn writes_are_found_whoever_is_asked() {
    for seed in seeds(400) {
        let mut store = cluster(seed, 3, 1);
        store.run_with_clients(SECOND * 3);
        store.settle();
        store.check();
        let oracle = store.oracle.lock();
        assert!(oracle.acknowledged > 400, "SEED={seed} {oracle:?}");
        assert_eq!(oracle.unknown + oracle.refused, 0, "SEED={seed}");
    }
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    for seed in seeds(600) {
        let size = 2 + (seed % 4) as usize;
        let mut store = cluster(seed, size, 1);
        for _ in 0..2 {
            store.run_with_clients(SECOND);
            let victim = store.world.any_living();
            store.crash(victim);
            store.run_with_clients(SECOND * 3);
            if store.living().len() < 2 {
                let at = store.living()[0];
                store.start(false, &[at]);
            }
            store.settle();
            store.check();
        }
    }
}

#[test]
fn as_many_crashes_at_once_as_there_are_backups_lose_nothing() {
    for seed in seeds(320) {
        let mut store = cluster(seed, 5, 2);
        store.run_with_clients(SECOND);
        for _ in 0..2 {
            let victim = store.world.any_living();
            store.crash(victim);
        }
        store.run_with_clients(SECOND * 3);
        store.settle();
        store.check();
    }
}

#[test]
fn members_come_and_leave_while_clients_write() {
    for seed in seeds(320) {
        let mut store = cluster(seed, 2, 1);
        for round in 0..3 {
            let at = store.world.any_living();
            store.start(false, &[at]);
            store.run_with_clients(SECOND * 2);
            store.settle();
            if round > 0 {
                let leaver = store.world.any_living();
                store.leave(leaver);
                store.settle();
            }
            store.check();
        }
        let oracle = store.oracle.lock();
        assert_eq!(oracle.unknown, 0, "SEED={seed}: a planned move leaves no doubt");
    }
}

#[test]
fn a_pause_loses_nothing_that_was_acknowledged() {
    for seed in seeds(320) {
        let mut store = cluster(seed, 3, 1);
        store.run_with_clients(SECOND);
        let sleeper = store.world.any_living();
        let time = Duration::from_millis(store.world.rng.random_range(300..30_000));
        store.world.pause(sleeper, time);
        store.run_with_clients(time + SECOND * 2);
        store.settle();
        store.check();
    }
}

#[test]
fn both_sides_of_a_split_serve_and_are_one_again_after_it() {
    for seed in seeds(320) {
        let size = 2 + (seed % 4) as usize;
        let mut store = cluster(seed, size, 1);
        store.run_with_clients(SECOND);
        let island: Vec<_> = (0..1 + seed as usize % (size - 1)).collect();
        store.split(&island);
        store.run_with_clients(SECOND * 8);
        store.heal();
        store.run_with_clients(SECOND * 3);
        store.settle();
        store.check();
    }
}

#[test]
fn everything_at_once_and_again() {
    for seed in seeds(600) {
        let mut store = cluster(seed, 3, 1);
        store.world.network.loss = 0.01;
        for _ in 0..4 {
            let island = store.world.any_living();
            let what = store.world.rng.random_range(0..5);
            match what {
                0 if store.living().len() > 2 => store.crash(island),
                1 => {
                    store.start(false, &[island]);
                }
                2 => {
                    let ms = store.world.rng.random_range(100..6_000);
                    store.world.pause(island, Duration::from_millis(ms));
                }
                3 if store.living().len() > 1 => {
                    store.split(&[island]);
                    let ms = store.world.rng.random_range(200..9_000);
                    store.run_with_clients(Duration::from_millis(ms));
                    store.heal();
                }
                _ => store.jump_clock(island),
            }
            let ms = store.world.rng.random_range(100..4_000);
            store.run_with_clients(Duration::from_millis(ms));
            store.settle();
            store.check();
        }
    }
}

#[test]
fn below_min_members_nothing_is_written_and_reads_go_on() {
    for seed in seeds(160) {
        let mut store = Store::new(seed, PARTITIONS, with_backups(1)).min_members(2);
        store.grow(3);
        store.run_with_clients(SECOND);
        store.split(&[0]);
        store.run_with_clients(SECOND * 6);
        let refused = store.oracle.lock().refused;
        for key in 0..10 {
            store.write(0, key, false);
        }
        store.run(SECOND);
        assert_eq!(store.oracle.lock().refused, refused + 10, "SEED={seed}");
        assert!(store.read(0, 3).is_ok(), "SEED={seed}");
        store.heal();
        store.settle();
        store.check();
    }
}
