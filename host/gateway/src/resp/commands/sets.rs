//! Set commands.

use convoke_grid::op::{Combine, KeyOp, Op, SetOp, SeveralOp};

use super::super::answer::CommandError;
use super::super::args::{Args, Parsed};
use super::super::request::Request;

fn set<'a>(key: &'a [u8], op: SetOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::Set(op))
}

fn of_many<'a>(request: &Request<'a>, op: fn(Vec<&'a [u8]>) -> SetOp<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(set(args.next()?, op(args.rest())))
}

pub(crate) fn sadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_many(request, SetOp::Add)
}

pub(crate) fn srem<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_many(request, SetOp::Remove)
}

pub(crate) fn smembers<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(set(Args::new(request, 1).next()?, SetOp::All))
}

pub(crate) fn sismember<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(set(args.next()?, SetOp::Contains(args.next()?)))
}

pub(crate) fn smismember<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_many(request, SetOp::ContainsMany)
}

pub(crate) fn scard<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(set(Args::new(request, 1).next()?, SetOp::Length))
}

pub(crate) fn spop<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let op = match args.remaining() {
        0 => SetOp::Pop,
        _ => SetOp::PopMany(args.count()?),
    };
    args.expect_end()?;
    Ok(set(key, op))
}

pub(crate) fn srandmember<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let op = match args.remaining() {
        0 => SetOp::Any,
        _ => {
            let count = args.integer()?;
            if count < -(i64::MAX / 2) {
                return Err(CommandError::new("ERR value is out of range"));
            }
            SetOp::AnyOf(count)
        }
    };
    args.expect_end()?;
    Ok(set(key, op))
}

pub(crate) fn smove<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (from, to, member) = (args.next()?, args.next()?, args.next()?);
    Ok(Op::Several(SeveralOp::MoveMember { from, to, member }))
}

fn combine<'a>(request: &Request<'a>, how: Combine) -> Parsed<'a> {
    let keys = Args::new(request, 1).rest();
    Ok(Op::Several(SeveralOp::CombineSets { how, keys, store: None }))
}

fn combine_into<'a>(request: &Request<'a>, how: Combine) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let store = Some(args.next()?);
    Ok(Op::Several(SeveralOp::CombineSets { how, keys: args.rest(), store }))
}

pub(crate) fn sinter<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(request, Combine::Intersection)
}

pub(crate) fn sunion<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(request, Combine::Union)
}

pub(crate) fn sdiff<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(request, Combine::Difference)
}

pub(crate) fn sinterstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Intersection)
}

pub(crate) fn sunionstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Union)
}

pub(crate) fn sdiffstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Difference)
}

pub(crate) fn sintercard<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let count = args.numkeys()?;
    if count > args.remaining() {
        return Err(CommandError::new("ERR Number of keys can't be greater than number of args"));
    }
    let keys = args.take(count)?;
    let limit = args.limit()?;
    Ok(Op::Several(SeveralOp::CountCommon { keys, sorted: false, limit }))
}
