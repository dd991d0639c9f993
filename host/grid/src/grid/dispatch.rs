//! Handles the messages of other members, and checks their bounds.

use convoke_membership::MemberId;

use super::state::Grid;
use crate::calls::Answer;
use crate::item::{ALL_HASHES, Held, Item};
use crate::message::Message;
use crate::partition::{ChunkRange, Partition};
use crate::session::Verdict;
use crate::table::Table;

impl Grid {
    /// Handles an out-of-band message of a member
    /// ([`Peer::poll_out_of_band`](crate::Peer::poll_out_of_band)). Other messages are ignored.
    pub fn handle_out_of_band(&self, from: MemberId, bytes: &[u8]) {
        match Message::decode(bytes) {
            Some(Message::Renew { nonce, stamp, generation }) => {
                self.handle_renew(from, nonce, stamp, generation);
            }
            Some(Message::Renewed { nonce, yes }) => self.handle_renewed(from, nonce, yes),
            _ => {}
        }
    }

    /// Handles a message of another member.
    pub(super) fn handle_message(&self, from: MemberId, bytes: &[u8]) -> Verdict {
        self.process_message(from, bytes).unwrap_or(Verdict::Malformed)
    }

    /// Like [`Grid::handle_message`]; `None` if the message is malformed.
    fn process_message(&self, from: MemberId, bytes: &[u8]) -> Option<Verdict> {
        let shared = &self.inner.shared;
        let message = Message::decode(bytes)?;
        let at = |number: u16| self.inner.partitions.get(usize::from(number));
        match message {
            Message::Records { partition, epoch, copy, time_ms, more, records } => {
                let mut partition = at(partition)?.lock();
                shared.clock.observe_time(shared.now(), time_ms);
                return Some(partition.handle_records(shared, from, (epoch, copy), more, records));
            }
            Message::KeepAlive => {}
            Message::MakeRoom { map, bytes } => {
                let map = shared.maps.open_copied(map).ok()?;
                let before = map.bytes();
                self.inner.evict(&map, || before.saturating_sub(map.bytes()) >= bytes);
            }
            Message::Invite { partition, epoch } => {
                at(partition)?.lock().handle_invite(shared, from, epoch);
            }
            Message::SyncRequest { partition, epoch, ask, place, held } => {
                let incomplete =
                    at(partition)?.lock().handle_ask(shared, from, epoch, ask, place, &held);
                if incomplete {
                    self.send_to_coordinator(Message::Incomplete {
                        partition,
                        epoch,
                        member: from,
                    });
                }
            }
            Message::SyncStart { partition, epoch, ask, maps } => {
                at(partition)?.lock().handle_start(shared, from, epoch, ask, &maps);
            }
            Message::Chunk { partition, epoch, map, start, end, first, last, items } => {
                let partition = at(partition)?;
                let map = shared.maps.open_copied(map).ok()?;
                let is_range = start <= end && end <= ALL_HASHES.end;
                let part = is_range.then_some(ChunkRange { range: start..end, first, last })?;
                partition.lock().handle_chunk(shared, from, epoch, &map, &part, items)?;
            }
            Message::SyncDone { partition, epoch, ask } => {
                at(partition)?.lock().handle_done(shared, from, epoch, ask);
            }
            Message::Synced { partition, epoch, ask } => {
                let place = at(partition)?.lock().handle_synced(from, epoch, ask);
                if let Some(place) = place {
                    let member = from;
                    self.send_to_coordinator(Message::Completed {
                        partition,
                        epoch,
                        member,
                        place,
                    });
                }
            }
            Message::Check { partition, epoch, copy, digests } => {
                at(partition)?.lock().handle_check(shared, from, (epoch, copy), &digests);
            }
            Message::Handoff { partition, epoch } => {
                at(partition)?.lock().handle_handoff(shared, from, epoch);
            }
            Message::Diverged { stamp } => {
                shared.diverged.lock().insert(from, stamp);
                for partition in &self.inner.partitions {
                    partition.lock().give_up_handoff(shared, from);
                }
            }
            Message::Request { id, version, partition, map, waits, op } => {
                shared.clock.observe(version);
                at(partition)?;
                self.handle_ask(from, id, partition, map, waits, &op);
            }
            Message::Cancel { id } => self.handle_cancel(from, id),
            Message::Answer { id, version, outcome } => {
                shared.clock.observe(version);
                self.inner.calls.handle_answer(from, id, Answer::RemoteResult(outcome));
            }
            Message::MergeOffer { id, partition, held } => {
                let partition = at(partition)?;
                self.handle_merge_ask(from, id, &partition.lock(), &held);
            }
            Message::MergeRanges { id, ranges } => {
                self.inner.calls.handle_answer(from, id, Answer::Wants(ranges));
            }
            Message::Merge { id, partition, same_cluster, map, items } => {
                at(partition)?;
                let items = Item::decode_all(items)?;
                self.handle_merge(from, id, partition, map, &items, same_cluster);
            }
            Message::Merged { id, done } => {
                self.inner.calls.handle_answer(from, id, Answer::Merged(done));
            }
            Message::Query => {
                let table = self.inner.table().map(|table| Table::clone(&table));
                let version = shared.clock.last();
                shared.send(from, &Message::Report { version, table });
            }
            Message::Report { version, table } => {
                shared.clock.observe(version);
                self.handle_report(from, table);
            }
            Message::Table { version, now_ms, table } => {
                shared.clock.observe(version);
                self.handle_table(from, table, now_ms);
            }
            Message::Heartbeat { stamp, now_ms } => self.handle_pulse(from, stamp, now_ms),
            Message::Completed { partition, epoch, member, place } => {
                self.handle_copy(partition, epoch, member, Some(place));
            }
            Message::Incomplete { partition, epoch, member } => {
                self.handle_copy(partition, epoch, member, None);
            }
            // Only valid as out-of-band messages.
            Message::Renew { .. } | Message::Renewed { .. } => return None,
            Message::DataMerged { stamp, generation } => {
                self.handle_settled(from, stamp, generation);
            }
            Message::Leaving => {
                self.inner.control.lock().handle_leaving(from);
                self.coordinate();
            }
            Message::Publish { id, topic, payload } => {
                let (topic, payload) = (topic.to_vec().into(), payload.to_vec().into());
                let count = self.inner.topics.deliver(&topic, &payload);
                shared.send(from, &Message::Delivered { id, count });
            }
            Message::PublishShard { id, topic, payload } => {
                let (topic, payload) = (topic.to_vec().into(), payload.to_vec().into());
                let count = self.inner.topics.deliver_shard(&topic, &payload);
                shared.send(from, &Message::Delivered { id, count });
            }
            Message::Delivered { id, count } => {
                self.inner.calls.handle_answer(from, id, Answer::Delivered(count));
            }
            Message::Subscriptions { id, query } => {
                // A member that does not read its answers gets no further ones.
                if shared.peer(from).is_some_and(|peer| !peer.is_full()) {
                    let found = self.inner.topics.query(&query);
                    shared.send(from, &Message::Subscribed { id, found });
                }
            }
            Message::Subscribed { id, found } => {
                self.inner.calls.handle_answer(from, id, Answer::Subscriptions(found));
            }
            Message::Interest { maps } => {
                self.inner.listeners.interest(from, maps);
                self.inner.refresh_interest();
            }
            Message::Follow { maps } => self.inner.handle_follow(from, maps)?,
            Message::Changes { changes } => self.inner.following.deliver(&changes),
            Message::ChangesMissed => self.inner.following.handle_uncertain(),
            Message::Events(events) => self.inner.listeners.deliver(&events),
            Message::Setting { name, value, version } => {
                self.inner.handle_setting(name, value, version);
            }
        }
        Some(Verdict::Processed)
    }

    /// Answers, as the primary, a member that offers data to merge.
    fn handle_merge_ask(&self, from: MemberId, id: u64, partition: &Partition, held: &Held<'_>) {
        let shared = &self.inner.shared;
        match shared.maps.open(held.map) {
            Ok(map) if partition.serving_primary().is_some() => {
                let ranges = partition.ranges_to_merge(&map, held);
                shared.send(from, &Message::MergeRanges { id, ranges });
            }
            _ => {
                shared.send(from, &Message::Merged { id, done: false });
            }
        }
    }
}
