//! Checks of a history for the guarantees of each kind of key.
//!
//! | kind | check |
//! |---|---|
//! | register | linearizable: zones of unique values (Gibbons and Korach, "Testing shared memories", 1997) |
//! | deleting | linearizable: the search of [`linear`] |
//! | counter | bounds of each answer and read, then the search |
//! | queue | each element is delivered once and in order, none is lost or appears from nowhere; no empty answer while an element is present |
//! | set | each element is present from `SADD` to `SREM`, and at no other time |
//! | expiring | does not expire early, does not stay late, never reappears |
//! | deleted | never reappears |
//!
//! An operation of unknown outcome may take effect at any time after it began, or never. With
//! splits, registers are checked for the guarantees of splits ([`Profile::Split`]), and other kinds
//! only for values that were never written.

mod counter;
mod deleting;
mod expiring;
pub mod linear;
mod queue;
mod register;
mod set;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::history::{Action, Answer, Fault, History, Kind, Operation, Outcome, Profile, group};

pub use expiring::{EARLY_MS_MAX, LATE_MS_MAX, SLEW_PERCENT_MAX};

/// Maximum number of violations reported per key.
const PER_KEY_MAX: usize = 3;

/// Maximum number of operations printed per violation.
const SHOWN_MAX: usize = 24;

/// Faults within this time of a violation are printed, in nanoseconds.
const CONTEXT_NS: u64 = 10_000_000_000;

/// A violated guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key, or the two lists of a queue.
    pub key: String,
    /// The name of the rule.
    pub rule: &'static str,
    /// A description, with the values.
    pub text: String,
    /// The smallest set of operations that demonstrates it, by index in the history.
    pub operations: Vec<usize>,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Violated guarantees.
    pub violations: Vec<Violation>,
    /// Keys whose search was abandoned.
    pub undecided: Vec<String>,
    /// Operations of each kind of key by outcome.
    pub counts: Counts,
}

/// Operations by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Executed.
    pub done: u64,
    /// Refused: not executed.
    pub refused: u64,
    /// Executed or not.
    pub unknown: u64,
    /// Invalid answers.
    pub unexpected: u64,
}

impl Outcomes {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.done + self.refused + self.unknown + self.unexpected
    }
}

/// Operations of each kind of key by outcome.
pub type Counts = BTreeMap<Kind, Outcomes>;

/// Adds `more` to `counts`.
pub fn add(counts: &mut Counts, more: &Counts) {
    for (kind, outcomes) in more {
        let sum = counts.entry(*kind).or_default();
        sum.done += outcomes.done;
        sum.refused += outcomes.refused;
        sum.unknown += outcomes.unknown;
        sum.unexpected += outcomes.unexpected;
    }
}

/// The operations of one key or queue.
struct Case<'a> {
    history: &'a History,
    key: &'a str,
    /// Indices in the history, in the order in which the operations began.
    indices: &'a [usize],
}

impl<'a> Case<'a> {
    fn operations(&self) -> impl Iterator<Item = (usize, &'a Operation)> + Clone {
        let history = self.history;
        self.indices.iter().map(move |&index| (index, &history.operations[index]))
    }

    fn violation(&self, rule: &'static str, text: String, operations: Vec<usize>) -> Violation {
        Violation { key: self.key.to_owned(), rule, text, operations }
    }
}

/// The violations that a check has found.
#[derive(Default)]
struct Findings {
    violations: Vec<Violation>,
    is_undecided: bool,
}

/// Checks every key of `history`.
#[must_use]
pub fn check(history: &History) -> Report {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        groups.entry(group(&operation.key)).or_default().push(index);
    }
    let mut report = Report::default();
    for (key, indices) in &mut groups {
        indices.sort_by_key(|&index| (history.operations[index].call, index));
        let Some(kind) = Kind::of(key) else { continue };
        let case = Case { history, key, indices };
        count(report.counts.entry(kind).or_default(), &case);
        let mut findings = Findings::default();
        unexpected(&case, &mut findings);
        match (history.header.profile, kind) {
            (Profile::Strong, Kind::Register) => register::check(&case, &mut findings),
            (Profile::Split, Kind::Register) => register::check_split(&case, &mut findings),
            (Profile::Strong, Kind::Deleting) => deleting::check(&case, &mut findings),
            (Profile::Strong, Kind::Counter) => counter::check(&case, &mut findings),
            (Profile::Strong, Kind::Queue) => queue::check(&case, &mut findings),
            (Profile::Strong, Kind::Set) => set::check(&case, &mut findings),
            (Profile::Strong, Kind::Expiring) => expiring::check(&case, &mut findings),
            (_, Kind::Deleted) => deleted(&case, &mut findings),
            (Profile::Split, _) => phantoms(&case, &mut findings),
        }
        if findings.is_undecided {
            report.undecided.push((*key).to_owned());
        }
        findings.violations.truncate(PER_KEY_MAX);
        report.violations.append(&mut findings.violations);
    }
    report
}

fn count(outcomes: &mut Outcomes, case: &Case<'_>) {
    for (_, operation) in case.operations() {
        match operation.outcome {
            Outcome::Done(_) => outcomes.done += 1,
            Outcome::Refused(_) => outcomes.refused += 1,
            Outcome::Unknown(_) => outcomes.unknown += 1,
            Outcome::Unexpected(_) => outcomes.unexpected += 1,
        }
    }
}

fn unexpected(case: &Case<'_>, findings: &mut Findings) {
    for (index, operation) in case.operations() {
        if let Outcome::Unexpected(text) = &operation.outcome {
            let text = format!("invalid answer for this request: {text}");
            findings.violations.push(case.violation("unexpected answer", text, vec![index]));
        }
    }
}

/// Checks that a deleted key is never read again. With splits this applies only to the final reads,
/// since before that each side has its own value.
fn deleted(case: &Case<'_>, findings: &mut Findings) {
    let header = &case.history.header;
    let is_strong = header.profile == Profile::Strong;
    let deletion = case.operations().find(|(_, operation)| operation.action == Action::Delete);
    let Some((deletion, deleted)) = deletion else { return };
    if deleted.answer() == Some(&Answer::Integer(0)) {
        let set = case.operations().find(|(_, op)| matches!(op.action, Action::Set { .. }));
        if let Some((set, _)) = set.filter(|(_, set)| is_strong && set.precedes(deleted)) {
            let text = "there was nothing to delete".to_owned();
            let shown = vec![set, deletion];
            findings.violations.push(case.violation("acknowledged write lost", text, shown));
        }
        return;
    }
    let is_last = |read: &Operation| header.settled > 0 && read.call >= header.settled;
    for (index, read) in case.operations() {
        if let (Action::Get, Some(Answer::Value(value))) = (&read.action, read.answer())
            && deleted.precedes(read)
            && (is_strong || is_last(read))
        {
            let text = format!("a deleted key is back with value {value}");
            findings.violations.push(case.violation(
                "deleted key reappeared",
                text,
                vec![deletion, index],
            ));
        }
    }
}

/// Checks that no answer contains a value that was never written, or whose write was refused.
fn phantoms(case: &Case<'_>, findings: &mut Findings) {
    let mut written: BTreeMap<u64, (usize, &Operation)> = BTreeMap::new();
    for (index, operation) in case.operations() {
        if let Some(value) = written_value(&operation.action) {
            written.insert(value, (index, operation));
        }
    }
    for (index, operation) in case.operations() {
        let Some(answer) = operation.answer() else { continue };
        let values: &[u64] = match answer {
            Answer::Value(value) => std::slice::from_ref(value),
            Answer::Values(values) => values,
            _ => continue,
        };
        for value in values {
            if let Some(violation) = phantom(case, &written, *value, index, operation) {
                findings.violations.push(violation);
            }
        }
    }
}

fn written_value(action: &Action) -> Option<u64> {
    match action {
        Action::Set { value, .. }
        | Action::SetIfAbsent { value }
        | Action::Push { value }
        | Action::Add { value } => Some(*value),
        _ => None,
    }
}

/// The value of an answer that was not written before.
fn phantom(
    case: &Case<'_>,
    written: &BTreeMap<u64, (usize, &Operation)>,
    value: u64,
    index: usize,
    operation: &Operation,
) -> Option<Violation> {
    match written.get(&value) {
        None => Some(case.violation(
            "phantom",
            format!("value {value}, which was never written to this key"),
            vec![index],
        )),
        Some((write, by)) if matches!(by.outcome, Outcome::Refused(_)) => Some(case.violation(
            "refused but executed",
            format!("value {value}, whose write was refused"),
            vec![*write, index],
        )),
        Some((write, by)) if operation.ret < by.call => Some(case.violation(
            "phantom",
            format!("value {value}, before its write began"),
            vec![*write, index],
        )),
        Some(_) => None,
    }
}

/// A violation, for the output of a run.
#[must_use]
pub fn describe(history: &History, violation: &Violation) -> String {
    let header = &history.header;
    let mut page = format!(
        "VIOLATION {}: {}\n  key {}, seed {}, round {}, profile {}\n  \
         call (s)    return (s)   who  at\n",
        violation.rule,
        violation.text,
        violation.key,
        header.seed,
        header.round,
        header.profile.name(),
    );
    let mut operations: Vec<&Operation> =
        violation.operations.iter().map(|&index| &history.operations[index]).collect();
    operations.sort_by_key(|operation| (operation.call, operation.ret));
    operations.dedup();
    let hidden = operations.len().saturating_sub(SHOWN_MAX);
    if hidden > 0 {
        let _ = writeln!(page, "  ({hidden} earlier operations are not shown)");
    }
    for operation in operations.iter().skip(hidden) {
        let _ = writeln!(page, "  {operation}");
    }
    let from = operations.iter().map(|operation| operation.call).min().unwrap_or(0);
    let until = operations.iter().map(|operation| operation.ret).max().unwrap_or(0);
    page.push_str("  faults around it:\n");
    for fault in around(&history.faults, from, until) {
        let _ = writeln!(page, "  {fault}");
    }
    page
}

fn around(faults: &[Fault], from: u64, until: u64) -> impl Iterator<Item = &Fault> {
    let (from, until) = (from.saturating_sub(CONTEXT_NS), until.saturating_add(CONTEXT_NS));
    faults.iter().filter(move |fault| fault.until >= from && fault.from <= until)
}

/// Number of keys that violated each rule.
#[must_use]
pub fn rules(violations: &[Violation]) -> BTreeMap<&'static str, usize> {
    let keys: BTreeSet<(&'static str, &str)> =
        violations.iter().map(|violation| (violation.rule, &*violation.key)).collect();
    let mut rules = BTreeMap::new();
    for (rule, _) in keys {
        *rules.entry(rule).or_default() += 1;
    }
    rules
}
