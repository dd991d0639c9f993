//! `SORT` and `LCS`.

use convoke_grid::op::{LcsAnswer, Op, SeveralOp, Sort, SortBy};

use super::super::answer::CommandError;
use super::super::args::{Args, Parsed};
use super::super::request::Request;

fn sorted<'a>(request: &Request<'a>, may_store: bool) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    let mut sort = Sort {
        by: SortBy::Element,
        gets: Vec::new(),
        is_alpha: false,
        is_descending: false,
        skip: 0,
        count: -1,
    };
    let mut store = None;
    while args.remaining() > 0 {
        if args.take_keyword("asc") {
            sort.is_descending = false;
        } else if args.take_keyword("desc") {
            sort.is_descending = true;
        } else if args.take_keyword("alpha") {
            sort.is_alpha = true;
        } else if args.remaining() > 2 && args.take_keyword("limit") {
            (sort.skip, sort.count) = (args.integer()?, args.integer()?);
        } else if may_store && args.remaining() > 1 && args.take_keyword("store") {
            store = Some(args.next()?);
        } else if args.remaining() > 1 && args.take_keyword("by") {
            let pattern = args.next()?;
            // Without a place for the element, all have the same weight.
            sort.by =
                if pattern.contains(&b'*') { SortBy::Pattern(pattern) } else { SortBy::Nothing };
        } else if args.remaining() > 1 && args.take_keyword("get") {
            sort.gets.push(args.next()?);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    Ok(Op::Several(SeveralOp::Sort { key, sort, store }))
}

pub(crate) fn sort<'a>(request: &Request<'a>) -> Parsed<'a> {
    sorted(request, true)
}

pub(crate) fn sort_ro<'a>(request: &Request<'a>) -> Parsed<'a> {
    sorted(request, false)
}

pub(crate) fn lcs<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (first, second) = (args.next()?, args.next()?);
    let (mut has_length, mut has_ranges, mut with_length, mut min_length) =
        (false, false, false, 0);
    while args.remaining() > 0 {
        if args.take_keyword("idx") {
            has_ranges = true;
        } else if args.take_keyword("len") {
            has_length = true;
        } else if args.take_keyword("withmatchlen") {
            with_length = true;
        } else if args.remaining() > 1 && args.take_keyword("minmatchlen") {
            min_length = u64::try_from(args.integer()?).unwrap_or(0);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let answer = match (has_length, has_ranges) {
        (true, true) => {
            return Err(CommandError::new(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        (true, false) => LcsAnswer::Length,
        (false, true) => LcsAnswer::Ranges { min_length, with_length },
        (false, false) => LcsAnswer::Text,
    };
    Ok(Op::Several(SeveralOp::Lcs { first, second, answer }))
}
