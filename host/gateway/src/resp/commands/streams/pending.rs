//! `XACK`, `XPENDING`, `XCLAIM`, `XAUTOCLAIM`.

use convoke_grid::op::{AutoClaim, Claim, ClaimTime, PendingRange, StreamOp};

use super::ids::{end, id, rest, start};
use super::stream;
use crate::resp::answer::CommandError;
use crate::resp::args::{Args, Parsed};
use crate::resp::request::Request;

/// Maximum of `COUNT` in `XAUTOCLAIM`, as in Redis.
const AUTO_CLAIM_COUNT_MAX: i64 = i64::MAX / 16;
/// Default of `COUNT` in `XAUTOCLAIM`.
const AUTO_CLAIM_COUNT_DEFAULT: u64 = 100;

pub(crate) fn xack<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, group) = (args.next()?, args.next()?);
    Ok(stream(key, StreamOp::Acknowledge { group, ids: rest(&mut args)? }))
}

pub(crate) fn xpending<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, group) = (args.next()?, args.next()?);
    if args.remaining() == 0 {
        return Ok(stream(key, StreamOp::PendingSummary(group)));
    }
    if !(3..=6).contains(&args.remaining()) {
        return Err(CommandError::SYNTAX);
    }
    let mut idle_ms = 0;
    if args.take_keyword("idle") {
        idle_ms = u64::try_from(args.integer()?).unwrap_or(0);
        if args.remaining() < 3 {
            return Err(CommandError::SYNTAX);
        }
    }
    let (from, to) = (args.next()?, args.next()?);
    let count = u64::try_from(args.integer()?).unwrap_or(0);
    let (from, to) = (start(from)?, end(to)?);
    let consumer = if args.remaining() > 0 { Some(args.next()?) } else { None };
    let range = PendingRange { group, from, to, count, consumer, idle_ms };
    Ok(stream(key, StreamOp::Pending(range)))
}

/// Consumes the minimum idle time of a claim; a negative one counts as zero.
fn idle(args: &mut Args<'_, '_>, command: &str) -> Result<u64, CommandError> {
    let wrong = || format!("ERR Invalid min-idle-time argument for {command}");
    let ms = args.integer().map_err(|_| CommandError(wrong().into()))?;
    Ok(u64::try_from(ms).unwrap_or(0))
}

pub(crate) fn xclaim<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, group, consumer) = (args.next()?, args.next()?, args.next()?);
    let idle_ms = idle(&mut args, "XCLAIM")?;
    let mut claim = Claim {
        group,
        consumer,
        idle_ms,
        ids: Vec::new(),
        time: ClaimTime::Ago(0),
        deliveries: None,
        force: false,
        only_ids: false,
        last: None,
    };
    while let Some(text) = args.peek()
        && let Ok(id) = id(text, 0)
    {
        claim.ids.push(id);
        args.next()?;
    }
    while args.remaining() > 0 {
        let has_argument = args.remaining() > 1;
        let number = |args: &mut Args<'_, '_>, option: &str| {
            let wrong = || format!("ERR Invalid {option} option argument for XCLAIM");
            args.integer().map_err(|_| CommandError(wrong().into()))
        };
        if args.take_keyword("force") {
            claim.force = true;
        } else if args.take_keyword("justid") {
            claim.only_ids = true;
        } else if has_argument && args.take_keyword("idle") {
            claim.time = ClaimTime::Ago(number(&mut args, "IDLE")?);
        } else if has_argument && args.take_keyword("time") {
            claim.time = ClaimTime::At(number(&mut args, "TIME")?);
        } else if has_argument && args.take_keyword("retrycount") {
            claim.deliveries = u64::try_from(number(&mut args, "RETRYCOUNT")?).ok();
        } else if has_argument && args.take_keyword("lastid") {
            claim.last = Some(id(args.next()?, 0)?);
        } else {
            let option = String::from_utf8_lossy(args.next()?);
            let text = format!("ERR Unrecognized XCLAIM option '{option}'");
            return Err(CommandError(text.into()));
        }
    }
    Ok(stream(key, StreamOp::Claim(claim)))
}

pub(crate) fn xautoclaim<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, group, consumer) = (args.next()?, args.next()?, args.next()?);
    let idle_ms = idle(&mut args, "XAUTOCLAIM")?;
    let start = start(args.next()?)?;
    let (mut count, mut only_ids) = (AUTO_CLAIM_COUNT_DEFAULT, false);
    while args.remaining() > 0 {
        if args.remaining() > 1 && args.take_keyword("count") {
            const WRONG: CommandError = CommandError::new("ERR COUNT must be > 0");
            let number = args.integer().map_err(|_| WRONG)?;
            if !(1..=AUTO_CLAIM_COUNT_MAX).contains(&number) {
                return Err(WRONG);
            }
            count = number.unsigned_abs();
        } else if args.take_keyword("justid") {
            only_ids = true;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let claim = AutoClaim { group, consumer, idle_ms, start, count, only_ids };
    Ok(stream(key, StreamOp::AutoClaim(claim)))
}
