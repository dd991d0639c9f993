//! Topics, events of keys, and settings of the whole cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use convoke_membership::MemberId;
use parking_lot::RwLock;

use super::{Grid, Inner, Later, OP_MS_MAX};
use crate::calls::{Answer, Progress};
use crate::event::Event;
use crate::message::Message;
use crate::topic::{
    Subscriber, SubscriptionId, SubscriptionInfo, SubscriptionQuery, TooManyNames, TopicFilter,
};
use crate::{OpError, Peer, Version};

/// How long a member may take to say what its clients subscribed to, in milliseconds.
pub const SUBSCRIPTIONS_MS_MAX: u64 = 1_000;
/// Settings of the whole cluster, at most.
const SETTINGS_MAX: usize = 64;

/// Takes what happens to keys. Must not block.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn handle_event(&self, event: &Event);
}

/// A listener of this member, and its map.
type Own = (String, Arc<dyn Listener>);

/// Who wants to know what happens in which maps.
#[derive(Default)]
pub(crate) struct Listeners {
    next: AtomicU64,
    own: RwLock<BTreeMap<u64, Own>>,
    /// Other members, by what they asked for.
    others: RwLock<BTreeMap<MemberId, BTreeSet<String>>>,
}

impl Listeners {
    pub(crate) fn interest(&self, from: MemberId, maps: Vec<String>) {
        self.others.write().insert(from, maps.into_iter().collect());
    }

    pub(crate) fn forget(&self, member: MemberId) {
        self.others.write().remove(&member);
    }

    pub(crate) fn deliver(&self, events: &[Event]) {
        let own = self.own.read();
        for event in events {
            for (_, listener) in own.values().filter(|(map, _)| *map == event.map) {
                listener.handle_event(event);
            }
        }
    }

    fn own_maps(&self) -> Vec<String> {
        let own = self.own.read();
        own.values().map(|(map, _)| map.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Inner {
    /// Tells those who listen, here and elsewhere.
    pub(super) fn publish_events(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        self.listeners.deliver(events);
        let others = self.listeners.others.read();
        for (member, maps) in others.iter() {
            let wanted: Vec<_> =
                events.iter().filter(|event| maps.contains(&event.map)).cloned().collect();
            let Some(peer) = self.core.peer(*member).filter(|_| !wanted.is_empty()) else {
                continue;
            };
            if peer.is_full() {
                self.events_dropped.fetch_add(wanted.len() as u64, Ordering::Relaxed);
            } else {
                peer.push(|bytes| Message::Events(wanted).encode(bytes));
            }
        }
    }

    /// Asks each of these members, which have so long to answer. Gives the calls.
    fn ask_each<'m>(
        &self,
        peers: Vec<Arc<Peer>>,
        ms_max: u64,
        message: impl Fn(u64) -> Message<'m>,
    ) -> Vec<u64> {
        let deadline = self.core.now() + Duration::from_millis(ms_max);
        let ask = |peer: Arc<Peer>| {
            let id = self.calls.begin(peer.id(), deadline);
            peer.push(|bytes| message(id).encode(bytes));
            id
        };
        peers.into_iter().map(ask).collect()
    }

    /// Notes which maps somebody listens to.
    pub(super) fn refresh_interest(&self) {
        let mut wanted: BTreeSet<String> = self.listeners.own_maps().into_iter().collect();
        wanted.extend(self.listeners.others.read().values().flatten().cloned());
        for map in &wanted {
            // It begins to be, so that what happens in it first is told too.
            let _ = self.core.maps.open(map);
        }
        for map in self.core.maps.all() {
            map.listened.store(wanted.contains(&*map.name), Ordering::Relaxed);
        }
    }

    pub(super) fn take_setting(&self, name: &str, value: &str, version: Version) {
        self.core.clock.observe(version);
        let mut settings = self.settings.lock();
        let newer = settings.get(name).is_none_or(|(_, here)| *here < version);
        if newer && (settings.len() < SETTINGS_MAX || settings.contains_key(name)) {
            settings.insert(name.into(), (value.into(), version));
        }
    }
}

impl Grid {
    /// Tells a member what it must know of this one.
    pub(super) fn announce_to(&self, member: MemberId) {
        let inner = &self.inner;
        let maps = inner.listeners.own_maps();
        if !maps.is_empty() {
            inner.core.send(member, &Message::Interest { maps });
        }
        for (name, (value, version)) in &*inner.settings.lock() {
            inner.core.send(member, &Message::Setting { name, value, version: *version });
        }
    }

    /// Publishes on a topic. The answer is how many subscribers on all members
    /// got it.
    ///
    /// # Errors
    /// [`OpError::Busy`] when a member does not keep up: then nobody got it.
    pub fn publish(&self, topic: &[u8], payload: &[u8]) -> Result<Later<u64>, OpError> {
        let inner = Arc::clone(&self.inner);
        let peers = self.peers();
        if peers.iter().any(|peer| peer.is_full()) {
            return Err(OpError::Busy);
        }
        let calls = inner.ask_each(peers, OP_MS_MAX, |id| Message::Publish { id, topic, payload });
        let (topic, payload) = (Bytes::copy_from_slice(topic), Bytes::copy_from_slice(payload));
        let mut count = inner.topics.deliver(&topic, &payload);
        Ok(Box::pin(async move {
            for id in calls {
                let progress = poll_fn(|context| inner.calls.poll(id, context)).await;
                if let Progress::Answered(Answer::Delivered(there)) = progress {
                    count = count.saturating_add(there);
                }
            }
            count
        }))
    }

    /// Events that were dropped since a member that listens does not keep up.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.inner.events_dropped.load(Ordering::Relaxed)
    }

    /// Publishes to the subscribers of this member alone; returns how many got it.
    pub fn publish_here(&self, topic: &Bytes, payload: &Bytes) -> u64 {
        self.inner.topics.deliver(topic, payload)
    }

    /// Subscribes on this member.
    pub fn subscribe(
        &self,
        filter: TopicFilter,
        subscriber: Arc<dyn Subscriber>,
    ) -> SubscriptionId {
        self.inner.topics.subscribe(filter, subscriber)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        self.inner.topics.unsubscribe(id);
    }

    /// What clients of this member subscribed to.
    ///
    /// # Errors
    /// When there are more names than an answer may have.
    pub fn subscriptions_here(
        &self,
        query: &SubscriptionQuery,
    ) -> Result<SubscriptionInfo, TooManyNames> {
        self.inner.topics.query(query)
    }

    /// What clients of all members subscribed to. A member that does not answer within
    /// [`SUBSCRIPTIONS_MS_MAX`], does not keep up, or is lost meanwhile is left out.
    ///
    /// # Errors
    /// When there are more names than an answer may have.
    pub fn subscriptions(
        &self,
        query: &SubscriptionQuery,
    ) -> Later<Result<SubscriptionInfo, TooManyNames>> {
        let inner = Arc::clone(&self.inner);
        let mut peers = self.peers();
        peers.retain(|peer| !peer.is_full());
        let calls = inner.ask_each(peers, SUBSCRIPTIONS_MS_MAX, |id| Message::Subscriptions {
            id,
            query: query.clone(),
        });
        let found = inner.topics.query(query);
        Box::pin(async move {
            let mut found = found?;
            for id in calls {
                let progress = poll_fn(|context| inner.calls.poll(id, context)).await;
                if let Progress::Answered(Answer::Subscriptions(there)) = progress {
                    found.add(there?)?;
                }
            }
            Ok(found)
        })
    }

    /// Listens to what happens in a map, on whichever member. Returns a number to
    /// [`Grid::unlisten`] by.
    pub fn listen(&self, map: &str, listener: Arc<dyn Listener>) -> u64 {
        let listeners = &self.inner.listeners;
        let id = listeners.next.fetch_add(1, Ordering::Relaxed);
        listeners.own.write().insert(id, (map.into(), listener));
        // The map begins to be, so that it is known to be listened to.
        let _ = self.open(map);
        self.announce_interest();
        id
    }

    /// Ends listening.
    pub fn unlisten(&self, id: u64) {
        self.inner.listeners.own.write().remove(&id);
        self.announce_interest();
    }

    fn announce_interest(&self) {
        self.inner.refresh_interest();
        let maps = self.inner.listeners.own_maps();
        self.inner.core.send_all(&Message::Interest { maps });
    }

    /// Completes once all members that are there have dealt with what this one told
    /// them until now, or after a while: what it listens to, and settings.
    pub fn announcements_received(&self) -> Later<()> {
        let inner = Arc::clone(&self.inner);
        let deadline = inner.core.now() + Duration::from_millis(OP_MS_MAX);
        let told: Vec<_> = self.peers().into_iter().map(|p| (p.last_sent(), p)).collect();
        Box::pin(poll_fn(move |context| {
            let now = inner.core.now();
            let mut is_open = false;
            for (sent, peer) in &told {
                is_open |= peer.wait(*sent, now, context.waker());
            }
            if is_open && now < deadline { Poll::Pending } else { Poll::Ready(()) }
        }))
    }

    /// A setting that all members share, as set last; until one is set, this member's own.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        let shared = self.inner.settings.lock().get(name).map(|(value, _)| value.clone());
        shared.or_else(|| self.inner.own_settings.lock().get(name).cloned())
    }

    /// Sets what a setting is on this member alone, until one is set for all members.
    pub fn set_own_setting(&self, name: &str, value: &str) {
        let mut own = self.inner.own_settings.lock();
        if own.len() < SETTINGS_MAX || own.contains_key(name) {
            own.insert(name.into(), value.into());
        }
    }

    /// Changes a setting on all members.
    pub fn set_setting(&self, name: &str, value: &str) {
        let core = &self.inner.core;
        let version = core.clock.next(core.now());
        self.inner.take_setting(name, value, version);
        core.send_all(&Message::Setting { name, value, version });
    }
}
