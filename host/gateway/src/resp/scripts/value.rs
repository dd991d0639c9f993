//! Replies of commands as values of scripts, and values of scripts as replies to clients.

use bytes::Bytes;
use convoke_grid::Reply;
use convoke_script::Value;

use super::super::answer::Answer;
use super::super::encode::error_text;

/// The reply of a command.
pub(super) fn of_answer(answer: Answer) -> Value {
    match answer {
        Answer::Reply(reply) => of_reply(reply),
        Answer::Error(text) => Value::error(text.into_owned()),
        Answer::List(all) => Value::Array(all.into_iter().map(of_answer).collect()),
        Answer::Set(all) => Value::Set(all.into_iter().map(of_answer).collect()),
        Answer::Map(pairs) => {
            let pair = |(key, value)| (of_answer(key), of_answer(value));
            Value::Map(pairs.into_iter().map(pair).collect())
        }
        Answer::Pushes(all) => {
            let one = |push: Vec<Answer>| Value::Array(push.into_iter().map(of_answer).collect());
            Value::Array(all.into_iter().map(one).collect())
        }
        Answer::Value(value) => value,
        Answer::PassedOn(text) => Value::Error(text),
        Answer::Nothing => Value::Nil,
    }
}

/// The reply of an operation.
pub(super) fn of_reply(reply: Reply) -> Value {
    let all = |values: Vec<Reply>| values.into_iter().map(of_reply).collect();
    let both = |pairs: Vec<(Reply, Reply)>| {
        pairs.into_iter().map(|(key, value)| (of_reply(key), of_reply(value))).collect()
    };
    match reply {
        Reply::Done => Value::status("OK"),
        Reply::Nil | Reply::NilList => Value::Nil,
        Reply::Integer(number) => Value::Integer(number),
        Reply::Double(number) => Value::Double(number),
        Reply::Bytes(bytes) => Value::Bulk(bytes),
        Reply::Word(word) => Value::Status(Bytes::from(word)),
        Reply::List(values) => Value::Array(all(values)),
        Reply::Set(values) => Value::Set(all(values)),
        Reply::Map(pairs) => Value::Map(both(pairs)),
        Reply::Pairs(pairs) => Value::Pairs(both(pairs)),
        Reply::Decimal(text) => Value::Decimal(Bytes::from(text)),
        Reply::ByKey(pairs) => Value::ByKey(both(pairs)),
        Reply::Failed(error) => Value::error(error_text(&error)),
    }
}
