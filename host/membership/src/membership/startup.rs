//! From the start of a process to its first view.
//!
//! A member that starts founds a cluster only when it knows that there is none to join: every mode
//! has completed a lookup, and no candidate turned out to be a member. Of several members that
//! start at once, each asks the oldest one that it found; the oldest keeps the others waiting until
//! it has joined or founded a cluster itself. Ids are ordered, so no two members wait for each
//! other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Applicant, ClusterState, Event, Membership, Output, Phase, Reach};
use crate::config::Config;
use crate::member::{Member, MemberId};
use crate::message::{Message, Summary};
use crate::view::View;

/// Maximum number of members that may wait for a starting member, and maximum size of their terms,
/// in bytes. Others ask again.
const WAITING_MAX: usize = 4_096;
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// If other members are known to be starting, the time that the oldest waits for a cluster to
/// answer before it founds one.
const LAST_CALL: Duration = Duration::from_millis(150);
/// Number of requests to the members of a cluster before a member founds its own.
const ASKS_MAX: u32 = 12;

/// Maximum number of other clusters that are remembered, and of clusters with other terms.
const OTHERS_MAX: usize = 16;

/// The state of a member without a cluster.
#[derive(Default)]
pub(super) struct Starting {
    pub(super) discovery_done_at: Option<Duration>,
    /// Younger members that asked to join.
    pub(super) waiting: Vec<Applicant>,
    met_others: bool,
    target: Option<Target>,
    /// Coordinators of other clusters, each with the member that reported it: asked when the terms
    /// of the first cluster differ from this member's.
    others: Vec<(Member, Member)>,
    /// Coordinators that refused this member because of its terms.
    incompatible: BTreeSet<MemberId>,
}

/// The member that a starting member asks to join.
struct Target {
    member: Member,
    /// The member that reported it, which is asked when it does not answer.
    via: Member,
    /// Whether it belongs to a cluster, or is starting as well.
    in_cluster: bool,
    since: Duration,
    asked_at: Duration,
    asks: u32,
}

impl Starting {
    /// The cluster refuses: it is asked again later, and no other one is founded in the meantime.
    pub(super) fn put_off(&mut self, by: MemberId, asked_at: Duration) {
        if let Some(target) = &mut self.target
            && (target.member.id == by || target.via.id == by)
        {
            (target.asked_at, target.asks, target.in_cluster) = (asked_at, 1, true);
        }
    }

    pub(super) fn next_deadline(&self, config: &Config) -> Option<Duration> {
        let ask = self.target.as_ref().map(|target| target.asked_at + config.answer_wait);
        let found = match (&self.target, self.discovery_done_at) {
            (Some(target), Some(_)) if !target.in_cluster => {
                Some(target.since + config.founding_wait)
            }
            (None, Some(at)) => Some(self.founding_time(at)),
            _ => None,
        };
        [ask, found].into_iter().flatten().min()
    }

    fn founding_time(&self, discovery_done_at: Duration) -> Duration {
        if self.met_others { discovery_done_at + LAST_CALL } else { discovery_done_at }
    }
}

impl Membership {
    /// Found a member that has no cluster yet.
    pub(super) fn meet_starting(&mut self, now: Duration, member: Member) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        starting.met_others = true;
        let better = match &starting.target {
            None => member.id < self.me.id,
            Some(target) => !target.in_cluster && member.id < target.member.id,
        };
        if better {
            self.ask(now, member.clone(), member, false);
        }
    }

    /// Found a member of a cluster.
    pub(super) fn meet_cluster_while_starting(
        &mut self,
        now: Duration,
        via: Member,
        summary: Summary,
    ) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        let coordinator = summary.coordinator;
        match starting.target.as_ref().filter(|target| target.in_cluster) {
            None => self.ask(now, coordinator, via, true),
            Some(target) if target.member.id != coordinator.id => {
                let is_known = starting.incompatible.contains(&coordinator.id)
                    || starting.others.iter().any(|(other, _)| other.id == coordinator.id);
                let is_misfit = starting.incompatible.contains(&target.member.id);
                if !is_known && starting.others.len() < OTHERS_MAX {
                    starting.others.push((coordinator, via));
                }
                if is_misfit {
                    self.ask_another(now);
                }
            }
            Some(_) => {}
        }
    }

    /// The terms of the cluster of `by` differ from this member's. Returns whether another cluster
    /// is known, which is asked instead.
    pub(super) fn note_incompatible(&mut self, now: Duration, by: MemberId) -> bool {
        let Phase::Starting(starting) = &mut self.phase else { return false };
        if starting.incompatible.len() < OTHERS_MAX {
            starting.incompatible.insert(by);
        }
        self.ask_another(now)
    }

    fn ask_another(&mut self, now: Duration) -> bool {
        let Phase::Starting(starting) = &mut self.phase else { return false };
        let Some((coordinator, via)) = starting.others.pop() else { return false };
        self.ask(now, coordinator, via, true);
        true
    }

    fn ask(&mut self, now: Duration, member: Member, via: Member, in_cluster: bool) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        starting.target = Some(Target {
            member: member.clone(),
            via,
            in_cluster,
            since: now,
            asked_at: now,
            asks: 1,
        });
        self.ask_to_join(now, member);
    }

    /// Asks a member to join its cluster, or calls it first: a member does not join one that it
    /// cannot reach, even if that one connected to it.
    fn ask_to_join(&mut self, now: Duration, member: Member) {
        if self.has_reached(now, member.id) {
            self.apply_to(member);
        } else {
            self.outputs.push_back(Output::Call { to: member, patient: false });
        }
    }

    /// Another member asks to join while this one has no cluster itself.
    pub(super) fn keep_waiting(&mut self, applicant: Applicant) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        starting.met_others = true;
        if self.calls.own_refusal.is_some()
            && let Some(target) = starting.target.as_ref().filter(|target| target.in_cluster)
        {
            // The cluster that refuses this member may admit the other one.
            let coordinator = target.member.clone();
            if coordinator.id != applicant.member.id {
                self.send(applicant.member, Message::Redirect { coordinator });
            }
            return;
        }
        let waiting = &mut starting.waiting;
        waiting.retain(|known| known.member.id != applicant.member.id);
        let bytes: usize = waiting.iter().map(|known| known.terms.bytes()).sum();
        if waiting.len() < WAITING_MAX && bytes + applicant.terms.bytes() <= WAITING_BYTES_MAX {
            waiting.push(applicant);
        }
    }

    pub(super) fn redirect_while_starting(
        &mut self,
        now: Duration,
        from: &Member,
        coordinator: Member,
    ) {
        let Phase::Starting(starting) = &self.phase else { return };
        if coordinator.id == self.me.id {
            return;
        }
        // A repeated redirect does not restart the request.
        if let Some(Target { member, .. }) = &starting.target
            && member.id == coordinator.id
        {
            return;
        }
        self.ask(now, coordinator, from.clone(), true);
    }

    pub(super) fn reach_while_starting(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        let Some(target) = &mut starting.target else { return };
        if target.member.id != id {
            return;
        }
        if reach == Reach::Answered {
            let member = target.member.clone();
            self.ask_to_join(now, member);
            return;
        }
        if !target.in_cluster || target.via.id == id {
            // It was starting, like this member, and is gone; or it was the only known member of
            // its cluster.
            starting.target = None;
            self.tick_starting(now);
        } else {
            // Its cluster will elect another coordinator soon.
            let silent = target.member.clone();
            std::mem::swap(&mut target.member, &mut target.via);
            let via = target.member.id;
            if self.has_reached(now, via) {
                self.note_coordinator_silent(now, &silent);
            }
        }
    }

    pub(super) fn tick_starting(&mut self, now: Duration) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        if let Some(target) = &mut starting.target {
            let over = if target.in_cluster {
                target.asks > ASKS_MAX
            } else {
                starting.discovery_done_at.is_some()
                    && now >= target.since + self.config.founding_wait
            };
            if over {
                starting.target = None;
            } else if now >= target.asked_at + self.config.answer_wait {
                target.asked_at = now;
                target.asks += 1;
                if target.asks % 2 == 1 {
                    std::mem::swap(&mut target.member, &mut target.via);
                }
                let to = target.member.clone();
                self.ask_to_join(now, to);
                return;
            } else {
                return;
            }
        }
        let due = starting.discovery_done_at.map(|at| starting.founding_time(at));
        if due.is_some_and(|due| now >= due) {
            self.found(now);
        }
    }

    fn found(&mut self, now: Duration) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        let waiting = std::mem::take(&mut starting.waiting);
        self.me.age = 1;
        self.me.generation = 1;
        self.terms = self.terms.fixed();
        self.swim.restart(now, 1, std::iter::empty());
        let view = View::founded_by(self.me.clone());
        self.phase =
            Phase::Joined(ClusterState::new(view.clone(), now, &self.config, &mut self.rng));
        for applicant in waiting {
            self.handle_join(now, applicant);
        }
        self.show_founded();
    }

    /// Reports the founder's view once the waiting members are in it, or cannot be reached, so that
    /// the first view has all of them.
    pub(super) fn show_founded(&mut self) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if cluster.shown || !cluster.joining.is_empty() || !cluster.newcomers.is_empty() {
            return;
        }
        cluster.shown = true;
        let view = cluster.view.clone();
        self.emit(Event::View {
            view,
            joined: vec![self.me.clone()],
            departed: vec![],
            moved: vec![],
        });
    }
}
