//! Events that were not published yet: published without the lock of their partition, and in the
//! order in which they happened.

use parking_lot::Mutex;

use crate::event::Event;

/// Number of queues. The partitions are divided among them.
const QUEUES: usize = 256;

#[derive(Default)]
struct Queue {
    /// Added while the partition is locked.
    events: Mutex<Vec<Event>>,
    /// Held while events are published.
    order: Mutex<()>,
}

/// See the [module](self).
pub(super) struct Unpublished(Box<[Queue]>);

impl Default for Unpublished {
    fn default() -> Self {
        Self((0..QUEUES).map(|_| Queue::default()).collect())
    }
}

impl Unpublished {
    fn queue(&self, partition: u16) -> &Queue {
        &self.0[usize::from(partition) % QUEUES]
    }

    /// Adds events of a partition, which is locked. Returns whether there are any.
    pub(super) fn push(&self, partition: u16, mut events: Vec<Event>) -> bool {
        if events.is_empty() {
            return false;
        }
        self.queue(partition).events.lock().append(&mut events);
        true
    }

    /// Passes the events that were added to `publish`, unless another thread has done it.
    pub(super) fn take(&self, partition: u16, publish: impl FnOnce(&[Event])) {
        let queue = self.queue(partition);
        let _order = queue.order.lock();
        let events = std::mem::take(&mut *queue.events.lock());
        if !events.is_empty() {
            publish(&events);
        }
    }
}
