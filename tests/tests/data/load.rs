//! Clients that write all the time, and an oracle that knows what they were told.
//!
//! Each writer has keys of its own and is the only one that changes them. What it
//! was told makes of each change one of three things: *acknowledged*, so that
//! the key has that value until the next change; *refused*, so that nothing
//! happened; *unknown*, so that the key may have the value before or after it.
//! A key whose last change is unknown is read, and not changed again before a
//! read has shown which it is. So at any time a key has one value, or one of two.

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

/// Of so many steps of a writer …
const STEPS: u64 = 8;
/// … so many are reads …
const READS: u64 = 2;
/// … and so many remove a key.
const REMOVALS: u64 = 1;

/// Before a writer that reached nobody tries the next member.
const RETRY: Duration = Duration::from_millis(10);

/// Between two puts of writers that only put. The kernel moves what namespaces
/// send to each other before anything else: as much as can be leaves it no time
/// for the cables.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the writers may take for what is waited for.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// Reads that are on their way at once when all is looked at.
const AT_ONCE: usize = 200;

/// Failures that are shown.
const SHOWN_MAX: usize = 20;

/// Answers that say that nothing was done, by their first word.
const REFUSALS: [&str; 3] = ["CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS"];

/// Where a member is reached, and from where.
#[derive(Clone, Debug)]
struct Place {
    host: Option<Host>,
    address: SocketAddr,
}

impl Place {
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

/// What one key may have; a value is a number that no other change has.
#[derive(Clone, Copy, Debug, Default)]
struct Key {
    settled: Option<u64>,
    /// What a change of unknown outcome would have made of it.
    unknown: Option<Option<u64>>,
}

impl Key {
    /// Whether it may be read like this; from now on it may be no other way.
    fn shows(&mut self, value: Option<u64>) -> bool {
        if self.unknown == Some(value) {
            *self = Self { settled: value, unknown: None };
        }
        self.settled == value
    }
}

/// How often writers were told what.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    indeterminate: AtomicU64,
    broken: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    places: Mutex<Vec<Place>>,
    /// Keys are put, and neither read nor removed.
    only_puts: bool,
    /// In front of the names of all keys: another load has others.
    name: String,
    /// Raised when the places are others.
    turn: AtomicU64,
    is_over: AtomicBool,
    counts: Counts,
}

/// Writers at work. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Writer>>,
}

impl Load {
    /// So many writers, spread over all members.
    #[track_caller]
    pub(crate) fn on(members: &[Member], writers: usize) -> Self {
        Self::with(Shared::default(), members, writers)
    }

    /// The same, and they only put: who is cut off from a key's copies does not
    /// find it, and may put it all the same.
    #[track_caller]
    pub(crate) fn of_puts_on(members: &[Member], writers: usize) -> Self {
        Self::with(Shared { only_puts: true, ..Shared::default() }, members, writers)
    }

    #[track_caller]
    fn with(shared: Shared, members: &[Member], writers: usize) -> Self {
        static LOADS: AtomicU64 = AtomicU64::new(0);
        let name = format!("load-{}", LOADS.fetch_add(1, Ordering::Relaxed));
        let shared = Arc::new(Shared { name, ..shared });
        *shared.lock() = members.iter().map(Place::of).collect();
        let start = |number| {
            let writer = Writer::new(number, Arc::clone(&shared));
            thread::spawn(move || writer.run())
        };
        let writers = (0..writers).map(start).collect();
        Self { shared, writers }
    }

    /// The writers spread over these members from now on.
    #[track_caller]
    pub(crate) fn turn_to(&self, members: &[Member]) {
        let places = members.iter().map(Place::of).collect();
        *self.shared.lock() = places;
        self.shared.turn.fetch_add(1, Ordering::Release);
    }

    /// How many changes were acknowledged until now.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more are.
    #[track_caller]
    pub(crate) fn wait_for(&self, more: u64) {
        let (goal, deadline) = (self.acknowledged() + more, Instant::now() + PROGRESS_MAX);
        while self.acknowledged() < goal {
            let counts = &self.shared.counts;
            assert!(Instant::now() < deadline, "no progress in {PROGRESS_MAX:?}: {counts:?}");
            thread::sleep(RETRY);
        }
    }

    /// Ends the writers; what they know stays.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Told {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let writers = self.writers.drain(..);
        let writers: Vec<Writer> =
            writers.map(|writer| writer.join().expect("a writer does not fail")).collect();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.shared.counts;
        let told = Told {
            acknowledged: count(&counts.acknowledged),
            refused: count(&counts.refused),
            indeterminate: count(&counts.indeterminate),
            broken: count(&counts.broken),
            longest: writers.iter().map(|writer| writer.longest).max().unwrap_or_default(),
            name: self.shared.name.clone(),
            complaints: writers.iter().flat_map(|writer| writer.complaints.clone()).collect(),
            keys: writers.into_iter().map(|writer| writer.keys).collect(),
        };
        println!("{}", told.summary());
        told
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all writers were told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// `INDETERMINATE`.
    pub(crate) indeterminate: u64,
    /// The connection broke before there was an answer.
    pub(crate) broken: u64,
    /// The longest that an answer took.
    pub(crate) longest: Duration,
    name: String,
    complaints: Vec<String>,
    keys: Vec<Vec<Key>>,
}

impl Told {
    fn summary(&self) -> String {
        let Self { acknowledged, refused, indeterminate, broken, longest, .. } = self;
        format!(
            "{acknowledged} changes acknowledged, {refused} refused, {indeterminate} \
             indeterminate, {broken} without an answer; the longest answer took {longest:?}"
        )
    }

    /// Reads every key from each member: it has what was acknowledged, or what an
    /// unknown change made of it, and the same everywhere. Nothing else was read
    /// before either.
    #[track_caller]
    pub(crate) fn check(&self, members: &[Member]) {
        let (mut wrong, mut keys) = (self.complaints.clone(), self.keys.clone());
        for (at, member) in members.iter().enumerate() {
            let mut client = member.client();
            for (writer, keys) in keys.iter_mut().enumerate() {
                let names: Vec<usize> = (0..keys.len()).collect();
                for some in names.chunks(AT_ONCE) {
                    let request =
                        |index: &usize| vec!["GET".to_owned(), name(&self.name, writer, *index)];
                    let requests: Vec<Vec<String>> = some.iter().map(request).collect();
                    let answers = client.call_all(&requests).expect("the member answers");
                    for (index, answer) in some.iter().zip(answers) {
                        let key = &mut keys[*index];
                        let before = *key;
                        if read(&answer).is_none_or(|value| !key.shows(value)) {
                            let name = name(&self.name, writer, *index);
                            wrong.push(format!(
                                "at last, by member {at}: {name} is {answer:?} and was to be \
                                 {before:?}"
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

/// What a `GET` was answered; none when that is no answer.
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
    turn: u64,
    /// Members that it gave up in this turn.
    skipped: usize,
    /// The value that was written last.
    value: u64,
    chance: u64,
    longest: Duration,
    started: Instant,
    complaints: Vec<String>,
}

impl Writer {
    fn new(number: usize, shared: Arc<Shared>) -> Self {
        Self {
            number,
            shared,
            keys: vec![Key::default(); KEYS],
            client: None,
            turn: 0,
            skipped: 0,
            value: 0,
            chance: 0x9E37_79B9_7F4A_7C15 ^ number as u64,
            longest: Duration::ZERO,
            started: Instant::now(),
            complaints: Vec::new(),
        }
    }

    fn run(mut self) -> Self {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            self.step();
        }
        self.client = None;
        self
    }

    /// A number that looks random.
    fn next(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
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
            self.look(index);
        } else if what < READS + REMOVALS && key.settled.is_some() {
            self.change(index, None);
        } else {
            self.value += 1;
            self.change(index, Some(self.value));
        }
    }

    /// Asks the member that it is at, or goes to one. None when nobody can be
    /// reached; an error when the connection broke after it was asked.
    fn ask(&mut self, words: &[&[u8]]) -> Option<io::Result<Value>> {
        let turn = self.shared.turn.load(Ordering::Acquire);
        if turn != self.turn {
            (self.turn, self.skipped, self.client) = (turn, 0, None);
        }
        if self.client.is_none() {
            let place = {
                let places = self.shared.lock();
                places[(self.number + self.skipped) % places.len()].clone()
            };
            let Ok(client) = place.connect() else {
                self.skipped += 1;
                thread::sleep(RETRY);
                return None;
            };
            self.client = Some(client);
        }
        let asked = Instant::now();
        let answer = self.client.as_mut()?.call(words);
        self.longest = self.longest.max(asked.elapsed());
        if answer.is_err() {
            self.client = None;
            self.skipped += 1;
        }
        Some(answer)
    }

    fn look(&mut self, index: usize) {
        let name = name(&self.shared.name, self.number, index);
        let Some(Ok(answer)) = self.ask(&[b"GET", name.as_bytes()]) else { return };
        if is_refusal(&answer) {
            return;
        }
        let before = self.keys[index];
        let Some(value) = read(&answer) else {
            return self.complain(&format!("GET {name} was answered {answer:?}"));
        };
        if !self.keys[index].shows(value) {
            self.complain(&format!("{name} was read as {value:?} and was to be {before:?}"));
        }
    }

    /// Puts a value into a key, or removes one that is there.
    fn change(&mut self, index: usize, value: Option<u64>) {
        let name = name(&self.shared.name, self.number, index);
        let text = value.map(|value| format!("{value:>64}"));
        let answer = match &text {
            Some(text) => self.ask(&[b"SET", name.as_bytes(), text.as_bytes()]),
            None => self.ask(&[b"DEL", name.as_bytes()]),
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
                self.complain(&format!(
                    "a change of {name} from {before:?} to {value:?} was answered {answer:?}"
                ));
            }
            Err(_) => {
                add(&counts.broken);
                self.keys[index].unknown = Some(value);
            }
        }
    }

    fn complain(&mut self, what: &str) {
        let (at, by) = (self.started.elapsed().as_millis(), self.number);
        self.complaints.push(format!("after {at} ms, by writer {by}: {what}"));
    }
}

fn is_refusal(answer: &Value) -> bool {
    let code = answer.error().and_then(|text| text.split(' ').next());
    code.is_some_and(|code| REFUSALS.contains(&code))
}

#[test]
fn a_key_whose_last_change_is_unknown_may_be_one_of_two_until_it_is_read() {
    let mut key = Key { settled: Some(1), unknown: Some(None) };
    assert!(key.shows(Some(1)), "it may come yet");
    assert!(!key.shows(Some(2)));
    assert!(key.shows(None), "it came");
    assert!(!key.shows(Some(1)), "and what was before is gone");
}
