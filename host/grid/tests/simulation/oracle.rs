//! What clients were told, and what may therefore be found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::table::{Stamp, Table};

/// By how much a deadline may be missed: the shared clock follows by degrees.
const CLOCK_SLACK: Duration = Duration::from_millis(400);

/// A write of one key: a value that no other write has, or a removal.
#[derive(Clone)]
pub(crate) struct Write {
    /// What was written; none for a removal.
    pub(crate) value: Option<u64>,
    /// How long it lives; for ever without.
    ttl: Option<Duration>,
    issued: Duration,
    /// When its outcome was told.
    told: Option<(Duration, Outcome)>,
    /// On which side of the network's split its client was.
    side: u32,
    /// The tables that its client's member followed when it was issued and when
    /// its outcome was told: they tell clusters apart that know nothing of each
    /// other.
    tables: Vec<Option<Arc<Table>>>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamps: Vec<_> =
            self.tables.iter().map(|t| t.as_ref().map(|t| t.stamp.to_string())).collect();
        write!(f, "{:?} for {:?} at {:?}", self.value, self.ttl, self.issued)?;
        write!(f, " told {:?} side {} tables {stamps:?}", self.told, self.side)
    }
}

impl Write {
    /// Whether it may be what is found by somebody who looks from one moment to another.
    fn may_show(&self, found: Option<u64>, from: Duration, to: Duration) -> bool {
        let end = self.told.map_or(to, |(at, _)| at);
        match (self.value, found, self.ttl) {
            (Some(value), Some(found), ttl) => {
                let lives = ttl.is_none_or(|ttl| from <= end + ttl + CLOCK_SLACK);
                value == found && lives
            }
            (Some(_), None, Some(ttl)) => to + CLOCK_SLACK >= self.issued + ttl,
            (Some(_), None, None) | (None, Some(_), _) => false,
            (None, None, _) => true,
        }
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    /// Certainly not done.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// Names a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteId {
    key: u64,
    at: usize,
}

/// All that clients wrote.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    writes: BTreeMap<u64, Vec<Write>>,
    values: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// Reads that were answered.
    pub(crate) reads: u64,
    /// What a client was shown that it must not have been.
    violations: Vec<String>,
}

/// A read of one key that is under way.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) key: u64,
    issued: Duration,
    side: u32,
    tables: Vec<Option<Arc<Table>>>,
}

impl Read {
    pub(crate) fn new(now: Duration, key: u64, side: u32, table: Option<Arc<Table>>) -> Self {
        Self { key, issued: now, side, tables: vec![table] }
    }
}

impl Oracle {
    /// A value that was never written before.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// A client writes.
    pub(crate) fn issue(
        &mut self,
        now: Duration,
        key: u64,
        (value, ttl): (Option<u64>, Option<Duration>),
        side: u32,
        table: Option<Arc<Table>>,
    ) -> WriteId {
        let writes = self.writes.entry(key).or_default();
        writes.push(Write { value, ttl, issued: now, told: None, side, tables: vec![table] });
        WriteId { key, at: writes.len() - 1 }
    }

    /// It was told what came of it.
    pub(crate) fn told(
        &mut self,
        now: Duration,
        id: WriteId,
        outcome: Outcome,
        table: Option<Arc<Table>>,
    ) {
        match outcome {
            Outcome::Acknowledged => self.acknowledged += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
        }
        if let Some(write) = self.writes.get_mut(&id.key).and_then(|all| all.get_mut(id.at)) {
            // What somebody has read already counts as acknowledged from then on.
            if !matches!(write.told, Some((_, Outcome::Acknowledged))) {
                write.told = Some((now, outcome));
            }
            write.tables.push(table);
        }
    }

    /// A client was shown a value, or that there is none.
    pub(crate) fn shown(
        &mut self,
        now: Duration,
        mut read: Read,
        found: Option<u64>,
        table: Option<Arc<Table>>,
    ) {
        self.reads += 1;
        read.tables.push(table);
        let key = read.key;
        if let Some(problem) = self.is_stale(&read, found, now) {
            self.violations.push(format!(
                "a read from {:?} to {now:?} found {found:?} at key {key}: {problem}",
                read.issued
            ));
        }
        let Some(value) = found else { return };
        let all = self.writes.get_mut(&key).into_iter().flatten();
        for write in all.filter(|write| write.value == Some(value)) {
            if !matches!(write.told, Some((_, Outcome::Acknowledged))) && write.side == read.side {
                // What was shown must not be taken back.
                write.told = Some((now, Outcome::Acknowledged));
                write.tables.extend(read.tables.clone());
            }
        }
    }

    /// Why this must not be what a read finds, if so.
    fn is_stale(&self, read: &Read, found: Option<u64>, now: Duration) -> Option<String> {
        let writes = self.writes.get(&read.key).map_or(&[][..], |all| all);
        // Acknowledged before the read began, where its member knew of it.
        let is_known = |later: &&Write| {
            later.told.is_some_and(|(at, _)| at < read.issued)
                && later.side == read.side
                && read.tables.iter().all(|table| {
                    later.tables.iter().all(|before| goes_on(table.as_ref(), before.as_ref()))
                })
        };
        let started = started();
        let mut newer = None;
        for write in writes.iter().chain([&started]) {
            if !write.may_show(found, read.issued, now) {
                continue;
            }
            if matches!(write.told, Some((_, Outcome::Refused))) {
                continue;
            }
            newer = Some(writes.iter().filter(is_known).find(|later| follows(later, write))?);
        }
        Some(match newer {
            Some(newer) => format!("it was overwritten before by {newer:?}"),
            None => "nobody wrote that".into(),
        })
    }

    /// What clients were shown that they must not have been.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violations.first().map(String::as_str)
    }

    /// Keys that were written.
    pub(crate) fn keys(&self) -> Vec<u64> {
        self.writes.keys().copied().collect()
    }

    /// Whether this may be the value of a key now that all is quiet; what speaks
    /// against it otherwise.
    pub(crate) fn check(&self, now: Duration, key: u64, found: Option<u64>) -> Result<(), String> {
        let writes = self.writes.get(&key).map_or(&[][..], |all| all);
        let started = started();
        let candidates =
            writes.iter().chain([&started]).filter(|write| write.may_show(found, now, now));
        let possible = candidates.clone().any(|write| {
            let refused = matches!(write.told, Some((_, Outcome::Refused)));
            // Nothing acknowledged came certainly after it.
            !refused && !writes.iter().any(|later| follows(later, write))
        });
        if possible {
            return Ok(());
        }
        Err(format!(
            "key {key} is {found:?}; written were {:#?}",
            writes.iter().rev().take(8).collect::<Vec<_>>()
        ))
    }
}

/// Before all writes there is nothing.
fn started() -> Write {
    let told = Some((Duration::ZERO, Outcome::Unknown));
    Write { value: None, ttl: None, issued: Duration::ZERO, told, side: 0, tables: vec![] }
}

/// Whether `later` was acknowledged and began after `write` had ended.
fn follows(later: &Write, write: &Write) -> bool {
    let acknowledged = matches!(later.told, Some((_, Outcome::Acknowledged)));
    let end = match write.told {
        Some((_, Outcome::Unknown)) if write.issued == Duration::ZERO => Some(Duration::ZERO),
        // It may be done at any time after it was given up.
        Some((_, Outcome::Unknown)) | None => None,
        Some((at, _)) => Some(at),
    };
    // On two sides of a split neither is first.
    let together = write.issued == Duration::ZERO || later.side == write.side;
    acknowledged
        && together
        && goes_on_from(later, write)
        && end.is_some_and(|end| end < later.issued)
}

/// Whether the later one was certainly written where the other was known of.
fn goes_on_from(later: &Write, write: &Write) -> bool {
    let all = |table: &Option<Arc<Table>>| {
        write.tables.iter().all(|before| goes_on(table.as_ref(), before.as_ref()))
    };
    later.tables.iter().all(all)
}

fn goes_on(table: Option<&Arc<Table>>, before: Option<&Arc<Table>>) -> bool {
    let same = |a: &Stamp, b: &Stamp| (a.term, a.author) == (b.term, b.author);
    match (table, before) {
        (Some(table), Some(before)) => {
            same(&table.stamp, &before.stamp) || table.continues(before.stamp)
        }
        _ => false,
    }
}
