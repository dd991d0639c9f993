//! The right to answer for partitions: held for a while, renewed by the others.
//!
//! A member that stood still, was suspended or was cut off may have been replaced without
//! noticing. So no member answers by default: it holds a lease of [`LEASE_MS`], counted from
//! the moment at which it *asked* for it, on a clock that counts the time in which the
//! machine was suspended. Members are removed no sooner than that after they were heard of
//! last, unless their process is known to be gone.
//!
//! The coordinator's answer renews it, or those of so many members that they and this one
//! are more than half. Once it has lapsed, the coordinator's answer does, or that of every
//! member of the view; after [`LAPSED_MS_MAX`] more than half are enough: by then the
//! failure detector has decided who belongs to whom. A member that is alone needs nobody.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::Mutex;

/// How long a lease lasts from when it was asked for, in milliseconds.
pub(crate) const LEASE_MS: u64 = 1_000;
/// How often it is renewed, in milliseconds.
const RENEW_MS: u64 = 250;
/// How often one that has lapsed is asked for, in milliseconds.
const RENEW_LAPSED_MS: u64 = 50;
/// How long a member whose lease has lapsed waits for all others, in milliseconds.
const LAPSED_MS_MAX: u64 = 3_000;
/// Requests that may be on their way.
const ASKED_MAX: usize = 32;

/// One request for renewal.
struct RenewalRequest {
    nonce: u64,
    at: Duration,
    granted: BTreeSet<MemberId>,
}

#[derive(Default)]
struct State {
    asked: VecDeque<RenewalRequest>,
    next_at: Duration,
    /// Since when it has not been held.
    lapsed_since: Option<Duration>,
    /// Nothing renews it before [`Lease::resume`].
    is_suspended: bool,
}

/// Who is asked, and what their answers are worth.
pub(crate) struct Voters {
    /// The other members of the view.
    pub(crate) others: BTreeSet<MemberId>,
    /// The coordinator, if that is another member.
    pub(crate) coordinator: Option<MemberId>,
}

/// What is due.
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// To ask for renewal under this nonce: the coordinator alone, or everybody.
    Ask {
        /// Names the request.
        nonce: u64,
        /// Whether everybody is to be asked.
        everybody: bool,
    },
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Lease {
    until_us: AtomicU64,
    state: Mutex<State>,
}

impl Lease {
    /// Whether this member may answer.
    pub(crate) fn is_held(&self, now: Duration) -> bool {
        now.as_micros() < u128::from(self.until_us.load(Ordering::Acquire))
    }

    /// This member is to answer for nothing until the lease is renewed.
    pub(crate) fn void(&self) {
        let mut state = self.state.lock();
        state.asked.clear();
        state.next_at = Duration::ZERO;
        self.until_us.store(0, Ordering::Release);
    }

    /// Voids it, and nothing renews it before [`Lease::resume`].
    pub(crate) fn suspend(&self) {
        self.state.lock().is_suspended = true;
        self.void();
    }

    /// From now on it may be renewed.
    pub(crate) fn resume(&self) {
        self.state.lock().is_suspended = false;
    }

    /// This member is alone: nobody could replace it.
    pub(crate) fn hold_alone(&self, now: Duration) {
        let mut state = self.state.lock();
        state.asked.clear();
        state.lapsed_since = None;
        self.extend(&state, now);
    }

    /// What is due. `now` may be long after the last call.
    pub(crate) fn poll(&self, now: Duration, voters: &Voters, nonce: u64) -> Due {
        if voters.others.is_empty() {
            self.hold_alone(now);
            return Due::Nothing;
        }
        let mut state = self.state.lock();
        if self.is_held(now) {
            state.lapsed_since = None;
        } else {
            state.lapsed_since.get_or_insert(now);
        }
        if now < state.next_at {
            return Due::Nothing;
        }
        let lapsed = state.lapsed_since.is_some();
        let every_ms = if lapsed { RENEW_LAPSED_MS } else { RENEW_MS };
        state.next_at = now + Duration::from_millis(every_ms);
        // The coordinator left the last request unanswered: others may renew it as well.
        let is_open = state.asked.back().is_some_and(|asked| asked.granted.is_empty());
        if state.asked.len() >= ASKED_MAX {
            state.asked.pop_front();
        }
        state.asked.push_back(RenewalRequest { nonce, at: now, granted: BTreeSet::new() });
        Due::Ask { nonce, everybody: voters.coordinator.is_none() || is_open || lapsed }
    }

    /// A member answered. Returns whether this member may answer from now on and could
    /// not before.
    pub(crate) fn handle_renewed(
        &self,
        now: Duration,
        voters: &Voters,
        from: MemberId,
        nonce: u64,
        yes: bool,
    ) -> bool {
        let was_held = self.is_held(now);
        let mut state = self.state.lock();
        let lapsed_since = state.lapsed_since;
        let Some(place) = state.asked.iter().position(|asked| asked.nonce == nonce) else {
            return false;
        };
        if !yes {
            // The others went on without this member, or are about to.
            self.until_us.store(0, Ordering::Release);
            state.lapsed_since.get_or_insert(now);
            state.asked.clear();
            return false;
        }
        if !voters.others.contains(&from) {
            return false;
        }
        let asked = &mut state.asked[place];
        asked.granted.insert(from);
        let granted = asked.granted.intersection(&voters.others).count();
        let most = (granted + 1) * 2 > voters.others.len() + 1;
        let enough = match lapsed_since {
            None => most,
            Some(since) => {
                let waited = now >= since + Duration::from_millis(LAPSED_MS_MAX);
                granted == voters.others.len() || (waited && most)
            }
        };
        if voters.coordinator == Some(from) || enough {
            let at = asked.at;
            state.asked.drain(..place);
            self.extend(&state, at);
        }
        if self.is_held(now) {
            state.lapsed_since = None;
        }
        !was_held && self.is_held(now)
    }

    fn extend(&self, state: &State, asked_at: Duration) {
        if state.is_suspended {
            return;
        }
        let until = asked_at + Duration::from_millis(LEASE_MS);
        let until_us = u64::try_from(until.as_micros()).unwrap_or(u64::MAX);
        self.until_us.fetch_max(until_us, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn id(n: u8) -> MemberId {
        MemberId::from_bytes([n; 16])
    }

    fn voters(others: &[u8], coordinator: Option<u8>) -> Voters {
        Voters { others: others.iter().map(|n| id(*n)).collect(), coordinator: coordinator.map(id) }
    }

    fn ask(lease: &Lease, at: u64, voters: &Voters) -> bool {
        match lease.poll(ms(at), voters, at) {
            Due::Ask { everybody, .. } => everybody,
            Due::Nothing => panic!("nothing is due at {at}"),
        }
    }

    #[test]
    fn nobody_answers_by_default_and_one_alone_needs_nobody() {
        let lease = Lease::default();
        assert!(!lease.is_held(ms(0)));
        lease.poll(ms(5), &voters(&[], None), 1);
        assert!(lease.is_held(ms(5)) && !lease.is_held(ms(5 + LEASE_MS)));
    }

    #[test]
    fn the_coordinator_renews_from_when_it_was_asked() {
        let (lease, voters) = (Lease::default(), voters(&[1, 3, 4], Some(1)));
        ask(&lease, 10, &voters);
        assert!(lease.handle_renewed(ms(400), &voters, id(1), 10, true));
        assert!(lease.is_held(ms(9 + LEASE_MS)) && !lease.is_held(ms(10 + LEASE_MS)));
        assert!(!lease.handle_renewed(ms(401), &voters, id(1), 99, true), "nobody asked for that");
    }

    #[test]
    fn while_it_is_held_more_than_half_renew_it_without_the_coordinator() {
        let (lease, voters) = (Lease::default(), voters(&[1, 3, 4, 5], Some(1)));
        ask(&lease, 0, &voters);
        lease.handle_renewed(ms(1), &voters, id(1), 0, true);
        assert!(!ask(&lease, 300, &voters), "the coordinator answers");
        assert!(ask(&lease, 600, &voters), "it did not");
        lease.handle_renewed(ms(601), &voters, id(3), 600, true);
        assert!(!lease.is_held(ms(1_100)));
        lease.handle_renewed(ms(602), &voters, id(4), 600, true);
        assert!(lease.is_held(ms(1_100)));
    }

    #[test]
    fn once_it_has_lapsed_all_must_agree_or_time_must_pass() {
        let (lease, voters) = (Lease::default(), voters(&[3, 4], None));
        assert!(ask(&lease, 0, &voters));
        lease.handle_renewed(ms(1), &voters, id(3), 0, true);
        assert!(!lease.is_held(ms(1)), "one of two");
        assert!(lease.handle_renewed(ms(2), &voters, id(4), 0, true));
        // It stands still for long; then one says no, and the other nothing.
        ask(&lease, 9_000, &voters);
        lease.handle_renewed(ms(9_001), &voters, id(3), 9_000, true);
        assert!(!lease.is_held(ms(9_001)));
        ask(&lease, 9_000 + LAPSED_MS_MAX, &voters);
        let late = 9_000 + LAPSED_MS_MAX;
        lease.handle_renewed(ms(late + 1), &voters, id(3), late, true);
        assert!(lease.is_held(ms(late + 1)));
    }

    #[test]
    fn a_no_ends_it_at_once() {
        let (lease, voters) = (Lease::default(), voters(&[1, 3], Some(1)));
        ask(&lease, 0, &voters);
        lease.handle_renewed(ms(1), &voters, id(1), 0, true);
        ask(&lease, 300, &voters);
        lease.handle_renewed(ms(301), &voters, id(3), 300, false);
        assert!(!lease.is_held(ms(302)));
        // The answers to what was asked before count no more.
        lease.handle_renewed(ms(303), &voters, id(1), 300, true);
        assert!(!lease.is_held(ms(303)));
    }
}
