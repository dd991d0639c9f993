//! Operations on all keys of one partition.

use serde::{Deserialize, Serialize};

use super::answer::{bounded, scan};
use super::effect::Effect;
use super::generic::type_name;
use crate::access::Access;
use crate::entry::Entry;
use crate::glob::Glob;
use crate::slot::slot;
use crate::{OpError, Reply};

/// Maximum number of slots of the table that are tried to find a random key that has not expired.
const ANY_TRIES_MAX: usize = 100;

/// An operation on all keys of a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WholeOp<'a> {
    /// The number of keys.
    Length,
    /// Removes all keys; returns how many there were.
    Clear,
    /// Some keys: a cursor, zero at the end, and a list.
    Scan {
        /// Cursor of the previous step; zero at the start.
        cursor: u64,
        /// Number of keys to visit, approximately.
        count: u64,
        /// Which keys are returned.
        #[serde(borrow)]
        filter: ScanFilter<'a>,
    },
    /// All keys that match a pattern; refused when they are more than
    /// [`ELEMENTS_MAX`](super::ELEMENTS_MAX), or longer than
    /// [`ELEMENTS_BYTES_MAX`](super::ELEMENTS_BYTES_MAX) together.
    Keys(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// A random key, or nil.
    Any,
    /// Keys of one slot, at most this many; refused like [`WholeOp::Keys`].
    KeysOfSlot(u16, u64),
    /// The number of keys in one slot.
    LengthOfSlot(u16),
    /// Exchanges all keys with those of this map; see
    /// [`Grid::exchange`](crate::Grid::exchange). It can only be executed in all partitions at once.
    Exchange(&'a str),
    /// Removes all keys on which there is no lease; returns how many. Entries that remain get a new
    /// version. Refused as busy if more than [`LEASED_MAX`] keys remain.
    ClearUnleased,
    /// Publishes an event without a change to the members that listen to the map: its class is
    /// [`Class::Announced`](crate::Class::Announced), its key is empty.
    Announce {
        /// The name of the event.
        name: &'a str,
        /// The value of the event; at most [`ANNOUNCED_BYTES_MAX`] bytes.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
    },
    /// Removes about this number of keys with an event for each, or all keys at once if there are no
    /// listeners. Returns 1 if there may be more, else 0.
    RemoveSome(u32),
    /// The number of keys that have a time at which they expire.
    Expiring,
}

/// Maximum number of keys of a partition that [`WholeOp::ClearUnleased`] may leave.
pub const LEASED_MAX: usize = 10_000;

/// Maximum length of the value of an event that is announced, in bytes.
pub const ANNOUNCED_BYTES_MAX: usize = 64 * 1024;

/// Which keys a scan returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFilter<'a> {
    /// A glob pattern that they must match.
    #[serde(borrow, with = "serde_bytes")]
    pub pattern: Option<&'a [u8]>,
    /// The type of their values; see [`super::GenericOp::Type`].
    #[serde(borrow)]
    pub kind: Option<&'a str>,
}

impl WholeOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Clear
            | Self::Exchange(_)
            | Self::ClearUnleased
            | Self::Announce { .. }
            | Self::RemoveSome(_) => Effect::Changes,
            Self::Length
            | Self::Expiring
            | Self::Scan { .. }
            | Self::Keys(_)
            | Self::Any
            | Self::KeysOfSlot(..)
            | Self::LengthOfSlot(_) => Effect::Reads,
        }
    }

    pub(super) fn execute(&self, access: &mut Access<'_>) -> Result<Reply, OpError> {
        let now_ms = access.now_ms;
        let lives = |entry: &Entry<'_>| !entry.is_over(now_ms);
        Ok(match self {
            Self::Length => {
                // Entries need a check only if some of them expire.
                let fragment = &access.fragment;
                let count = if fragment.expiring() == 0 {
                    fragment.len()
                } else {
                    fragment.entries_from(0).filter(lives).count()
                };
                Reply::count(count)
            }
            Self::Expiring => {
                let fragment = &access.fragment;
                let expires = |entry: &Entry<'_>| entry.expiry().deadline_ms.is_some();
                let count = if fragment.expiring() == 0 {
                    0
                } else {
                    fragment.entries_from(0).filter(|entry| lives(entry) && expires(entry)).count()
                };
                Reply::count(count)
            }
            Self::Clear => {
                let count = access.fragment.len();
                if count > 0 || access.fragment.removals() > 0 {
                    access.clear();
                }
                Reply::count(count)
            }
            Self::Scan { cursor, count, filter } => {
                let from = u32::try_from(*cursor).unwrap_or(0);
                let glob = filter.pattern.map(Glob::new).filter(|glob| !glob.matches_all());
                let entries = access.fragment.entries_from(from);
                scan(entries, Entry::hash, *count, |entry, found| {
                    let wanted = lives(entry)
                        && filter.kind.is_none_or(|kind| kind == type_name(entry.kind()))
                        && glob.as_ref().is_none_or(|glob| glob.matches(entry.key()));
                    if wanted {
                        found.push(Reply::bytes(entry.key()));
                    }
                })
            }
            Self::Keys(pattern) => {
                let glob = Glob::new(pattern);
                let entries = access.fragment.entries_from(0).filter(lives);
                bounded(entries.map(|entry| entry.key()).filter(|key| glob.matches(key)))?
            }
            Self::Any => {
                for _ in 0..ANY_TRIES_MAX {
                    let rng = &mut access.rng;
                    let chance = || rand::Rng::next_u64(*rng);
                    match access.fragment.any(chance) {
                        None => return Ok(Reply::Nil),
                        Some(entry) if lives(&entry) => return Ok(Reply::bytes(entry.key())),
                        Some(_) => {}
                    }
                }
                let first = access.fragment.entries_from(0).find(lives);
                Reply::optional(first.map(|entry| entry.key()))
            }
            Self::KeysOfSlot(number, most) => {
                let entries = access.fragment.entries_from(0).filter(lives);
                let of_slot = entries.map(|entry| entry.key()).filter(|key| slot(key) == *number);
                let most = usize::try_from(*most).unwrap_or(usize::MAX);
                bounded(of_slot.take(most))?
            }
            Self::LengthOfSlot(number) => {
                let entries = access.fragment.entries_from(0).filter(lives);
                Reply::count(entries.filter(|entry| slot(entry.key()) == *number).count())
            }
            // The map has no leases: a partition executes it otherwise.
            Self::ClearUnleased => return Self::Clear.execute(access),
            Self::Announce { name, value } => {
                if value.len() > ANNOUNCED_BYTES_MAX {
                    return Err(OpError::TooLong);
                }
                access.announce(name, value);
                Reply::Done
            }
            Self::RemoveSome(count) => {
                if !access.map.is_listened() {
                    if access.fragment.len() > 0 || access.fragment.removals() > 0 {
                        access.clear();
                    }
                    return Ok(Reply::flag(false));
                }
                let entries = access.fragment.entries_from(0);
                let keys = entries.take(*count as usize).map(|entry| entry.key().into());
                let keys: Vec<Box<[u8]>> = keys.collect();
                for key in &keys {
                    access.delete(key);
                }
                Reply::flag(access.fragment.len() > 0)
            }
            // A transaction executes it.
            Self::Exchange(_) => return Err(OpError::Malformed),
        })
    }
}
