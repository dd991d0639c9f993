//! The filters of `CLIENT LIST` and `CLIENT KILL`. Each may be negated with `NOT-`, except for
//! `SKIPME` and `MAXAGE`.

use std::mem::discriminant;
use std::sync::atomic::Ordering;

use super::super::answer::CommandError;
use super::super::args::Args;
use super::super::client_info::ClientInfo;
use crate::databases::DATABASES;
use crate::trust::Trust;

/// Number of client IDs in one filter.
const IDS_MAX: usize = 100_000;

/// Which command the filters belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    List,
    Kill,
}

/// One filter.
#[derive(Debug)]
enum Condition {
    Ids(Vec<u64>),
    Address(String),
    LocalAddress(String),
    Ip(String),
    /// Whether clients with subscriptions are meant; `None` for replicas, which are no clients here.
    Subscribed(Option<bool>),
    User(String),
    Name(String),
    Library(String),
    LibraryVersion(String),
    Database(usize),
    /// Connected, or without a command, for at least this time in seconds.
    AgeMin(u64),
    IdleMin(u64),
}

/// The filters of one command; all of them must fit.
#[derive(Debug)]
pub(super) struct ClientFilter {
    /// Each with whether it is negated.
    conditions: Vec<(bool, Condition)>,
    skips_me: bool,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl ClientFilter {
    /// Adds a condition. As in Redis, the last one of a kind applies.
    fn set(&mut self, is_negated: bool, condition: Condition) {
        let kind = (is_negated, discriminant(&condition));
        self.conditions.retain(|(negated, other)| (*negated, discriminant(other)) != kind);
        self.conditions.push((is_negated, condition));
    }

    /// Parses the arguments.
    pub(super) fn parse(args: &mut Args<'_, '_>, purpose: Purpose) -> Result<Self, CommandError> {
        let mut filter = Self { conditions: Vec::new(), skips_me: purpose == Purpose::Kill };
        while args.remaining() > 0 {
            if args.take_keyword("skipme") {
                filter.skips_me = args.take_keyword("yes");
                if !filter.skips_me && !args.take_keyword("no") {
                    return Err(CommandError::SYNTAX);
                }
            } else if args.take_keyword("maxage") {
                let age = args.integer().map_err(|_| {
                    CommandError::new("ERR maxage is not an integer or out of range")
                })?;
                let age = u64::try_from(age).ok().filter(|age| *age > 0);
                let age = age.ok_or(CommandError::new("ERR maxage should be greater than 0"))?;
                filter.set(false, Condition::AgeMin(age));
            } else {
                let word = args.next()?.to_ascii_lowercase();
                let (is_negated, name) = match word.strip_prefix(b"not-") {
                    Some(name) => (true, name),
                    None => (false, &word[..]),
                };
                let condition = Condition::parse(name, args, purpose)?;
                filter.set(is_negated, condition);
            }
        }
        Ok(filter)
    }

    /// Whether a client is chosen. `me` is the number of the calling client, `now` the time in
    /// milliseconds of the server's monotonic clock.
    pub(super) fn fits(&self, info: &ClientInfo, me: u64, now: u64) -> bool {
        !(self.skips_me && info.id == me)
            && self
                .conditions
                .iter()
                .all(|(is_negated, condition)| condition.fits(info, now) != *is_negated)
    }
}

impl Condition {
    fn parse(name: &[u8], args: &mut Args<'_, '_>, purpose: Purpose) -> Result<Self, CommandError> {
        Ok(match name {
            b"id" => Self::Ids(ids(args, purpose)?),
            b"addr" => Self::Address(text(args.next()?)),
            b"laddr" => Self::LocalAddress(text(args.next()?)),
            b"ip" => Self::Ip(text(args.next()?)),
            b"type" => Self::Subscribed(kind(args.next()?)?),
            b"user" => {
                let user = text(args.next()?);
                if ![Trust::Full, Trust::ReadOnly].iter().any(|trust| trust.user() == user) {
                    return Err(CommandError(format!("ERR No such user '{user}'").into()));
                }
                Self::User(user)
            }
            b"name" => Self::Name(text(args.next()?)),
            b"lib-name" => Self::Library(text(args.next()?)),
            b"lib-ver" => Self::LibraryVersion(text(args.next()?)),
            b"db" => {
                let number = usize::try_from(args.integer()?).ok();
                let number = number.filter(|number| *number < DATABASES);
                Self::Database(number.ok_or(CommandError::new("ERR DB index is out of range"))?)
            }
            b"idle" => {
                let seconds = args.integer()?;
                Self::IdleMin(u64::try_from(seconds).map_err(|_| CommandError::INTEGER)?)
            }
            _ => return Err(CommandError::SYNTAX),
        })
    }

    fn fits(&self, info: &ClientInfo, now: u64) -> bool {
        let seconds_since = |ms: u64| now.saturating_sub(ms) / 1_000;
        match self {
            Self::Ids(ids) => ids.contains(&info.id),
            Self::Address(address) => info.peer.to_string() == *address,
            Self::LocalAddress(address) => info.local.to_string() == *address,
            Self::Ip(ip) => info.peer.ip().to_string() == *ip,
            Self::Subscribed(is) => is.is_some_and(|is| info.is_subscribed() == is),
            Self::User(user) => info.names.lock().user == user,
            Self::Name(name) => info.names.lock().name == *name,
            Self::Library(name) => info.names.lock().library == *name,
            Self::LibraryVersion(version) => info.names.lock().library_version == *version,
            Self::Database(number) => info.database.load(Ordering::Relaxed) == *number,
            Self::AgeMin(age) => seconds_since(info.since_ms) >= *age,
            Self::IdleMin(idle) => seconds_since(info.active_ms.load(Ordering::Relaxed)) >= *idle,
        }
    }
}

/// The client IDs that follow, at least one.
fn ids(args: &mut Args<'_, '_>, purpose: Purpose) -> Result<Vec<u64>, CommandError> {
    let wrong = CommandError::new(match purpose {
        Purpose::List => "ERR Invalid client ID",
        Purpose::Kill => "ERR client-id should be greater than 0",
    });
    let mut ids = Vec::new();
    while let Some(next) = args.peek() {
        let is_number = next.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
        if !ids.is_empty() && !is_number && next.iter().any(u8::is_ascii_alphabetic) {
            // The next filter, unless it is none.
            if Condition::is_name(next) {
                break;
            }
            // `CLIENT KILL` takes what follows its identifiers for a filter.
            return Err(if purpose == Purpose::Kill { CommandError::SYNTAX } else { wrong });
        }
        let id = args.integer().map_err(|_| wrong.clone())?;
        let id = u64::try_from(id).ok().filter(|id| *id > 0 || purpose == Purpose::List);
        if ids.len() >= IDS_MAX {
            return Err(CommandError(format!("ERR at most {IDS_MAX} client IDs").into()));
        }
        ids.push(id.ok_or(wrong.clone())?);
    }
    if ids.is_empty() { Err(CommandError::SYNTAX) } else { Ok(ids) }
}

impl Condition {
    /// Whether a word names a filter.
    fn is_name(word: &[u8]) -> bool {
        const NAMES: [&[u8]; 13] = [
            b"addr",
            b"db",
            b"id",
            b"idle",
            b"ip",
            b"laddr",
            b"lib-name",
            b"lib-ver",
            b"maxage",
            b"name",
            b"skipme",
            b"type",
            b"user",
        ];
        let word = word.to_ascii_lowercase();
        NAMES.contains(&word.strip_prefix(b"not-").unwrap_or(&word))
    }
}

/// A type of clients: whether those with subscriptions.
fn kind(word: &[u8]) -> Result<Option<bool>, CommandError> {
    match &word.to_ascii_lowercase()[..] {
        b"normal" => Ok(Some(false)),
        b"pubsub" => Ok(Some(true)),
        b"master" | b"replica" | b"slave" => Ok(None),
        kind => Err(CommandError(format!("ERR Unknown client type '{}'", text(kind)).into())),
    }
}
