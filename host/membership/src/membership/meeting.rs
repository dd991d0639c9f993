//! Views of others: newer, older, foreign.
//!
//! | the other's view | ours | then |
//! |---|---|---|
//! | holds us, newer | – | take it; not if its publisher was lost again and again, and drops our living coordinator |
//! | holds us, older | – | tell the other |
//! | lacks us, newer | holds the other | they went on without us, or without most of us: the smaller side asks to be let in |
//! | lacks us | lacks the other | two clusters: the lower in [`Rank`] goes to the higher |
//!
//! What a first sight shows is a summary; who leads in the end is decided with both whole
//! views in hand, by [`View::outranks`]. A member that was paused has an old view: it hears
//! the others before it publishes, and leads nobody for [`AWAKE_WAIT`].
//!
//! [`Rank`]: crate::view::Rank

use std::time::Duration;

use std::sync::Arc;

use super::coordinating::Claim;
use super::{
    Asked, Event, Losses, Membership, Met, Phase, Place, REJOIN_TRIES_MAX, REJOIN_TRIES_MIN, Rejoin,
};
use crate::member::Member;
use crate::message::{Message, Refusal, Summary};
use crate::terms::Terms;
use crate::view::View;

/// A process that did nothing for so long was paused: a member of several always has
/// something to do sooner.
const PAUSE: Duration = Duration::from_millis(1_000);
/// How long a member that newer views leave out waits for its own side to settle that.
const PASSED_OVER_WAIT: Duration = Duration::from_millis(1_500);
/// How long after a pause a member leads no other: by then its failure detector knows who
/// is still there.
const AWAKE_WAIT: Duration = Duration::from_millis(2_000);

impl Membership {
    /// A handshake with a member of some cluster.
    pub(super) fn meet_settled(&mut self, now: Duration, member: Member, summary: Summary) {
        let Phase::In(place) = &mut self.phase else {
            self.meet_cluster_while_starting(now, member, summary);
            return;
        };
        place.forget_starter(member.id);
        let mine = place.view.stamp();
        if summary.stamp == mine {
            return;
        }
        let lags_behind = place.view.contains(member.id)
            && !summary.stamp.id.is_newer_than(&mine.id)
            && summary.lineage == place.view.lineage;
        if lags_behind {
            return;
        }
        if self.may_ask(now, Asked::Pull, member.id) {
            self.send(member, Message::Pull { have: Some(mine) });
        }
    }

    /// Somebody's view, and what holds in that cluster.
    pub(super) fn take_view(&mut self, now: Duration, from: &Member, view: View, terms: &Terms) {
        let is_in = view.contains(self.me.id);
        match &self.phase {
            Phase::Starting(_) if is_in => {
                let changes = terms.changes(&self.terms);
                self.report_changes(&self.me.clone(), changes);
                self.terms = self.terms.settled_in(terms);
                self.adopt(now, view, &[]);
            }
            Phase::Starting(_) => {
                self.meet_cluster_while_starting(now, from.clone(), Summary::of(&view));
            }
            // It was let in as it had asked before it founded a cluster of its own, or met another.
            Phase::In(_) if is_in && !self.terms.differences(terms).is_empty() => {
                let coordinator = view.coordinator().clone();
                if coordinator.id != self.me.id {
                    self.send(coordinator, Message::Leave);
                }
            }
            Phase::In(_) => self.consider(now, from, view),
            Phase::Left => {}
        }
    }

    /// Somebody's view: see the table above.
    fn consider(&mut self, now: Duration, from: &Member, view: View) {
        let Phase::In(place) = &self.phase else { return };
        let newer = view.id.is_newer_than(&place.view.id);
        if view.stamp() == place.view.stamp() {
            self.claim_heard(now, from.id);
        } else if view.contains(self.me.id) && !self.is_of_an_outsider(&view) {
            if newer {
                self.adopt(now, view, &[]);
                self.claim_heard(now, from.id);
            } else {
                self.claim_heard(now, from.id);
                self.tell(now, from);
            }
        } else if place.leaving_since.is_some() && newer {
            self.finish_leaving(now);
        } else if place.view.contains(from.id)
            && (newer || (from.id == place.view.coordinator().id && self.refusal().is_some()))
            && self.was_left_behind(now, &view, newer)
        {
            self.rejoin(now, view.coordinator().clone());
        } else {
            self.sight(now, &Summary::of(&view));
        }
    }

    /// Whether a view was published by a member that ours has removed again and again, and removes
    /// our coordinator, which is alive: a member that was cut off takes the others for its own.
    fn is_of_an_outsider(&self, view: &View) -> bool {
        let Phase::In(place) = &self.phase else { return false };
        let ours = &place.view;
        let coordinator = ours.coordinator().id;
        let is_alive = self.lives(coordinator);
        let publisher = view.id.coordinator;
        let flaps = place.losses.get(&publisher).is_some_and(Losses::is_unsteady);
        flaps && !ours.contains(publisher) && !view.contains(coordinator) && is_alive
    }

    /// Whether the others, whose view this is, went on without this member, or are themselves a
    /// few of many.
    fn was_left_behind(&mut self, now: Duration, theirs: &View, newer: bool) -> bool {
        let is_awakening = self.is_awakening(now);
        let Phase::In(place) = &mut self.phase else { return false };
        let since = *place.passed_over_since.get_or_insert(now);
        if is_awakening || now >= since + PASSED_OVER_WAIT {
            return true;
        }
        if !newer {
            // The member that this one takes for its coordinator has not followed, so far.
            return false;
        }
        let ours = &place.view;
        let coordinator = ours.coordinator();
        if coordinator.id != self.me.id {
            // If the coordinator is still there, it decides.
            return theirs.contains(coordinator.id) || !self.swim.is_active(coordinator.id);
        }
        let here = |member: &&Arc<Member>| {
            !member.lite && (member.id == self.me.id || self.swim.is_active(member.id))
        };
        ours.side(theirs).filter(here).count() <= theirs.data_members()
    }

    /// Whether this member was paused a moment ago, and does not know yet what the others
    /// did meanwhile.
    fn is_awakening(&self, now: Duration) -> bool {
        self.phase
            .place()
            .is_some_and(|place| place.awake_since.is_some_and(|since| now < since + AWAKE_WAIT))
    }

    /// Notices that this process was paused: its view is as old as that. It asks everybody
    /// for theirs, and publishes nothing before they have answered.
    pub(super) fn notice_pause(&mut self, now: Duration) {
        let before = std::mem::replace(&mut self.awake_at, now);
        if now.saturating_sub(before) < PAUSE {
            return;
        }
        let Phase::In(place) = &mut self.phase else { return };
        if place.view.len() == 1 {
            return;
        }
        place.awake_since = Some(now);
        let others: Vec<Member> = place
            .view
            .members()
            .iter()
            .filter(|member| member.id != self.me.id)
            .map(|member| Member::clone(member))
            .collect();
        place.claim =
            Some(Claim { since: now, awaited: others.iter().map(|member| member.id).collect() });
        let have = Some(place.view.stamp());
        for member in others {
            self.send(member, Message::Pull { have });
        }
    }

    pub(super) fn tell(&mut self, now: Duration, whom: &Member) {
        if self.may_ask(now, Asked::Tell, whom.id)
            && let Some(view) = self.view().cloned()
        {
            self.send(whom.clone(), self.shown(view));
        }
    }

    /// Another cluster was seen, by this member or one of its own.
    pub(super) fn sight(&mut self, now: Duration, other: &Summary) {
        let Phase::In(place) = &self.phase else { return };
        let view = &place.view;
        // Its coordinator is one of ours, and only lags behind.
        let lags = view.contains(other.coordinator.id)
            && view.lineage == other.lineage
            && !other.stamp.id.is_newer_than(&view.id);
        if place.rejoin.is_some()
            || place.leaving_since.is_some()
            || place.claim.is_some()
            || other.stamp == view.stamp()
            || lags
        {
            return;
        }
        if view.coordinator().id != self.me.id {
            let coordinator = view.coordinator().clone();
            if self.may_ask(now, Asked::Sighting, other.coordinator.id) {
                self.send(coordinator, Message::Sighting(other.clone()));
            }
            return;
        }
        let ours_leads = view.rank() > other.rank() && !self.is_awakening(now);
        let ours = Summary::of(view);
        let what = if ours_leads { Asked::Sighting } else { Asked::Merge };
        let is_refused = ours_leads && self.refuses_to_agree(now, other.coordinator.id);
        if is_refused || (!ours_leads && self.is_put_off(now)) {
            return;
        }
        if self.may_ask(now, what, other.coordinator.id) {
            self.emit(Event::Met { other: other.clone(), ours_leads });
            if ours_leads {
                self.send(other.coordinator.clone(), Message::Sighting(ours));
            } else {
                self.ask_to_merge(now, other.coordinator.clone());
            }
        }
    }

    /// A lower-ranked cluster asks to be taken in.
    pub(super) fn take_merge(&mut self, now: Duration, met: Met) {
        let Phase::In(place) = &self.phase else { return };
        let Met { from, view: theirs, terms } = &met;
        if theirs.contains(self.me.id) {
            self.take_view(now, &met.from, met.view, &met.terms);
            return;
        }
        if place.rejoin.is_some() || place.leaving_since.is_some() {
            return;
        }
        let is_theirs = if self.is_of_an_outsider(theirs) {
            // Those of ours that it lists have not gone there.
            theirs.outranks_whole(&place.view)
        } else {
            theirs.outranks(&place.view)
        };
        if place.claim.is_some() || (self.is_awakening(now) && !is_theirs) {
            // Nothing is decided before this member knows what the others did.
            let Phase::In(place) = &mut self.phase else { return };
            place.deferred = Some(Box::new(met));
            return;
        }
        if place.view.coordinator().id != self.me.id {
            self.sight(now, &Summary::of(theirs));
            return;
        }
        // Whichever of the two leads: nothing that was set in one of them can change.
        let differences = self.terms.differences(terms);
        if !differences.is_empty() {
            if !self.must_wait(now, from) {
                self.refuse(now, from.clone(), Refusal::Differs(differences), false);
            }
            return;
        }
        if is_theirs {
            // They took this side for the stronger one. With both views in hand it is not.
            if !self.is_put_off(now) && self.may_ask(now, Asked::Merge, from.id) {
                self.ask_to_merge(now, from.clone());
            }
            return;
        }
        if self.must_wait(now, from) {
            return;
        }
        let Some(unreachable) = self.check_merge(now, &met) else { return };
        let Phase::In(place) = &self.phase else { return };
        let newcomers = || theirs.members().iter().filter(|m| !place.view.contains(m.id));
        if newcomers().next().is_some() && newcomers().all(|m| unreachable.contains(&m.id)) {
            let why = self.unreached(from.id);
            // Of one that answers this member, an answer is no news.
            let by_me = why == Refusal::Unreachable;
            self.refuse(now, from.clone(), why, by_me);
            return;
        }
        let epoch = place.view.id.epoch.max(theirs.id.epoch).saturating_add(1);
        let version = place.view.id.version.max(theirs.id.version);
        let changes = self.terms.changes(terms);
        let members = place.view.adopt_members_of(theirs);
        let lineage = place.view.lineage;
        let Phase::In(place) = &mut self.phase else { return };
        for member in members.into_iter().filter(|m| !unreachable.contains(&m.id)) {
            // Their ages are settled: kept, or given in their order.
            place.joining.insert(member.id, (member, Some(lineage)));
        }
        place.claim = None;
        self.report_changes(from, changes);
        self.publish(now, epoch, version);
        // The sender may have been in our view all along, under a view of its
        // own: it is owed the answer even then.
        if let Some(view) = self.view().cloned() {
            self.send(from.clone(), self.shown(view));
        }
    }

    /// A cluster asked to be taken in while this member did not know where it stood.
    pub(super) fn tick_deferred(&mut self, now: Duration) {
        let is_awakening = self.is_awakening(now);
        let Phase::In(place) = &mut self.phase else { return };
        if place.claim.is_none()
            && !is_awakening
            && let Some(met) = place.deferred.take()
        {
            self.take_merge(now, *met);
        }
    }

    /// When that is due.
    pub(super) fn deferred_due(place: &Place) -> Option<Duration> {
        place.deferred.as_ref()?;
        let awake = place.awake_since.map(|since| since + AWAKE_WAIT);
        Some(awake.unwrap_or_default())
    }

    /// The others went on without this member: it asks to be let in again.
    pub(super) fn rejoin(&mut self, now: Duration, coordinator: Member) {
        let Phase::In(place) = &mut self.phase else { return };
        let is_asked = |rejoin: &Rejoin| {
            rejoin.coordinator.id == coordinator.id || rejoin.tries < REJOIN_TRIES_MIN
        };
        if place.rejoin.as_deref().is_some_and(is_asked) || coordinator.id == self.me.id {
            return;
        }
        let rejoin = Rejoin { coordinator: coordinator.clone(), asked_at: now, tries: 1 };
        place.rejoin = Some(Box::new(rejoin));
        place.claim = None;
        place.merging = None;
        place.newcomers.clear();
        place.joining.clear();
        place.departing.clear();
        place.checks.clear();
        if self.calls.own_refusal.is_none() {
            self.emit(Event::Returning { coordinator: coordinator.clone() });
        }
        self.apply_to(coordinator);
    }

    pub(super) fn take_redirect(&mut self, now: Duration, from: &Member, coordinator: Member) {
        let Phase::In(place) = &mut self.phase else {
            self.redirect_while_starting(now, from, coordinator);
            return;
        };
        let Some(rejoin) = &mut place.rejoin else { return };
        if coordinator.id == self.me.id {
            place.rejoin = None;
        } else if coordinator.id != rejoin.coordinator.id {
            rejoin.coordinator = coordinator.clone();
            rejoin.asked_at = now;
            self.apply_to(coordinator);
        }
    }

    pub(super) fn tick_rejoin(&mut self, now: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        let Some(rejoin) = &mut place.rejoin else { return };
        if now < rejoin.asked_at + self.config.answer_wait {
            return;
        }
        if rejoin.tries >= REJOIN_TRIES_MAX {
            let coordinator = rejoin.coordinator.clone();
            place.rejoin = None;
            place.unreviewed = true;
            if self.swim.is_active(coordinator.id) {
                self.note_coordinator_silent(now, &coordinator);
            }
            return;
        }
        rejoin.tries += 1;
        rejoin.asked_at = now;
        let coordinator = rejoin.coordinator.clone();
        self.apply_to(coordinator);
    }
}
