//! Views of other members: newer, older, or of another cluster.
//!
//! | the other's view | ours | then |
//! |---|---|---|
//! | contains this member, newer | – | it replaces ours; not if its publisher was lost repeatedly
//! and the view drops our living coordinator |
//! | contains this member, older | – | the other is sent ours |
//! | lacks this member, newer | contains the other | they removed this member, or without
//! most of us: the smaller side rejoins |
//! | lacks this member | lacks the other | two clusters: the lower [`Rank`] asks to be merged into
//! the higher |
//!
//! A handshake only shows a summary; the side that leads is decided with both complete views, by
//! [`View::outranks`]. A member that was paused has an old view: it collects the views of the
//! others before it publishes, and does not coordinate others for [`RESUME_WAIT`].
//!
//! [`Rank`]: crate::view::Rank

use std::time::Duration;

use std::sync::Arc;

use super::coordination::Takeover;
use super::{
    ClusterState, Event, Losses, Membership, MergeRequest, Phase, REJOIN_TRIES_MAX,
    REJOIN_TRIES_MIN, Rejoin, RequestKind,
};
use crate::member::{Member, MemberId};
use crate::message::{JoinRefusal, Message, Summary};
use crate::terms::Terms;
use crate::view::View;

/// A process that handled nothing for this long was paused: with other members, there is always
/// something to do sooner.
const PAUSE: Duration = Duration::from_millis(1_000);
/// Time that a member that is missing in newer views waits for its own side to resolve that.
const LEFT_OUT_WAIT: Duration = Duration::from_millis(1_500);
/// Time after a pause for which a member does not coordinate others: its failure detector needs
/// that time to determine the remaining members.
const RESUME_WAIT: Duration = Duration::from_millis(2_000);
/// A cluster that was not found again for this long is reported again: longer than the time between
/// two lookups of a mode, and than that between two requests of a refused cluster.
const FOUND_CLUSTER_KEPT: Duration = Duration::from_secs(600);
/// Maximum number of other clusters that are remembered as reported.
const FOUND_CLUSTERS_MAX: usize = 64;

/// Another cluster that was reported to operators.
pub(super) struct FoundCluster {
    ours_leads: bool,
    last_at: Duration,
}

impl Membership {
    /// Handles a handshake with a member of a cluster.
    pub(super) fn meet_settled(&mut self, now: Duration, member: Member, summary: Summary) {
        let Phase::Joined(cluster) = &mut self.phase else {
            self.meet_cluster_while_starting(now, member, summary);
            return;
        };
        cluster.forget_starter(member.id);
        let own_stamp = cluster.view.stamp();
        if summary.stamp == own_stamp {
            return;
        }
        let lags_behind = cluster.view.contains(member.id)
            && !summary.stamp.id.is_newer_than(&own_stamp.id)
            && summary.lineage == cluster.view.lineage;
        if lags_behind {
            return;
        }
        if self.may_request(now, RequestKind::Pull, member.id) {
            self.send(member, Message::Pull { have: Some(own_stamp) });
        }
    }

    /// Handles a view from another member, with the terms of that cluster.
    pub(super) fn handle_view(&mut self, now: Duration, from: &Member, view: View, terms: &Terms) {
        let is_in = view.contains(self.me.id);
        match &self.phase {
            Phase::Starting(_) if is_in => {
                let changes = terms.changes(&self.terms);
                self.report_changes(&self.me.clone(), changes);
                self.terms = self.terms.fixed_by(terms);
                self.adopt(now, view, &[]);
            }
            Phase::Starting(_) => {
                self.meet_cluster_while_starting(now, from.clone(), Summary::of(&view));
            }
            // It was admitted because of a request from before it founded a cluster of its own, or
            // found another.
            Phase::Joined(_) if is_in && !self.terms.differences(terms).is_empty() => {
                let coordinator = view.coordinator().clone();
                if coordinator.id != self.me.id {
                    self.send(coordinator, Message::Leave);
                }
            }
            Phase::Joined(_) => self.consider(now, from, view),
            Phase::Left => {}
        }
    }

    /// Handles a view from another member: see the table above.
    fn consider(&mut self, now: Duration, from: &Member, view: View) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let newer = view.id.is_newer_than(&cluster.view.id);
        if view.stamp() == cluster.view.stamp() {
            self.claim_heard(now, from.id);
        } else if view.contains(self.me.id) && !self.is_from_removed_member(&view) {
            if newer {
                self.adopt(now, view, &[]);
                self.claim_heard(now, from.id);
            } else {
                self.claim_heard(now, from.id);
                self.send_view(now, from);
            }
        } else if cluster.leaving_since.is_some() && newer {
            self.finish_leaving(now);
        } else if cluster.view.contains(from.id)
            && (newer || (from.id == cluster.view.coordinator().id && self.refusal().is_some()))
            && self.was_left_behind(now, &view, newer)
        {
            self.rejoin(now, view.coordinator().clone());
        } else {
            self.sight(now, &Summary::of(&view));
        }
    }

    /// Whether a view was published by a member that ours has removed repeatedly, and lacks our
    /// coordinator, which is alive. A partitioned member publishes such views, as it has lost
    /// contact with the others.
    fn is_from_removed_member(&self, view: &View) -> bool {
        let Phase::Joined(cluster) = &self.phase else { return false };
        let ours = &cluster.view;
        let coordinator = ours.coordinator().id;
        let is_alive = self.lives(coordinator);
        let publisher = view.id.coordinator;
        let flaps = cluster.losses.get(&publisher).is_some_and(Losses::is_unstable);
        flaps && !ours.contains(publisher) && !view.contains(coordinator) && is_alive
    }

    /// Whether the members of this view removed this member, or are themselves a minority
    /// of a larger cluster.
    fn was_left_behind(&mut self, now: Duration, theirs: &View, newer: bool) -> bool {
        let has_just_resumed = self.has_just_resumed(now);
        let Phase::Joined(cluster) = &mut self.phase else { return false };
        let since = *cluster.left_out_since.get_or_insert(now);
        if has_just_resumed || now >= since + LEFT_OUT_WAIT {
            return true;
        }
        if !newer {
            // The member that this one takes for its coordinator has not followed yet.
            return false;
        }
        let ours = &cluster.view;
        let coordinator = ours.coordinator();
        if coordinator.id != self.me.id {
            // If the coordinator is alive, it decides.
            return theirs.contains(coordinator.id) || !self.swim.is_active(coordinator.id);
        }
        let here = |member: &&Arc<Member>| {
            !member.lite && (member.id == self.me.id || self.swim.is_active(member.id))
        };
        ours.side(theirs).filter(here).count() <= theirs.data_members()
    }

    /// Whether this member was paused a moment ago, and does not know yet what the others did in
    /// the meantime.
    fn has_just_resumed(&self, now: Duration) -> bool {
        self.phase.cluster().is_some_and(|cluster| {
            cluster.resumed_at.is_some_and(|since| now < since + RESUME_WAIT)
        })
    }

    /// Detects that this process was paused, so that its view may be outdated. It asks all members
    /// for theirs, and publishes nothing before they have replied.
    pub(super) fn notice_pause(&mut self, now: Duration) {
        let before = std::mem::replace(&mut self.active_at, now);
        if now.saturating_sub(before) < PAUSE {
            return;
        }
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if cluster.view.len() == 1 {
            return;
        }
        cluster.resumed_at = Some(now);
        let others: Vec<Member> = cluster
            .view
            .members()
            .iter()
            .filter(|member| member.id != self.me.id)
            .map(|member| Member::clone(member))
            .collect();
        cluster.claim =
            Some(Takeover { since: now, awaited: others.iter().map(|member| member.id).collect() });
        let have = Some(cluster.view.stamp());
        for member in others {
            self.send(member, Message::Pull { have });
        }
    }

    pub(super) fn send_view(&mut self, now: Duration, receiver: &Member) {
        if self.may_request(now, RequestKind::SendView, receiver.id)
            && let Some(view) = self.view().cloned()
        {
            self.send(receiver.clone(), self.shown(view));
        }
    }

    /// Another cluster was found, by this member or by another one of its cluster.
    pub(super) fn sight(&mut self, now: Duration, other: &Summary) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let view = &cluster.view;
        // Its coordinator is a member of ours that has not caught up yet.
        let lags = view.contains(other.coordinator.id)
            && view.lineage == other.lineage
            && !other.stamp.id.is_newer_than(&view.id);
        if cluster.rejoin.is_some()
            || cluster.leaving_since.is_some()
            || cluster.claim.is_some()
            || other.stamp == view.stamp()
            || lags
        {
            return;
        }
        if view.coordinator().id != self.me.id {
            let coordinator = view.coordinator().clone();
            if self.may_request(now, RequestKind::Sighting, other.coordinator.id) {
                self.send(coordinator, Message::Sighting(other.clone()));
            }
            return;
        }
        let ours_leads = view.rank() > other.rank() && !self.has_just_resumed(now);
        let ours = Summary::of(view);
        let what = if ours_leads { RequestKind::Sighting } else { RequestKind::Merge };
        let is_refused =
            if ours_leads { self.refuses(now, other.coordinator.id) } else { self.is_put_off(now) };
        let is_known = self.is_known_cluster(now, other.coordinator.id, ours_leads);
        if is_refused {
            return;
        }
        if self.may_request(now, what, other.coordinator.id) {
            if !is_known {
                self.report_cluster(now, other, ours_leads);
            }
            if ours_leads {
                self.send(other.coordinator.clone(), Message::Sighting(ours));
            } else {
                self.ask_to_merge(now, other.coordinator.clone());
            }
        }
    }

    /// Whether the cluster of this coordinator was reported, and found again ever since.
    fn is_known_cluster(&mut self, now: Duration, id: MemberId, ours_leads: bool) -> bool {
        let Phase::Joined(cluster) = &mut self.phase else { return false };
        let known = cluster.found_clusters.get_mut(&id).filter(|known| {
            known.ours_leads == ours_leads && now < known.last_at + FOUND_CLUSTER_KEPT
        });
        known.map(|known| known.last_at = now).is_some()
    }

    /// Reports another cluster to operators.
    fn report_cluster(&mut self, now: Duration, other: &Summary, ours_leads: bool) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let found = &mut cluster.found_clusters;
        if found.len() >= FOUND_CLUSTERS_MAX {
            found.retain(|_, known| now < known.last_at + FOUND_CLUSTER_KEPT);
        }
        if found.len() < FOUND_CLUSTERS_MAX || found.contains_key(&other.coordinator.id) {
            found.insert(other.coordinator.id, FoundCluster { ours_leads, last_at: now });
        }
        self.emit(Event::ClusterFound { other: other.clone(), ours_leads });
    }

    /// A cluster of lower rank asks to be merged.
    pub(super) fn handle_merge(&mut self, now: Duration, met: MergeRequest) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let MergeRequest { from, view: theirs, terms } = &met;
        if theirs.contains(self.me.id) {
            self.handle_view(now, &met.from, met.view, &met.terms);
            return;
        }
        if cluster.rejoin.is_some() || cluster.leaving_since.is_some() {
            return;
        }
        let is_theirs = if self.is_from_removed_member(theirs) {
            // Our members that are in their view have not moved to their cluster.
            theirs.outranks_whole(&cluster.view)
        } else {
            theirs.outranks(&cluster.view)
        };
        if cluster.claim.is_some() || (self.has_just_resumed(now) && !is_theirs) {
            // Nothing is decided before this member knows what the others did.
            let Phase::Joined(cluster) = &mut self.phase else { return };
            cluster.deferred = Some(Box::new(met));
            return;
        }
        if cluster.view.coordinator().id != self.me.id {
            self.sight(now, &Summary::of(theirs));
            return;
        }
        // In either direction: a setting that one of them has must not change.
        let differences = self.terms.differences(terms);
        if !differences.is_empty() {
            if !self.must_wait(now, from) {
                self.refuse(now, from.clone(), JoinRefusal::Differs(differences), false);
            }
            return;
        }
        if is_theirs {
            // They believed that this side is the stronger one; the complete views show that it is
            // not.
            if !self.is_put_off(now) && self.may_request(now, RequestKind::Merge, from.id) {
                self.ask_to_merge(now, from.clone());
            }
            return;
        }
        if self.must_wait(now, from) {
            return;
        }
        let Some(unreachable) = self.check_merge(now, &met) else { return };
        let Phase::Joined(cluster) = &self.phase else { return };
        let newcomers = || theirs.members().iter().filter(|m| !cluster.view.contains(m.id));
        if newcomers().next().is_some() && newcomers().all(|m| unreachable.contains(&m.id)) {
            let why = self.unreached(from.id);
            // If it is answering this member already, another reply is not needed.
            let by_me = why == JoinRefusal::Unreachable;
            self.refuse(now, from.clone(), why, by_me);
            return;
        }
        let epoch = cluster.view.id.epoch.max(theirs.id.epoch).saturating_add(1);
        let version = cluster.view.id.version.max(theirs.id.version);
        let changes = self.terms.changes(terms);
        let members = cluster.view.adopt_members_of(theirs);
        let lineage = cluster.view.lineage;
        let Phase::Joined(cluster) = &mut self.phase else { return };
        for member in members.into_iter().filter(|m| !unreachable.contains(&m.id)) {
            // Their ages are final: kept, or assigned in their order.
            cluster.joining.insert(member.id, (member, Some(lineage)));
        }
        cluster.claim = None;
        self.report_changes(from, changes);
        self.publish(now, epoch, version);
        // The sender may have been in our view all along, with a view of its own: it needs the
        // reply even then.
        if let Some(view) = self.view().cloned() {
            self.send(from.clone(), self.shown(view));
        }
    }

    /// Handles a merge request that came while this member could not decide it.
    pub(super) fn tick_deferred(&mut self, now: Duration) {
        let has_just_resumed = self.has_just_resumed(now);
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if cluster.claim.is_none()
            && !has_just_resumed
            && let Some(met) = cluster.deferred.take()
        {
            self.handle_merge(now, *met);
        }
    }

    /// When that is due.
    pub(super) fn deferred_due(cluster: &ClusterState) -> Option<Duration> {
        cluster.deferred.as_ref()?;
        let awake = cluster.resumed_at.map(|since| since + RESUME_WAIT);
        Some(awake.unwrap_or_default())
    }

    /// The other members removed this one: asks to rejoin.
    pub(super) fn rejoin(&mut self, now: Duration, coordinator: Member) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let is_asked = |rejoin: &Rejoin| {
            rejoin.coordinator.id == coordinator.id || rejoin.tries < REJOIN_TRIES_MIN
        };
        if cluster.rejoin.as_deref().is_some_and(is_asked) || coordinator.id == self.me.id {
            return;
        }
        let rejoin = Rejoin { coordinator: coordinator.clone(), asked_at: now, tries: 1 };
        cluster.rejoin = Some(Box::new(rejoin));
        cluster.claim = None;
        cluster.merging = None;
        cluster.newcomers.clear();
        cluster.joining.clear();
        cluster.departing.clear();
        cluster.checks.clear();
        if self.calls.own_refusal.is_none() {
            self.emit(Event::Rejoining { coordinator: coordinator.clone() });
        }
        self.apply_to(coordinator);
    }

    pub(super) fn handle_redirect(&mut self, now: Duration, from: &Member, coordinator: Member) {
        let Phase::Joined(cluster) = &mut self.phase else {
            self.redirect_while_starting(now, from, coordinator);
            return;
        };
        let Some(rejoin) = &mut cluster.rejoin else { return };
        if coordinator.id == self.me.id {
            cluster.rejoin = None;
        } else if coordinator.id != rejoin.coordinator.id {
            rejoin.coordinator = coordinator.clone();
            rejoin.asked_at = now;
            self.apply_to(coordinator);
        }
    }

    pub(super) fn tick_rejoin(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let Some(rejoin) = &mut cluster.rejoin else { return };
        if now < rejoin.asked_at + self.config.answer_wait {
            return;
        }
        if rejoin.tries >= REJOIN_TRIES_MAX {
            let coordinator = rejoin.coordinator.clone();
            cluster.rejoin = None;
            cluster.unreviewed = true;
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
