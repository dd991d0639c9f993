//! Members of the view that cannot be called any more, while the failure detector still hears
//! them: their address is gone, or a firewall was closed. What they store is out of reach, so
//! they are removed, and let in again when they can be called.
//!
//! The oldest other member decides. It calls for [`UNCALLABLE_FOR`], and asks for a second
//! opinion before it removes anybody.

use std::time::Duration;

use super::{Asked, Event, Membership, Output, Phase, Place, Reach};
use crate::member::{Member, MemberId};
use crate::message::Message;

/// How long calls to a member must fail before it is removed.
const UNCALLABLE_FOR: Duration = Duration::from_secs(15);
/// From one call to the next.
const CALL_EACH: Duration = Duration::from_secs(2);
/// How long the second opinion may take; none is no objection.
const SECOND_WAIT: Duration = Duration::from_millis(1_500);

/// A member that did not answer calls.
pub(super) struct Doubt {
    since: Duration,
    call_at: Duration,
    /// Who was asked for a second opinion, and when.
    second: Option<(MemberId, Duration)>,
}

impl Doubt {
    fn next_deadline(&self) -> Duration {
        self.second.map_or(self.call_at, |(_, at)| at + SECOND_WAIT)
    }
}

impl Membership {
    /// Who decides about a member: the oldest other one that is not known to be dead.
    fn decider<'a>(&'a self, place: &'a Place, of: MemberId) -> &'a Member {
        let others = place.view.members().iter().filter(|m| m.id != of);
        let mut living = others.filter(|m| m.id == self.me.id || self.swim.is_active(m.id));
        living.next().map_or(&self.me, |m| m)
    }

    /// A probe of a member failed, or a stream of its data: can it be called?
    pub(super) fn doubt(&mut self, now: Duration, id: MemberId) {
        let Some(member) = self.view().and_then(|view| view.get(id)).cloned() else { return };
        if self.may_ask(now, Asked::Doubt, id) {
            self.outputs.push_back(Output::Call { to: member, patient: true });
        }
    }

    /// A call to a member of the view ended.
    pub(super) fn reach_doubted(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let Phase::In(place) = &mut self.phase else { return };
        if reach == Reach::Answered {
            place.doubts.remove(&id);
            return;
        }
        if id == self.me.id || !place.view.contains(id) || !self.swim.is_active(id) {
            return;
        }
        let Phase::In(place) = &self.phase else { return };
        let decider = self.decider(place, id).clone();
        if decider.id != self.me.id {
            if self.may_ask(now, Asked::Uncallable, id) {
                self.send(decider, Message::Uncallable { id });
            }
            return;
        }
        let Phase::In(place) = &mut self.phase else { return };
        let new = Doubt { since: now, call_at: now + CALL_EACH, second: None };
        place.doubts.entry(id).or_insert(new);
    }

    /// Another member cannot call this one.
    pub(super) fn take_uncallable(&mut self, now: Duration, id: MemberId) {
        let Phase::In(place) = &self.phase else { return };
        if !place.doubts.contains_key(&id) && self.decider(place, id).id == self.me.id {
            self.doubt(now, id);
        }
    }

    /// A second opinion came.
    pub(super) fn note_second(&mut self, now: Duration, by: MemberId, id: MemberId, reached: bool) {
        let Phase::In(place) = &mut self.phase else { return };
        let Some(doubt) = place.doubts.get_mut(&id) else { return };
        if doubt.second.is_none_or(|(second, _)| second != by) {
            return;
        }
        if reached {
            // It is this member that has no way there, or calls get through now and then.
            *doubt = Doubt { since: now, call_at: now + CALL_EACH, second: None };
        } else {
            self.remove_uncallable(now, id);
        }
    }

    pub(super) fn tick_doubts(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        let due = place.doubts.iter().filter(|(_, doubt)| now >= doubt.next_deadline());
        let due: Vec<MemberId> = due.map(|(id, _)| *id).collect();
        for id in due {
            let Phase::In(place) = &self.phase else { return };
            let member = place.view.get(id).cloned();
            let decides = self.decider(place, id).id == self.me.id && place.rejoin.is_none();
            let Some(member) = member.filter(|_| decides && self.swim.is_active(id)) else {
                self.forget_doubt(id);
                continue;
            };
            let second = self.any_other(|other| other == id);
            let Phase::In(place) = &mut self.phase else { return };
            let Some(doubt) = place.doubts.get_mut(&id) else { continue };
            if doubt.second.is_some() {
                self.remove_uncallable(now, id);
            } else if now < doubt.since + UNCALLABLE_FOR {
                doubt.call_at = now + CALL_EACH;
                self.outputs.push_back(Output::Call { to: member, patient: true });
            } else if let Some(second) = second {
                doubt.second = Some((second.id, now));
                self.send(second, Message::Vouch { member });
            } else {
                self.remove_uncallable(now, id);
            }
        }
    }

    fn forget_doubt(&mut self, id: MemberId) {
        if let Phase::In(place) = &mut self.phase {
            place.doubts.remove(&id);
        }
    }

    fn remove_uncallable(&mut self, now: Duration, id: MemberId) {
        self.forget_doubt(id);
        if let Some(member) = self.view().and_then(|view| view.get(id)).cloned() {
            self.emit(Event::Uncallable(member));
        }
        if let Phase::In(place) = &mut self.phase {
            place.condemn(id);
        }
        self.swim.declare_down(now, id);
    }
}

impl Place {
    pub(super) fn doubts_due(&self) -> Option<Duration> {
        self.doubts.values().map(Doubt::next_deadline).min()
    }
}
