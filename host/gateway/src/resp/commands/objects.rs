//! Commands on whole values and how they are stored: `DUMP`, `RESTORE`, `OBJECT`, `MEMORY`.

use std::borrow::Cow;
use std::sync::Arc;

use convoke_grid::Reply;
use convoke_grid::op::{Content, ContentOp, GenericOp, KeyOp, Lifetime, Op, WholeOp};

use super::super::answer::{Answer, CommandError, sum_of};
use super::super::args::{Args, Parsed};
use super::super::client::Client;
use super::super::command_state::{CommandResult, CommandState};
use super::super::rdb::{self, Unreadable};
use super::super::request::Request;

/// The text of an error, as Redis returns it without an LFU policy.
const NOT_LFU: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

pub(crate) fn dump<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Key(Args::new(request, 1).next()?, KeyOp::Content(ContentOp::Read)))
}

/// Shapes a value as a payload in RDB encoding.
pub(crate) fn dumped(_: usize, reply: Reply) -> Answer {
    match &reply {
        Reply::Bytes(bytes) => match Content::decode(bytes) {
            Some(content) => Answer::Reply(Reply::Bytes(rdb::payload(&content).into())),
            None => Answer::Error("ERR values of this type cannot be dumped".into()),
        },
        _ => Answer::Reply(reply),
    }
}

pub(crate) fn restore<'a>(request: &Request<'a>) -> Parsed<'a> {
    const NEGATIVE: CommandError = CommandError::new("ERR Invalid TTL value, must be >= 0");
    let mut args = Args::new(request, 1);
    let (key, ttl_ms, payload) = (args.next()?, args.next()?, args.next()?);
    let (mut replace, mut is_absolute) = (false, false);
    let (mut idle_seconds, mut frequency) = (None, None);
    while args.remaining() > 0 {
        if args.take_keyword("replace") {
            replace = true;
        } else if args.take_keyword("absttl") {
            is_absolute = true;
        } else if args.remaining() > 1 && frequency.is_none() && args.take_keyword("idletime") {
            let seconds = u64::try_from(args.integer()?)
                .map_err(|_| CommandError::new("ERR Invalid IDLETIME value, must be >= 0"))?;
            idle_seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        } else if args.remaining() > 1 && idle_seconds.is_none() && args.take_keyword("freq") {
            let often = u8::try_from(args.integer()?).map_err(|_| {
                CommandError::new("ERR Invalid FREQ value, must be >= 0 and <= 255")
            })?;
            frequency = Some(often);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let ttl_ms = convoke_grid::op::integer(ttl_ms).ok_or(CommandError::INTEGER)?;
    let lifetime = match u64::try_from(ttl_ms).map_err(|_| NEGATIVE)? {
        0 => Lifetime::Forever,
        _ if is_absolute => Lifetime::Until(ttl_ms),
        ttl_ms => Lifetime::For(ttl_ms),
    };
    let op = match rdb::parse(payload) {
        Ok(content) => {
            let value = Cow::Owned(content.encode());
            ContentOp::Restore { value, lifetime, replace, idle_seconds, frequency }
        }
        Err(error) => ContentOp::RefuseRestore { replace, is_damaged: error == Unreadable::Footer },
    };
    Ok(Op::Key(key, KeyOp::Content(op)))
}

pub(crate) fn encoding<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Key(Args::new(request, 2).next()?, KeyOp::Content(ContentOp::Representation)))
}

/// Metadata of a key, of which [`idletime`] and [`usage`] return a part.
pub(crate) fn view<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Key(Args::new(request, 2).next()?, KeyOp::Generic(GenericOp::View)))
}

/// Whether a key exists, for [`freq`] and [`refcount`].
pub(crate) fn exists<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Key(Args::new(request, 2).next()?, KeyOp::Generic(GenericOp::Exists)))
}

/// A number of the metadata of a key; nil if there is no key.
fn fact(reply: Reply, wanted: &str) -> Answer {
    let Reply::Map(facts) = reply else { return Answer::Reply(reply) };
    let is_it = |name: &Reply| matches!(name, Reply::Word(name) if name == wanted);
    let found = facts.into_iter().find(|(name, _)| is_it(name));
    Answer::Reply(found.map_or(Reply::Nil, |(_, value)| value))
}

/// Shapes metadata as the time since the last use, in seconds.
pub(crate) fn idletime(_: usize, reply: Reply) -> Answer {
    fact(reply, "idle-seconds")
}

/// Shapes metadata as a number of bytes.
pub(crate) fn usage(_: usize, reply: Reply) -> Answer {
    fact(reply, "bytes")
}

/// Shapes whether a key exists as nil, or an error: the frequency is not that of Redis.
pub(crate) fn freq(_: usize, reply: Reply) -> Answer {
    match reply {
        Reply::Integer(0) => Answer::NIL,
        Reply::Integer(_) => Answer::Error(NOT_LFU.into()),
        other => Answer::Reply(other),
    }
}

/// Shapes whether a key exists as nil, or a number of references: values are not shared.
pub(crate) fn refcount(_: usize, reply: Reply) -> Answer {
    match reply {
        Reply::Integer(0) => Answer::NIL,
        other => Answer::Reply(other),
    }
}

pub(crate) fn memory_usage<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 3);
    while args.remaining() > 0 {
        if !args.take_keyword("samples") {
            return Err(CommandError::SYNTAX);
        }
        // The size is known, so nothing is sampled.
        if args.integer()? < 0 {
            return Err(CommandError::SYNTAX);
        }
    }
    view(request)
}

pub(crate) fn memory_doctor(_: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::verbatim("No memory problems are detected by MEMORY DOCTOR; see INFO memory, and /metrics of each member.").into())
}

pub(crate) fn memory_malloc_stats(_: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::text("Stats not supported for the current allocator").into())
}

pub(crate) fn memory_purge(_: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::DONE.into())
}

/// `MEMORY STATS`: of what Redis reports, what there is here. Bytes are those of this member, keys
/// those of the cluster.
pub(crate) fn memory_stats(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let server = Arc::clone(&client.server);
    Ok(CommandState::Pending(Box::pin(async move {
        let integer = |bytes: u64| Answer::integer(i64::try_from(bytes).unwrap_or(i64::MAX));
        let dataset: u64 = server.grid.maps().iter().map(|map| map.bytes()).sum();
        let clients = server.pubsub.ledger.held() as u64;
        let (mut keys, mut databases) = (0_i64, Vec::new());
        for (database, map) in server.databases() {
            let count = match server.submit_all(&map, WholeOp::Length).await {
                Ok(replies) => sum_of(&replies),
                Err(_) => continue,
            };
            if count > 0 {
                keys += count;
                let overhead = ["overhead.hashtable.main", "overhead.hashtable.expires"];
                let none = overhead.map(|name| (Answer::word(name), Answer::integer(0)));
                databases.push((Answer::text(format!("db.{database}")), Answer::Map(none.into())));
            }
        }
        let per_key = dataset.checked_div(keys.unsigned_abs()).unwrap_or(0);
        let mut facts = vec![
            (Answer::word("total.allocated"), integer(dataset + clients)),
            (Answer::word("clients.normal"), integer(clients)),
        ];
        facts.append(&mut databases);
        facts.extend([
            (Answer::word("overhead.total"), integer(clients)),
            (Answer::word("keys.count"), Answer::integer(keys)),
            (Answer::word("keys.bytes-per-key"), integer(per_key)),
            (Answer::word("dataset.bytes"), integer(dataset)),
        ]);
        Answer::Map(facts)
    })))
}
