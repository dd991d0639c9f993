//! Queues: each element is delivered once, in order.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Findings, phantom};
use crate::chaos::history::{Action, Answer, Operation, Outcome};

/// The operations on one element.
#[derive(Default)]
struct Element {
    push: Option<usize>,
    /// Moves between the lists that returned it.
    moves: Vec<usize>,
    /// Pops that returned it.
    pops: Vec<usize>,
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let elements = elements(case);
    let before = findings.violations.len();
    appearances(case, findings);
    departures(case, &elements, findings);
    if findings.violations.len() > before {
        return;
    }
    losses(case, &elements, findings);
    orders(case, &elements, findings);
    empties(case, &elements, findings);
}

fn popped(operation: &Operation) -> &[u64] {
    match (&operation.action, operation.answer()) {
        (
            Action::Pop | Action::BlockingPop { .. } | Action::PopMany { .. },
            Some(Answer::Value(value)),
        ) => std::slice::from_ref(value),
        (Action::PopMany { .. }, Some(Answer::Values(values))) => values,
        _ => &[],
    }
}

fn listed(operation: &Operation) -> Option<&[u64]> {
    match (&operation.action, operation.answer()) {
        (Action::List, Some(Answer::Values(values))) => Some(values),
        _ => None,
    }
}

fn elements(case: &Case<'_>) -> BTreeMap<u64, Element> {
    let mut elements: BTreeMap<u64, Element> = BTreeMap::new();
    for (index, operation) in case.operations() {
        match (&operation.action, operation.answer()) {
            (Action::Push { value }, _) => {
                elements.entry(*value).or_default().push = Some(index);
            }
            (Action::Move { .. }, Some(Answer::Value(value))) => {
                elements.entry(*value).or_default().moves.push(index);
            }
            _ => {
                for value in popped(operation) {
                    elements.entry(*value).or_default().pops.push(index);
                }
            }
        }
    }
    elements
}

/// Checks that no answer contains an element that was never pushed, and no list contains an element
/// twice.
fn appearances(case: &Case<'_>, findings: &mut Findings) {
    let mut written = BTreeMap::new();
    for (index, operation) in case.operations() {
        if let Action::Push { value } = operation.action {
            written.insert(value, (index, operation));
        }
    }
    for (index, operation) in case.operations() {
        let values: &[u64] = match operation.answer() {
            Some(Answer::Value(value)) => std::slice::from_ref(value),
            Some(Answer::Values(values)) => values,
            _ => continue,
        };
        if let Action::PopMany { count, .. } = operation.action
            && values.len() as u64 > count
        {
            let text = format!("{} elements for a count of {count}", values.len());
            findings.violations.push(case.violation("too many elements", text, vec![index]));
        }
        let mut seen = BTreeSet::new();
        for value in values {
            if let Some(violation) = phantom(case, &written, *value, index, operation) {
                findings.violations.push(violation);
            }
            if !seen.insert(value) {
                let text = format!("{value} is twice in one answer");
                findings.violations.push(case.violation("element doubled", text, vec![index]));
            }
        }
    }
}

/// Checks that each element leaves its list once and does not reappear in it.
fn departures(case: &Case<'_>, elements: &BTreeMap<u64, Element>, findings: &mut Findings) {
    let operation = |index: usize| &case.history.operations[index];
    for (value, element) in elements {
        for (what, all) in [("popped", &element.pops), ("moved", &element.moves)] {
            if let [first, second, ..] = all[..] {
                let text = format!("{value} was {what} twice");
                let shown = element.push.into_iter().chain([first, second]).collect();
                findings.violations.push(case.violation("element delivered twice", text, shown));
            }
        }
    }
    for (index, read) in case.operations() {
        let Some(values) = listed(read) else { continue };
        for value in values {
            let Some(element) = elements.get(value) else { continue };
            let gone = element.pops.iter().chain(&element.moves).copied().find(|&left| {
                let left = operation(left);
                left.key == read.key && left.ret < read.call
            });
            if let Some(left) = gone {
                let text = format!("{value} is in the list again, after it had left");
                let shown = element.push.into_iter().chain([left, index]).collect();
                findings.violations.push(case.violation("element back", text, shown));
            }
        }
    }
}

/// Checks that each acknowledged element that was not popped is in a list at the end, unless an
/// operation of unknown outcome may have popped it.
fn losses(case: &Case<'_>, elements: &BTreeMap<u64, Element>, findings: &mut Findings) {
    let settled = case.history.header.settled;
    let last = || {
        case.operations().filter_map(|(index, operation)| {
            (settled > 0 && operation.call >= settled)
                .then(|| listed(operation).map(|values| (index, operation, values)))
                .flatten()
        })
    };
    let lists: BTreeSet<&str> = case
        .operations()
        .flat_map(|(_, operation)| match &operation.action {
            Action::Move { to, .. } => vec![&*operation.key, &**to],
            _ => vec![&*operation.key],
        })
        .collect();
    let read: BTreeSet<&str> = last().map(|(_, operation, _)| &*operation.key).collect();
    if read.is_empty() || !lists.is_subset(&read) {
        return;
    }
    let there: BTreeSet<u64> = last().flat_map(|(.., values)| values.iter().copied()).collect();
    let mut may_have_taken = 0_u64;
    let mut takers = Vec::new();
    for (index, operation) in case.operations().filter(|(_, operation)| operation.is_unknown()) {
        let most = match operation.action {
            Action::Pop | Action::BlockingPop { .. } => 1,
            Action::PopMany { count, .. } => count,
            _ => 0,
        };
        may_have_taken += most;
        if most > 0 {
            takers.push(index);
        }
    }
    let lost: Vec<(u64, usize)> = elements
        .iter()
        .filter(|(value, element)| element.pops.is_empty() && !there.contains(value))
        .filter_map(|(value, element)| {
            let push = element.push?;
            case.history.operations[push].is_done().then_some((*value, push))
        })
        .collect();
    if lost.len() as u64 > may_have_taken {
        let text = format!(
            "{} acknowledged elements are gone, such as {}, and pops of unknown outcome may \
             have taken {may_have_taken}",
            lost.len(),
            lost[0].0
        );
        let ends = last().map(|(index, ..)| index);
        let shown = lost.iter().take(3).map(|(_, push)| *push).chain(takers).chain(ends).collect();
        findings.violations.push(case.violation("acknowledged element lost", text, shown));
    }
}

/// The time that an element was in a list.
struct Stay {
    value: u64,
    entry: usize,
    /// Earliest and latest time of its addition; `None` if it may still be added.
    came: (u64, Option<u64>),
    exit: Option<usize>,
    /// Earliest and latest time of its removal, if it is known.
    left: Option<(u64, u64)>,
}

/// The stays in `list` of elements that were certainly in it.
fn stays(case: &Case<'_>, elements: &BTreeMap<u64, Element>, list: &str) -> Vec<Stay> {
    let operation = |index: usize| &case.history.operations[index];
    let mut stays = Vec::new();
    for (value, element) in elements {
        let pushed = element.push.filter(|&push| operation(push).key == list);
        let moved = element
            .moves
            .iter()
            .copied()
            .find(|&by| matches!(&operation(by).action, Action::Move { to, .. } if to == list));
        let Some(entry) = pushed.or(moved) else { continue };
        let came =
            (operation(entry).call, operation(entry).is_done().then(|| operation(entry).ret));
        let exit = element
            .moves
            .iter()
            .chain(&element.pops)
            .copied()
            .find(|&by| operation(by).key == list);
        let left = exit.map(|exit| (operation(exit).call, operation(exit).ret));
        stays.push(Stay { value: *value, entry, came, exit, left });
    }
    stays
}

/// Checks the order (first in, first out), as far as the times of operations imply one.
fn orders(case: &Case<'_>, elements: &BTreeMap<u64, Element>, findings: &mut Findings) {
    let lists: BTreeSet<&str> = case.operations().map(|(_, operation)| &*operation.key).collect();
    for list in lists {
        let stays = stays(case, elements, list);
        overtaken(case, &stays, findings);
        let by_value: BTreeMap<u64, &Stay> = stays.iter().map(|stay| (stay.value, stay)).collect();
        for (index, operation) in case.operations().filter(|(_, operation)| operation.key == list) {
            let values = listed(operation).unwrap_or_else(|| popped(operation));
            for pair in values.windows(2) {
                let [Some(first), Some(second)] = [0, 1].map(|at| by_value.get(&pair[at])) else {
                    continue;
                };
                if second.came.1.is_some_and(|came| came < first.came.0) {
                    let text = format!("{} is before {}, which came first", pair[0], pair[1]);
                    let shown = vec![second.entry, first.entry, index];
                    findings.violations.push(case.violation("elements out of order", text, shown));
                    break;
                }
            }
        }
    }
}

/// Reports an element that was added after another one and left before it.
fn overtaken(case: &Case<'_>, stays: &[Stay], findings: &mut Findings) {
    let mut came: Vec<&Stay> =
        stays.iter().filter(|stay| stay.came.1.is_some() && stay.left.is_some()).collect();
    came.sort_by_key(|stay| stay.came.1);
    // Among the elements added earlier, the one that left last.
    let mut latest: Vec<&Stay> = Vec::with_capacity(came.len());
    for &stay in &came {
        let best = latest.last().copied().unwrap_or(stay);
        latest.push(if stay.left > best.left { stay } else { best });
    }
    for second in stays {
        let Some((_, left)) = second.left else { continue };
        let before = came.partition_point(|stay| stay.came.1.is_some_and(|c| c < second.came.0));
        let Some(first) = before.checked_sub(1).map(|at| latest[at]) else { continue };
        if first.left.is_some_and(|(call, _)| call > left) {
            let text = format!("{} left before {}, which came first", second.value, first.value);
            let shown = [Some(first.entry), Some(second.entry), second.exit, first.exit];
            let shown = shown.into_iter().flatten().collect();
            findings.violations.push(case.violation("elements out of order", text, shown));
            return;
        }
    }
}

/// Checks that no pop returns empty while an element is in the list during the whole operation.
fn empties(case: &Case<'_>, elements: &BTreeMap<u64, Element>, findings: &mut Findings) {
    let lists: BTreeSet<&str> = case.operations().map(|(_, operation)| &*operation.key).collect();
    for list in lists {
        // An element is certainly in the list from the end of its addition to the beginning of its
        // removal.
        let mut sure: Vec<(u64, u64, &Stay)> = Vec::new();
        let stays = stays(case, elements, list);
        for stay in &stays {
            if let (Some(came), Some((left, _))) = (stay.came.1, stay.left)
                && came < left
            {
                sure.push((came, left, stay));
            }
        }
        sure.sort_by_key(|&(came, ..)| came);
        let mut longest: Vec<(u64, &Stay)> = Vec::with_capacity(sure.len());
        for &(_, left, stay) in &sure {
            let best = longest.last().copied().unwrap_or((left, stay));
            longest.push(if left > best.0 { (left, stay) } else { best });
        }
        let nothing = case.operations().filter(|(_, operation)| {
            operation.key == list
                && matches!(operation.outcome, Outcome::Done(Answer::Nil))
                && !matches!(operation.action, Action::List)
        });
        for (index, pop) in nothing {
            let before = sure.partition_point(|&(came, ..)| came < pop.call);
            let Some(&(left, stay)) = before.checked_sub(1).map(|at| &longest[at]) else {
                continue;
            };
            if left > pop.ret {
                let text = format!("nothing was found, and {} was there all the time", stay.value);
                let shown = [Some(stay.entry), Some(index), stay.exit];
                let shown = shown.into_iter().flatten().collect();
                findings.violations.push(case.violation("element not found", text, shown));
                return;
            }
        }
    }
}
