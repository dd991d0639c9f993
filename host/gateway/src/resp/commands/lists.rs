//! Lists, but for the forms that wait.

use convoke_grid::op::{End, KeyOp, ListOp, Op, SeveralOp};

use super::super::answer::Refusal;
use super::super::request::Request;
use super::super::words::Words;

type Parsed<'a> = Result<Op<'a>, Refusal>;

fn list<'a>(key: &'a [u8], op: ListOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::List(op))
}

fn push<'a>(request: &Request<'a>, end: End, present: bool) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(list(words.next()?, ListOp::Push { end, elements: words.rest(), present }))
}

pub(super) fn lpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Front, false)
}

pub(super) fn rpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Back, false)
}

pub(super) fn lpushx<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Front, true)
}

pub(super) fn rpushx<'a>(request: &Request<'a>) -> Parsed<'a> {
    push(request, End::Back, true)
}

fn pop<'a>(request: &Request<'a>, end: End, name: &str) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    let op = match words.left() {
        0 => ListOp::Pop(end),
        1 => ListOp::PopMany(end, words.count()?),
        _ => return Err(Refusal::arity(name)),
    };
    Ok(list(key, op))
}

pub(super) fn lpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, End::Front, "lpop")
}

pub(super) fn rpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, End::Back, "rpop")
}

pub(super) fn llen<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(list(Words::new(request, 1).next()?, ListOp::Length))
}

pub(super) fn lrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(list(words.next()?, ListOp::Range(words.integer()?, words.integer()?)))
}

pub(super) fn lindex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(list(words.next()?, ListOp::Get(words.integer()?)))
}

pub(super) fn lset<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(list(words.next()?, ListOp::Set(words.integer()?, words.next()?)))
}

pub(super) fn lrem<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(list(words.next()?, ListOp::Remove(words.integer()?, words.next()?)))
}

pub(super) fn ltrim<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(list(words.next()?, ListOp::Trim(words.integer()?, words.integer()?)))
}

pub(super) fn linsert<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    let before = words.is("before");
    if !before && !words.is("after") {
        return Err(Refusal::SYNTAX);
    }
    let (pivot, element) = (words.next()?, words.next()?);
    Ok(list(key, ListOp::Insert { before, pivot, element }))
}

pub(super) fn lpos<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (key, element) = (words.next()?, words.next()?);
    let (mut rank, mut count, mut looks) = (1, None, 0);
    while words.left() > 0 {
        let negative = |what: &str| Refusal(format!("ERR {what} can't be negative").into());
        if words.is("rank") {
            rank = words.integer()?;
            if rank == 0 {
                return Err(Refusal::of(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
            if rank == i64::MIN {
                return Err(Refusal::of(
                    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                ));
            }
        } else if words.is("count") {
            count = Some(u64::try_from(words.integer()?).map_err(|_| negative("COUNT"))?);
        } else if words.is("maxlen") {
            looks = u64::try_from(words.integer()?).map_err(|_| negative("MAXLEN"))?;
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    Ok(list(key, ListOp::Positions { element, rank, count, looks }))
}

/// `LEFT` or `RIGHT`.
pub(super) fn end(words: &mut Words<'_, '_>) -> Result<End, Refusal> {
    if words.is("left") {
        Ok(End::Front)
    } else if words.is("right") {
        Ok(End::Back)
    } else {
        Err(Refusal::SYNTAX)
    }
}

pub(super) fn lmove<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (from, to) = (words.next()?, words.next()?);
    let (from_end, to_end) = (end(&mut words)?, end(&mut words)?);
    Ok(Op::Several(SeveralOp::MoveElement { from, from_end, to, to_end }))
}

pub(super) fn rpoplpush<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (from, to) = (words.next()?, words.next()?);
    Ok(Op::Several(SeveralOp::MoveElement { from, from_end: End::Back, to, to_end: End::Front }))
}

/// `numkeys key … LEFT|RIGHT [COUNT n]`, from the argument at `at` on.
pub(super) fn pop_first<'a>(request: &Request<'a>, at: usize) -> Parsed<'a> {
    let mut words = Words::new(request, at);
    let keys = super::numbered_keys(&mut words)?;
    let end = end(&mut words)?;
    let count = super::pop_count(&mut words)?;
    Ok(Op::Several(SeveralOp::PopFirst { keys, end, count }))
}

pub(super) fn lmpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop_first(request, 1)
}
