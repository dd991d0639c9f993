//! Catching up on missed views, and calling lost members.

use std::time::Duration;

use rand::seq::IteratorRandom as _;

use super::{ClusterState, Losses, Membership, Output, Phase, Reach, RequestKind};
use crate::member::{Member, MemberId};
use crate::message::{DEPARTURES_MAX, Message};
use crate::view::{Departure, ViewStamp};

/// Time that a member waits for a step that may still be in transit before it requests it.
const CATCHUP_DELAY: Duration = Duration::from_millis(30);
/// Maximum number of lost members that are remembered.
const LOST_MAX: usize = 1_024;
/// Maximum number of lost members that are called concurrently.
const RECALLS_MAX: usize = 16;
/// Number of times that a lost member's address was found to refuse connections, or to be used by
/// another process, after which the member is given up.
const GONE_MAX: u32 = 2;
/// Number of calls after which only every tenth one is made.
const FREQUENT_CALLS_MAX: u32 = 300;

/// A newer view exists: requests it unless it arrives by itself.
pub(super) struct Catchup {
    from: MemberId,
    stamp: ViewStamp,
    pub(super) due_at: Duration,
}

/// A lost member that may come back, for example after a split.
pub(super) struct Lost {
    member: Member,
    calls: u32,
    gone: u32,
}

impl ClusterState {
    /// Updates the address of a lost member.
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
    /// The message with departures to send before a complete view, if there are any.
    pub(super) fn recent_departures(&self) -> Option<Message> {
        let departures = || self.departures.iter().copied().collect();
        (!self.departures.is_empty()).then(|| Message::Departures(departures()))
    }

    /// Records the departures of members that are missing in the view, or will be in the next one.
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

    /// Handles the view stamp in a datagram.
    pub(super) fn note_stamp(&mut self, now: Duration, from: MemberId, stamp: ViewStamp) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let newest = cluster.catchup.as_ref().map_or(cluster.view.id, |catchup| catchup.stamp.id);
        if stamp.id.is_newer_than(&newest) {
            let due_at = cluster.catchup.as_ref().map_or(now + CATCHUP_DELAY, |c| c.due_at);
            cluster.catchup = Some(Catchup { from, stamp, due_at });
        }
    }

    pub(super) fn tick_catchup(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let Some(catchup) = &mut cluster.catchup else { return };
        if now < catchup.due_at {
            return;
        }
        if !catchup.stamp.id.is_newer_than(&cluster.view.id) {
            cluster.catchup = None;
            return;
        }
        // The member that has the view; if it is not known here, the acting coordinator.
        let Catchup { from, .. } = *catchup;
        let source =
            cluster.view.get(from).or_else(|| cluster.lost.get(&from).map(|lost| &lost.member));
        let source = source.unwrap_or_else(|| cluster.view.coordinator()).clone();
        cluster.catchup = None;
        let have = Some(cluster.view.stamp());
        if source.id != self.me.id && self.may_request(now, RequestKind::Pull, source.id) {
            self.send(source, Message::Pull { have });
        }
    }

    /// Sends the steps from the view that the other has, or the complete view.
    pub(super) fn answer_pull(&mut self, to: &Member, have: Option<ViewStamp>) {
        let Phase::Joined(cluster) = &self.phase else { return };
        let own_stamp = cluster.view.stamp();
        let start = cluster.history.iter().position(|step| Some(step.base) == have);
        // The other side may be waiting for any reply, so it gets one even if it has the same view.
        let steps = start.map(|start| cluster.history.range(start..));
        let whole = steps
            .clone()
            .is_none_or(|mut steps| !steps.next_back().is_some_and(|last| last.id == own_stamp.id));
        let message = if whole {
            self.shown(cluster.view.clone())
        } else {
            Message::Deltas(steps.into_iter().flatten().cloned().collect())
        };
        self.send(to.clone(), message);
    }

    /// Handles the result of a call to a lost member.
    pub(super) fn reach_lost(&mut self, id: MemberId, reach: Reach) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        let Some(lost) = cluster.lost.get_mut(&id) else { return };
        match reach {
            Reach::Gone | Reach::Displaced => {
                lost.gone += 1;
                if lost.gone >= GONE_MAX {
                    cluster.lost.remove(&id);
                }
            }
            Reach::Answered | Reach::Silent => lost.gone = 0,
        }
    }

    /// The coordinator calls lost members: a split heals when one answers.
    pub(super) fn tick_lost(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if now < cluster.recall_at {
            return;
        }
        cluster.recall_at = now + self.config.recall_period;
        if cluster.view.coordinator().id != self.me.id {
            return;
        }
        let mut due: Vec<_> = cluster.lost.values_mut().collect();
        due.sort_by_key(|lost| lost.calls);
        for lost in due.into_iter().take(RECALLS_MAX) {
            lost.calls += 1;
            // Stability can only be observed if the member is called continuously.
            let is_watched = cluster.losses.get(&lost.member.id).is_some_and(Losses::is_proving);
            let is_due = lost.calls < FREQUENT_CALLS_MAX || lost.calls.is_multiple_of(10);
            if is_due || is_watched {
                self.outputs.push_back(Output::Call { to: lost.member.clone(), patient: false });
            }
        }
    }

    /// Exchanges the full state of SWIM with one member.
    pub(super) fn tick_sync(&mut self, now: Duration) {
        let Phase::Joined(cluster) = &mut self.phase else { return };
        if now < cluster.sync_at {
            return;
        }
        cluster.sync_at = now + self.config.sync_period;
        let me = self.me.id;
        let others = cluster.view.members().iter().filter(|m| m.id != me);
        if let Some(peer) = others.choose(&mut self.rng).cloned() {
            let health = self.swim.state();
            self.send(Member::clone(&peer), Message::Sync { health, reply: true });
        }
    }
}
