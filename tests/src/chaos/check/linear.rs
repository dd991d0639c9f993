//! The search for an order that explains a history: Wing and Gong's algorithm, as
//! Lowe made it fast ("Testing for linearizability", 2017): operations take effect as
//! late as they can, just before the end of one that needs them, and a configuration
//! that was reached before is not explored again.

use std::collections::HashSet;
use std::hash::Hash;

/// The model of a key.
pub trait Model {
    /// The state.
    type State: Clone + Eq + Hash;
    /// An operation, with the answer that was received.
    type Op;
    /// The next state; `None` if the answer is impossible in `state`.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;
}

/// One operation of a history.
#[derive(Clone, Debug)]
pub struct Entry<O> {
    /// The operation.
    pub op: O,
    /// When it began.
    pub call: u64,
    /// When it had taken effect at the latest; none if it may yet, or never does.
    pub ret: Option<u64>,
    /// Of those without an end: all of one class change every state in the same way
    /// and have no answer, so the one that began first may always go first.
    pub class: u32,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none: this operation, by its index, cannot have ended as it did.
    Violated(usize),
    /// There were more configurations than allowed.
    Undecided,
}

/// Default limit of configurations that a search keeps at a time.
pub const CONFIGURATIONS_MAX: usize = 200_000;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration<S> {
    state: S,
    /// Operations with an end that have taken effect and not ended yet, by index,
    /// ascending.
    done: Vec<u32>,
    /// How many of each class have taken effect.
    used: Vec<u32>,
}

/// Searches for an order that begins in one of `starts`.
pub fn search<M: Model>(
    model: &M,
    starts: impl IntoIterator<Item = M::State>,
    entries: &[Entry<M::Op>],
    configurations_max: usize,
) -> Verdict {
    let classes = entries.iter().map(|entry| entry.class + 1).max().unwrap_or(0) as usize;
    // A beginning comes before an end of the same time: they are concurrent.
    let mut events: Vec<(u64, bool, u32)> = Vec::with_capacity(2 * entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let index = u32::try_from(index).expect("fewer operations than that");
        events.push((entry.call, false, index));
        events.extend(entry.ret.map(|ret| (ret.max(entry.call), true, index)));
    }
    events.sort_unstable();
    let mut pending: Vec<u32> = Vec::new();
    let mut endless: Vec<Vec<u32>> = vec![Vec::new(); classes];
    let mut configurations: HashSet<Configuration<M::State>> = starts
        .into_iter()
        .map(|state| Configuration { state, done: Vec::new(), used: vec![0; classes] })
        .collect();
    for (_, is_end, index) in events {
        let entry = &entries[index as usize];
        if !is_end {
            match entry.ret {
                Some(_) => pending.push(index),
                None => endless[entry.class as usize].push(index),
            }
            continue;
        }
        let mut ended = HashSet::new();
        let mut seen = HashSet::new();
        let mut open: Vec<Configuration<M::State>> = configurations.drain().collect();
        while let Some(configuration) = open.pop() {
            if let Ok(at) = configuration.done.binary_search(&index) {
                let mut configuration = configuration;
                configuration.done.remove(at);
                ended.insert(configuration);
                continue;
            }
            let mut go_on = |next: Configuration<M::State>| {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            };
            for &other in &pending {
                let Err(at) = configuration.done.binary_search(&other) else { continue };
                let op = &entries[other as usize].op;
                if let Some(state) = model.step(&configuration.state, op) {
                    let mut next = configuration.clone();
                    next.state = state;
                    next.done.insert(at, other);
                    go_on(next);
                }
            }
            for (class, all) in endless.iter().enumerate() {
                let Some(&other) = all.get(configuration.used[class] as usize) else { continue };
                let op = &entries[other as usize].op;
                if let Some(state) = model.step(&configuration.state, op)
                    && state != configuration.state
                {
                    let mut next = configuration.clone();
                    next.state = state;
                    next.used[class] += 1;
                    go_on(next);
                }
            }
            if seen.len() > configurations_max {
                return Verdict::Undecided;
            }
        }
        if ended.is_empty() {
            return Verdict::Violated(index as usize);
        }
        pending.retain(|&other| other != index);
        configurations = ended;
    }
    Verdict::Linearizable
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter whose answers are seen.
    struct Counter;

    impl Model for Counter {
        type State = i64;
        type Op = Option<i64>;

        fn step(&self, state: &i64, op: &Option<i64>) -> Option<i64> {
            let next = state + 1;
            op.is_none_or(|answer| answer == next).then_some(next)
        }
    }

    fn entry(call: u64, ret: Option<u64>, op: Option<i64>) -> Entry<Option<i64>> {
        Entry { op, call, ret, class: 0 }
    }

    fn verdict(entries: &[Entry<Option<i64>>]) -> Verdict {
        search(&Counter, [0], entries, CONFIGURATIONS_MAX)
    }

    #[test]
    fn concurrent_operations_can_take_effect_in_any_order() {
        let entries = [entry(0, Some(10), Some(2)), entry(1, Some(9), Some(1))];
        assert_eq!(verdict(&entries), Verdict::Linearizable);
        let entries = [entry(0, Some(1), Some(2)), entry(2, Some(9), Some(1))];
        assert_eq!(verdict(&entries), Verdict::Violated(0));
    }

    #[test]
    fn an_operation_of_unknown_outcome_can_take_effect_late_or_never() {
        for answer in [1, 2] {
            let entries = [entry(0, None, None), entry(5, Some(6), Some(answer))];
            assert_eq!(verdict(&entries), Verdict::Linearizable, "{answer}");
        }
        let entries = [entry(0, None, None), entry(5, Some(6), Some(3))];
        assert_eq!(verdict(&entries), Verdict::Violated(1));
        let entries = [entry(7, None, None), entry(5, Some(6), Some(2))];
        assert_eq!(verdict(&entries), Verdict::Violated(1), "it had not begun");
    }

    #[test]
    fn many_operations_of_unknown_outcome_are_searched_efficiently() {
        let mut entries: Vec<_> = (0..400).map(|at| entry(at, None, None)).collect();
        entries.extend((0..400).map(|n: i64| {
            let at = 1_000 + 2 * n.unsigned_abs();
            entry(at, Some(at + 1), Some(2 * n + 1 - n / 2))
        }));
        assert_eq!(verdict(&entries), Verdict::Linearizable);
    }

    #[test]
    fn a_search_is_bounded() {
        let entries: Vec<_> = (0..30).map(|n| entry(0, Some(100), Some(30 - n))).collect();
        assert_eq!(search(&Counter, [0], &entries, 3), Verdict::Undecided);
    }
}
