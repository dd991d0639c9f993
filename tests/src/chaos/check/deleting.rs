//! Registers whose keys are deleted as well. Absence is not a unique value, so a search is needed.

use std::collections::{HashMap, HashSet};

use super::linear::{CONFIGURATIONS_MAX, Entry, Model, Verdict, search};
use super::{Case, Findings, phantoms};
use crate::chaos::history::{Action, Answer, Operation, Outcome};

/// Represents all values that no read returned; they are equivalent.
const UNREAD: u64 = 0;

/// An operation on a key; the answer is `None` if it was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Set(u64),
    SetIfAbsent(u64, Option<bool>),
    Get(Option<u64>),
    Delete(Option<bool>),
    GetDelete(Option<Option<u64>>),
}

struct Key;

impl Model for Key {
    type State = Option<u64>;
    type Op = Op;

    fn step(&self, state: &Option<u64>, op: &Op) -> Option<Option<u64>> {
        let when = |holds: bool, next: Option<u64>| holds.then_some(next);
        match *op {
            Op::Set(value) => Some(Some(value)),
            Op::SetIfAbsent(value, answer) => {
                let is_set = state.is_none();
                let next = if is_set { Some(value) } else { *state };
                when(answer.is_none_or(|answer| answer == is_set), next)
            }
            Op::Get(value) => when(*state == value, *state),
            Op::Delete(answer) => when(answer.is_none_or(|was| was == state.is_some()), None),
            Op::GetDelete(answer) => when(answer.is_none_or(|value| value == *state), None),
        }
    }
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let before = findings.violations.len();
    phantoms(case, findings);
    if findings.violations.len() > before {
        return;
    }
    let (entries, indices) = entries(case);
    match search(&Key, [None], &entries, CONFIGURATIONS_MAX) {
        Verdict::Linearizable => {}
        Verdict::Undecided => findings.is_undecided = true,
        Verdict::Violated(at) => {
            let shown = minimal(&entries, at);
            let text = format!(
                "no order of these explains the last that ended, {:?}",
                case.history.operations[indices[at]].action
            );
            let operations = shown.into_iter().map(|at| indices[at]).collect();
            findings.violations.push(case.violation("not linearizable", text, operations));
        }
    }
}

/// The operations of a key as input of the search, with their indices in the history.
fn entries(case: &Case<'_>) -> (Vec<Entry<Op>>, Vec<usize>) {
    // The earliest end of a read of each value; its write had taken effect by then.
    let mut seen: HashMap<u64, u64> = HashMap::new();
    for (_, operation) in case.operations() {
        if let Some(Answer::Value(value)) = operation.answer() {
            let at = seen.entry(*value).or_insert(operation.ret);
            *at = operation.ret.min(*at);
        }
    }
    let (mut entries, mut indices) = (Vec::new(), Vec::new());
    for (index, operation) in case.operations() {
        if let Some(entry) = entry(operation, &seen) {
            entries.push(entry);
            indices.push(index);
        }
    }
    (entries, indices)
}

fn entry(operation: &Operation, seen: &HashMap<u64, u64>) -> Option<Entry<Op>> {
    if matches!(operation.outcome, Outcome::Refused(_)) {
        return None;
    }
    let value = |value: u64| if seen.contains_key(&value) { value } else { UNREAD };
    let answer = operation.answer();
    let flag = || match answer {
        Some(Answer::Integer(number)) => Some(*number != 0),
        _ => None,
    };
    let read = || match answer {
        Some(Answer::Value(value)) => Some(Some(*value)),
        Some(Answer::Nil) => Some(None),
        _ => None,
    };
    let (op, class) = match &operation.action {
        Action::Set { value: written, .. } => (Op::Set(value(*written)), 1),
        Action::SetIfAbsent { value: written } => (Op::SetIfAbsent(value(*written), flag()), 2),
        Action::Get => (Op::Get(read()?), 0),
        Action::Delete => (Op::Delete(flag()), 0),
        Action::GetDelete => (Op::GetDelete(read()), 0),
        _ => return None,
    };
    let ret = if operation.is_done() {
        Some(operation.ret)
    } else {
        // A write had taken effect when its value was first read.
        super::written_value(&operation.action).and_then(|value| seen.get(&value).copied())
    };
    Some(Entry { op, call: operation.call, ret, class })
}

/// Reduces a history that is not linearizable and fails at `at`: returns the latest operations that
/// are not linearizable from any initial state of the key, without unneeded reads.
fn minimal(entries: &[Entry<Op>], at: usize) -> Vec<usize> {
    let end = entries[at].ret.unwrap_or(u64::MAX);
    let mut all: Vec<usize> = (0..entries.len()).filter(|&i| entries[i].call <= end).collect();
    all.sort_by_key(|&i| (entries[i].ret.unwrap_or(u64::MAX), i));
    let states: HashSet<Option<u64>> = all
        .iter()
        .filter_map(|&i| match entries[i].op {
            Op::Set(value) | Op::SetIfAbsent(value, _) => Some(Some(value)),
            _ => None,
        })
        .chain([None, Some(UNREAD)])
        .collect();
    let fails = |some: &[usize], is_fresh: bool| {
        let some: Vec<Entry<Op>> = some.iter().map(|&i| entries[i].clone()).collect();
        let verdict = if is_fresh {
            search(&Key, [None], &some, CONFIGURATIONS_MAX)
        } else {
            search(&Key, states.iter().copied(), &some, CONFIGURATIONS_MAX)
        };
        matches!(verdict, Verdict::Violated(_))
    };
    // Either a suffix is not linearizable from any initial state, or all operations are needed.
    let (mut length, mut is_fresh) = (2, false);
    let mut shown = loop {
        let from = all.len().saturating_sub(length);
        if from == 0 {
            is_fresh = true;
            break all;
        }
        if fails(&all[from..], false) {
            break all[from..].to_vec();
        }
        length *= 2;
    };
    while !is_fresh && shown.len() > 2 && fails(&shown[1..], false) {
        shown.remove(0);
    }
    let mut position = shown.len();
    while position > 0 {
        position -= 1;
        if matches!(entries[shown[position]].op, Op::Get(_)) {
            let mut fewer = shown.clone();
            fewer.remove(position);
            if fails(&fewer, is_fresh) {
                shown = fewer;
            }
        }
    }
    shown
}
