//! Counters: each answer is bounded by the number of increments requested before.

use std::collections::HashMap;

use super::linear::{CONFIGURATIONS_MAX, Entry, Model, Verdict, search};
use super::{Case, Findings};
use crate::chaos::history::{Action, Answer, Operation, Outcome};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// An increment, with its answer if that was received.
    Increment(Option<i64>),
    Read(i64),
}

struct Counter;

impl Model for Counter {
    type State = i64;
    type Op = Op;

    fn step(&self, state: &i64, op: &Op) -> Option<i64> {
        match *op {
            Op::Increment(answer) => {
                let next = state + 1;
                answer.is_none_or(|answer| answer == next).then_some(next)
            }
            Op::Read(value) => (*state == value).then_some(*state),
        }
    }
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let before = findings.violations.len();
    bounds(case, findings);
    if findings.violations.len() > before {
        return;
    }
    let (mut entries, mut indices) = (Vec::new(), Vec::new());
    for (index, operation) in case.operations() {
        let op = match (&operation.action, shown(operation)) {
            (Action::Increment, answer) if !is_refused(operation) => Op::Increment(answer),
            (Action::Get, Some(value)) => Op::Read(value),
            _ => continue,
        };
        let ret = operation.is_done().then_some(operation.ret);
        entries.push(Entry { op, call: operation.call, ret, class: 0 });
        indices.push(index);
    }
    match search(&Counter, [0], &entries, CONFIGURATIONS_MAX) {
        Verdict::Linearizable => {}
        Verdict::Undecided => findings.is_undecided = true,
        Verdict::Violated(at) => {
            // The violation consists of this operation and those that it overlaps.
            let failed = &case.history.operations[indices[at]];
            let shown = case.operations().filter(|(_, operation)| {
                operation.ret >= failed.call && operation.call <= failed.ret
            });
            let text = "no order explains this answer".to_owned();
            let operations = shown.map(|(index, _)| index).collect();
            findings.violations.push(case.violation("not linearizable", text, operations));
        }
    }
}

fn is_refused(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Refused(_))
}

/// The number that an answer returned; a missing counter is zero.
fn shown(operation: &Operation) -> Option<i64> {
    match operation.answer()? {
        Answer::Integer(number) => Some(*number),
        Answer::Value(value) => i64::try_from(*value).ok(),
        Answer::Nil => Some(0),
        _ => None,
    }
}

/// Checks three bounds of each answer: at least the number of increments acknowledged before the
/// operation began, at most the number begun before it ended, and greater than all answers that
/// ended before it began.
fn bounds(case: &Case<'_>, findings: &mut Findings) {
    let mut answered: HashMap<i64, usize> = HashMap::new();
    let (mut ends, mut calls) = (Vec::new(), Vec::new());
    // End, number shown, operation.
    let mut shows: Vec<(u64, i64, usize)> = Vec::new();
    for (index, operation) in case.operations() {
        let is_increment = operation.action == Action::Increment;
        if is_increment && !is_refused(operation) {
            calls.push(operation.call);
            if operation.is_done() {
                ends.push(operation.ret);
            }
        }
        let Some(number) = shown(operation) else { continue };
        shows.push((operation.ret, number, index));
        if is_increment && let Some(other) = answered.insert(number, index) {
            let text = format!("two increments were both answered {number}");
            findings.violations.push(case.violation(
                "increment answered twice",
                text,
                vec![other, index],
            ));
        }
    }
    ends.sort_unstable();
    calls.sort_unstable();
    shows.sort_unstable();
    // For each end, the largest number returned until then, and its operation.
    let mut largest: Vec<(i64, usize)> = Vec::with_capacity(shows.len());
    for &(_, number, index) in &shows {
        let best = largest.last().copied().unwrap_or((i64::MIN, index));
        largest.push(if number > best.0 { (number, index) } else { best });
    }
    for (index, operation) in case.operations() {
        let Some(number) = shown(operation) else { continue };
        let own = i64::from(operation.action == Action::Increment);
        let least = count(ends.partition_point(|&end| end < operation.call)) + own;
        let most = count(calls.partition_point(|&call| call <= operation.ret));
        if number < least {
            let text = format!(
                "{number}, though {} increments had been acknowledged before it began",
                least - own
            );
            let lost = vec![index];
            findings.violations.push(case.violation("acknowledged increment lost", text, lost));
        } else if number > most {
            let text = format!("{number}, though only {most} increments had begun");
            findings.violations.push(case.violation("increment executed twice", text, vec![index]));
        }
        let earlier = shows.partition_point(|&(end, ..)| end < operation.call);
        if let Some(&(other, by)) = earlier.checked_sub(1).map(|at| &largest[at])
            && other + own > number
        {
            let text = format!("{number} after an earlier answer of {other}");
            findings.violations.push(case.violation("counter decreased", text, vec![by, index]));
        }
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
