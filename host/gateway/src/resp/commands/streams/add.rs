//! `XADD`, `XTRIM`, `XSETID`.

use convoke_grid::StreamId;
use convoke_grid::op::{NewId, References, StreamOp, Trim, TrimTo};

use super::ids::{id, id_or_ms};
use super::stream;
use crate::resp::answer::CommandError;
use crate::resp::args::{Args, Parsed};
use crate::resp::request::Request;

/// Entries that approximate trimming removes at most, unless `LIMIT` says otherwise: those of 100
/// chunks, as in Redis.
const LIMIT_DEFAULT: u64 = 10_000;

/// Consumes `KEEPREF`, `DELREF` or `ACKED`.
pub(super) fn references(args: &mut Args<'_, '_>) -> Option<References> {
    let options = [
        ("keepref", References::Kept),
        ("delref", References::Removed),
        ("acked", References::Acknowledged),
    ];
    options.into_iter().find(|(keyword, _)| args.take_keyword(keyword)).map(|(_, found)| found)
}

/// The options of `XADD` and `XTRIM`.
#[derive(Default)]
struct Options {
    to: Option<(TrimTo, bool)>,
    limit: Option<u64>,
    references: Option<References>,
    /// `NOMKSTREAM`.
    only_existing: bool,
}

impl Options {
    /// Consumes one option. Returns whether there was one.
    fn next(&mut self, args: &mut Args<'_, '_>, adds: bool) -> Result<bool, CommandError> {
        // A keyword without its argument is an ID that is invalid.
        let has_argument = args.remaining() > 1;
        if has_argument && args.take_keyword("maxlen") {
            let approximate = self.approximates(args)?;
            let length = u64::try_from(args.integer()?)
                .map_err(|_| CommandError::new("ERR The MAXLEN argument must be >= 0."))?;
            self.to = Some((TrimTo::Length(length), approximate));
        } else if has_argument && args.take_keyword("minid") {
            let approximate = self.approximates(args)?;
            self.to = Some((TrimTo::Id(id(args.next()?, 0)?), approximate));
        } else if has_argument && args.take_keyword("limit") {
            let limit = u64::try_from(args.integer()?)
                .map_err(|_| CommandError::new("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
        } else if adds && args.take_keyword("nomkstream") {
            self.only_existing = true;
        } else if self.references.is_none()
            && let Some(found) = references(args)
        {
            self.references = Some(found);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Consumes `~` or `=` in front of a threshold.
    fn approximates(&self, args: &mut Args<'_, '_>) -> Result<bool, CommandError> {
        if self.to.is_some() {
            return Err(CommandError::new(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        if args.remaining() < 2 {
            return Ok(false);
        }
        let approximates = args.take_keyword("~");
        if !approximates {
            args.take_keyword("=");
        }
        Ok(approximates)
    }

    /// How to trim, if at all.
    fn trim(&self) -> Result<Option<Trim>, CommandError> {
        let Some((to, approximate)) = self.to else {
            return match self.limit {
                None | Some(0) => Ok(None),
                Some(_) => Err(CommandError::new(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
            };
        };
        if self.limit.is_some() && !approximate {
            return Err(CommandError::new(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let default = if approximate { LIMIT_DEFAULT } else { 0 };
        let limit = self.limit.unwrap_or(default);
        let references = self.references.unwrap_or_default();
        Ok(Some(Trim { to, approximate, limit, references }))
    }
}

pub(crate) fn xadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let mut options = Options::default();
    while args.peek() != Some(b"*") && options.next(&mut args, true)? {}
    let new = match args.next()? {
        b"*" => NewId::Now,
        text => match id_or_ms(text)? {
            Ok(id) => NewId::Given(id),
            Err(ms) => NewId::At(ms),
        },
    };
    let trim = options.trim()?;
    let fields = args.rest();
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(CommandError::arity("xadd"));
    }
    if new == NewId::Given(StreamId::MIN) {
        return Err(CommandError::new("ERR The ID specified in XADD must be greater than 0-0"));
    }
    Ok(stream(key, StreamOp::Add { id: new, fields, create: !options.only_existing, trim }))
}

pub(crate) fn xtrim<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let mut options = Options::default();
    while args.remaining() > 0 {
        if !options.next(&mut args, false)? {
            return Err(CommandError::SYNTAX);
        }
    }
    let trim = options.trim()?.ok_or(CommandError::new(
        "ERR syntax error, XTRIM must be called with a trimming strategy",
    ))?;
    Ok(stream(key, StreamOp::Trim(trim)))
}

pub(crate) fn xsetid<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, last) = (args.next()?, id(args.next()?, 0)?);
    let (mut added, mut deleted) = (None, None);
    while args.remaining() > 0 {
        let has_argument = args.remaining() > 1;
        if has_argument && args.take_keyword("entriesadded") {
            let count = u64::try_from(args.integer()?)
                .map_err(|_| CommandError::new("ERR entries_added must be positive"))?;
            added = Some(count);
        } else if has_argument && args.take_keyword("maxdeletedid") {
            let id = id(args.next()?, 0)?;
            if last < id {
                return Err(CommandError::new(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            deleted = Some(id);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    Ok(stream(key, StreamOp::SetLast { last, added, deleted }))
}
