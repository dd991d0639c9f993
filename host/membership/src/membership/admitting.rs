//! Who is let in: a member that can be reached.
//!
//! A newcomer has called the cluster, which says nothing of the way back: a firewall, NAT or
//! an address that is gone let it call and let nobody call it. So the coordinator and one more
//! member call it before it is published; where the two disagree, a third decides. Whoever asks
//! to be let in has called the coordinator for the same reason, and does not join one that it
//! cannot call. A member that is refused is told why, and when to ask again: later each time.
//!
//! Before that its terms are compared with those of the cluster: see [`crate::terms`].
//!
//! A member that was lost several times is let in again only once it has answered calls without
//! a break for a while, each time a longer one: one bad link must not keep the view of all
//! others changing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rand::seq::IteratorRandom as _;

use super::{Event, Membership, Output, Phase, Place, Reach};
use crate::config::Config;
use crate::member::{Member, MemberId};
use crate::message::{Message, Refusal};
use crate::terms::Terms;
use crate::view::View;

/// How long it may take to find out whether a newcomer can be reached.
const CHECK_WAIT: Duration = Duration::from_millis(1_500);
/// A call that was answered counts for so long.
const REACHED_FOR: Duration = Duration::from_secs(30);
/// Calls whose outcome is remembered, members that were refused, and members that were lost,
/// at most, each.
const REMEMBERED_MAX: usize = 1_024;
/// Newcomers of which another member is asked as well, at most at once: a crowd that starts
/// together is called by the coordinator alone.
const SECONDED_MAX: usize = 64;
/// Newcomers that this member calls for its coordinator at once.
const VOUCHING_MAX: usize = 256;
/// First and longest wait of a member that was refused before it asks again.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// For how long a coordinator must not have answered this member before that is reported as the
/// cause: another may take its place first.
const UNANSWERED_FOR: Duration = Duration::from_secs(5);
/// How long that it did not answer is remembered: several times as long as a round of asking.
const UNANSWERED_LASTS: Duration = Duration::from_secs(15);
/// Members of another cluster that are called before it is taken in, at most: the oldest.
const MERGED_CHECKED_MAX: usize = 128;

/// A member may be lost so often before it has to prove that it is steady …
const LOSSES_FREE: u32 = 2;
/// … for this long after the next loss, and [`STEADY_FACTOR`] times as long after each other.
const STEADY_MIN: Duration = Duration::from_secs(10);
const STEADY_MAX: Duration = Duration::from_secs(3_600);
const STEADY_FACTOR: u32 = 4;
/// Losses before that are forgotten.
const LOSSES_KEPT: Duration = Duration::from_secs(3_600);

/// A member that asks to be let in.
pub(super) struct Applicant {
    pub(super) member: Member,
    /// The lineage of its age.
    pub(super) lineage: Option<MemberId>,
    pub(super) terms: Terms,
}

/// A cluster that asks to be taken in.
#[derive(Clone)]
pub(super) struct Met {
    pub(super) from: Member,
    pub(super) view: View,
    pub(super) terms: Terms,
}

/// A newcomer that is being called.
pub(super) struct Newcomer {
    member: Member,
    /// The lineage of its age.
    lineage: Option<MemberId>,
    /// It comes with the cluster that is being taken in.
    merges: bool,
    since: Duration,
    /// What was found by whom; `None` as long as that is open.
    found: BTreeMap<MemberId, Option<bool>>,
    /// The member that could not call it, or that it could not call: both have to, whatever
    /// the others found. And whether it reached that one.
    parted: Option<(MemberId, Option<bool>)>,
}

/// A cluster that is taken in once its members have been called.
pub(super) struct Merging {
    met: Met,
    awaited: BTreeSet<MemberId>,
    unreachable: BTreeSet<MemberId>,
}

/// How often a member was lost of late.
pub(super) struct Losses {
    count: u32,
    last_at: Duration,
    /// Since when it has answered each call.
    steady_since: Option<Duration>,
    /// Whether operators were told that it has to wait.
    reported: bool,
}

/// A member that was refused.
struct Refused {
    why: Refusal,
    until: Duration,
    /// How long it has to wait this time.
    wait: Duration,
    /// Whether this member itself could not reach it.
    by_me: bool,
}

/// What is known of calls and refusals, in whatever phase.
#[derive(Default)]
pub(super) struct Calls {
    /// Members that this one called and that answered, and when.
    reached: HashMap<MemberId, Duration>,
    /// For whom newcomers are called.
    vouching: HashMap<MemberId, Member>,
    /// Members that were refused.
    refused: HashMap<MemberId, Refused>,
    /// Coordinators that are called before their cluster is asked to take this one in.
    merges: HashMap<MemberId, Member>,
    /// Why this member is outside, and until when that counts.
    pub(super) own_refusal: Option<(Refusal, Duration)>,
    /// A coordinator that does not answer this member, while others know it as alive.
    unanswered: Option<Unanswered>,
}

/// A coordinator that does not answer.
struct Unanswered {
    by: MemberId,
    since: Duration,
    last: Duration,
}

impl Losses {
    /// Whether it was lost so often that it has to prove itself.
    pub(super) fn is_unsteady(&self) -> bool {
        !self.steady_for().is_zero()
    }

    /// Whether it has to answer calls for a while, and answers.
    pub(super) fn is_proving(&self) -> bool {
        self.steady_since.is_some() && self.is_unsteady()
    }

    /// How long it must have answered all calls.
    fn steady_for(&self) -> Duration {
        let Some(more) = self.count.checked_sub(LOSSES_FREE + 1) else { return Duration::ZERO };
        let factor = STEADY_FACTOR.checked_pow(more).unwrap_or(u32::MAX);
        STEADY_MIN.saturating_mul(factor).min(STEADY_MAX)
    }
}

impl Place {
    pub(super) fn note_loss(&mut self, now: Duration, id: MemberId) {
        self.lost_at = Some(now);
        self.losses.retain(|_, losses| now < losses.last_at + LOSSES_KEPT);
        if self.losses.len() < REMEMBERED_MAX || self.losses.contains_key(&id) {
            let new = |count| Losses { count, last_at: now, steady_since: None, reported: false };
            let losses = self.losses.entry(id).or_insert(new(0));
            *losses = new(losses.count + 1);
        }
    }

    /// A member is in a cluster of its own: when it asked to be let in it was in none, and it
    /// comes with its cluster, if it comes.
    pub(super) fn forget_starter(&mut self, id: MemberId) {
        let asked_as_starter = |newcomer: &Newcomer| newcomer.lineage.is_none() && !newcomer.merges;
        if self.newcomers.get(&id).is_some_and(asked_as_starter) {
            self.newcomers.remove(&id);
        }
        if self.joining.get(&id).is_some_and(|(_, lineage)| lineage.is_none()) {
            self.joining.remove(&id);
        }
    }

    /// Until when a member has to go on answering before it is let in again.
    fn unsteady_until(&self, now: Duration, id: MemberId) -> Option<Duration> {
        let losses = self.losses.get(&id)?;
        let until = losses.steady_since.unwrap_or(now) + losses.steady_for();
        (now < until).then_some(until)
    }
}

impl Newcomer {
    pub(super) fn into_member(self) -> Member {
        self.member
    }

    /// Whether it can be reached, once that is clear.
    fn verdict(&self, now: Duration, me: MemberId) -> Option<bool> {
        if let Some((other, reached)) = self.parted {
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
    /// Whether a member was called lately, and answered.
    pub(super) fn has_reached(&self, now: Duration, id: MemberId) -> bool {
        self.calls.reached.get(&id).is_some_and(|at| now < *at + REACHED_FOR)
    }

    /// Why the others do not let this member in, as long as they do not.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.calls.own_refusal.as_ref().map(|(refusal, _)| refusal)
    }

    /// A call of this member was answered.
    pub(super) fn note_reached(&mut self, now: Duration, id: MemberId) {
        let reached = &mut self.calls.reached;
        if reached.len() >= REMEMBERED_MAX {
            reached.retain(|_, at| now < *at + REACHED_FOR);
        }
        if reached.len() < REMEMBERED_MAX || reached.contains_key(&id) {
            reached.insert(id, now);
        }
    }

    /// Calls a newcomer, and has another member call it.
    pub(super) fn check_newcomer(
        &mut self,
        now: Duration,
        member: Member,
        lineage: Option<MemberId>,
        merges: bool,
    ) {
        let me = self.me.id;
        let Phase::In(place) = &mut self.phase else { return };
        if let Some(known) = place.newcomers.get_mut(&member.id) {
            known.member = member;
            return;
        }
        let is_seconded = place.newcomers.len() < SECONDED_MAX;
        let mut found = BTreeMap::from([(me, None)]);
        self.outputs.push_back(Output::Call { to: member.clone(), patient: false });
        let other = self.parted_from(member.id);
        let parted = other.as_ref().map(|other| (other.id, None));
        if let Some(other) = &other {
            self.send(member.clone(), Message::Vouch { member: other.clone() });
        }
        let second = match other {
            Some(other) => Some(other).filter(|other| other.id != me),
            None if is_seconded => self.any_other(|id| id == member.id),
            None => None,
        };
        if let Some(second) = second {
            found.insert(second.id, None);
            self.send(second, Message::Vouch { member: member.clone() });
        }
        let newcomer = Newcomer { member, lineage, merges, since: now, found, parted };
        let Phase::In(place) = &mut self.phase else { return };
        place.newcomers.insert(newcomer.member.id, newcomer);
    }

    /// A living member of the view, other than this one and those that are left out.
    pub(super) fn any_other(&mut self, is_out: impl Fn(MemberId) -> bool) -> Option<Member> {
        let Phase::In(place) = &self.phase else { return None };
        let (me, swim) = (self.me.id, &self.swim);
        let may = |id: MemberId| id != me && !is_out(id) && swim.is_active(id);
        let others = place.view.members().iter().filter(|m| may(m.id));
        others.choose(&mut self.rng).map(|m| Member::clone(m))
    }

    /// The coordinator asks whether a newcomer can be reached from here.
    pub(super) fn take_vouch(&mut self, from: &Member, member: Member) {
        if self.calls.vouching.len() < VOUCHING_MAX && member.id != self.me.id {
            self.calls.vouching.insert(member.id, from.clone());
            self.outputs.push_back(Output::Call { to: member, patient: false });
        }
    }

    /// Another member has called a newcomer.
    pub(super) fn take_vouched(&mut self, now: Duration, by: MemberId, id: MemberId, found: bool) {
        if let Phase::In(place) = &mut self.phase
            && let Some(newcomer) = place.newcomers.get_mut(&by)
            && let Some((other, reached)) = &mut newcomer.parted
            && *other == id
        {
            *reached = Some(found);
            self.tick_newcomers(now);
        }
        self.note_found(now, by, id, found);
        self.note_second(now, by, id, found);
    }

    /// A call ended.
    pub(super) fn reach_newcomer(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let answered = reach == Reach::Answered;
        if answered {
            self.note_reached(now, id);
            if let Some(refused) = self.calls.refused.get_mut(&id).filter(|r| r.by_me) {
                // The obstacle may be gone: it may ask again at once.
                refused.until = now;
            }
        }
        if let Some(asker) = self.calls.vouching.remove(&id) {
            self.send(asker, Message::Vouched { id, reached: answered });
        }
        if let Some(other) = self.calls.merges.remove(&id) {
            if answered {
                self.ask_to_merge(now, other);
            } else {
                self.refuse(now, other, Refusal::Unreachable, true);
            }
        }
        let Phase::In(place) = &mut self.phase else { return };
        if let Some(losses) = place.losses.get_mut(&id) {
            let since = losses.steady_since.unwrap_or(now);
            losses.steady_since = answered.then_some(since);
        }
        let me = self.me.id;
        self.note_found(now, me, id, answered);
    }

    fn note_found(&mut self, now: Duration, by: MemberId, id: MemberId, reached: bool) {
        let Phase::In(place) = &mut self.phase else { return };
        let Some(newcomer) = place.newcomers.get_mut(&id) else { return };
        let Some(found) = newcomer.found.get_mut(&by) else { return };
        *found = Some(reached);
        let (yes, no) = (Some(true), Some(false));
        let is_split = newcomer.found.len() == 2
            && newcomer.found.values().any(|found| *found == yes)
            && newcomer.found.values().any(|found| *found == no);
        if is_split {
            let (member, asked) = (newcomer.member.clone(), newcomer.found.clone());
            if let Some(third) = self.any_other(|id| asked.contains_key(&id)) {
                if let Phase::In(place) = &mut self.phase
                    && let Some(newcomer) = place.newcomers.get_mut(&id)
                {
                    newcomer.found.insert(third.id, None);
                }
                self.send(third, Message::Vouch { member });
            }
        }
        self.tick_newcomers(now);
    }

    /// Lets in whom enough members have reached, and refuses whom they have not.
    pub(super) fn tick_newcomers(&mut self, now: Duration) {
        let me = self.me.id;
        let Phase::In(place) = &mut self.phase else { return };
        let clear: Vec<(MemberId, bool)> = place
            .newcomers
            .iter()
            .filter_map(|(id, newcomer)| Some((*id, newcomer.verdict(now, me)?)))
            .collect();
        for (id, reached) in clear {
            let Phase::In(place) = &mut self.phase else { return };
            let Some(newcomer) = place.newcomers.remove(&id) else { continue };
            let by_me = newcomer.found.get(&me).copied().flatten() != Some(true);
            let Newcomer { member, lineage, merges, .. } = newcomer;
            if reached {
                self.calls.refused.remove(&id);
                place.parted.remove(&id);
            }
            if merges {
                if let Some(merging) = &mut place.merging {
                    merging.awaited.remove(&id);
                    if !reached {
                        merging.unreachable.insert(id);
                    }
                }
            } else if reached {
                place.joining.insert(id, (member, lineage));
            } else {
                let why = self.unreached(id);
                self.refuse(now, member, why, by_me);
            }
        }
        self.finish_merge(now);
    }

    /// When the next of them is due.
    pub(super) fn newcomers_due(place: &Place) -> Option<Duration> {
        place.newcomers.values().map(|newcomer| newcomer.since + CHECK_WAIT).min()
    }

    /// Newcomers of the last moment are awaited before the others are published, so that
    /// members that join together are published together.
    pub(super) fn newcomers_awaited(place: &Place, config: &Config) -> Option<Duration> {
        let first = place.newcomers.values().map(|newcomer| newcomer.since).min()?;
        Some(first + config.publish_period)
    }

    /// Whether a member has been refused, or has to wait, and is told so.
    pub(super) fn must_wait(&mut self, now: Duration, member: &Member) -> bool {
        if let Some(Refused { why, until, .. }) = self.calls.refused.get(&member.id)
            && now < *until
        {
            let message = Message::Refused { why: why.clone(), retry_ms: ms(*until - now) };
            self.send(member.clone(), message);
            return true;
        }
        let Phase::In(place) = &mut self.phase else { return false };
        let Some(until) = place.unsteady_until(now, member.id) else { return false };
        let Some(losses) = place.losses.get_mut(&member.id) else { return false };
        let why = Refusal::Unsteady { losses: losses.count };
        if !std::mem::replace(&mut losses.reported, true) {
            self.emit(Event::NotLetIn { member: member.clone(), why: why.clone() });
        }
        let retry_ms = ms((until - now).min(RETRY_MAX));
        // It is called until then; see `tick_lost`.
        self.send(member.clone(), Message::Refused { why, retry_ms });
        true
    }

    /// Refuses a member, for longer than the last time.
    pub(super) fn refuse(&mut self, now: Duration, member: Member, why: Refusal, by_me: bool) {
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
        self.emit(Event::NotLetIn { member: member.clone(), why: why.clone() });
        self.send(member, Message::Refused { why, retry_ms: ms(wait) });
    }

    /// The cluster that this member wants to join, or to take it in, refuses.
    pub(super) fn take_refused(
        &mut self,
        now: Duration,
        from: &Member,
        why: Refusal,
        retry_ms: u32,
    ) {
        let retry = Duration::from_millis(u64::from(retry_ms)).min(RETRY_MAX);
        // Told once more each time that it waited.
        let is_news = self
            .calls
            .own_refusal
            .as_ref()
            .is_none_or(|(known, until)| *known != why || now >= *until);
        self.calls.own_refusal = Some((why.clone(), now + retry));
        let is_misfit = matches!(why, Refusal::Differs(_));
        if is_news {
            self.emit(Event::Refused { by: from.clone(), why, retry });
        }
        if is_misfit && self.note_misfit(now, from.id) {
            return;
        }
        let asked_at = (now + retry).saturating_sub(self.config.answer_wait);
        match &mut self.phase {
            Phase::Starting(starting) => starting.put_off(from.id, asked_at),
            Phase::In(place) => {
                if let Some(rejoin) = &mut place.rejoin {
                    (rejoin.asked_at, rejoin.tries) = (asked_at, 1);
                }
            }
            Phase::Left => {}
        }
    }

    /// The coordinator of a cluster that this member is to be let into does not answer it,
    /// though members of that cluster do: it cannot say itself that it refuses.
    pub(super) fn note_coordinator_silent(&mut self, now: Duration, coordinator: &Member) {
        let known = self.calls.unanswered.take();
        let is_same =
            |known: &Unanswered| known.by == coordinator.id && now < known.last + UNANSWERED_LASTS;
        let since = known.filter(is_same).map_or(now, |known| known.since);
        self.calls.unanswered = Some(Unanswered { by: coordinator.id, since, last: now });
        if now < since + UNANSWERED_FOR {
            return;
        }
        let why = Refusal::Parted { other: coordinator.address() };
        let is_news = self.calls.own_refusal.as_ref().is_none_or(|(known, _)| *known != why);
        self.calls.own_refusal = Some((why.clone(), now));
        if is_news {
            let retry = self.config.answer_wait;
            self.emit(Event::Refused { by: coordinator.clone(), why, retry });
        }
    }

    /// The cluster that refuses this member has called it: it may ask again at once.
    pub(super) fn note_called(&mut self, now: Duration, by: MemberId) {
        // That says nothing about its terms, nor about the member that cannot call it.
        let says_nothing =
            |why: &Refusal| matches!(why, Refusal::Differs(_) | Refusal::Parted { .. });
        if self.calls.own_refusal.as_ref().is_none_or(|(why, _)| says_nothing(why)) {
            return;
        }
        let asked_at = now.saturating_sub(self.config.answer_wait);
        match &mut self.phase {
            Phase::Starting(starting) => starting.put_off(by, asked_at),
            Phase::In(place) => {
                if let Some(rejoin) = place.rejoin.as_mut().filter(|r| r.coordinator.id == by) {
                    rejoin.asked_at = rejoin.asked_at.min(asked_at);
                }
            }
            Phase::Left => {}
        }
    }

    /// Forgets a refusal that was not repeated: who refused is gone, or the way is free.
    pub(super) fn tick_refusal(&mut self, now: Duration) {
        self.calls.own_refusal.take_if(|(_, until)| now >= *until + RETRY_MAX);
    }

    /// Whether others refused this member and it is not yet to ask again.
    pub(super) fn is_put_off(&self, now: Duration) -> bool {
        self.calls.own_refusal.as_ref().is_some_and(|(_, until)| now < *until)
    }

    /// Whether this member refused another since its terms differ, and that is not yet to ask
    /// again.
    pub(super) fn refuses_to_agree(&self, now: Duration, id: MemberId) -> bool {
        let refused = self.calls.refused.get(&id);
        refused.is_some_and(|r| now < r.until && matches!(r.why, Refusal::Differs(_)))
    }

    /// This member is in a view of several.
    pub(super) fn note_let_in(&mut self) {
        self.calls.own_refusal = None;
        self.calls.unanswered = None;
    }

    /// Asks the coordinator of a cluster to take this one in, once it answered a call.
    pub(super) fn ask_to_merge(&mut self, now: Duration, other: Member) {
        if !self.has_reached(now, other.id) {
            if self.calls.merges.len() < VOUCHING_MAX {
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

    /// Calls the members of a cluster that is to be taken in. `None` until it is clear who of
    /// them can be reached; then, who cannot.
    pub(super) fn check_merge(&mut self, now: Duration, met: &Met) -> Option<BTreeSet<MemberId>> {
        let theirs = &met.view;
        let Phase::In(place) = &mut self.phase else { return None };
        if let Some(merging) = &mut place.merging {
            // One that left is called no more.
            merging.awaited.retain(|id| place.newcomers.contains_key(id));
            if merging.met.view.stamp() != theirs.stamp() {
                return None;
            }
            if merging.awaited.is_empty() {
                return place.merging.take().map(|merging| merging.unreachable);
            }
            return None;
        }
        let mine = &place.view;
        let others = theirs.members().iter().filter(|m| !mine.contains(m.id));
        let others: Vec<Member> =
            others.take(MERGED_CHECKED_MAX).map(|m| Member::clone(m)).collect();
        if others.is_empty() {
            return Some(BTreeSet::new());
        }
        place.merging = Some(Box::new(Merging {
            met: met.clone(),
            awaited: others.iter().map(|m| m.id).collect(),
            unreachable: BTreeSet::new(),
        }));
        for member in others {
            // One that is being called already was about to join by itself.
            if let Phase::In(place) = &mut self.phase {
                place.newcomers.remove(&member.id);
            }
            self.check_newcomer(now, member, None, true);
        }
        None
    }

    fn finish_merge(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        let Some(merging) = &place.merging else { return };
        if merging.awaited.is_empty() {
            let met = merging.met.clone();
            self.take_merge(now, met);
        }
    }
}

pub(super) fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
