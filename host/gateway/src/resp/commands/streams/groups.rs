//! `XGROUP` and `XINFO`.

use convoke_grid::op::{GroupStart, StreamOp};

use super::ids::{id, id_or_end};
use super::stream;
use crate::resp::answer::CommandError;
use crate::resp::args::{Args, Parsed};
use crate::resp::request::Request;

/// Default number of entries in each list of `XINFO STREAM … FULL`.
const FULL_COUNT_DEFAULT: u64 = 10;
/// Maximum length of a word of the client in an error, in bytes.
const SHOWN_BYTES_MAX: usize = 128;

/// The error for options that a subcommand does not have.
fn wrong_subcommand(request: &Request<'_>) -> CommandError {
    let word = |at| {
        let bytes: &[u8] = request.get(at).unwrap_or_default();
        String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]).into_owned()
    };
    let (container, part) = (word(0).to_uppercase(), word(1));
    CommandError(
        format!(
            "ERR unknown subcommand or wrong number of arguments for '{part}'. Try {container} HELP."
        )
        .into(),
    )
}

/// Consumes the options of `XGROUP CREATE` and `XGROUP SETID`. Returns the number of entries read,
/// and whether `MKSTREAM` is among them.
fn options(request: &Request<'_>, creates: bool) -> Result<(Option<u64>, bool), CommandError> {
    let mut args = Args::new(request, 5);
    let (mut read, mut create) = (None, false);
    while args.remaining() > 0 {
        if creates && args.take_keyword("mkstream") {
            create = true;
        } else if args.remaining() > 1 && args.take_keyword("entriesread") {
            read = match args.integer()? {
                -1 => None,
                number => Some(u64::try_from(number).map_err(|_| {
                    CommandError::new("ERR value for ENTRIESREAD must be positive or -1")
                })?),
            };
        } else {
            return Err(wrong_subcommand(request));
        }
    }
    Ok((read, create))
}

pub(crate) fn xgroup_create<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    let (key, group, start) = (args.next()?, args.next()?, args.next()?);
    let (read, create) = options(request, true)?;
    let start = match start {
        b"$" => GroupStart::Last,
        text => GroupStart::After(id(text, 0)?),
    };
    Ok(stream(key, StreamOp::CreateGroup { group, start, read, create }))
}

pub(crate) fn xgroup_setid<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    let (key, group, start) = (args.next()?, args.next()?, args.next()?);
    let (read, _) = options(request, false)?;
    let start = match start {
        b"$" => GroupStart::Last,
        // As in Redis, `-` and `+` are allowed here.
        text => GroupStart::After(id_or_end(text, 0)?),
    };
    Ok(stream(key, StreamOp::SetGroup { group, start, read }))
}

pub(crate) fn xgroup_destroy<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    Ok(stream(args.next()?, StreamOp::DestroyGroup(args.next()?)))
}

pub(crate) fn xgroup_createconsumer<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    let (key, group, consumer) = (args.next()?, args.next()?, args.next()?);
    Ok(stream(key, StreamOp::CreateConsumer { group, consumer }))
}

pub(crate) fn xgroup_delconsumer<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    let (key, group, consumer) = (args.next()?, args.next()?, args.next()?);
    Ok(stream(key, StreamOp::DeleteConsumer { group, consumer }))
}

pub(crate) fn xinfo_stream<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    let key = args.next()?;
    let op = match args.remaining() {
        0 => StreamOp::Info,
        1 if args.take_keyword("full") => StreamOp::InfoFull { count: FULL_COUNT_DEFAULT },
        3 if args.take_keyword("full") && args.take_keyword("count") => {
            let count = u64::try_from(args.integer()?).unwrap_or(FULL_COUNT_DEFAULT);
            StreamOp::InfoFull { count }
        }
        _ => return Err(wrong_subcommand(request)),
    };
    Ok(stream(key, op))
}

pub(crate) fn xinfo_groups<'a>(request: &Request<'a>) -> Parsed<'a> {
    Ok(stream(Args::new(request, 2).next()?, StreamOp::InfoGroups))
}

pub(crate) fn xinfo_consumers<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 2);
    Ok(stream(args.next()?, StreamOp::InfoConsumers(args.next()?)))
}
