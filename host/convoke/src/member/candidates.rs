//! The candidates that modes report: the schedule of calls, and the candidates that are undecided.
//!
//! A candidate is unverified. It is called when it is first reported, and again after a growing
//! wait while it is not in the view; it is forgotten when no mode reports it any more.
//!
//! A member that starts waits for the candidates of its first round. A result that rules out a
//! member decides a candidate: a refused connection, another program, other credentials, a host
//! that does not answer. A candidate that accepted the connection and did not complete the
//! handshake may be a member that is busy, paused or about to stop. It stays undecided, is called
//! again soon, and keeps this member from founding a cluster for at most [`UNDECIDED_MS_MAX`], or
//! [`CUT_OFF_MS_MAX`] if it only closes connections.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use convoke_discovery::Snapshot;
use tokio::time::Instant;

use crate::interfaces::zone;

/// Maximum number of candidates of all modes together.
const CANDIDATES_MAX: usize = 4 * 65_536;
/// First wait before a candidate is called again.
const WAIT_MIN: Duration = Duration::from_millis(1_000);
/// Longest wait while there are few candidates.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// First wait while there are many candidates: then most are unused addresses of a range.
const WAIT_MIN_OF_MANY: Duration = Duration::from_secs(15);
const WAIT_MAX_OF_MANY: Duration = Duration::from_secs(120);
/// More candidates than this count as many.
const MANY: usize = 256;
/// Time for which undecided candidates keep a member from founding a cluster, in milliseconds, from
/// the first undecided call. Long enough for a member that was paused, or whose handshake slots
/// were all in use; a program that accepts connections and never responds must not block forever.
pub(super) const UNDECIDED_MS_MAX: u64 = 15_000;
/// The same for a candidate that closes each connection, in milliseconds, from the first time that
/// it does. A proxy without a backend does so permanently, a member only briefly.
pub(super) const CUT_OFF_MS_MAX: u64 = 3_000;
/// First wait before an undecided candidate is called again, in milliseconds; doubled each time.
const AGAIN_MS_MIN: u64 = 100;
/// Longest such wait, in milliseconds.
const AGAIN_MS_MAX: u64 = 1_000;

/// The result of a call to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallResult {
    /// A member with this cluster's name and password answered.
    Member,
    /// This member itself answered.
    Own,
    /// There is certainly no member of this cluster.
    NoMember,
    /// A process that may be a member.
    Undecided,
    /// Like `Undecided`; the process closed the connection.
    CutOff,
}

/// The next step for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// The candidate is decided.
    Answered,
    /// It is called again soon; this member does not found a cluster before that.
    Again {
        /// Consecutive undecided calls, from 1.
        tries: u32,
    },
    /// It was undecided for too long and is ignored from now on.
    GivenUp,
}

/// A candidate to call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) address: SocketAddr,
    /// Whether this call was postponed by [`Candidates::defer`].
    pub(super) was_deferred: bool,
}

struct Candidate {
    /// The modes that report it, as a bit set.
    modes: u32,
    /// Fingerprint of the attributes, which changes if another process uses the address.
    attributes: u64,
    next_at: Instant,
    wait: Duration,
    /// Consecutive undecided calls.
    undecided: u32,
    /// When it first closed a connection during the handshake.
    cut_off_since: Option<Instant>,
    calling: bool,
    answered: bool,
    /// Whether the next call is scheduled by [`Candidates::defer`].
    deferred: bool,
    /// Whether it is this member's own address.
    own: bool,
}

/// All candidates.
#[derive(Default)]
pub(super) struct Candidates {
    known: HashMap<SocketAddr, Candidate>,
    /// When to call each candidate. An entry that differs from the candidate's own `next_at` is
    /// stale.
    due: BinaryHeap<Reverse<(Instant, SocketAddr)>>,
    /// Candidates that are not decided yet.
    unanswered: usize,
    /// When the first call ended undecided.
    undecided_since: Option<Instant>,
}

impl Candidates {
    /// Number of candidates.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are more than [`MANY`]: then most are unused addresses.
    pub(super) fn are_many(&self) -> bool {
        self.known.len() > MANY
    }

    /// Number of candidates that are not decided yet.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Applies a lookup of a mode, which is one bit of `mode`.
    pub(super) fn merge(&mut self, now: Instant, mode: u32, snapshot: &Snapshot) {
        let mut seen = HashSet::with_capacity(snapshot.candidates.len());
        for found in &snapshot.candidates {
            let address = zone::without(found.address);
            seen.insert(address);
            let attributes = fingerprint(&found.attributes);
            let room = self.known.len() < CANDIDATES_MAX;
            match self.known.get_mut(&address) {
                Some(known) if known.attributes == attributes || found.attributes.is_empty() => {
                    known.modes |= mode;
                }
                Some(known) => {
                    // Another process than in the last lookup: call it at once.
                    known.attributes = attributes;
                    known.modes |= mode;
                    known.next_at = now;
                    known.wait = WAIT_MIN;
                    known.undecided = 0;
                    known.cut_off_since = None;
                    known.deferred = false;
                    known.own = false;
                    self.due.push(Reverse((now, address)));
                }
                None if room => {
                    self.unanswered += 1;
                    self.due.push(Reverse((now, address)));
                    self.known.insert(
                        address,
                        Candidate {
                            modes: mode,
                            attributes,
                            next_at: now,
                            wait: WAIT_MIN,
                            undecided: 0,
                            cut_off_since: None,
                            calling: false,
                            answered: false,
                            deferred: false,
                            own: false,
                        },
                    );
                }
                None => {}
            }
        }
        let unanswered = &mut self.unanswered;
        self.known.retain(|address, candidate| {
            if !seen.contains(address) {
                candidate.modes &= !mode;
            }
            let kept = candidate.modes != 0 || candidate.calling;
            *unanswered -= usize::from(!kept && !candidate.answered);
            kept
        });
    }

    /// When the next candidate is due; earlier, if the entry is stale.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The next candidate to call now. It counts as being called until [`Self::take`] or
    /// [`Self::defer`]. Candidates in `members` are in the view: they are not called, and count as
    /// decided.
    pub(super) fn poll_due(&mut self, now: Instant, members: &HashSet<SocketAddr>) -> Option<Due> {
        while let Some(Reverse((at, address))) = self.due.peek().copied() {
            if at > now {
                return None;
            }
            self.due.pop();
            let Some(candidate) = self.known.get_mut(&address) else { continue };
            if candidate.calling || candidate.own || candidate.next_at != at {
                continue;
            }
            if !members.contains(&address) {
                candidate.calling = true;
                let was_deferred = std::mem::take(&mut candidate.deferred);
                return Some(Due { address, was_deferred });
            }
            candidate.next_at = now + WAIT_MIN;
            self.due.push(Reverse((candidate.next_at, address)));
            self.unanswered -= usize::from(!candidate.answered);
            candidate.answered = true;
        }
        None
    }

    /// Postpones the call of a due candidate to this time.
    pub(super) fn defer(&mut self, address: SocketAddr, at: Instant) {
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.calling = false;
            candidate.deferred = true;
            candidate.next_at = at;
            self.due.push(Reverse((at, address)));
        }
    }

    /// Records the end of a call. `jitter`, about 1, spreads the next calls of many candidates.
    pub(super) fn take(
        &mut self,
        now: Instant,
        address: SocketAddr,
        result_kind: CallResult,
        jitter: f64,
    ) -> NextStep {
        let many = self.are_many();
        let Some(candidate) = self.known.get_mut(&address) else { return NextStep::Answered };
        candidate.calling = false;
        if candidate.modes == 0 {
            // No mode reports it any more.
            self.unanswered -= usize::from(!candidate.answered);
            self.known.remove(&address);
            return NextStep::Answered;
        }
        let mut then = NextStep::Answered;
        let is_undecided = matches!(result_kind, CallResult::Undecided | CallResult::CutOff);
        if is_undecided && !candidate.answered {
            let since = *self.undecided_since.get_or_insert(now);
            let mut until = since + Duration::from_millis(UNDECIDED_MS_MAX);
            if result_kind == CallResult::CutOff {
                let since = *candidate.cut_off_since.get_or_insert(now);
                until = until.min(since + Duration::from_millis(CUT_OFF_MS_MAX));
            }
            if now < until {
                let doublings = candidate.undecided.min(u64::BITS - 1);
                let wait_ms = AGAIN_MS_MIN.saturating_mul(1 << doublings).min(AGAIN_MS_MAX);
                candidate.undecided += 1;
                candidate.next_at = now + Duration::from_millis(wait_ms).mul_f64(jitter);
                self.due.push(Reverse((candidate.next_at, address)));
                return NextStep::Again { tries: candidate.undecided };
            }
            then = NextStep::GivenUp;
        }
        self.unanswered -= usize::from(!candidate.answered);
        candidate.answered = true;
        candidate.undecided = 0;
        let (min, max) =
            if many { (WAIT_MIN_OF_MANY, WAIT_MAX_OF_MANY) } else { (WAIT_MIN, WAIT_MAX) };
        let wait = candidate.wait.max(min);
        candidate.next_at = now + wait.mul_f64(jitter);
        // It may be a member that is about to join: call it again soon, until it is in the view.
        let is_member = matches!(result_kind, CallResult::Member | CallResult::Own);
        candidate.wait = if is_member { WAIT_MIN } else { (wait * 2).min(max) };
        candidate.own = result_kind == CallResult::Own;
        self.due.push(Reverse((candidate.next_at, address)));
        then
    }
}

fn fingerprint(attributes: &[(String, String)]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    attributes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_discovery::Candidate as Found;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// Candidates that mode 1 found at these ports.
    fn found(now: Instant, ports: &[u16]) -> Candidates {
        let mut candidates = Candidates::default();
        candidates.merge(now, 1, &snapshot(ports));
        candidates
    }

    fn snapshot(ports: &[u16]) -> Snapshot {
        let candidates =
            ports.iter().map(|port| Found { address: address(*port), attributes: vec![] });
        Snapshot { candidates: candidates.collect(), ..Snapshot::default() }
    }

    fn poll(candidates: &mut Candidates, now: Instant) -> Option<SocketAddr> {
        candidates.poll_due(now, &HashSet::new()).map(|due| due.address)
    }

    #[test]
    fn a_candidate_that_is_certainly_no_member_is_decided() {
        let now = Instant::now();
        let mut candidates = found(now, &[1]);
        assert_eq!((poll(&mut candidates, now), candidates.unanswered()), (Some(address(1)), 1));
        let then = candidates.take(now, address(1), CallResult::NoMember, 1.0);
        assert_eq!((then, candidates.unanswered()), (NextStep::Answered, 0));
        assert_eq!(candidates.next_due(), Some(now + WAIT_MIN));
    }

    #[test]
    fn an_undecided_candidate_stays_unanswered_and_is_called_again_soon() {
        let mut now = Instant::now();
        let mut candidates = found(now, &[1]);
        let mut waits = Vec::new();
        for tries in 1..=6 {
            assert_eq!(poll(&mut candidates, now), Some(address(1)));
            let then = candidates.take(now, address(1), CallResult::Undecided, 1.0);
            assert_eq!((then, candidates.unanswered()), (NextStep::Again { tries }, 1));
            let next = candidates.next_due().unwrap();
            waits.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(poll(&mut candidates, now), Some(address(1)));
        assert_eq!(candidates.take(now, address(1), CallResult::Member, 1.0), NextStep::Answered);
        assert_eq!(candidates.unanswered(), 0);
    }

    #[test]
    fn candidates_that_stay_undecided_are_given_up_together() {
        let now = Instant::now();
        let mut candidates = found(now, &[1, 2]);
        while poll(&mut candidates, now).is_some() {}
        candidates.take(now, address(1), CallResult::Undecided, 1.0);
        // A later call to the second candidate does not restart the period.
        let late = now + Duration::from_millis(UNDECIDED_MS_MAX);
        let then = candidates.take(late, address(2), CallResult::Undecided, 1.0);
        assert_eq!((then, candidates.unanswered()), (NextStep::GivenUp, 1));
        assert_eq!(poll(&mut candidates, late), Some(address(1)));
        let then = candidates.take(late, address(1), CallResult::Undecided, 1.0);
        assert_eq!((then, candidates.unanswered()), (NextStep::GivenUp, 0));
    }

    #[test]
    fn a_candidate_that_only_closes_connections_is_given_up_earlier() {
        let now = Instant::now();
        let mut candidates = found(now, &[1, 2]);
        while poll(&mut candidates, now).is_some() {}
        candidates.take(now, address(2), CallResult::Undecided, 1.0);
        // Its period begins when it first closes a connection.
        let first = now + Duration::from_millis(CUT_OFF_MS_MAX);
        let then = candidates.take(first, address(1), CallResult::CutOff, 1.0);
        assert_eq!(then, NextStep::Again { tries: 1 });
        let late = first + Duration::from_millis(CUT_OFF_MS_MAX);
        assert!(poll(&mut candidates, late).is_some() && poll(&mut candidates, late).is_some());
        let then = candidates.take(late, address(1), CallResult::CutOff, 1.0);
        assert_eq!((then, candidates.unanswered()), (NextStep::GivenUp, 1));
        let then = candidates.take(late, address(2), CallResult::Undecided, 1.0);
        assert_eq!(then, NextStep::Again { tries: 2 });
    }

    #[test]
    fn a_candidate_that_was_decided_once_does_not_delay_founding() {
        let now = Instant::now();
        let mut candidates = found(now, &[1]);
        assert!(poll(&mut candidates, now).is_some());
        candidates.take(now, address(1), CallResult::NoMember, 1.0);
        let later = now + WAIT_MIN;
        assert!(poll(&mut candidates, later).is_some());
        let then = candidates.take(later, address(1), CallResult::Undecided, 1.0);
        assert_eq!((then, candidates.unanswered()), (NextStep::Answered, 0));
    }

    #[test]
    fn an_undecided_candidate_that_no_mode_reports_any_more_does_not_delay_founding() {
        let now = Instant::now();
        let mut candidates = found(now, &[1, 2]);
        assert_eq!(poll(&mut candidates, now), Some(address(1)));
        candidates.merge(now, 1, &snapshot(&[]));
        assert_eq!((candidates.len(), candidates.unanswered()), (1, 1), "one is being called");
        candidates.take(now, address(1), CallResult::Undecided, 1.0);
        assert_eq!((candidates.len(), candidates.unanswered()), (0, 0));
    }

    #[test]
    fn members_of_the_view_are_not_called_and_count_as_decided() {
        let now = Instant::now();
        let mut candidates = found(now, &[1]);
        assert_eq!(candidates.poll_due(now, &[address(1)].into()), None);
        assert_eq!(candidates.unanswered(), 0);
    }

    #[test]
    fn a_candidate_that_was_deferred_is_called_at_its_time() {
        let now = Instant::now();
        let mut candidates = found(now, &[1, 2]);
        let first = candidates.poll_due(now, &HashSet::new()).unwrap();
        assert!(!first.was_deferred);
        let later = now + Duration::from_secs(3);
        candidates.defer(first.address, later);
        assert_ne!(poll(&mut candidates, now), Some(first.address));
        assert_eq!((poll(&mut candidates, now), candidates.unanswered()), (None, 2));
        let due = candidates.poll_due(later, &HashSet::new()).unwrap();
        assert_eq!(due, Due { address: first.address, was_deferred: true });
        // The next call is scheduled as usual.
        candidates.take(later, first.address, CallResult::NoMember, 1.0);
        let due = candidates.poll_due(later + WAIT_MIN, &HashSet::new()).unwrap();
        assert!(!due.was_deferred);
    }

    #[test]
    fn this_members_own_address_is_called_once() {
        let now = Instant::now();
        let mut candidates = found(now, &[1]);
        assert!(poll(&mut candidates, now).is_some());
        candidates.take(now, address(1), CallResult::Own, 1.0);
        assert_eq!(poll(&mut candidates, now + WAIT_MAX_OF_MANY), None);
    }
}
