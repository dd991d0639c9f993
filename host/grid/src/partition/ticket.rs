//! Tickets: what a reply waits for before it is sent.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Partition, Role};
use crate::session::{MessageState, Peer, Sent};

/// A backup that must have certain records.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) peer: Arc<Peer>,
    /// The last of the records; `None` when the copy in progress will include them.
    pub(crate) sent: Option<Sent>,
}

/// All backups that must have the records.
pub(crate) type Needs = SmallVec<[Need; 1]>;

/// The replication of a write, which the write or a read of the value waits for.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) partition: u16,
    pub(crate) epoch: u64,
    pub(crate) needs: Needs,
}

/// The state of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TicketState {
    /// All backups that must have the records have them.
    Settled,
    /// Some backups do not have them yet.
    Open,
    /// It will never be known whether the records survive.
    Unknown,
}

/// Whether all backups have acknowledged the records.
pub(crate) fn is_received(needs: &Needs) -> bool {
    needs
        .iter()
        .all(|need| need.sent.is_some_and(|sent| need.peer.state(sent) == MessageState::Received))
}

/// Whether some backup may still acknowledge the records.
pub(super) fn is_open(needs: &Needs) -> bool {
    let may_say = |need: &Need| {
        let is_open = need.sent.is_some_and(|sent| need.peer.state(sent) == MessageState::Open);
        is_open && !need.peer.is_over()
    };
    needs.iter().any(may_say)
}

impl Partition {
    /// The state of a ticket.
    pub(crate) fn ticket_state(
        &self,
        ticket: &Ticket,
        primary: Option<convoke_membership::MemberId>,
    ) -> TicketState {
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
            return if is_open { TicketState::Open } else { TicketState::Settled };
        }
        // Another member becomes the primary, once the records on their way have arrived.
        if !self.has_retired() {
            return TicketState::Open;
        }
        // Another member is the primary. The records survive if it had them when it took over.
        let successor = ticket.needs.iter().find(|need| Some(need.peer.id()) == primary);
        match successor.and_then(state) {
            Some(MessageState::Received) => TicketState::Settled,
            Some(MessageState::Open) => TicketState::Open,
            _ => TicketState::Unknown,
        }
    }
}
