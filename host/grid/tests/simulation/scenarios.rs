//! Scenarios: faults, and what must hold in spite of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_grid::op::{
    End, FieldLifetime, FieldsIf, FieldsOp, GenericOp, HashOp, KeyOp, LeaseOp, Lifetime, ListOp,
    Op, PlainOp, PutAnswer, PutIf, SeveralOp,
};
use convoke_grid::{KEY_BYTES_MAX, MapCatalog, MapSettings, OpError, Reply};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::store::Store;
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;

fn with_backups(backups: u8) -> MapCatalog {
    MapCatalog { defaults: MapSettings { backups, ..MapSettings::default() }, named: Vec::new() }
}

fn cluster(seed: u64, size: usize, backups: u8) -> Store {
    let mut store = Store::new(seed, PARTITIONS, with_backups(backups));
    store.grow(size);
    store
}

#[test]
fn writes_can_be_read_on_every_member() {
    for seed in seeds!(400) {
        let mut store = cluster(seed, 3, 1);
        store.run_with_clients(SECOND * 3);
        store.settle();
        store.check();
        let oracle = store.oracle.lock();
        assert!(oracle.acknowledged > 200 && oracle.reads > 150, "SEED={seed} {oracle:?}");
        assert_eq!(oracle.unknown + oracle.refused, 0, "SEED={seed}");
    }
}

#[test]
fn a_crash_loses_no_acknowledged_write() {
    for seed in seeds!(600) {
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
fn as_many_simultaneous_crashes_as_backups_lose_nothing() {
    for seed in seeds!(320) {
        let mut store = cluster(seed, if seed % 2 == 0 { 3 } else { 5 }, 2);
        store.run_with_clients(SECOND);
        store.settle();
        for _ in 0..2 {
            let victim = store.world.any_living();
            store.crash(victim);
        }
        store.run_with_clients(SECOND * 3);
        store.settle();
        store.check();
        store.assert_nothing_lost();
    }
}

#[test]
fn members_join_and_leave_while_clients_write() {
    for seed in seeds!(320) {
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
        assert_eq!(oracle.unknown, 0, "SEED={seed}: planned moves have known outcomes");
    }
}

#[test]
fn a_pause_loses_no_acknowledged_write() {
    for seed in seeds!(320) {
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
fn writes_of_members_that_stayed_survive_the_return_of_paused_members() {
    for seed in seeds!(400) {
        let size = 3 + (seed % 3) as usize;
        let mut store = cluster(seed, size, size as u8 - 1);
        store.run_with_clients(SECOND);
        // The coordinator is paused; all other members but one crash; a new one joins.
        let rest_ms = store.world.rng.random_range(3_000..9_000);
        store.world.pause(0, Duration::from_millis(rest_ms));
        let lost_after = store.world.rng.random_range(0..3_000);
        store.run_with_clients(Duration::from_millis(lost_after));
        for node in 2..size {
            store.crash(node);
        }
        store.run_with_clients(Duration::from_millis(2_600));
        store.start(false, &[1]);
        let left = rest_ms.saturating_sub(lost_after + 2_600);
        store.run_with_clients(Duration::from_millis(left) + SECOND * 3);
        store.settle();
        store.check();
    }
}

#[test]
fn expired_and_removed_keys_stay_gone_and_nothing_expires_early() {
    for seed in seeds!(300) {
        let mut store = cluster(seed, 3, 1);
        store.keys = 20;
        store.some_expire = Some((0.5, 200..1_500));
        for _ in 0..4 {
            let node = store.world.any_living();
            match store.world.rng.random_range(0..5) {
                0 if store.living().len() > 2 => store.crash(node),
                1 => {
                    // Its clock may be wrong by a day from the start.
                    let finds = store.living();
                    let new = store.start(false, &finds);
                    let day_ms = 24 * 3_600_000;
                    let skew_ms = store.world.rng.random_range(-day_ms..day_ms);
                    store.members[new].host.skew_ms.store(skew_ms, Ordering::Relaxed);
                }
                2 if store.living().len() > 2 => store.leave(node),
                _ => {
                    let ms = store.world.rng.random_range(500..5_000);
                    store.world.pause(node, Duration::from_millis(ms));
                    store.run_with_clients(Duration::from_millis(ms));
                }
            }
            store.run_with_clients(SECOND * 2);
            store.settle();
            store.check();
        }
    }
}

#[test]
fn removals_are_remembered_as_long_as_a_member_is_missing() {
    for seed in seeds!(12) {
        let mut store = cluster(seed, 3, 1);
        store.run_with_clients(SECOND * 2);
        let sleeper = store.world.any_living();
        store.world.pause(sleeper, SECOND * 700);
        store.run(SECOND * 4);
        // A member that joins later remembers removals like the others.
        let finds: Vec<_> = store.living().into_iter().filter(|node| *node != sleeper).collect();
        store.start(false, &finds);
        store.run(SECOND * 4);
        for key in 0..store.keys {
            store.write(finds[0], key, true);
        }
        store.run(SECOND * 700);
        store.settle();
        store.check();
        // Removals are forgotten once everything is merged.
        store.run(SECOND * 90);
        for node in store.living() {
            let table = store.members[node].grid.table().expect("a table");
            assert!(table.missing.is_empty(), "SEED={seed}: {:?}", table.missing);
            let map = store.members[node].grid.open("m").expect("a map");
            assert_eq!(
                map.removal_bytes(),
                0,
                "SEED={seed}: {node} remembers removals although no member is missing"
            );
        }
    }
}

#[test]
fn operations_are_executed_once_when_connections_break() {
    for seed in seeds!(200) {
        let mut store = cluster(seed, 3, 1);
        let counts: Vec<_> = (0..6).map(|_| Arc::new(Mutex::new((0, 0)))).collect();
        for _ in 0..12 {
            for turn in 0..60 {
                let node = store.world.any_living();
                let at = turn % counts.len();
                let key = format!("counter-{at}").into_bytes();
                let count = Arc::clone(&counts[at]);
                let op = Op::Key(&key, KeyOp::Plain(PlainOp::Add(1)));
                store.start_op(node, &op, None, move |reply| match reply {
                    Ok(_) => count.lock().0 += 1,
                    Err(OpError::Indeterminate) => count.lock().1 += 1,
                    Err(_) => {}
                });
                store.run(Duration::from_millis(2));
            }
            let node = store.world.any_living();
            let late = store.world.rng.random_range(0..400);
            store.break_connections(node, Duration::from_millis(late));
        }
        store.settle();
        for (at, count) in counts.iter().enumerate() {
            let key = format!("counter-{at}").into_bytes();
            let node = store.world.any_living();
            let get = Op::Key(&key, KeyOp::Plain(PlainOp::Add(0)));
            let Ok(Reply::Integer(found)) = store.ask_for(node, &get) else {
                panic!("SEED={seed}")
            };
            let (done, unknown) = *count.lock();
            let range = done..=done + unknown;
            assert!(range.contains(&found), "SEED={seed}: {found} of {range:?}");
        }
        store.check();
    }
}

/// Whether the outcome of a pop is known, and its elements.
type Taken = (bool, Vec<String>);

#[test]
fn popped_elements_reach_a_waiting_client_or_stay() {
    for seed in seeds!(200) {
        let mut store = cluster(seed, 3, 1);
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let (mut pushed, mut unknown) = (Vec::new(), 0);
        for number in 0..250_u64 {
            let list = format!("list-{}", number % 4).into_bytes();
            let node = store.world.any_living();
            let pop =
                Op::Several(SeveralOp::PopFirst { keys: vec![&list], end: End::Front, count: 3 });
            let wait = Duration::from_millis(store.world.rng.random_range(1..160));
            let all = Arc::clone(&taken);
            store.start_op(node, &pop, Some(wait), move |reply| {
                all.lock().push(match reply {
                    Ok(reply) => (true, texts(&reply)),
                    Err(error) => (error != OpError::Indeterminate, Vec::new()),
                });
            });
            if store.world.rng.random_bool(0.5) {
                let (node, text) = (store.world.any_living(), number.to_string());
                let elements = vec![text.as_bytes()];
                let push = ListOp::Push { end: End::Back, elements, present: false };
                let reply = store.ask_for(node, &Op::Key(&list, KeyOp::List(push)));
                unknown += usize::from(reply.is_err());
                pushed.push(text);
            }
            let ms = store.world.rng.random_range(0..40);
            store.run(Duration::from_millis(ms));
        }
        store.settle();
        assert_eq!(unknown, 0, "SEED={seed}: no member was lost");
        let mut found = Vec::new();
        for (known, elements) in &*taken.lock() {
            assert!(known, "SEED={seed}: a pop has no outcome although no member was lost");
            found.extend(elements.iter().filter(|text| !text.starts_with("list")).cloned());
        }
        for at in 0..4 {
            let list = format!("list-{at}").into_bytes();
            let node = store.world.any_living();
            let rest = Op::Key(&list, KeyOp::List(ListOp::Range(0, -1)));
            found.extend(texts(&store.ask_for(node, &rest).expect("a list")));
        }
        found.sort();
        pushed.sort();
        assert_eq!(found, pushed, "SEED={seed}");
    }
}

/// All bytes in a reply, as text.
fn texts(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Bytes(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Reply::List(all) => all.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn members_with_other_settings_use_the_backups_of_the_oldest() {
    for seed in seeds!(100) {
        let mut store = Store::new(seed, PARTITIONS, with_backups((seed % 3) as u8));
        store.start(false, &[]);
        store.run(Duration::from_millis(100));
        for backups in [0, 2, 1] {
            store.catalog = with_backups(backups);
            let finds = store.living();
            store.start(false, &finds);
            store.run(Duration::from_millis(100));
        }
        for _ in 0..3 {
            store.settle();
            store.run_with_clients(SECOND);
            store.settle();
            store.check();
            let oldest = store.living()[0];
            let backups =
                store.members[oldest].grid.table().expect("a table").maps.defaults.backups;
            for node in store.living() {
                let map = store.members[node].grid.open("m").expect("a map");
                assert_eq!(map.settings().backups, backups, "SEED={seed}");
            }
            if backups > 0 {
                store.crash(oldest);
            } else {
                store.leave(oldest);
            }
            store.run_with_clients(SECOND * 2);
            store.assert_nothing_lost();
        }
        store.settle();
        store.check();
    }
}

#[test]
fn keys_up_to_the_limit_are_kept_and_longer_ones_are_refused() {
    for seed in seeds!(4) {
        let mut store = cluster(seed, 2, 1);
        let lengths = [0, 1, 127, 128, 255, 256, 16_383, KEY_BYTES_MAX, KEY_BYTES_MAX + 1, 40_000];
        for (n, length) in lengths.into_iter().enumerate() {
            let (key, node) = (vec![b'k'; length], n % 2);
            let add = Op::Key(&key, KeyOp::Plain(PlainOp::Add(1)));
            let replies = [(); 2].map(|()| store.ask_for(node, &add));
            if length <= KEY_BYTES_MAX {
                assert_eq!(replies, [1, 2].map(|n| Ok(Reply::Integer(n))), "{length}");
            } else {
                assert_eq!(replies, [(); 2].map(|()| Err(OpError::KeyTooLong)), "{length}");
            }
        }
        // A new member gets copies of all of them.
        store.start(false, &[0]);
        store.settle();
        store.check();
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let mut store = cluster(seed, 3, 1);
        store.run_with_clients(SECOND);
        let node = store.world.any_living();
        store.world.pause(node, SECOND * 3);
        store.run_with_clients(SECOND * 5);
        store.settle();
        (store.trace, store.oracle.lock().acknowledged)
    };
    for seed in seeds!(6) {
        assert_eq!(run(seed), run(seed), "SEED={seed}");
    }
}

#[test]
fn both_sides_of_a_split_serve_and_merge_afterwards() {
    for seed in seeds!(320) {
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
fn data_from_before_a_split_is_served_while_it_heals() {
    for seed in seeds!(100) {
        // Both sides have all data.
        let size = 2 + (seed % 4) as usize;
        let mut store = cluster(seed, size, size as u8 - 1);
        for key in 0..store.keys {
            let node = store.world.any_living();
            store.write(node, key, false);
        }
        store.settle();
        let island: Vec<_> = (0..1 + seed as usize % (size - 1)).collect();
        store.split(&island);
        store.run(SECOND * 8);
        store.heal();
        for _ in 0..300 {
            let key = store.world.rng.random_range(0..store.keys);
            let node = store.world.any_living();
            let found = store.read(node, key);
            assert_ne!(found, Ok(None), "SEED={seed}: {node} does not find key {key}");
            store.run(Duration::from_millis(20));
        }
        store.settle();
        store.check();
    }
}

#[test]
fn members_that_leave_together_do_not_wait_for_each_other() {
    for seed in seeds!(40) {
        let mut store = cluster(seed, 3, 1);
        store.run_with_clients(SECOND);
        assert!(store.leave_all() < SECOND * 2, "SEED={seed}");
    }
}

#[test]
fn all_kinds_of_faults_in_random_order() {
    for seed in seeds!(600) {
        let mut store = cluster(seed, 3, 1);
        store.world.network.loss = 0.01;
        for _ in 0..4 {
            let island = store.world.any_living();
            let what = store.world.rng.random_range(0..7);
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
                4 if store.living().len() > 2 => store.leave(island),
                5 => {
                    store.start(true, &[island]);
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
fn below_min_members_writes_are_refused_and_reads_are_served() {
    for seed in seeds!(160) {
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

#[test]
fn with_min_members_the_smaller_side_acknowledges_nothing_while_it_joins() {
    for seed in seeds!(60) {
        // Without backups, a write is acknowledged either at once or after the next table.
        let mut store = Store::new(seed, PARTITIONS, with_backups(0)).min_members(3);
        store.grow(5);
        store.run_with_clients(SECOND);
        let one = store.world.rng.random_range(0..5);
        let other = (one + store.world.rng.random_range(1..5)) % 5;
        store.split(&[one, other]);
        store.run(SECOND * 5);
        store.heal();
        let members = |store: &Store, node: usize| {
            store.members[node].grid.table().map_or(0, |table| table.members.len())
        };
        let end = store.world.now + SECOND * 10;
        while store.world.now < end && [one, other].iter().any(|node| members(&store, *node) < 5) {
            for node in [one, other].repeat(5) {
                let (before, known) = (store.oracle.lock().acknowledged, members(&store, node));
                let key = store.world.rng.random_range(0..store.keys);
                store.write(node, key, false);
                let is_acknowledged = store.oracle.lock().acknowledged > before;
                assert!(known == 5 || !is_acknowledged, "SEED={seed}: {node} with {known} members");
            }
            store.run(Duration::from_micros(1));
        }
        store.settle();
        store.check();
    }
}

#[test]
fn entries_expire_on_all_copies_in_spite_of_wrong_clocks() {
    for seed in seeds!(100) {
        let mut store = cluster(seed, 3, 1);
        store.ttl_ms = Some(2_000);
        for _ in 0..3 {
            let node = store.world.any_living();
            store.jump_clock(node);
            store.run_with_clients(SECOND);
            let victim = store.world.any_living();
            match store.world.rng.random_range(0..3) {
                0 if store.living().len() > 2 => store.crash(victim),
                1 => {
                    // Like a discovery mode: some of the members that it finds may be gone soon.
                    let finds = store.living();
                    store.start(false, &finds);
                }
                _ => store.world.pause(victim, SECOND * 3),
            }
            store.settle();
        }
        // The last values live for two seconds of the cluster's clock, which approaches a machine's
        // clock that jumped slowly.
        store.run(SECOND * 10);
        for node in store.living() {
            for key in 0..store.keys {
                assert_eq!(store.read(node, key), Ok(None), "SEED={seed}: {key} by {node}");
            }
            let digests = (0..PARTITIONS).filter_map(|n| store.members[node].grid.digests(n));
            for digests in digests.collect::<Vec<_>>() {
                let of_removals = digests.len();
                assert!(of_removals <= 1, "SEED={seed}: {node} has {digests:?}");
            }
        }
        store.ttl_ms = None;
    }
}

#[test]
fn fields_of_hashes_expire_on_all_copies_when_members_join_and_fail() {
    const LATER_MS: u64 = 600_000;
    for seed in seeds!(60) {
        let mut store = cluster(seed, 3, 1);
        let hashes: Vec<Vec<u8>> = (0..8).map(|n| format!("hash-{n}").into_bytes()).collect();
        let fields = |key, op| Op::Key(key, KeyOp::Hash(HashOp::Fields(op)));
        for (number, key) in hashes.iter().enumerate() {
            let later: &[(&[u8], u64)] = &[(b"soon", 2_000), (b"later", LATER_MS)];
            // Every second hash consists of a field that expires soon.
            for (name, ms) in &later[..1 + number % 2] {
                let fields_op = FieldsOp::Set {
                    fields: vec![(name, b"1")],
                    lifetime: FieldLifetime::For(*ms),
                    condition: FieldsIf::AllAbsent,
                };
                let node = store.world.any_living();
                let set = store.ask_for(node, &fields(key, fields_op));
                assert_eq!(set, Ok(Reply::Integer(1)), "SEED={seed}");
            }
        }
        for _ in 0..2 {
            let victim = store.world.any_living();
            match store.world.rng.random_range(0..3) {
                0 if store.living().len() > 2 => store.crash(victim),
                1 => _ = store.start(false, &[victim]),
                _ => store.world.pause(victim, SECOND * 3),
            }
            store.settle();
        }
        // The cluster's clock may have stopped for a while, if the lost coordinator's was ahead.
        store.run(SECOND * 20);
        for node in store.living() {
            for (number, key) in hashes.iter().enumerate() {
                let exists = Op::Key(key, KeyOp::Generic(GenericOp::Exists));
                let has_later = number % 2 == 1;
                let found = store.ask_for(node, &exists);
                assert_eq!(found, Ok(Reply::flag(has_later)), "SEED={seed}: {number} by {node}");
                let names = vec![&b"soon"[..], b"later"];
                let remaining = FieldsOp::Deadlines { names, remaining: true };
                let Ok(Reply::List(found)) = store.ask_for(node, &fields(key, remaining)) else {
                    panic!("SEED={seed}")
                };
                let is_right = match &found[..] {
                    [Reply::Integer(-2), Reply::Integer(-2)] => !has_later,
                    [Reply::Integer(-2), Reply::Integer(ms)] => {
                        has_later && (1..LATER_MS.cast_signed()).contains(ms)
                    }
                    _ => false,
                };
                assert!(is_right, "SEED={seed}: {number} has {found:?} by {node}");
            }
        }
        store.check();
    }
}

#[test]
fn pushed_elements_exist_once_when_members_join_and_fail() {
    for seed in seeds!(100) {
        let mut store = cluster(seed, 3, 1);
        let lists: Vec<Vec<u8>> = (0..5).map(|n| format!("list-{n}").into_bytes()).collect();
        let (mut pushed, mut number) = (vec![Vec::new(); lists.len()], 0_u64);
        for round in 0..4 {
            let faulty = store.world.any_living();
            match (round + seed) % 4 {
                0 => {
                    store.start(false, &[faulty]);
                }
                1 if store.living().len() > 2 => store.crash(faulty),
                2 => store.world.pause(faulty, SECOND * 2),
                _ => {}
            }
            for turn in 0..40 {
                let at = turn % lists.len();
                let living = store.living();
                let healthy: Vec<_> = living.into_iter().filter(|n| *n != faulty).collect();
                let node = healthy[store.world.rng.random_range(0..healthy.len())];
                number += 1;
                let text = number.to_string();
                let push = ListOp::Push {
                    end: End::Back,
                    elements: vec![text.as_bytes()],
                    present: false,
                };
                let reply = store.ask_for(node, &Op::Key(&lists[at], KeyOp::List(push)));
                pushed[at].push((text, reply.is_ok(), reply == Err(OpError::Indeterminate)));
            }
            store.settle();
        }
        for (list, pushed) in lists.iter().zip(&pushed) {
            let node = store.world.any_living();
            let all = Op::Key(list, KeyOp::List(ListOp::Range(0, -1)));
            let Ok(Reply::List(found)) = store.ask_for(node, &all) else { panic!("SEED={seed}") };
            for (text, acknowledged, unknown) in pushed {
                let count =
                    found.iter().filter(|one| **one == Reply::bytes(text.as_bytes())).count();
                let fits = match (acknowledged, unknown) {
                    (true, _) => count == 1,
                    (false, true) => count <= 1,
                    (false, false) => count == 0,
                };
                assert!(fits, "SEED={seed}: {text} was found {count} times, {pushed:?}");
            }
        }
    }
}

#[test]
fn a_leased_key_is_changed_only_by_its_owner_after_a_crash() {
    for seed in seeds!(60) {
        let mut store = cluster(seed, 3, 1);
        let key = b"key-1";
        let put = || {
            let op = PlainOp::Put {
                kind: 0,
                value: b"7",
                lifetime: Lifetime::Default,
                condition: PutIf::Always,
                answer: PutAnswer::Done,
            };
            Op::Key(key, KeyOp::Plain(op))
        };
        let node = store.world.any_living();
        let hold = Op::Lease(key, LeaseOp::Hold { owner: b"a", lease_ms: 20_000 });
        assert_eq!(store.ask_for(node, &hold), Ok(Reply::Integer(1)), "SEED={seed}");
        let victim = store.world.any_living();
        store.crash(victim);
        store.settle();
        let node = store.world.any_living();
        let remove = Op::Key(key, KeyOp::Generic(GenericOp::Remove));
        assert_eq!(store.ask_for(node, &put()), Err(OpError::Held), "SEED={seed}");
        assert_eq!(store.ask_for(node, &remove), Err(OpError::Held), "SEED={seed}");
        let own = Op::By { owner: b"a", op: Box::new(put()) };
        assert_eq!(store.ask_for(node, &own), Ok(Reply::Done), "SEED={seed}");
        assert_eq!(store.read(node, 1), Ok(Some(7)), "SEED={seed}: reads are served");
        // The cluster's clock may have stopped for a while, if the lost coordinator's was ahead.
        store.run(SECOND * 28);
        assert_eq!(
            store.ask_for(node, &put()),
            Ok(Reply::Done),
            "SEED={seed}: the lease has expired"
        );
    }
}
