//! The role of this member in a partition, and its state.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;

use crate::map::Map;
use crate::session::{Peer, Sent};

/// The role of this member in the partition.
pub(crate) enum Role {
    /// It has no replica.
    Idle,
    /// It is the primary.
    Primary(PrimaryRole),
    /// It is a backup, or its copy is in progress.
    Backup(BackupRole),
}

/// The state of a primary.
pub(crate) struct PrimaryRole {
    pub(crate) links: Vec<Link>,
    /// The former primary, until it has handed over.
    pub(crate) awaits: Option<MemberId>,
}

impl PrimaryRole {
    /// Whether it may serve.
    pub(crate) fn is_ready(&self) -> bool {
        self.awaits.is_none()
    }

    /// The link to a backup.
    pub(super) fn link(&mut self, member: MemberId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.peer.id() == member)
    }
}

/// The primary's state of a backup.
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    pub(crate) place: u8,
    /// See [`crate::table::Replica::complete`].
    pub(crate) complete: Option<u8>,
    pub(crate) state: LinkState,
    /// The backup's last request, which identifies its copy.
    pub(super) ask: u64,
    /// Its copy has become incomplete, but the table does not say so yet; until it does, writes
    /// still wait for this backup.
    pub(super) invalidated: bool,
    /// It could not keep up, and writes do not wait for it. It is invited to request a copy again
    /// when it has caught up.
    pub(super) is_behind: bool,
    /// The last message of its copy. The backup has all earlier messages, even those that it
    /// refused.
    pub(super) done: Option<Sent>,
}

impl Link {
    /// Whether writes of a map wait for it.
    pub(super) fn counts(&self, map: &Map) -> bool {
        let backups = map.settings().backups;
        self.complete.is_some_and(|complete| complete <= backups) && self.place <= backups
    }

    /// Whether its copy includes this message.
    pub(crate) fn has(&self, sent: Option<Sent>) -> bool {
        let covers = |done: Sent| {
            sent.is_none_or(|sent| done.session != sent.session || sent.number <= done.number)
        };
        matches!(self.state, LinkState::Synced) && self.done.is_some_and(covers)
    }
}

/// The progress of a backup's copy.
pub(crate) enum LinkState {
    /// The remaining ranges to send: index of the map, start and end of the hashes.
    Expected,
    /// These ranges are to be sent: index of the map, start and end of the hashes.
    Copying(VecDeque<(usize, u64, u64)>),
    /// Everything was sent.
    Sent,
    /// It is complete.
    Synced,
}

/// The state of a backup.
pub(crate) struct BackupRole {
    pub(crate) primary: MemberId,
    pub(crate) place: u8,
    pub(crate) state: BackupState,
    /// Whether it has all acknowledged writes, so that it may take over without loss. This holds
    /// for a synchronized copy, and until a primary that just took over has compared it, since that
    /// primary acknowledges nothing without it.
    pub(crate) has_all_writes: bool,
    /// The former primary that is about to hand over, its epoch, and the number of this backup's
    /// copy at that time; its last records are still accepted.
    pub(super) before: Option<(MemberId, u64, u64)>,
}

/// The progress of a copy.
pub(crate) enum BackupState {
    /// It has not requested a copy yet.
    Unasked,
    /// It requested a copy at this time.
    Asked(Duration),
    /// The copy is in progress.
    Copying(Copying),
    /// The copy is complete.
    Synced,
}

/// The remaining part of a copy.
#[derive(Default)]
pub(crate) struct Copying {
    /// Ranges that are missing: index of the map, start and end of the hashes.
    pub(super) ranges: Vec<(usize, u64, u64)>,
    /// Items of an incomplete part, which replace the old items at once when it is complete.
    pub(super) items: Vec<u8>,
}

/// The part of a range that a chunk belongs to.
pub(crate) struct ChunkRange {
    /// The range of hashes.
    pub(crate) range: std::ops::Range<u64>,
    /// Whether this is the first message of the part.
    pub(crate) first: bool,
    /// Whether this is the last message of the part.
    pub(crate) last: bool,
}

impl BackupRole {
    pub(super) fn describe(&self) -> &'static str {
        match self.state {
            BackupState::Unasked => " has not asked",
            BackupState::Asked(_) => " asked",
            BackupState::Copying(_) => " is copying",
            BackupState::Synced => " synced",
        }
    }

    /// Discards the place: the copy counts for none until it has been compared again.
    pub(super) fn forget_place(&mut self) {
        self.place = u8::MAX;
        self.state = BackupState::Unasked;
        self.has_all_writes = false;
    }

    pub(crate) fn is_synced(&self) -> bool {
        matches!(self.state, BackupState::Synced)
    }
}
