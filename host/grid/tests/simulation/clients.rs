//! Clients of data structures: each sends one operation at a time, and a model explains all replies.
//!
//! Each key has a few clients. When all is settled, there must be an order of the operations on a
//! key, in which each takes effect once between its start and its reply, so that the model gives
//! each reply that was received. An operation of unknown outcome may take effect at any time after
//! its start, or never; one that was refused never does.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::Effect;
use convoke_grid::{Op, OpError, Reply};
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::linear::{self, Entry, Model, Verdict};
use crate::network::Node;
use crate::store::{STEP, Store};

/// Maximum number of configurations of a search. A history that needs more counts as undecided.
const CONFIGURATIONS_MAX: usize = 20_000;
/// How much slower clients are while the network is split: the operations of those that do not
/// reach a majority have no outcome, and the search has to consider each of them at any time.
const SPLIT_SLOWNESS: f64 = 4.0;
/// The operations that a violation shows, at most.
const SHOWN_MAX: usize = 60;

pub(crate) type Answer = Result<Reply, OpError>;

/// What the clients of a key have in common, and what one of them has learnt.
pub(crate) struct Chance<'r, M> {
    pub(crate) rng: &'r mut StdRng,
    /// A number that no other operation has.
    pub(crate) number: u32,
    /// The number of the client.
    pub(crate) client: u8,
    pub(crate) memory: &'r M,
}

/// A data structure at one key: its operations, and what they do.
pub(crate) trait Structure: 'static {
    /// The model of its state.
    type State: Clone + Eq + Hash + Debug + Default;
    /// An operation.
    type Call: Clone + Debug + Send + 'static;
    /// What a client remembers of the replies that it has received.
    type Memory: Default + Send;

    /// A random operation of a client.
    fn choose(chance: Chance<'_, Self::Memory>) -> Self::Call;

    /// Passes the operation of the grid to `then`.
    fn with_op<R>(key: &[u8], call: &Self::Call, then: impl FnOnce(&Op<'_>) -> R) -> R;

    /// How long the operation waits for a reply that is not nil.
    fn wait(_call: &Self::Call) -> Option<Duration> {
        None
    }

    /// An operation that reads all of it.
    fn read() -> Self::Call;

    /// Remembers a reply.
    fn learn(_memory: &mut Self::Memory, _call: &Self::Call, _answer: &Answer) {}

    /// The state after an operation, if the answer is possible. Without an answer it is not known,
    /// but the operation was executed.
    fn step(state: &Self::State, call: &Self::Call, answer: Option<&Answer>)
    -> Option<Self::State>;
}

/// The outcome of an operation as far as its client knows.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// It has no reply yet.
    Open,
    /// This is the reply.
    Done(Answer),
    /// It was not executed.
    Refused(OpError),
    /// It was executed, or is executed later, or never.
    Unknown,
}

/// An operation of a client.
#[derive(Debug)]
struct Sent<C> {
    key: usize,
    call: C,
    /// The member that its client used; for messages.
    #[allow(dead_code, reason = "printed")]
    node: Node,
    /// The side of the split that its client was on.
    side: u32,
    effect: Effect,
    at: Duration,
    ended: Option<Duration>,
    outcome: Outcome,
}

struct Client<M> {
    is_busy: bool,
    memory: M,
}

struct Log<S: Structure> {
    sent: Vec<Sent<S::Call>>,
    /// Those of the first key, then those of the second one, and so on.
    clients: Vec<Client<S::Memory>>,
    /// When the network was split.
    splits: Vec<(Duration, Duration)>,
}

/// An operation in progress. If its task ends without a reply, the outcome is unknown.
struct InProgress<S: Structure> {
    log: Arc<Mutex<Log<S>>>,
    index: usize,
    client: Option<usize>,
}

impl<S: Structure> InProgress<S> {
    fn end(&mut self, at: Option<Duration>, answer: Answer) {
        let mut log = self.log.lock();
        let Log { sent, clients, .. } = &mut *log;
        let sent = &mut sent[self.index];
        if sent.outcome != Outcome::Open {
            return;
        }
        if let Some(client) = self.client {
            clients[client].is_busy = false;
            S::learn(&mut clients[client].memory, &sent.call, &answer);
        }
        sent.ended = at;
        sent.outcome = match answer {
            Err(OpError::Indeterminate) => Outcome::Unknown,
            Err(error) if is_refusal(&error) => Outcome::Refused(error),
            answer => Outcome::Done(answer),
        };
    }
}

impl<S: Structure> Drop for InProgress<S> {
    fn drop(&mut self) {
        self.end(None, Err(OpError::Indeterminate));
    }
}

/// Whether an error says that nothing was done for a reason that has nothing to do with the key.
fn is_refusal(error: &OpError) -> bool {
    matches!(
        error,
        OpError::Unavailable
            | OpError::Busy
            | OpError::NoCluster
            | OpError::NoDataMember
            | OpError::TooFewMembers { .. }
            | OpError::Conflict
            | OpError::TookTooLong
            | OpError::Full
    )
}

/// The clients of several keys.
pub(crate) struct Clients<S: Structure> {
    log: Arc<Mutex<Log<S>>>,
    keys: Vec<Vec<u8>>,
    clients_of_key: usize,
    /// The chance that an idle client sends something in a step of the simulation.
    chance: f64,
    /// Whether clients read while the network is split.
    pub(crate) reads_in_splits: bool,
}

impl<S: Structure> Clone for Clients<S> {
    fn clone(&self) -> Self {
        let (log, keys) = (Arc::clone(&self.log), self.keys.clone());
        Self { log, keys, ..*self }
    }
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) done: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) undecided: usize,
}

impl<S: Structure> Clients<S> {
    /// Clients that send about `rate` operations a second for each key, if replies come at once.
    pub(crate) fn new(keys: usize, clients_of_key: usize, rate: f64) -> Self {
        let keys: Vec<_> = (0..keys).map(|n| format!("{{key-{n}}}").into_bytes()).collect();
        let client = |_| Client { is_busy: false, memory: S::Memory::default() };
        let clients = (0..keys.len() * clients_of_key).map(client).collect();
        let log = Arc::new(Mutex::new(Log { sent: Vec::new(), clients, splits: Vec::new() }));
        let chance = rate * STEP.as_secs_f64() / clients_of_key as f64;
        Self { log, keys, clients_of_key, chance, reads_in_splits: false }
    }

    /// Lets them act whenever time advances with clients.
    pub(crate) fn join(&self, store: &mut Store) {
        let all = self.clone();
        store.rate = 0.0;
        store.clients = Some(Box::new(move |store| all.act(store)));
    }

    fn act(&self, store: &mut Store) {
        if store.is_split() {
            let (now, mut log) = (store.world.now, self.log.lock());
            match log.splits.last_mut() {
                Some((_, end)) if now <= *end + STEP * 2 => *end = now,
                _ => log.splits.push((now, now)),
            }
        }
        let is_slow = store.is_split() && !self.reads_in_splits;
        let chance = if is_slow { self.chance / SPLIT_SLOWNESS } else { self.chance };
        for client in 0..self.keys.len() * self.clients_of_key {
            if self.log.lock().clients[client].is_busy || !store.world.rng.random_bool(chance) {
                continue;
            }
            let living = store.living();
            let node = living[store.world.rng.random_range(0..living.len())];
            if store.is_stopped(node) {
                continue;
            }
            let call = {
                let log = self.log.lock();
                S::choose(Chance {
                    rng: &mut store.world.rng,
                    number: u32::try_from(log.sent.len()).expect("few operations") + 1,
                    client: (client % self.clients_of_key) as u8,
                    memory: &log.clients[client].memory,
                })
            };
            let key = client / self.clients_of_key;
            let reads = S::with_op(&self.keys[key], &call, |op| op.effect()) == Effect::Reads;
            if !reads || self.reads_in_splits || !store.is_split() {
                self.send(store, node, key, Some(client), &call);
            }
        }
    }

    fn send(
        &self,
        store: &mut Store,
        node: Node,
        key: usize,
        client: Option<usize>,
        call: &S::Call,
    ) {
        let name = &self.keys[key];
        let mut log = self.log.lock();
        if let Some(client) = client {
            log.clients[client].is_busy = true;
        }
        log.sent.push(Sent {
            key,
            call: call.clone(),
            node,
            side: store.side_of(node),
            effect: S::with_op(name, call, |op| op.effect()),
            at: store.world.now,
            ended: None,
            outcome: Outcome::Open,
        });
        let index = log.sent.len() - 1;
        drop(log);
        let mut open = InProgress { log: Arc::clone(&self.log), index, client };
        let clock = store.clock();
        S::with_op(name, call, |op| {
            let partition = store.members[node].grid.partition_of(op.key().unwrap_or(name));
            store.start_in(node, partition, op, S::wait(call), move |answer| {
                open.end(Some(clock()), answer);
            });
        });
    }

    /// Reads all keys at a settled cluster, and checks all operations.
    pub(crate) fn check(&self, store: &mut Store) -> Checked {
        self.read_all(store);
        let (seed, mut checked) = (store.world.seed, self.count());
        let log = self.log.lock();
        for key in 0..self.keys.len() {
            // Each side of a split returns its own data.
            let is_wanted = |sent: &Sent<S::Call>| {
                let end = sent.ended.unwrap_or(Duration::MAX);
                let is_split = log.splits.iter().any(|(from, to)| sent.at <= *to && *from <= end);
                sent.effect > Effect::Reads || !is_split
            };
            let sent = executed(&log.sent, key, is_wanted);
            match explain::<S>(&sent) {
                Verdict::Linearizable => {}
                Verdict::Undecided => checked.undecided += 1,
                Verdict::Violated(at) => panic!(
                    "SEED={seed}: no order of operations on key {key} explains {:?}; before it:\n{}",
                    sent[at],
                    shown::<S>(&sent, at)
                ),
            }
        }
        checked
    }

    /// Like [`Self::check`], after a split in which both sides were changed: of each key, either
    /// all changes of one side remain, or all of the other one.
    pub(crate) fn check_sides(&self, store: &mut Store) -> Checked {
        self.read_all(store);
        let (seed, mut checked) = (store.world.seed, self.count());
        let log = self.log.lock();
        let sides: BTreeSet<u32> =
            log.sent.iter().map(|sent| sent.side).filter(|side| *side > 0).collect();
        for key in 0..self.keys.len() {
            let of_side = |side: &u32| {
                let sent = executed(&log.sent, key, |sent| [0, *side].contains(&sent.side));
                let verdict = explain::<S>(&sent);
                (verdict, sent)
            };
            let verdicts: Vec<_> = sides.iter().map(of_side).collect();
            if verdicts.iter().any(|(verdict, _)| *verdict == Verdict::Linearizable) {
                continue;
            }
            checked.undecided += 1;
            if verdicts.iter().any(|(verdict, _)| *verdict == Verdict::Undecided) {
                continue;
            }
            let text = |(verdict, sent): &(Verdict, Vec<&Sent<S::Call>>)| match verdict {
                Verdict::Violated(at) => {
                    format!("{:?} after\n{}\n", sent[*at], shown::<S>(sent, *at))
                }
                _ => String::new(),
            };
            let texts: Vec<_> = verdicts.iter().map(text).collect();
            panic!("SEED={seed}: no side explains key {key}:\n{}", texts.concat());
        }
        checked
    }

    /// Reads all keys at a settled cluster.
    fn read_all(&self, store: &mut Store) {
        let before = self.log.lock().sent.len();
        for key in 0..self.keys.len() {
            let node = store.world.any_living();
            self.send(store, node, key, None, &S::read());
        }
        store.run(Duration::from_secs(1));
        let seed = store.world.seed;
        for read in &self.log.lock().sent[before..] {
            let is_done = matches!(read.outcome, Outcome::Done(Ok(_)));
            assert!(is_done, "SEED={seed}: a read of a settled cluster failed: {read:?}");
        }
    }

    fn count(&self) -> Checked {
        let mut count = Checked::default();
        for sent in &self.log.lock().sent {
            match sent.outcome {
                Outcome::Done(_) => count.done += 1,
                Outcome::Refused(_) => count.refused += 1,
                Outcome::Open | Outcome::Unknown => count.unknown += 1,
            }
        }
        count
    }
}

/// The model of a structure, for the search.
struct Explained<S>(PhantomData<S>);

impl<S: Structure> Model for Explained<S> {
    type State = S::State;
    type Op = (S::Call, Option<Answer>);

    fn step(&self, state: &S::State, (call, answer): &Self::Op) -> Option<S::State> {
        S::step(state, call, answer.as_ref())
    }
}

/// The operations on a key that were executed, or may have been, and that `is_wanted`.
fn executed<C>(
    sent: &[Sent<C>],
    key: usize,
    is_wanted: impl Fn(&Sent<C>) -> bool,
) -> Vec<&Sent<C>> {
    let may_matter = |sent: &&Sent<C>| match sent.outcome {
        Outcome::Done(_) => true,
        Outcome::Refused(_) => false,
        Outcome::Open | Outcome::Unknown => sent.effect > Effect::Reads,
    };
    let of_key = sent.iter().filter(|sent| sent.key == key && is_wanted(sent));
    of_key.filter(may_matter).collect()
}

/// Searches for an order of operations that explains all replies.
fn explain<S: Structure>(sent: &[&Sent<S::Call>]) -> Verdict {
    let (model, start) = (Explained::<S>(PhantomData), S::State::default());
    linear::search(&model, [start], &entries::<S>(sent), CONFIGURATIONS_MAX)
}

fn entries<S: Structure>(sent: &[&Sent<S::Call>]) -> Vec<Entry<(S::Call, Option<Answer>)>> {
    let mut class = 0;
    let micros = |time: Duration| u64::try_from(time.as_micros()).expect("a short simulation");
    let entry = |sent: &&Sent<S::Call>| {
        let (answer, ret) = match &sent.outcome {
            Outcome::Done(answer) => (Some(answer.clone()), sent.ended.map(micros)),
            _ => (None, None),
        };
        // Operations of unknown outcome are all different.
        let class = if ret.is_none() {
            class += 1;
            class
        } else {
            0
        };
        Entry { op: (sent.call.clone(), answer), call: micros(sent.at), ret, class }
    };
    sent.iter().map(entry).collect()
}

/// The last operations before one that cannot be explained.
fn shown<S: Structure>(sent: &[&Sent<S::Call>], index: usize) -> String {
    let end = sent[index].ended;
    let mut before: Vec<_> =
        sent.iter().filter(|sent| end.is_none_or(|end| sent.at <= end)).collect();
    before.sort_by_key(|sent| sent.ended.unwrap_or(Duration::MAX));
    let skipped = before.len().saturating_sub(SHOWN_MAX);
    let lines = before[skipped..].iter().map(|sent| format!("{sent:?}\n"));
    lines.collect::<Vec<_>>().concat()
}
