//! Sorted sets, but for the forms that wait.

use convoke_grid::op::{
    AddIf, Aggregate, Bound, By, Combine, KeyOp, Op, SeveralOp, SortedSetOp, Span, Weighted, float,
};
use convoke_grid::{Reply, Score};

use super::super::answer::{Answer, Refusal};
use super::super::request::Request;
use super::super::words::Words;

type Parsed<'a> = Result<Op<'a>, Refusal>;

const NOT_A_RANGE: Refusal = Refusal::of("ERR min or max is not a float");
const NOT_A_NAME_RANGE: Refusal = Refusal::of("ERR min or max not valid string range item");

fn sorted<'a>(key: &'a [u8], op: SortedSetOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::SortedSet(op))
}

pub(super) fn zadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    let (mut only, mut changed, mut increase) = (AddIf::default(), false, false);
    loop {
        if words.is("nx") {
            only.absent = true;
        } else if words.is("xx") {
            only.present = true;
        } else if words.is("gt") {
            only.greater = true;
        } else if words.is("lt") {
            only.less = true;
        } else if words.is("ch") {
            changed = true;
        } else if words.is("incr") {
            increase = true;
        } else {
            break;
        }
    }
    let rest = words.rest();
    let (pairs, odd) = rest.as_chunks::<2>();
    if !odd.is_empty() || pairs.is_empty() {
        return Err(Refusal::SYNTAX);
    }
    if only.absent && only.present {
        return Err(Refusal::of("ERR XX and NX options at the same time are not compatible"));
    }
    if (only.absent && (only.greater || only.less)) || (only.greater && only.less) {
        return Err(Refusal::of(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if increase {
        let [[by, member]] = pairs else {
            return Err(Refusal::of("ERR INCR option supports a single increment-element pair"));
        };
        let by = float(by).ok_or(Refusal::FLOAT)?;
        return Ok(sorted(key, SortedSetOp::Increase { member, by, only }));
    }
    let mut members = Vec::with_capacity(pairs.len());
    for [score, member] in pairs {
        let score = float(score).and_then(Score::new).ok_or(Refusal::FLOAT)?;
        members.push((score, *member));
    }
    Ok(sorted(key, SortedSetOp::Add { members, only, changed }))
}

pub(super) fn zincrby<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (key, by, member) = (words.next()?, words.float()?, words.next()?);
    Ok(sorted(key, SortedSetOp::Increase { member, by, only: AddIf::default() }))
}

pub(super) fn zrem<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(sorted(words.next()?, SortedSetOp::Remove(words.rest())))
}

pub(super) fn zscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(sorted(words.next()?, SortedSetOp::Score(words.next()?)))
}

pub(super) fn zmscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(sorted(words.next()?, SortedSetOp::Scores(words.rest())))
}

pub(super) fn zcard<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(sorted(Words::new(request, 1).next()?, SortedSetOp::Length))
}

fn rank<'a>(request: &Request<'a>, reverse: bool) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (key, member) = (words.next()?, words.next()?);
    Ok(sorted(key, SortedSetOp::Rank { member, reverse }))
}

pub(super) fn zrank<'a>(request: &Request<'a>) -> Parsed<'a> {
    rank(request, false)
}

pub(super) fn zrevrank<'a>(request: &Request<'a>) -> Parsed<'a> {
    rank(request, true)
}

/// `5`, `(5`, `-inf`, `+inf`.
fn score_bound(text: &[u8]) -> Result<Bound<Score>, Refusal> {
    let (text, without) = match text.strip_prefix(b"(") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let score = float(text).and_then(Score::new).ok_or(NOT_A_RANGE)?;
    Ok(if without { Bound::Without(score) } else { Bound::With(score) })
}

/// An end of a range of names, before it is known which end.
enum NameBound<'a> {
    Least,
    Greatest,
    At(Bound<&'a [u8]>),
}

fn name_bound(text: &[u8]) -> Result<NameBound<'_>, Refusal> {
    match text {
        b"-" => Ok(NameBound::Least),
        b"+" => Ok(NameBound::Greatest),
        [b'[', name @ ..] => Ok(NameBound::At(Bound::With(name))),
        [b'(', name @ ..] => Ok(NameBound::At(Bound::Without(name))),
        _ => Err(NOT_A_NAME_RANGE),
    }
}

fn by_score<'a>(low: &[u8], high: &[u8]) -> Result<By<'a>, Refusal> {
    Ok(By::Score(score_bound(low)?, score_bound(high)?))
}

fn by_name<'a>(low: &'a [u8], high: &'a [u8]) -> Result<By<'a>, Refusal> {
    let (low, high) = (name_bound(low)?, name_bound(high)?);
    let low = match low {
        NameBound::Least => Bound::None,
        NameBound::At(bound) => bound,
        NameBound::Greatest => return Ok(By::Nothing),
    };
    let high = match high {
        NameBound::Greatest => Bound::None,
        NameBound::At(bound) => bound,
        NameBound::Least => return Ok(By::Nothing),
    };
    Ok(By::Name(low, high))
}

/// What the two ends of a range mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Rank,
    Score,
    Name,
}

impl Order {
    /// From the lower end to the higher one.
    fn by<'a>(self, first: &'a [u8], last: &'a [u8]) -> Result<By<'a>, Refusal> {
        let rank = |text: &[u8]| convoke_grid::op::integer(text).ok_or(Refusal::INTEGER);
        match self {
            Self::Rank => Ok(By::Rank(rank(first)?, rank(last)?)),
            Self::Score => by_score(first, last),
            Self::Name => by_name(first, last),
        }
    }
}

fn limit(words: &mut Words<'_, '_>) -> Result<(i64, i64), Refusal> {
    Ok((words.integer()?, words.integer()?))
}

/// The arguments of `ZRANGE` and `ZRANGESTORE` from the first end on.
fn span<'a>(words: &mut Words<'_, 'a>, stores: bool) -> Result<Span<'a>, Refusal> {
    let (first, last) = (words.next()?, words.next()?);
    let (mut order, mut reverse, mut scores, mut within) = (Order::Rank, false, false, None);
    while words.left() > 0 {
        if !stores && words.is("withscores") {
            scores = true;
        } else if words.is("byscore") {
            order = Order::Score;
        } else if words.is("bylex") {
            order = Order::Name;
        } else if words.is("rev") {
            reverse = true;
        } else if words.is("limit") {
            within = Some(limit(words)?);
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    if within.is_some() && order == Order::Rank {
        return Err(Refusal::of(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if scores && order == Order::Name {
        return Err(Refusal::of(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    // By score and by name, a reverse range is told from its higher end.
    let by = match (order, reverse) {
        (Order::Rank, _) | (_, false) => order.by(first, last)?,
        (_, true) => order.by(last, first)?,
    };
    Ok(Span { by, reverse, limit: within, scores })
}

pub(super) fn zrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    Ok(sorted(words.next()?, SortedSetOp::Range(span(&mut words, false)?)))
}

pub(super) fn zrangestore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (to, from) = (words.next()?, words.next()?);
    let span = span(&mut words, true)?;
    Ok(Op::Several(SeveralOp::StoreRange { from, to, span }))
}

/// The forms that are older than `ZRANGE`'s options.
fn range_as<'a>(request: &Request<'a>, order: Order, reverse: bool) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (key, first, last) = (words.next()?, words.next()?, words.next()?);
    let (mut scores, mut within) = (false, None);
    while words.left() > 0 {
        if order != Order::Name && words.is("withscores") {
            scores = true;
        } else if order != Order::Rank && words.is("limit") {
            within = Some(limit(&mut words)?);
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    let by = match (order, reverse) {
        (Order::Rank, _) | (_, false) => order.by(first, last)?,
        (_, true) => order.by(last, first)?,
    };
    Ok(sorted(key, SortedSetOp::Range(Span { by, reverse, limit: within, scores })))
}

pub(super) fn zrevrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Rank, true)
}

pub(super) fn zrangebyscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Score, false)
}

pub(super) fn zrevrangebyscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Score, true)
}

pub(super) fn zrangebylex<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Name, false)
}

pub(super) fn zrevrangebylex<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Name, true)
}

fn of_range<'a>(
    request: &Request<'a>,
    order: Order,
    op: fn(By<'a>) -> SortedSetOp<'a>,
) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let (key, first, last) = (words.next()?, words.next()?, words.next()?);
    Ok(sorted(key, op(order.by(first, last)?)))
}

pub(super) fn zcount<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Score, SortedSetOp::Count)
}

pub(super) fn zlexcount<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Name, SortedSetOp::Count)
}

pub(super) fn zremrangebyrank<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Rank, SortedSetOp::RemoveRange)
}

pub(super) fn zremrangebyscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Score, SortedSetOp::RemoveRange)
}

pub(super) fn zremrangebylex<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Name, SortedSetOp::RemoveRange)
}

fn pop<'a>(request: &Request<'a>, greatest: bool, name: &str) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    let count = match words.left() {
        0 => 1,
        1 => words.count()?,
        _ => return Err(Refusal::arity(name)),
    };
    Ok(sorted(key, SortedSetOp::Pop { greatest, count }))
}

pub(super) fn zpopmin<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, false, "zpopmin")
}

pub(super) fn zpopmax<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, true, "zpopmax")
}

/// Without a count, one member and its score are no pair within a list.
pub(super) fn popped(arguments: usize, reply: Reply) -> Answer {
    match reply {
        Reply::Pairs(pairs) if arguments == 2 => {
            let flat = pairs.into_iter().flat_map(|(member, score)| [member, score]);
            Answer::Reply(Reply::List(flat.collect()))
        }
        other => Answer::Reply(other),
    }
}

pub(super) fn zrandmember<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let key = words.next()?;
    if words.left() == 0 {
        return Ok(sorted(key, SortedSetOp::Any));
    }
    let count = words.integer()?;
    let scores = words.is("withscores");
    words.end()?;
    if !(-(i64::MAX / 2)..=i64::MAX / 2).contains(&count) {
        return Err(Refusal::of("ERR value is out of range"));
    }
    Ok(sorted(key, SortedSetOp::AnyOf { count, scores }))
}

/// `numkeys key … [WEIGHTS …] [AGGREGATE …] [WITHSCORES]`.
fn combine<'a>(
    words: &mut Words<'_, 'a>,
    how: Combine,
    store: Option<&'a [u8]>,
    name: &str,
) -> Parsed<'a> {
    let keys = words.counted_keys(name)?;
    let mut weights = vec![1.0; keys.len()];
    let (mut aggregate, mut scores) = (Aggregate::Sum, false);
    while words.left() > 0 {
        if how != Combine::Difference && words.is("weights") {
            for (weight, text) in weights.iter_mut().zip(words.many(keys.len())?) {
                *weight = float(text).ok_or(Refusal::of("ERR weight value is not a float"))?;
            }
        } else if how != Combine::Difference && words.is("aggregate") {
            aggregate = if words.is("sum") {
                Aggregate::Sum
            } else if words.is("min") {
                Aggregate::Min
            } else if words.is("max") {
                Aggregate::Max
            } else {
                return Err(Refusal::SYNTAX);
            };
        } else if store.is_none() && words.is("withscores") {
            scores = true;
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    let keys = keys.into_iter().zip(weights).map(|(key, weight)| Weighted { key, weight });
    let keys = keys.collect();
    Ok(Op::Several(SeveralOp::CombineSorted { how, keys, aggregate, scores, store }))
}

pub(super) fn zunion<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(&mut Words::new(request, 1), Combine::Union, None, "zunion")
}

pub(super) fn zinter<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(&mut Words::new(request, 1), Combine::Intersection, None, "zinter")
}

pub(super) fn zdiff<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(&mut Words::new(request, 1), Combine::Difference, None, "zdiff")
}

fn combine_into<'a>(request: &Request<'a>, how: Combine, name: &str) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let store = words.next()?;
    combine(&mut words, how, Some(store), name)
}

pub(super) fn zunionstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Union, "zunionstore")
}

pub(super) fn zinterstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Intersection, "zinterstore")
}

pub(super) fn zdiffstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Difference, "zdiffstore")
}

pub(super) fn zintercard<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut words = Words::new(request, 1);
    let keys = words.counted_keys("zintercard")?;
    let limit = super::sets::limit(&mut words)?;
    Ok(Op::Several(SeveralOp::CountCommon { keys, sorted: true, limit }))
}

/// `numkeys key … MIN|MAX [COUNT n]`, from the argument at `at` on.
pub(super) fn pop_first<'a>(request: &Request<'a>, at: usize) -> Parsed<'a> {
    let mut words = Words::new(request, at);
    let keys = super::numbered_keys(&mut words)?;
    let greatest = words.is("max");
    if !greatest && !words.is("min") {
        return Err(Refusal::SYNTAX);
    }
    let count = super::pop_count(&mut words)?;
    Ok(Op::Several(SeveralOp::PopFirstSorted { keys, greatest, count }))
}

pub(super) fn zmpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop_first(request, 1)
}
