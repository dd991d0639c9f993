//! Faults in random order, while clients act.

use std::time::Duration;

use rand::RngExt as _;

use crate::store::Store;

const SECOND: Duration = Duration::from_secs(1);
/// Time after which each operation has ended.
const OPERATION_MAX: Duration = Duration::from_secs(7);
/// Members that there are again after a fault.
const MEMBERS_MIN: usize = 3;

/// Advances time by a random number of milliseconds, while clients act.
pub(crate) fn run_for(store: &mut Store, ms: std::ops::Range<u64>) {
    let ms = store.world.rng.random_range(ms);
    store.run_with_clients(Duration::from_millis(ms));
}

/// A fault after which no acknowledged write may be missing: one member is lost or paused, joins or
/// leaves, has a wrong clock, or its connections break. Returns when all is settled.
pub(crate) fn strike(store: &mut Store) {
    run_for(store, 100..1_000);
    let victim = store.world.any_living();
    match store.world.rng.random_range(0..9) {
        0 | 1 => {
            store.crash(victim);
            run_for(store, 0..3_000);
        }
        2 => {
            // It restarts before the others have noticed.
            store.crash(victim);
            run_for(store, 0..100);
            let finds = store.living();
            store.start(false, &finds);
            run_for(store, 100..2_000);
        }
        3 | 4 => {
            let ms = store.world.rng.random_range(200..8_000);
            store.world.pause(victim, Duration::from_millis(ms));
            store.run_with_clients(Duration::from_millis(ms));
            run_for(store, 100..1_000);
        }
        5 => {
            store.start(false, &[victim]);
            run_for(store, 100..2_000);
        }
        6 => {
            store.start(false, &[victim]);
            run_for(store, 500..2_000);
            settle(store);
            let leaver = store.world.any_living();
            store.leave(leaver);
        }
        7 => {
            for _ in 0..4 {
                let node = store.world.any_living();
                let late = store.world.rng.random_range(0..400);
                store.break_connections(node, Duration::from_millis(late));
                run_for(store, 50..400);
            }
        }
        _ => {
            store.jump_clock(victim);
            run_for(store, 100..2_000);
        }
    }
    while store.living().len() < MEMBERS_MIN {
        let finds = store.living();
        store.start(false, &finds);
        run_for(store, 100..1_000);
    }
    settle(store);
}

/// Lets clients act a little while all settles, then waits until it has.
pub(crate) fn settle(store: &mut Store) {
    store.run_with_clients(SECOND);
    store.settle();
}

/// Separates some members from a majority, and connects them again. No operation is in progress
/// then: what one side has is not visible for moments while it joins the other.
pub(crate) fn split_from_majority(store: &mut Store, island: usize) {
    run_for(store, 100..1_000);
    let mut living = store.living();
    while living.len() > island {
        let at = store.world.rng.random_range(0..living.len());
        living.remove(at);
    }
    store.split(&living);
    run_for(store, 200..8_000);
    store.run(OPERATION_MAX);
    store.heal();
    store.settle();
}
