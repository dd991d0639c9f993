//! Reads a stream in pieces: its entries, its groups, and what is pending in them.

use std::collections::BTreeMap;
use std::mem;

use super::reader::{COUNT_MAX, ELEMENT_BYTES_MAX, PIECE_BYTES_MAX, Unread};
use super::{Entry, Group, Pending, Piece, Store, StreamInfo};
use crate::client::{Requests, text_of};
use crate::reply::Value;

/// The ID before all others.
const FIRST_ID: &[u8] = b"0-0";

/// What is read next.
#[derive(Debug, Default)]
enum Step {
    #[default]
    Info,
    /// The entries from this ID on.
    Entries(Vec<u8>),
    End,
    Groups,
    /// The group itself, before what is pending in it.
    Group,
    /// What is pending in the first of the groups from this ID on.
    Pending(Vec<u8>),
}

/// Reads one stream. Entries that are added meanwhile are left out.
#[derive(Debug, Default)]
pub(super) struct StreamReader {
    step: Step,
    count: u64,
    info: StreamInfo,
    /// The groups that are still to be read.
    groups: Vec<Group>,
}

/// The ID that follows.
fn next_id(id: &[u8]) -> Option<Vec<u8>> {
    let (ms, number) = str::from_utf8(id).ok()?.split_once('-')?;
    let (ms, number) = (ms.parse::<u64>().ok()?, number.parse::<u64>().ok()?);
    Some(
        match number.checked_add(1) {
            Some(number) => format!("{ms}-{number}"),
            None => format!("{}-0", ms.checked_add(1)?),
        }
        .into_bytes(),
    )
}

/// The fields of a reply that alternates names and values.
fn facts(reply: Value) -> Option<BTreeMap<Vec<u8>, Value>> {
    let (mut all, mut facts) = (reply.into_list()?.into_iter(), BTreeMap::new());
    while let Some(name) = all.next() {
        facts.insert(name.text()?.to_vec(), all.next()?);
    }
    Some(facts)
}

fn number(facts: &BTreeMap<Vec<u8>, Value>, name: &str) -> Option<u64> {
    u64::try_from(facts.get(name.as_bytes())?.integer()?).ok()
}

fn text(facts: &BTreeMap<Vec<u8>, Value>, name: &str) -> Option<Vec<u8>> {
    facts.get(name.as_bytes())?.text().map(<[u8]>::to_vec)
}

fn entry(value: Value) -> Option<Entry> {
    let mut parts = value.into_list()?.into_iter();
    let id = parts.next()?.into_bytes()?;
    // An entry that was deleted has no fields.
    Some(Entry { id, fields: parts.next()?.into_strings()? })
}

fn pending(value: Value) -> Option<Pending> {
    let mut parts = value.into_list()?.into_iter();
    let (id, consumer) = (parts.next()?.into_bytes()?, parts.next()?.into_bytes()?);
    let mut number = || u64::try_from(parts.next()?.integer()?).ok();
    Some(Pending { id, consumer, idle_ms: number()?, deliveries: number()? })
}

impl StreamReader {
    pub(super) async fn next(
        &mut self,
        store: &mut impl Store,
        key: &[u8],
    ) -> Result<Option<Piece>, Unread> {
        loop {
            match mem::replace(&mut self.step, Step::Groups) {
                Step::Info => {
                    let reply = self.ask(store, key, [&b"XINFO"[..], b"STREAM", key]).await?;
                    let facts = facts(reply).ok_or_else(unexpected)?;
                    let last_id = text(&facts, "last-generated-id").ok_or_else(unexpected)?;
                    let history =
                        number(&facts, "entries-added").zip(text(&facts, "max-deleted-entry-id"));
                    self.info = StreamInfo { last_id, history };
                    self.count = COUNT_MAX;
                    self.step = Step::Entries(FIRST_ID.to_vec());
                }
                Step::Entries(from) => {
                    let (last, count) = (&self.info.last_id, self.count.to_string());
                    let words = [b"XRANGE", key, &from, last, b"COUNT", count.as_bytes()];
                    let room = if self.count == 1 { ELEMENT_BYTES_MAX } else { PIECE_BYTES_MAX };
                    let reply = store.call(key, words, room).await?;
                    if reply == Value::TooLarge && self.count > 1 {
                        self.count = (self.count / 2).max(1);
                        self.step = Step::Entries(from);
                        continue;
                    }
                    let all = checked(reply)?.into_list().ok_or_else(unexpected)?;
                    let all = all.into_iter().map(entry).collect::<Option<Vec<_>>>();
                    let all = all.ok_or_else(unexpected)?;
                    let is_end = (all.len() as u64) < self.count;
                    let next = all.last().and_then(|last| next_id(&last.id));
                    self.step = match next.filter(|_| !is_end) {
                        Some(next) => Step::Entries(next),
                        None => Step::End,
                    };
                    if !all.is_empty() {
                        return Ok(Some(Piece::Entries(all)));
                    }
                }
                Step::End => return Ok(Some(Piece::StreamEnd(self.info.clone()))),
                Step::Groups => {
                    let reply = self.ask(store, key, [&b"XINFO"[..], b"GROUPS", key]).await?;
                    for group in reply.into_list().ok_or_else(unexpected)? {
                        let facts = facts(group).ok_or_else(unexpected)?;
                        self.groups.push(Group {
                            name: text(&facts, "name").ok_or_else(unexpected)?,
                            last_id: text(&facts, "last-delivered-id").ok_or_else(unexpected)?,
                            read: number(&facts, "entries-read"),
                            consumers: Vec::new(),
                        });
                    }
                    self.step = Step::Group;
                }
                Step::Group => {
                    let Some(mut group) = self.groups.first().cloned() else {
                        self.step = Step::Group;
                        return Ok(None);
                    };
                    let words = [b"XINFO", &b"CONSUMERS"[..], key, &group.name];
                    let reply = self.ask(store, key, words).await?;
                    for consumer in reply.into_list().ok_or_else(unexpected)? {
                        let facts = facts(consumer).ok_or_else(unexpected)?;
                        group.consumers.push(text(&facts, "name").ok_or_else(unexpected)?);
                    }
                    group.consumers.sort_unstable();
                    self.step = Step::Pending(FIRST_ID.to_vec());
                    return Ok(Some(Piece::Group(group)));
                }
                Step::Pending(from) => {
                    let name = self.groups[0].name.clone();
                    let count = COUNT_MAX.to_string();
                    let words = [b"XPENDING", key, &name, &from, b"+", count.as_bytes()];
                    let reply = self.ask(store, key, words).await?;
                    let all = reply.into_list().ok_or_else(unexpected)?;
                    let all = all.into_iter().map(pending).collect::<Option<Vec<_>>>();
                    let all = all.ok_or_else(unexpected)?;
                    let is_end = (all.len() as u64) < COUNT_MAX;
                    let next = all.last().and_then(|last| next_id(&last.id));
                    self.step = match next.filter(|_| !is_end) {
                        Some(next) => Step::Pending(next),
                        None => {
                            self.groups.remove(0);
                            Step::Group
                        }
                    };
                    if !all.is_empty() {
                        return Ok(Some(Piece::Pending(name, all)));
                    }
                }
            }
        }
    }

    async fn ask(
        &self,
        store: &mut impl Store,
        key: &[u8],
        request: impl Into<Requests>,
    ) -> Result<Value, Unread> {
        checked(store.call(key, request, ELEMENT_BYTES_MAX).await?)
    }
}

fn unexpected() -> Unread {
    Unread::Failed("unexpected description of a stream".to_owned())
}

fn checked(reply: Value) -> Result<Value, Unread> {
    let is_missing = reply.error().is_some_and(|text| text.contains("no such key"));
    match reply.code() {
        _ if is_missing => Err(Unread::Gone),
        Some("WRONGTYPE" | "NOGROUP") => Err(Unread::Gone),
        Some(_) => Err(Unread::Failed(text_of(&reply))),
        None => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_id_is_the_smallest_that_is_greater() {
        assert_eq!(next_id(b"5-7").unwrap(), b"5-8");
        assert_eq!(next_id(b"5-18446744073709551615").unwrap(), b"6-0");
        assert_eq!(next_id(b"18446744073709551615-18446744073709551615"), None);
        assert_eq!(next_id(b"5"), None);
    }
}
