//! The offering side of merges: data of another table is sent to the current primaries before it is
//! dropped.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_membership::MemberId;

use super::routing::await_replication;
use super::state::Grid;
use crate::calls::{Answer, Progress};
use crate::encoding;
use crate::host::Report;
use crate::item::Item;
use crate::limits::OP_MS_MAX;
use crate::map::Map;
use crate::message::Message;
use crate::partition::{Executed, Partition, Role};

/// Maximum length of the items in one message, in bytes.
const MERGE_BYTES: usize = 256 * 1024;

impl Grid {
    /// Starts to merge leftover data, unless a merge is running or there is no other member.
    pub(super) fn merge_leftovers(&self) {
        let inner = &self.inner;
        if inner.shared.peers.read().is_empty() || inner.merging.swap(true, Ordering::AcqRel) {
            return;
        }
        let grid = self.clone();
        inner.shared.host.spawn(Box::pin(async move {
            grid.merge_all().await;
            grid.inner.merging.store(false, Ordering::Release);
        }));
    }

    /// Offers all leftover data once. Data that could not be merged is offered again by the next
    /// attempt.
    async fn merge_all(&self) {
        let inner = &self.inner;
        for number in 0..self.partitions() {
            self.merge_partition(number).await;
        }
        if !self.has_leftovers() {
            self.clear_merge_state();
            self.report_settled();
            inner.report(Report::Merged { items: inner.merged.swap(0, Ordering::Relaxed) });
        }
    }

    async fn merge_partition(&self, number: u16) {
        let inner = &self.inner;
        let shared = &inner.shared;
        let partition = &self.inner.partitions[usize::from(number)];
        if !partition.lock().leftover {
            return;
        }
        let table = self.inner.table().map(|table| table.stamp);
        for map in shared.maps.all() {
            let Some(primary) = inner.primary(number).filter(|primary| *primary != shared.me)
            else {
                return;
            };
            if !self.merge_map(number, &map, primary).await {
                return;
            }
        }
        let mut partition = partition.lock();
        if self.inner.table().map(|table| table.stamp) != table || !partition.leftover {
            return;
        }
        partition.leftover = false;
        if matches!(partition.role, Role::Backup(_)) {
            partition.ask(shared);
        } else if matches!(partition.role, Role::Idle) {
            partition.drop_all(shared);
        }
    }

    /// Offers one map of one partition. Returns whether it was merged.
    async fn merge_map(&self, number: u16, map: &Arc<Map>, primary: MemberId) -> bool {
        let inner = &self.inner;
        let shared = &inner.shared;
        let begin = || inner.calls.begin(primary, shared.now() + Duration::from_millis(OP_MS_MAX));
        let asked = {
            let partition = self.inner.partitions[usize::from(number)].lock();
            let Some(fragment) = partition.fragment_of(map) else { return true };
            let (id, held) = (begin(), fragment.held(&map.name));
            shared.send(primary, &Message::MergeOffer { id, partition: number, held });
            id
        };
        let answer = poll_fn(|context| inner.calls.poll(asked, context)).await;
        let Progress::Answered(Answer::Wants(ranges)) = answer else { return false };
        for (start, end) in ranges {
            let mut at = start;
            while at < end {
                let (mut items, mut count) = (Vec::new(), 0);
                {
                    let partition = self.inner.partitions[usize::from(number)].lock();
                    let Some(fragment) = partition.fragment_of(map) else { return true };
                    let shift_ms = self.inner.shift_ms.load(Ordering::Relaxed);
                    at = fragment.items(&(at..end), MERGE_BYTES, &mut |item| {
                        encoding::append(&item.clone().shifted(shift_ms), &mut items);
                        count += 1;
                    });
                }
                inner.merged.fetch_add(count, Ordering::Relaxed);
                let (id, map) = (begin(), &map.name);
                let same_cluster = self.inner.is_same_cluster.load(Ordering::Relaxed);
                let message =
                    Message::Merge { id, partition: number, same_cluster, map, items: &items };
                shared.send(primary, &message);
                match poll_fn(|context| inner.calls.poll(id, context)).await {
                    Progress::Answered(Answer::Merged(true)) => {}
                    _ => return false,
                }
            }
        }
        true
    }

    /// Handles items that a member offers.
    pub(super) fn handle_merge(
        &self,
        from: MemberId,
        id: u64,
        number: u16,
        map: &str,
        items: &[Item<'_>],
        same_cluster: bool,
    ) {
        let inner = &self.inner;
        let shared = &inner.shared;
        let executed = match shared.maps.open(map) {
            Ok(map) => {
                let now = shared.now();
                let work = |partition: &mut Partition| {
                    partition.merge(shared, &map, now, items, same_cluster)
                };
                inner.at(number, work)
            }
            Err(_) => Executed::NotPrimary,
        };
        match executed {
            Executed::NotPrimary | Executed::Queued(_) | Executed::Runs(_) => {
                shared.send(from, &Message::Merged { id, done: false });
            }
            Executed::Done(_, None) => {
                shared.send(from, &Message::Merged { id, done: true });
            }
            Executed::Done(reply, Some(ticket)) => {
                let inner = Arc::clone(inner);
                let host = Arc::clone(&inner.shared.host);
                host.spawn(Box::pin(async move {
                    let effect = crate::op::Effect::Adds;
                    let replicated = await_replication(Arc::clone(&inner), ticket, reply, effect);
                    let done = replicated.await.is_ok();
                    inner.shared.send(from, &Message::Merged { id, done });
                }));
            }
        }
    }
}
