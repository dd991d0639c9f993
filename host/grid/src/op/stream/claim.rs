//! Giving pending entries to another consumer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answer::{Room, entry_reply, id_reply};
use super::group::{check_consumer, touch_consumer};
use super::{edit, group_of};
use crate::access::Access;
use crate::value::stream::{Activity, Delivery, Position};
use crate::value::{StreamEdit, StreamId};
use crate::{GroupUse, OpError, Reply};

/// How many pending entries are examined for each one that may be claimed.
const ATTEMPTS_FACTOR: u64 = 10;

/// When a claimed entry counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimTime {
    /// This number of milliseconds ago.
    Ago(i64),
    /// At this time, in milliseconds since 1970.
    At(i64),
}

impl ClaimTime {
    /// The time in milliseconds since 1970; now if it would be in the future or before 1970.
    fn ms(self, now_ms: u64) -> u64 {
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let ms = match self {
            Self::Ago(ms) => now.checked_sub(ms),
            Self::At(ms) => Some(ms),
        };
        ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms <= now_ms).unwrap_or(now_ms)
    }
}

/// Entries that a consumer claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim<'a> {
    /// The group.
    #[serde(borrow, with = "serde_bytes")]
    pub group: &'a [u8],
    /// The consumer that gets them.
    #[serde(borrow, with = "serde_bytes")]
    pub consumer: &'a [u8],
    /// Only entries that were delivered at least this number of milliseconds ago.
    pub idle_ms: u64,
    /// The entries.
    pub ids: Vec<StreamId>,
    /// When they count as delivered.
    pub time: ClaimTime,
    /// How many times they count as delivered; otherwise once more, unless only IDs are returned.
    pub deliveries: Option<u64>,
    /// Whether entries that are not pending are claimed too.
    pub force: bool,
    /// Whether to return IDs only.
    pub only_ids: bool,
    /// The group is moved to this entry if it has not read that far.
    pub last: Option<StreamId>,
}

/// Entries that a consumer claims because they were delivered some time ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoClaim<'a> {
    /// The group.
    #[serde(borrow, with = "serde_bytes")]
    pub group: &'a [u8],
    /// The consumer that gets them.
    #[serde(borrow, with = "serde_bytes")]
    pub consumer: &'a [u8],
    /// Only entries that were delivered at least this number of milliseconds ago.
    pub idle_ms: u64,
    /// The first entry to examine.
    pub start: StreamId,
    /// How many to claim at most.
    pub count: u64,
    /// Whether to return IDs only.
    pub only_ids: bool,
}

/// What a claim does.
#[derive(Default)]
struct Claimed {
    replies: Vec<Reply>,
    /// Entries that the consumer gets.
    pend: BTreeMap<StreamId, Delivery>,
    /// Entries that do not exist any more.
    gone: BTreeSet<StreamId>,
}

impl Claimed {
    /// Applies it. Returns the replies.
    fn apply(
        self,
        access: &mut Access<'_>,
        key: &[u8],
        group: (&[u8], Option<Activity>),
        consumer: &[u8],
    ) -> Vec<Reply> {
        touch_consumer(access, key, group, consumer, !self.pend.is_empty());
        let group = group.0;
        if !self.pend.is_empty() {
            let entries = self.pend.into_iter().collect();
            edit(access, key, StreamEdit::Pend { group, consumer, entries });
        }
        if !self.gone.is_empty() {
            edit(access, key, StreamEdit::Unpend { group, ids: self.gone.into_iter().collect() });
        }
        self.replies
    }
}

pub(super) fn claim(
    access: &mut Access<'_>,
    key: &[u8],
    claim: &Claim<'_>,
) -> Result<Reply, OpError> {
    let now_ms = access.now_ms;
    let (stream, group) = group_of(access, key, claim.group, GroupUse::Pending)?;
    check_consumer(group, claim.consumer)?;
    let mut claimed = Claimed::default();
    let mut room = Room::for_all();
    for id in &claim.ids {
        // An entry may be named twice.
        let known = claimed.pend.get(id).copied();
        let old = known.or_else(|| group.pending.get(id).map(|pending| pending.delivery));
        let Some(entry) = stream.get(*id) else {
            if old.is_some() {
                claimed.gone.insert(*id);
            }
            continue;
        };
        let count = match old {
            None if !claim.force => continue,
            // As in Redis, an entry that was not pending counts as delivered once before.
            None => 1,
            Some(old) if now_ms.saturating_sub(old.time_ms) < claim.idle_ms => continue,
            Some(old) => old.count,
        };
        let count = match claim.deliveries {
            Some(count) => count,
            None if claim.only_ids => count,
            None => count.saturating_add(1),
        };
        let delivery = Delivery { time_ms: claim.time.ms(now_ms), count };
        claimed.pend.insert(*id, delivery);
        claimed.replies.push(if claim.only_ids {
            id_reply(*id)
        } else {
            room.take(&entry)?;
            entry_reply(&entry)
        });
    }
    let old = group.consumers.get(claim.consumer).map(|consumer| consumer.activity);
    let position = claim
        .last
        .filter(|last| *last > group.position.last)
        .map(|last| Position { last, ..group.position });
    if let Some(position) = position {
        edit(access, key, StreamEdit::Group { name: claim.group, position });
    }
    Ok(Reply::List(claimed.apply(access, key, (claim.group, old), claim.consumer)))
}

pub(super) fn auto_claim(
    access: &mut Access<'_>,
    key: &[u8],
    claim: &AutoClaim<'_>,
) -> Result<Reply, OpError> {
    let now_ms = access.now_ms;
    let (stream, group) = group_of(access, key, claim.group, GroupUse::Pending)?;
    check_consumer(group, claim.consumer)?;
    let mut claimed = Claimed::default();
    let mut room = Room::for_reader();
    let mut attempts = claim.count.saturating_mul(ATTEMPTS_FACTOR);
    let mut count = claim.count;
    let mut next = StreamId::MIN;
    for (id, pending) in group.pending.range(claim.start..) {
        if attempts == 0 || count == 0 {
            next = *id;
            break;
        }
        attempts -= 1;
        let Some(entry) = stream.get(*id) else {
            claimed.gone.insert(*id);
            count -= 1;
            continue;
        };
        let Delivery { time_ms, count: deliveries } = pending.delivery;
        if now_ms.saturating_sub(time_ms) < claim.idle_ms {
            continue;
        }
        if !claim.only_ids && !room.has(&entry) {
            next = *id;
            break;
        }
        let deliveries = if claim.only_ids { deliveries } else { deliveries.saturating_add(1) };
        claimed.pend.insert(*id, Delivery { time_ms: now_ms, count: deliveries });
        let reply = if claim.only_ids { id_reply(*id) } else { entry_reply(&entry) };
        claimed.replies.push(reply);
        count -= 1;
    }
    let old = group.consumers.get(claim.consumer).map(|consumer| consumer.activity);
    let gone = claimed.gone.iter().copied().map(id_reply).collect();
    let entries = claimed.apply(access, key, (claim.group, old), claim.consumer);
    Ok(Reply::List(vec![id_reply(next), Reply::List(entries), Reply::List(gone)]))
}
