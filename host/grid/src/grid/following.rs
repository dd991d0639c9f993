//! Followers: members that learn of each change of the keys of some maps. See
//! [`tracking`](crate::tracking).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use convoke_membership::MemberId;
use parking_lot::{Mutex, RwLock};

use super::state::{Grid, Inner, Later};
use crate::limits::MAPS_MAX;
use crate::message::Message;
use crate::tracking::{Change, Tracker};

/// Maximum number of changes in one message between members.
const CHANGES_MAX: usize = 10_000;

/// The maps that this member follows, and where it reports their changes.
struct Own {
    maps: BTreeSet<String>,
    tracker: Arc<dyn Tracker>,
}

/// Another member that follows maps.
struct Follower {
    maps: BTreeSet<String>,
    /// It did not keep up, and missed changes.
    is_behind: AtomicBool,
}

/// Followers of maps: this member, and others.
#[derive(Default)]
pub(super) struct Following {
    own: RwLock<Option<Own>>,
    others: RwLock<BTreeMap<MemberId, Follower>>,
    /// Held while maps are marked as followed, so that an older state does not replace a newer one.
    marking: Mutex<()>,
}

impl Following {
    /// The maps that this member follows.
    fn own_maps(&self) -> Vec<String> {
        let own = self.own.read();
        own.as_ref().map(|own| own.maps.iter().cloned().collect()).unwrap_or_default()
    }

    /// Reports changes to this member.
    pub(super) fn deliver(&self, changes: &[Change]) {
        let own = self.own.read();
        let Some(own) = &*own else { return };
        if changes.iter().all(|change| own.maps.contains(&*change.map)) {
            own.tracker.handle_changes(changes);
            return;
        }
        let of_own = changes.iter().filter(|change| own.maps.contains(&*change.map));
        let of_own: Vec<Change> = of_own.cloned().collect();
        if !of_own.is_empty() {
            own.tracker.handle_changes(&of_own);
        }
    }

    /// Reports to this member that changes may have been missed.
    pub(super) fn handle_uncertain(&self) {
        if let Some(own) = &*self.own.read() {
            own.tracker.handle_uncertain();
        }
    }

    /// Removes a member that is not in the view any more.
    pub(super) fn forget(&self, member: MemberId) {
        self.others.write().remove(&member);
    }
}

impl Inner {
    /// Reports changes to all followers of their maps.
    pub(super) fn publish_changes(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.following.deliver(changes);
        let others = self.following.others.read();
        for (member, follower) in others.iter() {
            let Some(peer) = self.shared.peer(*member) else { continue };
            let wanted: Vec<&Change> =
                changes.iter().filter(|change| follower.maps.contains(&*change.map)).collect();
            if wanted.is_empty() {
                continue;
            }
            // It is notified later that it has missed changes.
            if follower.is_behind.load(Ordering::Acquire) || peer.is_full() {
                follower.is_behind.store(true, Ordering::Release);
                continue;
            }
            for part in wanted.chunks(CHANGES_MAX) {
                let changes = part.iter().map(|change| (*change).clone()).collect();
                peer.push(|bytes| Message::Changes { changes }.encode(bytes));
            }
        }
    }

    /// Notifies followers that keep up again that they have missed changes.
    pub(super) fn catch_up_followers(&self) {
        let others = self.following.others.read();
        for (member, follower) in others.iter() {
            if !follower.is_behind.load(Ordering::Acquire) {
                continue;
            }
            let Some(peer) = self.shared.peer(*member).filter(|peer| !peer.is_full()) else {
                continue;
            };
            // Reset before the message is sent: what changes from here on is sent after it, or sets
            // the flag again.
            follower.is_behind.store(false, Ordering::Release);
            peer.push(|bytes| Message::ChangesMissed.encode(bytes));
        }
    }

    /// Handles which maps another member follows. `None` if there are too many.
    pub(super) fn handle_follow(&self, from: MemberId, maps: Vec<String>) -> Option<()> {
        if maps.len() > MAPS_MAX {
            return None;
        }
        {
            let mut others = self.following.others.write();
            if maps.is_empty() {
                others.remove(&from);
            } else {
                let maps = maps.into_iter().collect();
                let follower = Follower { maps, is_behind: AtomicBool::new(false) };
                if let Some(before) = others.insert(from, follower)
                    && before.is_behind.into_inner()
                    && let Some(follower) = others.get(&from)
                {
                    follower.is_behind.store(true, Ordering::Release);
                }
            }
        }
        self.mark_followed();
        Some(())
    }

    /// Marks the maps that anyone follows.
    pub(super) fn mark_followed(&self) {
        let _one_at_a_time = self.following.marking.lock();
        let mut wanted: BTreeSet<String> = self.following.own_maps().into_iter().collect();
        for follower in self.following.others.read().values() {
            wanted.extend(follower.maps.iter().cloned());
        }
        for map in &wanted {
            // Creates the map, so that its first change is reported too.
            let _ = self.shared.maps.open(map);
        }
        for map in self.shared.maps.all() {
            map.followed.store(wanted.contains(&*map.name), Ordering::Release);
        }
    }
}

impl Grid {
    /// Follows maps: `tracker` receives each change of their keys, on any member. Replaces what was
    /// followed before. Completes once all other members know.
    pub fn follow(&self, maps: &[String], tracker: Arc<dyn Tracker>) -> Later<()> {
        let own = Own { maps: maps.iter().cloned().collect(), tracker };
        *self.inner.following.own.write() = Some(own);
        self.announce_followed();
        self.announcements_received()
    }

    /// Ends following.
    pub fn unfollow(&self) {
        *self.inner.following.own.write() = None;
        self.announce_followed();
    }

    fn announce_followed(&self) {
        self.inner.mark_followed();
        let maps = self.inner.following.own_maps();
        self.inner.shared.send_all(&Message::Follow { maps });
    }

    /// Sends a member the maps that this one follows, if there are any. Keys that were read before
    /// that member knew may have changed.
    pub(super) fn announce_followed_to(&self, member: MemberId) {
        let maps = self.inner.following.own_maps();
        if !maps.is_empty() {
            self.inner.shared.send(member, &Message::Follow { maps });
            self.inner.following.handle_uncertain();
        }
    }
}
