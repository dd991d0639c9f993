//! String commands.

use std::mem::discriminant;

use convoke_grid::Reply;
use convoke_grid::op::{
    Amount, Extended, GenericOp, Increment, KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf,
    SeveralOp, integer,
};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Expiration, Parsed, Unit};
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

/// A condition on the present value, with what it is compared with.
type Comparison<'a> = fn(&'a [u8]) -> PutIf<'a>;

/// Consumes a condition on the present value, such as `IFEQ value`, if there is one.
fn take_comparison<'a>(args: &mut Args<'_, 'a>) -> Option<PutIf<'a>> {
    if args.remaining() < 2 {
        return None;
    }
    let conditions: [(&str, Comparison<'a>); 4] = [
        ("ifeq", PutIf::Value),
        ("ifne", PutIf::OtherValue),
        ("ifdeq", PutIf::Digest),
        ("ifdne", PutIf::OtherDigest),
    ];
    let (_, condition) = conditions.into_iter().find(|(name, _)| args.take_keyword(name))?;
    args.next().ok().map(condition)
}

/// Consumes `NX` or `XX`, if there is one.
fn take_existence<'a>(args: &mut Args<'_, 'a>) -> Option<PutIf<'a>> {
    if args.take_keyword("nx") {
        Some(PutIf::Absent)
    } else {
        args.take_keyword("xx").then_some(PutIf::Present)
    }
}

pub(crate) fn set<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, value) = (args.next()?, args.next()?);
    let (mut expiration, mut condition, mut answer) = (None, None, PutAnswer::Done);
    while args.remaining() > 0 {
        if let Some(new) = take_existence(&mut args).or_else(|| take_comparison(&mut args)) {
            // The same condition may be repeated.
            let is_other = |old: PutIf<'a>| discriminant(&old) != discriminant(&new);
            if condition.is_some_and(is_other) {
                return Err(CommandError::SYNTAX);
            }
            condition = Some(new);
        } else if args.take_keyword("get") {
            answer = PutAnswer::Old;
        } else if !args.take_expiration(("keepttl", Lifetime::Keep), &mut expiration)? {
            return Err(CommandError::SYNTAX);
        }
    }
    let lifetime = expiration.map_or(Ok(Lifetime::Default), |found| found.lifetime("set"))?;
    Ok(put(key, value, lifetime, condition.unwrap_or(PutIf::Always), answer))
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
    let (key, mut expiration) = (args.next()?, None);
    while args.remaining() > 0 {
        if !args.take_expiration(("persist", Lifetime::Forever), &mut expiration)? {
            return Err(CommandError::SYNTAX);
        }
    }
    let lifetime = expiration.map(|found| found.lifetime("getex")).transpose()?;
    Ok(plain(key, PlainOp::GetAndExpire(lifetime)))
}

pub(crate) fn digest<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(plain(Args::new(request, 1).next()?, PlainOp::Digest))
}

pub(crate) fn delex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    match args.remaining() {
        0 => Ok(Op::Key(key, KeyOp::Generic(GenericOp::Remove))),
        2 => {
            let condition = take_comparison(&mut args).ok_or(CommandError::new(
                "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
            ))?;
            Ok(plain(key, PlainOp::RemoveWhen(condition)))
        }
        _ => Err(CommandError::arity("delex")),
    }
}

pub(crate) fn delifeq<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(plain(args.next()?, PlainOp::RemoveIf(args.next()?)))
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
    Extended::parse(by).ok_or(CommandError::FLOAT)?;
    Ok(plain(key, PlainOp::AddFloat(by)))
}

/// The options of `INCREX`.
#[derive(Default)]
struct IncrementOptions<'a> {
    integer: Option<&'a [u8]>,
    number: Option<&'a [u8]>,
    least: Option<&'a [u8]>,
    greatest: Option<&'a [u8]>,
    expiration: Option<Expiration<'a>>,
    saturates: bool,
    only_new_lifetime: bool,
}

impl<'a> IncrementOptions<'a> {
    /// Consumes all options, each of which may be given once.
    fn take(args: &mut Args<'_, 'a>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        while args.remaining() > 0 {
            if args.take_keyword("saturate") {
                once(&mut options.saturates)?;
                continue;
            }
            if args.take_keyword("enx") {
                once(&mut options.only_new_lifetime)?;
                continue;
            }
            let values = [
                ("byint", &mut options.integer),
                ("byfloat", &mut options.number),
                ("lbound", &mut options.least),
                ("ubound", &mut options.greatest),
            ];
            if let Some((_, value)) = values.into_iter().find(|(name, _)| args.take_keyword(name)) {
                if value.replace(args.next()?).is_some() {
                    return Err(CommandError::SYNTAX);
                }
                continue;
            }
            let has_expiration = options.expiration.is_some();
            let found =
                args.take_expiration(("persist", Lifetime::Forever), &mut options.expiration)?;
            if !found || has_expiration {
                return Err(CommandError::SYNTAX);
            }
        }
        let persists = matches!(options.expiration, Some(Expiration::Fixed(_)));
        if options.integer.is_some() && options.number.is_some()
            || options.only_new_lifetime && persists
        {
            return Err(CommandError::SYNTAX);
        }
        if options.only_new_lifetime && options.expiration.is_none() {
            return Err(CommandError::new("ERR ENX flag requires an expiration"));
        }
        Ok(options)
    }

    fn amount(&self) -> Result<Amount<'a>, CommandError> {
        const REVERSED: CommandError = CommandError::new("ERR LBOUND can't be greater than UBOUND");
        let Some(by) = self.number else {
            let parse = |text: Option<&[u8]>, default, name: &str| match text {
                None => Ok(default),
                Some(text) => integer(text).ok_or_else(|| {
                    CommandError(format!("ERR {name} is not an integer or out of range").into())
                }),
            };
            let by = parse(self.integer, 1, "Increment")?;
            let least = parse(self.least, i64::MIN, "LBOUND")?;
            let greatest = parse(self.greatest, i64::MAX, "UBOUND")?;
            if least > greatest {
                return Err(REVERSED);
            }
            return Ok(Amount::Integer { by, least, greatest });
        };
        let parse = |text: &[u8], name: &str| {
            Extended::parse(text)
                .ok_or_else(|| CommandError(format!("ERR {name} is not a valid float").into()))
        };
        if parse(by, "Increment")?.is_infinite() {
            return Err(CommandError::new("ERR BYFLOAT increment cannot be Infinity"));
        }
        let least = self.least.map(|text| parse(text, "LBOUND")).transpose()?;
        let greatest = self.greatest.map(|text| parse(text, "UBOUND")).transpose()?;
        if let (Some(least), Some(greatest)) = (least, greatest)
            && least > greatest
        {
            return Err(REVERSED);
        }
        Ok(Amount::Number { by, least: self.least, greatest: self.greatest })
    }
}

/// Sets an option that may be given once.
fn once(option: &mut bool) -> Result<(), CommandError> {
    if std::mem::replace(option, true) { Err(CommandError::SYNTAX) } else { Ok(()) }
}

pub(crate) fn increx<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let options = IncrementOptions::take(&mut args)?;
    let increment = Increment {
        amount: options.amount()?,
        saturates: options.saturates,
        lifetime: options.expiration.map(|found| found.lifetime("increx")).transpose()?,
        only_new_lifetime: options.only_new_lifetime,
    };
    Ok(plain(key, PlainOp::Increment(increment)))
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

pub(crate) fn msetex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let count = integer(args.next()?).and_then(|count| i32::try_from(count).ok());
    let count = count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::new("ERR invalid numkeys value"))?;
    if args.remaining() / 2 < count {
        return Err(CommandError::new("ERR wrong number of key-value pairs"));
    }
    let words = args.take(count * 2)?;
    let pairs = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let (mut expiration, mut exist) = (None, None);
    while args.remaining() > 0 {
        if let Some(condition) = take_existence(&mut args) {
            let wanted = condition == PutIf::Present;
            if exist.is_some_and(|exist| exist != wanted) {
                return Err(CommandError::SYNTAX);
            }
            exist = Some(wanted);
        } else if !args.take_expiration(("keepttl", Lifetime::Keep), &mut expiration)? {
            return Err(CommandError::SYNTAX);
        }
    }
    let lifetime = expiration.map_or(Ok(Lifetime::Default), |found| found.lifetime("msetex"))?;
    Ok(Op::Several(SeveralOp::PutAll { pairs, lifetime, exist }))
}
