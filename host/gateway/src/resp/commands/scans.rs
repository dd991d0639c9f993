//! Commands on all keys of a database, and the `SCAN` family.

use std::ops::Range;
use std::sync::Arc;

use convoke_grid::op::{
    ELEMENTS_BYTES_MAX, ELEMENTS_MAX, HashOp, KeyOp, Op, ScanFilter, SetOp, SortedSetOp, WholeOp,
};
use convoke_grid::{Map, OpError, Reply};
use convoke_script::number_text;
use futures_util::future::join_all;

use super::super::answer::{Answer, CommandError, PendingAnswer, sum_of};
use super::super::args::{Args, Parsed};
use super::super::client::Client;
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::server::Server;
use super::multi_partition::{PartialReport, is_above_zero, merge_replies};
use crate::clock::unix_ms;
use crate::databases::DATABASES;
/// Default `COUNT` of a scan.
const COUNT: u64 = 10;
/// Maximum number of elements examined per scan call, even if `COUNT` is larger.
const COUNT_MAX: u64 = 100_000;
/// Approximate maximum number of partitions examined per call of `SCAN`.
const PARTITIONS_MAX: u16 = 1_024;
const AT_ONCE_MAX: u16 = 64;

const INVALID_CURSOR: CommandError = CommandError::new("ERR invalid cursor");

struct Options<'a> {
    count: u64,
    filter: ScanFilter<'a>,
    /// Of a hash, names without values.
    names_only: bool,
}

/// What is scanned, which some options are for.
#[derive(Clone, Copy, PartialEq)]
enum Scanned {
    Keys,
    Fields,
    Members,
}

fn cursor(args: &mut Args<'_, '_>) -> Result<u64, CommandError> {
    let text = str::from_utf8(args.next()?).map_err(|_| INVALID_CURSOR)?;
    text.parse().map_err(|_| INVALID_CURSOR)
}

fn options<'a>(args: &mut Args<'_, 'a>, of: Scanned) -> Result<Options<'a>, CommandError> {
    let mut options = Options { count: COUNT, filter: ScanFilter::default(), names_only: false };
    while args.remaining() > 0 {
        if args.take_keyword("match") {
            options.filter.pattern = Some(args.next()?);
        } else if args.take_keyword("count") {
            let count = args.integer()?;
            let count = u64::try_from(count).ok().filter(|n| *n > 0).ok_or(CommandError::SYNTAX)?;
            // A smaller count is allowed: the cursor continues from there.
            options.count = count.min(COUNT_MAX);
        } else if of == Scanned::Fields && args.take_keyword("novalues") {
            options.names_only = true;
        } else if of == Scanned::Keys && args.take_keyword("type") {
            let kind = args.next()?;
            // A type that is not UTF-8 matches no key.
            options.filter.kind = Some(str::from_utf8(kind).unwrap_or(""));
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    Ok(options)
}

/// Shapes the reply of a scan within one key: the cursor and scores are bulk strings, in RESP3 too.
pub(crate) fn scanned(_: usize, reply: Reply) -> Answer {
    match reply {
        Reply::List(mut parts) if parts.len() == 2 => {
            if let Reply::Integer(next) = parts[0] {
                parts[0] = Reply::bytes(next.to_string().as_bytes());
            }
            if let Reply::List(elements) = &mut parts[1] {
                for element in elements {
                    if let Reply::Double(score) = element {
                        *element = Reply::bytes(number_text(*score).as_bytes());
                    }
                }
            }
            Answer::Reply(Reply::List(parts))
        }
        other => Answer::Reply(other),
    }
}

fn of_key<'a>(
    request: &Request<'a>,
    op: fn(u64, u64, Option<&'a [u8]>) -> KeyOp<'a>,
) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, cursor) = (args.next()?, cursor(&mut args)?);
    let options = options(&mut args, Scanned::Members)?;
    Ok(Op::Key(key, op(cursor, options.count, options.filter.pattern)))
}

pub(crate) fn hscan<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, cursor) = (args.next()?, cursor(&mut args)?);
    let options = options(&mut args, Scanned::Fields)?;
    let (count, pattern, values) = (options.count, options.filter.pattern, !options.names_only);
    Ok(Op::Key(key, KeyOp::Hash(HashOp::Scan { cursor, count, pattern, values })))
}

pub(crate) fn sscan<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_key(request, |cursor, count, pattern| KeyOp::Set(SetOp::Scan { cursor, count, pattern }))
}

pub(crate) fn zscan<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_key(request, |cursor, count, pattern| {
        KeyOp::SortedSet(SortedSetOp::Scan { cursor, count, pattern })
    })
}

/// Scans all keys. The cursor holds the partition number (upper 32 bits) and the position in the
/// partition (lower 32 bits).
pub(crate) fn scan(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 1);
    let cursor = cursor(&mut args)?;
    let options = options(&mut args, Scanned::Keys)?;
    let place = (u16::try_from(cursor >> 32).unwrap_or(u16::MAX), cursor & u64::from(u32::MAX));
    let pattern = options.filter.pattern.map(<[u8]>::to_vec);
    let kind = options.filter.kind.map(str::to_ascii_lowercase);
    let (server, map) = (Arc::clone(&client.server), Arc::clone(&client.map));
    Ok(CommandState::Barrier(Box::pin(async move {
        let filter = ScanFilter { pattern: pattern.as_deref(), kind: kind.as_deref() };
        match scan_from(&server, &map, place, options.count, &filter).await {
            Ok((next, found)) => Answer::List(vec![
                Answer::text(next.to_string()),
                Answer::Reply(Reply::List(found)),
            ]),
            Err(error) => Err(error).into(),
        }
    })))
}

/// Scans from a position until enough keys were found or partitions examined. While partitions
/// contain few keys, more of them are queried in parallel.
async fn scan_from(
    server: &Arc<Server>,
    map: &Arc<Map>,
    (mut partition, mut place): (u16, u64),
    count: u64,
    filter: &ScanFilter<'_>,
) -> Result<(u64, Vec<Reply>), OpError> {
    let partitions = server.grid.partitions();
    let (mut found, mut at_once, mut examined) = (Vec::new(), 1, 0);
    while partition < partitions && examined < PARTITIONS_MAX && (found.len() as u64) < count {
        let last = partition.saturating_add(at_once).min(partitions);
        let pending = (partition..last).map(|number| {
            let cursor = if number == partition { place } else { 0 };
            let count = count - found.len() as u64;
            let op = WholeOp::Scan { cursor, count, filter: filter.clone() };
            if server.reports_partition(number) {
                server.submit(map, number, &Op::Whole(op))
            } else {
                // Treated as an empty partition.
                let none = vec![Reply::Integer(0), Reply::List(Vec::new())];
                Box::pin(std::future::ready(Ok(Reply::List(none))))
            }
        });
        for reply in join_all(pending).await {
            let Reply::List(parts) = reply? else { return Err(OpError::Malformed) };
            let mut parts = parts.into_iter();
            let (Some(Reply::Integer(next)), Some(Reply::List(keys))) =
                (parts.next(), parts.next())
            else {
                return Err(OpError::Malformed);
            };
            found.extend(keys);
            place = next.cast_unsigned();
            if place > 0 || found.len() as u64 >= count {
                // The results of later partitions are discarded and fetched again.
                partition += u16::from(place == 0);
                break;
            }
            partition += 1;
        }
        examined += at_once;
        at_once = (at_once * 2).min(AT_ONCE_MAX);
    }
    let is_over = partition >= partitions;
    Ok((if is_over { 0 } else { u64::from(partition) << 32 | place }, found))
}

/// Runs an operation in all partitions that this member reports, and merges the replies.
fn merge_all(
    client: &Client,
    op: WholeOp<'static>,
    merge: fn(Vec<Reply>) -> Answer,
) -> PendingAnswer {
    let (server, map) = (Arc::clone(&client.server), Arc::clone(&client.map));
    Box::pin(async move {
        match server.submit_all(&map, op).await {
            Ok(replies) => merge(replies),
            Err(error) => Err(error).into(),
        }
    })
}

pub(crate) fn dbsize(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(CommandState::Pending(merge_all(client, WholeOp::Length, |all| {
        Answer::integer(sum_of(&all))
    })))
}

pub(crate) fn randomkey(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(CommandState::Pending(merge_all(client, WholeOp::Any, |all| {
        let keys: Vec<Reply> = all.into_iter().filter(|key| *key != Reply::Nil).collect();
        if keys.is_empty() {
            return Answer::NIL;
        }
        let now = unix_ms() as usize;
        Answer::Reply(keys[now % keys.len()].clone())
    })))
}

/// Number of partitions that `KEYS` queries in parallel: each reply may be as large as the whole
/// result.
const KEYS_AT_ONCE: usize = 8;

const TOO_MANY_KEYS: CommandError =
    CommandError::new("ERR more than 1000000 keys or 64 MiB of keys match: use SCAN");

/// Keys of several partitions, limited together.
#[derive(Default)]
struct KeyList {
    keys: Vec<Reply>,
    bytes: usize,
}

impl KeyList {
    fn append(&mut self, reply: Result<Reply, OpError>) -> Result<(), CommandError> {
        let keys = match reply {
            Ok(Reply::List(keys)) => keys,
            Ok(_) => return Err(OpError::Malformed.into()),
            Err(OpError::AnswerTooLong) => return Err(TOO_MANY_KEYS),
            Err(error) => return Err(error.into()),
        };
        let bytes = |key: &Reply| if let Reply::Bytes(key) = key { key.len() } else { 0 };
        self.bytes += keys.iter().map(bytes).sum::<usize>();
        if self.keys.len() + keys.len() > ELEMENTS_MAX || self.bytes > ELEMENTS_BYTES_MAX {
            return Err(TOO_MANY_KEYS);
        }
        self.keys.extend(keys);
        Ok(())
    }
}

/// `KEYS` returns all keys that match a pattern, or an error, but never a part of them.
pub(crate) fn keys(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let pattern = Args::new(request, 1).next()?.to_vec();
    let (server, map) = (Arc::clone(&client.server), Arc::clone(&client.map));
    Ok(CommandState::Pending(Box::pin(async move {
        match matching_keys(&server, &map, &pattern).await {
            Ok(keys) => Answer::Reply(Reply::List(keys)),
            Err(error) => error.into(),
        }
    })))
}

async fn matching_keys(
    server: &Server,
    map: &Arc<Map>,
    pattern: &[u8],
) -> Result<Vec<Reply>, CommandError> {
    let op = Op::Whole(WholeOp::Keys(pattern));
    let mut list = KeyList::default();
    let reported: Vec<u16> =
        (0..server.grid.partitions()).filter(|number| server.reports_partition(*number)).collect();
    for some in reported.chunks(KEYS_AT_ONCE) {
        let pending: Vec<_> = some.iter().map(|number| server.submit(map, *number, &op)).collect();
        for reply in join_all(pending).await {
            list.append(reply)?;
        }
    }
    Ok(list.keys)
}

/// Parses `[ASYNC | SYNC]`, which make no difference.
fn flush_option(request: &Request<'_>) -> Result<(), CommandError> {
    let mut args = Args::new(request, 1);
    if args.remaining() == 0 || args.take_keyword("async") || args.take_keyword("sync") {
        return args.expect_end();
    }
    Err(CommandError::SYNTAX)
}

pub(crate) fn flushdb(client: &mut Client, request: &Request<'_>) -> CommandResult {
    flush_option(request)?;
    Ok(flush(client, client.database..client.database + 1))
}

/// Includes databases that were used through other members only.
pub(crate) fn flushall(client: &mut Client, request: &Request<'_>) -> CommandResult {
    flush_option(request)?;
    Ok(flush(client, 0..DATABASES))
}

fn flush(client: &Client, databases: Range<usize>) -> CommandState {
    let server = Arc::clone(&client.server);
    CommandState::Barrier(Box::pin(async move {
        match flush_all(&server, databases).await {
            Ok(()) => Answer::DONE,
            Err(error) => error.into(),
        }
    }))
}

/// Deletes all keys of some databases, in all partitions of the cluster.
///
/// # Errors
/// `INDETERMINATE` if only some partitions were flushed.
async fn flush_all(server: &Server, databases: Range<usize>) -> Result<(), CommandError> {
    const PARTITIONS: PartialReport =
        PartialReport { things: "partitions", done: "were flushed", changes: is_above_zero };
    let op = Op::Whole(WholeOp::Clear);
    // All are started before any is awaited, so that an unreachable member delays only its own.
    let mut pending = Vec::new();
    for database in databases {
        let map = server.database(database)?;
        pending
            .extend((0..server.grid.partitions()).map(|number| server.submit(&map, number, &op)));
    }
    let replies = join_all(pending).await;
    merge_replies(replies.into_iter().map(|reply| (1, reply)).collect(), PARTITIONS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, client_of, server_on, single_member_grid};
    use crate::trust::{Passwords, Trust};

    #[test]
    fn scores_of_a_scan_are_strings() {
        let element = vec![Reply::bytes(b"a"), Reply::Double(2.5)];
        let reply = Reply::List(vec![Reply::Integer(0), Reply::List(element)]);
        let strings = Reply::List(vec![Reply::bytes(b"a"), Reply::bytes(b"2.5")]);
        let expected = Reply::List(vec![Reply::bytes(b"0"), strings]);
        assert_eq!(scanned(3, reply), Answer::Reply(expected));
    }

    #[test]
    fn keys_of_several_partitions_share_one_limit() {
        let keys = |count, bytes| {
            let key = Reply::bytes(&vec![b'k'; bytes]);
            Ok(Reply::List(vec![key; count]))
        };
        let mut list = KeyList::default();
        assert_eq!(list.append(keys(ELEMENTS_MAX / 2, 1)), Ok(()));
        assert_eq!(list.append(keys(ELEMENTS_MAX / 2, 1)), Ok(()));
        assert_eq!(list.append(keys(0, 1)), Ok(()));
        assert_eq!(list.keys.len(), ELEMENTS_MAX);
        assert_eq!(list.append(keys(1, 1)), Err(TOO_MANY_KEYS));
        let mut list = KeyList::default();
        assert_eq!(list.append(keys(2, ELEMENTS_BYTES_MAX / 2)), Ok(()));
        assert_eq!(list.append(keys(1, 1)), Err(TOO_MANY_KEYS));
        let mut list = KeyList::default();
        assert_eq!(list.append(Err(OpError::AnswerTooLong)), Err(TOO_MANY_KEYS));
        let numbers = [ELEMENTS_MAX.to_string(), format!("{} MiB", ELEMENTS_BYTES_MAX >> 20)];
        assert!(numbers.iter().all(|number| TOO_MANY_KEYS.0.contains(number.as_str())));
    }

    #[tokio::test]
    async fn keys_returns_all_matches() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        for number in 0..300 {
            let key = format!("k:{number}");
            call(&mut client, &[b"set", key.as_bytes(), b"v"]).await;
        }
        for (pattern, count) in [("*", 300), ("k:29?", 10), ("x*", 0)] {
            let answer = call(&mut client, &[b"keys", pattern.as_bytes()]).await;
            let Answer::Reply(Reply::List(keys)) = answer else { panic!("{answer:?}") };
            assert_eq!(keys.len(), count, "{pattern}");
        }
        let repeats: [&[u8]; 3] = [b"srandmember", b"s", b"-1000001"];
        call(&mut client, &[b"sadd", b"s", b"m"]).await;
        let Answer::Error(text) = call(&mut client, &repeats).await else { panic!("no error") };
        assert!(text.starts_with("ERR the reply would exceed"), "{text}");
    }
}
