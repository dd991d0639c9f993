//! Values that go from one partition to another, within a transaction over both.

use serde::{Deserialize, Serialize};

use super::answer::ANSWER_BYTES_MAX;
use super::effect::Effect;
use super::{plain, several};
use crate::access::Access;
use crate::entry::Expiry;
use crate::event::Class;
use crate::value::Score;
use crate::{OpError, Reply, encoding};

/// Part of an operation whose keys lie in several partitions. Only the member that runs the
/// transaction makes one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TransferOp<'a> {
    /// The whole value with its expiry, encoded; nil if there is none.
    Extract,
    /// Stores what [`TransferOp::Extract`] returned, in place of any value. Returns 1, or 0 if
    /// there is a value and `absent` is set.
    Install {
        /// The encoded value.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        /// Only if the key does not exist.
        absent: bool,
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
    /// Removes a key whose value is at another key now, or in another map.
    Moved {
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
    /// Stores a set in place of any value; returns its number of members.
    StoreSet {
        /// The members.
        #[serde(borrow)]
        members: Vec<&'a [u8]>,
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
    /// Stores a sorted set in place of any value; returns its number of members.
    StoreSorted {
        /// The members and their scores.
        #[serde(borrow)]
        members: Vec<(Score, &'a [u8])>,
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
    /// Stores bytes in place of any value, or removes the key if there are none; returns how many.
    StorePlain {
        /// The bytes.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
    /// Stores a list in place of any value, or removes the key if it is empty; returns its length.
    StoreList {
        /// The elements.
        #[serde(borrow)]
        elements: Vec<&'a [u8]>,
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
}

impl TransferOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Extract => Effect::Reads,
            Self::Moved { .. } => Effect::Changes,
            Self::Install { .. }
            | Self::StoreSet { .. }
            | Self::StoreSorted { .. }
            | Self::StorePlain { .. }
            | Self::StoreList { .. } => Effect::Adds,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        match self {
            Self::Extract | Self::Moved { .. } => 0,
            Self::Install { value, .. } | Self::StorePlain { value, .. } => value.len(),
            Self::StoreSet { members: elements, .. } | Self::StoreList { elements, .. } => {
                elements.iter().map(|element| element.len()).sum()
            }
            Self::StoreSorted { members, .. } => {
                members.iter().map(|(_, member)| member.len()).sum()
            }
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Extract => {
                let Some((value, expiry)) = several::value(access, key) else {
                    return Ok(Reply::Nil);
                };
                let mut bytes = Vec::new();
                encoding::append(&expiry, &mut bytes);
                value.encode(&mut bytes);
                if bytes.len() > ANSWER_BYTES_MAX {
                    return Err(OpError::TooLong);
                }
                Ok(Reply::Bytes(bytes.into()))
            }
            Self::Install { value, absent, event } => {
                if *absent && access.peek(key).is_some() {
                    return Ok(Reply::flag(false));
                }
                let (expiry, value): (Expiry, &[u8]) =
                    postcard::take_from_bytes(value).map_err(|_| OpError::Malformed)?;
                several::install(access, key, value, expiry)?;
                access.notify(Class::Generic, event, key);
                Ok(Reply::flag(true))
            }
            Self::Moved { event } => {
                access.remove(key);
                access.notify(Class::Generic, event, key);
                Ok(Reply::Done)
            }
            Self::StoreSet { members, event } => {
                Ok(several::store_set(access, key, members, event))
            }
            Self::StoreSorted { members, event } => {
                Ok(several::store_sorted(access, key, members, event))
            }
            Self::StoreList { elements, event } => {
                Ok(several::store_list(access, key, elements, event))
            }
            Self::StorePlain { value, event } => Ok(plain::store(access, key, value, event)),
        }
    }
}
