//! Changes as sent from the primary to its backups.

use serde::{Deserialize, Serialize};

use crate::clock::Version;
use crate::encoding;
use crate::entry::{Expiry, KINDS_MAX};
use crate::hasher::KeyHasher;
use crate::limits::KEY_BYTES_MAX;
use crate::value::StructureEdit;

/// A change of one key. Applied to equal copies, it results in equal copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Edit<'a> {
    /// Sets the value to these bytes.
    Put {
        /// Kind of the bytes, defined by the protocol that wrote them.
        kind: u8,
        /// The value.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        /// When it expires.
        expiry: Expiry,
    },
    /// Removes the key and remembers the removal.
    Remove,
    /// Drops the key without a tombstone, unless it was written since: it expired, or was evicted.
    Drop,
    /// Like [`Edit::Drop`], but leaves a tombstone with the version of the entry, so that an older
    /// value in another copy is not restored.
    Lapse,
    /// Sets another expiry.
    Expire(Expiry),
    /// Moves the idle deadline after an access. The version stays.
    Touch {
        /// The new idle deadline.
        deadline_ms: u64,
    },
    /// Appends bytes to a plain value.
    Append(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Overwrites bytes of a plain value, starting at an index.
    Splice(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Changes or creates a structure.
    Structure(#[serde(borrow)] StructureEdit<'a>),
}

/// One change of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// The map's name.
    #[serde(borrow)]
    pub(crate) map: &'a str,
    /// The version of the entry afterwards.
    pub(crate) version: Version,
    /// The change.
    #[serde(borrow)]
    pub(crate) change: RecordChange<'a>,
}

/// The subject of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RecordChange<'a> {
    /// A change of one key.
    Key(#[serde(borrow, with = "serde_bytes")] &'a [u8], #[serde(borrow)] Edit<'a>),
    /// The removal of all keys of the partition.
    Clear,
    /// Removals before this version are forgotten.
    Forget(Version),
    /// Like `Forget`, to limit memory. If a partitioned member has an entry before this version
    /// that does not exist here, the entry counts as removed.
    Floor(Version),
    /// All keys of the partition are exchanged with those of this map.
    Exchange(&'a str),
}

impl<'a> Record<'a> {
    /// Appends its encoding to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        encoding::append(self, bytes);
    }

    /// The hash of its key; zero if it concerns all keys.
    pub(crate) fn hash(&self, hasher: &KeyHasher) -> u32 {
        match &self.change {
            RecordChange::Key(key, _) => hasher.hash(key),
            RecordChange::Clear
            | RecordChange::Forget(_)
            | RecordChange::Floor(_)
            | RecordChange::Exchange(_) => 0,
        }
    }

    /// Decodes the first record of `bytes`, and returns the rest too; `None` when it is malformed,
    /// its key is too long, or the kind of a value is unknown.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (record, rest): (Self, _) = postcard::take_from_bytes(bytes).ok()?;
        match record.change {
            RecordChange::Key(key, _) if key.len() > KEY_BYTES_MAX => None,
            RecordChange::Key(_, Edit::Put { kind, .. }) if kind >= KINDS_MAX => None,
            _ => Some((record, rest)),
        }
    }
}
