//! List commands, except for the blocking ones.

use convoke_grid::op::{End, KeyOp, ListOp, Op, SeveralOp};

use super::super::answer::CommandError;
use super::super::args::{Args, Parsed};
use super::super::request::Request;

fn list<'a>(key: &'a [u8], op: ListOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::List(op))
}

fn push<'a>(request: &Request<'a>, end: End, present: bool) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(list(args.next()?, ListOp::Push { end, elements: args.rest(), present }))
}

pub(crate) fn lpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Front, false)
}

pub(crate) fn rpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Back, false)
}

pub(crate) fn lpushx<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Front, true)
}

pub(crate) fn rpushx<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Back, true)
}

fn pop<'a>(request: &Request<'a>, end: End, name: &str) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let op = match args.remaining() {
        0 => ListOp::Pop(end),
        1 => ListOp::PopMany(end, args.count()?),
        _ => return Err(CommandError::arity(name)),
    };
    Ok(list(key, op))
}

pub(crate) fn lpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, End::Front, "lpop")
}

pub(crate) fn rpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, End::Back, "rpop")
}

pub(crate) fn llen<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(list(Args::new(request, 1).next()?, ListOp::Length))
}

pub(crate) fn lrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(list(args.next()?, ListOp::Range(args.integer()?, args.integer()?)))
}

pub(crate) fn lindex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(list(args.next()?, ListOp::Get(args.integer()?)))
}

pub(crate) fn lset<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(list(args.next()?, ListOp::Set(args.integer()?, args.next()?)))
}

pub(crate) fn lrem<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(list(args.next()?, ListOp::Remove(args.integer()?, args.next()?)))
}

pub(crate) fn ltrim<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(list(args.next()?, ListOp::Trim(args.integer()?, args.integer()?)))
}

pub(crate) fn linsert<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let before = args.take_keyword("before");
    if !before && !args.take_keyword("after") {
        return Err(CommandError::SYNTAX);
    }
    let (pivot, element) = (args.next()?, args.next()?);
    Ok(list(key, ListOp::Insert { before, pivot, element }))
}

pub(crate) fn lpos<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, element) = (args.next()?, args.next()?);
    let (mut rank, mut count, mut max_length) = (1, None, 0);
    while args.remaining() > 0 {
        let negative = |what: &str| CommandError(format!("ERR {what} can't be negative").into());
        if args.take_keyword("rank") {
            rank = args.integer()?;
            if rank == 0 {
                return Err(CommandError::new(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
            if rank == i64::MIN {
                return Err(CommandError::new(
                    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                ));
            }
        } else if args.take_keyword("count") {
            count = Some(u64::try_from(args.integer()?).map_err(|_| negative("COUNT"))?);
        } else if args.take_keyword("maxlen") {
            max_length = u64::try_from(args.integer()?).map_err(|_| negative("MAXLEN"))?;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    Ok(list(key, ListOp::Positions { element, rank, count, looks: max_length }))
}

/// Consumes `LEFT` or `RIGHT`.
pub(crate) fn end(args: &mut Args<'_, '_>) -> Result<End, CommandError> {
    if args.take_keyword("left") {
        Ok(End::Front)
    } else if args.take_keyword("right") {
        Ok(End::Back)
    } else {
        Err(CommandError::SYNTAX)
    }
}

pub(crate) fn lmove<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to) = (args.next()?, args.next()?);
    let (from_end, to_end) = (end(&mut args)?, end(&mut args)?);
    Ok(Op::Several(SeveralOp::MoveElement { from, from_end, to, to_end }))
}

pub(crate) fn rpoplpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to) = (args.next()?, args.next()?);
    Ok(Op::Several(SeveralOp::MoveElement { from, from_end: End::Back, to, to_end: End::Front }))
}

/// Parses `numkeys key … LEFT|RIGHT [COUNT n]`, starting at argument `at`.
pub(crate) fn pop_first<'a>(request: &Request<'a>, at: usize) -> Parsed<'a> {
    let mut args = Args::new(request, at);
    let keys = args.numbered_keys()?;
    let end = end(&mut args)?;
    let count = args.pop_count()?;
    Ok(Op::Several(SeveralOp::PopFirst { keys, end, count }))
}

pub(crate) fn lmpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop_first(request, 1)
}
