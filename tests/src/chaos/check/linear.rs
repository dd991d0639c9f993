//! Search for a linearization of a history: the algorithm of Wing and Gong, with Lowe's
//! optimizations ("Testing for linearizability", 2017): operations take effect as late as possible,
//! just before the end of an operation that needs them, and a configuration is not explored twice.

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
    /// The latest time at which it had taken effect; `None` if it may still take effect, or never
    /// does.
    pub ret: Option<u64>,
    /// For operations without an end: all operations of one class change every state in the same
    /// way and have no answer, so that the one that began first may always be chosen first.
    pub class: u32,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is a linearization.
    Linearizable,
    /// There is none: the operation with this index cannot have ended with its answer.
    Violated(usize),
    /// The limit of configurations was exceeded.
    Undecided,
}

/// Default limit of configurations that a search keeps at a time.
pub const CONFIGURATIONS_MAX: usize = 200_000;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration<S> {
    state: S,
    /// Indices of operations with an end that have taken effect and not ended yet, ascending.
    done: Vec<u32>,
    /// Number of operations of each class that have taken effect.
    used: Vec<u32>,
}

/// Searches for a linearization from one of the states `starts`.
pub fn search<M: Model>(
    model: &M,
    starts: impl IntoIterator<Item = M::State>,
    entries: &[Entry<M::Op>],
    configurations_max: usize,
) -> Verdict {
    let classes = entries.iter().map(|entry| entry.class + 1).max().unwrap_or(0) as usize;
    // Beginnings sort before ends of the same time: such operations are concurrent.
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

    /// A counter whose answers are returned.
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
