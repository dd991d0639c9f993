//! Sets.

use convoke_grid::op::{Combine, KeyOp, Op, SetOp, SeveralOp};

use super::super::answer::Refusal;
use super::super::request::Request;
use super::super::words::Words;

type Parsed<'a> = Result<Op<'a>, Refusal>;

fn set<'a>(key: &'a [u8], op: SetOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::Set(op))
}

fn of_many<'a>(request: &Request<'a>, op: fn(Vec<&'a [u8]>) -> SetOp<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(set(words.next()?, op(words.rest())))
}

pub(super) fn sadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_many(request, SetOp::Add)
}

pub(super) fn srem<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_many(request, SetOp::Remove)
}

pub(super) fn smembers<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(set(Words::new(request, 1).next()?, SetOp::All))
}

pub(super) fn sismember<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(set(words.next()?, SetOp::Contains(words.next()?)))
}

pub(super) fn smismember<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_many(request, SetOp::ContainsMany)
}

pub(super) fn scard<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(set(Words::new(request, 1).next()?, SetOp::Length))
}

pub(super) fn spop<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    let op = match words.left() {
        0 => SetOp::Pop,
        _ => SetOp::PopMany(words.count()?),
    };
    words.end()?;
    Ok(set(key, op))
}

pub(super) fn srandmember<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    let op = match words.left() {
        0 => SetOp::Any,
        _ => {
            let count = words.integer()?;
            if count < -(i64::MAX / 2) {
                return Err(Refusal::of("ERR value is out of range"));
            }
            SetOp::AnyOf(count)
        }
    };
    words.end()?;
    Ok(set(key, op))
}

pub(super) fn smove<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (from, to, member) = (words.next()?, words.next()?, words.next()?);
    Ok(Op::Several(SeveralOp::MoveMember { from, to, member }))
}

fn combine<'a>(request: &Request<'a>, how: Combine) -> Parsed<'a> {
    let keys = Words::new(request, 1).rest();
    Ok(Op::Several(SeveralOp::CombineSets { how, keys, store: None }))
}

fn combine_into<'a>(request: &Request<'a>, how: Combine) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let store = Some(words.next()?);
    Ok(Op::Several(SeveralOp::CombineSets { how, keys: words.rest(), store }))
}

pub(super) fn sinter<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(request, Combine::Intersection)
}

pub(super) fn sunion<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(request, Combine::Union)
}

pub(super) fn sdiff<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(request, Combine::Difference)
}

pub(super) fn sinterstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Intersection)
}

pub(super) fn sunionstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Union)
}

pub(super) fn sdiffstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Difference)
}

/// `[LIMIT n]` at the end; zero is none.
pub(super) fn limit(words: &mut Words<'_, '_>) -> Result<u64, Refusal> {
    const WRONG: Refusal = Refusal::of("ERR LIMIT can't be negative");
    let mut limit = 0;
    if words.is("limit") {
        if words.left() == 0 {
            return Err(Refusal::SYNTAX);
        }
        limit = words.integer().map_err(|_| WRONG)?.try_into().map_err(|_| WRONG)?;
    }
    words.end()?;
    Ok(limit)
}

pub(super) fn sintercard<'a>(request: &Request<'a>) -> Parsed<'a> {
    const WRONG: Refusal = Refusal::of("ERR numkeys should be greater than 0");
    let mut words = Words::new(request, 1);
    let count = words.integer().map_err(|_| WRONG)?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(WRONG)?;
    if count > words.left() {
        return Err(Refusal::of("ERR Number of keys can't be greater than number of args"));
    }
    let keys = words.many(count)?;
    let limit = limit(&mut words)?;
    Ok(Op::Several(SeveralOp::CountCommon { keys, sorted: false, limit }))
}
