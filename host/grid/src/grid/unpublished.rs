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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::event::Class;

    fn event(number: usize) -> Event {
        Event {
            map: "m".into(),
            class: Class::Plain,
            name: number.to_string(),
            key: "k".into(),
            is_first: false,
            value: None,
            old_value: None,
        }
    }

    #[test]
    fn events_of_a_partition_are_published_in_their_order() {
        const EVENTS: usize = 2_000;
        let unpublished = Arc::new(Unpublished::default());
        let published = Arc::new(Mutex::new(Vec::new()));
        // Stands for the partition: its lock is held while events are added.
        let next = Arc::new(Mutex::new(0));
        let threads = (0..4).map(|_| {
            let unpublished = Arc::clone(&unpublished);
            let (published, next) = (Arc::clone(&published), Arc::clone(&next));
            thread::spawn(move || {
                loop {
                    let mut partition = next.lock();
                    if *partition >= EVENTS {
                        return;
                    }
                    let has_events = unpublished.push(3, vec![event(*partition)]);
                    *partition += 1;
                    drop(partition);
                    assert!(has_events);
                    unpublished.take(3, |events| {
                        published.lock().extend(events.iter().map(|event| event.name.clone()));
                    });
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        let expected: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
        assert_eq!(*published.lock(), expected);
    }
}
