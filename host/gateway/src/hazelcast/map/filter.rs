//! Predicates of listeners: which events a listener is sent.
//!
//! An event is sent if the predicate matches the new value, or the old one if the entry is gone. If
//! that needs a schema that this member has not used, the event and all that follow it wait until it
//! was read.

use std::collections::VecDeque;
use std::sync::Weak;

use convoke_grid::Event;
use convoke_hazelcast::query::Predicate;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::Format;
use super::evaluation::{Evaluator, event_matches};
use super::listeners::Registration;

/// Maximum number of events of one listener that wait for a schema. Beyond it, the connection is
/// closed.
const WAITING_MAX: usize = 10_000;

/// A listener of entries that may have a predicate.
pub(in super::super) trait Filtered: Send + Sync + Sized + 'static {
    /// The predicate.
    fn filter(&self) -> Option<&Filter<Self>>;

    /// What the client listens to.
    fn registration(&self) -> &Registration;

    /// How the map is stored.
    fn format(&self) -> Format;

    /// Sends an event that matches.
    fn send(&self, event: &Event);

    /// Sends an event if there is no predicate or it matches, now or once a schema was read.
    fn send_matching(&self, event: &Event) {
        match self.filter() {
            Some(filter) => filter.send(self, event),
            None => self.send(event),
        }
    }
}

/// The predicate of a listener.
pub(in super::super) struct Filter<L> {
    predicate: Predicate,
    /// Events that wait for a schema, in order.
    waiting: Mutex<VecDeque<Event>>,
    /// Where schemas are read.
    runtime: Handle,
    listener: Weak<L>,
}

impl<L: Filtered> Filter<L> {
    pub(in super::super) fn new(predicate: Predicate, listener: &Weak<L>) -> Self {
        Self {
            predicate,
            waiting: Mutex::default(),
            runtime: Handle::current(),
            listener: Weak::clone(listener),
        }
    }

    fn send(&self, listener: &L, event: &Event) {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            match event_matches(
                &listener.registration().server,
                listener.format(),
                &self.predicate,
                event,
            ) {
                Some(true) => listener.send(event),
                Some(false) => {}
                None => {
                    waiting.push_back(event.clone());
                    let listener = Weak::clone(&self.listener);
                    self.runtime.spawn(async move { send_waiting(listener).await });
                }
            }
        } else if waiting.len() < WAITING_MAX {
            waiting.push_back(event.clone());
        } else {
            listener.registration().info.kill();
        }
    }
}

/// Sends the events of a listener that wait for schemas.
async fn send_waiting<L: Filtered>(listener: Weak<L>) {
    while let Some(listener) = listener.upgrade() {
        let Some(filter) = listener.filter() else { return };
        // It remains the first one until it was sent, so that others wait behind it.
        let Some(event) = filter.waiting.lock().front().cloned() else { return };
        let mut evaluator = Evaluator::new(&listener.registration().server);
        if evaluator.event_matches(listener.format(), &filter.predicate, &event).await {
            listener.send(&event);
        }
        filter.waiting.lock().pop_front();
    }
}
