//! Keys, whatever their values are.

use convoke_grid::Reply;
use convoke_grid::op::{ExpireIf, GenericOp, KeyOp, Op, SeveralOp};

use super::super::answer::{Answer, Refusal};
use super::super::request::Request;
use super::super::words::{Unit, Words};

type Parsed<'a> = Result<Op<'a>, Refusal>;

fn generic<'a>(request: &Request<'a>, op: GenericOp) -> Parsed<'a> {
    Ok(Op::Key(Words::new(request, 1).next()?, KeyOp::Generic(op)))
}

pub(super) fn del<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Remove(Words::new(request, 1).rest())))
}

pub(super) fn exists<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Exist(Words::new(request, 1).rest())))
}

pub(super) fn touch<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(Op::Several(SeveralOp::Touch(Words::new(request, 1).rest())))
}

pub(super) fn kind<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Type)
}

fn expire_in<'a>(request: &Request<'a>, unit: Unit, name: &str) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (key, time) = (words.next()?, words.integer()?);
    let mut condition = ExpireIf::default();
    while words.left() > 0 {
        if words.is("nx") {
            condition.never = true;
        } else if words.is("xx") {
            condition.some = true;
        } else if words.is("gt") {
            condition.later = true;
        } else if words.is("lt") {
            condition.earlier = true;
        } else {
            let option = String::from_utf8_lossy(words.next()?).into_owned();
            return Err(Refusal(format!("ERR Unsupported option {option}").into()));
        }
    }
    if condition.never && (condition.some || condition.later || condition.earlier) {
        return Err(Refusal::of(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if condition.later && condition.earlier {
        return Err(Refusal::of("ERR GT and LT options at the same time are not compatible"));
    }
    let lifetime = unit.any_lifetime(time, name)?;
    Ok(Op::Key(key, KeyOp::Generic(GenericOp::Expire(lifetime, condition))))
}

pub(super) fn expire<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::Seconds, "expire")
}

pub(super) fn pexpire<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::Milliseconds, "pexpire")
}

pub(super) fn expireat<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::AtSeconds, "expireat")
}

pub(super) fn pexpireat<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire_in(request, Unit::AtMilliseconds, "pexpireat")
}

pub(super) fn ttl<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Remaining)
}

pub(super) fn expiretime<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Deadline)
}

/// Milliseconds as seconds, rounded; what is below zero has a meaning.
pub(super) fn seconds(_: usize, reply: Reply) -> Answer {
    Answer::Reply(match reply {
        Reply::Integer(ms) if ms >= 0 => Reply::Integer(ms.saturating_add(500) / 1_000),
        other => other,
    })
}

pub(super) fn persist<'a>(request: &Request<'a>) -> Parsed<'a> {
    generic(request, GenericOp::Persist)
}

fn rename_to<'a>(request: &Request<'a>, absent: bool) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (from, to) = (words.next()?, words.next()?);
    Ok(Op::Several(SeveralOp::Rename { from, to, absent }))
}

pub(super) fn rename<'a>(request: &Request<'a>) -> Parsed<'a> {
    rename_to(request, false)
}

pub(super) fn renamenx<'a>(request: &Request<'a>) -> Parsed<'a> {
    rename_to(request, true)
}

pub(super) fn copy<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (from, to) = (words.next()?, words.next()?);
    let mut replace = false;
    while words.left() > 0 {
        if words.is("replace") {
            replace = true;
        } else if words.is("db") {
            words.integer()?;
            return Err(Refusal::of("ERR Copying to another database is not allowed"));
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    if from == to {
        return Err(Refusal::of("ERR source and destination objects are the same"));
    }
    Ok(Op::Several(SeveralOp::Copy { from, to, replace }))
}
