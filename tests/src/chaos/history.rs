//! Requests of clients and their answers, as lines of JSON.
//!
//! All times are nanoseconds since the run began, read from one monotonic clock of
//! the process that runs the clients.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Write};

use serde::{Deserialize, Serialize};

/// The client id of operations that the run itself executes, before or after the clients.
pub const RUN: u32 = u32::MAX;

/// The first value of a client; ranges of clients do not overlap, so all written values are
/// distinct.
#[must_use]
pub fn first_value(client: u32) -> u64 {
    u64::from(client + 1) << 40
}

/// One operation of one client on one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The key. Its text up to the first colon is its [`Kind`].
    pub key: String,
    /// The client, or [`RUN`].
    pub client: u32,
    /// The index of the member that the client used.
    pub member: u32,
    /// The request.
    pub action: Action,
    /// When it was sent.
    pub call: u64,
    /// When the answer was received, or the client gave up.
    pub ret: u64,
    /// Its outcome.
    pub outcome: Outcome,
}

/// A request. Values are unique within a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// `SET key value`, with `PX` when there is a time to live.
    Set {
        /// The value.
        value: u64,
        /// Milliseconds until it expires.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
    },
    /// `SET key value NX`: answers 1 or 0.
    SetIfAbsent {
        /// The value.
        value: u64,
    },
    /// `GET key`.
    Get,
    /// `DEL key`: answers 1 or 0.
    Delete,
    /// `GETDEL key`.
    GetDelete,
    /// `INCR key`.
    Increment,
    /// `RPUSH key value`.
    Push {
        /// The element.
        value: u64,
    },
    /// `LPOP key`.
    Pop,
    /// `BLPOP key timeout`.
    BlockingPop {
        /// Milliseconds to wait for an element.
        timeout_ms: u64,
    },
    /// `BLMPOP timeout 1 key LEFT COUNT count`.
    PopMany {
        /// The most elements to take.
        count: u64,
        /// Milliseconds to wait for an element.
        timeout_ms: u64,
    },
    /// `BLMOVE key to LEFT RIGHT timeout`.
    Move {
        /// The destination list.
        to: String,
        /// Milliseconds to wait for an element.
        timeout_ms: u64,
    },
    /// `LRANGE key 0 -1`.
    List,
    /// `SADD key value`: answers 1 or 0.
    Add {
        /// The element.
        value: u64,
    },
    /// `SREM key value`: answers 1 or 0.
    Remove {
        /// The element.
        value: u64,
    },
    /// `SMEMBERS key`.
    Members,
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was executed, with this answer.
    Done(Answer),
    /// An error that guarantees that nothing was executed.
    Refused(String),
    /// It may have been executed, may be executed later, or never.
    Unknown(String),
    /// An answer that is invalid for this request.
    Unexpected(String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// `OK`.
    Ok,
    /// No value.
    Nil,
    /// A number.
    Integer(i64),
    /// A value that was written.
    Value(u64),
    /// Several of them, in the order of the answer.
    Values(Vec<u64>),
}

/// The model of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `SET` of unique values and `GET`.
    Register,
    /// The same with `DEL`, `GETDEL` and `SET NX`.
    Deleting,
    /// `INCR` and `GET`.
    Counter,
    /// Two lists of one slot: elements enter the first.
    Queue,
    /// `SADD`, `SREM` and `SMEMBERS`.
    Set,
    /// Values with and without a time to live, all of one writer.
    Expiring,
    /// Keys that were deleted in an earlier round.
    Deleted,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Register,
        Self::Deleting,
        Self::Counter,
        Self::Queue,
        Self::Set,
        Self::Expiring,
        Self::Deleted,
    ];

    /// The prefix of keys of this kind, before the first colon.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Deleting => "deleting",
            Self::Counter => "counter",
            Self::Queue => "queue",
            Self::Set => "set",
            Self::Expiring => "expiring",
            Self::Deleted => "deleted",
        }
    }

    /// The kind of a key; `None` if it is not a key of a run.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        let prefix = key.split(':').next()?;
        Self::ALL.into_iter().find(|kind| kind.prefix() == prefix)
    }
}

/// The unit of checking: a key, or the two lists of a queue.
#[must_use]
pub fn group(key: &str) -> &str {
    if Kind::of(key) == Some(Kind::Queue) {
        key.rsplit_once(':').map_or(key, |(group, _)| group)
    } else {
        key
    }
}

impl Operation {
    /// The answer, if it was executed.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        if let Outcome::Done(answer) = &self.outcome { Some(answer) } else { None }
    }

    /// Whether it was answered as executed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Outcome::Done(_))
    }

    /// Whether it is unknown if it was executed, as it is after an invalid answer.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown(_) | Outcome::Unexpected(_))
    }

    /// Whether it ended before the other one began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.is_done() && self.ret < other.call
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let client =
            if self.client == RUN { "run".to_owned() } else { format!("c{}", self.client) };
        write!(
            f,
            "{:>11.6} {:>11.6}  {client:<4} m{}  {} {:?} -> ",
            seconds(self.call),
            seconds(self.ret),
            self.member,
            self.key,
            self.action,
        )?;
        match &self.outcome {
            Outcome::Done(answer) => write!(f, "{answer:?}"),
            Outcome::Refused(text) => write!(f, "refused: {text}"),
            Outcome::Unknown(text) => write!(f, "unknown: {text}"),
            Outcome::Unexpected(text) => write!(f, "unexpected: {text}"),
        }
    }
}

/// A fault that was injected, or another event of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name, such as `kill`, by which it is counted.
    pub kind: String,
    /// The affected members.
    pub members: Vec<u32>,
    /// When it began, in nanoseconds.
    pub from: u64,
    /// When it was undone, in nanoseconds.
    pub until: u64,
    /// When the data was safe again, in nanoseconds.
    pub safe: u64,
    /// Its parameters.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let (from, until) = (seconds(self.from), seconds(self.until));
        let (kind, members, detail) = (&self.kind, &self.members, &self.detail);
        write!(f, "{from:>11.6} {until:>11.6}  {kind} {members:?} {detail}, ")?;
        match self.safe {
            u64::MAX => f.write_str("never safe again"),
            safe => write!(f, "safe at {:.6}", seconds(safe)),
        }
    }
}

/// The guarantees that apply to a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// One member lost or paused at a time, no split: every key is linearizable.
    #[default]
    Strong,
    /// The network splits: the guarantees for splits apply.
    Split,
}

impl Profile {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Split => "split",
        }
    }
}

/// The origin of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The seed of the run.
    pub seed: u64,
    /// The round of the run, from zero.
    pub round: u64,
    /// The profile of the checks.
    pub profile: Profile,
    /// The output of `convoke --version`.
    pub version: String,
    /// SHA-256 of the binary, in hexadecimal.
    pub binary_sha256: String,
    /// Members of the cluster.
    pub members: u32,
    /// Configured worker threads of each member.
    pub workers: u32,
    /// The time at which the final reads began, after the data was safe again, in nanoseconds; 0 if
    /// the run ended before.
    pub settled: u64,
}

/// A round of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Its origin.
    pub header: Header,
    /// Unordered.
    pub operations: Vec<Operation>,
    /// In the order that they were injected.
    pub faults: Vec<Fault>,
}

/// One line of a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Header(std::borrow::Cow<'a, Header>),
    Fault(std::borrow::Cow<'a, Fault>),
    Operation(std::borrow::Cow<'a, Operation>),
}

impl History {
    /// Writes one line of JSON for the header, each fault and each operation.
    ///
    /// # Errors
    /// If `writer` fails.
    pub fn write(&self, mut writer: impl Write) -> io::Result<()> {
        use std::borrow::Cow::Borrowed;
        let lines = std::iter::once(Line::Header(Borrowed(&self.header)))
            .chain(self.faults.iter().map(|fault| Line::Fault(Borrowed(fault))))
            .chain(self.operations.iter().map(|operation| Line::Operation(Borrowed(operation))));
        for line in lines {
            serde_json::to_writer(&mut writer, &line)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()
    }

    /// Reads what [`History::write`] wrote.
    ///
    /// # Errors
    /// If `reader` fails, or a line is malformed; the text names the line.
    pub fn read(reader: impl BufRead) -> io::Result<Self> {
        let mut history = Self::default();
        for (index, line) in reader.lines().enumerate() {
            let line = line?;
            let read: Line<'static> = serde_json::from_str(&line).map_err(|error| {
                io::Error::new(ErrorKind::InvalidData, format!("line {}: {error}", index + 1))
            })?;
            match read {
                Line::Header(header) => history.header = header.into_owned(),
                Line::Fault(fault) => history.faults.push(fault.into_owned()),
                Line::Operation(operation) => history.operations.push(operation.into_owned()),
            }
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_survives_a_round_trip() {
        let operation = |action, outcome| Operation {
            key: "queue:{1:2}:a".to_owned(),
            client: 3,
            member: 1,
            action,
            call: 10,
            ret: 20,
            outcome,
        };
        let history = History {
            header: Header { seed: 7, settled: 99, ..Header::default() },
            operations: vec![
                operation(Action::Push { value: 5 }, Outcome::Done(Answer::Integer(1))),
                operation(Action::Set { value: 5, ttl_ms: Some(7) }, Outcome::Done(Answer::Ok)),
                operation(
                    Action::Move { to: "queue:{1:2}:b".to_owned(), timeout_ms: 1 },
                    Outcome::Unknown("timeout".to_owned()),
                ),
                operation(Action::List, Outcome::Done(Answer::Values(vec![1, 2]))),
            ],
            faults: vec![Fault {
                kind: "kill".to_owned(),
                members: vec![0],
                from: 1,
                until: 2,
                safe: 3,
                detail: String::new(),
            }],
        };
        let mut bytes = Vec::new();
        history.write(&mut bytes).unwrap();
        assert_eq!(History::read(&bytes[..]).unwrap(), history);
    }

    #[test]
    fn an_error_names_the_malformed_line() {
        let error = History::read(&b"{\"fault\":3}\n"[..]).unwrap_err();
        assert!(error.to_string().starts_with("line 1: "), "{error}");
    }

    #[test]
    fn both_lists_of_a_queue_are_one_group() {
        assert_eq!(group("queue:{1:2}:a"), group("queue:{1:2}:b"));
        assert_eq!(group("register:1:2"), "register:1:2");
        assert_eq!(Kind::of("queue:{1:2}:a"), Some(Kind::Queue));
        assert_eq!(Kind::of("other:1"), None);
    }
}
