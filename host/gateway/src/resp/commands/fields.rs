//! Commands on fields of hashes that expire.

use convoke_grid::Reply;
use convoke_grid::op::{ExpireIf, FieldLifetime, FieldsIf, FieldsOp, HashOp, KeyOp, Op, integer};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, Pair, Parsed};
use super::super::request::Request;
use crate::clock::unix_ms;

/// The last time at which a field may expire, in milliseconds since 1970: that of Redis.
const DEADLINE_MS_MAX: u64 = (1 << 46) - 1;

const NO_FIELDS: CommandError =
    CommandError::new("ERR Mandatory argument FIELDS is missing or not at the right position");
const NOT_THE_NUMBER: CommandError =
    CommandError::new("ERR The `numfields` parameter must match the number of arguments");
const NOT_POSITIVE: CommandError =
    CommandError::new("ERR Number of fields must be a positive integer");

fn fields<'a>(key: &'a [u8], op: FieldsOp<'a>) -> Parsed<'a> {
    Ok(Op::Key(key, KeyOp::Hash(HashOp::Fields(op))))
}

/// Consumes `FIELDS numfields field [field ...]`, which end the arguments.
fn names<'a>(
    args: &mut Args<'_, 'a>,
    not_positive: CommandError,
) -> Result<Vec<&'a [u8]>, CommandError> {
    if !args.take_keyword("fields") {
        return Err(NO_FIELDS);
    }
    let count = args.peek().and_then(integer).filter(|count| *count > 0).ok_or(not_positive)?;
    args.next()?;
    if usize::try_from(count).ok() != Some(args.remaining()) {
        return Err(NOT_THE_NUMBER);
    }
    Ok(args.rest())
}

/// Unit and reference point of a time.
#[derive(Clone, Copy)]
struct Time {
    /// Milliseconds of one unit.
    unit_ms: u64,
    /// Whether it counts from now, not from 1970.
    is_relative: bool,
}

const SECONDS: Time = Time { unit_ms: 1_000, is_relative: true };
const MILLISECONDS: Time = Time { unit_ms: 1, is_relative: true };
const AT_SECONDS: Time = Time { unit_ms: 1_000, is_relative: false };
const AT_MILLISECONDS: Time = Time { unit_ms: 1, is_relative: false };

impl Time {
    /// Consumes a number of units. `name` is the command's name for the error message.
    fn lifetime(self, args: &mut Args<'_, '_>, name: &str) -> Result<FieldLifetime, CommandError> {
        let number = u64::try_from(args.integer()?)
            .map_err(|_| CommandError::new("ERR invalid expire time, must be >= 0"))?;
        let from_ms = if self.is_relative { unix_ms() } else { 0 };
        let most = DEADLINE_MS_MAX.saturating_sub(from_ms);
        let ms = number.checked_mul(self.unit_ms).filter(|ms| *ms <= most).ok_or_else(|| {
            CommandError(format!("ERR invalid expire time in '{name}' command").into())
        })?;
        Ok(if self.is_relative { FieldLifetime::For(ms) } else { FieldLifetime::Until(ms) })
    }

    /// Consumes an option such as `EX`.
    fn option(args: &mut Args<'_, '_>) -> Option<Self> {
        let options = [
            ("ex", SECONDS),
            ("px", MILLISECONDS),
            ("exat", AT_SECONDS),
            ("pxat", AT_MILLISECONDS),
        ];
        options.into_iter().find(|(keyword, _)| args.take_keyword(keyword)).map(|(_, time)| time)
    }
}

fn expire<'a>(request: &Request<'a>, time: Time, name: &str) -> Parsed<'a> {
    const NOT_POSITIVE: CommandError =
        CommandError::new("ERR Parameter `numFields` should be greater than 0");
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let lifetime = time.lifetime(&mut args, name)?;
    let mut condition = ExpireIf::default();
    args.take_expire_condition(&mut condition);
    fields(key, FieldsOp::Expire { names: names(&mut args, NOT_POSITIVE)?, lifetime, condition })
}

pub(crate) fn hexpire<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire(request, SECONDS, "hexpire")
}

pub(crate) fn hpexpire<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire(request, MILLISECONDS, "hpexpire")
}

pub(crate) fn hexpireat<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire(request, AT_SECONDS, "hexpireat")
}

pub(crate) fn hpexpireat<'a>(request: &Request<'a>) -> Parsed<'a> {
    expire(request, AT_MILLISECONDS, "hpexpireat")
}

/// Parses a key and names of fields.
fn named<'a>(request: &Request<'a>, op: impl FnOnce(Vec<&'a [u8]>) -> FieldsOp<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    fields(key, op(names(&mut args, NOT_POSITIVE)?))
}

pub(crate) fn httl<'a>(request: &Request<'a>) -> Parsed<'a> {
    named(request, |names| FieldsOp::Deadlines { names, remaining: true })
}

pub(crate) fn hexpiretime<'a>(request: &Request<'a>) -> Parsed<'a> {
    named(request, |names| FieldsOp::Deadlines { names, remaining: false })
}

/// Shapes milliseconds as seconds, rounded up. Negative values are codes and stay.
pub(crate) fn seconds(_: usize, reply: Reply) -> Answer {
    let one = |reply| match reply {
        Reply::Integer(ms) if ms >= 0 => Reply::Integer(ms.saturating_add(999) / 1_000),
        other => other,
    };
    Answer::Reply(match reply {
        Reply::List(all) => Reply::List(all.into_iter().map(one).collect()),
        other => other,
    })
}

pub(crate) fn hpersist<'a>(request: &Request<'a>) -> Parsed<'a> {
    named(request, FieldsOp::Persist)
}

pub(crate) fn hgetdel<'a>(request: &Request<'a>) -> Parsed<'a> {
    named(request, FieldsOp::Take)
}

pub(crate) fn hgetex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let lifetime = if args.take_keyword("persist") {
        Some(FieldLifetime::Forever)
    } else {
        match Time::option(&mut args) {
            Some(time) => Some(time.lifetime(&mut args, "hgetex")?),
            None => None,
        }
    };
    if args.remaining() < 2 {
        return Err(CommandError::arity("hgetex"));
    }
    fields(key, FieldsOp::GetAndExpire { names: names(&mut args, NOT_POSITIVE)?, lifetime })
}

pub(crate) fn hsetex<'a>(request: &Request<'a>) -> Parsed<'a> {
    const ONE_LIFETIME: CommandError = CommandError::new(
        "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
    );
    const ONE_CONDITION: CommandError =
        CommandError::new("ERR Only one of FXX or FNX arguments can be specified");
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let (mut lifetime, mut condition) = (None, FieldsIf::Always);
    while !args.take_keyword("fields") {
        let is_free = lifetime.is_none();
        if let Some(time) = Time::option(&mut args) {
            if !is_free {
                return Err(ONE_LIFETIME);
            }
            if args.remaining() == 0 {
                return Err(CommandError::new("ERR missing expire time"));
            }
            lifetime = Some(time.lifetime(&mut args, "hsetex")?);
        } else if args.take_keyword("keepttl") {
            if !is_free {
                return Err(ONE_LIFETIME);
            }
            lifetime = Some(FieldLifetime::Keep);
        } else if let Some(wanted) = field_condition(&mut args) {
            if condition != FieldsIf::Always {
                return Err(ONE_CONDITION);
            }
            condition = wanted;
        } else {
            let word = args.next().map_err(|_| NO_FIELDS)?;
            let word = String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
            return Err(CommandError(format!("ERR unknown argument: {word}").into()));
        }
    }
    let pairs = pairs(&mut args)?;
    let lifetime = lifetime.unwrap_or(FieldLifetime::Forever);
    fields(key, FieldsOp::Set { fields: pairs, lifetime, condition })
}

fn field_condition(args: &mut Args<'_, '_>) -> Option<FieldsIf> {
    let options = [("fnx", FieldsIf::AllAbsent), ("fxx", FieldsIf::AllPresent)];
    options.into_iter().find(|(keyword, _)| args.take_keyword(keyword)).map(|(_, wanted)| wanted)
}

/// Consumes the number of fields, and the fields with their values, which end the arguments.
fn pairs<'a>(args: &mut Args<'_, 'a>) -> Result<Vec<Pair<'a>>, CommandError> {
    if args.remaining() < 3 {
        return Err(CommandError::arity("hsetex"));
    }
    let count = integer(args.next()?).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::new("ERR invalid number of fields"))?;
    let pairs = args.pairs("hsetex")?;
    if usize::try_from(count).ok() != Some(pairs.len()) {
        return Err(CommandError::arity("hsetex"));
    }
    Ok(pairs)
}
