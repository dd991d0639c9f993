//! `XDEL`, `XDELEX`, `XACKDEL`.

use convoke_grid::StreamId;
use convoke_grid::op::{References, StreamOp};

use super::add::references;
use super::ids::{id, rest};
use super::stream;
use crate::resp::answer::CommandError;
use crate::resp::args::{Args, Parsed};
use crate::resp::request::Request;

pub(crate) fn xdel<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    Ok(stream(args.next()?, StreamOp::Delete(rest(&mut args)?)))
}

/// Consumes `[KEEPREF | DELREF | ACKED] IDS numids id …`, in any order.
fn references_and_ids(
    args: &mut Args<'_, '_>,
) -> Result<(References, Vec<StreamId>), CommandError> {
    const COUNT: CommandError = CommandError::new("ERR Number of IDs must be a positive integer");
    let (mut kind, mut ids) = (None, None);
    while args.remaining() > 0 {
        if kind.is_none()
            && let Some(found) = references(args)
        {
            kind = Some(found);
        } else if args.remaining() > 1 && args.take_keyword("ids") {
            let count = usize::try_from(args.integer().map_err(|_| COUNT)?).map_err(|_| COUNT)?;
            if count == 0 {
                return Err(COUNT);
            }
            let texts = args.take(count).map_err(|_| {
                CommandError::new("ERR The `numids` parameter must match the number of arguments")
            })?;
            let all = texts.into_iter().map(|text| id(text, 0)).collect::<Result<Vec<_>, _>>()?;
            ids = Some(all);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    Ok((kind.unwrap_or_default(), ids.ok_or(CommandError::SYNTAX)?))
}

pub(crate) fn xdelex<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let (references, ids) = references_and_ids(&mut args)?;
    Ok(stream(key, StreamOp::DeleteWith { ids, references }))
}

pub(crate) fn xackdel<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (key, group) = (args.next()?, args.next()?);
    let (references, ids) = references_and_ids(&mut args)?;
    Ok(stream(key, StreamOp::AcknowledgeAndDelete { group, ids, references }))
}
