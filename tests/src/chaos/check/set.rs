//! Sets of elements that are added once and removed at most once.

use std::collections::{BTreeMap, HashSet};

use super::{Case, Findings, Violation, phantoms};
use crate::chaos::history::{Action, Answer, Operation, Outcome};

#[derive(Default)]
struct Element {
    add: Option<usize>,
    remove: Option<usize>,
}

struct Read<'a> {
    index: usize,
    operation: &'a Operation,
    values: HashSet<u64>,
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    phantoms(case, findings);
    let mut elements: BTreeMap<u64, Element> = BTreeMap::new();
    let mut reads = Vec::new();
    for (index, operation) in case.operations() {
        match (&operation.action, operation.answer()) {
            (Action::Add { value }, _) => elements.entry(*value).or_default().add = Some(index),
            (Action::Remove { value }, _) => {
                elements.entry(*value).or_default().remove = Some(index);
            }
            (Action::Members, Some(Answer::Values(values))) => {
                if values.iter().collect::<HashSet<_>>().len() < values.len() {
                    let text = "an element is twice in one answer".to_owned();
                    let violation = case.violation("element doubled", text, vec![index]);
                    findings.violations.push(violation);
                }
                let values = values.iter().copied().collect();
                reads.push(Read { index, operation, values });
            }
            _ => {}
        }
    }
    for (value, element) in &elements {
        if let Some(violation) = one(case, *value, element, &reads) {
            findings.violations.push(violation);
        }
    }
}

/// The end and the index of the first read that ended, among those that satisfy a condition.
type First = Option<(u64, usize)>;

/// The first violation of one element.
fn one(case: &Case<'_>, value: u64, element: &Element, reads: &[Read<'_>]) -> Option<Violation> {
    let operation = |index: usize| &case.history.operations[index];
    let is_effective = |index: &usize| !matches!(operation(*index).outcome, Outcome::Refused(_));
    let add = element.add?;
    let added = operation(add);
    let remove = element.remove.filter(is_effective);
    let removed = remove.map(operation);
    let wrong = |rule: &'static str, what: &str, shown: &[usize]| {
        let all = [Some(add), remove].into_iter().flatten().chain(shown.iter().copied());
        Some(case.violation(rule, format!("{value} {what}"), all.collect()))
    };
    if added.answer() == Some(&Answer::Integer(0)) {
        return wrong("element back", "was there before it was added", &[]);
    }
    if let Some(removed) = removed
        && removed.answer() == Some(&Answer::Integer(0))
        && added.precedes(removed)
    {
        return wrong("acknowledged element lost", "was not there when it was removed", &[]);
    }
    // The first read that returns the element, and the first read without it that began after that,
    // or after the addition ended.
    let (mut shown, mut absent): (First, First) = (None, None);
    let earlier = |first: First, ret: u64, index: usize| match first {
        Some(first) if first.0 <= ret => Some(first),
        _ => Some((ret, index)),
    };
    for read in reads {
        let (call, ret) = (read.operation.call, read.operation.ret);
        let was_shown = shown.filter(|&(end, _)| end < call);
        let is_added = added.precedes(read.operation) || was_shown.is_some();
        if read.values.contains(&value) {
            // An addition of unknown outcome may take effect after the removal.
            let is_gone = removed.is_some_and(|removed| {
                let was_there = added.precedes(removed)
                    || shown.is_some_and(|(end, _)| end < removed.call)
                    || removed.answer() == Some(&Answer::Integer(1));
                was_there && removed.precedes(read.operation)
            });
            if is_gone {
                return wrong("element back", "is there after it was removed", &[read.index]);
            }
            if let Some((_, first)) = absent.filter(|&(end, _)| end < call) {
                return wrong("element back", "is there again", &[first, read.index]);
            }
            shown = earlier(shown, ret, read.index);
        } else if is_added {
            if removed.is_none_or(|removed| removed.call > ret) {
                let before: Vec<usize> = was_shown.map(|(_, index)| index).into_iter().collect();
                let all: Vec<usize> = before.into_iter().chain([read.index]).collect();
                return wrong("acknowledged element lost", "is missing", &all);
            }
            absent = earlier(absent, ret, read.index);
        }
    }
    None
}
