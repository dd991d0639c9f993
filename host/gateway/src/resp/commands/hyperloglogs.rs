//! HyperLogLog commands.

use convoke_grid::op::{HyperLogLogOp, KeyOp, Op, SeveralOp};

use super::super::args::{Args, Parsed};
use super::super::request::Request;

pub(crate) fn pfadd<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let key = args.next()?;
    Ok(Op::Key(key, KeyOp::HyperLogLog(HyperLogLogOp::Add(args.rest()))))
}

pub(crate) fn pfcount<'a>(request: &Request<'a>) -> Parsed<'a> {
    let keys = Args::new(request, 1).rest();
    Ok(match keys[..] {
        [key] => Op::Key(key, KeyOp::HyperLogLog(HyperLogLogOp::Count)),
        _ => Op::Several(SeveralOp::CountUnion(keys)),
    })
}

pub(crate) fn pfmerge<'a>(request: &Request<'a>) -> Parsed<'a> {
    let mut args = Args::new(request, 1);
    let (to, from) = (args.next()?, args.rest());
    Ok(Op::Several(SeveralOp::MergeUnion { to, from }))
}
