//! What a command comes to.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use convoke_grid::{OpError, Reply};

use super::client::Client;
use super::encode::{Encoder, Protocol, error_text};

/// An answer, to be written in whatever protocol the client speaks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// What the grid answered.
    Reply(Reply),
    /// Words that begin with a code, `ERR` for most.
    Error(Cow<'static, str>),
    /// Answers in an order.
    List(Vec<Self>),
    /// Names and values.
    Map(Vec<(Self, Self)>),
    /// Each an answer of its own, sent as one that was not asked for.
    Pushes(Vec<Vec<Self>>),
    /// None: the client asked for reply_mode.
    Nothing,
}

/// An answer that is there later.
pub(crate) type LaterAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a command does next, once something that it waited for is there.
pub(crate) type Next = Box<dyn FnOnce(&mut Client) -> Outcome + Send>;

/// What came of beginning a command.
pub(crate) enum Outcome {
    /// It is done.
    Now(Answer),
    /// It is under way; others may begin meanwhile.
    Later(LaterAnswer),
    /// It is under way; the client's next command begins after it.
    Barrier(LaterAnswer),
    /// It waits for something to happen, perhaps for ever; as a barrier.
    Waits(LaterAnswer),
    /// It is under way and goes on later, with the client at hand; as a barrier.
    Then(Pin<Box<dyn Future<Output = Next> + Send>>),
    /// It begins once all commands of the client before it are answered; as a barrier. Its keys
    /// lie in several partitions, which its other commands reach by other ways.
    First(Next),
    /// It is done, and the connection is to end.
    Last(Answer),
}

/// Why a command is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) Cow<'static, str>);

impl Refusal {
    pub(crate) const SYNTAX: Self = Self(Cow::Borrowed("ERR syntax error"));
    pub(crate) const INTEGER: Self =
        Self(Cow::Borrowed("ERR value is not an integer or out of range"));
    pub(crate) const FLOAT: Self = Self(Cow::Borrowed("ERR value is not a valid float"));
    pub(crate) const CROSS_SLOT: Self =
        Self(Cow::Borrowed("CROSSSLOT Keys in request don't hash to the same slot"));

    /// What a client that does not keep up makes of others' commands, for a while.
    pub(crate) const BUSY: Self = Self(Cow::Borrowed(
        "BUSY 512 MiB of requests and answers are held for clients already; nothing was done, try again later",
    ));

    pub(crate) const fn of(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    pub(crate) fn arity(name: &str) -> Self {
        Self(format!("ERR wrong number of arguments for '{name}' command").into())
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Error(refusal.0)
    }
}

impl From<OpError> for Refusal {
    fn from(error: OpError) -> Self {
        Self(error_text(&error).into())
    }
}

impl From<Result<Reply, Refusal>> for Answer {
    fn from(result: Result<Reply, Refusal>) -> Self {
        match result {
            Ok(reply) => Self::Reply(reply),
            Err(refusal) => refusal.into(),
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

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Now(Answer::Reply(reply))
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Now(answer)
    }
}

impl Answer {
    pub(crate) const DONE: Self = Self::Reply(Reply::Done);
    pub(crate) const NIL: Self = Self::Reply(Reply::Nil);

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Reply(Reply::Bytes(Bytes::from(text.into())))
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

    /// Whether it is told whatever the client does not want to hear.
    pub(crate) fn is_unasked(&self) -> bool {
        matches!(self, Self::Pushes(_))
    }

    /// Writes it.
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Self::Reply(reply) => encoder.reply(reply),
            Self::Error(words) => encoder.error(words),
            Self::List(all) => {
                encoder.list(all.len());
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
            Self::Nothing => {}
        }
    }

    /// Writes it behind what is there already.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>, protocol: Protocol) {
        self.encode(&mut Encoder { buffer, protocol });
    }
}
