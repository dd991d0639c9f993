//! Helpers that set, read and delete many keys.

use convoke_tests::resp::{Client, Value};

/// Requests in one pipeline.
const PIPELINE: usize = 200;

/// Failures that are printed.
const SHOWN_MAX: usize = 10;

/// A key and its value.
pub(crate) type Pair = (String, String);

/// `count` keys whose names begin with `word`, each with a different value.
pub(crate) fn pairs(word: &str, count: usize) -> Vec<Pair> {
    (0..count).map(|n| (format!("{word}:{n}"), format!("{word} has {n}"))).collect()
}

/// Sends a request for each pair, and checks each answer.
#[track_caller]
fn each(
    client: &mut Client,
    pairs: &[Pair],
    request: impl Fn(&Pair) -> Vec<&str>,
    wanted: impl Fn(&Pair) -> Value,
) {
    let mut wrong = Vec::new();
    for some in pairs.chunks(PIPELINE) {
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

/// Sets all of them.
#[track_caller]
pub(crate) fn put_all(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, value)| vec!["SET", key, value], |_| Value::ok());
}

/// Checks that all of them exist.
#[track_caller]
pub(crate) fn expect_all(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, _)| vec!["GET", key], |(_, value)| Value::from(value.as_str()));
}

/// Deletes all of them; each must exist.
#[track_caller]
pub(crate) fn remove_all(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, _)| vec!["DEL", key], |_| Value::Integer(1));
}

/// Checks that none of them exists.
#[track_caller]
pub(crate) fn expect_none(client: &mut Client, pairs: &[Pair]) {
    each(client, pairs, |(key, _)| vec!["GET", key], |_| Value::Nil);
}

/// The keys that are reported as missing. A key that cannot be read at the moment is not.
#[track_caller]
pub(crate) fn missing_keys(client: &mut Client, pairs: &[Pair]) -> Vec<String> {
    let mut missing = Vec::new();
    for some in pairs.chunks(PIPELINE) {
        let requests: Vec<Vec<&str>> = some.iter().map(|(key, _)| vec!["GET", key]).collect();
        let answers = client.call_all(&requests).expect("the member answers");
        let gone = some.iter().zip(answers).filter(|(_, answer)| *answer == Value::Nil);
        missing.extend(gone.map(|((key, _), _)| key.clone()));
    }
    missing
}
