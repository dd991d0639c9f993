//! Topics, events of keys, and cluster-wide settings.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use convoke_membership::MemberId;

use super::listeners::Listener;
use super::state::{Grid, Inner, Later};
use crate::calls::{Answer, Progress};
use crate::event::Event;
use crate::limits::OP_MS_MAX;
use crate::message::Message;
use crate::topic::{
    Subscriber, SubscriptionId, SubscriptionInfo, SubscriptionQuery, TooManyNames, TopicFilter,
};
use crate::{OpError, Peer, Version};

/// Time limit for a member to answer a query for subscriptions, in milliseconds.
pub const SUBSCRIPTIONS_MS_MAX: u64 = 1_000;
/// Maximum number of cluster-wide settings.
const SETTINGS_MAX: usize = 64;

impl Inner {
    /// Publishes events to listeners here and on other members.
    pub(super) fn publish_events(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        self.listeners.deliver(events);
        let others = self.listeners.others.read();
        for (member, maps) in others.iter() {
            let selected: Vec<_> =
                events.iter().filter(|event| maps.contains_key(&event.map)).cloned().collect();
            let Some(peer) = self.shared.peer(*member).filter(|_| !selected.is_empty()) else {
                continue;
            };
            if peer.is_full() {
                self.events_dropped.fetch_add(selected.len() as u64, Ordering::Relaxed);
            } else {
                peer.push(|bytes| Message::Events(selected).encode(bytes));
            }
        }
    }

    /// Sends a request to each of these members, with a deadline in `ms_max` milliseconds. Returns
    /// the ids of the calls.
    fn ask_each<'m>(
        &self,
        peers: Vec<Arc<Peer>>,
        ms_max: u64,
        message: impl Fn(u64) -> Message<'m>,
    ) -> Vec<u64> {
        let deadline = self.shared.now() + Duration::from_millis(ms_max);
        let ask = |peer: Arc<Peer>| {
            let id = self.calls.begin(peer.id(), deadline);
            peer.push(|bytes| message(id).encode(bytes));
            id
        };
        peers.into_iter().map(ask).collect()
    }

    /// Updates which maps have listeners.
    pub(super) fn refresh_interest(&self) {
        let mut listened: BTreeMap<String, bool> = self.listeners.own_maps().into_iter().collect();
        for (map, wants_values) in self.listeners.others.read().values().flatten() {
            *listened.entry(map.clone()).or_default() |= wants_values;
        }
        for map in listened.keys() {
            // Creates the map, so that its first event is published too.
            let _ = self.shared.maps.open(map);
        }
        for map in self.shared.maps.all() {
            let wanted = listened.get(&*map.name).copied();
            map.values_wanted.store(wanted == Some(true), Ordering::Relaxed);
            map.listened.store(wanted.is_some(), Ordering::Relaxed);
        }
    }

    pub(super) fn handle_setting(&self, name: &str, value: &str, version: Version) {
        self.shared.clock.observe(version);
        let mut settings = self.settings.lock();
        let newer = settings.get(name).is_none_or(|(_, here)| *here < version);
        if newer && (settings.len() < SETTINGS_MAX || settings.contains_key(name)) {
            settings.insert(name.into(), (value.into(), version));
            self.setting_changes.fetch_add(1, Ordering::Release);
        }
    }
}

impl Grid {
    /// Sends a new member the maps that this one listens to, and the settings.
    pub(super) fn announce_to(&self, member: MemberId) {
        let inner = &self.inner;
        let maps = inner.listeners.own_maps();
        if !maps.is_empty() {
            inner.shared.send(member, &Message::Interest { maps });
        }
        self.announce_followed_to(member);
        for (name, (value, version)) in &*inner.settings.lock() {
            inner.shared.send(member, &Message::Setting { name, value, version: *version });
        }
    }

    /// Publishes a message on a topic. The result is the number of subscribers on all members that
    /// received it.
    ///
    /// # Errors
    /// [`OpError::Busy`] when a member does not keep up; then no subscriber received it.
    pub fn publish(&self, topic: &[u8], payload: &[u8]) -> Result<Later<u64>, OpError> {
        self.publish_to(topic, payload, false)
    }

    /// Like [`Grid::publish`], on a shard topic.
    ///
    /// # Errors
    /// As [`Grid::publish`].
    pub fn publish_shard(&self, topic: &[u8], payload: &[u8]) -> Result<Later<u64>, OpError> {
        self.publish_to(topic, payload, true)
    }

    fn publish_to(
        &self,
        topic: &[u8],
        payload: &[u8],
        is_shard: bool,
    ) -> Result<Later<u64>, OpError> {
        let inner = Arc::clone(&self.inner);
        let peers = self.peers();
        if peers.iter().any(|peer| peer.is_full()) {
            return Err(OpError::Busy);
        }
        let calls = inner.ask_each(peers, OP_MS_MAX, |id| {
            if is_shard {
                Message::PublishShard { id, topic, payload }
            } else {
                Message::Publish { id, topic, payload }
            }
        });
        let (topic, payload) = (Bytes::copy_from_slice(topic), Bytes::copy_from_slice(payload));
        let mut count = if is_shard {
            inner.topics.deliver_shard(&topic, &payload)
        } else {
            inner.topics.deliver(&topic, &payload)
        };
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

    /// Number of events that were dropped, because a listening member does not keep up.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.inner.events_dropped.load(Ordering::Relaxed)
    }

    /// How many subscribers of this member would receive a message on this topic, or shard topic.
    #[must_use]
    pub fn receivers_here(&self, topic: &[u8], is_shard: bool) -> u64 {
        self.inner.topics.receivers(topic, is_shard)
    }

    /// Publishes to the subscribers of this member only; returns the number that received it.
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

    /// Answers a query for the subscriptions of clients of this member.
    ///
    /// # Errors
    /// When there are more names than an answer can hold.
    pub fn subscriptions_here(
        &self,
        query: &SubscriptionQuery,
    ) -> Result<SubscriptionInfo, TooManyNames> {
        self.inner.topics.query(query)
    }

    /// Answers a query for the subscriptions of clients of all members. A member that does not
    /// answer within [`SUBSCRIPTIONS_MS_MAX`], does not keep up, or is lost meanwhile, is left out.
    ///
    /// # Errors
    /// When there are more names than an answer can hold.
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

    /// Listens to events of a map, on any member. Returns an id for [`Grid::unlisten`].
    pub fn listen(&self, map: &str, listener: Arc<dyn Listener>) -> u64 {
        let listeners = &self.inner.listeners;
        let id = listeners.next.fetch_add(1, Ordering::Relaxed);
        listeners.own.write().insert(id, (map.into(), listener));
        // Creates the map, so that it is marked as listened to.
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
        self.inner.shared.send_all(&Message::Interest { maps });
    }

    /// Completes once all other members have processed what this one has announced so far (the maps
    /// that it listens to, and settings), or after [`OP_MS_MAX`].
    pub fn announcements_received(&self) -> Later<()> {
        let inner = Arc::clone(&self.inner);
        let deadline = inner.shared.now() + Duration::from_millis(OP_MS_MAX);
        let announced: Vec<_> = self.peers().into_iter().map(|p| (p.last_sent(), p)).collect();
        Box::pin(poll_fn(move |context| {
            let now = inner.shared.now();
            let mut is_open = false;
            for (sent, peer) in &announced {
                is_open |= peer.wait(*sent, now, context.waker());
            }
            if is_open && now < deadline { Poll::Pending } else { Poll::Ready(()) }
        }))
    }

    /// The value of a cluster-wide setting as last set, or this member's own value if it has not
    /// been set.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        let shared = self.inner.settings.lock().get(name).map(|(value, _)| value.clone());
        shared.or_else(|| self.inner.own_settings.lock().get(name).cloned())
    }

    /// Sets this member's own value of a setting, which applies until the setting is set for all
    /// members.
    pub fn set_own_setting(&self, name: &str, value: &str) {
        let mut own = self.inner.own_settings.lock();
        if own.len() < SETTINGS_MAX || own.contains_key(name) {
            own.insert(name.into(), value.into());
            self.inner.setting_changes.fetch_add(1, Ordering::Release);
        }
    }

    /// A number that increases with each change of a setting, also of this member's own: what was
    /// read after it was this number is still the value while it is. It takes no lock.
    #[must_use]
    pub fn setting_changes(&self) -> u64 {
        self.inner.setting_changes.load(Ordering::Acquire)
    }

    /// Changes a setting on all members.
    pub fn set_setting(&self, name: &str, value: &str) {
        let shared = &self.inner.shared;
        let version = shared.clock.next(shared.now());
        self.inner.handle_setting(name, value, version);
        shared.send_all(&Message::Setting { name, value, version });
    }
}
