//! Calls the candidates that modes find.
//!
//! What answers is handed to the membership core; what does not is counted, and said once.
//! When every mode has looked and every candidate has answered or not (see
//! [`candidates`](super::candidates)), this member may found a cluster. A mode that was denied
//! what it needs, stopped, crashed, or could not tell where all of its members are has not
//! looked: without its word this member waits for as long as it takes.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_discovery::ModeEvent;
use convoke_membership::Standing;
use convoke_wire::{ClusterKeys, HandshakeError};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::calls::{self, Call, CallError};
use super::candidates::{CUT_OFF_MS_MAX, Candidates, Outcome, Then, UNDECIDED_MS_MAX};
use super::input::Input;
use super::on_link::{OnLink, Slots};
use super::pace::Pace;
use super::state::{Counters, Place, bump};
use crate::limits;

/// Connections being opened at once. Where a whole range of addresses is silent, each takes
/// [`calls::CONNECT_MS_MAX`]: this many are done with 65,536 in some 7 s.
const DIALS_MAX: usize = 4_096;
/// The share of this process's descriptors that they may take: one in four.
const DIALS_SHARE: u64 = 4;
/// No more connections are opened while this many handshakes are under way.
const HANDSHAKES_MAX: usize = 256;
/// From one look for due candidates to the next, at least, in milliseconds: many that are due
/// shortly one after the other are looked at together.
const LOOK_MS: u64 = 10;
/// Places whose refusal was logged: each is said once.
const SAID_MAX: usize = 1_024;

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
    candidates: Candidates,
    dials: JoinSet<(SocketAddr, Result<TcpStream, CallError>)>,
    dials_max: usize,
    pace: Pace,
    on_link: OnLink,
    on_link_slots: Slots,
    handshakes: JoinSet<(SocketAddr, Result<Call, CallError>)>,
    /// Modes that have not looked yet.
    awaited: HashSet<String>,
    settled: bool,
    said: HashSet<(SocketAddr, &'static str)>,
    /// The first candidate that stayed undecided for too long, why, and how many did.
    given_up: Option<(SocketAddr, String, usize)>,
    started: Instant,
    first_round: usize,
    /// Addresses of the view's members.
    members: HashSet<SocketAddr>,
    /// Not before this is the next look for due candidates.
    look_at: Instant,
}

impl Seeking {
    /// Whether one more connection may be opened.
    fn has_room(&self) -> bool {
        self.dials.len() < self.dials_max && self.handshakes.len() < HANDSHAKES_MAX
    }
}

/// Connections that a process with this number of descriptors may be opening at once.
fn dials_max(open_files: u64) -> usize {
    let share = usize::try_from(open_files / DIALS_SHARE).unwrap_or(DIALS_MAX);
    share.clamp(1, DIALS_MAX)
}

impl Seeker {
    /// Runs until the modes' events end.
    pub(crate) async fn run(mut self) {
        let now = Instant::now();
        let mut seeking = Seeking {
            candidates: Candidates::default(),
            dials: JoinSet::new(),
            dials_max: dials_max(limits::open_files()),
            pace: Pace::new(now),
            on_link: OnLink::default(),
            on_link_slots: Slots::of_this_host(),
            handshakes: JoinSet::new(),
            awaited: self.modes.iter().cloned().collect(),
            settled: false,
            said: HashSet::new(),
            given_up: None,
            started: now,
            first_round: 0,
            members: HashSet::new(),
            look_at: now,
        };
        self.place.mark_changed();
        loop {
            let due = seeking.has_room().then(|| seeking.candidates.next_due()).flatten();
            let due = due.map(|at| at.max(seeking.look_at).max(seeking.pace.next()));
            let wake = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.hear(&mut seeking, event),
                    None => return,
                },
                Some(done) = seeking.handshakes.join_next() => {
                    if let Ok((address, outcome)) = done {
                        self.take(&mut seeking, address, outcome).await;
                    }
                }
                Some(done) = seeking.dials.join_next() => match done {
                    Ok((address, Ok(stream))) => self.greet(&mut seeking, address, stream),
                    Ok((address, Err(error))) => self.take(&mut seeking, address, Err(error)).await,
                    Err(_) => {}
                },
                () = wake => seeking.look_at = Instant::now() + Duration::from_millis(LOOK_MS),
            }
            self.call_due(&mut seeking);
            self.settle(&mut seeking).await;
        }
    }

    fn hear(&self, seeking: &mut Seeking, event: ModeEvent) {
        match event {
            ModeEvent::Snapshot { mode, snapshot } => {
                if snapshot.doubt.is_none() {
                    seeking.awaited.remove(&mode);
                }
                if let Some(number) = self.modes.iter().position(|name| *name == mode) {
                    seeking.candidates.merge(Instant::now(), 1 << number, &snapshot);
                    self.counters.candidates.store(seeking.candidates.len(), Ordering::Relaxed);
                    seeking.on_link = match seeking.candidates.are_many() {
                        true => OnLink::now(),
                        false => OnLink::default(),
                    };
                }
            }
            // An operator must mend it, and was told so. One that has not looked by then is
            // still awaited: another one's members may be joined, and no cluster is founded.
            ModeEvent::Stopped { .. } => {}
        }
    }

    fn call_due(&mut self, seeking: &mut Seeking) {
        let now = Instant::now();
        if seeking.candidates.next_due().is_none_or(|at| at > now) {
            return;
        }
        if self.place.has_changed().unwrap_or(false) {
            let place = self.place.borrow_and_update();
            let members = place.view.iter().flat_map(|view| view.members());
            seeking.members = members.flat_map(|m| m.addresses.iter().copied()).collect();
            // Somebody else may be there as well.
            for address in place.view.iter().flat_map(|view| view.shared_addresses().into_keys()) {
                seeking.members.remove(&address);
            }
        }
        while seeking.has_room() && seeking.pace.allows(now) {
            let Some(due) = seeking.candidates.poll_due(now, &seeking.members) else { break };
            let address = due.address;
            if !due.was_deferred && seeking.on_link.contains(address.ip()) {
                let slot = seeking.on_link_slots.reserve(now, address.ip());
                if slot > now {
                    seeking.candidates.defer(address, slot);
                    continue;
                }
            }
            bump(&self.counters.probes);
            if !address.ip().is_loopback() {
                seeking.pace.take();
            }
            seeking.dials.spawn(async move { (address, calls::dial(address).await) });
        }
    }

    fn greet(&self, seeking: &mut Seeking, address: SocketAddr, stream: TcpStream) {
        let keys = Arc::clone(&self.keys);
        let hello = Arc::clone(&self.place.borrow().hello);
        seeking
            .handshakes
            .spawn(async move { (address, calls::greet(stream, &keys, &hello).await) });
    }

    async fn take(
        &self,
        seeking: &mut Seeking,
        address: SocketAddr,
        result: Result<Call, CallError>,
    ) {
        let me = self.place.borrow().me.id;
        let outcome = match &result {
            Ok(call) if call.hello.member.id == me => Outcome::Own,
            Ok(_) => Outcome::Member,
            Err(error) if error.is_certain() => Outcome::Nobody,
            Err(error) if error.is_cut_off() => Outcome::CutOff,
            Err(_) => Outcome::Undecided,
        };
        let jitter = rand::random_range(0.8..1.2);
        let then = seeking.candidates.take(Instant::now(), address, outcome, jitter);
        if !seeking.settled && !matches!(then, Then::Again { .. }) {
            seeking.first_round += 1;
        }
        match result {
            Ok(call) => {
                if outcome == Outcome::Member && call.hello.standing != Standing::Observer {
                    let _ = self
                        .driver
                        .send(Input::Connected { call: Box::new(call), called: true })
                        .await;
                }
            }
            Err(error) => self.say(seeking, address, &error, then),
        }
    }

    /// One line for each place that answers and is no member of this cluster.
    fn say(&self, seeking: &mut Seeking, address: SocketAddr, error: &CallError, then: Then) {
        debug!(%address, %error, ?then, "a candidate did not answer as a member");
        if then == Then::GivenUp {
            let first = (address, error.to_string(), 0);
            seeking.given_up.get_or_insert(first).2 += 1;
            return;
        }
        let kind = match (error, then) {
            // Once is no news: a member may have been about to stop, or busy for a moment.
            (_, Then::Again { tries: 1 }) => return,
            (_, Then::Again { .. }) => "undecided",
            (CallError::Handshake(HandshakeError::Credentials), _) => "credentials",
            (CallError::Handshake(HandshakeError::NotAMember { .. }), _) => "program",
            (CallError::Handshake(HandshakeError::Version { .. }) | CallError::Greeting, _) => {
                "version"
            }
            (CallError::Handshake(HandshakeError::TimedOut { .. }), _) => "undecided",
            _ => return,
        };
        if seeking.said.len() >= SAID_MAX || !seeking.said.insert((address, kind)) {
            return;
        }
        let ms_max = if error.is_cut_off() { CUT_OFF_MS_MAX } else { UNDECIDED_MS_MAX };
        match kind {
            "undecided" if !seeking.settled => warn!(
                %address,
                "{error}; it may be a member: it is called again, and no cluster is started without its answer, for up to {} s",
                ms_max / 1_000
            ),
            "undecided" | "program" => {
                info!(%address, "not a member of this cluster: {error}");
            }
            _ => warn!(%address, "cannot join the member there: {error}"),
        }
    }

    async fn settle(&self, seeking: &mut Seeking) {
        if seeking.settled || !seeking.awaited.is_empty() || seeking.candidates.unanswered() > 0 {
            return;
        }
        seeking.settled = true;
        if let Some((address, reason, count)) = seeking.given_up.take() {
            warn!(
                %address, count, %reason,
                "something takes connections there and completes no handshake, called again and again; it is taken for no member, and this member goes on without it"
            );
        }
        let elapsed_ms = seeking.started.elapsed().as_millis();
        info!(count = seeking.first_round, elapsed_ms, "candidates probed");
        let _ = self.driver.send(Input::Settled).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_take_a_share_of_the_descriptors_and_a_bound_of_their_own() {
        assert_eq!(dials_max(1_024), 256);
        assert_eq!(dials_max(65_536), DIALS_MAX);
        assert_eq!(dials_max(u64::MAX), DIALS_MAX);
        assert_eq!(dials_max(0), 1);
    }
}
