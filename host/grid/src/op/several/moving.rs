//! Moving values, and parts of values, from one key to another.

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::edit::Edit;
use crate::encoding;
use crate::entry::{Entry, Expiry, KINDS_MAX};
use crate::event::Class;
use crate::op::list::{End, at_end, drop_from, push};
use crate::op::set;
use crate::value::{List, Set, Structure, StructureEdit};
use crate::{OpError, Reply};

/// A whole value without its key.
pub(in crate::op) enum Value {
    Plain { kind: u8, bytes: Vec<u8> },
    Structure(Structure),
}

/// A value, or a part of one, as it is sent to another partition.
#[derive(Serialize, Deserialize)]
pub(in crate::op) enum Encoded<'a> {
    Plain(u8, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// A structure consists of several of these: the edits that build it.
    Edit(#[serde(borrow)] StructureEdit<'a>),
}

impl Value {
    /// Appends the encoding that [`install`] reads.
    pub(in crate::op) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Plain { kind, bytes: value } => {
                encoding::append(&Encoded::Plain(*kind, value), bytes);
            }
            Self::Structure(structure) => {
                structure.rebuild(&mut |edit| encoding::append(&Encoded::Edit(edit), bytes));
            }
        }
    }
}

/// The parts of an encoded value, at least one.
pub(in crate::op) fn decode(mut bytes: &[u8]) -> Result<Vec<Encoded<'_>>, OpError> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (part, behind) = postcard::take_from_bytes(bytes).map_err(|_| OpError::Malformed)?;
        if matches!(part, Encoded::Plain(kind, _) if kind >= KINDS_MAX) {
            return Err(OpError::Malformed);
        }
        all.push(part);
        bytes = behind;
    }
    if all.is_empty() { Err(OpError::Malformed) } else { Ok(all) }
}

/// Decodes a value and sets it with this expiry, replacing the value of the key.
pub(in crate::op) fn install(
    access: &mut Access<'_>,
    key: &[u8],
    bytes: &[u8],
    expiry: Expiry,
) -> Result<(), OpError> {
    let all = decode(bytes)?;
    if matches!(all.first(), Some(Encoded::Edit(_))) {
        access.remove(key);
    }
    for part in all {
        match part {
            Encoded::Plain(kind, value) => {
                access.edit(key, &Edit::Put { kind, value, expiry });
            }
            Encoded::Edit(edit) => {
                access.edit(key, &Edit::Structure(edit));
            }
        }
    }
    if access.peek(key).is_some_and(|entry| entry.expiry() != expiry) {
        access.edit(key, &Edit::Expire(expiry));
    }
    Ok(())
}

pub(in crate::op) fn value(access: &mut Access<'_>, key: &[u8]) -> Option<(Value, Expiry)> {
    let entry = access.peek(key)?;
    let expiry = entry.expiry();
    let value = match entry {
        Entry::Plain(entry) => Value::Plain { kind: entry.kind(), bytes: entry.value().to_vec() },
        Entry::Structured(entry) => Value::Structure(entry.value.clone()),
    };
    Some((value, expiry))
}

/// Sets a whole value, replacing the value of the key.
fn put(access: &mut Access<'_>, key: &[u8], value: &Value, expiry: Expiry) {
    match value {
        Value::Plain { kind, bytes } => {
            access.edit(key, &Edit::Put { kind: *kind, value: bytes, expiry });
        }
        Value::Structure(structure) => {
            access.remove(key);
            structure.rebuild(&mut |edit| {
                access.edit(key, &Edit::Structure(edit));
            });
            if access.peek(key).is_some_and(|entry| entry.expiry() != expiry) {
                access.edit(key, &Edit::Expire(expiry));
            }
        }
    }
}

pub(super) fn rename(
    access: &mut Access<'_>,
    from: &[u8],
    to: &[u8],
    absent: bool,
) -> Result<Reply, OpError> {
    let answer = |done: bool| if absent { Reply::flag(done) } else { Reply::Done };
    let (moved, expiry) = value(access, from).ok_or(OpError::NoSuchKey)?;
    if from == to {
        return Ok(answer(false));
    }
    if absent && access.peek(to).is_some() {
        return Ok(answer(false));
    }
    put(access, to, &moved, expiry);
    access.remove(from);
    access.notify(Class::Generic, "rename_from", from);
    access.notify(Class::Generic, "rename_to", to);
    Ok(answer(true))
}

pub(super) fn copy(access: &mut Access<'_>, from: &[u8], to: &[u8], replace: bool) -> Reply {
    let Some((copied, expiry)) = value(access, from) else { return Reply::flag(false) };
    if !replace && access.peek(to).is_some() {
        return Reply::flag(false);
    }
    if from != to {
        put(access, to, &copied, expiry);
    }
    access.notify(Class::Generic, "copy_to", to);
    Reply::flag(true)
}

pub(super) fn member(
    access: &mut Access<'_>,
    from: &[u8],
    to: &[u8],
    member: &[u8],
) -> Result<Reply, OpError> {
    let is_there = access.structure::<Set>(from)?.map(|set| set.contains(member));
    let Some(is_there) = is_there else { return Ok(Reply::flag(false)) };
    let is_at_goal = access.structure::<Set>(to)?.is_some_and(|set| set.contains(member));
    if !is_there || from == to {
        return Ok(Reply::flag(is_there));
    }
    set::remove(access, from, vec![member], "srem");
    if !is_at_goal {
        set::add(access, to, vec![member], "sadd");
    }
    Ok(Reply::flag(true))
}

pub(super) fn element(
    access: &mut Access<'_>,
    from: &[u8],
    from_end: End,
    to: &[u8],
    to_end: End,
) -> Result<Reply, OpError> {
    let element = access.structure::<List>(from)?.and_then(|list| at_end(list, from_end));
    let Some(element) = element.map(<[u8]>::to_vec) else { return Ok(Reply::Nil) };
    access.structure::<List>(to)?;
    // Push first, so that a list of one element does not become empty and disappear in between if both
    // keys are the same. If both ends are the same as well, the copy is removed: as in Redis, the list
    // counts as changed.
    push(access, to, to_end, &[&element]);
    drop_from(access, from, from_end, 1);
    Ok(Reply::Bytes(element.into()))
}
