//! Operations on a key with any type of value.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::plain::Lifetime;
use crate::access::Access;
use crate::clock::Version;
use crate::edit::Edit;
use crate::entry::{Entry, Expiry};
use crate::event::Class;
use crate::value::Type;
use crate::{OpError, Reply};

/// An operation on a key with any type of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GenericOp {
    /// Whether the key exists; returns 1 or 0.
    Exists,
    /// Whether the key exists, and marks it as used; returns 1 or 0.
    Touch,
    /// Removes the key; returns 1 or 0.
    Remove,
    /// Removes the key if its last change has this version; returns 1, or 0 if it does not exist.
    /// Fails with [`OpError::Changed`] if the version differs.
    RemoveVersion(Version),
    /// The name of its type: `none`, `string`, `list`, `hash`, `set`, `zset`,
    /// `stream`.
    Type,
    /// Sets another expiry, if the condition holds; returns 1 or 0.
    Expire(Lifetime, ExpireIf),
    /// Removes the expiry; returns 1, or 0 if it had none.
    Persist,
    /// When it expires, in milliseconds since 1970; -1 if never, -2 if there is no such key.
    Deadline,
    /// Time until it expires, in milliseconds; -1 and -2 as above.
    Remaining,
    /// Version of its last change, or of its removal while that is remembered; otherwise zero.
    Version,
    /// All metadata: a map of numbers (`version`, `deadline-ms`, `lifetime-end-ms` if it has a time
    /// to live, `max-idle-ms`, `bytes`, `idle-seconds`, `frequency`; `created-ms` and `hits` if the
    /// map has statistics) and the `type`. Nil if there is no such key.
    View,
    /// Removes the key like [`GenericOp::Remove`], and reports that it was evicted.
    Evict,
}

/// Condition for setting another expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireIf {
    /// Only if the key has no expiry.
    pub never: bool,
    /// Only if the key has an expiry.
    pub some: bool,
    /// Only if the new deadline is later than the current one; never counts as latest.
    pub later: bool,
    /// Only if the new deadline is earlier than the current one.
    pub earlier: bool,
}

impl GenericOp {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Exists
            | Self::Touch
            | Self::Type
            | Self::Deadline
            | Self::Remaining
            | Self::Version
            | Self::View => Effect::Reads,
            Self::Remove
            | Self::RemoveVersion(_)
            | Self::Expire(..)
            | Self::Persist
            | Self::Evict => Effect::Changes,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Exists => Ok(Reply::flag(access.peek(key).is_some())),
            Self::Touch => Ok(Reply::flag(access.read(key).is_some())),
            Self::Remove => Ok(Reply::flag(access.delete(key))),
            Self::RemoveVersion(version) => {
                match access.peek(key).map(|entry| entry.version()) {
                    None => return Ok(Reply::flag(false)),
                    Some(here) if here != *version => return Err(OpError::Changed),
                    Some(_) => {}
                }
                Ok(Reply::flag(access.delete(key)))
            }
            Self::Type => {
                let word = access.peek(key).map_or("none", |entry| type_name(entry.kind()));
                Ok(Reply::Word(word.into()))
            }
            Self::Expire(lifetime, condition) => Ok(expire(access, key, *lifetime, *condition)),
            Self::Persist => {
                let expiry = access.peek(key).map(|entry| entry.expiry());
                let expires = expiry.is_some_and(|expiry| expiry != Expiry::NEVER);
                if expires {
                    access.edit(key, &Edit::Expire(Expiry::NEVER));
                    access.notify(Class::Generic, "persist", key);
                }
                Ok(Reply::flag(expires))
            }
            Self::Deadline | Self::Remaining => {
                let now_ms = access.now_ms;
                let Some(entry) = access.peek(key) else { return Ok(Reply::Integer(-2)) };
                let Some(first) = entry.expiry().first_ms() else { return Ok(Reply::Integer(-1)) };
                let from = if *self == Self::Deadline { 0 } else { now_ms };
                Ok(Reply::Integer(first.saturating_sub(from).try_into().unwrap_or(i64::MAX)))
            }
            Self::Version => Ok(Reply::Integer(version(access, key).0.cast_signed())),
            Self::View => Ok(view(access, key)),
            Self::Evict => {
                let there = access.remove(key);
                if there {
                    access.notify(Class::Evicted, "evicted", key);
                }
                Ok(Reply::flag(there))
            }
        }
    }
}

/// The version of a key or of its removal; otherwise zero.
pub(crate) fn version(access: &mut Access<'_>, key: &[u8]) -> Version {
    if let Some(entry) = access.peek(key) {
        return entry.version();
    }
    let hash = access.hasher.hash(key);
    // The removal of an expired entry has the version of the entry, but a client that watches the
    // key must see a change.
    let gone = |removed: Version| Version(removed.0.saturating_add(1));
    access.fragment.removed_at(hash, key).map_or(access.fragment.cleared(), gone)
}

fn expire(access: &mut Access<'_>, key: &[u8], lifetime: Lifetime, condition: ExpireIf) -> Reply {
    let Some(old) = access.peek(key).map(|entry| entry.expiry()) else {
        return Reply::flag(false);
    };
    let expiry = lifetime.expiry(access, key);
    let old_ms = old.first_ms().unwrap_or(u64::MAX);
    let new_ms = expiry.map_or(0, |expiry| expiry.first_ms().unwrap_or(u64::MAX));
    let holds = (!condition.never || old == Expiry::NEVER)
        && (!condition.some || old != Expiry::NEVER)
        && (!condition.later || new_ms > old_ms)
        && (!condition.earlier || new_ms < old_ms);
    if !holds {
        return Reply::flag(false);
    }
    match expiry {
        Some(expiry) => {
            access.edit(key, &Edit::Expire(expiry));
            access.notify(Class::Generic, "expire", key);
        }
        None => {
            access.delete(key);
        }
    }
    Reply::flag(true)
}

/// The name of a type, as in the `TYPE` command of Redis.
pub(crate) fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Plain => "string",
        Type::List => "list",
        Type::Hash => "hash",
        Type::Set => "set",
        Type::SortedSet => "zset",
        Type::Stream => "stream",
    }
}

/// What [`GenericOp::View`] reports as the type of plain values whose kind is not 0: they are no strings
/// of other protocols.
pub const OTHER_KIND: &str = "blob";

fn view(access: &mut Access<'_>, key: &[u8]) -> Reply {
    let now_ms = access.now_ms;
    let Some(entry) = access.peek(key) else { return Reply::Nil };
    let meta = entry.meta();
    let kind = match &entry {
        Entry::Plain(plain) if plain.kind() != 0 => OTHER_KIND,
        _ => type_name(entry.kind()),
    };
    let number = |number: u64| Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let mut facts = vec![
        ("type", Reply::Word(kind.into())),
        ("version", Reply::Integer(meta.version.0.cast_signed())),
        ("bytes", Reply::count(entry.bytes())),
        ("idle-seconds", number(entry.usage().idle_seconds(now_ms).into())),
        ("frequency", number(entry.usage().often_at(now_ms).into())),
    ];
    if let Some(deadline_ms) = meta.expiry.first_ms() {
        facts.push(("deadline-ms", number(deadline_ms)));
    }
    if let Some(end_ms) = meta.expiry.deadline_ms {
        facts.push(("lifetime-end-ms", number(end_ms)));
    }
    if let Some(idle) = meta.expiry.idle {
        facts.push(("max-idle-ms", number(idle.period_ms)));
    }
    if let Some(statistics) = meta.statistics {
        facts.push(("created-ms", number(statistics.created_ms)));
        facts.push(("hits", number(statistics.hits.into())));
    }
    let word = |(name, fact): (&str, Reply)| (Reply::Word(name.into()), fact);
    Reply::Map(facts.into_iter().map(word).collect())
}
