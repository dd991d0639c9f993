//! Members of the view that cannot be called any more, while the failure detector still hears
//! them: their address is gone, or a firewall was closed. What they store is out of reach, so
//! they are removed, and let in again when they can be called.
//!
//! The oldest other member decides. It calls for [`UNCALLABLE_FOR`], and asks [`OPINIONS`]
//! others to call before it removes anybody.
//!
//! Two members may be unable to call each other while everybody else can call both: a partial
//! partition (Alfatafta et al., OSDI 2020). What one of them stores with the other then waits
//! for ever, for all clients. So members report whom they cannot call, and after
//! [`PARTED_FOR`] one of the two is removed: that with more such pairs, or else the younger.
//! It is let in again once those whom it could not reach can call it. Of several pairs, one
//! is ended at a time: what its member stored has to be replicated again before the next goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::admitting::ms;
use super::{Asked, Event, Membership, Output, Phase, Place, Reach};
use crate::member::{Member, MemberId};
use crate::message::{Message, Refusal};

/// How long calls to a member must fail before it is removed.
const UNCALLABLE_FOR: Duration = Duration::from_secs(15);
/// From one call to the next.
const CALL_EACH: Duration = Duration::from_secs(2);
/// How long two members must have been unable to call each other before one of them is removed:
/// longer than a member that nobody can call is waited for.
const PARTED_FOR: Duration = Duration::from_secs(25);
/// From the loss of a member to such a removal.
const PARTED_EACH: Duration = Duration::from_secs(10);
/// A report that one member cannot call another counts for so long: several times as long as
/// from one report to the next.
const REPORT_LASTS: Duration = Duration::from_secs(10);
/// Pairs of members that are remembered at most.
const PAIRS_MAX: usize = 1_024;
/// Other members that must have called one in vain, if there are as many.
const OPINIONS: usize = 2;
/// How long an opinion may take; then another member is asked.
const SECOND_WAIT: Duration = Duration::from_millis(1_500);

/// A member that did not answer calls.
pub(super) struct Doubt {
    since: Duration,
    call_at: Duration,
    /// Who was asked for another opinion, and when.
    second: Option<(MemberId, Duration)>,
    /// Those that could not call it either.
    agree: Vec<MemberId>,
}

/// Reports of one member that it cannot call another.
pub(super) struct Report {
    /// Since when none of its calls was answered.
    since: Duration,
    /// When the last of them failed, or was reported to have failed.
    last: Duration,
}

/// Members that could not call each other, by the one that was removed for it.
pub(super) type Parted = BTreeMap<MemberId, MemberId>;

impl Doubt {
    fn new(now: Duration) -> Self {
        Self { since: now, call_at: now + CALL_EACH, second: None, agree: Vec::new() }
    }

    fn next_deadline(&self) -> Duration {
        self.second.map_or(self.call_at, |(_, at)| at + SECOND_WAIT)
    }
}

impl Membership {
    /// Who decides about a member: the oldest other one that is not known to be dead.
    fn decider<'a>(&'a self, place: &'a Place, of: MemberId) -> &'a Member {
        self.living(place).find(|m| m.id != of).unwrap_or(&self.me)
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
            place.uncallable.remove(&(self.me.id, id));
            return;
        }
        if id == self.me.id || !place.view.contains(id) || !self.swim.is_active(id) {
            return;
        }
        let Phase::In(place) = &self.phase else { return };
        let decider = self.decider(place, id).clone();
        let me = self.me.id;
        // One of the two oldest decides whichever of the two is to go, and counts all pairs.
        let deciders = self.living(place).take(2).filter(|m| m.id != me);
        let deciders: Vec<Member> = deciders.cloned().collect();
        let known = place.uncallable.get(&(me, id));
        let known = known.filter(|report| now < report.last + REPORT_LASTS);
        let lasts = known.map_or(Duration::ZERO, |report| now.saturating_sub(report.since));
        if self.may_ask(now, Asked::Uncallable, id) {
            for to in deciders {
                self.send(to, Message::Uncallable { id, for_ms: ms(lasts) });
            }
            self.note_report(now, me, id, lasts);
        }
        if decider.id != me {
            return;
        }
        let Phase::In(place) = &mut self.phase else { return };
        place.doubts.entry(id).or_insert_with(|| Doubt::new(now));
    }

    /// A member could not call another for a time.
    fn note_report(&mut self, now: Duration, by: MemberId, of: MemberId, lasts: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        let reports = &mut place.uncallable;
        reports.retain(|_, report| now < report.last + REPORT_LASTS);
        if by == of || !place.view.contains(by) || !place.view.contains(of) {
            return;
        }
        if reports.len() < PAIRS_MAX || reports.contains_key(&(by, of)) {
            let report = Report { since: now.saturating_sub(lasts), last: now };
            reports.insert((by, of), report);
            if lasts >= PARTED_FOR && self.lives(by) && self.lives(of) {
                self.part(now, by, of);
            }
        }
    }

    /// Removes one of two members that cannot call each other, if that is for this member to do.
    fn part(&mut self, now: Duration, by: MemberId, of: MemberId) {
        let Phase::In(place) = &self.phase else { return };
        let pairs = |id: MemberId| {
            let of_id = place.uncallable.keys().filter(|(a, b)| *a == id || *b == id);
            let mut others: Vec<_> = of_id.map(|(a, b)| if *a == id { *b } else { *a }).collect();
            others.sort_unstable();
            others.dedup();
            others.len()
        };
        let at = |id: MemberId| place.view.members().iter().position(|member| member.id == id);
        let (first, second) = if at(by) < at(of) { (by, of) } else { (of, by) };
        let (stays, goes) =
            if pairs(first) > pairs(second) { (second, first) } else { (first, second) };
        // A member that nobody can call is for its decider to call.
        let is_outside = place.rejoin.is_some() || self.calls.own_refusal.is_some();
        if is_outside || self.decider(place, goes).id != self.me.id {
            return;
        }
        if place.lost_at.is_some_and(|at| now < at + PARTED_EACH) {
            return;
        }
        let members = (place.view.get(stays).cloned(), place.view.get(goes).cloned());
        let Phase::In(place) = &mut self.phase else { return };
        place.uncallable.retain(|(a, b), _| *a != goes && *b != goes);
        if place.parted.len() >= PAIRS_MAX {
            place.parted.pop_first();
        }
        place.parted.insert(goes, stays);
        if let (Some(stays), Some(goes)) = members {
            self.emit(Event::Parted { stays, goes });
        }
        self.put_out(now, goes);
    }

    /// The member of the view for which another one was removed, as they could not call each
    /// other.
    pub(super) fn parted_from(&mut self, id: MemberId) -> Option<Member> {
        let member = self.counterpart(id).cloned();
        if member.is_none()
            && let Phase::In(place) = &mut self.phase
        {
            place.parted.remove(&id);
        }
        member
    }

    fn counterpart(&self, id: MemberId) -> Option<&Member> {
        let place = self.phase.place()?;
        place.view.get(*place.parted.get(&id)?)
    }

    /// Why a member that was called in vain is not let in.
    pub(super) fn unreached(&self, id: MemberId) -> Refusal {
        let parted = |other: &Member| Refusal::Parted { other: other.address() };
        self.counterpart(id).map_or(Refusal::Unreachable, parted)
    }

    /// Another member cannot call this one.
    pub(super) fn take_uncallable(
        &mut self,
        now: Duration,
        by: MemberId,
        id: MemberId,
        lasts: Duration,
    ) {
        self.note_report(now, by, id, lasts);
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
            *doubt = Doubt::new(now);
            return;
        }
        doubt.agree.push(by);
        (doubt.second, doubt.call_at) = (None, now);
        self.tick_doubts(now);
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
            let Phase::In(place) = &self.phase else { return };
            let agree = place.doubts.get(&id).map_or(Vec::new(), |doubt| doubt.agree.clone());
            let second = self.any_other(|other| other == id || agree.contains(&other));
            let second = second.filter(|_| agree.len() < OPINIONS);
            let Phase::In(place) = &mut self.phase else { return };
            let Some(doubt) = place.doubts.get_mut(&id) else { continue };
            // One that was asked and does not answer says nothing: perhaps it is this member
            // that reaches nobody.
            let is_silent = doubt.second.take().is_some();
            if is_silent || now < doubt.since + UNCALLABLE_FOR {
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
        if let Some(member) = self.view().and_then(|view| view.get(id)).cloned() {
            self.emit(Event::Uncallable(member));
        }
        self.put_out(now, id);
    }

    /// Has a member removed, though SWIM hears it.
    fn put_out(&mut self, now: Duration, id: MemberId) {
        self.forget_doubt(id);
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
