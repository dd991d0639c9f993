//! Operations on plain values of several partitions.

use super::super::attempt::Transaction;
use super::sorting::bytes_of;
use super::{Failure, in_each, of_keys, sum, transfer};
use crate::op::{
    BitCombine, BitFold, KeyOp, LcsAnswer, Lifetime, Op, PlainOp, SeveralOp, TransferOp, Union,
    common_subsequence,
};
use crate::{OpError, Reply};

/// Maximum number of whole values that are read at a time: each may have 64 MiB.
const VALUES_AT_ONCE: usize = 4;

/// The union of HyperLogLogs.
pub(super) async fn union(
    transaction: &mut Transaction,
    map: &str,
    keys: &[&[u8]],
) -> Result<Union, Failure> {
    let part = |places: &[usize]| {
        Op::Several(SeveralOp::Union(places.iter().map(|at| keys[*at]).collect()))
    };
    Ok(Union::join(in_each(transaction, map, keys, part).await?)?)
}

/// Combines values bit by bit, and stores the result.
pub(super) async fn combine_bits(
    transaction: &mut Transaction,
    map: &str,
    how: BitCombine,
    keys: &[&[u8]],
    store: &[u8],
) -> Result<Reply, Failure> {
    let mut fold = BitFold::new(how);
    for keys in keys.chunks(VALUES_AT_ONCE) {
        let get = |key| Op::Key(key, KeyOp::Plain(PlainOp::Get));
        for reply in of_keys(transaction, map, keys, get).await? {
            fold.add(if let Reply::Bytes(value) = &reply { value } else { &[] });
        }
    }
    let value = fold.finish();
    let store_plain = TransferOp::StorePlain { value: &value, event: "set" };
    transfer(transaction, map, store, store_plain).await
}

/// The longest common subsequence of two values.
pub(super) async fn lcs(
    transaction: &mut Transaction,
    map: &str,
    keys: [&[u8]; 2],
    answer: LcsAnswer,
) -> Result<Reply, Failure> {
    let get = |key| Op::Key(key, KeyOp::Plain(PlainOp::Get));
    let values = of_keys(transaction, map, &keys, get).await;
    let values = values.map_err(|failure| match failure {
        Failure::Refused(OpError::WrongType) => OpError::NotStrings.into(),
        other => other,
    })?;
    let value = |at: usize| bytes_of(values.get(at)).unwrap_or_default();
    Ok(common_subsequence(value(0), value(1), answer)?)
}

/// Sets values with the same lifetime, if the condition holds for all keys.
pub(super) async fn put_all(
    transaction: &mut Transaction,
    map: &str,
    pairs: &[(&[u8], &[u8])],
    lifetime: Lifetime,
    exist: Option<bool>,
) -> Result<Reply, Failure> {
    let keys: Vec<&[u8]> = pairs.iter().map(|(key, _)| *key).collect();
    if let Some(exist) = exist {
        let required = if exist { keys.len() } else { 0 };
        let there = sum(transaction, map, &keys, SeveralOp::Exist).await?;
        if usize::try_from(there) != Ok(required) {
            return Ok(Reply::flag(false));
        }
    }
    let put = |places: &[usize]| {
        let pairs = places.iter().map(|at| pairs[*at]).collect();
        Op::Several(SeveralOp::PutAll { pairs, lifetime, exist: None })
    };
    in_each(transaction, map, &keys, put).await.map_err(Failure::after_changes)?;
    Ok(Reply::flag(true))
}
