//! `XLEN`, `XRANGE`, `XREVRANGE`, `XREAD`, `XREADGROUP`.

use std::time::Duration;

use convoke_grid::op::{Op, ReadFrom, SeveralOp, StreamOp, StreamRead};

use super::ids::{end, id, start};
use super::stream;
use crate::resp::answer::CommandError;
use crate::resp::args::{Args, Parsed};
use crate::resp::command::Block;
use crate::resp::request::Request;

pub(crate) fn xlen<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(stream(Args::new(request, 1).next()?, StreamOp::Length))
}

fn range<'a>(request: &Request<'a>, reverse: bool) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, first, second) = (args.next()?, args.next()?, args.next()?);
    let (low, high) = if reverse { (second, first) } else { (first, second) };
    let (from, to) = (start(low)?, end(high)?);
    let mut count = None;
    while args.remaining() > 0 {
        if args.remaining() < 2 || !args.take_keyword("count") {
            return Err(CommandError::SYNTAX);
        }
        count = Some(u64::try_from(args.integer()?).unwrap_or(0));
    }
    Ok(stream(key, StreamOp::Range { from, to, reverse, count }))
}

pub(crate) fn xrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    range(request, false)
}

pub(crate) fn xrevrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    range(request, true)
}

type MayBlock<'a> = Result<(Op<'a>, Block), CommandError>;

/// The options in front of the streams.
struct Options<'a> {
    block: Block,
    count: u64,
    group: Option<(&'a [u8], &'a [u8])>,
    acknowledged: bool,
}

/// Consumes a time to block in milliseconds; zero means forever.
fn block(args: &mut Args<'_, '_>) -> Result<Block, CommandError> {
    let ms = args
        .integer()
        .map_err(|_| CommandError::new("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::new("ERR timeout is negative"))?;
    Ok(Block::UpTo((ms > 0).then(|| Duration::from_millis(ms))))
}

/// Consumes the options up to `STREAMS`.
fn options<'a>(args: &mut Args<'_, 'a>, as_consumer: bool) -> Result<Options<'a>, CommandError> {
    let only_group = |option: &str| {
        CommandError(
            format!(
                "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
            )
            .into(),
        )
    };
    let mut options = Options { block: Block::Never, count: 0, group: None, acknowledged: true };
    loop {
        let arguments = args.remaining().saturating_sub(1);
        if arguments > 0 && args.take_keyword("block") {
            options.block = block(args)?;
        } else if arguments > 0 && args.take_keyword("count") {
            options.count = u64::try_from(args.integer()?).unwrap_or(0);
        } else if arguments > 0 && args.take_keyword("streams") {
            return Ok(options);
        } else if arguments > 1 && args.take_keyword("group") {
            if !as_consumer {
                return Err(only_group("GROUP"));
            }
            options.group = Some((args.next()?, args.next()?));
        } else if args.take_keyword("noack") {
            if !as_consumer {
                return Err(only_group("NOACK"));
            }
            options.acknowledged = false;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
}

/// The entries that an ID of `XREADGROUP`, or else of `XREAD`, selects.
fn from(text: &[u8], as_consumer: bool) -> Result<ReadFrom, CommandError> {
    let meaningless = |id: char| {
        CommandError(
            format!(
                "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID would just return an empty result set."
            )
            .into(),
        )
    };
    match text {
        b"$" if as_consumer => Err(meaningless('$')),
        b"+" if as_consumer => Err(meaningless('+')),
        b"$" => Ok(ReadFrom::End),
        b"+" => Ok(ReadFrom::LastEntry),
        b">" if as_consumer => Ok(ReadFrom::New),
        b">" => Err(CommandError::new(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        text => Ok(ReadFrom::After(id(text, 0)?)),
    }
}

/// Fails unless there are as many IDs as keys.
fn check_balance(args: &Args<'_, '_>, as_consumer: bool) -> Result<(), CommandError> {
    if args.remaining().is_multiple_of(2) {
        return Ok(());
    }
    let (name, ids) =
        if as_consumer { ("xreadgroup", "ID or '>'") } else { ("xread", "ID, '+', or '$'") };
    Err(CommandError(
        format!(
            "ERR Unbalanced '{name}' list of streams: for each stream key an {ids} must be specified."
        )
        .into(),
    ))
}

/// Consumes keys, followed by as many IDs.
fn streams<'a>(
    args: &mut Args<'_, 'a>,
    as_consumer: bool,
) -> Result<Vec<StreamRead<'a>>, CommandError> {
    let all = args.rest();
    let (keys, ids) = all.split_at(all.len() / 2);
    let read =
        |(key, id): (&&'a [u8], &&[u8])| Ok(StreamRead { key, from: from(id, as_consumer)? });
    keys.iter().zip(ids).map(read).collect()
}

/// What a read with a wrong ID names before it.
pub(super) struct WrongId<'a> {
    pub(super) group: Option<&'a [u8]>,
    /// The keys up to that of the wrong ID.
    pub(super) keys: Vec<&'a [u8]>,
}

/// The first wrong ID of a read whose options are right, unless it is one of the special IDs.
pub(super) fn wrong_id<'a>(request: &Request<'a>, as_consumer: bool) -> Option<WrongId<'a>> {
    let mut args = Args::new(request, 1);
    let options = options(&mut args, as_consumer).ok()?;
    check_balance(&args, as_consumer).ok()?;
    let all = args.rest();
    let (keys, ids) = all.split_at(all.len() / 2);
    let wrong = ids.iter().position(|id| from(id, as_consumer).is_err())?;
    if matches!(ids[wrong], b"$" | b"+" | b">") {
        return None;
    }
    let group = options.group.map(|(group, _)| group);
    Some(WrongId { group, keys: keys[..=wrong].to_vec() })
}

pub(crate) fn xread<'a>(request: &Request<'a>) -> MayBlock<'a> {
    let mut args = Args::new(request, 1);
    let Options { block, count, .. } = options(&mut args, false)?;
    check_balance(&args, false)?;
    let streams = streams(&mut args, false)?;
    Ok((Op::Several(SeveralOp::ReadStreams { streams, count }), block))
}

pub(crate) fn xreadgroup<'a>(request: &Request<'a>) -> MayBlock<'a> {
    let mut args = Args::new(request, 1);
    let Options { block, count, group, acknowledged } = options(&mut args, true)?;
    check_balance(&args, true)?;
    let (group, consumer) =
        group.ok_or(CommandError::new("ERR Missing GROUP option for XREADGROUP"))?;
    let streams = streams(&mut args, true)?;
    let op = SeveralOp::ReadGroup { group, consumer, streams, count, acknowledged };
    Ok((Op::Several(op), block))
}
