//! Scenarios with streams: entries are kept in order, and each is delivered to one consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{
    GroupStart, KeyOp, NewId, Op, PendingRange, ReadFrom, SeveralOp, StreamOp, StreamRead,
};
use convoke_grid::{MapCatalog, MapSettings, OpError, Reply, StreamId};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::store::Store;
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const STREAM: &[u8] = b"stream";
const GROUP: &[u8] = b"group";

fn cluster(seed: u64, size: usize) -> Store {
    let defaults = MapSettings { backups: 1, ..MapSettings::default() };
    let mut store = Store::new(seed, 7, MapCatalog { defaults, named: Vec::new() });
    store.grow(size);
    store
}

fn text(reply: &Reply) -> String {
    let Reply::Bytes(bytes) = reply else { panic!("{reply:?} is no text") };
    String::from_utf8_lossy(bytes).into_owned()
}

fn id(reply: &Reply) -> StreamId {
    let text = text(reply);
    let (ms, seq) = text.split_once('-').expect("an ID");
    StreamId::new(ms.parse().expect("a time"), seq.parse().expect("a number"))
}

/// The IDs and values in a list of entries.
fn entries(reply: &Reply) -> Vec<(StreamId, String)> {
    let Reply::List(all) = reply else { panic!("{reply:?} is no list") };
    let entry = |reply: &Reply| match reply {
        Reply::List(parts) => match &parts[..] {
            [number, Reply::List(fields)] => (id(number), text(&fields[1])),
            _ => panic!("{reply:?} is no entry"),
        },
        _ => panic!("{reply:?} is no entry"),
    };
    all.iter().map(entry).collect()
}

fn add(value: &str) -> Op<'_> {
    let fields = vec![&b"value"[..], value.as_bytes()];
    let op = StreamOp::Add { id: NewId::Now, fields, create: true, trim: None };
    Op::Key(STREAM, KeyOp::Stream(op))
}

fn all() -> Op<'static> {
    let (from, to) = (StreamId::MIN, StreamId::MAX);
    Op::Key(STREAM, KeyOp::Stream(StreamOp::Range { from, to, reverse: false, count: None }))
}

fn read(consumer: &[u8]) -> Op<'_> {
    let streams = vec![StreamRead { key: STREAM, from: ReadFrom::New }];
    let count = 2;
    Op::Several(SeveralOp::ReadGroup { group: GROUP, consumer, streams, count, acknowledged: true })
}

/// The entries that a consumer got.
fn delivered(reply: &Reply) -> Vec<(StreamId, String)> {
    match reply {
        Reply::Nil | Reply::NilList => Vec::new(),
        Reply::ByKey(streams) => streams.iter().flat_map(|(_, list)| entries(list)).collect(),
        _ => panic!("{reply:?} are no entries"),
    }
}

#[test]
fn added_entries_are_kept_and_their_ids_increase() {
    for seed in seeds!(100) {
        let mut store = cluster(seed, 3);
        let (mut added, mut last, mut number) = (Vec::new(), StreamId::MIN, 0_u64);
        for round in 0..4 {
            let faulty = store.world.any_living();
            match (round + seed) % 5 {
                0 => {
                    store.start(false, &[faulty]);
                }
                1 if store.living().len() > 2 => store.crash(faulty),
                2 => store.world.pause(faulty, SECOND * 2),
                3 => store.jump_clock(faulty),
                _ => {}
            }
            for _ in 0..40 {
                let living = store.living();
                let healthy: Vec<_> = living.into_iter().filter(|n| *n != faulty).collect();
                let node = healthy[store.world.rng.random_range(0..healthy.len())];
                number += 1;
                let value = number.to_string();
                let reply = store.ask_for(node, &add(&value));
                if let Ok(reply) = &reply {
                    let id = id(reply);
                    assert!(id > last, "SEED={seed}: {id} after {last}");
                    last = id;
                }
                let is_unknown = reply == Err(OpError::Indeterminate);
                added.push((value, reply.ok().as_ref().map(id), is_unknown));
            }
            store.settle();
        }
        let node = store.world.any_living();
        let found = entries(&store.ask_for(node, &all()).expect("a stream"));
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "SEED={seed}: {found:?}");
        for (value, id, is_unknown) in added {
            let there: Vec<StreamId> =
                found.iter().filter(|(_, other)| *other == value).map(|(id, _)| *id).collect();
            let fits = match id {
                Some(id) => there == [id],
                None if is_unknown => there.len() <= 1,
                None => there.is_empty(),
            };
            assert!(fits, "SEED={seed}: {value} with {id:?} was found at {there:?}");
        }
    }
}

#[test]
fn each_entry_is_delivered_to_one_consumer_and_stays_pending() {
    for seed in seeds!(60) {
        let mut store = cluster(seed, 3);
        let start = GroupStart::After(StreamId::MIN);
        let create = StreamOp::CreateGroup { group: GROUP, start, read: None, create: true };
        let node = store.world.any_living();
        let created = store.ask_for(node, &Op::Key(STREAM, KeyOp::Stream(create)));
        assert_eq!(created, Ok(Reply::Done), "SEED={seed}");
        let got: Arc<Mutex<Vec<(u64, StreamId, String)>>> = Arc::default();
        let mut added = BTreeSet::new();
        for number in 0..120_u64 {
            if number == 60 && seed % 2 == 0 {
                store.settle();
                let victim = store.world.any_living();
                store.crash(victim);
            }
            let node = store.world.any_living();
            let wait = Duration::from_millis(store.world.rng.random_range(1..160));
            let (consumer, all) = (number % 3, Arc::clone(&got));
            let name = format!("consumer-{consumer}").into_bytes();
            store.start_op(node, &read(&name), Some(wait), move |reply| {
                let entries = reply.map_or_else(|_| Vec::new(), |reply| delivered(&reply));
                all.lock().extend(entries.into_iter().map(|(id, value)| (consumer, id, value)));
            });
            if store.world.rng.random_bool(0.6) {
                let (node, value) = (store.world.any_living(), number.to_string());
                if store.ask_for(node, &add(&value)).is_ok() {
                    added.insert(value);
                }
            }
            let ms = store.world.rng.random_range(0..40);
            store.run(Duration::from_millis(ms));
        }
        store.settle();
        store.run(SECOND);
        // The entries that were delivered to no consumer yet.
        let node = store.world.any_living();
        loop {
            let rest = delivered(&store.ask_for(node, &read(b"consumer-9")).expect("entries"));
            if rest.is_empty() {
                break;
            }
            got.lock().extend(rest.into_iter().map(|(id, value)| (9, id, value)));
        }
        let range = PendingRange {
            group: GROUP,
            from: StreamId::MIN,
            to: StreamId::MAX,
            count: 1_000,
            consumer: None,
            idle_ms: 0,
        };
        let pending = Op::Key(STREAM, KeyOp::Stream(StreamOp::Pending(range)));
        let Ok(Reply::List(pending)) = store.ask_for(node, &pending) else { panic!("pending") };
        let mut owners = BTreeMap::new();
        for entry in &pending {
            let Reply::List(facts) = entry else { panic!("{entry:?}") };
            owners.insert(id(&facts[0]), text(&facts[1]));
        }
        let stored = entries(&store.ask_for(node, &all()).expect("a stream"));
        let ids: BTreeSet<StreamId> = stored.iter().map(|(id, _)| *id).collect();
        assert!(owners.keys().copied().eq(ids), "SEED={seed}: all were delivered, and are pending");
        let values: BTreeSet<String> = stored.into_iter().map(|(_, value)| value).collect();
        assert!(values.is_superset(&added), "SEED={seed}: an entry is lost");
        let mut seen = BTreeSet::new();
        for (consumer, id, value) in &*got.lock() {
            assert!(seen.insert(*id), "SEED={seed}: {value} was delivered twice");
            let owner = format!("consumer-{consumer}");
            assert_eq!(owners.get(id), Some(&owner), "SEED={seed}: {value}");
        }
        if seed % 2 == 1 {
            assert_eq!(seen.len(), owners.len(), "SEED={seed}: no member was lost");
        }
    }
}
