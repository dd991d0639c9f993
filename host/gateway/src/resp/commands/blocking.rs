//! Blocking commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_grid::op::{End, MapOp, Op, SeveralOp, float};
use convoke_grid::{ClientTraits, Later, Map, OpError, Reply, Started, Unblock};
use futures_util::future::select_all;

use super::super::answer::{Answer, CommandError, Shape};
use super::super::args::Args;
use super::super::client::{Client, with_traits};
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::routing::{check_slot, one_partition};
use super::super::server::Server;
use super::{lists, sorted_sets};

type Parsed<'a> = Result<(Op<'a>, Option<Duration>), CommandError>;

/// Parses an unsigned hexadecimal integer such as `0x1F`, which Redis allows in timeouts.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let is_number = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = str::from_utf8(digits).ok().filter(|_| is_number)?;
    u64::from_str_radix(digits, 16).ok().map(|number| number as f64)
}

/// Parses a timeout in seconds, with an optional fraction; zero means forever (`None`).
fn timeout(text: &[u8]) -> Result<Option<Duration>, CommandError> {
    const WRONG: CommandError = CommandError::new("ERR timeout is not a float or out of range");
    const TOO_LONG: CommandError = CommandError::new("ERR timeout is out of range");
    let seconds = float(text).or_else(|| hexadecimal(text)).ok_or(WRONG)?;
    if seconds < 0.0 {
        return Err(CommandError::new("ERR timeout is negative"));
    }
    if seconds > i64::MAX as f64 / 1_000.0 {
        return Err(TOO_LONG);
    }
    let wait = Duration::try_from_secs_f64(seconds).map_err(|_| TOO_LONG)?;
    // Rounded up to a millisecond, since zero would mean forever.
    Ok((seconds > 0.0).then(|| wait.max(Duration::from_millis(1))))
}

/// Parses keys and a trailing timeout.
fn keys_and_timeout<'a>(
    request: &Request<'a>,
) -> Result<(Vec<&'a [u8]>, Option<Duration>), CommandError> {
    let mut keys = Args::new(request, 1).rest();
    let wait = timeout(keys.pop().ok_or(CommandError::SYNTAX)?)?;
    Ok((keys, wait))
}

fn pop<'a>(request: &Request<'a>, end: End) -> Parsed<'a> {
    let (keys, wait) = keys_and_timeout(request)?;
    Ok((Op::Several(SeveralOp::PopFirst { keys, end, count: 1 }), wait))
}

pub(crate) fn blpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, End::Front)
}

pub(crate) fn brpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, End::Back)
}

fn pop_sorted<'a>(request: &Request<'a>, greatest: bool) -> Parsed<'a> {
    let (keys, wait) = keys_and_timeout(request)?;
    Ok((Op::Several(SeveralOp::PopFirstSorted { keys, greatest, count: 1 }), wait))
}

pub(crate) fn bzpopmin<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop_sorted(request, false)
}

pub(crate) fn bzpopmax<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop_sorted(request, true)
}

pub(crate) fn blmpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    let wait = timeout(Args::new(request, 1).next()?)?;
    Ok((lists::pop_first(request, 2)?, wait))
}

pub(crate) fn bzmpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    let wait = timeout(Args::new(request, 1).next()?)?;
    Ok((sorted_sets::pop_first(request, 2)?, wait))
}

pub(crate) fn blmove<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to) = (args.next()?, args.next()?);
    let (from_end, to_end) = (lists::end(&mut args)?, lists::end(&mut args)?);
    let wait = timeout(args.next()?)?;
    Ok((Op::Several(SeveralOp::MoveElement { from, from_end, to, to_end }), wait))
}

pub(crate) fn brpoplpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to, wait) = (args.next()?, args.next()?, timeout(args.next()?)?);
    let (from_end, to_end) = (End::Back, End::Front);
    Ok((Op::Several(SeveralOp::MoveElement { from, from_end, to, to_end }), wait))
}

/// Shapes the reply as a flat list of the key and the popped elements; a null array on timeout.
pub(crate) fn flat(_: usize, reply: Reply) -> Answer {
    let Reply::List(parts) = reply else { return nothing(reply) };
    let mut all = Vec::new();
    for part in parts {
        match part {
            Reply::List(elements) => all.extend(elements),
            Reply::Pairs(pairs) => all.extend(pairs.into_iter().flat_map(|(a, b)| [a, b])),
            key => all.push(key),
        }
    }
    Answer::Reply(Reply::List(all))
}

/// Shapes the reply as the key and a list of the popped elements. Pairs are nested lists in both
/// protocol versions.
pub(crate) fn nested(_: usize, reply: Reply) -> Answer {
    let Reply::List(parts) = reply else { return nothing(reply) };
    let part = |part| match part {
        Reply::Pairs(pairs) => {
            Reply::List(pairs.into_iter().map(|(a, b)| Reply::List(vec![a, b])).collect())
        }
        other => other,
    };
    Answer::Reply(Reply::List(parts.into_iter().map(part).collect()))
}

pub(crate) fn unchanged(_: usize, reply: Reply) -> Answer {
    Answer::Reply(reply)
}

fn nothing(reply: Reply) -> Answer {
    Answer::Reply(if reply == Reply::Nil { Reply::NilList } else { reply })
}

/// Starts a blocking operation.
pub(crate) fn start(
    client: &Client,
    op: &Op<'_>,
    wait: Option<Duration>,
    arguments: usize,
    shape: Shape,
) -> CommandResult {
    let server = &client.server;
    let keys = op.keys();
    if server.settings.redis_cluster {
        check_slot(server, keys.iter().copied())?;
    }
    let partition = one_partition(&server.grid, &keys)?;
    let info = Arc::clone(&client.info);
    let unblock = info.begin_blocking();
    let later = if let Some(partition) = partition {
        let op = with_traits(op.clone(), client.traits());
        server.grid.block_until(&client.map, partition, &op, wait, unblock)
    } else {
        let Op::Several(several) = op else { return Err(CommandError::CROSS_SLOT) };
        let pop = Pop::of(several).ok_or(CommandError::CROSS_SLOT)?;
        let keys = keys.iter().map(|key| key.to_vec()).collect();
        let (server, map) = (Arc::clone(server), Arc::clone(&client.map));
        Box::pin(pop_any(server, map, keys, (pop, client.traits()), (wait, unblock)))
    };
    Ok(CommandState::Blocking(Box::pin(async move {
        let reply = later.await;
        let has_error = info.end_blocking();
        match reply {
            Ok(Reply::Nil) if has_error => UNBLOCKED.into(),
            Ok(Reply::Nil) => timed_out(),
            Ok(reply) => shape(arguments, reply),
            Err(error) => Err(error).into(),
        }
    })))
}

/// The reply of a command that `CLIENT UNBLOCK` has ended.
const UNBLOCKED: CommandError = CommandError::new("UNBLOCKED client unblocked via CLIENT UNBLOCK");

/// As Redis: a null array, even where a command that does not block replies with a null string.
fn timed_out() -> Answer {
    Answer::Reply(Reply::NilList)
}

/// Moves an element between lists in different partitions as soon as one is available.
pub(crate) fn move_element(
    client: &Client,
    op: &Op<'_>,
    wait: Option<Duration>,
    arguments: usize,
    shape: Shape,
) -> CommandState {
    let &Op::Several(SeveralOp::MoveElement { from, from_end, to, to_end }) = op else {
        return CommandState::Ready(CommandError::CROSS_SLOT.into());
    };
    let (server, map) = (Arc::clone(&client.server), Arc::clone(&client.map));
    let (from, to) = (from.to_vec(), to.to_vec());
    let traits = client.traits();
    let since = Instant::now();
    let info = Arc::clone(&client.info);
    let unblock = info.begin_blocking();
    let moved = async move {
        let grid = &server.grid;
        loop {
            let op = SeveralOp::MoveElement { from: &from, from_end, to: &to, to_end };
            let op = MapOp { map: &map.name, op: with_traits(Op::Several(op), traits) };
            let reply = match grid.transact(Vec::new(), vec![op], false) {
                Started::Now(reply) => reply,
                Started::Later(later) => later.await,
            };
            match reply {
                Ok(Reply::Nil) => {}
                Ok(reply) => return shape(arguments, reply),
                Err(error) => return Err(error).into(),
            }
            let left = wait.map(|wait| wait.saturating_sub(since.elapsed()));
            if left == Some(Duration::ZERO) || unblock.is_set() {
                return timed_out();
            }
            let first = Op::Several(SeveralOp::First(vec![&from]));
            let (partition, unblock) = (grid.partition_of(&from), Arc::clone(&unblock));
            let there = grid.block_until(&map, partition, &first, left, unblock).await;
            if let Err(error) = there {
                return Err(error).into();
            }
        }
    };
    CommandState::Blocking(Box::pin(async move {
        let answer = moved.await;
        let has_error = info.end_blocking();
        if has_error && answer == timed_out() { UNBLOCKED.into() } else { answer }
    }))
}

/// What to pop from the first non-empty key.
#[derive(Clone, Copy)]
enum Pop {
    List(End, u64),
    Sorted(bool, u64),
}

impl Pop {
    fn of(op: &SeveralOp<'_>) -> Option<Self> {
        match op {
            SeveralOp::PopFirst { end, count, .. } => Some(Self::List(*end, *count)),
            SeveralOp::PopFirstSorted { greatest, count, .. } => {
                Some(Self::Sorted(*greatest, *count))
            }
            _ => None,
        }
    }

    fn op(self, key: &[u8]) -> Op<'_> {
        let keys = vec![key];
        Op::Several(match self {
            Self::List(end, count) => SeveralOp::PopFirst { keys, end, count },
            Self::Sorted(greatest, count) => SeveralOp::PopFirstSorted { keys, greatest, count },
        })
    }
}

/// Pops from the first non-empty key, in any partitions, without blocking.
pub(crate) fn pop_now(
    server: &Arc<Server>,
    map: &Arc<Map>,
    op: &SeveralOp<'_>,
    traits: ClientTraits,
) -> Option<Later<Result<Reply, OpError>>> {
    let pop = Pop::of(op)?;
    let (SeveralOp::PopFirst { keys, .. } | SeveralOp::PopFirstSorted { keys, .. }) = op else {
        return None;
    };
    let keys = keys.iter().map(|key| key.to_vec()).collect();
    let (server, map) = (Arc::clone(server), Arc::clone(map));
    let wait = (Some(Duration::ZERO), Arc::default());
    Some(Box::pin(pop_any(server, map, keys, (pop, traits), wait)))
}

/// Pops from the first non-empty key, in any partitions. Waits on all keys until one is not empty,
/// and then tries them in order again.
async fn pop_any(
    server: Arc<Server>,
    map: Arc<Map>,
    keys: Vec<Vec<u8>>,
    (pop, traits): (Pop, ClientTraits),
    (wait, unblock): (Option<Duration>, Arc<Unblock>),
) -> Result<Reply, OpError> {
    let grid = &server.grid;
    let since = Instant::now();
    loop {
        for key in &keys {
            let op = with_traits(pop.op(key), traits);
            let reply = server.submit(&map, grid.partition_of(key), &op).await?;
            if !matches!(reply, Reply::Nil | Reply::NilList) {
                return Ok(reply);
            }
        }
        let left = wait.map(|wait| wait.saturating_sub(since.elapsed()));
        if unblock.is_set() {
            return Ok(Reply::Nil);
        }
        if left == Some(Duration::ZERO) {
            return Ok(Reply::NilList);
        }
        let waiting = keys.iter().map(|key| {
            let op = Op::Several(SeveralOp::First(vec![key]));
            grid.block_until(&map, grid.partition_of(key), &op, left, Arc::clone(&unblock))
        });
        let (first, ..) = select_all(waiting).await;
        first?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_number_of_seconds() {
        let parsed = |text: &str| timeout(text.as_bytes()).map_err(|error| error.0.into_owned());
        assert_eq!(parsed("0"), Ok(None));
        assert_eq!(parsed("0.0000001"), Ok(Some(Duration::from_millis(1))));
        assert_eq!(parsed("1.5"), Ok(Some(Duration::from_millis(1_500))));
        assert_eq!(parsed("0x1F"), Ok(Some(Duration::from_secs(31))));
        let error = |text: &str| Err(format!("ERR timeout is {text}"));
        for wrong in ["", "x", "0x", "0x-1", "0x+1", "nan"] {
            assert_eq!(parsed(wrong), error("not a float or out of range"), "{wrong}");
        }
        for too_long in ["1e300", "0x7FFFFFFFFFFFFF"] {
            assert_eq!(parsed(too_long), error("out of range"), "{too_long}");
        }
        assert_eq!(parsed("-1"), error("negative"));
    }
}
