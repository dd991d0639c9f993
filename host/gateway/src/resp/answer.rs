//! Replies to clients, and errors.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use convoke_grid::{OpError, Reply};
use convoke_script::Value;

use super::encode::{Encoder, Protocol, error_text};

/// A reply to a client, encoded in the protocol version of its connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A reply of the grid.
    Reply(Reply),
    /// An error message that begins with an error code, usually `ERR`.
    Error(Cow<'static, str>),
    /// An array of replies.
    List(Vec<Self>),
    /// A set: an array in RESP2.
    Set(Vec<Self>),
    /// A map: an array of alternating keys and values in RESP2.
    Map(Vec<(Self, Self)>),
    /// The reply of a script.
    Value(Value),
    /// The error reply of a script that is that of a command which it called. Statistics have counted
    /// it as the command's.
    PassedOn(Bytes),
    /// Push messages, such as confirmations of subscriptions. They are sent even if the client
    /// turned replies off.
    Pushes(Vec<Vec<Self>>),
    /// No reply: `CLIENT REPLY` suppresses it, or it is already in the output.
    Nothing,
}

/// Shapes a reply of the grid for the client. The number is that of the arguments.
pub(crate) type Shape = fn(usize, Reply) -> Answer;

/// A reply that is not available yet.
pub(crate) type PendingAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// An error reply: the message with its error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandError(pub(crate) Cow<'static, str>);

impl CommandError {
    pub(crate) const SYNTAX: Self = Self(Cow::Borrowed("ERR syntax error"));
    pub(crate) const INTEGER: Self =
        Self(Cow::Borrowed("ERR value is not an integer or out of range"));
    pub(crate) const FLOAT: Self = Self(Cow::Borrowed("ERR value is not a valid float"));
    pub(crate) const CROSS_SLOT: Self =
        Self(Cow::Borrowed("CROSSSLOT Keys in request don't hash to the same slot"));

    /// Returned while the memory held for clients is at its limit.
    pub(crate) const BUSY: Self = Self(Cow::Borrowed(
        "BUSY 512 MiB of requests and replies are held for clients; nothing was done, try again later",
    ));

    pub(crate) const fn new(message: &'static str) -> Self {
        Self(Cow::Borrowed(message))
    }

    pub(crate) fn arity(name: &str) -> Self {
        Self(format!("ERR wrong number of arguments for '{name}' command").into())
    }
}

impl From<CommandError> for Answer {
    fn from(error: CommandError) -> Self {
        Self::Error(error.0)
    }
}

impl From<OpError> for CommandError {
    fn from(error: OpError) -> Self {
        Self(error_text(&error).into())
    }
}

impl From<Result<Reply, CommandError>> for Answer {
    fn from(result: Result<Reply, CommandError>) -> Self {
        match result {
            Ok(reply) => Self::Reply(reply),
            Err(error) => error.into(),
        }
    }
}

impl From<Result<Reply, OpError>> for Answer {
    fn from(result: Result<Reply, OpError>) -> Self {
        match result {
            Ok(reply) => Self::Reply(reply),
            Err(error) => Self::Error(error_text(&error).into()),
        }
    }
}

impl Answer {
    /// Whether it says that the outcome of the command is unknown.
    pub(crate) fn is_indeterminate(&self) -> bool {
        match self {
            Self::Error(text) => text.starts_with("INDETERMINATE "),
            Self::Reply(Reply::Failed(error)) => *error == OpError::Indeterminate,
            _ => false,
        }
    }

    pub(crate) const DONE: Self = Self::Reply(Reply::Done);
    pub(crate) const NIL: Self = Self::Reply(Reply::Nil);

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Reply(Reply::Bytes(Bytes::from(text.into())))
    }

    /// Text for people: a verbatim string in RESP3, a bulk string in RESP2.
    pub(crate) fn verbatim(text: impl Into<String>) -> Self {
        Self::Value(Value::Verbatim(*b"txt", Bytes::from(text.into())))
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Reply(Reply::bytes(bytes))
    }

    pub(crate) fn integer(number: i64) -> Self {
        Self::Reply(Reply::Integer(number))
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Reply(Reply::count(count))
    }

    /// A bulk string of text that is known here.
    pub(crate) fn word(word: &str) -> Self {
        Self::bytes(word.as_bytes())
    }

    /// Whether it is sent even if the client turned replies off.
    pub(crate) fn is_push(&self) -> bool {
        matches!(self, Self::Pushes(_))
    }

    /// Encodes the reply.
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Self::Reply(reply) => encoder.reply(reply),
            Self::Error(message) => encoder.error(message),
            Self::List(all) => {
                encoder.list(all.len());
                all.iter().for_each(|one| one.encode(encoder));
            }
            Self::Set(all) => {
                encoder.set(all.len());
                all.iter().for_each(|one| one.encode(encoder));
            }
            Self::Map(pairs) => {
                encoder.map(pairs.len());
                for (name, value) in pairs {
                    name.encode(encoder);
                    value.encode(encoder);
                }
            }
            Self::Pushes(pushes) => {
                for push in pushes {
                    encoder.push(push.len());
                    push.iter().for_each(|one| one.encode(encoder));
                }
            }
            Self::Value(value) => encode_value(value, encoder),
            Self::PassedOn(text) => encoder.error(&String::from_utf8_lossy(text)),
            Self::Nothing => {}
        }
    }

    /// Appends the encoded reply to `buffer`.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>, protocol: Protocol) {
        self.encode(&mut Encoder { buffer, protocol });
    }
}

/// Size of the values in a reply, in bytes.
pub(crate) fn bytes_of(reply: &Reply) -> usize {
    match reply {
        Reply::Bytes(bytes) => bytes.len(),
        Reply::List(all) | Reply::Set(all) => all.iter().map(bytes_of).sum(),
        Reply::Map(all) | Reply::Pairs(all) | Reply::ByKey(all) => {
            all.iter().map(|(a, b)| bytes_of(a) + bytes_of(b)).sum()
        }
        _ => 0,
    }
}

/// The sum of integer replies.
pub(crate) fn sum_of(replies: &[Reply]) -> i64 {
    let number = |reply: &Reply| if let Reply::Integer(number) = reply { *number } else { 0 };
    replies.iter().map(number).sum()
}

/// Encodes the reply of a script.
fn encode_value(value: &Value, encoder: &mut Encoder<'_>) {
    match value {
        Value::Nil => encoder.nil(),
        Value::Status(text) => encoder.simple(&String::from_utf8_lossy(text)),
        Value::Error(text) => encoder.error(&String::from_utf8_lossy(text)),
        Value::Integer(number) => encoder.integer(*number),
        Value::Bulk(bytes) => encoder.bulk(bytes),
        Value::Array(all) => {
            encoder.list(all.len());
            all.iter().for_each(|one| encode_value(one, encoder));
        }
        Value::Set(all) => {
            encoder.set(all.len());
            all.iter().for_each(|one| encode_value(one, encoder));
        }
        Value::Map(pairs) => {
            encoder.map(pairs.len());
            for (key, value) in pairs {
                encode_value(key, encoder);
                encode_value(value, encoder);
            }
        }
        Value::Pairs(pairs) => encoder.pairs(pairs, |encoder, one| encode_value(one, encoder)),
        Value::ByKey(pairs) => encoder.by_key(pairs, |encoder, one| encode_value(one, encoder)),
        Value::Decimal(text) => encoder.decimal(text),
        Value::Double(number) => encoder.double(*number),
        Value::Boolean(is_true) => encoder.boolean(*is_true),
        Value::BigNumber(digits) => encoder.big_number(digits),
        Value::Verbatim(format, text) => encoder.verbatim(*format, text),
    }
}
