//! What changes, as it goes from a primary to its backups.

use serde::{Deserialize, Serialize};

use crate::KEY_BYTES_MAX;
use crate::access::KeyHasher;
use crate::clock::Version;
use crate::encoding;
use crate::entry::{Expiry, KINDS_MAX};
use crate::value::StructureEdit;

/// A change of one key. Applied to equal copies it leaves equal copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Edit<'a> {
    /// These bytes are the value, whatever it was.
    Put {
        /// What the bytes are, to the protocol that wrote them.
        kind: u8,
        /// The value.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        /// When it expires.
        expiry: Expiry,
    },
    /// The key goes, and that it went is remembered.
    Remove,
    /// The key goes and leaves nothing, unless it was written since: it expired, or was
    /// evicted.
    Drop,
    /// As [`Edit::Drop`], and a removal is remembered that has the version of the entry:
    /// an older value that another copy still holds does not come back.
    Lapse,
    /// It expires at other times.
    Expire(Expiry),
    /// Somebody asked for it: its idle deadline moves. No new version.
    Touch {
        /// The new idle deadline.
        deadline_ms: u64,
    },
    /// More bytes at the end of a plain value.
    Append(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Bytes in place of others, from this place on.
    Splice(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// A structure changes, or begins to be.
    Structure(#[serde(borrow)] StructureEdit<'a>),
}

/// One step of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// The map's name.
    #[serde(borrow)]
    pub(crate) map: &'a str,
    /// Its version from then on.
    pub(crate) version: Version,
    /// What changes.
    #[serde(borrow)]
    pub(crate) change: RecordChange<'a>,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RecordChange<'a> {
    /// One key.
    Key(#[serde(borrow, with = "serde_bytes")] &'a [u8], #[serde(borrow)] Edit<'a>),
    /// All keys of the partition go.
    Clear,
    /// Removals before this version are forgotten.
    Forget(Version),
    /// The same, since there are too many: what members of this cluster that were away
    /// hold of that age, and is not here, counts as removed.
    Floor(Version),
}

impl<'a> Record<'a> {
    /// Appends it to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        encoding::append(self, bytes);
    }

    /// The hash of the key that it is about; zero for a whole map.
    pub(crate) fn hash(&self, hasher: &KeyHasher) -> u32 {
        match &self.change {
            RecordChange::Key(key, _) => hasher.hash(key),
            RecordChange::Clear | RecordChange::Forget(_) | RecordChange::Floor(_) => 0,
        }
    }

    /// The first of `bytes`, and what follows it; `None` when they are no record, its key is
    /// longer than one may be, or there is no such kind of value.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (record, rest): (Self, _) = postcard::take_from_bytes(bytes).ok()?;
        match record.change {
            RecordChange::Key(key, _) if key.len() > KEY_BYTES_MAX => None,
            RecordChange::Key(_, Edit::Put { kind, .. }) if kind >= KINDS_MAX => None,
            _ => Some((record, rest)),
        }
    }
}
