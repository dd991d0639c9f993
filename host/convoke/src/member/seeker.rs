//! Calls the candidates that modes find.
//!
//! A candidate is a rumour. Each is called when it is first heard of, again
//! after a growing wait while it is not in the view, and forgotten when no mode
//! names it any more. What answers is handed to the membership core; what does
//! not is counted, and said once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_discovery::{ModeEvent, Snapshot};
use convoke_membership::Standing;
use convoke_wire::{ClusterKeys, HandshakeError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::calls::{self, Call, CallError};
use super::input::Input;
use super::state::{Counters, Place, bump};

/// Candidates called at once.
const CALLS_MAX: usize = 256;
/// Candidates known at once, all modes together.
const CANDIDATES_MAX: usize = 4 * 65_536;
/// First wait before another call.
const WAIT_MIN: Duration = Duration::from_millis(1_000);
/// Longest wait while there are few candidates.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Shortest and longest wait while there are many: ranges of addresses where
/// mostly nobody is.
const WAIT_MIN_OF_MANY: Duration = Duration::from_secs(15);
const WAIT_MAX_OF_MANY: Duration = Duration::from_secs(120);
/// More candidates than this are many.
const MANY: usize = 256;
/// How often due candidates are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Places whose refusal was logged: each is said once.
const SAID_MAX: usize = 1_024;

struct Candidate {
    /// The modes that name it, by number.
    modes: u32,
    /// What tells a new process at an old address.
    attributes: u64,
    next_at: Instant,
    wait: Duration,
    calling: bool,
    answered: bool,
    /// This member's own address.
    own: bool,
}

/// What a seeker needs.
pub(crate) struct Seeker {
    pub(crate) modes: Vec<String>,
    pub(crate) events: mpsc::Receiver<ModeEvent>,
    pub(crate) driver: mpsc::Sender<Input>,
    pub(crate) place: watch::Receiver<Arc<Place>>,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) counters: Arc<Counters>,
}

struct Seeking {
    candidates: HashMap<SocketAddr, Candidate>,
    /// When to call whom; an entry that no longer agrees with the candidate's
    /// own `next_at` is stale.
    due: BinaryHeap<Reverse<(Instant, SocketAddr)>>,
    /// Candidates of the first round that have not answered or failed yet.
    unanswered: usize,
    calls: JoinSet<(SocketAddr, Result<Call, CallError>)>,
    /// Modes that have not looked yet.
    awaited: HashSet<String>,
    settled: bool,
    said: HashSet<(SocketAddr, &'static str)>,
    started: Instant,
    first_round: usize,
}

impl Seeker {
    /// Runs until the modes' events end.
    pub(crate) async fn run(mut self) {
        let mut seeking = Seeking {
            candidates: HashMap::new(),
            due: BinaryHeap::new(),
            unanswered: 0,
            calls: JoinSet::new(),
            awaited: self.modes.iter().cloned().collect(),
            settled: false,
            said: HashSet::new(),
            started: Instant::now(),
            first_round: 0,
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.hear(&mut seeking, event),
                    None => return,
                },
                Some(done) = seeking.calls.join_next() => {
                    if let Ok((address, outcome)) = done {
                        self.take(&mut seeking, address, outcome).await;
                    }
                }
                _ = tick.tick() => {}
            }
            self.call_due(&mut seeking);
            self.settle(&mut seeking).await;
        }
    }

    fn hear(&self, seeking: &mut Seeking, event: ModeEvent) {
        match event {
            ModeEvent::Snapshot { mode, snapshot } => {
                seeking.awaited.remove(&mode);
                if let Some(number) = self.modes.iter().position(|name| *name == mode) {
                    self.merge(seeking, 1 << number, &snapshot);
                }
            }
            // An operator must mend it, and was told so; the others go on without it.
            ModeEvent::Stopped { mode, .. } => {
                seeking.awaited.remove(&mode);
            }
        }
    }

    fn merge(&self, seeking: &mut Seeking, mode: u32, snapshot: &Snapshot) {
        let now = Instant::now();
        let mut seen = HashSet::with_capacity(snapshot.candidates.len());
        for found in &snapshot.candidates {
            seen.insert(found.address);
            let attributes = fingerprint(&found.attributes);
            let room = seeking.candidates.len() < CANDIDATES_MAX;
            match seeking.candidates.get_mut(&found.address) {
                Some(known) if known.attributes == attributes || found.attributes.is_empty() => {
                    known.modes |= mode;
                }
                Some(known) => {
                    // Another process than the last time: call it at once.
                    known.attributes = attributes;
                    known.modes |= mode;
                    known.next_at = now;
                    known.wait = WAIT_MIN;
                    known.own = false;
                    seeking.due.push(Reverse((now, found.address)));
                }
                None if room => {
                    seeking.unanswered += 1;
                    seeking.due.push(Reverse((now, found.address)));
                    seeking.candidates.insert(
                        found.address,
                        Candidate {
                            modes: mode,
                            attributes,
                            next_at: now,
                            wait: WAIT_MIN,
                            calling: false,
                            answered: false,
                            own: false,
                        },
                    );
                }
                None => {}
            }
        }
        seeking.candidates.retain(|address, candidate| {
            if !seen.contains(address) {
                candidate.modes &= !mode;
            }
            let kept = candidate.modes != 0 || candidate.calling;
            if !kept && !candidate.answered {
                seeking.unanswered -= 1;
            }
            kept
        });
        self.counters.candidates.store(seeking.candidates.len(), Ordering::Relaxed);
    }

    fn call_due(&self, seeking: &mut Seeking) {
        if seeking.calls.len() >= CALLS_MAX {
            return;
        }
        let now = Instant::now();
        if seeking.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
            return;
        }
        let place = self.place.borrow().clone();
        let members: HashSet<SocketAddr> = place
            .view
            .iter()
            .flat_map(|view| view.members())
            .flat_map(|member| member.addresses.iter().copied())
            .collect();
        while seeking.calls.len() < CALLS_MAX {
            let Some(Reverse((at, address))) = seeking.due.peek().copied() else { break };
            if at > now {
                break;
            }
            seeking.due.pop();
            let Some(candidate) = seeking.candidates.get_mut(&address) else { continue };
            if candidate.calling || candidate.own || candidate.next_at != at {
                continue;
            }
            if members.contains(&address) {
                candidate.next_at = now + WAIT_MIN;
                seeking.due.push(Reverse((candidate.next_at, address)));
                seeking.unanswered -= usize::from(!candidate.answered);
                candidate.answered = true;
                continue;
            }
            candidate.calling = true;
            bump(&self.counters.probes);
            let keys = Arc::clone(&self.keys);
            let hello = Arc::clone(&place.hello);
            seeking
                .calls
                .spawn(async move { (address, calls::call(address, &keys, &hello).await) });
        }
    }

    async fn take(
        &self,
        seeking: &mut Seeking,
        address: SocketAddr,
        outcome: Result<Call, CallError>,
    ) {
        let few = seeking.candidates.len() <= MANY;
        if !seeking.settled {
            seeking.first_round += 1;
        }
        if let Some(candidate) = seeking.candidates.get_mut(&address) {
            candidate.calling = false;
            seeking.unanswered -= usize::from(!candidate.answered);
            candidate.answered = true;
            let (min, max) =
                if few { (WAIT_MIN, WAIT_MAX) } else { (WAIT_MIN_OF_MANY, WAIT_MAX_OF_MANY) };
            let wait = candidate.wait.max(min);
            candidate.next_at = Instant::now() + wait.mul_f64(rand::random_range(0.8..1.2));
            candidate.wait = (wait * 2).min(max);
            if let Ok(call) = &outcome {
                // It may be about to join: ask again soon, until it is in the view.
                candidate.wait = WAIT_MIN;
                candidate.own = call.hello.member.id == self.place.borrow().me.id;
            }
            seeking.due.push(Reverse((candidate.next_at, address)));
        }
        match outcome {
            Ok(call) => {
                if call.hello.member.id != self.place.borrow().me.id
                    && call.hello.standing != Standing::Observer
                {
                    let _ = self.driver.send(Input::Connected(Box::new(call))).await;
                }
            }
            Err(error) => self.say(seeking, address, &error),
        }
    }

    /// One line for each place that answers and is no member of this cluster.
    fn say(&self, seeking: &mut Seeking, address: SocketAddr, error: &CallError) {
        debug!(%address, %error, "a candidate did not answer as a member");
        let kind = match error {
            CallError::Handshake(HandshakeError::Credentials) => "credentials",
            CallError::Handshake(HandshakeError::NotAMember { .. }) => "stranger",
            CallError::Handshake(HandshakeError::Version { .. }) | CallError::Greeting => "version",
            CallError::Handshake(HandshakeError::TimedOut { .. }) => "silent",
            _ => return,
        };
        if seeking.said.len() < SAID_MAX && seeking.said.insert((address, kind)) {
            if kind == "stranger" || kind == "silent" {
                info!(%address, "not a member of this cluster: {error}");
            } else {
                warn!(%address, "cannot join the member there: {error}");
            }
        }
    }

    async fn settle(&self, seeking: &mut Seeking) {
        if seeking.settled || !seeking.awaited.is_empty() {
            return;
        }
        if seeking.unanswered == 0 {
            seeking.settled = true;
            let elapsed_ms = seeking.started.elapsed().as_millis();
            info!(count = seeking.first_round, elapsed_ms, "candidates probed");
            let _ = self.driver.send(Input::Settled).await;
        }
    }
}

fn fingerprint(attributes: &[(String, String)]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    attributes.hash(&mut hasher);
    hasher.finish()
}
