//! The coordinator: admits, removes, publishes and takes over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Applicant, ClusterState, Event, HISTORY_MAX, Membership, Output, Phase, Reach};
use crate::config::SWIM_PACKET_BYTES_MAX;
use crate::member::{Member, MemberId};
use crate::message::{JoinRefusal, Message, Packet};
use crate::view::{Delta, Departure, MEMBERS_MAX, ViewId};

/// Maximum number of changes in one step, so that it fits into a datagram.
const CHANGES_MAX: usize = 8;
/// Time limit of a second opinion.
const CHECK_WAIT: Duration = Duration::from_millis(500);
/// Time before the next second opinion on a member that answers calls but that SWIM has declared
/// down.
const CHECK_AGAIN: Duration = Duration::from_millis(1_000);
/// Maximum number of members that a leaving member notifies: the oldest others. Several members may
/// leave together, and the last one that was notified must know that they left.
const LEAVE_NOTIFIED_MAX: usize = 4;
/// A member that answers this many calls but no probe is removed.
const CHECKS_MAX: u32 = 5;

/// A second opinion on a member that SWIM has declared down: a new connection.
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

/// A takeover from a lost coordinator. The views of all members are collected first, since its last
/// change may have reached others and not this member.
pub(super) struct Takeover {
    pub(super) since: Duration,
    pub(super) awaited: BTreeSet<MemberId>,
}

impl ClusterState {
    fn has_room(&self) -> bool {
        self.view.len() + self.joining.len() + self.newcomers.len() < MEMBERS_MAX
    }

    /// When a change is to be published, if there is or will be one.
    fn change_due(&self) -> Option<Duration> {
        let is_now = !self.joining.is_empty() || !self.departing.is_empty();
        if is_now { Some(Duration::ZERO) } else { self.moved_due() }
    }

    /// Whether a member older than this one may still turn out to be alive: SWIM has declared it
    /// down, and the second opinion on it is pending. A view that is published now would list it as
    /// coordinator.
    fn awaits_older(&self, me: MemberId) -> bool {
        let mut older = self.view.members().iter().take_while(|member| member.id != me);
        older.any(|member| {
            self.checks.get(&member.id).is_some_and(|check| check.pending && check.answered == 0)
        })
    }

    pub(super) fn remember_step(&mut self, delta: Delta) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(delta);
    }
}

impl Membership {
    /// Whether this member is the acting coordinator: the oldest one that is not known to be dead,
    /// and neither leaving nor rejoining.
    pub(super) fn is_acting(&self, cluster: &ClusterState) -> bool {
        cluster.rejoin.is_none()
            && cluster.leaving_since.is_none()
            && self.acting(cluster).id == self.me.id
    }

    /// Whether a member is not known to be dead. SWIM has no entry for this member itself.
    pub(super) fn lives(&self, id: MemberId) -> bool {
        id == self.me.id || self.swim.is_active(id)
    }

    /// The members of the view that are not known to be dead, oldest first.
    pub(super) fn living<'a>(
        &'a self,
        cluster: &'a ClusterState,
    ) -> impl Iterator<Item = &'a Member> {
        cluster.view.members().iter().map(|member| &**member).filter(|m| self.lives(m.id))
    }

    /// The acting coordinator: the oldest member that is not known to be dead.
    pub(super) fn acting<'a>(&'a self, cluster: &'a ClusterState) -> &'a Member {
        self.living(cluster).next().unwrap_or(&self.me)
    }

    /// Handles a request to join.
    pub(super) fn handle_join(&mut self, now: Duration, applicant: Applicant) {
        let member = &applicant.member;
        if member.id == self.me.id {
            return;
        }
        if let Phase::Joined(cluster) = &mut self.phase {
            cluster.note_address_of_lost(member);
        }
        let Phase::Joined(cluster) = &self.phase else {
            self.keep_waiting(applicant);
            return;
        };
        if !self.is_acting(cluster) {
            let coordinator = self.acting(cluster).clone();
            if coordinator.id != self.me.id && coordinator.id != member.id {
                self.send(applicant.member, Message::Redirect { coordinator });
            }
            return;
        }
        let known = cluster.view.get(member.id);
        let stays = known.is_some_and(|known| known.generation >= member.generation)
            && self.swim.is_active(member.id)
            && !cluster.departing.contains_key(&member.id);
        if stays {
            let view = self.shown(cluster.view.clone());
            self.send(applicant.member, view);
            return;
        }
        if cluster.joining.contains_key(&member.id) || self.must_wait(now, member) {
            // It will be published shortly, or must ask again later.
            return;
        }
        let Applicant { member, lineage, terms } = applicant;
        let differences = self.terms.differences(&terms);
        if !differences.is_empty() {
            self.refuse(now, member, JoinRefusal::Differs(differences), false);
        } else if self.phase.cluster().is_some_and(ClusterState::has_room) {
            let cluster = self.phase.cluster();
            if cluster.is_some_and(|cluster| !cluster.newcomers.contains_key(&member.id)) {
                self.report_changes(&member, self.terms.changes(&terms));
            }
            self.check_newcomer(now, member, lineage, false);
        }
    }

    /// Handles the announcement that a member leaves.
    pub(super) fn handle_leave_request(&mut self, id: MemberId) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.joining.remove(&id);
        cluster.newcomers.remove(&id);
        if cluster.view.contains(id) {
            cluster.departing.insert(id, Departure::Left);
            // The leaving process is waiting for the new view.
            cluster.published_at = None;
        }
    }

    /// SWIM reported a member as alive.
    pub(super) fn see_up(&mut self, id: MemberId) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.took_over_from.take_if(|from| *from == id);
        let was_checked = cluster.checks.remove(&id).is_some();
        let was_condemned = cluster.departing.get(&id) == Some(&Departure::Lost);
        if was_condemned {
            cluster.departing.remove(&id);
        }
        if (was_checked || was_condemned)
            && let Some(member) = cluster.view.get(id).cloned()
        {
            self.emit(Event::SuspectAnswered(member));
        }
    }

    /// Reviews the members that SWIM has declared down: requests a second opinion, and removes
    /// those that do not answer.
    pub(super) fn review(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        if !self.is_acting(cluster) {
            return;
        }
        if !cluster.unreviewed && cluster.checks.values().all(|check| now < check.next_deadline()) {
            return;
        }
        let dead: Vec<Member> = cluster
            .view
            .members()
            .iter()
            .filter(|m| m.id != self.me.id && !self.swim.is_active(m.id))
            .filter(|m| !cluster.departing.contains_key(&m.id))
            .map(|m| Member::clone(m))
            .collect();
        if let Phase::Joined(cluster) = &mut self.phase {
            cluster.unreviewed = false;
        }
        for member in dead {
            let Phase::Joined(cluster) = &mut self.phase else { return };
            match cluster.checks.get_mut(&member.id) {
                None => {
                    let check = Check { asked_at: now, answered: 0, pending: true };
                    cluster.checks.insert(member.id, check);
                    self.outputs.push_back(Output::Call { to: member, patient: false });
                }
                Some(check) if now >= check.next_deadline() => {
                    if check.pending || check.answered >= CHECKS_MAX {
                        cluster.remove_lost(member.id);
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

    /// Handles the result of a call to a member of the view.
    pub(super) fn reach_checked(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if !cluster.view.contains(id) || id == self.me.id {
            return;
        }
        match reach {
            Reach::Answered => {
                if let Some(check) = cluster.checks.get_mut(&id) {
                    check.pending = false;
                    check.answered += 1;
                    check.asked_at = now;
                }
            }
            Reach::Gone => {
                cluster.remove_lost(id);
                self.swim.declare_down(now, id);
            }
            // Neither proves that the member is dead. By the time of a second opinion, SWIM has
            // also asked other members.
            Reach::Displaced | Reach::Silent => {
                if cluster.checks.contains_key(&id) {
                    cluster.remove_lost(id);
                }
            }
        }
    }

    /// When the next publication is due, if there is something to publish.
    pub(super) fn publication_due(&self, cluster: &ClusterState) -> Option<Duration> {
        let first = cluster.change_due()?;
        let due = cluster.published_at.map_or(Duration::ZERO, |at| at + self.config.publish_period);
        let due = due.max(Self::newcomers_awaited(cluster, &self.config).unwrap_or_default());
        let may =
            cluster.claim.is_none() && self.is_acting(cluster) && !cluster.awaits_older(self.me.id);
        may.then_some(due.max(first))
    }

    /// Publishes the pending changes, in steps that fit into a datagram.
    pub(super) fn publish_when_due(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        if self.publication_due(cluster).is_none_or(|due| now < due) {
            return;
        }
        if cluster.view.coordinator().id == self.me.id {
            let ViewId { epoch, version, .. } = cluster.view.id;
            self.publish(now, epoch, version);
        } else {
            self.start_claim(now);
        }
    }

    fn start_claim(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let others: Vec<Member> = cluster
            .view
            .members()
            .iter()
            .filter(|m| m.id != self.me.id && self.swim.is_active(m.id))
            .map(|m| Member::clone(m))
            .collect();
        let have = Some(cluster.view.stamp());
        let from = cluster.view.coordinator().clone();
        let awaited = others.iter().map(|m| m.id).collect();
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.claim = Some(Takeover { since: now, awaited });
        // While the coordinator answers calls and no probe, it is still in the views that this
        // member publishes.
        if cluster.took_over_from.replace(from.id) != Some(from.id) {
            self.emit(Event::TakingOver { from });
        }
        for member in others {
            self.send(member, Message::Pull { have });
        }
        self.tick_claim(now);
    }

    /// Handles a reply to a request of the takeover.
    pub(super) fn claim_heard(&mut self, now: Duration, from: MemberId) {
        if let Phase::Joined(ClusterState { claim: Some(claim), .. }) = &mut self.phase {
            claim.awaited.remove(&from);
            self.tick_claim(now);
        }
    }

    pub(super) fn tick_claim(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let Some(claim) = &cluster.claim else { return };
        if !claim.awaited.is_empty() && now < claim.since + self.config.claim_wait {
            return;
        }
        cluster.claim = None;
        let ViewId { epoch, version, .. } = cluster.view.id;
        // A member that was paused only had to receive the views of the others.
        let something = cluster.change_due().is_some_and(|due| due <= now);
        let still_due = cluster.view.coordinator().id != self.me.id && something;
        if self.phase.cluster().is_some_and(|cluster| self.is_acting(cluster)) && still_due {
            self.publish(now, epoch.saturating_add(1), version);
        }
    }

    /// Publishes the pending changes with `epoch` and versions above `version`. The epoch is that
    /// of the current view if this member is its coordinator and merges no other cluster, and
    /// otherwise a higher one. Versions keep growing across epochs, so that operators see one
    /// number that never decreases.
    pub(super) fn publish(&mut self, now: Duration, epoch: u32, version: u32) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.published_at = Some(now);
        let moved = cluster.take_moved(now);
        let mut joining: Vec<_> = std::mem::take(&mut cluster.joining).into_values().collect();
        joining.sort_by_key(|(member, _)| member.id);
        let mut departing: Vec<_> = std::mem::take(&mut cluster.departing).into_iter().collect();
        for (id, how) in &mut departing {
            // The step with its departure may have arrived without the step before it.
            if self.departures.contains(&(*id, Departure::Left)) {
                *how = Departure::Left;
            }
        }

        let mut view = cluster.view.clone();
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

    /// Sends the steps to all members: by datagram, and by stream to those that join or leave.
    fn send_steps(
        &mut self,
        steps: &[Delta],
        last: &crate::view::View,
        joined: &[Member],
        departed: &[(MemberId, Departure)],
    ) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        for step in steps {
            cluster.remember_step(step.clone());
        }
        let before = cluster.view.clone();
        let stamp = last.stamp();
        let packets: Vec<Vec<u8>> = steps
            .iter()
            .map(|step| Packet::Delta(step.clone()).encode(Some(stamp)))
            .map(|bytes| {
                if bytes.len() > SWIM_PACKET_BYTES_MAX {
                    Packet::StampOnly.encode(Some(stamp))
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

    /// Starts to leave: the coordinator hands over, any other member asks to be removed.
    pub(super) fn start_leaving(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Starting(_) => {
                self.phase = Phase::Left;
                self.emit(Event::Left);
            }
            Phase::Joined(cluster) if cluster.leaving_since.is_none() => {
                cluster.leaving_since = Some(now);
                self.follow_leave(now);
            }
            Phase::Joined(_) | Phase::Left => {}
        }
    }

    /// Continues a leave. The coordinator hands over: it publishes the view without itself, in the
    /// same epoch, in which the next oldest member continues. Any other member asks to be removed.
    /// The member that was asked may be leaving, too; then the next one is asked, which may be this
    /// member itself.
    pub(super) fn follow_leave(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if cluster.leaving_since.is_none() {
            return;
        }
        let coordinator = cluster.view.coordinator().id;
        if cluster.view.len() == 1 {
            self.finish_leaving(now);
        } else if coordinator == self.me.id && cluster.rejoin.is_none() {
            let me = self.me.id;
            cluster.departing.insert(me, Departure::Left);
            let ViewId { epoch, version, .. } = cluster.view.id;
            let successors = cluster.view.members().iter().skip(1).take(LEAVE_NOTIFIED_MAX);
            let successors: Vec<Member> = successors.map(|m| Member::clone(m)).collect();
            self.publish(now, epoch, version);
            self.notify_successors(successors);
            self.finish_leaving(now);
        } else if cluster.leave_asked_of.replace(coordinator) != Some(coordinator) {
            self.ask_to_leave();
        }
    }

    /// Notifies the coordinator, and the members that would succeed it.
    fn ask_to_leave(&mut self) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let acting = self.acting_besides_me(cluster);
        let others = cluster.view.members().iter().filter(|m| m.id != self.me.id);
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

    fn acting_besides_me(&self, cluster: &ClusterState) -> Option<Member> {
        let mut others = cluster.view.members().iter().filter(|m| m.id != self.me.id);
        let eldest = others.clone().next();
        others.find(|m| self.swim.is_active(m.id)).or(eldest).map(|m| Member::clone(m))
    }

    /// Also sends the view by stream: the step may be lost, and its sender is about to stop.
    fn notify_successors(&mut self, successors: Vec<Member>) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let Some(step) = cluster.history.back().cloned() else { return };
        for heir in successors {
            self.send(heir, Message::Deltas(vec![step.clone()]));
        }
    }

    pub(super) fn tick_leaving(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        if cluster.leaving_since.is_some_and(|since| now >= since + self.config.leave_wait) {
            self.finish_leaving(now);
        }
    }

    /// The other members have confirmed the leave, or the time for it is over.
    pub(super) fn finish_leaving(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let stamp = cluster.view.stamp();
        self.swim.leave(now);
        self.send_swim(now, stamp);
        self.phase = Phase::Left;
        self.emit(Event::Left);
    }
}

impl ClusterState {
    /// Removes a member as lost, unless it has announced that it leaves.
    pub(super) fn remove_lost(&mut self, id: MemberId) {
        self.checks.remove(&id);
        self.departing.entry(id).or_insert(Departure::Lost);
    }
}
