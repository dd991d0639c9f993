//! The outcomes that clients received, and what reads may therefore return.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::table::{Table, TableStamp};

/// Tolerance of deadlines, as the cluster's clock follows with a delay.
const CLOCK_SLACK: Duration = Duration::from_millis(400);

/// A write of one key: a value that no other write has, or a removal.
#[derive(Clone)]
pub(crate) struct Write {
    /// The written value; `None` for a removal.
    pub(crate) value: Option<u64>,
    /// Its lifetime; unlimited if `None`.
    ttl: Option<Duration>,
    issued: Duration,
    /// When the client received the outcome.
    completed: Option<(Duration, Outcome)>,
    /// The side of the split that its client was on.
    side: u32,
    /// The tables that its client's member followed when the write was issued and when it
    /// completed. They distinguish clusters that do not know of each other.
    tables: Vec<Option<Arc<Table>>>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamps: Vec<_> =
            self.tables.iter().map(|t| t.as_ref().map(|t| t.stamp.to_string())).collect();
        write!(f, "{:?} for {:?} at {:?}", self.value, self.ttl, self.issued)?;
        write!(f, " completed {:?} side {} tables {stamps:?}", self.completed, self.side)
    }
}

impl Write {
    /// Whether a read between `from` and `to` may find this.
    fn may_show(&self, found: Option<u64>, from: Duration, to: Duration) -> bool {
        let end = self.completed.map_or(to, |(at, _)| at);
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

/// The outcome that a client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    /// Certainly not executed.
    Refused,
    /// Executed or not.
    Unknown,
}

/// Identifies a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteId {
    key: u64,
    at: usize,
}

/// All writes of clients.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    writes: BTreeMap<u64, Vec<Write>>,
    values: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// Number of reads with a reply.
    pub(crate) reads: u64,
    /// Replies of reads that violate consistency.
    violations: Vec<String>,
}

/// A read of one key in progress.
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
    pub(crate) fn new_value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// A client issues a write.
    pub(crate) fn issue(
        &mut self,
        now: Duration,
        key: u64,
        (value, ttl): (Option<u64>, Option<Duration>),
        side: u32,
        table: Option<Arc<Table>>,
    ) -> WriteId {
        let writes = self.writes.entry(key).or_default();
        writes.push(Write { value, ttl, issued: now, completed: None, side, tables: vec![table] });
        WriteId { key, at: writes.len() - 1 }
    }

    /// A client receives the outcome of a write.
    pub(crate) fn completed(
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
            // A value that was read counts as acknowledged from then on.
            if !matches!(write.completed, Some((_, Outcome::Acknowledged))) {
                write.completed = Some((now, outcome));
            }
            write.tables.push(table);
        }
    }

    /// Checks the result of a read: a value, or none.
    pub(crate) fn observed(
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
            if !matches!(write.completed, Some((_, Outcome::Acknowledged)))
                && write.side == read.side
            {
                // A value that was read must not be undone.
                write.completed = Some((now, Outcome::Acknowledged));
                write.tables.extend(read.tables.clone());
            }
        }
    }

    /// Why a read must not return this; `None` if it may.
    fn is_stale(&self, read: &Read, found: Option<u64>, now: Duration) -> Option<String> {
        let writes = self.writes.get(&read.key).map_or(&[][..], |all| all);
        // Acknowledged before the read began, on a member whose table it continues.
        let is_known = |later: &&Write| {
            later.completed.is_some_and(|(at, _)| at < read.issued)
                && later.side == read.side
                && read.tables.iter().all(|table| {
                    later.tables.iter().all(|before| continues(table.as_ref(), before.as_ref()))
                })
        };
        let started = started();
        let mut newer = None;
        for write in writes.iter().chain([&started]) {
            if !write.may_show(found, read.issued, now) {
                continue;
            }
            if matches!(write.completed, Some((_, Outcome::Refused))) {
                continue;
            }
            newer = Some(writes.iter().filter(is_known).find(|later| follows(later, write))?);
        }
        Some(match newer {
            Some(newer) => format!("it had been overwritten by {newer:?}"),
            None => "this value was never written".into(),
        })
    }

    /// The first reply that violates consistency.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violations.first().map(String::as_str)
    }

    /// The keys that were written.
    pub(crate) fn keys(&self) -> Vec<u64> {
        self.writes.keys().copied().collect()
    }

    /// Checks that a settled cluster may have this value for a key.
    pub(crate) fn check(&self, now: Duration, key: u64, found: Option<u64>) -> Result<(), String> {
        let writes = self.writes.get(&key).map_or(&[][..], |all| all);
        let started = started();
        let candidates =
            writes.iter().chain([&started]).filter(|write| write.may_show(found, now, now));
        let possible = candidates.clone().any(|write| {
            let refused = matches!(write.completed, Some((_, Outcome::Refused)));
            // No acknowledged write certainly followed it.
            !refused && !writes.iter().any(|later| follows(later, write))
        });
        if possible {
            return Ok(());
        }
        Err(format!(
            "key {key} is {found:?}; the last writes are {:#?}",
            writes.iter().rev().take(8).collect::<Vec<_>>()
        ))
    }
}

/// The state before all writes: no value.
fn started() -> Write {
    let completed = Some((Duration::ZERO, Outcome::Unknown));
    Write { value: None, ttl: None, issued: Duration::ZERO, completed, side: 0, tables: vec![] }
}

/// Whether `later` was acknowledged and began after `write` had completed.
fn follows(later: &Write, write: &Write) -> bool {
    let acknowledged = matches!(later.completed, Some((_, Outcome::Acknowledged)));
    let end = match write.completed {
        Some((_, Outcome::Unknown)) if write.issued == Duration::ZERO => Some(Duration::ZERO),
        // It may take effect at any time after the client gave up.
        Some((_, Outcome::Unknown)) | None => None,
        Some((at, _)) => Some(at),
    };
    // Writes on two sides of a split have no order.
    let together = write.issued == Duration::ZERO || later.side == write.side;
    acknowledged
        && together
        && continues_cluster_of(later, write)
        && end.is_some_and(|end| end < later.issued)
}

/// Whether `later` was certainly executed in a cluster that knew of `write`.
fn continues_cluster_of(later: &Write, write: &Write) -> bool {
    let all = |table: &Option<Arc<Table>>| {
        write.tables.iter().all(|before| continues(table.as_ref(), before.as_ref()))
    };
    later.tables.iter().all(all)
}

fn continues(table: Option<&Arc<Table>>, before: Option<&Arc<Table>>) -> bool {
    let same = |a: &TableStamp, b: &TableStamp| (a.term, a.author) == (b.term, b.author);
    match (table, before) {
        (Some(table), Some(before)) => {
            same(&table.stamp, &before.stamp) || table.continues(before.stamp)
        }
        _ => false,
    }
}
