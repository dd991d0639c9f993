//! Many keys at once: put, looked for, removed.

use convoke_tests::resp::{Client, Value};

/// Requests that are on their way at once.
const AT_ONCE: usize = 200;

/// Failures that are shown.
const SHOWN_MAX: usize = 10;

/// A key and its value.
pub(crate) type Pair = (String, String);

/// So many keys whose names begin with a word, each with a value of its own.
pub(crate) fn pairs(word: &str, count: usize) -> Vec<Pair> {
    (0..count).map(|n| (format!("{word}:{n}"), format!("{word} has {n}"))).collect()
}

/// Asks for one thing of each pair, and wants one answer each.
#[track_caller]
fn each(
    client: &mut Client,
    pairs: &[Pair],
    request: impl Fn(&Pair) -> Vec<&str>,
    wanted: impl Fn(&Pair) -> Value,
) {
    let mut wrong = Vec::new();
    for some in pairs.chunks(AT_ONCE) {
        let requests: Vec<Vec<&str>> = some.iter().map(&request).collect();
        let answers = client.call_all(&requests).expect("the member answers");
        for ((pair, request), answer) in some.iter().zip(requests).zip(answers) {
            if answer != wanted(pair) {
                wrong.push(format!("{request:?}: {answer:?}"));
            }
        }
    }
    let (count, all) = (wrong.len(), pairs.len());
    wrong.truncate(SHOWN_MAX);
    assert!(wrong.is_empty(), "{count} of {all} answers are wrong, among them {wrong:#?}");
}

/// Puts all of them.
#[track_caller]
pub(crate) fn put_all(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, value)| vec!["SET", key, value], |_| Value::ok());
}

/// All of them are there.
#[track_caller]
pub(crate) fn expect_all(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, _)| vec!["GET", key], |(_, value)| Value::from(value.as_str()));
}

/// Removes all of them; each is there before.
#[track_caller]
pub(crate) fn remove_all(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, _)| vec!["DEL", key], |_| Value::Integer(1));
}

/// None of them is there.
#[track_caller]
pub(crate) fn expect_none(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, _)| vec!["GET", key], |_| Value::Nil);
}

/// The keys that are said not to be there. One of which nobody can tell just now
/// is none of them.
#[track_caller]
pub(crate) fn not_there(client: &mut Client, pairs: &[Pair]) -> Vec<String> {
    let mut missing = Vec::new();
    for some in pairs.chunks(AT_ONCE) {
        let requests: Vec<Vec<&str>> = some.iter().map(|(key, _)| vec!["GET", key]).collect();
        let answers = client.call_all(&requests).expect("the member answers");
        let gone = some.iter().zip(answers).filter(|(_, answer)| *answer == Value::Nil);
        missing.extend(gone.map(|((key, _), _)| key.clone()));
    }
    missing
}
