//! Leases: a key is held by an owner for some time, in which no other client may change it.
//!
//! The leases of a map's keys are stored in a map of their own
//! ([`Maps::leases_of`](crate::Maps::leases_of)), in the same partition, and replicated like any
//! other entry. An expired lease is gone on all copies. This is not a lock across a split: each
//! side may grant the same key, and the later lease remains after the merge.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use crate::access::Access;
use crate::edit::Edit;
use crate::entry::Expiry;
use crate::{OpError, Reply};

/// Maximum length of an owner's name, in bytes.
pub const OWNER_BYTES_MAX: usize = 256;

/// An operation on the lease of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseOp<'a> {
    /// Acquires the key; an owner that holds it already acquires it once more. Returns how many
    /// times the owner holds it, or 0 if another owner does.
    Hold {
        /// The owner's name.
        #[serde(borrow, with = "serde_bytes")]
        owner: &'a [u8],
        /// Duration in milliseconds from now. It never shortens a lease that is held already.
        lease_ms: u64,
    },
    /// Releases the key once. Returns how many times the owner still holds it; fails with
    /// [`OpError::Held`] if this owner does not hold it.
    Release {
        /// The owner's name.
        #[serde(borrow, with = "serde_bytes")]
        owner: &'a [u8],
    },
    /// Ends the lease of any owner; returns 1, or 0 if there was none.
    Break,
    /// A map of `owner`, `count` and `deadline-ms`; nil if there is no lease.
    Holder,
    /// Prolongs the lease of an owner. Returns how many times the owner holds the key, or 0 if it
    /// does not.
    Renew {
        /// The owner's name.
        #[serde(borrow, with = "serde_bytes")]
        owner: &'a [u8],
        /// Duration in milliseconds from now. It never shortens a lease.
        lease_ms: u64,
    },
}

/// Owner of a key and how many times it holds it.
struct Lease {
    owner: Vec<u8>,
    count: u32,
    deadline_ms: u64,
}

impl LeaseOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Hold { .. } => Effect::Adds,
            Self::Release { .. } | Self::Break | Self::Renew { .. } => Effect::Changes,
            Self::Holder => Effect::Reads,
        }
    }

    /// Executes the operation, in the map of leases.
    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        let held = lease(access, key)?;
        match *self {
            Self::Hold { owner, lease_ms } => {
                if !(1..=OWNER_BYTES_MAX).contains(&owner.len()) {
                    return Err(OpError::Malformed);
                }
                let deadline_ms = access.now_ms.saturating_add(lease_ms);
                let lease = match held {
                    None => Lease { owner: owner.to_vec(), count: 1, deadline_ms },
                    Some(lease) if lease.owner == owner => Lease {
                        count: lease.count.saturating_add(1),
                        deadline_ms: lease.deadline_ms.max(deadline_ms),
                        ..lease
                    },
                    Some(_) => return Ok(Reply::Integer(0)),
                };
                put(access, key, &lease);
                Ok(Reply::Integer(lease.count.into()))
            }
            Self::Release { owner } => match held {
                Some(lease) if lease.owner == owner => {
                    let lease = Lease { count: lease.count.saturating_sub(1), ..lease };
                    if lease.count == 0 {
                        access.delete(key);
                    } else {
                        put(access, key, &lease);
                    }
                    Ok(Reply::Integer(lease.count.into()))
                }
                _ => Err(OpError::Held),
            },
            Self::Renew { owner, lease_ms } => match held {
                Some(lease) if lease.owner == owner => {
                    let count = lease.count;
                    let deadline_ms = access.now_ms.saturating_add(lease_ms);
                    let deadline_ms = lease.deadline_ms.max(deadline_ms);
                    put(access, key, &Lease { deadline_ms, ..lease });
                    Ok(Reply::Integer(count.into()))
                }
                _ => Ok(Reply::Integer(0)),
            },
            Self::Break => Ok(Reply::flag(access.delete(key))),
            Self::Holder => Ok(held.map_or(Reply::Nil, |lease| {
                let deadline_ms = i64::try_from(lease.deadline_ms).unwrap_or(i64::MAX);
                Reply::Map(vec![
                    (Reply::Word("owner".into()), Reply::bytes(&lease.owner)),
                    (Reply::Word("count".into()), Reply::Integer(lease.count.into())),
                    (Reply::Word("deadline-ms".into()), Reply::Integer(deadline_ms)),
                ])
            })),
        }
    }
}

/// Whether another owner holds a key. `access` is that of the map of leases.
pub(crate) fn is_held_by_another(access: &mut Access<'_>, key: &[u8], owner: &[u8]) -> bool {
    // An entry that is not a lease blocks all owners.
    lease(access, key).map_or(true, |lease| lease.is_some_and(|lease| lease.owner != owner))
}

/// Decodes a lease: a plain value of a count (4 bytes, big endian) and the owner's name, which
/// expires when the lease ends.
fn lease(access: &mut Access<'_>, key: &[u8]) -> Result<Option<Lease>, OpError> {
    let Some(entry) = access.plain(key)? else { return Ok(None) };
    let deadline_ms = entry.expiry().deadline_ms.unwrap_or(u64::MAX);
    let (count, owner) = entry.value().split_first_chunk().ok_or(OpError::WrongType)?;
    let count = u32::from_be_bytes(*count);
    Ok(Some(Lease { owner: owner.to_vec(), count, deadline_ms }))
}

fn put(access: &mut Access<'_>, key: &[u8], lease: &Lease) {
    let value = [&lease.count.to_be_bytes()[..], &lease.owner].concat();
    let expiry = Expiry { deadline_ms: Some(lease.deadline_ms), idle: None };
    access.edit(key, &Edit::Put { kind: 0, value: &value, expiry });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::Bench;
    use super::super::{GenericOp, KeyOp, Op};
    use super::*;

    fn hold(bench: &mut Bench, owner: &str, lease_ms: u64) -> Result<Reply, OpError> {
        bench.run(&Op::Lease(b"k", LeaseOp::Hold { owner: owner.as_bytes(), lease_ms }))
    }

    fn release(bench: &mut Bench, owner: &str) -> Result<Reply, OpError> {
        bench.run(&Op::Lease(b"k", LeaseOp::Release { owner: owner.as_bytes() }))
    }

    #[test]
    fn a_key_has_one_owner_at_a_time_which_may_acquire_it_repeatedly() {
        let mut bench = Bench::new();
        assert_eq!(hold(&mut bench, "a", 1_000), Ok(Reply::Integer(1)));
        assert_eq!(hold(&mut bench, "b", 1_000), Ok(Reply::Integer(0)));
        assert_eq!(hold(&mut bench, "a", 1_000), Ok(Reply::Integer(2)));
        assert_eq!(release(&mut bench, "b"), Err(OpError::Held));
        assert_eq!(release(&mut bench, "a"), Ok(Reply::Integer(1)));
        assert_eq!(hold(&mut bench, "b", 1_000), Ok(Reply::Integer(0)));
        assert_eq!(release(&mut bench, "a"), Ok(Reply::Integer(0)));
        assert_eq!(hold(&mut bench, "b", 1_000), Ok(Reply::Integer(1)));
        assert_eq!(bench.run(&Op::Lease(b"k", LeaseOp::Break)), Ok(Reply::Integer(1)));
        assert_eq!(bench.run(&Op::Lease(b"k", LeaseOp::Holder)), Ok(Reply::Nil));
    }

    #[test]
    fn acquiring_a_lease_again_does_not_shorten_it() {
        let mut bench = Bench::new();
        hold(&mut bench, "a", 1_000).unwrap();
        hold(&mut bench, "a", 10).unwrap();
        bench.now += Duration::from_millis(999);
        assert_eq!(hold(&mut bench, "b", 1_000), Ok(Reply::Integer(0)));
        bench.now += Duration::from_millis(1);
        assert_eq!(hold(&mut bench, "b", 1_000), Ok(Reply::Integer(1)));
    }

    #[test]
    fn only_its_owner_can_renew_a_lease() {
        let mut bench = Bench::new();
        let renew = |bench: &mut Bench, owner: &[u8]| {
            bench.run(&Op::Lease(b"k", LeaseOp::Renew { owner, lease_ms: 2_000 }))
        };
        assert_eq!(renew(&mut bench, b"a"), Ok(Reply::Integer(0)));
        hold(&mut bench, "a", 1_000).unwrap();
        hold(&mut bench, "a", 1_000).unwrap();
        assert_eq!(renew(&mut bench, b"b"), Ok(Reply::Integer(0)));
        assert_eq!(renew(&mut bench, b"a"), Ok(Reply::Integer(2)));
        bench.now += Duration::from_millis(1_999);
        assert_eq!(hold(&mut bench, "b", 1_000), Ok(Reply::Integer(0)));
        bench.now += Duration::from_millis(1);
        assert_eq!(renew(&mut bench, b"a"), Ok(Reply::Integer(0)));
    }

    #[test]
    fn an_empty_or_too_long_owner_name_is_refused() {
        let mut bench = Bench::new();
        assert_eq!(hold(&mut bench, "", 1_000), Err(OpError::Malformed));
        let long = "o".repeat(OWNER_BYTES_MAX + 1);
        assert_eq!(hold(&mut bench, &long, 1_000), Err(OpError::Malformed));
    }

    #[test]
    fn an_operation_for_an_owner_has_the_effect_and_keys_of_the_plain_one() {
        let mut bench = Bench::new();
        let exists = Op::Key(b"k", KeyOp::Generic(GenericOp::Exists));
        let op = Op::By { owner: b"a", op: Box::new(exists) };
        assert_eq!((op.effect(), op.keys()), (Effect::Reads, vec![&b"k"[..]]));
        assert_eq!(bench.run(&op), Ok(Reply::Integer(0)));
    }
}
