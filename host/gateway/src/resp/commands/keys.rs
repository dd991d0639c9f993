//! Commands on keys of any type.

use convoke_grid::op::{ExpireIf, GenericOp, KeyOp, Op, SeveralOp};
use convoke_grid::{OpError, Reply};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed, Unit};
use super::super::client::Client;
use super::super::command_state::CommandResult;
use super::super::request::Request;
use crate::databases::existing_map_name;

fn generic<'a>(request: &Request<'a>, op: GenericOp) -> Parsed<'a> {
    Ok(Op::Key(Args::new(request, 1).next()?, KeyOp::Generic(op)))
}

pub(crate) fn del<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Remove(Args::new(request, 1).rest())))
}

pub(crate) fn exists<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Exist(Args::new(request, 1).rest())))
}

pub(crate) fn touch<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Touch(Args::new(request, 1).rest())))
}

pub(crate) fn kind<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Type)
}

fn expire_in<'a>(request: &Request<'a>, unit: Unit, name: &str) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, time) = (args.next()?, args.integer()?);
    let mut condition = ExpireIf::default();
    while args.remaining() > 0 {
        if !args.take_expire_condition(&mut condition) {
            let option = String::from_utf8_lossy(args.next()?).into_owned();
            return Err(CommandError(format!("ERR Unsupported option {option}").into()));
        }
    }
    if condition.never && (condition.some || condition.later || condition.earlier) {
        return Err(CommandError::new(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if condition.later && condition.earlier {
        return Err(CommandError::new("ERR GT and LT options at the same time are not compatible"));
    }
    let lifetime = unit.any_lifetime(time, name)?;
    Ok(Op::Key(key, KeyOp::Generic(GenericOp::Expire(lifetime, condition))))
}

pub(crate) fn expire<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::Seconds, "expire")
}

pub(crate) fn pexpire<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::Milliseconds, "pexpire")
}

pub(crate) fn expireat<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::AtSeconds, "expireat")
}

pub(crate) fn pexpireat<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::AtMilliseconds, "pexpireat")
}

pub(crate) fn ttl<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Remaining)
}

pub(crate) fn expiretime<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Deadline)
}

/// Shapes milliseconds as seconds, rounded. Negative values are codes and stay.
pub(crate) fn seconds(_: usize, reply: Reply) -> Answer {
    Answer::Reply(match reply {
        Reply::Integer(ms) if ms >= 0 => Reply::Integer(ms.saturating_add(500) / 1_000),
        other => other,
    })
}

pub(crate) fn persist<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Persist)
}

fn rename_to<'a>(request: &Request<'a>, absent: bool) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to) = (args.next()?, args.next()?);
    Ok(Op::Several(SeveralOp::Rename { from, to, absent }))
}

pub(crate) fn rename<'a>(request: &Request<'a>) -> Parsed<'a> {
    rename_to(request, false)
}

pub(crate) fn renamenx<'a>(request: &Request<'a>) -> Parsed<'a> {
    rename_to(request, true)
}

/// Consumes the number of a database, and returns the name of its map.
fn database(args: &mut Args<'_, '_>) -> Result<&'static str, CommandError> {
    let number = args.integer()?;
    existing_map_name(number).ok_or(CommandError::new("ERR DB index is out of range"))
}

pub(crate) fn move_to<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let map = database(&mut args)?;
    Ok(Op::Several(SeveralOp::Across { from: key, to: key, map, replace: false, moves: true }))
}

/// `SWAPDB` is refused, unless both databases are the same: members read and write their maps all
/// the time, and could not all exchange them in one step.
pub(crate) fn swapdb(client: &mut Client, request: &Request<'_>) -> CommandResult {
    if client.server.settings.redis_cluster {
        return Err(CommandError::new("ERR SWAPDB is not allowed in cluster mode"));
    }
    let mut args = Args::new(request, 1);
    let mut number = |wrong| args.integer().map_err(|_| CommandError::new(wrong));
    let first = number("ERR invalid first DB index")?;
    let second = number("ERR invalid second DB index")?;
    for number in [first, second] {
        existing_map_name(number).ok_or(CommandError::new("ERR DB index is out of range"))?;
    }
    if first == second {
        return Ok(Answer::DONE.into());
    }
    Err(CommandError::new(
        "ERR SWAPDB is not supported: the members of the cluster cannot exchange two databases in one step",
    ))
}

pub(crate) fn copy<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to) = (args.next()?, args.next()?);
    let (mut replace, mut other) = (false, None);
    while args.remaining() > 0 {
        if args.take_keyword("replace") {
            replace = true;
        } else if args.remaining() > 1 && args.take_keyword("db") {
            other = Some(database(&mut args)?);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    if let Some(map) = other {
        return Ok(Op::Several(SeveralOp::Across { from, to, map, replace, moves: false }));
    }
    if from == to {
        return Err(OpError::SameKey.into());
    }
    Ok(Op::Several(SeveralOp::Copy { from, to, replace }))
}
