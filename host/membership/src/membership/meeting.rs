//! Views of others: newer, older, foreign.
//!
//! | the other's view | ours | then |
//! |---|---|---|
//! | holds us, newer | – | take it |
//! | holds us, older | – | tell the other |
//! | lacks us, newer | holds the other | they went on without us: ask to be let in |
//! | lacks us | lacks the other | two clusters: the lower in [`Rank`] goes to the higher |
//!
//! [`Rank`]: crate::view::Rank

use std::time::Duration;

use super::{Asked, Event, Membership, Phase, REJOIN_TRIES_MAX, Rejoin};
use crate::member::Member;
use crate::message::{Message, Summary};
use crate::view::View;

impl Membership {
    /// A handshake with a member of some cluster.
    pub(super) fn meet_settled(&mut self, now: Duration, member: Member, summary: Summary) {
        let Phase::In(place) = &self.phase else {
            self.meet_cluster_while_starting(now, member, summary);
            return;
        };
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

    /// Somebody's view: see the table above.
    pub(super) fn consider(&mut self, now: Duration, from: &Member, view: View) {
        let Phase::In(place) = &self.phase else {
            self.consider_while_starting(now, from, view);
            return;
        };
        let newer = view.id.is_newer_than(&place.view.id);
        if view.stamp() == place.view.stamp() {
            self.claim_heard(now, from.id);
        } else if view.contains(self.me.id) {
            if newer {
                self.adopt(now, view, &[]);
                self.claim_heard(now, from.id);
            } else {
                self.claim_heard(now, from.id);
                self.tell(now, from);
            }
        } else if place.leaving_since.is_some() && newer {
            self.finish_leaving(now);
        } else if place.view.contains(from.id) && newer {
            self.rejoin(now, view.coordinator().clone());
        } else {
            self.sight(now, &Summary::of(&view));
        }
    }

    fn consider_while_starting(&mut self, now: Duration, from: &Member, view: View) {
        if view.contains(self.me.id) {
            self.adopt(now, view, &[]);
        } else {
            let summary = Summary::of(&view);
            self.meet_cluster_while_starting(now, from.clone(), summary);
        }
    }

    pub(super) fn tell(&mut self, now: Duration, whom: &Member) {
        if self.may_ask(now, Asked::Tell, whom.id)
            && let Some(view) = self.view().cloned()
        {
            self.send(whom.clone(), Message::View(view));
        }
    }

    /// Another cluster was seen, by this member or one of its own.
    pub(super) fn sight(&mut self, now: Duration, other: &Summary) {
        let Phase::In(place) = &self.phase else { return };
        let view = &place.view;
        if place.rejoin.is_some()
            || place.leaving_since.is_some()
            || other.stamp == view.stamp()
            || (view.contains(other.coordinator.id) && view.lineage == other.lineage)
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
        let ours_leads = view.rank() > other.rank();
        let message = if ours_leads {
            Message::Sighting(Summary::of(view))
        } else {
            Message::Merge(view.clone())
        };
        let what = if ours_leads { Asked::Sighting } else { Asked::Merge };
        if self.may_ask(now, what, other.coordinator.id) {
            self.emit(Event::Met { other: other.clone(), ours_leads });
            self.send(other.coordinator.clone(), message);
        }
    }

    /// A lower-ranked cluster asks to be taken in.
    pub(super) fn take_merge(&mut self, now: Duration, from: &Member, theirs: View) {
        let Phase::In(place) = &self.phase else { return };
        if theirs.contains(self.me.id) {
            self.consider(now, from, theirs);
            return;
        }
        let leads = place.view.coordinator().id == self.me.id
            && place.rejoin.is_none()
            && place.leaving_since.is_none();
        if !leads || theirs.rank() > place.view.rank() {
            self.sight(now, &Summary::of(&theirs));
            return;
        }
        let epoch = place.view.id.epoch.max(theirs.id.epoch).saturating_add(1);
        let version = place.view.id.version.max(theirs.id.version);
        let members = place.view.adopt_members_of(&theirs);
        let lineage = place.view.lineage;
        let Phase::In(place) = &mut self.phase else { return };
        for member in members {
            // Their ages are settled: kept, or given in their order.
            place.joining.insert(member.id, (member, Some(lineage)));
        }
        place.claim = None;
        self.publish(now, epoch, version);
        // The sender may have been in our view all along, under a view of its
        // own: it is owed the answer even then.
        if let Some(view) = self.view().cloned() {
            self.send(from.clone(), Message::View(view));
        }
    }

    /// The others went on without this member: it asks to be let in again.
    pub(super) fn rejoin(&mut self, now: Duration, coordinator: Member) {
        let lineage = self.lineage();
        let Phase::In(place) = &mut self.phase else { return };
        if place.rejoin.is_some() || coordinator.id == self.me.id {
            return;
        }
        place.rejoin = Some(Rejoin { coordinator: coordinator.clone(), asked_at: now, tries: 1 });
        place.claim = None;
        place.joining.clear();
        place.departing.clear();
        place.checks.clear();
        self.emit(Event::Returning { coordinator: coordinator.clone() });
        self.send(coordinator, Message::Join { member: self.me.clone(), lineage });
    }

    pub(super) fn take_redirect(&mut self, now: Duration, coordinator: Member) {
        let lineage = self.lineage();
        let Phase::In(place) = &mut self.phase else {
            self.redirect_while_starting(now, coordinator);
            return;
        };
        let Some(rejoin) = &mut place.rejoin else { return };
        if coordinator.id == self.me.id {
            place.rejoin = None;
        } else if coordinator.id != rejoin.coordinator.id {
            rejoin.coordinator = coordinator.clone();
            rejoin.asked_at = now;
            self.send(coordinator, Message::Join { member: self.me.clone(), lineage });
        }
    }

    pub(super) fn tick_rejoin(&mut self, now: Duration) {
        let lineage = self.lineage();
        let Phase::In(place) = &mut self.phase else { return };
        let Some(rejoin) = &mut place.rejoin else { return };
        if now < rejoin.asked_at + self.config.answer_wait {
            return;
        }
        if rejoin.tries >= REJOIN_TRIES_MAX {
            place.rejoin = None;
            place.unreviewed = true;
            return;
        }
        rejoin.tries += 1;
        rejoin.asked_at = now;
        let coordinator = rejoin.coordinator.clone();
        self.send(coordinator, Message::Join { member: self.me.clone(), lineage });
    }
}
