//! Scenarios with the data structures of Hazelcast: whatever fails, all replies fit one order of the
//! operations, and no acknowledged change is missing.

use std::time::Duration;

use convoke_grid::{MapCatalog, MapSettings};
use rand::RngExt as _;

use crate::clients::{Checked, Clients, Structure};
use crate::faults::{split_from_majority, strike};
use crate::models::cache::Cache;
use crate::models::counter::Counter;
use crate::models::distinct::Distinct;
use crate::models::items::{List, Queue};
use crate::models::partition::Partition;
use crate::models::register::Register;
use crate::models::ring::Ring;
use crate::store::Store;
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;
/// Keys of a scenario.
const KEYS: usize = 3;
/// Clients of each key.
const CLIENTS: usize = 4;
/// Operations on a key in a second.
const RATE: f64 = 40.0;
/// Seeds of each scenario by default.
const COUNT: u64 = 24;
/// Rounds of faults.
const ROUNDS: usize = 3;

fn cluster(seed: u64, size: usize, backups: u8, min_members: u32) -> Store {
    let defaults = MapSettings { backups, ..MapSettings::default() };
    let catalog = MapCatalog { defaults, named: Vec::new() };
    let mut store = Store::new(seed, PARTITIONS, catalog).min_members(min_members);
    store.grow(size);
    store
}

/// Faults of one member at a time, with one backup.
fn under_faults<S: Structure>(seed: u64) -> Checked {
    under_faults_with::<S>(seed, KEYS)
}

fn under_faults_with<S: Structure>(seed: u64, keys: usize) -> Checked {
    let mut store = cluster(seed, 3, 1, 0);
    store.world.network.loss = if seed.is_multiple_of(3) { 0.01 } else { 0.0 };
    let clients = Clients::<S>::new(keys, CLIENTS, RATE);
    clients.join(&mut store);
    store.run_with_clients(SECOND);
    for _ in 0..ROUNDS {
        strike(&mut store);
    }
    let checked = clients.check(&mut store);
    assert!(checked.done > 80 * keys, "SEED={seed}: {checked:?}");
    store.check();
    store.assert_nothing_lost();
    checked
}

/// Splits of which only the larger side may write.
fn under_splits<S: Structure>(seed: u64) -> Checked {
    let size = if seed.is_multiple_of(2) { 3 } else { 5 };
    let island = size / 2;
    let mut store = cluster(seed, size, island as u8, island as u32 + 1);
    let clients = Clients::<S>::new(KEYS, CLIENTS, RATE);
    clients.join(&mut store);
    store.run_with_clients(SECOND);
    for _ in 0..2 {
        let island = store.world.rng.random_range(1..=island);
        split_from_majority(&mut store, island);
    }
    let checked = clients.check(&mut store);
    assert!(checked.done > 30 * KEYS, "SEED={seed}: {checked:?}");
    store.check();
    checked
}

/// A split in which both sides write, each with all data, without operations in progress at its
/// beginning and its end.
fn on_both_sides<S: Structure>(seed: u64) -> Checked {
    let size = 2 + (seed % 3) as usize;
    let mut store = cluster(seed, size, size as u8 - 1, 0);
    let mut clients = Clients::<S>::new(KEYS, CLIENTS, RATE);
    clients.reads_in_splits = true;
    clients.join(&mut store);
    store.run_with_clients(SECOND);
    store.settle();
    let island: Vec<_> = (0..1 + seed as usize % (size - 1)).collect();
    store.split(&island);
    store.run_with_clients(SECOND * 5);
    store.run(SECOND * 6);
    store.heal();
    store.run(SECOND * 3);
    store.settle();
    let checked = clients.check_sides(&mut store);
    assert!(checked.done > 40 * KEYS, "SEED={seed}: {checked:?}");
    store.check();
    checked
}

/// Runs a scenario with each seed. Most of the histories have to be decided.
fn run(seeds: impl Iterator<Item = u64>, scenario: fn(u64) -> Checked) {
    let all: Vec<_> = seeds.map(scenario).collect();
    let undecided: usize = all.iter().map(|checked| checked.undecided).sum();
    assert!(undecided * 5 <= all.len() * KEYS, "{undecided} of {} keys", all.len() * KEYS);
}

#[test]
fn queues_deliver_each_item_once_and_in_order() {
    run(seeds!(COUNT), under_faults::<Queue>);
}

#[test]
fn lists_of_items_are_linearizable() {
    run(seeds!(COUNT), under_faults::<List>);
}

#[test]
fn collections_of_distinct_items_are_linearizable() {
    run(seeds!(COUNT), under_faults::<Distinct>);
}

#[test]
fn rings_use_each_sequence_once_and_keep_the_last_items() {
    run(seeds!(COUNT), under_faults::<Ring>);
}

#[test]
fn counters_return_what_a_client_has_seen() {
    run(seeds!(COUNT), under_faults::<Counter>);
}

#[test]
fn entries_of_caches_are_compared_and_changed_in_one_step() {
    run(seeds!(COUNT), under_faults::<Cache>);
}

#[test]
fn entries_of_maps_are_changed_under_conditions_and_by_the_owner_of_the_lock() {
    run(seeds!(COUNT), under_faults::<Register>);
}

#[test]
fn all_keys_of_a_partition_are_removed_in_one_step_except_locked_ones() {
    run(seeds!(COUNT), |seed| under_faults_with::<Partition>(seed, 1));
}

#[test]
fn with_min_members_queues_deliver_each_item_once_after_a_split() {
    run(seeds!(COUNT), under_splits::<Queue>);
}

#[test]
fn with_min_members_collections_are_linearizable_after_a_split() {
    run(seeds!(COUNT), under_splits::<Distinct>);
}

#[test]
fn with_min_members_rings_use_each_sequence_once_after_a_split() {
    run(seeds!(COUNT), under_splits::<Ring>);
}

#[test]
fn with_min_members_counters_lose_nothing_after_a_split() {
    run(seeds!(COUNT), under_splits::<Counter>);
}

#[test]
fn with_min_members_entries_of_maps_and_their_locks_are_linearizable_after_a_split() {
    run(seeds!(COUNT), under_splits::<Register>);
}

#[test]
fn queues_have_the_items_of_one_side_of_a_split() {
    run(seeds!(COUNT), on_both_sides::<Queue>);
}

#[test]
fn lists_have_the_items_of_one_side_of_a_split() {
    run(seeds!(COUNT), on_both_sides::<List>);
}

#[test]
fn collections_have_the_items_of_one_side_of_a_split() {
    run(seeds!(COUNT), on_both_sides::<Distinct>);
}

#[test]
fn rings_have_the_items_of_one_side_of_a_split() {
    run(seeds!(COUNT), on_both_sides::<Ring>);
}

#[test]
fn counters_have_the_changes_of_one_side_of_a_split() {
    run(seeds!(COUNT), on_both_sides::<Counter>);
}

#[test]
fn caches_have_the_entries_of_one_side_of_a_split() {
    run(seeds!(COUNT), on_both_sides::<Cache>);
}
