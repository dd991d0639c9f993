//! Tickets: the replication that a reply waits for.

use std::sync::Arc;

use smallvec::SmallVec;

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
    Replicated,
    /// Some backups have not confirmed them yet.
    Open,
    /// It cannot be determined whether the records survive.
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
