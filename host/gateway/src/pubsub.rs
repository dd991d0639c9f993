//! Subscriptions of clients of both protocols, to published messages and to keyspace notifications
//! ([`notifications`](crate::notifications)).

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::{Grid, Subscriber, SubscriptionId, TopicFilter};

use crate::ledger::Ledger;
use crate::notifications::Notifications;
use crate::output_buffer::OutputBuffer;

/// The subscriptions of the clients of one member.
pub struct PubSub {
    grid: Grid,
    notifications: Notifications,
    /// The memory held for clients of all protocols.
    pub(crate) ledger: Arc<Ledger>,
}

impl PubSub {
    /// Creates it without subscriptions.
    #[must_use]
    pub fn new(grid: Grid) -> Arc<Self> {
        Arc::new(Self { grid, notifications: Notifications::default(), ledger: Arc::default() })
    }

    /// Creates the output buffer of one client.
    pub(crate) fn output_buffer(&self) -> Arc<OutputBuffer> {
        Arc::new(OutputBuffer::new(&self.ledger))
    }

    /// Subscribes to a shard channel, until the [`Subscription`] is dropped.
    pub(crate) fn subscribe_shard(
        self: &Arc<Self>,
        topic: &Bytes,
        subscriber: Arc<dyn Subscriber>,
    ) -> Subscription {
        let id = self.grid.subscribe(TopicFilter::Shard(topic.clone()), subscriber);
        Subscription { pubsub: Arc::clone(self), topic: Bytes::new(), is_pattern: false, id }
    }

    /// Subscribes to a channel, or to all channels that match a pattern, until the [`Subscription`]
    /// is dropped.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        topic: &Bytes,
        is_pattern: bool,
        subscriber: Arc<dyn Subscriber>,
    ) -> Subscription {
        let filter = if is_pattern {
            TopicFilter::Pattern(topic.clone())
        } else {
            TopicFilter::Named(topic.clone())
        };
        self.notifications.subscribed(&self.grid, topic, is_pattern);
        let id = self.grid.subscribe(filter, subscriber);
        Subscription { pubsub: Arc::clone(self), topic: topic.clone(), is_pattern, id }
    }
}

/// A subscription, ended by dropping it.
pub(crate) struct Subscription {
    pubsub: Arc<PubSub>,
    topic: Bytes,
    is_pattern: bool,
    id: SubscriptionId,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let grid = &self.pubsub.grid;
        grid.unsubscribe(self.id);
        self.pubsub.notifications.unsubscribed(grid, &self.topic, self.is_pattern);
    }
}
