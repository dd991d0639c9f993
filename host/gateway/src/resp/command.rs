//! What the table of commands holds on each command, and how a request finds its command.

use std::time::Duration;

use convoke_grid::op::Op;
use rustc_hash::FxHashMap;

use super::answer::{CommandError, Shape};
use super::args::Parsed;
use super::client::Client;
use super::command_state::CommandResult;
use super::request::Request;

/// Groups of commands, as in the Redis documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Connection management.
    Connection,
    /// Keys of any type.
    Generic,
    /// Strings.
    String,
    /// Bits of strings.
    Bitmap,
    /// Strings that count distinct elements.
    HyperLogLog,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Places.
    Geo,
    /// Streams.
    Stream,
    /// Publish/subscribe.
    PubSub,
    /// Scripts.
    Scripting,
    /// Transactions.
    Transactions,
    /// Server management.
    Server,
    /// Redis Cluster.
    Cluster,
}

impl Group {
    /// The name of the group in `COMMAND DOCS`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::HyperLogLog => "hyperloglog",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::PubSub => "pubsub",
            Self::Scripting => "scripting",
            Self::Transactions => "transactions",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }

    /// The ACL category of its commands, if there is one.
    fn category(self) -> Option<&'static str> {
        match self {
            Self::Connection => Some("connection"),
            Self::Generic => Some("keyspace"),
            Self::String => Some("string"),
            Self::Bitmap => Some("bitmap"),
            Self::HyperLogLog => Some("hyperloglog"),
            Self::Hash => Some("hash"),
            Self::List => Some("list"),
            Self::Set => Some("set"),
            Self::SortedSet => Some("sortedset"),
            Self::Geo => Some("geo"),
            Self::Stream => Some("stream"),
            Self::Scripting => Some("scripting"),
            Self::Transactions => Some("transaction"),
            // The category pubsub follows from a flag.
            Self::PubSub | Self::Server | Self::Cluster => None,
        }
    }
}

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// None.
    None,
    /// Every `step`-th argument from `first` to `last`.
    Every {
        /// Index of the first key.
        first: usize,
        /// Index of the last key; negative values count from the end, -1 being the last argument.
        last: i64,
        /// Distance between keys.
        step: usize,
    },
    /// The arguments that follow this one, which holds their number.
    Counted(usize),
    /// Every other argument behind this one, which holds their number.
    CountedPairs(usize),
    /// The first argument, and those that follow the second one, which holds their number.
    DestinationAndCounted,
    /// The first argument, and the last one that follows `STORE` as an option.
    SortedAndStored,
    /// The first argument, and those that follow `STORE` or `STOREDIST` from this argument on.
    FirstAndStored(usize),
    /// The first half of the arguments that follow `STREAMS`.
    Streams,
}

/// Parses the arguments of a command into an operation.
type Parse = for<'a> fn(&Request<'a>) -> Parsed<'a>;

/// Parses the arguments of a blocking command into an operation and a timeout; `None` waits
/// forever.
type ParseWait = for<'a> fn(&Request<'a>) -> Result<(Op<'a>, Option<Duration>), CommandError>;

/// Whether a command that can block does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// It does not.
    Never,
    /// For this time at most; `None` waits forever.
    UpTo(Option<Duration>),
}

/// Parses the arguments of a command that blocks if they say so.
type ParseBlock = for<'a> fn(&Request<'a>) -> Result<(Op<'a>, Block), CommandError>;

/// Executes a command of the gateway.
pub(crate) type Handle = fn(&mut Client, &Request<'_>) -> CommandResult;

/// Executes a command of the gateway that needs the table of commands.
pub(crate) type HandleWithTable =
    fn(&mut Client, &'static CommandTable, &Request<'_>) -> CommandResult;

/// How a command is executed.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// As an operation of the grid.
    Op(Parse),
    /// As an operation of the grid, whose reply is shaped for the client. The function gets the
    /// number of arguments.
    Shaped(Parse, Shape),
    /// As a blocking operation of the grid, whose reply is shaped for the client.
    Blocking(ParseWait, Shape),
    /// As an operation of the grid that reads streams, and blocks if the arguments say so.
    Streams(ParseBlock),
    /// By the gateway itself.
    Local(Handle),
    /// By the gateway itself, which needs the table of commands for it.
    WithTable(HandleWithTable),
    /// `EXEC`, which executes other commands.
    Exec,
}

impl Handler {
    /// The operation of a command that does not block; `None` if the gateway executes it itself.
    pub(crate) fn parse<'r>(&self, request: &Request<'r>) -> Option<Parsed<'r>> {
        match self {
            Self::Op(parse) | Self::Shaped(parse, _) => Some(parse(request)),
            Self::Blocking(parse, _) => Some(parse(request).map(|(op, _)| op)),
            Self::Streams(parse) => Some(parse(request).map(|(op, _)| op)),
            Self::Local(_) | Self::WithTable(_) | Self::Exec => None,
        }
    }

    /// How the reply of its operation is shaped.
    pub(crate) fn shape(&self) -> Option<Shape> {
        match self {
            Self::Shaped(_, shape) | Self::Blocking(_, shape) => Some(*shape),
            _ => None,
        }
    }
}

/// A command or subcommand. Subcommands are rows of their own, named `command|subcommand`, with
/// their own arity and flags.
pub(crate) struct Command {
    /// The name in lower case, such as `get` or `client|kill`.
    pub(crate) name: &'static str,
    /// Number of arguments, including the name (two for a subcommand); a negative value is a
    /// minimum.
    pub(crate) arity: i32,
    pub(crate) flags: u16,
    /// Which arguments are keys.
    pub(crate) keys: Keys,
    /// Group.
    pub(crate) group: Group,
    /// Summary for `COMMAND DOCS`.
    pub(crate) summary: &'static str,
    pub(crate) handler: Handler,
}

impl Command {
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const READ: u16 = 1 << 1;
    pub(crate) const DENY_OOM: u16 = 1 << 2;
    pub(crate) const FAST: u16 = 1 << 3;
    pub(crate) const ADMIN: u16 = 1 << 4;
    pub(crate) const PUBSUB: u16 = 1 << 5;
    pub(crate) const BLOCKING: u16 = 1 << 6;
    /// Unauthenticated clients may use it.
    pub(crate) const NO_AUTH: u16 = 1 << 7;
    /// Not allowed in a transaction.
    pub(crate) const NO_MULTI: u16 = 1 << 8;
    /// Executed at once in a transaction instead of being queued.
    pub(crate) const NOT_QUEUED: u16 = 1 << 9;
    /// RESP2 clients may use it while subscribed.
    pub(crate) const WHILE_SUBSCRIBED: u16 = 1 << 10;
    /// A container: its first argument, if any, names a subcommand.
    pub(crate) const CONTAINER: u16 = 1 << 11;
    /// In the ACL category `dangerous`, as are all admin commands.
    pub(crate) const DANGEROUS: u16 = 1 << 12;

    /// Whether it is a subcommand.
    pub(crate) fn is_subcommand(&self) -> bool {
        self.name.contains('|')
    }

    /// The ACL categories, derived from the flags as in Redis.
    pub(crate) fn categories(&self) -> Vec<&'static str> {
        [
            (self.is(Self::WRITE) && !self.is(Self::PUBSUB), "write"),
            (self.is(Self::READ), "read"),
            (self.is(Self::ADMIN), "admin"),
            (self.is(Self::ADMIN) || self.is(Self::DANGEROUS), "dangerous"),
            (self.is(Self::PUBSUB), "pubsub"),
            (self.is(Self::BLOCKING), "blocking"),
            (self.is(Self::FAST), "fast"),
            (!self.is(Self::FAST), "slow"),
        ]
        .into_iter()
        .filter_map(|(holds, name)| holds.then_some(name))
        .chain(self.group_category())
        .collect()
    }

    /// The category of its group. Redis has some commands in the category of another group.
    fn group_category(&self) -> Option<&'static str> {
        let container = self.name.split('|').next().unwrap_or_default();
        match container {
            "command" | "asking" | "readonly" | "readwrite" | "wait" => Some("connection"),
            "dbsize" | "flushall" | "flushdb" => Some("keyspace"),
            _ if self.is(Self::CONTAINER) => None,
            _ => self.group.category(),
        }
    }

    #[inline]
    pub(crate) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it accepts this number of arguments, including the name.
    #[inline]
    pub(crate) fn takes(&self, arguments: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arguments >= arity } else { arguments == arity }
    }

    pub(crate) fn flag_names(&self) -> Vec<&'static str> {
        let movable = matches!(
            self.keys,
            Keys::Counted(_)
                | Keys::CountedPairs(_)
                | Keys::DestinationAndCounted
                | Keys::SortedAndStored
                | Keys::FirstAndStored(_)
                | Keys::Streams
        );
        [
            (Self::WRITE, "write"),
            (Self::READ, "readonly"),
            (Self::DENY_OOM, "denyoom"),
            (Self::ADMIN, "admin"),
            (Self::PUBSUB, "pubsub"),
            (Self::BLOCKING, "blocking"),
            (Self::FAST, "fast"),
            (Self::NO_AUTH, "no_auth"),
            (Self::NO_MULTI, "no_multi"),
        ]
        .into_iter()
        .filter_map(|(flag, name)| self.is(flag).then_some(name))
        .chain(movable.then_some("movablekeys"))
        .collect()
    }

    /// The keys among the arguments of a request.
    pub(crate) fn keys_of<'a>(&self, arguments: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let counted = |at: usize, step: usize| {
            let count = arguments.get(at).and_then(|text| convoke_grid::op::integer(text));
            let count = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
            arguments.iter().skip(at + 1).step_by(step).take(count).copied()
        };
        match self.keys {
            Keys::None => Vec::new(),
            Keys::Every { first, last, step } => {
                let end = if last < 0 {
                    arguments.len().saturating_sub(last.unsigned_abs() as usize - 1)
                } else {
                    arguments.len().min(last as usize + 1)
                };
                (first..end).step_by(step.max(1)).map(|at| arguments[at]).collect()
            }
            Keys::Counted(at) => counted(at, 1).collect(),
            Keys::CountedPairs(at) => counted(at, 2).collect(),
            Keys::DestinationAndCounted => {
                arguments.get(1).copied().into_iter().chain(counted(2, 1)).collect()
            }
            Keys::SortedAndStored => {
                arguments.get(1).copied().into_iter().chain(stored(arguments)).collect()
            }
            Keys::FirstAndStored(from) => {
                let is_store = |word: &[u8]| {
                    word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist")
                };
                let options = arguments.get(from..).unwrap_or_default();
                // Of several, the last one counts.
                let stored = options.windows(2).rfind(|pair| is_store(pair[0]));
                let stored = stored.map(|pair| pair[1]);
                arguments.get(1).copied().into_iter().chain(stored).collect()
            }
            Keys::Streams => keys_of_streams(arguments).to_vec(),
        }
    }
}

/// The key at which `SORT` with these arguments stores its result.
fn stored<'a>(arguments: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (mut at, mut key) = (2, None);
    while let Some(option) = arguments.get(at) {
        at += match &option.to_ascii_lowercase()[..] {
            b"limit" => 3,
            b"by" | b"get" => 2,
            b"store" => {
                key = arguments.get(at + 1).copied().or(key);
                2
            }
            _ => 1,
        };
    }
    key
}

/// The keys that follow `STREAMS` in the arguments of `XREAD` or `XREADGROUP`.
fn keys_of_streams<'r, 'a>(arguments: &'r [&'a [u8]]) -> &'r [&'a [u8]] {
    let mut at = 1;
    while let Some(option) = arguments.get(at) {
        at += match &*option.to_ascii_lowercase() {
            b"streams" => {
                let rest = &arguments[at + 1..];
                return &rest[..rest.len() / 2];
            }
            b"block" | b"count" => 2,
            b"group" => 3,
            b"noack" => 1,
            _ => break,
        };
    }
    &[]
}

/// Maximum length of a name in the table, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// Why a request resolves to no row.
pub(crate) enum Missing {
    /// Unknown command.
    Command,
    /// Unknown subcommand of this command.
    Subcommand(&'static str),
}

/// The rows of all commands, and an index of their names.
pub(crate) struct CommandTable {
    pub(crate) rows: &'static [Command],
    by_name: FxHashMap<&'static [u8], usize>,
}

impl CommandTable {
    /// Indexes the rows.
    pub(crate) fn new(rows: &'static [Command]) -> Self {
        let names = rows.iter().enumerate().map(|(at, row)| (row.name.as_bytes(), at));
        Self { rows, by_name: names.collect() }
    }

    /// Index of the row with this full name, ignoring case.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        let mut lower = [0; NAME_BYTES_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).copied()
    }

    /// The row with this full name, ignoring case.
    pub(crate) fn row(&self, name: &[u8]) -> Option<&'static Command> {
        self.find(name).map(|index| &self.rows[index])
    }

    /// Index of the row that a request resolves to: that of the subcommand if the command is a
    /// container and has an argument. Nothing else executes a row, so a subcommand without a row
    /// cannot be executed.
    #[inline]
    pub(crate) fn resolve(&self, name: &[u8], part: Option<&[u8]>) -> Result<usize, Missing> {
        // The row of a subcommand cannot be named by a single argument.
        let index = self
            .find(name)
            .filter(|index| !self.rows[*index].is_subcommand())
            .ok_or(Missing::Command)?;
        let command = &self.rows[index];
        let Some(part) = part.filter(|_| command.is(Command::CONTAINER)) else { return Ok(index) };
        let mut whole = [0; NAME_BYTES_MAX];
        let length = command.name.len() + 1 + part.len();
        let found = whole.get_mut(..length).and_then(|whole| {
            whole[..command.name.len()].copy_from_slice(command.name.as_bytes());
            whole[command.name.len()] = b'|';
            whole[command.name.len() + 1..].copy_from_slice(part);
            self.find(whole)
        });
        found.ok_or(Missing::Subcommand(command.name))
    }

    /// The subcommands of a command, in the order of the table.
    pub(crate) fn subcommands(&self, command: &Command) -> impl Iterator<Item = &'static Command> {
        let name = command.name;
        self.rows.iter().filter(move |row| {
            row.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('|'))
        })
    }
}
