//! Registers whose written values are all distinct.
//!
//! A write and the reads of its value form a cluster. In a linearization the operations of a
//! cluster are adjacent, so it spans at least the time between its first end and its last
//! beginning. If the first end comes first, this is the *forward zone* of the cluster, and forward
//! zones must not overlap. Otherwise the cluster fits into one instant of its *backward zone*,
//! which must not be contained in a forward zone of another cluster. These conditions are
//! sufficient (Gibbons and Korach, theorem 4.2).

use std::collections::BTreeMap;

use super::{Case, Findings, phantom};
use crate::chaos::history::{Action, Answer, Operation, Outcome};

/// A write and the reads of its value. The initial absence of the key counts as written before all
/// other operations.
struct Cluster {
    /// `None` for absence.
    value: Option<u64>,
    write: Option<usize>,
    first_end: u64,
    /// The operation with this end.
    ends: Option<usize>,
    last_call: u64,
    /// The operation with this beginning.
    calls: Option<usize>,
    is_read: bool,
}

impl Cluster {
    fn new(value: Option<u64>, write: Option<usize>, call: u64, end: u64) -> Self {
        Self {
            value,
            write,
            first_end: end,
            ends: write,
            last_call: call,
            calls: write,
            is_read: false,
        }
    }

    fn add(&mut self, index: usize, read: &Operation) {
        self.is_read = true;
        if read.ret < self.first_end {
            (self.first_end, self.ends) = (read.ret, Some(index));
        }
        if read.call > self.last_call || self.calls.is_none() {
            (self.last_call, self.calls) = (read.call.max(self.last_call), Some(index));
        }
    }

    fn operations(&self) -> impl Iterator<Item = usize> {
        [self.write, self.ends, self.calls].into_iter().flatten()
    }

    fn name(&self) -> String {
        self.value.map_or("nil".to_owned(), |value| value.to_string())
    }
}

/// Checks that there is one order of all operations, consistent with their times, in which each
/// read returns the value of the last write before it.
pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let Some(clusters) = clusters(case, findings) else { return };
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    for cluster in &clusters {
        if cluster.first_end < cluster.last_call {
            forward.push(cluster);
        } else {
            backward.push(cluster);
        }
    }
    forward.sort_by_key(|cluster| cluster.first_end);
    let mut is_disjoint = true;
    for pair in forward.windows(2) {
        let [one, other] = pair else { continue };
        if other.first_end < one.last_call {
            is_disjoint = false;
            report(case, findings, one, other);
        }
    }
    if !is_disjoint {
        return;
    }
    for inner in backward {
        // Forward zones are disjoint, so only the last one that begins before can contain it.
        let at = forward.partition_point(|zone| zone.first_end < inner.last_call);
        let Some(outer) = at.checked_sub(1).map(|at| forward[at]) else { continue };
        if inner.first_end < outer.last_call {
            report(case, findings, outer, inner);
        }
    }
}

fn report(case: &Case<'_>, findings: &mut Findings, one: &Cluster, other: &Cluster) {
    let (rule, text) = explain(case, one, other).unwrap_or_else(|| {
        let text = format!(
            "no order explains these: {} and {} would each have to be the value in between",
            one.name(),
            other.name()
        );
        ("not linearizable", text)
    });
    let operations = one.operations().chain(other.operations()).collect();
    findings.violations.push(case.violation(rule, text, operations));
}

/// Describes the most common violation: a read of a value that had been replaced.
fn explain(case: &Case<'_>, one: &Cluster, other: &Cluster) -> Option<(&'static str, String)> {
    let operation = |index: Option<usize>| index.map(|index| &case.history.operations[index]);
    for (old, new) in [(one, other), (other, one)] {
        let (Some(write), Some(read)) = (operation(new.write), operation(old.calls)) else {
            continue;
        };
        let before = operation(old.write);
        let is_after = before.is_none_or(|before| before.precedes(write));
        if is_after && new.first_end < read.call && read.action == Action::Get {
            let is_nil = old.value.is_none();
            let rule = if is_nil { "acknowledged write lost" } else { "overwritten value read" };
            let how = if write.is_done() && write.ret < read.call {
                "was acknowledged"
            } else {
                "had been read"
            };
            let text = format!(
                "a read returned {} though {} {how} before it began",
                old.name(),
                new.name()
            );
            return Some((rule, text));
        }
    }
    None
}

/// All clusters; `None` if a value that was read has no write, which is reported.
fn clusters(case: &Case<'_>, findings: &mut Findings) -> Option<Vec<Cluster>> {
    let mut written: BTreeMap<u64, (usize, &Operation)> = BTreeMap::new();
    let mut clusters: BTreeMap<Option<u64>, Cluster> = BTreeMap::new();
    clusters.insert(None, Cluster::new(None, None, 0, 0));
    for (index, operation) in case.operations() {
        let Action::Set { value, .. } = operation.action else { continue };
        written.insert(value, (index, operation));
        let end = if operation.is_done() { operation.ret } else { u64::MAX };
        if !matches!(operation.outcome, Outcome::Refused(_)) {
            let cluster = Cluster::new(Some(value), Some(index), operation.call, end);
            clusters.insert(Some(value), cluster);
        }
    }
    let before = findings.violations.len();
    for (index, operation) in case.operations() {
        let value = match (&operation.action, operation.answer()) {
            (Action::Get, Some(Answer::Value(value))) => Some(*value),
            (Action::Get, Some(Answer::Nil)) => None,
            _ => continue,
        };
        let wrong = value.and_then(|value| phantom(case, &written, value, index, operation));
        if let Some(violation) = wrong {
            findings.violations.push(violation);
        } else if let Some(cluster) = clusters.get_mut(&value) {
            cluster.add(index, operation);
        }
    }
    let is_effective = |cluster: &Cluster| cluster.is_read || cluster.first_end != u64::MAX;
    let clusters = clusters.into_values().filter(is_effective).collect();
    (findings.violations.len() == before).then_some(clusters)
}

/// The guarantees for splits. During a split, each side returns its own values. After it, all
/// members return the same value, and none that was replaced by a later acknowledged write on the
/// same side or on the whole network.
pub(super) fn check_split(case: &Case<'_>, findings: &mut Findings) {
    super::phantoms(case, findings);
    let header = &case.history.header;
    if header.settled == 0 {
        return;
    }
    let is_last = |read: &Operation| read.action == Action::Get && read.call >= header.settled;
    let last: Vec<(usize, &Operation)> =
        case.operations().filter(|(_, read)| is_last(read) && read.is_done()).collect();
    let Some(&(first, shown)) = last.first() else { return };
    if let Some((other, read)) = last.iter().find(|(_, read)| read.outcome != shown.outcome) {
        let text = format!(
            "after the network healed and the data was safe, members {} and {} differ",
            shown.member, read.member
        );
        findings.violations.push(case.violation("members differ", text, vec![first, *other]));
    }
    let writes = || case.operations().filter(|(_, op)| matches!(op.action, Action::Set { .. }));
    let value = match shown.answer() {
        Some(Answer::Value(value)) => Some(*value),
        _ => None,
    };
    let kept = value.and_then(|value| {
        writes().find(|(_, op)| op.action == Action::Set { value, ttl_ms: None })
    });
    let splits = || case.history.faults.iter().filter(|fault| is_split(&fault.kind));
    // Whether no split separated the members of two writes.
    let is_together = |one: &Operation, other: &Operation| {
        splits().all(|split| {
            let is_within = |op: &Operation| op.ret >= split.from && op.call <= split.safe;
            let is_inside = |op: &Operation| split.members.contains(&op.member);
            !is_within(one) || !is_within(other) || is_inside(one) == is_inside(other)
        })
    };
    for (index, write) in writes().filter(|(_, op)| op.is_done() && op.ret < shown.call) {
        let is_lost = match kept {
            None => value.is_none(),
            Some((_, kept)) => kept.precedes(write) && is_together(kept, write),
        };
        if is_lost {
            let value_of = super::written_value(&write.action).unwrap_or_default();
            let text = format!(
                "{value_of}, acknowledged, is gone after the network healed: {} is there",
                value.map_or("nothing".to_owned(), |value| value.to_string())
            );
            let operations = kept.map(|(kept, _)| kept).into_iter().chain([index, first]).collect();
            findings.violations.push(case.violation("acknowledged write lost", text, operations));
            return;
        }
    }
}

/// Whether a fault separates members from others.
fn is_split(kind: &str) -> bool {
    kind.starts_with("split") || kind == "isolate"
}
