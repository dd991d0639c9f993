//! Events: each that is announced reaches each listener at most once, and exactly once if no member
//! is lost; keys that are removed a few at a time have an event each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::{KeyOp, Lifetime, PlainOp, PutAnswer, PutIf, WholeOp};
use convoke_grid::{Class, Event, Listener, MapCatalog, MapSettings, Op, OpError, Reply};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::faults::{run_for, strike};
use crate::store::{STEP, Store};
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;
/// Events that are announced in a second.
const RATE: f64 = 50.0;

/// How often each event was received, by its value or its key.
#[derive(Default)]
struct Received(Mutex<HashMap<(Class, Vec<u8>), u32>>);

impl Listener for Received {
    fn handle_event(&self, event: &Event) {
        let what = match (&event.value, event.class) {
            (Some(value), Class::Announced) => value.to_vec(),
            _ => event.key.to_vec(),
        };
        *self.0.lock().entry((event.class, what)).or_default() += 1;
    }

    fn wants_values(&self) -> bool {
        true
    }
}

impl Received {
    fn count(&self, class: Class, what: &[u8]) -> u32 {
        self.0.lock().get(&(class, what.to_vec())).copied().unwrap_or(0)
    }
}

fn cluster(seed: u64) -> Store {
    let defaults = MapSettings { backups: 1, ..MapSettings::default() };
    let catalog = MapCatalog { defaults, named: Vec::new() };
    let mut store = Store::new(seed, PARTITIONS, catalog);
    store.rate = 0.0;
    store.grow(3);
    store
}

/// Listens at all members that run.
fn listen(store: &mut Store) -> Vec<Arc<Received>> {
    let listen = |node: &usize| {
        let received = Arc::new(Received::default());
        store.members[*node].grid.listen("m", Arc::clone(&received) as _);
        received
    };
    let all = store.living().iter().map(listen).collect();
    // The other members are notified.
    store.run(SECOND);
    all
}

/// Whether each announcement was acknowledged, by its number.
type Announced = Arc<Mutex<BTreeMap<u64, bool>>>;

/// Clients announce numbered events whenever time advances with clients.
fn announce(store: &mut Store) -> Announced {
    let all = Announced::default();
    let (announced, mut number) = (Arc::clone(&all), 0_u64);
    store.clients = Some(Box::new(move |store| {
        if !store.world.rng.random_bool(RATE * STEP.as_secs_f64()) {
            return;
        }
        let node = store.world.any_living();
        if store.is_stopped(node) {
            return;
        }
        number += 1;
        announced.lock().insert(number, false);
        let partition = store.world.rng.random_range(0..PARTITIONS);
        let value = number.to_be_bytes();
        let op = Op::Whole(WholeOp::Announce { name: "news", value: &value });
        let (of, announced) = (number, Arc::clone(&announced));
        store.start_in(node, partition, &op, None, move |reply| {
            announced.lock().insert(of, reply == Ok(Reply::Done));
        });
    }));
    all
}

#[test]
fn an_announced_event_is_received_at_most_once() {
    for seed in seeds!(24) {
        let mut store = cluster(seed);
        let listeners = listen(&mut store);
        let announced = announce(&mut store);
        for _ in 0..3 {
            strike(&mut store);
        }
        for number in announced.lock().keys() {
            for (node, listener) in listeners.iter().enumerate() {
                let count = listener.count(Class::Announced, &number.to_be_bytes());
                assert!(count <= 1, "SEED={seed}: {node} received {number} {count} times");
            }
        }
    }
}

#[test]
fn an_announced_event_is_received_once_although_connections_break() {
    for seed in seeds!(24) {
        let mut store = cluster(seed);
        let listeners = listen(&mut store);
        let announced = announce(&mut store);
        for _ in 0..10 {
            run_for(&mut store, 50..600);
            let node = store.world.any_living();
            let late = store.world.rng.random_range(0..400);
            store.break_connections(node, Duration::from_millis(late));
        }
        store.settle();
        let announced = announced.lock();
        assert!(announced.len() > 50, "SEED={seed}");
        for (number, is_acknowledged) in &*announced {
            assert!(is_acknowledged, "SEED={seed}: {number}");
            for (node, listener) in listeners.iter().enumerate() {
                let count = listener.count(Class::Announced, &number.to_be_bytes());
                assert_eq!(count, 1, "SEED={seed}: {node}, {number}");
            }
        }
    }
}

fn put(key: &[u8]) -> Op<'_> {
    let put = PlainOp::Put {
        kind: 0,
        value: b"1",
        lifetime: Lifetime::Default,
        condition: PutIf::Always,
        answer: PutAnswer::Done,
    };
    Op::Key(key, KeyOp::Plain(put))
}

/// Executes an operation of a partition, again if its outcome is not known.
fn in_partition(store: &mut Store, partition: u16, op: &WholeOp<'_>) -> Result<Reply, OpError> {
    let node = store.world.any_living();
    let reply: Arc<Mutex<Option<Result<Reply, OpError>>>> = Arc::default();
    let received = Arc::clone(&reply);
    store.start_in(node, partition, &Op::Whole(op.clone()), None, move |answer| {
        *received.lock() = Some(answer);
    });
    let end = store.world.now + SECOND * 20;
    while store.world.now < end {
        if let Some(reply) = reply.lock().take() {
            return reply;
        }
        store.run(STEP);
    }
    // The member has crashed.
    Err(OpError::Indeterminate)
}

#[test]
fn keys_that_are_removed_a_few_at_a_time_have_an_event_each_and_others_stay() {
    const SOME: u32 = 3;
    for seed in seeds!(24) {
        let mut store = cluster(seed);
        let listeners = listen(&mut store);
        let keys = |tag: &str| -> Vec<Vec<u8>> {
            (0..20).map(|n| format!("{{{tag}}}{n}").into_bytes()).collect()
        };
        let grid = store.members[0].grid.clone();
        let others = (0..).map(|n| keys(&format!("b{n}")));
        let gone = keys("a");
        let partition = grid.partition_of(&gone[0]);
        let mut others = others.filter(|keys| grid.partition_of(&keys[0]) != partition);
        let stay = others.next().expect("a key of another partition");
        for key in gone.iter().chain(&stay) {
            let node = store.world.any_living();
            assert_eq!(store.ask_for(node, &put(key)), Ok(Reply::Done), "SEED={seed}");
        }
        let has_fault = seed.is_multiple_of(2);
        let (mut left, mut is_known) = (gone.len() as i64, true);
        for turn in 0..40 {
            if has_fault && turn == 3 {
                let victim = store.world.any_living();
                store.crash(victim);
            }
            match in_partition(&mut store, partition, &WholeOp::RemoveSome(SOME)) {
                Ok(more) => {
                    left = (left - i64::from(SOME)).max(0);
                    // At a member that does not know the listeners yet, all are removed at once.
                    if more == Reply::flag(false) {
                        left = 0;
                    }
                }
                Err(OpError::Indeterminate) => is_known = false,
                Err(_) => {}
            }
            let length = in_partition(&mut store, partition, &WholeOp::Length);
            if let Ok(Reply::Integer(length)) = length {
                let fits = if is_known { length == left } else { length <= left };
                assert!(fits, "SEED={seed}: {length} of {left} keys");
                if length == 0 {
                    break;
                }
            }
        }
        store.settle();
        let length = in_partition(&mut store, partition, &WholeOp::Length);
        assert_eq!(length, Ok(Reply::Integer(0)), "SEED={seed}");
        for key in &stay {
            let node = store.world.any_living();
            let get = Op::Key(key, KeyOp::Plain(PlainOp::Get));
            assert_eq!(store.ask_for(node, &get), Ok(Reply::bytes(b"1")), "SEED={seed}");
        }
        for listener in &listeners {
            for key in &gone {
                let count = listener.count(Class::Generic, key);
                let fits = if has_fault { count <= 1 } else { count == 1 };
                assert!(fits, "SEED={seed}: {count} events");
            }
        }
    }
}
