//! What the oldest living member does: admit, remove, publish, take over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Applicant, Event, HISTORY_MAX, Membership, Output, Phase, Place, Reach};
use crate::config::SWIM_PACKET_BYTES_MAX;
use crate::member::{Member, MemberId};
use crate::message::{Message, Packet, Refusal};
use crate::view::{Delta, Departure, MEMBERS_MAX, ViewId};

/// Changes in one step, at most, so that it fits a datagram.
const CHANGES_MAX: usize = 8;
/// How long a second opinion may take.
const CHECK_WAIT: Duration = Duration::from_millis(500);
/// How often a member that answers calls, and whom SWIM still holds for dead,
/// gets another second opinion.
const CHECK_AGAIN: Duration = Duration::from_millis(1_000);
/// A member that leaves says so to the oldest others, at most this many: several may leave
/// together, and the last that was notified knows how they went.
const LEAVE_NOTIFIED_MAX: usize = 4;
/// Members that answer calls but no probe are given up after so many.
const CHECKS_MAX: u32 = 5;

/// A second opinion on a member that SWIM holds for dead: a fresh connection.
pub(super) struct Check {
    asked_at: Duration,
    answered: u32,
    pending: bool,
}

impl Check {
    pub(super) fn next_deadline(&self) -> Duration {
        self.asked_at + if self.pending { CHECK_WAIT } else { CHECK_AGAIN }
    }
}

/// Taking over from a coordinator that is gone: first, everybody's view, since
/// the last change may have reached others and not this member.
pub(super) struct Claim {
    pub(super) since: Duration,
    pub(super) awaited: BTreeSet<MemberId>,
}

impl Place {
    fn has_room(&self) -> bool {
        self.view.len() + self.joining.len() + self.newcomers.len() < MEMBERS_MAX
    }

    /// When there is something to publish, if there is or will be.
    fn change_due(&self) -> Option<Duration> {
        let is_now = !self.joining.is_empty() || !self.departing.is_empty();
        if is_now { Some(Duration::ZERO) } else { self.moved_due() }
    }

    pub(super) fn remember_step(&mut self, delta: Delta) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(delta);
    }
}

impl Membership {
    /// Whether this member decides now: it is the oldest of those that are not
    /// known to be dead, and is not itself on its way out or back in.
    pub(super) fn is_acting(&self, place: &Place) -> bool {
        place.rejoin.is_none()
            && place.leaving_since.is_none()
            && self.acting(place).id == self.me.id
    }

    /// Whether a member is not known to be dead. SWIM says nothing of this member itself.
    pub(super) fn lives(&self, id: MemberId) -> bool {
        id == self.me.id || self.swim.is_active(id)
    }

    /// The members of the view that are not known to be dead, oldest first.
    pub(super) fn living<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Member> {
        place.view.members().iter().map(|member| &**member).filter(|m| self.lives(m.id))
    }

    /// The oldest member that is not known to be dead.
    pub(super) fn acting<'a>(&'a self, place: &'a Place) -> &'a Member {
        self.living(place).next().unwrap_or(&self.me)
    }

    /// A member asks to be let in.
    pub(super) fn take_join(&mut self, now: Duration, applicant: Applicant) {
        let member = &applicant.member;
        if member.id == self.me.id {
            return;
        }
        if let Phase::In(place) = &mut self.phase {
            place.note_address_of_lost(member);
        }
        let Phase::In(place) = &self.phase else {
            self.keep_waiting(applicant);
            return;
        };
        if !self.is_acting(place) {
            let coordinator = self.acting(place).clone();
            if coordinator.id != self.me.id && coordinator.id != member.id {
                self.send(applicant.member, Message::Redirect { coordinator });
            }
            return;
        }
        let known = place.view.get(member.id);
        let stays = known.is_some_and(|known| known.generation >= member.generation)
            && self.swim.is_active(member.id)
            && !place.departing.contains_key(&member.id);
        if stays {
            let view = self.shown(place.view.clone());
            self.send(applicant.member, view);
            return;
        }
        if place.joining.contains_key(&member.id) || self.must_wait(now, member) {
            // It is about to be published, or has to ask again later.
            return;
        }
        let Applicant { member, lineage, terms } = applicant;
        let differences = self.terms.differences(&terms);
        if !differences.is_empty() {
            self.refuse(now, member, Refusal::Differs(differences), false);
        } else if self.phase.place().is_some_and(Place::has_room) {
            let place = self.phase.place();
            if place.is_some_and(|place| !place.newcomers.contains_key(&member.id)) {
                self.report_changes(&member, self.terms.changes(&terms));
            }
            self.check_newcomer(now, member, lineage, false);
        }
    }

    /// A member says that it leaves.
    pub(super) fn take_leave(&mut self, id: MemberId) {
        let Phase::In(place) = &mut self.phase else { return };
        place.joining.remove(&id);
        place.newcomers.remove(&id);
        if place.view.contains(id) {
            place.departing.insert(id, Departure::Left);
            // Somebody waits for this to stop.
            place.published_at = None;
        }
    }

    /// SWIM saw a member alive.
    pub(super) fn see_up(&mut self, id: MemberId) {
        let Phase::In(place) = &mut self.phase else { return };
        let was_checked = place.checks.remove(&id).is_some();
        let was_condemned = place.departing.get(&id) == Some(&Departure::Lost);
        if was_condemned {
            place.departing.remove(&id);
        }
        if (was_checked || was_condemned)
            && let Some(member) = place.view.get(id).cloned()
        {
            self.emit(Event::FalseAlarm(member));
        }
    }

    /// Looks after members that SWIM holds for dead: asks for a second opinion,
    /// and removes those for whom there is none.
    pub(super) fn review(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        if !self.is_acting(place) {
            return;
        }
        if !place.unreviewed && place.checks.values().all(|check| now < check.next_deadline()) {
            return;
        }
        let dead: Vec<Member> = place
            .view
            .members()
            .iter()
            .filter(|m| m.id != self.me.id && !self.swim.is_active(m.id))
            .filter(|m| !place.departing.contains_key(&m.id))
            .map(|m| Member::clone(m))
            .collect();
        if let Phase::In(place) = &mut self.phase {
            place.unreviewed = false;
        }
        for member in dead {
            let Phase::In(place) = &mut self.phase else { return };
            match place.checks.get_mut(&member.id) {
                None => {
                    let check = Check { asked_at: now, answered: 0, pending: true };
                    place.checks.insert(member.id, check);
                    self.outputs.push_back(Output::Call { to: member, patient: false });
                }
                Some(check) if now >= check.next_deadline() => {
                    if check.pending || check.answered >= CHECKS_MAX {
                        place.condemn(member.id);
                    } else {
                        check.pending = true;
                        check.asked_at = now;
                        self.outputs.push_back(Output::Call { to: member, patient: false });
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// What a call to a member of the view gave.
    pub(super) fn reach_checked(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let Phase::In(place) = &mut self.phase else { return };
        if !place.view.contains(id) || id == self.me.id {
            return;
        }
        match reach {
            Reach::Answered => {
                if let Some(check) = place.checks.get_mut(&id) {
                    check.pending = false;
                    check.answered += 1;
                    check.asked_at = now;
                }
            }
            Reach::Gone => {
                place.condemn(id);
                self.swim.declare_down(now, id);
            }
            // Neither is proof of a death. SWIM has asked other members by the time
            // that there is a check.
            Reach::Displaced | Reach::Silent => {
                if place.checks.contains_key(&id) {
                    place.condemn(id);
                }
            }
        }
    }

    /// When the next publication is due, if there is something to publish.
    pub(super) fn publication_due(&self, place: &Place) -> Option<Duration> {
        let first = place.change_due()?;
        let due = place.published_at.map_or(Duration::ZERO, |at| at + self.config.publish_period);
        let due = due.max(Self::newcomers_awaited(place, &self.config).unwrap_or_default());
        (place.claim.is_none() && self.is_acting(place)).then_some(due.max(first))
    }

    /// Publishes what has come together, in steps that fit a datagram.
    pub(super) fn publish_when_due(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        if self.publication_due(place).is_none_or(|due| now < due) {
            return;
        }
        if place.view.coordinator().id == self.me.id {
            let ViewId { epoch, version, .. } = place.view.id;
            self.publish(now, epoch, version);
        } else {
            self.start_claim(now);
        }
    }

    fn start_claim(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        let others: Vec<Member> = place
            .view
            .members()
            .iter()
            .filter(|m| m.id != self.me.id && self.swim.is_active(m.id))
            .map(|m| Member::clone(m))
            .collect();
        let have = Some(place.view.stamp());
        let from = place.view.coordinator().clone();
        let awaited = others.iter().map(|m| m.id).collect();
        let Phase::In(place) = &mut self.phase else { return };
        place.claim = Some(Claim { since: now, awaited });
        self.emit(Event::TakingOver { from });
        for member in others {
            self.send(member, Message::Pull { have });
        }
        self.tick_claim(now);
    }

    /// An answer to a claim's question came.
    pub(super) fn claim_heard(&mut self, now: Duration, from: MemberId) {
        if let Phase::In(Place { claim: Some(claim), .. }) = &mut self.phase {
            claim.awaited.remove(&from);
            self.tick_claim(now);
        }
    }

    pub(super) fn tick_claim(&mut self, now: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        let Some(claim) = &place.claim else { return };
        if !claim.awaited.is_empty() && now < claim.since + self.config.claim_wait {
            return;
        }
        place.claim = None;
        let ViewId { epoch, version, .. } = place.view.id;
        // A member that was paused only wanted to hear the others.
        let something = place.change_due().is_some_and(|due| due <= now);
        let still_due = place.view.coordinator().id != self.me.id && something;
        if self.phase.place().is_some_and(|place| self.is_acting(place)) && still_due {
            self.publish(now, epoch.saturating_add(1), version);
        }
    }

    /// Publishes the pending changes under `epoch`, which is this member's, and
    /// versions above `version`: they go on growing through epochs, so that
    /// operators see one number that only grows.
    pub(super) fn publish(&mut self, now: Duration, epoch: u32, version: u32) {
        let Phase::In(place) = &mut self.phase else { return };
        place.published_at = Some(now);
        let moved = place.take_moved(now);
        let mut joining: Vec<_> = std::mem::take(&mut place.joining).into_values().collect();
        joining.sort_by_key(|(member, _)| member.id);
        let mut departing: Vec<_> = std::mem::take(&mut place.departing).into_iter().collect();
        for (id, how) in &mut departing {
            // The step by which it left may have come, and not the one before that.
            if self.departures.contains(&(*id, Departure::Left)) {
                *how = Departure::Left;
            }
        }

        let mut view = place.view.clone();
        let admitted: Vec<Member> = {
            let mut next_age = view.next_age();
            let lineage = view.lineage;
            joining
                .into_iter()
                .map(|(mut member, from)| {
                    let known = self.swim.generation_of(member.id).unwrap_or(0);
                    member.generation = known.max(member.generation).saturating_add(1);
                    if from != Some(lineage) {
                        member.age = next_age;
                        next_age += 1;
                    }
                    member
                })
                .collect()
        };

        let mut steps = Vec::new();
        let changed: Vec<Member> = admitted.iter().cloned().chain(moved).collect();
        let (mut joins, mut departs) = (changed.as_slice(), departing.as_slice());
        while !(joins.is_empty() && departs.is_empty()) || view.id.epoch < epoch {
            let (now_leaving, later) = departs.split_at(departs.len().min(CHANGES_MAX));
            let room = CHANGES_MAX - now_leaving.len();
            let (now_joining, later_joins) = joins.split_at(joins.len().min(room));
            (departs, joins) = (later, later_joins);
            let version = view.id.version.max(version).saturating_add(1);
            let id = ViewId { epoch, version, coordinator: self.me.id };
            let Some(next) = view.with(id, now_joining, now_leaving) else { break };
            let step = Delta {
                base: view.stamp(),
                id,
                joined: now_joining.to_vec(),
                departed: now_leaving.to_vec(),
            };
            view = next;
            steps.push(step);
        }
        self.send_steps(&steps, &view, &admitted, &departing);
        if view.contains(self.me.id) {
            self.adopt(now, view, &departing);
        }
    }

    /// Tells everybody: members by datagram, those who come or go by stream.
    fn send_steps(
        &mut self,
        steps: &[Delta],
        last: &crate::view::View,
        joined: &[Member],
        departed: &[(MemberId, Departure)],
    ) {
        let Phase::In(place) = &mut self.phase else { return };
        for step in steps {
            place.remember_step(step.clone());
        }
        let before = place.view.clone();
        let stamp = last.stamp();
        let packets: Vec<Vec<u8>> = steps
            .iter()
            .map(|step| Packet::Delta(step.clone()).encode(Some(stamp)))
            .map(|bytes| {
                if bytes.len() > SWIM_PACKET_BYTES_MAX {
                    Packet::Stamp.encode(Some(stamp))
                } else {
                    bytes
                }
            })
            .collect();
        for member in last.members() {
            if member.id == self.me.id || joined.iter().any(|new| new.id == member.id) {
                continue;
            }
            for bytes in &packets {
                self.outputs.push_back(Output::Packet { to: member.id, bytes: bytes.clone() });
            }
        }
        for member in joined {
            self.send(member.clone(), self.shown(last.clone()));
        }
        for (id, _) in departed.iter().filter(|(_, how)| *how == Departure::Left) {
            if let Some(member) = before.get(*id).filter(|m| m.id != self.me.id) {
                self.send(Member::clone(member), self.shown(last.clone()));
            }
        }
    }

    /// Says goodbye: the coordinator hands over, any other asks to be let go.
    pub(super) fn start_leaving(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Starting(_) => {
                self.phase = Phase::Left;
                self.emit(Event::Left);
            }
            Phase::In(place) if place.leaving_since.is_none() => {
                place.leaving_since = Some(now);
                self.follow_leave(now);
            }
            Phase::In(_) | Phase::Left => {}
        }
    }

    /// Goes on with a leave: whom to ask may leave at the same time, and then it is for the
    /// next one, which may be this member itself.
    pub(super) fn follow_leave(&mut self, now: Duration) {
        let Phase::In(place) = &mut self.phase else { return };
        if place.leaving_since.is_none() {
            return;
        }
        let coordinator = place.view.coordinator().id;
        if place.view.len() == 1 {
            self.finish_leaving(now);
        } else if coordinator == self.me.id && place.rejoin.is_none() {
            let me = self.me.id;
            place.departing.insert(me, Departure::Left);
            let ViewId { epoch, version, .. } = place.view.id;
            let heirs = place.view.members().iter().skip(1).take(LEAVE_NOTIFIED_MAX);
            let heirs: Vec<Member> = heirs.map(|m| Member::clone(m)).collect();
            self.publish(now, epoch, version);
            self.notify_heirs(heirs);
            self.finish_leaving(now);
        } else if place.leave_asked_of.replace(coordinator) != Some(coordinator) {
            self.ask_to_leave();
        }
    }

    /// Notifies the coordinator, and those that follow it in case it is gone by then.
    fn ask_to_leave(&mut self) {
        let Phase::In(place) = &self.phase else { return };
        let acting = self.acting_besides_me(place);
        let others = place.view.members().iter().filter(|m| m.id != self.me.id);
        let next = others.filter(|m| self.swim.is_active(m.id)).map(|m| Member::clone(m));
        let mut notified: Vec<Member> = acting.into_iter().collect();
        for member in next {
            if notified.len() < LEAVE_NOTIFIED_MAX
                && notified.iter().all(|known| known.id != member.id)
            {
                notified.push(member);
            }
        }
        for member in notified {
            self.send(member, Message::Leave);
        }
    }

    fn acting_besides_me(&self, place: &Place) -> Option<Member> {
        let mut others = place.view.members().iter().filter(|m| m.id != self.me.id);
        let eldest = others.clone().next();
        others.find(|m| self.swim.is_active(m.id)).or(eldest).map(|m| Member::clone(m))
    }

    /// Hands the view over by stream as well: the step may be lost, and the
    /// one who sent it is gone.
    fn notify_heirs(&mut self, heirs: Vec<Member>) {
        let Phase::In(place) = &self.phase else { return };
        let Some(step) = place.history.back().cloned() else { return };
        for heir in heirs {
            self.send(heir, Message::Deltas(vec![step.clone()]));
        }
    }

    pub(super) fn tick_leaving(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        if place.leaving_since.is_some_and(|since| now >= since + self.config.leave_wait) {
            self.finish_leaving(now);
        }
    }

    /// The others know, or could not be told in time.
    pub(super) fn finish_leaving(&mut self, now: Duration) {
        let Phase::In(place) = &self.phase else { return };
        let stamp = place.view.stamp();
        self.swim.leave(now);
        self.send_swim(now, stamp);
        self.phase = Phase::Left;
        self.emit(Event::Left);
    }
}

impl Place {
    /// Takes a member for dead, unless it has said that it leaves.
    pub(super) fn condemn(&mut self, id: MemberId) {
        self.checks.remove(&id);
        self.departing.entry(id).or_insert(Departure::Lost);
    }
}
