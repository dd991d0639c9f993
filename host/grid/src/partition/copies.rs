//! Synchronization of the backups by the primary: sends, compares and repairs copies.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;

use super::Partition;
use super::role::{LinkState, Role};
use crate::encoding;
use crate::item::{ALL_HASHES, Held};
use crate::message::{MapStart, Message};
use crate::session::Peer;
use crate::shared::Shared;

/// Maximum number of unacknowledged bytes of copies to one member.
const COPY_WINDOW_BYTES: usize = 1024 * 1024;
/// Bytes of entries that are read for a copy while the partition is locked.
const CHUNK_BYTES: usize = 128 * 1024;
/// Bytes of one message of a copy; a structure is divided into several.
const PART_BYTES: usize = 1024 * 1024;

impl Partition {
    /// Invites all backups that have not requested a copy yet.
    pub(super) fn invite(&self) {
        let Role::Primary(role) = &self.role else { return };
        for link in role.links.iter().filter(|link| matches!(link.state, LinkState::Expected)) {
            let message = Message::Invite { partition: self.number, epoch: self.epoch };
            link.peer.push(|bytes| message.encode(bytes));
        }
    }

    /// Invites backups that could not keep up, once they can.
    pub(super) fn invite_again(&mut self) {
        let Role::Primary(role) = &mut self.role else { return };
        for link in role.links.iter_mut().filter(|link| link.is_behind) {
            if link.peer.backlog() <= COPY_WINDOW_BYTES {
                link.is_behind = false;
                let message = Message::Invite { partition: self.number, epoch: self.epoch };
                link.peer.push(|bytes| message.encode(bytes));
            }
        }
    }

    /// Handles a backup's request for a copy, and answers with the differing ranges. Returns
    /// whether a complete copy became incomplete.
    pub(crate) fn handle_ask(
        &mut self,
        shared: &Shared,
        from: MemberId,
        epoch: u64,
        ask: u64,
        place: u8,
        held: &[Held<'_>],
    ) -> bool {
        let maps = shared.maps.all();
        if self.serving_primary().is_none() || self.epoch != epoch {
            return false;
        }
        let mut starts = Vec::new();
        let mut ranges = VecDeque::new();
        for map in maps.iter().filter(|map| map.settings().copies() >= usize::from(place)) {
            let theirs = held.iter().find(|held| *held.map == *map.name);
            let Some(fragment) = self.fragment_of(map) else { continue };
            let differing = match theirs {
                Some(held) if held.digest == fragment.digest() => Vec::new(),
                Some(held) => fragment.differing(held),
                None if fragment.is_blank() => continue,
                None => vec![ALL_HASHES],
            };
            ranges.extend(differing.iter().map(|range| (map.index, range.start, range.end)));
            starts.push(MapStart {
                map: &map.name,
                cleared: fragment.cleared(),
                floor: fragment.floor(),
                ranges: differing.into_iter().map(|range| (range.start, range.end)).collect(),
            });
        }
        let partition = self.number;
        let Role::Primary(role) = &mut self.role else { return false };
        let Some(link) = role.link(from).filter(|link| link.place == place) else { return false };
        let message = Message::SyncStart { partition, epoch, ask, maps: starts };
        link.peer.push(|bytes| message.encode(bytes));
        // A complete backup only asks if its copy has become incomplete.
        let incomplete = matches!(link.state, LinkState::Synced);
        link.invalidated |= incomplete;
        link.is_behind = false;
        link.state = LinkState::Copying(ranges);
        link.ask = ask;
        shared.copying.lock().entry(from).or_default().insert(partition);
        self.pump(shared, from);
        incomplete
    }

    /// Sends more of a copy to a member, within the window. Returns whether nothing is left to
    /// send.
    pub(crate) fn pump(&mut self, shared: &Shared, to: MemberId) -> bool {
        loop {
            let Role::Primary(role) = &mut self.role else { return true };
            let Some(link) = role.link(to) else { return true };
            let LinkState::Copying(ranges) = &mut link.state else { return true };
            if link.peer.backlog() > COPY_WINDOW_BYTES {
                return false;
            }
            let peer = Arc::clone(&link.peer);
            let (partition, epoch) = (self.number, self.epoch);
            let Some((index, start, end)) = ranges.front().copied() else {
                link.state = LinkState::Sent;
                let message = Message::SyncDone { partition, epoch, ask: link.ask };
                link.done = Some(peer.push(|bytes| message.encode(bytes)));
                return true;
            };
            let stopped = self.send_chunk(shared, &peer, index, start..end);
            if let Role::Primary(role) = &mut self.role
                && let Some(link) = role.link(to)
                && let LinkState::Copying(ranges) = &mut link.state
            {
                match ranges.front_mut() {
                    Some(range) if stopped < end => range.1 = stopped,
                    _ => {
                        ranges.pop_front();
                    }
                }
            }
        }
    }

    /// Sends the start of a range. Returns the hash at which it stopped.
    fn send_chunk(&self, shared: &Shared, peer: &Peer, index: usize, range: Range<u64>) -> u64 {
        let Some(map) = shared.maps.at(index) else { return range.end };
        let Some(fragment) = self.fragment_of(&map) else { return range.end };
        // Items are encoded while they are read, and divided into messages.
        let mut parts = vec![Vec::new()];
        let stopped = fragment.items(&range, CHUNK_BYTES, &mut |item| {
            if parts.last().is_some_and(|part: &Vec<u8>| part.len() >= PART_BYTES) {
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                encoding::append(item, part);
            }
        });
        let count = parts.len();
        for (at, items) in parts.iter().enumerate() {
            let message = Message::Chunk {
                partition: self.number,
                epoch: self.epoch,
                map: &map.name,
                start: range.start,
                end: stopped,
                first: at == 0,
                last: at + 1 == count,
                items,
            };
            peer.push(|bytes| message.encode(bytes));
        }
        stopped
    }

    /// Handles that a backup has its complete copy. Returns the place for which it is complete.
    pub(crate) fn handle_synced(&mut self, from: MemberId, epoch: u64, ask: u64) -> Option<u8> {
        let Role::Primary(role) = &mut self.role else { return None };
        if self.epoch != epoch {
            return None;
        }
        let link = role.link(from)?;
        if !matches!(link.state, LinkState::Sent) || link.ask != ask {
            return None;
        }
        link.state = LinkState::Synced;
        link.invalidated = false;
        link.complete = Some(link.complete.map_or(link.place, |c| c.min(link.place)));
        let place = link.place;
        // The copy includes these writes.
        for (_, needs) in &mut self.in_flight {
            needs.retain(|need| need.peer.id() != from || !link.has(need.sent));
        }
        self.wake_all();
        Some(place)
    }

    /// Handles that messages to a backup were lost, so that its copy is incomplete.
    pub(crate) fn handle_lost(&mut self, peer: MemberId) {
        let Role::Primary(role) = &mut self.role else { return };
        if let Some(link) = role.link(peer) {
            link.state = LinkState::Expected;
        }
        self.invite();
        self.wake_all();
    }

    /// Sends the backups the digests that their copies should have.
    pub(crate) fn check(&mut self, shared: &Shared, now: Duration) {
        if self.serving_primary().is_none() {
            return;
        }
        self.expire_due(shared, now);
        let Role::Primary(role) = &self.role else { return };
        let maps = shared.maps.all();
        for link in role.links.iter().filter(|link| matches!(link.state, LinkState::Synced)) {
            let digests = self.digests(&maps, link.place);
            let digests =
                digests.into_iter().map(|(index, digest)| (&*maps[index].name, digest)).collect();
            let (partition, epoch, copy) = (self.number, self.epoch, link.ask);
            let message = Message::Check { partition, epoch, copy, digests };
            link.peer.push(|bytes| message.encode(bytes));
        }
    }
}
