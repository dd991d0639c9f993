//! Sorting by other keys, whose names are derived from the elements.

use std::collections::BTreeMap;

use super::super::attempt::Transaction;
use super::{Failure, part, transfer};
use crate::limits::KEY_BYTES_MAX;
use crate::op::{
    Lookup, MapOp, Op, SORTED_EVENT, SeveralOp, Sort, SortBy, TransferOp, lookup, plain_members,
    sorted_reply, stored,
};
use crate::{OpError, Reply};

/// The bytes of a reply, if it consists of bytes.
pub(super) fn bytes_of(reply: Option<&Reply>) -> Option<&[u8]> {
    if let Some(Reply::Bytes(bytes)) = reply { Some(bytes) } else { None }
}

/// Sorts elements by the values of other keys, or returns the values of other keys for them.
pub(super) async fn sort(
    transaction: &mut Transaction,
    map: &str,
    key: &[u8],
    sort: &Sort<'_>,
    store: Option<&[u8]>,
) -> Result<Reply, Failure> {
    let own = Op::Several(SeveralOp::Sort { key, sort: sort.own_part(), store: None });
    let partition = transaction.partition_of(key);
    let mut elements = plain_members(part(transaction, partition, map, own).await?);
    if let SortBy::Pattern(_) = sort.by {
        let weights = look_up(transaction, map, &sort.weights_of(&elements)?).await?;
        let weights: Vec<_> = weights.iter().map(|weight| bytes_of(Some(weight))).collect();
        elements = sort.by_weights(elements, &weights)?;
    }
    let values = look_up(transaction, map, &sort.gets_of(&elements)?).await?;
    let values: Vec<_> = values.iter().map(|value| bytes_of(Some(value))).collect();
    let results = sort.results(&elements, &values)?;
    let Some(store) = store else { return Ok(sorted_reply(&results)) };
    let store_list = TransferOp::StoreList { elements: stored(&results), event: SORTED_EVENT };
    transfer(transaction, map, store, store_list).await
}

/// The values of keys; nil for a key without a value of this kind. A repeated key is read once.
async fn look_up(
    transaction: &mut Transaction,
    map: &str,
    lookups: &[Lookup<'_>],
) -> Result<Vec<Reply>, Failure> {
    let mut places: BTreeMap<u16, BTreeMap<&Lookup<'_>, Vec<usize>>> = BTreeMap::new();
    for (at, looked_up) in lookups.iter().enumerate() {
        // Longer keys cannot exist.
        if looked_up.0.len() <= KEY_BYTES_MAX {
            let partition = transaction.partition_of(&looked_up.0);
            places.entry(partition).or_default().entry(looked_up).or_default().push(at);
        }
    }
    let mut begun = Vec::with_capacity(places.len());
    for (partition, lookups) in &places {
        let ops = lookups.keys().map(|looked_up| MapOp { map, op: lookup(looked_up) }).collect();
        begun.push(transaction.begin(*partition, Vec::new(), ops));
    }
    let found = transaction.end_all(begun).await.map_err(Failure::Abort)?;
    let mut replies = vec![Reply::Nil; lookups.len()];
    let places = places.into_values().flat_map(BTreeMap::into_values);
    for (places, reply) in places.zip(found.into_iter().flatten()) {
        match reply {
            Reply::Bytes(_) => places.into_iter().for_each(|at| replies[at] = reply.clone()),
            Reply::Nil | Reply::Failed(OpError::WrongType) => {}
            Reply::Failed(error) => return Err(error.into()),
            _ => return Err(OpError::Malformed.into()),
        }
    }
    Ok(replies)
}
