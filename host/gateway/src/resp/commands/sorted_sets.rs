//! Sorted set commands, except for the blocking ones.

use convoke_grid::op::{
    AddIf, Aggregate, Bound, By, Combine, KeyOp, Op, SeveralOp, SortedSetOp, Span, Weighted, float,
    score_bound,
};
use convoke_grid::{Reply, Score};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Parsed};
use super::super::request::Request;

const NOT_A_RANGE: CommandError = CommandError::new("ERR min or max is not a float");
const NOT_A_NAME_RANGE: CommandError =
    CommandError::new("ERR min or max not valid string range item");

fn sorted<'a>(key: &'a [u8], op: SortedSetOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::SortedSet(op))
}

pub(crate) fn zadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let (mut only, mut changed, mut increase) = (AddIf::default(), false, false);
    loop {
        if args.take_keyword("nx") {
            only.absent = true;
        } else if args.take_keyword("xx") {
            only.present = true;
        } else if args.take_keyword("gt") {
            only.greater = true;
        } else if args.take_keyword("lt") {
            only.less = true;
        } else if args.take_keyword("ch") {
            changed = true;
        } else if args.take_keyword("incr") {
            increase = true;
        } else {
            break;
        }
    }
    let rest = args.rest();
    let (pairs, odd) = rest.as_chunks::<2>();
    if !odd.is_empty() || pairs.is_empty() {
        return Err(CommandError::SYNTAX);
    }
    if only.absent && only.present {
        return Err(CommandError::new("ERR XX and NX options at the same time are not compatible"));
    }
    if (only.absent && (only.greater || only.less)) || (only.greater && only.less) {
        return Err(CommandError::new(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if increase {
        let [[by, member]] = pairs else {
            return Err(CommandError::new(
                "ERR INCR option supports a single increment-element pair",
            ));
        };
        let by = float(by).ok_or(CommandError::FLOAT)?;
        return Ok(sorted(key, SortedSetOp::Increase { member, by, only }));
    }
    let mut members = Vec::with_capacity(pairs.len());
    for [score, member] in pairs {
        let score = float(score).and_then(Score::new).ok_or(CommandError::FLOAT)?;
        members.push((score, *member));
    }
    Ok(sorted(key, SortedSetOp::Add { members, only, changed }))
}

pub(crate) fn zincrby<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, by, member) = (args.next()?, args.float()?, args.next()?);
    Ok(sorted(key, SortedSetOp::Increase { member, by, only: AddIf::default() }))
}

pub(crate) fn zrem<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(sorted(args.next()?, SortedSetOp::Remove(args.rest())))
}

pub(crate) fn zscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(sorted(args.next()?, SortedSetOp::Score(args.next()?)))
}

pub(crate) fn zmscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(sorted(args.next()?, SortedSetOp::Scores(args.rest())))
}

pub(crate) fn zcard<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(sorted(Args::new(request, 1).next()?, SortedSetOp::Length))
}

fn rank<'a>(request: &Request<'a>, reverse: bool) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, member) = (args.next()?, args.next()?);
    let score = args.remaining() == 1;
    if score && !args.take_keyword("withscore") {
        return Err(CommandError::SYNTAX);
    }
    args.expect_end()?;
    Ok(sorted(key, SortedSetOp::Rank { member, reverse, score }))
}

pub(crate) fn zrank<'a>(request: &Request<'a>) -> Parsed<'a> {
    rank(request, false)
}

pub(crate) fn zrevrank<'a>(request: &Request<'a>) -> Parsed<'a> {
    rank(request, true)
}

/// Parses a bound of a score range: `5`, `(5`, `-inf` or `+inf`.
fn range_end(text: &[u8]) -> Result<Bound<Score>, CommandError> {
    let (text, without) = match text.strip_prefix(b"(") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let score = score_bound(text).and_then(Score::new).ok_or(NOT_A_RANGE)?;
    Ok(if without { Bound::Without(score) } else { Bound::With(score) })
}

/// A parsed bound of a lexicographical range: `-`, `+`, `[name` or `(name`.
enum NameBound<'a> {
    Least,
    Greatest,
    At(Bound<&'a [u8]>),
}

fn name_bound(text: &[u8]) -> Result<NameBound<'_>, CommandError> {
    match text {
        b"-" => Ok(NameBound::Least),
        b"+" => Ok(NameBound::Greatest),
        [b'[', name @ ..] => Ok(NameBound::At(Bound::With(name))),
        [b'(', name @ ..] => Ok(NameBound::At(Bound::Without(name))),
        _ => Err(NOT_A_NAME_RANGE),
    }
}

fn by_score<'a>(low: &[u8], high: &[u8]) -> Result<By<'a>, CommandError> {
    Ok(By::Score(range_end(low)?, range_end(high)?))
}

fn by_name<'a>(low: &'a [u8], high: &'a [u8]) -> Result<By<'a>, CommandError> {
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

/// The kind of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Rank,
    Score,
    Name,
}

impl Order {
    /// Parses the two bounds, the lower one first.
    fn by<'a>(self, first: &'a [u8], last: &'a [u8]) -> Result<By<'a>, CommandError> {
        let rank = |text: &[u8]| convoke_grid::op::integer(text).ok_or(CommandError::INTEGER);
        match self {
            Self::Rank => Ok(By::Rank(rank(first)?, rank(last)?)),
            Self::Score => by_score(first, last),
            Self::Name => by_name(first, last),
        }
    }

    /// Parses the two bounds in the order of a command. In reverse, ranges of scores and names
    /// take the higher bound first.
    fn directed<'a>(
        self,
        first: &'a [u8],
        last: &'a [u8],
        reverse: bool,
    ) -> Result<By<'a>, CommandError> {
        if reverse && self != Self::Rank { self.by(last, first) } else { self.by(first, last) }
    }
}

/// Consumes the offset and the count that follow `LIMIT`.
fn limit(args: &mut Args<'_, '_>) -> Result<(i64, i64), CommandError> {
    Ok((args.integer()?, args.integer()?))
}

/// Parses the arguments of `ZRANGE` and `ZRANGESTORE` from the first bound on.
fn span<'a>(args: &mut Args<'_, 'a>, stores: bool) -> Result<Span<'a>, CommandError> {
    let (first, last) = (args.next()?, args.next()?);
    let (mut order, mut reverse, mut scores, mut within) = (Order::Rank, false, false, None);
    while args.remaining() > 0 {
        if !stores && args.take_keyword("withscores") {
            scores = true;
        } else if args.take_keyword("byscore") {
            order = Order::Score;
        } else if args.take_keyword("bylex") {
            order = Order::Name;
        } else if args.take_keyword("rev") {
            reverse = true;
        } else if args.take_keyword("limit") {
            within = Some(limit(args)?);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    if within.is_some() && order == Order::Rank {
        return Err(CommandError::new(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if scores && order == Order::Name {
        return Err(CommandError::new(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    let by = order.directed(first, last, reverse)?;
    Ok(Span { by, reverse, limit: within, scores })
}

pub(crate) fn zrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(sorted(args.next()?, SortedSetOp::Range(span(&mut args, false)?)))
}

pub(crate) fn zrangestore<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (to, from) = (args.next()?, args.next()?);
    let span = span(&mut args, true)?;
    Ok(Op::Several(SeveralOp::StoreRange { from, to, span }))
}

/// Parses the commands that predate the options of `ZRANGE`.
fn range_as<'a>(request: &Request<'a>, order: Order, reverse: bool) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, first, last) = (args.next()?, args.next()?, args.next()?);
    let (mut scores, mut within) = (false, None);
    while args.remaining() > 0 {
        if order != Order::Name && args.take_keyword("withscores") {
            scores = true;
        } else if order != Order::Rank && args.take_keyword("limit") {
            within = Some(limit(&mut args)?);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let by = order.directed(first, last, reverse)?;
    Ok(sorted(key, SortedSetOp::Range(Span { by, reverse, limit: within, scores })))
}

pub(crate) fn zrevrange<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Rank, true)
}

pub(crate) fn zrangebyscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Score, false)
}

pub(crate) fn zrevrangebyscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Score, true)
}

pub(crate) fn zrangebylex<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Name, false)
}

pub(crate) fn zrevrangebylex<'a>(request: &Request<'a>) -> Parsed<'a> {
    range_as(request, Order::Name, true)
}

fn of_range<'a>(
    request: &Request<'a>,
    order: Order,
    op: fn(By<'a>) -> SortedSetOp<'a>,
) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, first, last) = (args.next()?, args.next()?, args.next()?);
    Ok(sorted(key, op(order.by(first, last)?)))
}

pub(crate) fn zcount<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Score, SortedSetOp::Count)
}

pub(crate) fn zlexcount<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Name, SortedSetOp::Count)
}

pub(crate) fn zremrangebyrank<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Rank, SortedSetOp::RemoveRange)
}

pub(crate) fn zremrangebyscore<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Score, SortedSetOp::RemoveRange)
}

pub(crate) fn zremrangebylex<'a>(request: &Request<'a>) -> Parsed<'a> {
    of_range(request, Order::Name, SortedSetOp::RemoveRange)
}

fn pop<'a>(request: &Request<'a>, greatest: bool, name: &str) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let count = match args.remaining() {
        0 => 1,
        1 => args.count()?,
        _ => return Err(CommandError::arity(name)),
    };
    Ok(sorted(key, SortedSetOp::Pop { greatest, count }))
}

pub(crate) fn zpopmin<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, false, "zpopmin")
}

pub(crate) fn zpopmax<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop(request, true, "zpopmax")
}

/// Shapes the reply of `ZPOPMIN` and `ZPOPMAX`: without a count, member and score are not a nested
/// pair.
pub(crate) fn popped(arguments: usize, reply: Reply) -> Answer {
    match reply {
        Reply::Pairs(pairs) if arguments == 2 => {
            let flat = pairs.into_iter().flat_map(|(member, score)| [member, score]);
            Answer::Reply(Reply::List(flat.collect()))
        }
        other => Answer::Reply(other),
    }
}

pub(crate) fn zrandmember<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    Ok(sorted(
        key,
        match args.sample("withscores")? {
            None => SortedSetOp::Any,
            Some((count, scores)) => SortedSetOp::AnyOf { count, scores },
        },
    ))
}

/// Parses `numkeys key … [WEIGHTS …] [AGGREGATE …] [WITHSCORES]`.
fn combine<'a>(
    args: &mut Args<'_, 'a>,
    how: Combine,
    store: Option<&'a [u8]>,
    name: &str,
) -> Parsed<'a> {
    let keys = args.counted_keys(name)?;
    let mut weights = vec![1.0; keys.len()];
    let (mut aggregate, mut scores) = (Aggregate::Sum, false);
    while args.remaining() > 0 {
        if how != Combine::Difference && args.take_keyword("weights") {
            for (weight, text) in weights.iter_mut().zip(args.take(keys.len())?) {
                *weight =
                    float(text).ok_or(CommandError::new("ERR weight value is not a float"))?;
            }
        } else if how != Combine::Difference && args.take_keyword("aggregate") {
            aggregate = if args.take_keyword("sum") {
                Aggregate::Sum
            } else if args.take_keyword("min") {
                Aggregate::Min
            } else if args.take_keyword("max") {
                Aggregate::Max
            } else {
                return Err(CommandError::SYNTAX);
            };
        } else if store.is_none() && args.take_keyword("withscores") {
            scores = true;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let keys = keys.into_iter().zip(weights).map(|(key, weight)| Weighted { key, weight });
    let keys = keys.collect();
    Ok(Op::Several(SeveralOp::CombineSorted { how, keys, aggregate, scores, store }))
}

pub(crate) fn zunion<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(&mut Args::new(request, 1), Combine::Union, None, "zunion")
}

pub(crate) fn zinter<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(&mut Args::new(request, 1), Combine::Intersection, None, "zinter")
}

pub(crate) fn zdiff<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine(&mut Args::new(request, 1), Combine::Difference, None, "zdiff")
}

fn combine_into<'a>(request: &Request<'a>, how: Combine, name: &str) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let store = args.next()?;
    combine(&mut args, how, Some(store), name)
}

pub(crate) fn zunionstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Union, "zunionstore")
}

pub(crate) fn zinterstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Intersection, "zinterstore")
}

pub(crate) fn zdiffstore<'a>(request: &Request<'a>) -> Parsed<'a> {
    combine_into(request, Combine::Difference, "zdiffstore")
}

pub(crate) fn zintercard<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let keys = args.counted_keys("zintercard")?;
    let limit = args.limit()?;
    Ok(Op::Several(SeveralOp::CountCommon { keys, sorted: true, limit }))
}

/// Parses `numkeys key … MIN|MAX [COUNT n]`, starting at argument `at`.
pub(crate) fn pop_first<'a>(request: &Request<'a>, at: usize) -> Parsed<'a> {
    let mut args = Args::new(request, at);
    let keys = args.numbered_keys()?;
    let greatest = args.take_keyword("max");
    if !greatest && !args.take_keyword("min") {
        return Err(CommandError::SYNTAX);
    }
    let count = args.pop_count()?;
    Ok(Op::Several(SeveralOp::PopFirstSorted { keys, greatest, count }))
}

pub(crate) fn zmpop<'a>(request: &Request<'a>) -> Parsed<'a> {
    pop_first(request, 1)
}
