//! Admission of members: only those that can be reached.
//!
//! That a newcomer connected to the cluster says nothing about the reverse direction: with a
//! firewall, NAT or an outdated address it can connect to others, and no other member can connect
//! to it. So the coordinator and one more member connect to it before it is published; if they
//! disagree, a third one decides. For the same reason a newcomer connects to the coordinator before
//! it asks to join, and does not join one that it cannot reach. A refused member is sent the reason
//! and when to ask again: later each time.
//!
//! Before that, its terms are compared with those of the cluster: see [`crate::terms`].
//!
//! A member that was lost repeatedly is admitted again only after it has answered every call for a
//! while, which is longer after each loss: one bad link must not keep changing the view of all
//! members.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rand::seq::IteratorRandom as _;

use super::{ClusterState, Event, Membership, Output, Phase, Reach};
use crate::config::Config;
use crate::member::{Member, MemberId};
use crate::message::{JoinRefusal, Message};
use crate::terms::Terms;
use crate::view::View;

/// Time limit of the reachability check of a newcomer.
const CHECK_WAIT: Duration = Duration::from_millis(1_500);
/// Time for which an answered call proves that a member can be reached.
const REACHED_FOR: Duration = Duration::from_secs(30);
/// Maximum number of answered calls, of refused members, and of lost members that are remembered.
const REMEMBERED_MAX: usize = 1_024;
/// Maximum number of newcomers that a second member is asked to call at the same time: when many
/// members start together, only the coordinator calls them.
const SECOND_CHECKS_MAX: usize = 64;
/// Maximum number of newcomers that this member calls on behalf of a coordinator at the same time.
const REACH_CHECKS_MAX: usize = 256;
/// First and longest wait of a refused member before it asks again.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Time without an answer of a coordinator after which that is reported as the cause: another
/// member may take over before.
const UNANSWERED_FOR: Duration = Duration::from_secs(5);
/// Time for which a coordinator counts as unresponsive: several rounds of requests.
const UNANSWERED_LASTS: Duration = Duration::from_secs(15);
/// Maximum number of members of another cluster that are called before it is merged; the oldest
/// ones.
const MERGED_CHECKED_MAX: usize = 128;

/// Number of losses of a member before it has to prove that it is stable.
const LOSSES_ALLOWED: u32 = 2;
/// Time for which it must answer calls after the next loss; multiplied by [`STABLE_FACTOR`] after
/// each further one.
const STABLE_MIN: Duration = Duration::from_secs(10);
const STABLE_MAX: Duration = Duration::from_secs(3_600);
const STABLE_FACTOR: u32 = 4;
/// Losses longer ago than this are forgotten.
const LOSSES_KEPT: Duration = Duration::from_secs(3_600);

/// A member that asks to join.
pub(super) struct Applicant {
    pub(super) member: Member,
    /// The lineage that its age belongs to.
    pub(super) lineage: Option<MemberId>,
    pub(super) terms: Terms,
}

/// A cluster that asks to be merged into this one.
#[derive(Clone)]
pub(super) struct MergeRequest {
    pub(super) from: Member,
    pub(super) view: View,
    pub(super) terms: Terms,
}

/// A newcomer whose reachability is being checked.
pub(super) struct Newcomer {
    member: Member,
    /// The lineage that its age belongs to.
    lineage: Option<MemberId>,
    /// Whether it belongs to a cluster that is being merged.
    merges: bool,
    since: Duration,
    /// Results by member; `None` until a result arrives.
    found: BTreeMap<MemberId, Option<bool>>,
    /// The member that could not reach it, or that it could not reach, and whether that member
    /// reached it this time: it must, whatever the others found.
    partitioned: Option<(MemberId, Option<bool>)>,
}

/// A cluster that is merged once its members have been called.
pub(super) struct Merging {
    met: MergeRequest,
    awaited: BTreeSet<MemberId>,
    unreachable: BTreeSet<MemberId>,
}

/// Recent losses of a member.
pub(super) struct Losses {
    count: u32,
    last_at: Duration,
    /// Since when it has answered every call.
    stable_since: Option<Duration>,
    /// Whether its wait was reported to operators.
    reported: bool,
}

/// A member that was refused.
struct Refused {
    why: JoinRefusal,
    until: Duration,
    /// The current wait before it may ask again.
    wait: Duration,
    /// Whether this member itself could not reach it.
    by_me: bool,
}

/// Results of calls and refusals, kept in all phases.
#[derive(Default)]
pub(super) struct Calls {
    /// Members that answered a call of this one, and when.
    reached: HashMap<MemberId, Duration>,
    /// Newcomers that this member is calling, with the member that asked for it.
    checking_for: HashMap<MemberId, Member>,
    /// Members that were refused.
    refused: HashMap<MemberId, Refused>,
    /// Coordinators that are called before their cluster is asked to merge this one.
    merges: HashMap<MemberId, Member>,
    /// Why this member is refused, and until when that holds.
    pub(super) own_refusal: Option<(JoinRefusal, Duration)>,
    /// A coordinator that does not answer this member, although other members report it as alive.
    unanswered: Option<Unanswered>,
}

/// A coordinator that does not answer.
struct Unanswered {
    by: MemberId,
    since: Duration,
    last: Duration,
}

impl Losses {
    /// Whether it was lost so often that it has to prove that it is stable.
    pub(super) fn is_unstable(&self) -> bool {
        !self.stable_for().is_zero()
    }

    /// Whether it is proving that it is stable.
    pub(super) fn is_proving(&self) -> bool {
        self.stable_since.is_some() && self.is_unstable()
    }

    /// The time for which it must answer every call.
    fn stable_for(&self) -> Duration {
        let Some(more) = self.count.checked_sub(LOSSES_ALLOWED + 1) else { return Duration::ZERO };
        let factor = STABLE_FACTOR.checked_pow(more).unwrap_or(u32::MAX);
        STABLE_MIN.saturating_mul(factor).min(STABLE_MAX)
    }
}

impl ClusterState {
    pub(super) fn note_loss(&mut self, now: Duration, id: MemberId) {
        self.lost_at = Some(now);
        self.losses.retain(|_, losses| now < losses.last_at + LOSSES_KEPT);
        if self.losses.len() < REMEMBERED_MAX || self.losses.contains_key(&id) {
            let new = |count| Losses { count, last_at: now, stable_since: None, reported: false };
            let losses = self.losses.entry(id).or_insert(new(0));
            *losses = new(losses.count + 1);
        }
    }

    /// A member founded a cluster of its own: its earlier request to join is obsolete, since it
    /// would now come with its cluster.
    pub(super) fn forget_starter(&mut self, id: MemberId) {
        let asked_as_starter = |newcomer: &Newcomer| newcomer.lineage.is_none() && !newcomer.merges;
        if self.newcomers.get(&id).is_some_and(asked_as_starter) {
            self.newcomers.remove(&id);
        }
        if self.joining.get(&id).is_some_and(|(_, lineage)| lineage.is_none()) {
            self.joining.remove(&id);
        }
    }

    /// Until when a member must keep answering before it is admitted again.
    fn unstable_until(&self, now: Duration, id: MemberId) -> Option<Duration> {
        let losses = self.losses.get(&id)?;
        let until = losses.stable_since.unwrap_or(now) + losses.stable_for();
        (now < until).then_some(until)
    }
}

impl Newcomer {
    pub(super) fn into_member(self) -> Member {
        self.member
    }

    /// Whether it can be reached, once that is decided.
    fn verdict(&self, now: Duration, me: MemberId) -> Option<bool> {
        if let Some((other, reached)) = self.partitioned {
            match (self.found.get(&other).copied().flatten(), reached) {
                (Some(true), Some(true)) => {}
                (Some(false), _) | (_, Some(false)) => return Some(false),
                _ if now < self.since + CHECK_WAIT => return None,
                _ => return Some(false),
            }
        }
        let open = self.found.values().any(Option::is_none);
        if open && now < self.since + CHECK_WAIT {
            return None;
        }
        let count = |which| self.found.values().filter(|found| **found == Some(which)).count();
        let mine = self.found.get(&me).copied().flatten().unwrap_or(false);
        Some(match count(true).cmp(&count(false)) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => mine,
        })
    }
}

impl Membership {
    /// Whether a member recently answered a call.
    pub(super) fn has_reached(&self, now: Duration, id: MemberId) -> bool {
        self.calls.reached.get(&id).is_some_and(|at| now < *at + REACHED_FOR)
    }

    /// Why the other members refuse this one, for as long as they do.
    #[must_use]
    pub fn refusal(&self) -> Option<&JoinRefusal> {
        self.calls.own_refusal.as_ref().map(|(refusal, _)| refusal)
    }

    /// Records that a member answered a call.
    pub(super) fn note_reached(&mut self, now: Duration, id: MemberId) {
        let reached = &mut self.calls.reached;
        if reached.len() >= REMEMBERED_MAX {
            reached.retain(|_, at| now < *at + REACHED_FOR);
        }
        if reached.len() < REMEMBERED_MAX || reached.contains_key(&id) {
            reached.insert(id, now);
        }
    }

    /// Starts the reachability check of a newcomer, with a second member.
    pub(super) fn check_newcomer(
        &mut self,
        now: Duration,
        member: Member,
        lineage: Option<MemberId>,
        merges: bool,
    ) {
        let me = self.me.id;
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if let Some(known) = cluster.newcomers.get_mut(&member.id) {
            known.member = member;
            return;
        }
        let is_seconded = cluster.newcomers.len() < SECOND_CHECKS_MAX;
        let mut found = BTreeMap::from([(me, None)]);
        self.outputs.push_back(Output::Call { to: member.clone(), patient: false });
        let other = self.partitioned_from(member.id);
        let partitioned = other.as_ref().map(|other| (other.id, None));
        if let Some(other) = &other {
            self.send(member.clone(), Message::CheckReach { member: other.clone() });
        }
        let second = match other {
            Some(other) => Some(other).filter(|other| other.id != me),
            None if is_seconded => self.any_other(|id| id == member.id),
            None => None,
        };
        if let Some(second) = second {
            found.insert(second.id, None);
            self.send(second, Message::CheckReach { member: member.clone() });
        }
        let newcomer = Newcomer { member, lineage, merges, since: now, found, partitioned };
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.newcomers.insert(newcomer.member.id, newcomer);
    }

    /// A living member of the view, other than this one and those for which `is_out` is true.
    pub(super) fn any_other(&mut self, is_out: impl Fn(MemberId) -> bool) -> Option<Member> {
        let Phase::Joined(cluster) = &self.phase else { return None };
        let (me, swim) = (self.me.id, &self.swim);
        let may = |id: MemberId| id != me && !is_out(id) && swim.is_active(id);
        let others = cluster.view.members().iter().filter(|m| may(m.id));
        others.choose(&mut self.rng).map(|m| Member::clone(m))
    }

    /// Handles a request of the coordinator to check whether a newcomer can be reached from here.
    pub(super) fn handle_check_reach(&mut self, from: &Member, member: Member) {
        if self.calls.checking_for.len() < REACH_CHECKS_MAX && member.id != self.me.id {
            self.calls.checking_for.insert(member.id, from.clone());
            self.outputs.push_back(Output::Call { to: member, patient: false });
        }
    }

    /// Handles another member's result for a newcomer.
    pub(super) fn handle_reach_checked(
        &mut self,
        now: Duration,
        by: MemberId,
        id: MemberId,
        found: bool,
    ) {
        if let Phase::Joined(cluster) = &mut self.phase
            && let Some(newcomer) = cluster.newcomers.get_mut(&by)
            && let Some((other, reached)) = &mut newcomer.partitioned
            && *other == id
        {
            *reached = Some(found);
            self.tick_newcomers(now);
        }
        self.note_found(now, by, id, found);
        self.note_second(now, by, id, found);
    }

    /// Handles the end of a call.
    pub(super) fn reach_newcomer(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let answered = reach == Reach::Answered;
        if answered {
            self.note_reached(now, id);
            if let Some(refused) = self.calls.refused.get_mut(&id).filter(|r| r.by_me) {
                // The obstacle may be gone: the member may ask again at once.
                refused.until = now;
            }
        }
        if let Some(asker) = self.calls.checking_for.remove(&id) {
            self.send(asker, Message::ReachChecked { id, reached: answered });
        }
        if let Some(other) = self.calls.merges.remove(&id) {
            if answered {
                self.ask_to_merge(now, other);
            } else {
                self.refuse(now, other, JoinRefusal::Unreachable, true);
            }
        }
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if let Some(losses) = cluster.losses.get_mut(&id) {
            let since = losses.stable_since.unwrap_or(now);
            losses.stable_since = answered.then_some(since);
        }
        let me = self.me.id;
        self.note_found(now, me, id, answered);
    }

    fn note_found(&mut self, now: Duration, by: MemberId, id: MemberId, reached: bool) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let Some(newcomer) = cluster.newcomers.get_mut(&id) else { return };
        let Some(found) = newcomer.found.get_mut(&by) else { return };
        *found = Some(reached);
        let (yes, no) = (Some(true), Some(false));
        let is_split = newcomer.found.len() == 2
            && newcomer.found.values().any(|found| *found == yes)
            && newcomer.found.values().any(|found| *found == no);
        if is_split {
            let (member, asked) = (newcomer.member.clone(), newcomer.found.clone());
            if let Some(third) = self.any_other(|id| asked.contains_key(&id)) {
                if let Phase::Joined(cluster) = &mut self.phase
                    && let Some(newcomer) = cluster.newcomers.get_mut(&id)
                {
                    newcomer.found.insert(third.id, None);
                }
                self.send(third, Message::CheckReach { member });
            }
        }
        self.tick_newcomers(now);
    }

    /// Admits newcomers that enough members have reached, and refuses those that they have not.
    pub(super) fn tick_newcomers(&mut self, now: Duration) {
        let me = self.me.id;
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let clear: Vec<(MemberId, bool)> = cluster
            .newcomers
            .iter()
            .filter_map(|(id, newcomer)| Some((*id, newcomer.verdict(now, me)?)))
            .collect();
        for (id, reached) in clear {
            let Phase::Joined(cluster) = &mut self.phase else { return };
            let Some(newcomer) = cluster.newcomers.remove(&id) else { continue };
            let by_me = newcomer.found.get(&me).copied().flatten() != Some(true);
            let Newcomer { member, lineage, merges, .. } = newcomer;
            if reached {
                self.calls.refused.remove(&id);
                cluster.partitioned.remove(&id);
            }
            if merges {
                if let Some(merging) = &mut cluster.merging {
                    merging.awaited.remove(&id);
                    if !reached {
                        merging.unreachable.insert(id);
                    }
                }
            } else if reached {
                cluster.joining.insert(id, (member, lineage));
            } else {
                let why = self.unreached(id);
                self.refuse(now, member, why, by_me);
            }
        }
        self.finish_merge(now);
    }

    /// When the next decision is due.
    pub(super) fn newcomers_due(cluster: &ClusterState) -> Option<Duration> {
        cluster.newcomers.values().map(|newcomer| newcomer.since + CHECK_WAIT).min()
    }

    /// Until when publication waits for newcomers that are still being checked, so that members
    /// that join together are published together.
    pub(super) fn newcomers_awaited(cluster: &ClusterState, config: &Config) -> Option<Duration> {
        let first = cluster.newcomers.values().map(|newcomer| newcomer.since).min()?;
        Some(first + config.publish_period)
    }

    /// Whether a member is refused or has to wait; if so, it is sent the reason.
    pub(super) fn must_wait(&mut self, now: Duration, member: &Member) -> bool {
        if let Some(Refused { why, until, .. }) = self.calls.refused.get(&member.id)
            && now < *until
        {
            let message = Message::Refused { why: why.clone(), retry_ms: ms(*until - now) };
            self.send(member.clone(), message);
            return true;
        }
        let Phase::Joined(cluster) = &mut self.phase else { return false };
        let Some(until) = cluster.unstable_until(now, member.id) else { return false };
        let Some(losses) = cluster.losses.get_mut(&member.id) else { return false };
        let why = JoinRefusal::Unstable { losses: losses.count };
        if !std::mem::replace(&mut losses.reported, true) {
            self.emit(Event::MemberRefused { member: member.clone(), why: why.clone() });
        }
        let retry_ms = ms((until - now).min(RETRY_MAX));
        // Until then it is called by `tick_lost`.
        self.send(member.clone(), Message::Refused { why, retry_ms });
        true
    }

    /// Refuses a member, for longer than the last time.
    pub(super) fn refuse(&mut self, now: Duration, member: Member, why: JoinRefusal, by_me: bool) {
        let refused = &mut self.calls.refused;
        if refused.len() >= REMEMBERED_MAX {
            refused.retain(|_, refused| now < refused.until + refused.wait);
        }
        let last = refused.get(&member.id).map(|refused| refused.wait);
        let wait = last.map_or(RETRY_MIN, |wait| (wait * 2).min(RETRY_MAX));
        if refused.len() < REMEMBERED_MAX || last.is_some() {
            let (why, until) = (why.clone(), now + wait);
            refused.insert(member.id, Refused { why, until, wait, by_me });
        }
        self.emit(Event::MemberRefused { member: member.clone(), why: why.clone() });
        self.send(member, Message::Refused { why, retry_ms: ms(wait) });
    }

    /// The cluster that this member asked to join, or to merge with, refuses.
    pub(super) fn handle_refused(
        &mut self,
        now: Duration,
        from: &Member,
        why: JoinRefusal,
        retry_ms: u32,
    ) {
        let retry = Duration::from_millis(u64::from(retry_ms)).min(RETRY_MAX);
        // Reported again after each wait.
        let is_news = self
            .calls
            .own_refusal
            .as_ref()
            .is_none_or(|(known, until)| *known != why || now >= *until);
        self.calls.own_refusal = Some((why.clone(), now + retry));
        let is_misfit = matches!(why, JoinRefusal::Differs(_));
        if is_news {
            self.emit(Event::Refused { by: from.clone(), why, retry });
        }
        if is_misfit && self.note_incompatible(now, from.id) {
            return;
        }
        let asked_at = (now + retry).saturating_sub(self.config.answer_wait);
        match &mut self.phase {
            Phase::Starting(starting) => starting.put_off(from.id, asked_at),
            Phase::Joined(cluster) => {
                if let Some(rejoin) = &mut cluster.rejoin {
                    (rejoin.asked_at, rejoin.tries) = (asked_at, 1);
                }
            }
            Phase::Left => {}
        }
    }

    /// The coordinator of the cluster that this member wants to join does not answer, although
    /// members of that cluster do, so it cannot send a refusal itself.
    pub(super) fn note_coordinator_silent(&mut self, now: Duration, coordinator: &Member) {
        let known = self.calls.unanswered.take();
        let is_same =
            |known: &Unanswered| known.by == coordinator.id && now < known.last + UNANSWERED_LASTS;
        let since = known.filter(is_same).map_or(now, |known| known.since);
        self.calls.unanswered = Some(Unanswered { by: coordinator.id, since, last: now });
        if now < since + UNANSWERED_FOR {
            return;
        }
        let why = JoinRefusal::Partitioned { other: coordinator.address() };
        let is_news = self.calls.own_refusal.as_ref().is_none_or(|(known, _)| *known != why);
        self.calls.own_refusal = Some((why.clone(), now));
        if is_news {
            let retry = self.config.answer_wait;
            self.emit(Event::Refused { by: coordinator.clone(), why, retry });
        }
    }

    /// The cluster that refuses this member has called it: this member may ask again at once.
    pub(super) fn note_called(&mut self, now: Duration, by: MemberId) {
        // This does not change its terms, and does not help if it is one certain member that cannot
        // reach it.
        let says_nothing = |why: &JoinRefusal| {
            matches!(why, JoinRefusal::Differs(_) | JoinRefusal::Partitioned { .. })
        };
        if self.calls.own_refusal.as_ref().is_none_or(|(why, _)| says_nothing(why)) {
            return;
        }
        let asked_at = now.saturating_sub(self.config.answer_wait);
        match &mut self.phase {
            Phase::Starting(starting) => starting.put_off(by, asked_at),
            Phase::Joined(cluster) => {
                if let Some(rejoin) = cluster.rejoin.as_mut().filter(|r| r.coordinator.id == by) {
                    rejoin.asked_at = rejoin.asked_at.min(asked_at);
                }
            }
            Phase::Left => {}
        }
    }

    /// Forgets a refusal that was not repeated: either the member that refused has been lost, or
    /// the reason no longer applies.
    pub(super) fn tick_refusal(&mut self, now: Duration) {
        self.calls.own_refusal.take_if(|(_, until)| now >= *until + RETRY_MAX);
    }

    /// Whether others refused this member and it must not ask again yet.
    pub(super) fn is_put_off(&self, now: Duration) -> bool {
        self.calls.own_refusal.as_ref().is_some_and(|(_, until)| now < *until)
    }

    /// Whether this member refuses another, which must not ask yet: see [`Self::must_wait`].
    pub(super) fn refuses(&self, now: Duration, id: MemberId) -> bool {
        let is_refused = self.calls.refused.get(&id).is_some_and(|refused| now < refused.until);
        let cluster = self.phase.cluster();
        is_refused || cluster.is_some_and(|cluster| cluster.unstable_until(now, id).is_some())
    }

    /// This member is in a view with others.
    pub(super) fn note_let_in(&mut self) {
        self.calls.own_refusal = None;
        self.calls.unanswered = None;
    }

    /// Asks the coordinator of another cluster to merge this one, once it has answered a call.
    pub(super) fn ask_to_merge(&mut self, now: Duration, other: Member) {
        if !self.has_reached(now, other.id) {
            if self.calls.merges.len() < REACH_CHECKS_MAX {
                self.outputs.push_back(Output::Call { to: other.clone(), patient: false });
                self.calls.merges.insert(other.id, other);
            }
            return;
        }
        if let Some(view) = self.view().cloned() {
            let terms = self.terms.clone();
            self.send(other, Message::Merge { view, terms });
        }
    }

    /// Calls the members of a cluster that is to be merged. Returns `None` until it is known which
    /// of them can be reached, then those that cannot.
    pub(super) fn check_merge(
        &mut self,
        now: Duration,
        met: &MergeRequest,
    ) -> Option<BTreeSet<MemberId>> {
        let theirs = &met.view;
        let Phase::Joined(cluster) = &mut self.phase else { return None };
        if let Some(merging) = &mut cluster.merging {
            // A member that left is not called.
            merging.awaited.retain(|id| cluster.newcomers.contains_key(id));
            if merging.met.view.stamp() != theirs.stamp() {
                return None;
            }
            if merging.awaited.is_empty() {
                return cluster.merging.take().map(|merging| merging.unreachable);
            }
            return None;
        }
        let mine = &cluster.view;
        let others = theirs.members().iter().filter(|m| !mine.contains(m.id));
        let others: Vec<Member> =
            others.take(MERGED_CHECKED_MAX).map(|m| Member::clone(m)).collect();
        if others.is_empty() {
            return Some(BTreeSet::new());
        }
        cluster.merging = Some(Box::new(Merging {
            met: met.clone(),
            awaited: others.iter().map(|m| m.id).collect(),
            unreachable: BTreeSet::new(),
        }));
        for member in others {
            // A member that is already being called was about to join by itself.
            if let Phase::Joined(cluster) = &mut self.phase {
                cluster.newcomers.remove(&member.id);
            }
            self.check_newcomer(now, member, None, true);
        }
        None
    }

    fn finish_merge(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let Some(merging) = &cluster.merging else { return };
        if merging.awaited.is_empty() {
            let met = merging.met.clone();
            self.handle_merge(now, met);
        }
    }
}

pub(super) fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
