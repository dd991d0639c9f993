//! What clients were told, and what may therefore be found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::table::{Stamp, Table};

/// A write of one key: a value that no other write has, or a removal.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// What was written; none for a removal.
    pub(crate) value: Option<u64>,
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
        value: Option<u64>,
        side: u32,
        table: Option<Arc<Table>>,
    ) -> WriteId {
        let writes = self.writes.entry(key).or_default();
        writes.push(Write { value, issued: now, told: None, side, tables: vec![table] });
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
            write.told = Some((now, outcome));
            write.tables.push(table);
        }
    }

    /// Keys that were written.
    pub(crate) fn keys(&self) -> Vec<u64> {
        self.writes.keys().copied().collect()
    }

    /// Whether this may be the value of a key now that all is quiet; what speaks
    /// against it otherwise.
    pub(crate) fn check(&self, key: u64, found: Option<u64>) -> Result<(), String> {
        let writes = self.writes.get(&key).map_or(&[][..], |all| all);
        let before =
            Write { value: None, issued: Duration::ZERO, told: None, side: 0, tables: vec![] };
        let started = Write { told: Some((Duration::ZERO, Outcome::Unknown)), ..before };
        let candidates = writes.iter().chain([&started]).filter(|write| write.value == found);
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
    let same = |a: &Stamp, b: &Stamp| (a.term, a.author) == (b.term, b.author);
    let goes_on = |table: &Option<Arc<Table>>, before: &Option<Arc<Table>>| match (table, before) {
        (Some(table), Some(before)) => {
            same(&table.stamp, &before.stamp) || table.continues(before.stamp)
        }
        _ => false,
    };
    later.tables.iter().all(|table| write.tables.iter().all(|before| goes_on(table, before)))
}
