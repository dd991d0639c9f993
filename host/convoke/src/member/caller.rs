//! Calls the candidates that modes report.
//!
//! A candidate that answers as a member is passed to the membership core; any other is counted and
//! logged once. When every mode has completed a lookup and every candidate is decided (see
//! [`candidates`](super::candidates)), this member may found a cluster. A mode that lacks a grant,
//! is stopped, has crashed or returned an incomplete result has not completed a lookup; it is
//! awaited without a time limit.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_discovery::ModeEvent;
use convoke_membership::MemberStatus;
use convoke_wire::{ClusterKeys, HandshakeError};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::calls::{self, Call, CallError};
use super::candidates::{CUT_OFF_MS_MAX, CallResult, Candidates, NextStep, UNDECIDED_MS_MAX};
use super::input::Input;
use super::on_link::{OnLink, Slots};
use super::rate_limit::RateLimiter;
use super::state::{Counters, MemberState, increment};
use crate::limits;

/// Maximum number of connections that are being opened. Where nothing answers, each takes
/// [`calls::CONNECT_MS_MAX`]: 65,536 candidates take about 7 s.
const DIALS_MAX: usize = 4_096;
/// Divisor of this process's limit of descriptors: connections that are being opened may use that
/// share.
const DIALS_SHARE: u64 = 4;
/// No more connections are opened while this many handshakes are in progress.
const HANDSHAKES_MAX: usize = 256;
/// Shortest time between two checks for due candidates, in milliseconds, so that candidates due at
/// almost the same time are handled together.
const LOOK_MS: u64 = 10;
/// Addresses whose refusal was logged; each is logged once.
const LOGGED_MAX: usize = 1_024;

/// The context of the task that calls candidates.
pub(crate) struct CandidateCaller {
    pub(crate) modes: Vec<String>,
    pub(crate) events: mpsc::Receiver<ModeEvent>,
    pub(crate) driver: mpsc::Sender<Input>,
    pub(crate) member_state: watch::Receiver<Arc<MemberState>>,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) counters: Arc<Counters>,
}

struct CallerState {
    candidates: Candidates,
    dials: JoinSet<(SocketAddr, Result<TcpStream, CallError>)>,
    dials_max: usize,
    rate_limiter: RateLimiter,
    on_link: OnLink,
    on_link_slots: Slots,
    handshakes: JoinSet<(SocketAddr, Result<Call, CallError>)>,
    /// Modes that have not completed a lookup yet.
    awaited: HashSet<String>,
    first_round_done: bool,
    logged: HashSet<(SocketAddr, &'static str)>,
    /// The first candidate that was undecided for too long, the reason, and the number of such
    /// candidates.
    given_up: Option<(SocketAddr, String, usize)>,
    started: Instant,
    first_round: usize,
    /// Addresses of the members of the view.
    members: HashSet<SocketAddr>,
    /// The next check for due candidates is not before this time.
    look_at: Instant,
}

impl CallerState {
    /// Whether one more connection may be opened.
    fn has_room(&self) -> bool {
        self.dials.len() < self.dials_max && self.handshakes.len() < HANDSHAKES_MAX
    }
}

/// Number of connections that may be opened concurrently in a process with this limit of
/// descriptors.
fn dials_max(open_files: u64) -> usize {
    let share = usize::try_from(open_files / DIALS_SHARE).unwrap_or(DIALS_MAX);
    share.clamp(1, DIALS_MAX)
}

impl CandidateCaller {
    /// Runs until the event channel of the modes is closed.
    pub(crate) async fn run(mut self) {
        let now = Instant::now();
        let mut state = CallerState {
            candidates: Candidates::default(),
            dials: JoinSet::new(),
            dials_max: dials_max(limits::open_files()),
            rate_limiter: RateLimiter::new(now),
            on_link: OnLink::default(),
            on_link_slots: Slots::of_this_host(),
            handshakes: JoinSet::new(),
            awaited: self.modes.iter().cloned().collect(),
            first_round_done: false,
            logged: HashSet::new(),
            given_up: None,
            started: now,
            first_round: 0,
            members: HashSet::new(),
            look_at: now,
        };
        self.member_state.mark_changed();
        loop {
            let due = state.has_room().then(|| state.candidates.next_due()).flatten();
            let due = due.map(|at| at.max(state.look_at).max(state.rate_limiter.next()));
            let wake = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.handle_mode_event(&mut state, event),
                    None => return,
                },
                Some(done) = state.handshakes.join_next() => {
                    if let Ok((address, result_kind)) = done {
                        self.take(&mut state, address, result_kind).await;
                    }
                }
                Some(done) = state.dials.join_next() => match done {
                    Ok((address, Ok(stream))) => self.handshake(&mut state, address, stream),
                    Ok((address, Err(error))) => self.take(&mut state, address, Err(error)).await,
                    Err(_) => {}
                },
                () = wake => state.look_at = Instant::now() + Duration::from_millis(LOOK_MS),
            }
            self.call_due(&mut state);
            self.finish_first_round(&mut state).await;
        }
    }

    fn handle_mode_event(&self, state: &mut CallerState, event: ModeEvent) {
        match event {
            ModeEvent::Snapshot { mode, snapshot } => {
                if snapshot.doubt.is_none() {
                    state.awaited.remove(&mode);
                }
                if let Some(number) = self.modes.iter().position(|name| *name == mode) {
                    state.candidates.merge(Instant::now(), 1 << number, &snapshot);
                    self.counters.candidates.store(state.candidates.len(), Ordering::Relaxed);
                    state.on_link = match state.candidates.are_many() {
                        true => OnLink::now(),
                        false => OnLink::default(),
                    };
                }
            }
            // The mode has logged what an operator must fix. A mode without a completed lookup is
            // still awaited: members found by other modes may be joined, but no cluster is founded.
            ModeEvent::Stopped { .. } => {}
        }
    }

    fn call_due(&mut self, state: &mut CallerState) {
        let now = Instant::now();
        if state.candidates.next_due().is_none_or(|at| at > now) {
            return;
        }
        if self.member_state.has_changed().unwrap_or(false) {
            let member_state = self.member_state.borrow_and_update();
            let members = member_state.view.iter().flat_map(|view| view.members());
            state.members = members.flat_map(|m| m.addresses.iter().copied()).collect();
            // Another member may have the same address.
            for address in
                member_state.view.iter().flat_map(|view| view.shared_addresses().into_keys())
            {
                state.members.remove(&address);
            }
        }
        while state.has_room() && state.rate_limiter.allows(now) {
            let Some(due) = state.candidates.poll_due(now, &state.members) else { break };
            let address = due.address;
            if !due.was_deferred && state.on_link.contains(address.ip()) {
                let slot = state.on_link_slots.reserve(now, address.ip());
                if slot > now {
                    state.candidates.defer(address, slot);
                    continue;
                }
            }
            increment(&self.counters.probes);
            if !address.ip().is_loopback() {
                state.rate_limiter.take();
            }
            state.dials.spawn(async move { (address, calls::dial(address).await) });
        }
    }

    fn handshake(&self, state: &mut CallerState, address: SocketAddr, stream: TcpStream) {
        let keys = Arc::clone(&self.keys);
        let hello = Arc::clone(&self.member_state.borrow().hello);
        state
            .handshakes
            .spawn(async move { (address, calls::handshake(stream, &keys, &hello).await) });
    }

    async fn take(
        &self,
        state: &mut CallerState,
        address: SocketAddr,
        result: Result<Call, CallError>,
    ) {
        let me = self.member_state.borrow().me.id;
        let result_kind = match &result {
            Ok(call) if call.hello.member.id == me => CallResult::Own,
            Ok(_) => CallResult::Member,
            Err(error) if error.rules_out_member() => CallResult::NoMember,
            Err(error) if error.was_closed_by_peer() => CallResult::CutOff,
            Err(_) => CallResult::Undecided,
        };
        let jitter = rand::random_range(0.8..1.2);
        let then = state.candidates.take(Instant::now(), address, result_kind, jitter);
        if !state.first_round_done && !matches!(then, NextStep::Again { .. }) {
            state.first_round += 1;
        }
        match result {
            Ok(call) => {
                if result_kind == CallResult::Member
                    && call.hello.standing != MemberStatus::Observer
                {
                    let _ = self
                        .driver
                        .send(Input::Connected { call: Box::new(call), called: true })
                        .await;
                }
            }
            Err(error) => self.log_failure(state, address, &error, then),
        }
    }

    /// Logs one line for each address that answers and is not a member of this cluster.
    fn log_failure(
        &self,
        state: &mut CallerState,
        address: SocketAddr,
        error: &CallError,
        then: NextStep,
    ) {
        debug!(%address, %error, ?then, "a candidate is not a member of this cluster");
        if then == NextStep::GivenUp {
            let first = (address, error.to_string(), 0);
            state.given_up.get_or_insert(first).2 += 1;
            return;
        }
        let kind = match (error, then) {
            // A single failure is not logged: a member may be stopping, or briefly busy.
            (_, NextStep::Again { tries: 1 }) => return,
            (_, NextStep::Again { .. }) => "undecided",
            (CallError::Handshake(HandshakeError::Credentials), _) => "credentials",
            (CallError::Handshake(HandshakeError::NotAMember { .. }), _) => "program",
            (
                CallError::Handshake(HandshakeError::Version { .. }) | CallError::MalformedHello,
                _,
            ) => "version",
            (CallError::Handshake(HandshakeError::TimedOut { .. }), _) => "undecided",
            _ => return,
        };
        if state.logged.len() >= LOGGED_MAX || !state.logged.insert((address, kind)) {
            return;
        }
        let ms_max = if error.was_closed_by_peer() { CUT_OFF_MS_MAX } else { UNDECIDED_MS_MAX };
        match kind {
            "undecided" if !state.first_round_done => warn!(
                %address,
                "{error}; it may be a member: retrying, and not founding a cluster for up to {} s",
                ms_max / 1_000
            ),
            "undecided" | "program" => {
                info!(%address, "not a member of this cluster: {error}");
            }
            _ => warn!(%address, "cannot join this member: {error}"),
        }
    }

    async fn finish_first_round(&self, state: &mut CallerState) {
        if state.first_round_done || !state.awaited.is_empty() || state.candidates.unanswered() > 0
        {
            return;
        }
        state.first_round_done = true;
        if let Some((address, reason, count)) = state.given_up.take() {
            warn!(
                %address, count, %reason,
                "this address accepts connections but never completes the handshake; ignoring it as not a member"
            );
        }
        let elapsed_ms = state.started.elapsed().as_millis();
        info!(count = state.first_round, elapsed_ms, "called all candidates");
        let _ = self.driver.send(Input::FirstRoundDone).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_are_bounded_by_a_share_of_the_descriptors_and_by_a_constant() {
        assert_eq!(dials_max(1_024), 256);
        assert_eq!(dials_max(65_536), DIALS_MAX);
        assert_eq!(dials_max(u64::MAX), DIALS_MAX);
        assert_eq!(dials_max(0), 1);
    }
}
