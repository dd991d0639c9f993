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
    /// Its copy turned out to be incomplete, but the table does not say so yet: until then, writes
    /// wait for it all the same.
    pub(super) invalidated: bool,
    /// It did not keep up, and writes do not wait for it: it is invited to ask again once it does.
    pub(super) is_behind: bool,
    /// The end of its copy. It has everything that was sent before, even if it refused that at the
    /// time.
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
    /// It has not asked yet.
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
    /// Whether it has all acknowledged writes, so that it may take over without loss. That holds
    /// for a synchronized copy, and also while a primary that just took over has not compared it
    /// yet, since that one acknowledges nothing without it.
    pub(crate) is_whole: bool,
    /// The former primary that is about to hand over, its epoch, and the number of this backup's
    /// copy then: its last records still count.
    pub(super) before: Option<(MemberId, u64, u64)>,
}

/// The progress of a copy.
pub(crate) enum BackupState {
    /// It has not asked for a copy yet.
    Unasked,
    /// It asked for a copy at this time.
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
    /// Items of a part that is not complete yet. They replace the old items all at once.
    pub(super) items: Vec<u8>,
}

/// The part of a range that a chunk belongs to.
pub(crate) struct ChunkRange {
    /// Its hashes.
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
        self.is_whole = false;
    }

    pub(crate) fn is_synced(&self) -> bool {
        matches!(self.state, BackupState::Synced)
    }
}
