//! Operations on an entry of a cache whose lifetime follows a policy: JCache (JSR 107).
//!
//! A policy says how long an entry lives after it is created, read and written. The one of the
//! operation applies, or that of the entry if it has its own. Each operation decides, changes the
//! value and moves the deadline in one step. Entries are plain values of the kind [`CACHE_KIND`]:
//!
//! ```text
//! policy of the entry, or none (postcard) | value
//! ```

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::plain::fits;
use crate::access::Access;
use crate::edit::Edit;
use crate::encoding;
use crate::entry::Expiry;
use crate::event::Class;
use crate::map::Eviction;
use crate::{OpError, Reply};

/// Kind of plain values that are entries of caches.
pub const CACHE_KIND: u8 = 2;
/// Maximum length of what precedes the value of an entry, in bytes.
const HEAD_BYTES_MAX: usize = 40;
/// The deadline of an entry that is read is only moved if it changes by at least this fraction of
/// the lifetime, which limits updates to backups. Entries never expire early.
const ACCESS_STEPS: u64 = 16;
/// Maximum number of entries that one operation evicts.
const EVICTIONS_MAX: usize = 8;

/// Names of the events of caches, beside `del`, `expired` and `evicted`.
pub mod cache_event {
    /// An entry was created.
    pub const CREATED: &str = "cache-created";
    /// The value of an entry was replaced.
    pub const UPDATED: &str = "cache-updated";
    /// Another expiry policy was set for an entry.
    pub const POLICY: &str = "cache-policy";
    /// An operation with a [`tag`](super::CacheOp::tag) is done. The value is the tag.
    pub const DONE: &str = "cache-done";
}

/// How long an entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheLifetime {
    /// It does not expire.
    Eternal,
    /// This number of milliseconds; 0: it expires at once.
    Ms(u64),
}

/// The lifetimes of the entries of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePolicy {
    /// After it is created.
    pub creation: CacheLifetime,
    /// After it is read; `None` changes nothing.
    pub access: Option<CacheLifetime>,
    /// After its value is replaced; `None` changes nothing.
    pub update: Option<CacheLifetime>,
}

impl CachePolicy {
    /// Entries do not expire.
    pub const ETERNAL: Self = Self { creation: CacheLifetime::Eternal, access: None, update: None };
}

/// How many entries a partition of a cache may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRoom {
    /// Maximum number of entries.
    pub entries_max: u32,
    /// Which entries are evicted when there would be more.
    pub eviction: Eviction,
}

/// An operation on an entry of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheOp<'a> {
    /// What it does.
    #[serde(borrow)]
    pub action: CacheAction<'a>,
    /// The policy of the cache or of the operation.
    pub policy: CachePolicy,
    /// Whether it takes precedence over the policy of the entry.
    pub overrides: bool,
    /// The bound on entries, if there is one.
    pub room: Option<CacheRoom>,
    /// If not empty, the operation ends with an event
    /// [`cache_event::DONE`] whose value this is, after its other events.
    #[serde(borrow, with = "serde_bytes")]
    pub tag: &'a [u8],
}

/// What an operation on an entry of a cache does. A flag is 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheAction<'a> {
    /// Nothing: for an operation that only publishes its tag.
    Nothing,
    /// Returns the value or nil, if reading it moves no deadline; else `Done`.
    Peek,
    /// Returns the value or nil.
    Get,
    /// Sets the value.
    Put(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Sets the value; returns the previous one or nil.
    GetAndPut(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Sets the value if there is no entry; returns whether there is one now that was not there.
    PutIfAbsent(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Replaces the value; returns whether the entry has it now.
    Replace(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// As [`Replace`](Self::Replace), if the value is the first of these.
    ReplaceIf(
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
    ),
    /// Replaces the value; returns the previous one, or nil if there is no entry.
    GetAndReplace(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes the entry; returns whether there was one.
    Remove,
    /// Removes the entry if it has this value; returns whether it had.
    RemoveIf(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes the entry; returns its value or nil.
    GetAndRemove,
    /// Sets a policy for this entry only; returns whether there is one.
    SetPolicy(CachePolicy),
}

/// The value of a stored entry, and whether reading it moves its deadline by a policy of its own.
/// `None` if it is not an entry of a cache.
#[must_use]
pub fn cache_value(stored: &[u8]) -> Option<(&[u8], bool)> {
    let (own, value) = parts(stored)?;
    Some((value, own.is_some_and(|policy| policy.access.is_some())))
}

fn parts(stored: &[u8]) -> Option<(Option<CachePolicy>, &[u8])> {
    postcard::take_from_bytes(stored).ok()
}

fn stored(own: Option<CachePolicy>, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX + value.len());
    encoding::append(&own, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// An entry as it was before the operation.
struct Found {
    own: Option<CachePolicy>,
    expiry: Expiry,
    /// Its value, if the operation returns it.
    value: Reply,
    /// Whether its value is the one that the operation requires.
    is_equal: bool,
}

impl CacheOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self.action {
            CacheAction::Nothing | CacheAction::Peek => Effect::Reads,
            CacheAction::Get
            | CacheAction::Remove
            | CacheAction::RemoveIf(_)
            | CacheAction::GetAndRemove
            | CacheAction::SetPolicy(_) => Effect::Changes,
            CacheAction::Put(_)
            | CacheAction::GetAndPut(_)
            | CacheAction::PutIfAbsent(_)
            | CacheAction::Replace(_)
            | CacheAction::ReplaceIf(..)
            | CacheAction::GetAndReplace(_) => Effect::Adds,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        match self.action {
            CacheAction::Put(value)
            | CacheAction::GetAndPut(value)
            | CacheAction::PutIfAbsent(value)
            | CacheAction::Replace(value)
            | CacheAction::ReplaceIf(_, value)
            | CacheAction::GetAndReplace(value) => value.len() + HEAD_BYTES_MAX,
            _ => 0,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        fits(self.added_bytes())?;
        let reply = self.act(key, access)?;
        if !self.tag.is_empty() {
            access.report(Class::Generic, cache_event::DONE, key, self.tag);
        }
        Ok(reply)
    }

    fn act(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        let found = self.find(key, access)?;
        let own = found.as_ref().and_then(|found| found.own);
        let policy = own.filter(|_| !self.overrides).unwrap_or(self.policy);
        let create = |access: &mut Access<'_>, value: &[u8]| {
            self.create(key, access, policy.creation, value)
        };
        Ok(match (self.action, found) {
            (CacheAction::Nothing, _) => Reply::Done,
            (CacheAction::Get | CacheAction::Peek, None)
            | (CacheAction::GetAndReplace(_) | CacheAction::GetAndRemove, None) => Reply::Nil,
            (CacheAction::Peek, Some(found)) => {
                if policy.access.is_some() {
                    Reply::Done
                } else {
                    found.value
                }
            }
            (CacheAction::Get, Some(found)) => {
                touch(key, access, policy, found.expiry);
                found.value
            }
            (CacheAction::Put(value), None) => {
                create(access, value);
                Reply::Done
            }
            (CacheAction::GetAndPut(value), None) => {
                create(access, value);
                Reply::Nil
            }
            (CacheAction::PutIfAbsent(value), None) => Reply::flag(create(access, value)),
            (CacheAction::Put(value), Some(found)) => {
                update(key, access, policy, &found, value);
                Reply::Done
            }
            (CacheAction::GetAndPut(value) | CacheAction::GetAndReplace(value), Some(found)) => {
                update(key, access, policy, &found, value);
                found.value
            }
            (CacheAction::Replace(value), Some(found)) => {
                Reply::flag(update(key, access, policy, &found, value))
            }
            (CacheAction::ReplaceIf(_, value), Some(found)) if found.is_equal => {
                Reply::flag(update(key, access, policy, &found, value))
            }
            (CacheAction::Remove, Some(_)) => Reply::flag(access.delete(key)),
            (CacheAction::RemoveIf(_), Some(found)) if found.is_equal => {
                Reply::flag(access.delete(key))
            }
            // A comparison that fails counts as a read.
            (CacheAction::ReplaceIf(..) | CacheAction::RemoveIf(_), Some(found)) => {
                touch(key, access, policy, found.expiry);
                Reply::flag(false)
            }
            (CacheAction::GetAndRemove, Some(found)) => {
                access.delete(key);
                found.value
            }
            (CacheAction::SetPolicy(policy), Some(found)) => {
                set_policy(key, access, policy, &found)?;
                Reply::flag(true)
            }
            (
                CacheAction::Replace(_)
                | CacheAction::ReplaceIf(..)
                | CacheAction::Remove
                | CacheAction::RemoveIf(_)
                | CacheAction::SetPolicy(_),
                None,
            )
            | (CacheAction::PutIfAbsent(_), Some(_)) => Reply::flag(false),
        })
    }

    fn find(&self, key: &[u8], access: &mut Access<'_>) -> Result<Option<Found>, OpError> {
        if self.action == CacheAction::Nothing {
            return Ok(None);
        }
        let Some(entry) = access.plain(key)? else { return Ok(None) };
        let known = Some(entry).filter(|entry| entry.kind() == CACHE_KIND);
        let Some((own, value)) = known.and_then(|entry| parts(entry.value())) else {
            return Err(OpError::WrongType);
        };
        let returned = match self.action {
            CacheAction::Peek
            | CacheAction::Get
            | CacheAction::GetAndPut(_)
            | CacheAction::GetAndReplace(_)
            | CacheAction::GetAndRemove
            // Stored again with another policy.
            | CacheAction::SetPolicy(_) => Reply::bytes(value),
            _ => Reply::Nil,
        };
        let required = match self.action {
            CacheAction::ReplaceIf(required, _) | CacheAction::RemoveIf(required) => Some(required),
            _ => None,
        };
        let is_equal = required.is_some_and(|required| required == value);
        Ok(Some(Found { own, expiry: entry.expiry(), value: returned, is_equal }))
    }

    /// Creates an entry, unless it would expire at once. Returns whether it did.
    fn create(
        &self,
        key: &[u8],
        access: &mut Access<'_>,
        lifetime: CacheLifetime,
        value: &[u8],
    ) -> bool {
        let Some(expiry) = expiry(access, lifetime) else { return false };
        if let Some(room) = self.room {
            access.keep_below(room.entries_max as usize, room.eviction, key, EVICTIONS_MAX);
        }
        let value = stored(None, value);
        access.edit(key, &Edit::Put { kind: CACHE_KIND, value: &value, expiry });
        access.notify(Class::Plain, cache_event::CREATED, key);
        true
    }
}

/// The expiry of an entry from now on; `None` if it expires at once.
fn expiry(access: &Access<'_>, lifetime: CacheLifetime) -> Option<Expiry> {
    match lifetime {
        CacheLifetime::Eternal => Some(Expiry::NEVER),
        CacheLifetime::Ms(0) => None,
        CacheLifetime::Ms(ms) => Some(access.expiry_in(ms)),
    }
}

/// Replaces the value of an entry. Returns false if it expires at once.
fn update(
    key: &[u8],
    access: &mut Access<'_>,
    policy: CachePolicy,
    found: &Found,
    value: &[u8],
) -> bool {
    let expiry = match policy.update {
        None => Some(found.expiry),
        Some(lifetime) => expiry(access, lifetime),
    };
    let Some(expiry) = expiry else {
        access.end(key);
        return false;
    };
    let value = stored(found.own, value);
    access.edit(key, &Edit::Put { kind: CACHE_KIND, value: &value, expiry });
    access.notify(Class::Plain, cache_event::UPDATED, key);
    true
}

/// Moves the deadline of an entry that was read.
fn touch(key: &[u8], access: &mut Access<'_>, policy: CachePolicy, before: Expiry) {
    let Some(lifetime) = policy.access else { return };
    let Some(expiry) = expiry(access, lifetime) else {
        access.end(key);
        return;
    };
    let moved = match (lifetime, expiry.deadline_ms, before.deadline_ms) {
        (CacheLifetime::Ms(ms), Some(deadline_ms), before_ms) => {
            let step = ms / ACCESS_STEPS;
            let last_ms = deadline_ms.saturating_add(step);
            let is_near = before_ms.is_some_and(|before| (deadline_ms..=last_ms).contains(&before));
            (!is_near).then_some(Expiry { deadline_ms: Some(last_ms), idle: None })
        }
        _ => (before != expiry).then_some(expiry),
    };
    if let Some(expiry) = moved {
        access.edit(key, &Edit::Expire(expiry));
    }
}

fn set_policy(
    key: &[u8],
    access: &mut Access<'_>,
    policy: CachePolicy,
    found: &Found,
) -> Result<(), OpError> {
    let expiry = match policy.update {
        None => Some(found.expiry),
        Some(lifetime) => expiry(access, lifetime),
    };
    match expiry {
        None => access.end(key),
        Some(expiry) => {
            let Reply::Bytes(value) = &found.value else { return Err(OpError::Malformed) };
            let value = stored(Some(policy), value);
            fits(value.len())?;
            access.edit(key, &Edit::Put { kind: CACHE_KIND, value: &value, expiry });
            access.notify(Class::Generic, cache_event::POLICY, key);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
