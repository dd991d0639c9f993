//! Commands on keys of any type.

use std::sync::Arc;

use convoke_grid::op::{ExpireIf, GenericOp, KeyOp, Op, SeveralOp};
use convoke_grid::{OpError, Reply, Started};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed, Unit};
use super::super::client::Client;
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use crate::databases::{DATABASES, existing_map_name};

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

/// Exchanges the keys of two databases, in one step for all clients of all members.
pub(crate) fn swapdb(client: &mut Client, request: &Request<'_>) -> CommandResult {
    if client.server.settings.redis_cluster {
        return Err(CommandError::new("ERR SWAPDB is not allowed in cluster mode"));
    }
    let mut args = Args::new(request, 1);
    let mut number = |wrong| args.integer().map_err(|_| CommandError::new(wrong));
    let first = number("ERR invalid first DB index")?;
    let second = number("ERR invalid second DB index")?;
    let server = Arc::clone(&client.server);
    let map = |number: i64| {
        let number = usize::try_from(number).ok().filter(|number| *number < DATABASES);
        let number = number.ok_or(CommandError::new("ERR DB index is out of range"))?;
        server.database(number).map_err(CommandError::from)
    };
    let (first, second) = (map(first)?, map(second)?);
    if Arc::ptr_eq(&first, &second) {
        return Ok(Answer::DONE.into());
    }
    if !first.has_copies_of(&second) {
        return Err(CommandError::new(
            "ERR SWAPDB needs two databases whose maps have the same number of backups",
        ));
    }
    Ok(CommandState::WhenIdle(Box::new(move |client| {
        let started = client.server.grid.exchange(&first, &second);
        CommandState::Barrier(Box::pin(async move {
            match started {
                Started::Now(reply) => Answer::from(reply),
                Started::Later(later) => Answer::from(later.await),
            }
        }))
    })))
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
