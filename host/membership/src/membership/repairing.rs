//! Catching up with what was missed, and calling the lost.

use std::time::Duration;

use rand::seq::IteratorRandom as _;

use super::{Asked, Losses, Membership, Output, Phase, Place, Reach};
use crate::member::{Member, MemberId};
use crate::message::{DEPARTURES_MAX, Message};
use crate::view::{Departure, Stamp};

/// A step may still be on its way: so long a member waits before it asks.
const CATCHUP_DELAY: Duration = Duration::from_millis(30);
/// Lost members that are remembered, at most.
const LOST_MAX: usize = 1_024;
/// Lost members called at a time.
const RECALLS_MAX: usize = 16;
/// A lost member at whose address nothing, or another process, was found so
/// often will not come back.
const GONE_MAX: u32 = 2;
/// After so many calls, only each tenth is made.
const CALLS_BEFORE_PATIENCE: u32 = 300;

/// A newer view exists: ask for it unless it arrives by itself.
pub(super) struct Catchup {
    from: MemberId,
    stamp: Stamp,
    pub(super) due_at: Duration,
}

/// A member that was lost and may come back, as after a split.
pub(super) struct Lost {
    member: Member,
    calls: u32,
    gone: u32,
}

impl Place {
    /// A lost member says where it is now.
    pub(super) fn note_address_of_lost(&mut self, member: &Member) {
        if let Some(lost) = self.lost.get_mut(&member.id) {
            lost.member.addresses.clone_from(&member.addresses);
        }
    }

    pub(super) fn remember_lost(&mut self, now: Duration, member: Member) {
        if self.lost.len() < LOST_MAX {
            self.lost.insert(member.id, Lost { member, calls: 0, gone: 0 });
            self.recall_at = self.recall_at.min(now + Duration::from_secs(1));
        }
    }
}

impl Membership {
    /// What goes before a whole view, if anybody has gone.
    pub(super) fn recent_departures(&self) -> Option<Message> {
        let departures = || self.departures.iter().copied().collect();
        (!self.departures.is_empty()).then(|| Message::Departures(departures()))
    }

    /// These members have gone, or are missing in a view that is about to come.
    pub(super) fn note_departures(
        &mut self,
        departures: impl IntoIterator<Item = (MemberId, Departure)>,
    ) {
        for (id, how) in departures {
            self.departures.retain(|(known, _)| *known != id);
            if self.departures.len() == DEPARTURES_MAX {
                self.departures.pop_front();
            }
            self.departures.push_back((id, how));
        }
    }

    /// The sender of a datagram holds this view.
    pub(super) fn note_stamp(&mut self, now: Duration, from: MemberId, stamp: Stamp) {
        let Phase::In(place) = &mut self.phase else { return };
        let newest = place.catchup.as_ref().map_or(place.view.id, |catchup| catchup.stamp.id);
        if stamp.id.is_newer_than(&newest) {
            let due_at = place.catchup.as_ref().map_or(now + CATCHUP_DELAY, |c| c.due_at);
            place.catchup = Some(Catchup { from, stamp, due_at });
        }
    }

    pub(super) fn tick_catchup(&mut self, now: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        let Some(catchup) = &mut place.catchup else { return };
        if now < catchup.due_at {
            return;
        }
        if !catchup.stamp.id.is_newer_than(&place.view.id) {
            place.catchup = None;
            return;
        }
        // The one who has it; when that one is not known here, whoever leads.
        let Catchup { from, .. } = *catchup;
        let whom = place.view.get(from).or_else(|| place.lost.get(&from).map(|lost| &lost.member));
        let whom = whom.unwrap_or_else(|| place.view.coordinator()).clone();
        place.catchup = None;
        let have = Some(place.view.stamp());
        if whom.id != self.me.id && self.may_ask(now, Asked::Pull, whom.id) {
            self.send(whom, Message::Pull { have });
        }
    }

    /// Gives the steps from the view that the other has, or the whole view.
    pub(super) fn answer_pull(&mut self, to: &Member, have: Option<Stamp>) {
        let Phase::In(place) = &self.phase else { return };
        let mine = place.view.stamp();
        let start = place.history.iter().position(|step| Some(step.base) == have);
        // The other side may be waiting for any answer: one that has the same
        // view gets it all the same.
        let steps = start.map(|start| place.history.range(start..));
        let whole = steps
            .clone()
            .is_none_or(|mut steps| !steps.next_back().is_some_and(|last| last.id == mine.id));
        let message = if whole {
            self.shown(place.view.clone())
        } else {
            Message::Deltas(steps.into_iter().flatten().cloned().collect())
        };
        self.send(to.clone(), message);
    }

    /// What a call to a lost member gave.
    pub(super) fn reach_lost(&mut self, id: MemberId, reach: Reach) {
        let Phase::In(place) = &mut self.phase else { return };
        let Some(lost) = place.lost.get_mut(&id) else { return };
        match reach {
            Reach::Gone | Reach::Displaced => {
                lost.gone += 1;
                if lost.gone >= GONE_MAX {
                    place.lost.remove(&id);
                }
            }
            Reach::Answered | Reach::Silent => lost.gone = 0,
        }
    }

    /// The coordinator calls lost members: a split heals when one answers.
    pub(super) fn tick_lost(&mut self, now: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        if now < place.recall_at {
            return;
        }
        place.recall_at = now + self.config.recall_period;
        if place.view.coordinator().id != self.me.id {
            return;
        }
        let mut due: Vec<_> = place.lost.values_mut().collect();
        due.sort_by_key(|lost| lost.calls);
        for lost in due.into_iter().take(RECALLS_MAX) {
            lost.calls += 1;
            // Whether one is steady shows only if it is called all the time.
            let is_watched = place.losses.get(&lost.member.id).is_some_and(Losses::is_proving);
            let is_due = lost.calls < CALLS_BEFORE_PATIENCE || lost.calls.is_multiple_of(10);
            if is_due || is_watched {
                self.outputs.push_back(Output::Call { to: lost.member.clone(), patient: false });
            }
        }
    }

    /// Exchanges all that SWIM knows with one member.
    pub(super) fn tick_sync(&mut self, now: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        if now < place.sync_at {
            return;
        }
        place.sync_at = now + self.config.sync_period;
        let me = self.me.id;
        let others = place.view.members().iter().filter(|m| m.id != me);
        if let Some(peer) = others.choose(&mut self.rng).cloned() {
            let health = self.swim.state();
            self.send(Member::clone(&peer), Message::Sync { health, reply: true });
        }
    }
}
