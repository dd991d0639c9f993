//! The lease: the right to serve partitions for a limited time, which the other members renew.
//!
//! A member that was paused, suspended or partitioned may have been replaced without noticing.
//! Therefore a member serves only while it holds a lease of [`LEASE_MS`]. It is measured from the
//! time of the *request*, on a clock that includes the time in which the machine was suspended.
//! Members are removed no sooner than that after they were last heard from, unless their process is
//! known to be dead.
//!
//! The lease is renewed by the coordinator's answer, or by the answers of members that form a
//! majority together with this one. A lapsed lease is renewed by the coordinator's answer, or the
//! answers of all other members of the view; after [`LAPSED_MS_MAX`] a majority suffices, since by
//! then the failure detector has determined the members that remain. A member that is alone needs
//! no answers.
//!
//! With `min_members`, a member also needs answers of one member fewer than that to write, and to acknowledge
//! what it has written. A member answers only if it follows the same table, or one that continues
//! it. So a member that has removed others, and that they have removed, changes nothing, although
//! its view may still have enough members that it does not reach.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::Mutex;

/// Duration of a lease from the time of the request, in milliseconds.
pub(crate) const LEASE_MS: u64 = 1_000;
/// Interval of renewal, in milliseconds.
const RENEW_MS: u64 = 250;
/// Interval of renewal of a lapsed lease, in milliseconds.
const RENEW_LAPSED_MS: u64 = 50;
/// Time that a member with a lapsed lease waits for all other members, in milliseconds; then a
/// majority suffices.
const LAPSED_MS_MAX: u64 = 3_000;
/// Maximum number of requests without a final answer.
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
    /// When the lease lapsed; `None` while it is held.
    lapsed_since: Option<Duration>,
    /// Whether it cannot be renewed before [`Lease::resume`].
    is_suspended: bool,
}

/// The members that can renew the lease.
pub(crate) struct Voters {
    /// The other members of the view.
    pub(crate) others: BTreeSet<MemberId>,
    /// How many of them have to answer before this member may write.
    pub(crate) writers_min: usize,
    /// The coordinator, if that is another member.
    pub(crate) coordinator: Option<MemberId>,
}

/// The next action.
pub(crate) enum Due {
    /// No action.
    Nothing,
    /// Ask for renewal with this nonce: the coordinator only, or all members.
    Ask {
        /// Identifies the request.
        nonce: u64,
        /// Whether to ask all members.
        all: bool,
    },
}

/// The lease of this member; see the [module](self).
#[derive(Default)]
pub(crate) struct Lease {
    until_us: AtomicU64,
    /// Until when enough members have answered for writes.
    writes_until_us: AtomicU64,
    state: Mutex<State>,
}

impl Lease {
    /// Whether this member may serve.
    pub(crate) fn is_held(&self, now: Duration) -> bool {
        now.as_micros() < u128::from(self.until_us.load(Ordering::Acquire))
    }

    /// Whether this member may serve writes.
    pub(crate) fn permits_writes(&self, now: Duration) -> bool {
        let until_us = self.writes_until_us.load(Ordering::Acquire);
        self.is_held(now) && now.as_micros() < u128::from(until_us)
    }

    /// Ends the lease: this member must not serve until it is renewed.
    pub(crate) fn void(&self) {
        let mut state = self.state.lock();
        state.asked.clear();
        state.next_at = Duration::ZERO;
        self.end();
    }

    fn end(&self) {
        self.until_us.store(0, Ordering::Release);
        self.writes_until_us.store(0, Ordering::Release);
    }

    /// Ends the lease, and prevents renewal before [`Lease::resume`].
    pub(crate) fn suspend(&self) {
        self.state.lock().is_suspended = true;
        self.void();
    }

    /// Allows renewal again.
    pub(crate) fn resume(&self) {
        self.state.lock().is_suspended = false;
    }

    /// Extends the lease of a member that is alone and so cannot be replaced.
    fn hold_alone(&self, now: Duration, writers_min: usize) {
        let mut state = self.state.lock();
        state.asked.clear();
        state.lapsed_since = None;
        extend(&state, &self.until_us, now);
        if writers_min == 0 {
            extend(&state, &self.writes_until_us, now);
        }
    }

    /// The next action. `now` may be long after the last call.
    pub(crate) fn poll(&self, now: Duration, voters: &Voters, nonce: u64) -> Due {
        if voters.others.is_empty() {
            self.hold_alone(now, voters.writers_min);
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
        // The coordinator did not answer the last request, so other members are asked as well.
        let is_open = state.asked.back().is_some_and(|asked| asked.granted.is_empty());
        if state.asked.len() >= ASKED_MAX {
            state.asked.pop_front();
        }
        state.asked.push_back(RenewalRequest { nonce, at: now, granted: BTreeSet::new() });
        let all = voters.coordinator.is_none() || voters.writers_min > 0;
        Due::Ask { nonce, all: all || is_open || lapsed }
    }

    /// Handles an answer. Returns whether this member may serve from now on and could not before.
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
            // The other members have replaced this member, or are about to.
            self.end();
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
        let at = asked.at;
        if granted >= voters.writers_min {
            extend(&state, &self.writes_until_us, at);
        }
        if voters.coordinator == Some(from) || enough {
            state.asked.drain(..place);
            extend(&state, &self.until_us, at);
        }
        if self.is_held(now) {
            state.lapsed_since = None;
        }
        !was_held && self.is_held(now)
    }
}

/// Extends a right that was asked for at this time.
fn extend(state: &State, until_us: &AtomicU64, asked_at: Duration) {
    if state.is_suspended {
        return;
    }
    let until = asked_at + Duration::from_millis(LEASE_MS);
    let us = u64::try_from(until.as_micros()).unwrap_or(u64::MAX);
    until_us.fetch_max(us, Ordering::AcqRel);
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
        let others = others.iter().map(|n| id(*n)).collect();
        Voters { others, writers_min: 0, coordinator: coordinator.map(id) }
    }

    fn ask(lease: &Lease, at: u64, voters: &Voters) -> bool {
        match lease.poll(ms(at), voters, at) {
            Due::Ask { all, .. } => all,
            Due::Nothing => panic!("nothing is due at {at}"),
        }
    }

    #[test]
    fn a_member_does_not_serve_by_default_unless_it_is_alone() {
        let lease = Lease::default();
        assert!(!lease.is_held(ms(0)));
        lease.poll(ms(5), &voters(&[], None), 1);
        assert!(lease.is_held(ms(5)) && !lease.is_held(ms(5 + LEASE_MS)));
    }

    #[test]
    fn a_renewal_counts_from_the_request() {
        let (lease, voters) = (Lease::default(), voters(&[1, 3, 4], Some(1)));
        ask(&lease, 10, &voters);
        assert!(lease.handle_renewed(ms(400), &voters, id(1), 10, true));
        assert!(lease.is_held(ms(9 + LEASE_MS)) && !lease.is_held(ms(10 + LEASE_MS)));
        assert!(
            !lease.handle_renewed(ms(401), &voters, id(1), 99, true),
            "there was no such request"
        );
    }

    #[test]
    fn a_majority_renews_a_held_lease_without_the_coordinator() {
        let (lease, voters) = (Lease::default(), voters(&[1, 3, 4, 5], Some(1)));
        ask(&lease, 0, &voters);
        lease.handle_renewed(ms(1), &voters, id(1), 0, true);
        assert!(!ask(&lease, 300, &voters), "the coordinator answered");
        assert!(ask(&lease, 600, &voters), "the coordinator did not answer");
        lease.handle_renewed(ms(601), &voters, id(3), 600, true);
        assert!(!lease.is_held(ms(1_100)));
        lease.handle_renewed(ms(602), &voters, id(4), 600, true);
        assert!(lease.is_held(ms(1_100)));
    }

    #[test]
    fn a_lapsed_lease_needs_all_members_or_some_time() {
        let (lease, voters) = (Lease::default(), voters(&[3, 4], None));
        assert!(ask(&lease, 0, &voters));
        lease.handle_renewed(ms(1), &voters, id(3), 0, true);
        assert!(!lease.is_held(ms(1)), "one of two");
        assert!(lease.handle_renewed(ms(2), &voters, id(4), 0, true));
        // It is paused for a long time. Then one member agrees, and the other does not answer.
        ask(&lease, 9_000, &voters);
        lease.handle_renewed(ms(9_001), &voters, id(3), 9_000, true);
        assert!(!lease.is_held(ms(9_001)));
        ask(&lease, 9_000 + LAPSED_MS_MAX, &voters);
        let late = 9_000 + LAPSED_MS_MAX;
        lease.handle_renewed(ms(late + 1), &voters, id(3), late, true);
        assert!(lease.is_held(ms(late + 1)));
    }

    #[test]
    fn writes_need_the_answers_of_enough_members() {
        let lease = Lease::default();
        let voters = Voters { writers_min: 2, ..voters(&[1, 3, 4, 5], Some(1)) };
        assert!(ask(&lease, 0, &voters), "all members are asked");
        lease.handle_renewed(ms(1), &voters, id(1), 0, true);
        assert!(lease.is_held(ms(1)) && !lease.permits_writes(ms(1)));
        lease.handle_renewed(ms(2), &voters, id(1), 0, true);
        assert!(!lease.permits_writes(ms(2)), "the same member");
        lease.handle_renewed(ms(3), &voters, id(4), 0, true);
        assert!(lease.permits_writes(ms(LEASE_MS - 1)) && !lease.permits_writes(ms(LEASE_MS)));
        // One member is left that answers.
        for at in [300, 600, 900] {
            ask(&lease, at, &voters);
            lease.handle_renewed(ms(at + 1), &voters, id(1), at, true);
        }
        assert!(lease.is_held(ms(LEASE_MS)) && !lease.permits_writes(ms(LEASE_MS)));
        let alone = Voters { others: BTreeSet::new(), writers_min: 2, coordinator: None };
        lease.poll(ms(2_000), &alone, 1);
        assert!(lease.is_held(ms(2_000)) && !lease.permits_writes(ms(2_000)));
    }

    #[test]
    fn a_refusal_ends_the_lease_at_once() {
        let (lease, voters) = (Lease::default(), voters(&[1, 3], Some(1)));
        ask(&lease, 0, &voters);
        lease.handle_renewed(ms(1), &voters, id(1), 0, true);
        ask(&lease, 300, &voters);
        lease.handle_renewed(ms(301), &voters, id(3), 300, false);
        assert!(!lease.is_held(ms(302)));
        // Later answers to earlier requests do not count.
        lease.handle_renewed(ms(303), &voters, id(1), 300, true);
        assert!(!lease.is_held(ms(303)));
    }
}
