//! Items: entries and removals as copied between members, and digests by which members detect
//! differences.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::clock::Version;
use crate::entry::{Expiry, KINDS_MAX, Meta};
use crate::limits::KEY_BYTES_MAX;
use crate::value::StructureEdit;

/// A range of hashes; the end is exclusive.
pub(crate) type HashRange = Range<u64>;

/// All hashes.
pub(crate) const ALL_HASHES: HashRange = 0..1 << 32;

/// An entry or removal as sent to another member. A structure consists of several consecutive
/// items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Item<'a> {
    /// A plain value.
    Plain {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// Version, expiry, statistics.
        meta: Meta,
        /// The kind of value.
        kind: u8,
        /// The value.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
    },
    /// The first part of a structure.
    Structure {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// Version, expiry, statistics.
        meta: Meta,
        /// Creates the first part.
        #[serde(borrow)]
        edit: StructureEdit<'a>,
    },
    /// The next part of the preceding structure.
    More(#[serde(borrow)] StructureEdit<'a>),
    /// The key was removed.
    Removal {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// Version of the removal.
        version: Version,
    },
}

impl<'a> Item<'a> {
    /// The key; `None` for the next part of a structure.
    fn key(&self) -> Option<&'a [u8]> {
        match self {
            Self::Plain { key, .. } | Self::Structure { key, .. } | Self::Removal { key, .. } => {
                Some(key)
            }
            Self::More(_) => None,
        }
    }

    /// The item with its deadlines moved by this number of milliseconds.
    pub(crate) fn shifted(mut self, ms: i64) -> Self {
        if let Self::Structure { edit, .. } | Self::More(edit) = &mut self
            && let StructureEdit::Hash(edit) = edit
        {
            edit.shift(ms);
        }
        if let Self::Plain { meta, .. } | Self::Structure { meta, .. } = &mut self {
            let Expiry { deadline_ms, idle } = &mut meta.expiry;
            let idle_ms = idle.as_mut().map(|idle| &mut idle.deadline_ms);
            for at in deadline_ms.as_mut().into_iter().chain(idle_ms) {
                *at = at.saturating_add_signed(ms);
            }
        }
        self
    }

    /// Decodes consecutive items; `None` when they are malformed, a key is too long, or the kind of
    /// a value is unknown.
    pub(crate) fn decode_all(bytes: &'a [u8]) -> Option<Vec<Self>> {
        let (mut items, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (item, behind): (Self, _) = postcard::take_from_bytes(rest).ok()?;
            let is_kind = !matches!(item, Self::Plain { kind, .. } if kind >= KINDS_MAX);
            if !is_kind || item.key().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
                return None;
            }
            items.push(item);
            rest = behind;
        }
        Some(items)
    }
}

/// Digests of the copy that a member has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held<'a> {
    /// The name of the map.
    #[serde(borrow)]
    pub(crate) map: &'a str,
    /// Digest of the whole fragment.
    pub(crate) digest: u64,
    /// Digests of the ranges into which all hashes are divided; empty for an empty fragment.
    pub(crate) ranges: Vec<u64>,
}
