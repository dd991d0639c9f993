//! String commands.

use convoke_grid::Reply;
use convoke_grid::op::{KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf, SeveralOp, float, integer};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed, Unit};
use super::super::request::Request;

fn plain<'a>(key: &'a [u8], op: PlainOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::Plain(op))
}

fn put<'a>(
    key: &'a [u8],
    value: &'a [u8],
    lifetime: Lifetime,
    condition: PutIf<'a>,
    answer: PutAnswer,
) -> Op<'a> {
    plain(key, PlainOp::Put { kind: 0, value, lifetime, condition, answer })
}

pub(crate) fn get<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(plain(Args::new(request, 1).next()?, PlainOp::Get))
}

pub(crate) fn set<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, value) = (args.next()?, args.next()?);
    let (mut lifetime, mut condition, mut answer) = (None, None, PutAnswer::Done);
    while args.remaining() > 0 {
        if args.take_keyword("nx") {
            if condition == Some(PutIf::Present) {
                return Err(CommandError::SYNTAX);
            }
            condition = Some(PutIf::Absent);
        } else if args.take_keyword("xx") {
            if condition == Some(PutIf::Absent) {
                return Err(CommandError::SYNTAX);
            }
            condition = Some(PutIf::Present);
        } else if args.take_keyword("get") {
            answer = PutAnswer::Old;
        } else if lifetime.is_some() {
            return Err(CommandError::SYNTAX);
        } else if args.take_keyword("keepttl") {
            lifetime = Some(Lifetime::Keep);
        } else {
            lifetime = Some(args.lifetime("set")?);
        }
    }
    let condition = condition.unwrap_or(PutIf::Always);
    Ok(put(key, value, lifetime.unwrap_or(Lifetime::Default), condition, answer))
}

fn set_for<'a>(request: &Request<'a>, unit: Unit, name: &str) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, time, value) = (args.next()?, args.integer()?, args.next()?);
    Ok(put(key, value, unit.lifetime(time, name)?, PutIf::Always, PutAnswer::Done))
}

pub(crate) fn setex<'a>(request: &Request<'a>) -> Parsed<'a> {
    set_for(request, Unit::Seconds, "setex")
}

pub(crate) fn psetex<'a>(request: &Request<'a>) -> Parsed<'a> {
    set_for(request, Unit::Milliseconds, "psetex")
}

/// Replies 1 or 0, shaped by [`done_or_not`].
pub(crate) fn setnx<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, value) = (args.next()?, args.next()?);
    Ok(put(key, value, Lifetime::Default, PutIf::Absent, PutAnswer::Done))
}

/// Shapes OK as 1 and nil as 0.
pub(crate) fn done_or_not(_: usize, reply: Reply) -> Answer {
    match reply {
        Reply::Done => Answer::integer(1),
        Reply::Nil => Answer::integer(0),
        other => Answer::Reply(other),
    }
}

pub(crate) fn getset<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, value) = (args.next()?, args.next()?);
    Ok(put(key, value, Lifetime::Default, PutIf::Always, PutAnswer::Old))
}

pub(crate) fn getdel<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(plain(Args::new(request, 1).next()?, PlainOp::Take))
}

pub(crate) fn getex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let lifetime = match args.remaining() {
        0 => None,
        _ if args.take_keyword("persist") => Some(Lifetime::Forever),
        _ => Some(args.lifetime("getex")?),
    };
    args.expect_end()?;
    Ok(plain(key, PlainOp::GetAndExpire(lifetime)))
}

pub(crate) fn strlen<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(plain(Args::new(request, 1).next()?, PlainOp::Length))
}

pub(crate) fn append<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(plain(args.next()?, PlainOp::Append(args.next()?)))
}

pub(crate) fn getrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(plain(args.next()?, PlainOp::Range(args.integer()?, args.integer()?)))
}

pub(crate) fn setrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, at, bytes) = (args.next()?, args.integer()?, args.next()?);
    let at = u64::try_from(at).map_err(|_| CommandError::new("ERR offset is out of range"))?;
    Ok(plain(key, PlainOp::Splice(at, bytes)))
}

pub(crate) fn incr<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(plain(Args::new(request, 1).next()?, PlainOp::Add(1)))
}

pub(crate) fn decr<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(plain(Args::new(request, 1).next()?, PlainOp::Add(-1)))
}

pub(crate) fn incrby<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(plain(args.next()?, PlainOp::Add(args.integer()?)))
}

pub(crate) fn decrby<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, by) = (args.next()?, args.next()?);
    let by = integer(by).ok_or(CommandError::INTEGER)?;
    let by = by.checked_neg().ok_or(CommandError::new("ERR decrement would overflow"))?;
    Ok(plain(key, PlainOp::Add(by)))
}

pub(crate) fn incrbyfloat<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, by) = (args.next()?, args.next()?);
    let by = float(by).ok_or(CommandError::FLOAT)?;
    Ok(plain(key, PlainOp::AddFloat(by)))
}

pub(crate) fn mget<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Get(Args::new(request, 1).rest())))
}

fn put_many<'a>(request: &Request<'a>, absent: bool, name: &str) -> Parsed<'a> {
    let pairs = Args::new(request, 1).pairs(name)?;
    Ok(Op::Several(SeveralOp::Put { pairs, absent }))
}

pub(crate) fn mset<'a>(request: &Request<'a>) -> Parsed<'a> {
    put_many(request, false, "mset")
}

pub(crate) fn msetnx<'a>(request: &Request<'a>) -> Parsed<'a> {
    put_many(request, true, "msetnx")
}
