//! Clients that write continuously, and an oracle that tracks their results.
//!
//! Each writer has its own keys and is the only one that changes them. By its answer, a change is
//! *acknowledged*: the key has that value until the next change; *refused*: nothing happened; or
//! *unknown*: the key may have the value before or after it. A key whose last change is unknown is
//! read, and not changed again until a read has shown its value. So at any time a key has one
//! value, or one of two.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use convoke_tests::resp::{Client, Value};
use convoke_tests::{Host, Member};

/// Keys of one writer.
const KEYS: usize = 400;

/// Steps of a writer in one cycle.
const STEPS: u64 = 8;
/// How many of [`STEPS`] are reads.
const READS: u64 = 2;
/// How many of [`STEPS`] delete a key.
const REMOVALS: u64 = 1;

/// Delay before a writer that could not connect tries the next member.
const RETRY: Duration = Duration::from_millis(10);

/// Delay between two writes of writers that only put. Traffic between namespaces is handled in
/// softirqs, which at full load leave no time for changes of the links.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the writers may take to make the progress that is waited for.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// Reads in one pipeline of the final check.
const PIPELINE: usize = 200;

/// Failures that are printed.
const SHOWN_MAX: usize = 20;

/// Error codes that mean that nothing was executed.
const REFUSALS: [&str; 3] = ["CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS"];

/// The address of a member, and the host to connect from.
#[derive(Clone, Debug)]
struct Endpoint {
    host: Option<Host>,
    address: SocketAddr,
}

impl Endpoint {
    fn of(member: &Member) -> Self {
        Self { host: member.host().cloned(), address: member.resp() }
    }

    fn connect(&self) -> io::Result<Client> {
        match &self.host {
            None => Client::connect(self.address),
            Some(host) => host.inside(|| Client::connect(self.address)),
        }
    }
}

/// The possible values of a key; each change has a unique number as its value.
#[derive(Clone, Copy, Debug, Default)]
struct Key {
    settled: Option<u64>,
    /// The value after a change of unknown outcome, if there is one.
    unknown: Option<Option<u64>>,
}

impl Key {
    /// Whether this is a possible value. From now on it is the only one.
    fn observe(&mut self, value: Option<u64>) -> bool {
        if self.unknown == Some(value) {
            *self = Self { settled: value, unknown: None };
        }
        self.settled == value
    }
}

/// Number of changes by outcome.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    indeterminate: AtomicU64,
    broken: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    endpoints: Mutex<Vec<Endpoint>>,
    /// Keys are set, and neither read nor deleted.
    only_puts: bool,
    /// Prefix of the names of all keys, different for each load.
    name: String,
    /// Incremented when the endpoints change.
    generation: AtomicU64,
    is_over: AtomicBool,
    counts: Counts,
}

/// Running writers, which are stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Writer>>,
}

impl Load {
    /// Starts writers, spread over all members.
    #[track_caller]
    pub(crate) fn on(members: &[Member], writers: usize) -> Self {
        Self::with(Shared::default(), members, writers)
    }

    /// Starts writers that only put: on a side of a split without replicas of a key, it cannot be
    /// read, but it can be set.
    #[track_caller]
    pub(crate) fn of_puts_on(members: &[Member], writers: usize) -> Self {
        Self::with(Shared { only_puts: true, ..Shared::default() }, members, writers)
    }

    #[track_caller]
    fn with(shared: Shared, members: &[Member], writers: usize) -> Self {
        static LOADS: AtomicU64 = AtomicU64::new(0);
        let name = format!("load-{}", LOADS.fetch_add(1, Ordering::Relaxed));
        let shared = Arc::new(Shared { name, ..shared });
        *shared.lock() = members.iter().map(Endpoint::of).collect();
        let start = |number| {
            let writer = Writer::new(number, Arc::clone(&shared));
            thread::spawn(move || writer.run())
        };
        let writers = (0..writers).map(start).collect();
        Self { shared, writers }
    }

    /// Spreads the writers over these members from now on.
    #[track_caller]
    pub(crate) fn switch_to(&self, members: &[Member]) {
        let endpoints = members.iter().map(Endpoint::of).collect();
        *self.shared.lock() = endpoints;
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    /// Number of changes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` further changes are acknowledged.
    #[track_caller]
    pub(crate) fn wait_for(&self, more: u64) {
        let (goal, deadline) = (self.acknowledged() + more, Instant::now() + PROGRESS_MAX);
        while self.acknowledged() < goal {
            let counts = &self.shared.counts;
            assert!(Instant::now() < deadline, "no progress in {PROGRESS_MAX:?}: {counts:?}");
            thread::sleep(RETRY);
        }
    }

    /// Stops the writers and returns their results.
    #[track_caller]
    pub(crate) fn stop(mut self) -> LoadResults {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let writers = self.writers.drain(..);
        let writers: Vec<Writer> =
            writers.map(|writer| writer.join().expect("the writer did not panic")).collect();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.shared.counts;
        let results = LoadResults {
            acknowledged: count(&counts.acknowledged),
            refused: count(&counts.refused),
            indeterminate: count(&counts.indeterminate),
            broken: count(&counts.broken),
            longest: writers.iter().map(|writer| writer.longest).max().unwrap_or_default(),
            name: self.shared.name.clone(),
            errors: writers.iter().flat_map(|writer| writer.errors.clone()).collect(),
            keys: writers.into_iter().map(|writer| writer.keys).collect(),
        };
        println!("{}", results.summary());
        results
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The results of all writers.
#[derive(Debug)]
pub(crate) struct LoadResults {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// `INDETERMINATE`.
    pub(crate) indeterminate: u64,
    /// The connection broke before the answer.
    pub(crate) broken: u64,
    /// The longest time to an answer.
    pub(crate) longest: Duration,
    name: String,
    errors: Vec<String>,
    keys: Vec<Vec<Key>>,
}

impl LoadResults {
    fn summary(&self) -> String {
        let Self { acknowledged, refused, indeterminate, broken, longest, .. } = self;
        format!(
            "{acknowledged} changes acknowledged, {refused} refused, {indeterminate} \
             indeterminate, {broken} without an answer; the longest answer took {longest:?}"
        )
    }

    /// Reads every key through each member: it has the acknowledged value, or that of an unknown
    /// change, and the same on all members. No read before returned anything else.
    #[track_caller]
    pub(crate) fn check(&self, members: &[Member]) {
        let (mut wrong, mut keys) = (self.errors.clone(), self.keys.clone());
        for (at, member) in members.iter().enumerate() {
            let mut client = member.client();
            for (writer, keys) in keys.iter_mut().enumerate() {
                let names: Vec<usize> = (0..keys.len()).collect();
                for some in names.chunks(PIPELINE) {
                    let request =
                        |index: &usize| vec!["GET".to_owned(), name(&self.name, writer, *index)];
                    let requests: Vec<Vec<String>> = some.iter().map(request).collect();
                    let answers = client.call_all(&requests).expect("the member answers");
                    for (index, answer) in some.iter().zip(answers) {
                        let key = &mut keys[*index];
                        let before = *key;
                        if read(&answer).is_none_or(|value| !key.observe(value)) {
                            let name = name(&self.name, writer, *index);
                            wrong.push(format!(
                                "final read, member {at}: {name} is {answer:?}, expected {before:?}"
                            ));
                        }
                    }
                }
            }
        }
        let (count, summary) = (wrong.len(), self.summary());
        wrong.truncate(SHOWN_MAX);
        assert!(wrong.is_empty(), "{count} answers are wrong, among them {wrong:#?}\n{summary}");
        assert!(self.acknowledged > 0, "nothing was written");
    }
}

/// The name of a writer's key.
fn name(load: &str, writer: usize, index: usize) -> String {
    format!("{load}:{writer}:{index}")
}

/// The value in the answer to a `GET`; `None` if it is not valid.
fn read(answer: &Value) -> Option<Option<u64>> {
    match answer {
        Value::Nil => Some(None),
        Value::Bytes(bytes) => str::from_utf8(bytes).ok()?.trim_start().parse().ok().map(Some),
        _ => None,
    }
}

#[derive(Debug)]
struct Writer {
    number: usize,
    shared: Arc<Shared>,
    keys: Vec<Key>,
    client: Option<Client>,
    generation: u64,
    /// Members given up in this generation.
    skipped: usize,
    /// The value of the last write.
    value: u64,
    random: u64,
    longest: Duration,
    started: Instant,
    errors: Vec<String>,
}

impl Writer {
    fn new(number: usize, shared: Arc<Shared>) -> Self {
        Self {
            number,
            shared,
            keys: vec![Key::default(); KEYS],
            client: None,
            generation: 0,
            skipped: 0,
            value: 0,
            random: 0x9E37_79B9_7F4A_7C15 ^ number as u64,
            longest: Duration::ZERO,
            started: Instant::now(),
            errors: Vec::new(),
        }
    }

    fn run(mut self) -> Self {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            self.step();
        }
        self.client = None;
        self
    }

    /// The next pseudo-random number (xorshift).
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn step(&mut self) {
        let index = (self.next() % KEYS as u64) as usize;
        let what = self.next() % STEPS;
        let key = self.keys[index];
        if self.shared.only_puts {
            thread::sleep(PAUSE);
            if key.unknown.is_none() {
                self.value += 1;
                self.change(index, Some(self.value));
            }
        } else if what < READS || key.unknown.is_some() {
            self.read_key(index);
        } else if what < READS + REMOVALS && key.settled.is_some() {
            self.change(index, None);
        } else {
            self.value += 1;
            self.change(index, Some(self.value));
        }
    }

    /// Sends a command to the current member, or connects to the next one. `None` if that fails; an
    /// error if the connection broke after the command was sent.
    fn command(&mut self, words: &[&[u8]]) -> Option<io::Result<Value>> {
        let generation = self.shared.generation.load(Ordering::Acquire);
        if generation != self.generation {
            (self.generation, self.skipped, self.client) = (generation, 0, None);
        }
        if self.client.is_none() {
            let endpoint = {
                let endpoints = self.shared.lock();
                endpoints[(self.number + self.skipped) % endpoints.len()].clone()
            };
            let Ok(client) = endpoint.connect() else {
                self.skipped += 1;
                thread::sleep(RETRY);
                return None;
            };
            self.client = Some(client);
        }
        let started = Instant::now();
        let answer = self.client.as_mut()?.call(words);
        self.longest = self.longest.max(started.elapsed());
        if answer.is_err() {
            self.client = None;
            self.skipped += 1;
        }
        Some(answer)
    }

    fn read_key(&mut self, index: usize) {
        let name = name(&self.shared.name, self.number, index);
        let Some(Ok(answer)) = self.command(&[b"GET", name.as_bytes()]) else { return };
        if is_refusal(&answer) {
            return;
        }
        let before = self.keys[index];
        let Some(value) = read(&answer) else {
            return self.record_error(&format!("GET {name} returned {answer:?}"));
        };
        if !self.keys[index].observe(value) {
            self.record_error(&format!("{name} was read as {value:?}, expected {before:?}"));
        }
    }

    /// Sets a key to a value, or deletes an existing one.
    fn change(&mut self, index: usize, value: Option<u64>) {
        let name = name(&self.shared.name, self.number, index);
        let text = value.map(|value| format!("{value:>64}"));
        let answer = match &text {
            Some(text) => self.command(&[b"SET", name.as_bytes(), text.as_bytes()]),
            None => self.command(&[b"DEL", name.as_bytes()]),
        };
        let Some(answer) = answer else { return };
        let counts = &self.shared.counts;
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let done = if value.is_some() { Value::ok() } else { Value::Integer(1) };
        match answer {
            Ok(answer) if answer == done => {
                add(&counts.acknowledged);
                self.keys[index].settled = value;
            }
            Ok(Value::Error(text)) if text.starts_with("INDETERMINATE ") => {
                add(&counts.indeterminate);
                self.keys[index].unknown = Some(value);
            }
            Ok(answer) if is_refusal(&answer) => {
                add(&counts.refused);
            }
            Ok(answer) => {
                let before = self.keys[index];
                self.keys[index].unknown = Some(value);
                self.record_error(&format!(
                    "a change of {name} from {before:?} to {value:?} returned {answer:?}"
                ));
            }
            Err(_) => {
                add(&counts.broken);
                self.keys[index].unknown = Some(value);
            }
        }
    }

    fn record_error(&mut self, what: &str) {
        let (at, by) = (self.started.elapsed().as_millis(), self.number);
        self.errors.push(format!("after {at} ms, by writer {by}: {what}"));
    }
}

fn is_refusal(answer: &Value) -> bool {
    let code = answer.error().and_then(|text| text.split(' ').next());
    code.is_some_and(|code| REFUSALS.contains(&code))
}

#[test]
fn a_key_whose_last_change_is_unknown_has_one_of_two_values_until_it_is_read() {
    let mut key = Key { settled: Some(1), unknown: Some(None) };
    assert!(key.observe(Some(1)), "the change may still be applied");
    assert!(!key.observe(Some(2)));
    assert!(key.observe(None), "the change was applied");
    assert!(!key.observe(Some(1)), "the previous value is gone");
}
