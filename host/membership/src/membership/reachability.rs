//! Removes members that cannot be reached any more, although the failure detector still hears them:
//! their address is gone, or a firewall was closed. Their data is out of reach, so they are
//! removed, and admitted again when they can be reached.
//!
//! The oldest other member decides. It calls the member for [`UNREACHABLE_FOR`], and asks
//! [`OPINIONS`] others to call it before it is removed.
//!
//! Two members may be unable to connect to each other while all others can connect to both: a
//! partial network partition (Alfatafta et al., OSDI 2020). Writes whose primary and backup are
//! these two then never complete. So members report which members they cannot reach, and after
//! [`PARTITIONED_FOR`] one of the two is removed: the one with more such pairs, otherwise the younger.
//! It is admitted again once it and the members that it could not reach can connect to each other.
//! Of several pairs one is resolved at a time, since the data of the removed member must be
//! replicated before the next removal.

use std::collections::BTreeMap;
use std::time::Duration;

use super::admission::ms;
use super::{ClusterState, Event, Membership, Output, Phase, Reach, RequestKind};
use crate::member::{Member, MemberId};
use crate::message::{JoinRefusal, Message};

/// Time for which calls to a member must fail before it is removed.
const UNREACHABLE_FOR: Duration = Duration::from_secs(15);
/// Time between two calls.
const CALL_PERIOD: Duration = Duration::from_secs(2);
/// Time for which two members must have been unable to connect to each other before one of them is
/// removed. Longer than the removal of a member that no other can reach takes.
const PARTITIONED_FOR: Duration = Duration::from_secs(25);
/// Shortest time between the loss of a member and such a removal.
const PAIR_REMOVAL_PERIOD: Duration = Duration::from_secs(10);
/// Time for which a report that one member cannot reach another is valid: several report intervals.
const REPORT_LASTS: Duration = Duration::from_secs(10);
/// Maximum number of pairs of members that are remembered.
const PAIRS_MAX: usize = 1_024;
/// Number of other members that must have failed to reach a member, if there are enough.
const OPINIONS: usize = 2;
/// Time limit of an opinion, after which another member is asked.
const OPINION_WAIT: Duration = Duration::from_millis(1_500);

/// A member that does not answer calls.
pub(super) struct UnresponsiveMember {
    since: Duration,
    call_at: Duration,
    /// The member that was asked for another opinion, and when.
    second: Option<(MemberId, Duration)>,
    /// Members that could not reach it either.
    agree: Vec<MemberId>,
}

/// One member's reports that it cannot reach another.
pub(super) struct Report {
    /// Since when none of its calls was answered.
    since: Duration,
    /// When the last call failed, or was reported to have failed.
    last: Duration,
}

/// For each member that was removed, the member that it could not connect to, or that could not
/// connect to it.
pub(super) type PartitionedPairs = BTreeMap<MemberId, MemberId>;

impl UnresponsiveMember {
    fn new(now: Duration) -> Self {
        Self { since: now, call_at: now + CALL_PERIOD, second: None, agree: Vec::new() }
    }

    fn next_deadline(&self) -> Duration {
        self.second.map_or(self.call_at, |(_, at)| at + OPINION_WAIT)
    }
}

impl Membership {
    /// The member that decides about another: the oldest other one that is not known to be dead.
    fn decider<'a>(&'a self, cluster: &'a ClusterState, of: MemberId) -> &'a Member {
        self.living(cluster).find(|m| m.id != of).unwrap_or(&self.me)
    }

    /// A probe of a member failed, or a data stream to it: starts to call it.
    pub(super) fn doubt(&mut self, now: Duration, id: MemberId) {
        let Some(member) = self.view().and_then(|view| view.get(id)).cloned() else { return };
        if self.may_request(now, RequestKind::UnresponsiveMember, id) {
            self.outputs.push_back(Output::Call { to: member, patient: true });
        }
    }

    /// Handles the result of a call to a member of the view.
    pub(super) fn reach_doubted(&mut self, now: Duration, id: MemberId, reach: Reach) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if reach == Reach::Answered {
            cluster.doubts.remove(&id);
            cluster.unreachable_reports.remove(&(self.me.id, id));
            return;
        }
        if id == self.me.id || !cluster.view.contains(id) || !self.swim.is_active(id) {
            return;
        }
        let Phase::Joined(cluster) = &self.phase else { return };
        let decider = self.decider(cluster, id).clone();
        let me = self.me.id;
        // One of the two oldest members decides, even if it is itself one of the pair, and counts
        // all pairs.
        let deciders = self.living(cluster).take(2).filter(|m| m.id != me);
        let deciders: Vec<Member> = deciders.cloned().collect();
        let known = cluster.unreachable_reports.get(&(me, id));
        let known = known.filter(|report| now < report.last + REPORT_LASTS);
        let lasts = known.map_or(Duration::ZERO, |report| now.saturating_sub(report.since));
        if self.may_request(now, RequestKind::Unreachable, id) {
            for to in deciders {
                self.send(to, Message::Unreachable { id, for_ms: ms(lasts) });
            }
            self.note_report(now, me, id, lasts);
        }
        if decider.id != me {
            return;
        }
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.doubts.entry(id).or_insert_with(|| UnresponsiveMember::new(now));
    }

    /// Records that a member could not reach another for a time.
    fn note_report(&mut self, now: Duration, by: MemberId, of: MemberId, lasts: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let reports = &mut cluster.unreachable_reports;
        reports.retain(|_, report| now < report.last + REPORT_LASTS);
        if by == of || !cluster.view.contains(by) || !cluster.view.contains(of) {
            return;
        }
        if reports.len() < PAIRS_MAX || reports.contains_key(&(by, of)) {
            let report = Report { since: now.saturating_sub(lasts), last: now };
            reports.insert((by, of), report);
            if lasts >= PARTITIONED_FOR && self.lives(by) && self.lives(of) {
                self.remove_one_of_pair(now, by, of);
            }
        }
    }

    /// Removes one of two members that cannot connect to each other, if this member decides about
    /// them.
    fn remove_one_of_pair(&mut self, now: Duration, by: MemberId, of: MemberId) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let pairs = |id: MemberId| {
            let of_id = cluster.unreachable_reports.keys().filter(|(a, b)| *a == id || *b == id);
            let mut others: Vec<_> = of_id.map(|(a, b)| if *a == id { *b } else { *a }).collect();
            others.sort_unstable();
            others.dedup();
            others.len()
        };
        let at = |id: MemberId| cluster.view.members().iter().position(|member| member.id == id);
        let (first, second) = if at(by) < at(of) { (by, of) } else { (of, by) };
        let (stays, goes) =
            if pairs(first) > pairs(second) { (second, first) } else { (first, second) };
        // A member that no other can reach is handled by the member that decides about it.
        let is_outside = cluster.rejoin.is_some() || self.calls.own_refusal.is_some();
        if is_outside || self.decider(cluster, goes).id != self.me.id {
            return;
        }
        if cluster.lost_at.is_some_and(|at| now < at + PAIR_REMOVAL_PERIOD) {
            return;
        }
        let members = (cluster.view.get(stays).cloned(), cluster.view.get(goes).cloned());
        let Phase::Joined(cluster) = &mut self.phase else { return };
        cluster.unreachable_reports.retain(|(a, b), _| *a != goes && *b != goes);
        if cluster.partitioned.len() >= PAIRS_MAX {
            cluster.partitioned.pop_first();
        }
        cluster.partitioned.insert(goes, stays);
        if let (Some(stays), Some(goes)) = members {
            self.emit(Event::PairPartitioned { stays, goes });
        }
        self.force_remove(now, goes);
    }

    /// The member of the view that a removed member could not connect to, or that could not connect
    /// to it.
    pub(super) fn partitioned_from(&mut self, id: MemberId) -> Option<Member> {
        let member = self.counterpart(id).cloned();
        if member.is_none()
            && let Phase::Joined(cluster) = &mut self.phase
        {
            cluster.partitioned.remove(&id);
        }
        member
    }

    fn counterpart(&self, id: MemberId) -> Option<&Member> {
        let cluster = self.phase.cluster()?;
        cluster.view.get(*cluster.partitioned.get(&id)?)
    }

    /// Why a member that could not be reached is refused.
    pub(super) fn unreached(&self, id: MemberId) -> JoinRefusal {
        let partitioned = |other: &Member| JoinRefusal::Partitioned { other: other.address() };
        self.counterpart(id).map_or(JoinRefusal::Unreachable, partitioned)
    }

    /// Handles a report that another member cannot reach `id`.
    pub(super) fn handle_unreachable(
        &mut self,
        now: Duration,
        by: MemberId,
        id: MemberId,
        lasts: Duration,
    ) {
        self.note_report(now, by, id, lasts);
        let Phase::Joined(cluster) = &self.phase else { return };
        if !cluster.doubts.contains_key(&id) && self.decider(cluster, id).id == self.me.id {
            self.doubt(now, id);
        }
    }

    /// Handles a second opinion.
    pub(super) fn note_second(&mut self, now: Duration, by: MemberId, id: MemberId, reached: bool) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let Some(doubt) = cluster.doubts.get_mut(&id) else { return };
        if doubt.second.is_none_or(|(second, _)| second != by) {
            return;
        }
        if reached {
            // This member is the one without a route, or the connection works intermittently.
            *doubt = UnresponsiveMember::new(now);
            return;
        }
        doubt.agree.push(by);
        (doubt.second, doubt.call_at) = (None, now);
        self.tick_doubts(now);
    }

    pub(super) fn tick_doubts(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let due = cluster.doubts.iter().filter(|(_, doubt)| now >= doubt.next_deadline());
        let due: Vec<MemberId> = due.map(|(id, _)| *id).collect();
        for id in due {
            let Phase::Joined(cluster) = &self.phase else { return };
            let member = cluster.view.get(id).cloned();
            let decides = self.decider(cluster, id).id == self.me.id && cluster.rejoin.is_none();
            let Some(member) = member.filter(|_| decides && self.swim.is_active(id)) else {
                self.forget_doubt(id);
                continue;
            };
            let Phase::Joined(cluster) = &self.phase else { return };
            let agree = cluster.doubts.get(&id).map_or(Vec::new(), |doubt| doubt.agree.clone());
            let second = self.any_other(|other| other == id || agree.contains(&other));
            let second = second.filter(|_| agree.len() < OPINIONS);
            let Phase::Joined(cluster) = &mut self.phase else { return };
            let Some(doubt) = cluster.doubts.get_mut(&id) else { continue };
            // A member that was asked and does not answer shows nothing: perhaps it is this member
            // that is cut off.
            let is_silent = doubt.second.take().is_some();
            if is_silent || now < doubt.since + UNREACHABLE_FOR {
                doubt.call_at = now + CALL_PERIOD;
                self.outputs.push_back(Output::Call { to: member, patient: true });
            } else if let Some(second) = second {
                doubt.second = Some((second.id, now));
                self.send(second, Message::CheckReach { member });
            } else {
                self.remove_unreachable(now, id);
            }
        }
    }

    fn forget_doubt(&mut self, id: MemberId) {
        if let Phase::Joined(cluster) = &mut self.phase {
            cluster.doubts.remove(&id);
        }
    }

    fn remove_unreachable(&mut self, now: Duration, id: MemberId) {
        if let Some(member) = self.view().and_then(|view| view.get(id)).cloned() {
            self.emit(Event::Unreachable(member));
        }
        self.force_remove(now, id);
    }

    /// Removes a member although SWIM hears it.
    fn force_remove(&mut self, now: Duration, id: MemberId) {
        self.forget_doubt(id);
        if let Phase::Joined(cluster) = &mut self.phase {
            cluster.remove_lost(id);
        }
        self.swim.declare_down(now, id);
    }
}

impl ClusterState {
    pub(super) fn doubts_due(&self) -> Option<Duration> {
        self.doubts.values().map(UnresponsiveMember::next_deadline).min()
    }
}
