//! Replication: records are sent to the backups; replies and reads wait for their acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;
use smallvec::SmallVec;

use super::Partition;
use super::role::{Link, LinkState, Role};
use super::ticket::{Need, Needs, Ticket, TicketState, is_received};
use crate::event::Event;
use crate::map::Map;
use crate::message::Message;
use crate::session::MessageState;
use crate::shared::Shared;
use crate::tracking::Change;

impl Partition {
    /// The ticket for these needs; `None` if they are empty.
    pub(super) fn ticket(&self, needs: Needs) -> Option<Ticket> {
        let (partition, epoch) = (self.number, self.epoch);
        (!needs.is_empty()).then_some(Ticket { partition, epoch, needs })
    }

    /// The backups that a read of this key must wait for, as a crash could still undo the last
    /// write.
    pub(super) fn settling(&mut self, map: &Map, hash: u32, any: bool) -> Needs {
        if self.inherited
            && let Role::Primary(role) = &self.role
        {
            // Another backup may lack data that this member took over: if both primaries were lost,
            // the data would be too.
            let unsure =
                |link: &&Link| link.complete.is_some() && !matches!(link.state, LinkState::Synced);
            self.inherited = role.links.iter().any(|link| unsure(&link));
            let needs: Needs = role
                .links
                .iter()
                .filter(unsure)
                .filter(|link| link.counts(map))
                .map(|link| Need { peer: Arc::clone(&link.peer), sent: None })
                .collect();
            if !needs.is_empty() {
                return needs;
            }
        }
        while self.in_flight.front().is_some_and(|(_, needs)| is_received(needs)) {
            self.in_flight.pop_front();
        }
        let last = self
            .in_flight
            .iter()
            .rev()
            .find(|(other, _)| any || other.is_none_or(|other| other == hash));
        match last {
            Some((_, needs)) if !is_received(needs) => needs.clone(),
            _ => Needs::new(),
        }
    }

    /// Sends changes to the backups. Returns the acknowledgements that the reply must wait for.
    pub(super) fn replicate(&mut self, shared: &Shared, map: &Map, now: Duration) -> Needs {
        let mut needs = SmallVec::new();
        if self.changes.records.is_empty() {
            return needs;
        }
        let Role::Primary(role) = &mut self.role else {
            debug_assert!(false, "only a primary makes changes");
            self.changes.clear_records();
            self.changes.changed.clear();
            return needs;
        };
        let time_ms = shared.clock.now_ms(now);
        let (partition, epoch) = (self.number, self.epoch);
        for link in &mut role.links {
            if map.settings().copies() < usize::from(link.place) {
                continue;
            }
            let counts = link.counts(map);
            if !counts && link.peer.is_full() && !matches!(link.state, LinkState::Expected) {
                // No write waits for this backup, and it does not keep up: it is copied again
                // later.
                link.state = LinkState::Expected;
                link.is_behind = true;
                link.invalidated = true;
                self.incomplete.push(link.peer.id());
            }
            let sent = match link.state {
                LinkState::Expected => None,
                LinkState::Copying(_) | LinkState::Sent | LinkState::Synced => {
                    let copy = link.ask;
                    let send = |(records, more)| {
                        let message =
                            Message::Records { partition, epoch, copy, time_ms, more, records };
                        link.peer.push(|bytes| message.encode(bytes))
                    };
                    self.changes.messages().map(send).last()
                }
            };
            if counts {
                let synced = matches!(link.state, LinkState::Synced);
                needs.push(Need { peer: Arc::clone(&link.peer), sent: sent.filter(|_| synced) });
            }
        }
        self.changes.clear_records();
        if needs.is_empty() {
            self.changes.changed.clear();
        } else {
            for hash in self.changes.changed.drain(..) {
                self.in_flight.push_back((hash, needs.clone()));
            }
        }
        needs
    }

    /// Removes and returns the backups whose copies became incomplete.
    pub(crate) fn take_incomplete(&mut self) -> Vec<MemberId> {
        std::mem::take(&mut self.incomplete)
    }

    /// Removes and returns the events for listeners.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.changes.event_bytes = 0;
        std::mem::take(&mut self.changes.events)
    }

    /// Removes and returns the changes for members that follow the maps.
    pub(crate) fn take_followed(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes.followed)
    }

    /// The state of a ticket.
    pub(crate) fn ticket_state(&self, ticket: &Ticket, primary: Option<MemberId>) -> TicketState {
        let state = |need: &Need| need.sent.map(|sent| need.peer.state(sent));
        if let Role::Primary(role) = &self.role
            && self.epoch == ticket.epoch
        {
            // Members that are not backups any more need not have the records.
            let is_open = ticket.needs.iter().any(|need| {
                let link = role.links.iter().find(|link| link.peer.id() == need.peer.id());
                // A backup that follows a newer table refuses the records; this member will receive
                // that table soon.
                let received = state(need) == Some(MessageState::Received);
                link.is_some_and(|link| !received && !link.has(need.sent))
            });
            return if is_open { TicketState::Open } else { TicketState::Replicated };
        }
        // Another member becomes the primary, once the records in transit have arrived.
        if !self.has_retired() {
            return TicketState::Open;
        }
        // Another member is the primary. The records survive if it had them when it took over.
        let successor = ticket.needs.iter().find(|need| Some(need.peer.id()) == primary);
        match successor.and_then(state) {
            Some(MessageState::Received) => TicketState::Replicated,
            Some(MessageState::Open) => TicketState::Open,
            _ => TicketState::Unknown,
        }
    }
}
