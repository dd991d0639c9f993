//! What an answer waits for: that the backups have what it tells.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Partition, Role};
use crate::session::{MessageState, Peer, Sent};

/// One backup that must have something.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) peer: Arc<Peer>,
    /// The records that it must have; `None` when its copy, which is being made,
    /// will have it.
    pub(crate) sent: Option<Sent>,
}

/// All of them.
pub(crate) type Needs = SmallVec<[Need; 1]>;

/// A write, or a read of one, on its way to the backups.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) partition: u16,
    pub(crate) epoch: u64,
    pub(crate) needs: Needs,
}

/// How that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TicketState {
    /// All that must have it have it.
    Settled,
    /// Not yet.
    Open,
    /// Nobody will ever know.
    Unknown,
}

/// Whether all have it, by the sessions alone.
pub(crate) fn is_received(needs: &Needs) -> bool {
    needs
        .iter()
        .all(|need| need.sent.is_some_and(|sent| need.peer.state(sent) == MessageState::Received))
}

/// Whether some may still say that they have it.
pub(super) fn is_open(needs: &Needs) -> bool {
    let may_say = |need: &Need| {
        let is_open = need.sent.is_some_and(|sent| need.peer.state(sent) == MessageState::Open);
        is_open && !need.peer.is_over()
    };
    needs.iter().any(may_say)
}

impl Partition {
    /// How a ticket stands.
    pub(crate) fn ticket_state(
        &self,
        ticket: &Ticket,
        primary: Option<convoke_membership::MemberId>,
    ) -> TicketState {
        let state = |need: &Need| need.sent.map(|sent| need.peer.state(sent));
        if let Role::Primary(role) = &self.role
            && self.epoch == ticket.epoch
        {
            // Who is no backup any more need not have it.
            let is_open = ticket.needs.iter().any(|need| {
                let link = role.links.iter().find(|link| link.peer.id() == need.peer.id());
                // One that knows a newer table refuses; this member will know it, soon.
                let received = state(need) == Some(MessageState::Received);
                link.is_some_and(|link| !received && !link.has(need.sent))
            });
            return if is_open { TicketState::Open } else { TicketState::Settled };
        }
        // Another is to lead, once what is on its way has arrived.
        if !self.has_retired() {
            return TicketState::Open;
        }
        // Another leads now. If it had the write when it took over, all is well.
        let successor = ticket.needs.iter().find(|need| Some(need.peer.id()) == primary);
        match successor.and_then(state) {
            Some(MessageState::Received) => TicketState::Settled,
            Some(MessageState::Open) => TicketState::Open,
            _ => TicketState::Unknown,
        }
    }
}
