//! Correct histories pass the checks, and each kind of violation is detected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::linear::{CONFIGURATIONS_MAX, Entry, Model, Verdict, search};
use super::*;
use crate::chaos::history::{Header, RUN};
use crate::chaos::random::Random;

const MS: u64 = 1_000_000;

/// A correct server, and clients that occasionally lose an answer. Operations take effect one at a
/// time, between call and return; those of unknown outcome at any time after the call, or never.
struct World {
    random: Random,
    now: u64,
    values: BTreeMap<String, (u64, Option<u64>)>,
    counters: BTreeMap<String, i64>,
    lists: BTreeMap<String, VecDeque<u64>>,
    sets: BTreeMap<String, BTreeSet<u64>>,
}

/// An operation that takes effect at `at`, or never if that is `None`.
struct Planned {
    operation: Operation,
    at: Option<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            now: 1,
            values: BTreeMap::new(),
            counters: BTreeMap::new(),
            lists: BTreeMap::new(),
            sets: BTreeMap::new(),
        }
    }

    /// Runs `clients` clients for `length` operations each; `choose` returns the key and the action
    /// of each operation, given an unused value.
    fn run(seed: u64, clients: u32, length: u64, choose: Choose) -> History {
        Self::run_with(seed, clients, length, choose, true)
    }

    /// Like [`run`](Self::run); answers are lost only if `loses`.
    fn run_with(seed: u64, clients: u32, length: u64, choose: Choose, loses: bool) -> History {
        let mut world = Self::new(seed);
        let mut planned = Vec::new();
        for client in 0..clients {
            let mut now = 1 + world.random.below(MS);
            for number in 0..length {
                let value = (u64::from(client) << 32) + number + 1;
                let (key, action) = choose(&mut world.random, client, value);
                let call = now;
                let ret = call + 1 + world.random.below(5 * MS);
                now = ret + 1 + world.random.below(MS);
                let inside = call + world.random.below(ret - call);
                let late = ret + world.random.below(40 * MS);
                let (outcome, at) = match world.random.below(60) + if loses { 0 } else { 60 } {
                    0 => (Outcome::Unknown("late".to_owned()), Some(late)),
                    1 => (Outcome::Unknown("lost".to_owned()), Some(inside)),
                    2 => (Outcome::Unknown("never".to_owned()), None),
                    3 => (Outcome::Refused("no".to_owned()), None),
                    _ => (Outcome::Done(Answer::Ok), Some(inside)),
                };
                let operation =
                    Operation { key, client, member: client % 3, action, call, ret, outcome };
                planned.push(Planned { operation, at });
            }
        }
        planned.sort_by_key(|planned| planned.at);
        let end = planned.iter().map(|p| p.operation.ret.max(p.at.unwrap_or(0))).max();
        let mut history = History::default();
        for mut planned in planned {
            if let Some(at) = planned.at {
                world.now = at;
                let answer = world.apply(&planned.operation);
                if planned.operation.is_done() {
                    planned.operation.outcome = Outcome::Done(answer);
                }
            }
            history.operations.push(planned.operation);
        }
        world.now = end.unwrap_or(0) + 1;
        history.header = Header { settled: world.now, ..Header::default() };
        world.read_all(&mut history);
        history
    }

    fn apply(&mut self, operation: &Operation) -> Answer {
        let (key, now) = (operation.key.clone(), self.now);
        let held = |world: &Self| {
            let value = world.values.get(&key);
            value.filter(|(_, end)| end.is_none_or(|end| now < end)).map(|(value, _)| *value)
        };
        let option = |value: Option<u64>| value.map_or(Answer::Nil, Answer::Value);
        let flag = |yes: bool| Answer::Integer(i64::from(yes));
        match &operation.action {
            Action::Set { value, ttl_ms } => {
                self.values.insert(key, (*value, ttl_ms.map(|ttl| now + ttl * MS)));
                Answer::Ok
            }
            Action::SetIfAbsent { value } => {
                let is_free = held(self).is_none();
                if is_free {
                    self.values.insert(key, (*value, None));
                }
                flag(is_free)
            }
            Action::Get => match self.counters.get(&key) {
                Some(number) => Answer::Value(number.unsigned_abs()),
                None => option(held(self)),
            },
            Action::Delete => {
                let was = held(self).is_some();
                self.values.remove(&key);
                flag(was)
            }
            Action::GetDelete => {
                let was = held(self);
                self.values.remove(&key);
                option(was)
            }
            Action::Increment => {
                let number = self.counters.entry(key).or_default();
                *number += 1;
                Answer::Integer(*number)
            }
            Action::Push { value } => {
                let list = self.lists.entry(key).or_default();
                list.push_back(*value);
                Answer::Integer(i64::try_from(list.len()).unwrap())
            }
            Action::Pop | Action::BlockingPop { .. } => {
                option(self.lists.entry(key).or_default().pop_front())
            }
            Action::PopMany { count, .. } => {
                let list = self.lists.entry(key).or_default();
                let count = usize::try_from(*count).unwrap().min(list.len());
                let taken: Vec<u64> = list.drain(..count).collect();
                if taken.is_empty() { Answer::Nil } else { Answer::Values(taken) }
            }
            Action::Move { to, .. } => {
                let taken = self.lists.entry(key).or_default().pop_front();
                if let Some(value) = taken {
                    self.lists.entry(to.clone()).or_default().push_back(value);
                }
                option(taken)
            }
            Action::List => {
                Answer::Values(self.lists.entry(key).or_default().iter().copied().collect())
            }
            Action::Add { value } => flag(self.sets.entry(key).or_default().insert(*value)),
            Action::Remove { value } => flag(self.sets.entry(key).or_default().remove(value)),
            Action::Members => {
                Answer::Values(self.sets.entry(key).or_default().iter().copied().collect())
            }
        }
    }

    fn read_all(&mut self, history: &mut History) {
        let keys: BTreeSet<String> = history
            .operations
            .iter()
            .flat_map(|operation| match &operation.action {
                Action::Move { to, .. } => vec![operation.key.clone(), to.clone()],
                _ => vec![operation.key.clone()],
            })
            .collect();
        for key in keys {
            let action = match Kind::of(&key) {
                Some(Kind::Queue) => Action::List,
                Some(Kind::Set) => Action::Members,
                _ => Action::Get,
            };
            let (call, ret) = (self.now, self.now + 1);
            self.now += 2;
            let outcome = Outcome::Done(Answer::Ok);
            let mut read = Operation { key, client: RUN, member: 0, action, call, ret, outcome };
            read.outcome = Outcome::Done(self.apply(&read));
            history.operations.push(read);
        }
    }
}

fn register(random: &mut Random, _: u32, value: u64) -> (String, Action) {
    let key = format!("register:{}", random.below(3));
    let is_write = random.percent(50);
    (key, if is_write { Action::Set { value, ttl_ms: None } } else { Action::Get })
}

fn deleting(random: &mut Random, _: u32, value: u64) -> (String, Action) {
    let key = format!("deleting:{}", random.below(3));
    let action = match random.below(10) {
        0..3 => Action::Set { value, ttl_ms: None },
        3..5 => Action::SetIfAbsent { value },
        5 => Action::GetDelete,
        6..8 => Action::Delete,
        _ => Action::Get,
    };
    (key, action)
}

fn counter(random: &mut Random, _: u32, _: u64) -> (String, Action) {
    let action = if random.percent(70) { Action::Increment } else { Action::Get };
    (format!("counter:{}", random.below(2)), action)
}

fn queue(random: &mut Random, _: u32, value: u64) -> (String, Action) {
    let list = |side: &str, number: u64| format!("queue:{{{number}}}:{side}");
    let number = random.below(2);
    let timeout_ms = 1;
    match random.below(10) {
        0..5 => (list("a", number), Action::Push { value }),
        5 => (list("a", number), Action::Pop),
        6 => (list("a", number), Action::PopMany { count: 3, timeout_ms }),
        7 => (list("b", number), Action::BlockingPop { timeout_ms }),
        8 => {
            let to = list("b", number);
            (list("a", number), Action::Move { to, timeout_ms })
        }
        _ => (list("a", number), Action::List),
    }
}

/// Each element is removed at most once, by the client that added it.
fn set(random: &mut Random, client: u32, value: u64) -> (String, Action) {
    let action = match value % 3 {
        0 => Action::Members,
        1 => Action::Add { value },
        _ => Action::Remove { value: value - 1 },
    };
    let _ = random;
    (format!("set:{}", client % 2), action)
}

/// The first client writes, the others read.
fn expiring(random: &mut Random, client: u32, value: u64) -> (String, Action) {
    let key = "expiring:0".to_owned();
    if client > 0 {
        return (key, Action::Get);
    }
    let ttl_ms = random.percent(50).then(|| 1 + random.below(20));
    (key, Action::Set { value, ttl_ms })
}

type Choose = fn(&mut Random, u32, u64) -> (String, Action);

const WORLDS: [Choose; 6] = [register, deleting, counter, queue, set, expiring];

/// The writer of a key with a time to live stops when an outcome is unknown.
fn stop_after_unknown(mut history: History) -> History {
    let is_write = |operation: &Operation| {
        Kind::of(&operation.key) == Some(Kind::Expiring) && operation.action != Action::Get
    };
    let unknown = history.operations.iter().filter(|op| is_write(op) && op.is_unknown());
    if unknown.count() > 0 {
        history.operations.clear();
    }
    history
}

fn rules_of(history: &History) -> Vec<&'static str> {
    check(history).violations.iter().map(|violation| violation.rule).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn histories_of_a_correct_server_pass(seed: u64, world in 0..WORLDS.len()) {
        let history = stop_after_unknown(World::run(seed, 6, 60, WORLDS[world]));
        let report = check(&history);
        let shown: Vec<String> =
            report.violations.iter().map(|found| describe(&history, found)).collect();
        prop_assert!(shown.is_empty(), "{}", shown.join("\n"));
        prop_assert!(report.undecided.is_empty());
    }

    /// The two algorithms agree on randomly correct and incorrect histories.
    #[test]
    fn zones_and_search_agree_on_registers(seed: u64) {
        let mut random = Random::new(seed);
        let mut history = History::default();
        let mut written = vec![None];
        for client in 0..4_u32 {
            let mut now = 1 + random.below(5);
            for number in 0..3 {
                let (call, ret) = (now, now + 1 + random.below(9));
                now = ret + 1 + random.below(3);
                let value = u64::from(client * 10 + number + 1);
                let is_write = random.percent(50);
                let action =
                    if is_write { Action::Set { value, ttl_ms: None } } else { Action::Get };
                written.extend(is_write.then_some(Some(value)));
                let outcome = match random.below(8) {
                    0 => Outcome::Unknown(String::new()),
                    _ => Outcome::Done(Answer::Ok),
                };
                let key = "register:0".to_owned();
                history.operations
                    .push(Operation { key, client, member: 0, action, call, ret, outcome });
            }
        }
        for read in &mut history.operations {
            if read.action == Action::Get && read.is_done() {
                let value = *random.pick(&written);
                read.outcome = Outcome::Done(value.map_or(Answer::Nil, Answer::Value));
            }
        }
        let by_zones = !rules_of(&history).is_empty();
        prop_assert_eq!(by_zones, !is_linearizable(&history));
    }

    #[test]
    fn a_stale_read_is_detected(seed: u64) {
        let mut history = World::run(seed, 4, 60, register);
        let Some((old, at)) = overwritten(&history) else { return Ok(()) };
        history.operations[at].outcome = Outcome::Done(Answer::Value(old));
        prop_assert!(!rules_of(&history).is_empty());
    }

    #[test]
    fn a_deleted_value_that_reappears_is_detected(seed: u64) {
        let mut history = World::run(seed, 3, 60, deleting);
        // A popped value is read at the end.
        let taken = history.operations.iter().find_map(|operation| {
            match (&operation.action, operation.answer()) {
                (Action::GetDelete, Some(Answer::Value(value))) => {
                    Some((operation.key.clone(), *value))
                }
                _ => None,
            }
        });
        let Some((key, value)) = taken else { return Ok(()) };
        let settled = history.header.settled;
        let last = history.operations.iter_mut().find(|op| op.key == key && op.call >= settled);
        last.unwrap().outcome = Outcome::Done(Answer::Value(value));
        prop_assert!(!rules_of(&history).is_empty());
    }

    #[test]
    fn lost_and_doubled_increments_are_detected(seed: u64) {
        for by in [-1_i64, 1] {
            let mut history = World::run_with(seed, 4, 40, counter, false);
            let settled = history.header.settled;
            for read in history.operations.iter_mut().filter(|op| op.call >= settled) {
                if let Outcome::Done(Answer::Value(number)) = &mut read.outcome {
                    *number = number.checked_add_signed(by).unwrap();
                }
            }
            prop_assert!(!rules_of(&history).is_empty(), "{by}");
        }
    }

    #[test]
    fn an_element_that_is_delivered_twice_is_detected(seed: u64) {
        let mut history = World::run(seed, 4, 60, queue);
        let popped = history.operations.iter().find(|operation| {
            matches!((&operation.action, operation.answer()), (Action::Pop, Some(Answer::Value(_))))
        });
        let Some(mut again) = popped.cloned() else { return Ok(()) };
        (again.call, again.ret) = (again.ret + 1, again.ret + 2);
        history.operations.push(again);
        prop_assert!(rules_of(&history).contains(&"element delivered twice"));
    }

    #[test]
    fn a_lost_element_is_detected(seed: u64) {
        let mut history = World::run_with(seed, 4, 60, queue, false);
        let settled = history.header.settled;
        let pushes: BTreeSet<u64> = history
            .operations
            .iter()
            .filter(|operation| operation.is_done())
            .filter_map(|operation| written_value(&operation.action))
            .collect();
        for read in history.operations.iter_mut().filter(|op| op.call >= settled) {
            if let Outcome::Done(Answer::Values(values)) = &mut read.outcome
                && let Some(at) = values.iter().position(|value| pushes.contains(value))
            {
                values.remove(at);
                prop_assert!(rules_of(&history).contains(&"acknowledged element lost"));
                return Ok(());
            }
        }
    }

    #[test]
    fn a_value_that_was_never_written_is_detected(seed: u64, world in 0..WORLDS.len()) {
        let mut history = stop_after_unknown(World::run(seed, 4, 40, WORLDS[world]));
        let answered = history.operations.iter_mut().rev().find_map(|operation| {
            let is_counter = Kind::of(&operation.key) == Some(Kind::Counter);
            match &mut operation.outcome {
                Outcome::Done(Answer::Value(value)) if !is_counter => Some(value),
                Outcome::Done(Answer::Values(values)) => values.last_mut(),
                _ => None,
            }
        });
        let Some(value) = answered else { return Ok(()) };
        *value = u64::MAX;
        prop_assert!(rules_of(&history).contains(&"phantom"));
    }

    #[test]
    fn lost_and_reappearing_elements_of_a_set_are_detected(seed: u64) {
        let history = World::run(seed, 4, 60, set);
        let settled = history.header.settled;
        let last = history.operations.iter().position(|op| op.call >= settled).unwrap();
        let key = history.operations[last].key.clone();
        let all = || history.operations.iter().filter(|op| op.key == key);
        let is = |wanted: Action| all().any(|op| op.action == wanted && op.is_done());
        let added: Vec<u64> = all()
            .filter(|op| op.is_done())
            .filter_map(|op| written_value(&op.action))
            .collect();
        for value in added {
            let remove = Action::Remove { value };
            let is_touched = all().any(|op| op.action == remove);
            let mut wrong = history.clone();
            let Outcome::Done(Answer::Values(values)) = &mut wrong.operations[last].outcome else {
                continue;
            };
            if is(remove) {
                values.push(value);
                prop_assert!(rules_of(&wrong).contains(&"element back"));
            } else if !is_touched {
                values.retain(|present| *present != value);
                prop_assert!(rules_of(&wrong).contains(&"acknowledged element lost"));
            }
        }
    }
}

fn is_linearizable(history: &History) -> bool {
    struct Register;
    impl Model for Register {
        type State = Option<u64>;
        type Op = (bool, Option<u64>);

        fn step(&self, state: &Option<u64>, op: &(bool, Option<u64>)) -> Option<Option<u64>> {
            let (is_write, value) = *op;
            (is_write || *state == value).then_some(value)
        }
    }
    let entries: Vec<_> = history
        .operations
        .iter()
        .enumerate()
        .filter_map(|(index, operation)| {
            let op = match (&operation.action, operation.answer()) {
                (Action::Set { value, .. }, _) => (true, Some(*value)),
                (Action::Get, Some(Answer::Value(value))) => (false, Some(*value)),
                (Action::Get, Some(Answer::Nil)) => (false, None),
                _ => return None,
            };
            let ret = operation.is_done().then_some(operation.ret);
            let class = u32::try_from(index).unwrap();
            Some(Entry { op, call: operation.call, ret, class })
        })
        .collect();
    match search(&Register, [None], &entries, CONFIGURATIONS_MAX) {
        Verdict::Linearizable => true,
        Verdict::Violated(_) => false,
        Verdict::Undecided => panic!("twelve operations are few"),
    }
}

/// A value that was overwritten by an acknowledged write before a later read began, and the index
/// of that read.
fn overwritten(history: &History) -> Option<(u64, usize)> {
    let all = &history.operations;
    let writes: Vec<&Operation> =
        all.iter().filter(|op| op.action != Action::Get && op.is_done()).collect();
    for (at, read) in all.iter().enumerate().rev() {
        if read.action != Action::Get || !read.is_done() {
            continue;
        }
        for old in writes.iter().filter(|old| old.key == read.key) {
            let is_between =
                |new: &&&Operation| new.key == read.key && old.precedes(new) && new.precedes(read);
            if writes.iter().any(|new| is_between(&new)) {
                return Some((written_value(&old.action)?, at));
            }
        }
    }
    None
}

fn operation(key: &str, action: Action, call: u64, ret: u64, answer: Answer) -> Operation {
    let outcome = Outcome::Done(answer);
    Operation { key: key.to_owned(), client: 0, member: 0, action, call, ret, outcome }
}

fn history(operations: Vec<Operation>) -> History {
    History { operations, ..History::default() }
}

#[test]
fn a_violation_lists_the_operations_that_demonstrate_it_and_no_others() {
    let set = |value, call, ret| {
        operation("register:1", Action::Set { value, ttl_ms: None }, call, ret, Answer::Ok)
    };
    let get =
        |value, call, ret| operation("register:1", Action::Get, call, ret, Answer::Value(value));
    let history = history(vec![
        set(1, 10, 20),
        get(1, 21, 22),
        set(2, 30, 40),
        get(2, 41, 42),
        get(1, 50, 60),
        set(3, 70, 80),
        get(3, 90, 99),
    ]);
    let report = check(&history);
    let [violation] = &report.violations[..] else { panic!("{report:?}") };
    assert_eq!(violation.rule, "overwritten value read");
    let mut shown = violation.operations.clone();
    shown.sort_unstable();
    shown.dedup();
    assert!(shown.contains(&0) && shown.contains(&2) && shown.contains(&4), "{shown:?}");
    assert!(!shown.contains(&5) && !shown.contains(&6), "{shown:?}");
    let page = describe(&history, violation);
    assert!(page.contains("overwritten value read") && page.contains("register:1"), "{page}");
}

#[test]
fn a_violation_in_a_long_history_with_deletions_lists_few_operations() {
    let mut operations = Vec::new();
    for round in 0..200_u64 {
        let (at, value) = (100 * round + 1, round + 1);
        let set = Action::Set { value, ttl_ms: None };
        operations.push(operation("deleting:1", set, at, at + 10, Answer::Ok));
        let read = Answer::Value(value);
        operations.push(operation("deleting:1", Action::Get, at + 20, at + 30, read));
        let gone = Answer::Integer(1);
        operations.push(operation("deleting:1", Action::Delete, at + 40, at + 50, gone));
        let nothing = if round == 150 { Answer::Value(value) } else { Answer::Nil };
        operations.push(operation("deleting:1", Action::Get, at + 60, at + 70, nothing));
    }
    let report = check(&history(operations));
    let [violation] = &report.violations[..] else { panic!("{report:?}") };
    assert_eq!(violation.rule, "not linearizable");
    assert!(violation.operations.len() <= 3, "{violation:?}");
}

#[test]
fn an_empty_pop_of_a_nonempty_list_is_detected() {
    let key = "queue:{1}:a";
    let report = check(&history(vec![
        operation(key, Action::Push { value: 1 }, 1, 2, Answer::Integer(1)),
        operation(key, Action::BlockingPop { timeout_ms: 1 }, 3, 4, Answer::Nil),
        operation(key, Action::Pop, 5, 6, Answer::Value(1)),
    ]));
    assert_eq!(report.violations[0].rule, "element not found");
}

#[test]
fn an_empty_pop_of_a_nonempty_list_is_detected_while_a_member_is_lost() {
    let key = "queue:{1}:a";
    let pop = |action| {
        let mut history = history(vec![
            operation(key, Action::Push { value: 1 }, 1, 2, Answer::Integer(1)),
            operation(key, action, 3, 6, Answer::Nil),
            operation(key, Action::Pop, 7, 8, Answer::Value(1)),
        ]);
        history.faults.push(Fault {
            kind: "kill".to_owned(),
            members: vec![0],
            from: 4,
            until: 5,
            safe: 9,
            detail: String::new(),
        });
        check(&history).violations.len()
    };
    assert_eq!(pop(Action::BlockingPop { timeout_ms: 1 }), 1);
    assert_eq!(pop(Action::Pop), 1);
}

#[test]
fn elements_out_of_order_are_detected() {
    let key = "queue:{1}:a";
    let report = check(&history(vec![
        operation(key, Action::Push { value: 1 }, 1, 2, Answer::Integer(1)),
        operation(key, Action::Push { value: 2 }, 3, 4, Answer::Integer(2)),
        operation(key, Action::Pop, 5, 6, Answer::Value(2)),
        operation(key, Action::Pop, 7, 8, Answer::Value(1)),
    ]));
    assert_eq!(report.violations[0].rule, "elements out of order");
}

#[test]
fn keys_that_expire_early_or_late_or_reappear_are_detected() {
    let key = "expiring:1";
    let set = |value, ttl_ms, call| {
        operation(key, Action::Set { value, ttl_ms }, call, call + MS, Answer::Ok)
    };
    let get = |answer, call| operation(key, Action::Get, call, call + MS, answer);
    let rule = |operations| {
        let report = check(&history(operations));
        report.violations.first().map(|violation| violation.rule)
    };
    let ttl = Some(2_000);
    assert_eq!(rule(vec![set(1, ttl, MS), get(Answer::Nil, 500 * MS)]), Some("expired early"));
    assert_eq!(rule(vec![set(1, ttl, MS), get(Answer::Nil, 2_100 * MS)]), None);
    let late = vec![set(1, ttl, MS), get(Answer::Value(1), 3_000 * MS)];
    assert_eq!(rule(late), Some("expired value read"));
    let back = vec![
        set(1, None, MS),
        set(2, ttl, 10 * MS),
        get(Answer::Nil, 2_050 * MS),
        get(Answer::Value(1), 2_500 * MS),
    ];
    assert_eq!(rule(back), Some("overwritten value reappeared"));
    let back =
        vec![set(2, ttl, 10 * MS), get(Answer::Nil, 2_000 * MS), get(Answer::Value(2), 2_050 * MS)];
    assert_eq!(rule(back), Some("removed value reappeared"));
    let lost = vec![set(1, ttl, MS), set(2, None, 2_500 * MS), get(Answer::Nil, 2_600 * MS)];
    assert_eq!(rule(lost), Some("acknowledged write lost"));
}

#[test]
fn a_deleted_key_of_an_earlier_round_that_reappears_is_detected() {
    let key = "deleted:1";
    let report = check(&history(vec![
        operation(key, Action::Delete, 1, 2, Answer::Integer(1)),
        operation(key, Action::Get, 3, 4, Answer::Nil),
        operation(key, Action::Get, 5, 6, Answer::Value(7)),
    ]));
    assert_eq!(report.violations[0].rule, "deleted key reappeared");
}

/// A history with two sides, and the last value that each wrote.
fn split(last: [Answer; 2]) -> History {
    let on = |member, mut operation: Operation| {
        operation.member = member;
        operation
    };
    let set = |value, call| {
        let action = Action::Set { value, ttl_ms: None };
        operation("register:1", action, call, call + 1, Answer::Ok)
    };
    let [first, second] = last;
    let mut history = history(vec![
        on(0, set(1, 100)),
        on(0, set(2, 200)),
        on(1, set(3, 150)),
        on(0, operation("register:1", Action::Get, 1_001, 1_002, first)),
        on(1, operation("register:1", Action::Get, 1_003, 1_004, second)),
    ]);
    history.header.profile = Profile::Split;
    history.header.settled = 1_000;
    history.faults.push(Fault {
        kind: "split".to_owned(),
        members: vec![0],
        from: 50,
        until: 900,
        safe: 950,
        detail: String::new(),
    });
    history
}

#[test]
fn after_a_split_all_members_have_the_last_value_of_one_side() {
    let value = |value| [Answer::Value(value), Answer::Value(value)];
    assert!(check(&split(value(2))).violations.is_empty());
    assert!(check(&split(value(3))).violations.is_empty());
    let rule = |last| check(&split(last)).violations.first().map(|found| found.rule);
    assert_eq!(rule(value(1)), Some("acknowledged write lost"));
    assert_eq!(rule([Answer::Nil, Answer::Nil]), Some("acknowledged write lost"));
    assert_eq!(rule([Answer::Value(2), Answer::Value(3)]), Some("members differ"));
}
