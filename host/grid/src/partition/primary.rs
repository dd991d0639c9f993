//! The role of the primary: its start, and taking over from the former primary.

use std::sync::Arc;

use convoke_membership::MemberId;

use super::Partition;
use super::role::{Link, LinkState, PrimaryRole, Role};
use crate::shared::Shared;
use crate::table::{Assignment, Table};

impl Partition {
    /// Becomes the primary, or remains it. Returns whether its copy is complete.
    pub(super) fn become_primary(
        &mut self,
        shared: &Shared,
        stays: impl Fn(MemberId) -> bool,
        assignment: &Assignment,
    ) -> bool {
        let (mut old, mut awaits) = (Vec::new(), None);
        let takes_over = self.epoch != assignment.epoch;
        // Only a complete copy has all acknowledged writes.
        let has_all_writes = match &self.role {
            Role::Backup(role) if self.epoch + 1 == assignment.epoch => role.has_all_writes,
            _ => true,
        };
        match &mut self.role {
            Role::Primary(role) if self.epoch == assignment.epoch => {
                old = std::mem::take(&mut role.links);
                awaits = role.awaits;
                // Writes do not wait for members that are no longer backups.
                for (_, needs) in &mut self.in_flight {
                    needs.retain(|need| assignment.of(need.peer.id()).is_some());
                }
            }
            Role::Backup(role) if self.epoch + 1 == assignment.epoch => {
                awaits = Some(role.primary);
            }
            _ => {}
        }
        if takes_over {
            self.in_flight.clear();
            self.step.clear();
            let handed = self.handed.is_some_and(|(_, epoch)| epoch == assignment.epoch);
            self.inherited = !handed;
        }
        // A member that is no longer in the view does not hand over.
        awaits = awaits.filter(|before| {
            stays(*before)
                && self.handed != Some((*before, assignment.epoch))
                && shared.peer(*before).is_some()
        });
        let mut links = Vec::new();
        for replica in assignment.replicas.iter().filter(|replica| replica.member != shared.me) {
            let Some(peer) = shared.peer(replica.member) else { continue };
            let known = old.iter().position(|link| link.peer.id() == replica.member);
            let known = known.map(|at| old.swap_remove(at));
            // A new peer has a new session and does not know the previous one.
            let link = match known.filter(|link| Arc::ptr_eq(&link.peer, &peer)) {
                Some(link)
                    if link.place <= replica.place || shared.maps.catalog().copies_are_equal() =>
                {
                    // Once the table lists its copy as incomplete, no member can take over with it.
                    let is_known = link.invalidated && replica.complete.is_none();
                    Link {
                        place: replica.place,
                        complete: link.complete.filter(|_| !is_known).or(replica.complete),
                        invalidated: link.invalidated && !is_known,
                        ..link
                    }
                }
                _ => Link {
                    peer,
                    place: replica.place,
                    complete: replica.complete,
                    state: LinkState::Expected,
                    ask: 0,
                    invalidated: false,
                    is_behind: false,
                    done: None,
                },
            };
            links.push(link);
        }
        self.epoch = assignment.epoch;
        self.leftover = false;
        self.role = Role::Primary(PrimaryRole { links, awaits });
        if awaits.is_none() {
            self.invite();
            if takes_over {
                self.recover_transactions(shared);
            }
        }
        has_all_writes
    }

    /// Adds links to members that have joined the view after the table arrived.
    pub(crate) fn relink(&mut self, shared: &Shared, table: &Table) {
        let assignment = &table.partitions[usize::from(self.number)];
        if matches!(self.role, Role::Primary(_)) && self.epoch == assignment.epoch {
            self.become_primary(shared, |_| true, assignment);
        }
    }

    /// Complete copies that the table lists as incomplete: the report may have been lost with the
    /// former coordinator.
    pub(crate) fn unreported(&self, table: &Table) -> Vec<(MemberId, u8)> {
        let assignment = &table.partitions[usize::from(self.number)];
        let Role::Primary(role) = &self.role else { return Vec::new() };
        if self.epoch != assignment.epoch {
            return Vec::new();
        }
        let synced = role.links.iter().filter(|link| matches!(link.state, LinkState::Synced));
        synced
            .filter_map(|link| Some((link.peer.id(), link.complete?)))
            .filter(|(id, complete)| {
                assignment
                    .of(*id)
                    .is_some_and(|r| r.complete.is_none_or(|listed| listed > *complete))
            })
            .collect()
    }

    /// Handles that the former primary has handed over.
    pub(crate) fn handle_handoff(&mut self, shared: &Shared, from: MemberId, epoch: u64) {
        if self.epoch != epoch || !self.take_over(shared, from, true) {
            self.handed = Some((from, epoch));
        }
    }

    /// Handles that the former primary will not hand over, because its last messages are lost.
    pub(crate) fn give_up_handoff(&mut self, shared: &Shared, from: MemberId) {
        self.take_over(shared, from, false);
    }

    /// Starts to serve, if it was waiting for this member. Returns whether it was. `replicated` if
    /// all backups have the data that it takes over.
    fn take_over(&mut self, shared: &Shared, from: MemberId, replicated: bool) -> bool {
        let Role::Primary(role) = &mut self.role else { return false };
        if role.awaits != Some(from) {
            return false;
        }
        role.awaits = None;
        self.inherited &= !replicated;
        self.step.clear();
        self.recover_transactions(shared);
        self.invite();
        self.wake_all();
        true
    }

    /// The state of the primary, if this member is the primary and may serve.
    pub(crate) fn serving_primary(&self) -> Option<&PrimaryRole> {
        match &self.role {
            Role::Primary(role) if role.is_ready() => Some(role),
            _ => None,
        }
    }
}
