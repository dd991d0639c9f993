//! Hash commands.

use convoke_grid::Reply;
use convoke_grid::op::{Extended, HashOp, KeyOp, Op};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed};
use super::super::request::Request;

fn hash<'a>(key: &'a [u8], op: HashOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::Hash(op))
}

fn of<'a>(request: &Request<'a>, op: HashOp<'a>) -> Parsed<'a> {
    Ok(hash(Args::new(request, 1).next()?, op))
}

fn of_field<'a>(request: &Request<'a>, op: fn(&'a [u8]) -> HashOp<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(hash(args.next()?, op(args.next()?)))
}

fn set_as<'a>(request: &Request<'a>, name: &str) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    Ok(hash(key, HashOp::Set(args.pairs(name)?)))
}

pub(crate) fn hset<'a>(request: &Request<'a>) -> Parsed<'a> {
    set_as(request, "hset")
}

pub(crate) fn hmset<'a>(request: &Request<'a>) -> Parsed<'a> {
    set_as(request, "hmset")
}

/// Shapes any integer as OK.
pub(crate) fn done(_: usize, reply: Reply) -> Answer {
    match reply {
        Reply::Integer(_) => Answer::DONE,
        other => Answer::Reply(other),
    }
}

pub(crate) fn hsetnx<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(hash(args.next()?, HashOp::SetIfAbsent(args.next()?, args.next()?)))
}

pub(crate) fn hget<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_field(request, HashOp::Get)
}

pub(crate) fn hmget<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(hash(args.next()?, HashOp::GetMany(args.rest())))
}

pub(crate) fn hgetall<'a>(request: &Request<'a>) -> Parsed<'a> {
    of(request, HashOp::All)
}

pub(crate) fn hkeys<'a>(request: &Request<'a>) -> Parsed<'a> {
    of(request, HashOp::Names)
}

pub(crate) fn hvals<'a>(request: &Request<'a>) -> Parsed<'a> {
    of(request, HashOp::Values)
}

pub(crate) fn hlen<'a>(request: &Request<'a>) -> Parsed<'a> {
    of(request, HashOp::Length)
}

pub(crate) fn hdel<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(hash(args.next()?, HashOp::Remove(args.rest())))
}

pub(crate) fn hexists<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_field(request, HashOp::Contains)
}

pub(crate) fn hstrlen<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_field(request, HashOp::ValueLength)
}

pub(crate) fn hincrby<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(hash(args.next()?, HashOp::Add(args.next()?, args.integer()?)))
}

pub(crate) fn hincrbyfloat<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, field, by) = (args.next()?, args.next()?, args.next()?);
    if Extended::parse(by).ok_or(CommandError::FLOAT)?.is_infinite() {
        return Err(CommandError::new("ERR value is NaN or Infinity"));
    }
    Ok(hash(key, HashOp::AddFloat(field, by)))
}

pub(crate) fn hrandfield<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    Ok(hash(
        key,
        match args.sample("withvalues")? {
            None => HashOp::Any,
            Some((count, values)) => HashOp::AnyOf { count, values },
        },
    ))
}
