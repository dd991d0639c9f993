//! Topics: what is published on any member reaches every subscriber on every
//! member, in the order of its publisher. Nothing is stored.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::glob::Glob;

/// Length of a topic's name, in bytes, at most.
pub const TOPIC_BYTES_MAX: usize = 16 * 1024;

/// Takes what is published. Must not block: a subscriber that does not keep up
/// drops, and says so to whom it serves.
pub trait Subscriber: Send + Sync {
    /// Something was published. `pattern` is the one that fits, if it was
    /// subscribed to by a pattern.
    fn deliver(&self, topic: &Bytes, pattern: Option<&Bytes>, payload: &Bytes);
}

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicFilter {
    /// One topic.
    Named(Bytes),
    /// All topics whose names fit a glob pattern.
    Pattern(Bytes),
}

/// Names a subscription of this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(u64);

/// The subscriptions of one member.
#[derive(Default)]
pub(crate) struct Topics {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    named: HashMap<Bytes, Vec<Named>>,
    patterns: Vec<Pattern>,
    filters: HashMap<SubscriptionId, TopicFilter>,
}

type Named = (SubscriptionId, Arc<dyn Subscriber>);

struct Pattern {
    id: SubscriptionId,
    text: Bytes,
    glob: Glob,
    subscriber: Arc<dyn Subscriber>,
}

impl Topics {
    pub(crate) fn subscribe(
        &self,
        filter: TopicFilter,
        subscriber: Arc<dyn Subscriber>,
    ) -> SubscriptionId {
        let mut inner = self.inner.write();
        let id = SubscriptionId(inner.next);
        inner.next += 1;
        match &filter {
            TopicFilter::Named(topic) => {
                inner.named.entry(topic.clone()).or_default().push((id, subscriber));
            }
            TopicFilter::Pattern(text) => {
                let glob = Glob::new(text);
                inner.patterns.push(Pattern { id, text: text.clone(), glob, subscriber });
            }
        }
        inner.filters.insert(id, filter);
        id
    }

    pub(crate) fn unsubscribe(&self, id: SubscriptionId) {
        let mut inner = self.inner.write();
        match inner.filters.remove(&id) {
            Some(TopicFilter::Named(topic)) => {
                let left = inner.named.get_mut(&topic).map(|all| {
                    all.retain(|(other, _)| *other != id);
                    all.len()
                });
                if left == Some(0) {
                    inner.named.remove(&topic);
                }
            }
            Some(TopicFilter::Pattern(_)) => inner.patterns.retain(|pattern| pattern.id != id),
            None => {}
        }
    }

    /// Delivers to the subscribers of this member; how many there were.
    pub(crate) fn deliver(&self, topic: &Bytes, payload: &Bytes) -> u64 {
        let inner = self.inner.read();
        let mut count = 0;
        for (_, subscriber) in inner.named.get(topic).into_iter().flatten() {
            subscriber.deliver(topic, None, payload);
            count += 1;
        }
        for pattern in inner.patterns.iter().filter(|pattern| pattern.glob.matches(topic)) {
            pattern.subscriber.deliver(topic, Some(&pattern.text), payload);
            count += 1;
        }
        count
    }

    /// Topics that somebody subscribed to by name, with how many did.
    pub(crate) fn named(&self) -> Vec<(Bytes, usize)> {
        let inner = self.inner.read();
        inner.named.iter().map(|(topic, all)| (topic.clone(), all.len())).collect()
    }

    /// Subscriptions by pattern; each pattern counts once.
    pub(crate) fn patterns(&self) -> usize {
        let inner = self.inner.read();
        let mut texts: Vec<_> = inner.patterns.iter().map(|pattern| &pattern.text).collect();
        texts.sort_unstable();
        texts.dedup();
        texts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Subscriber for Heard {
        fn deliver(&self, topic: &Bytes, pattern: Option<&Bytes>, payload: &Bytes) {
            self.0.lock().push(format!("{topic:?} {pattern:?} {payload:?}"));
        }
    }

    #[test]
    fn subscribers_by_name_and_by_pattern_hear_what_is_theirs_until_they_go() {
        let (topics, heard) = (Topics::default(), Arc::new(Heard::default()));
        let name = TopicFilter::Named("news".into());
        let named = topics.subscribe(name, Arc::clone(&heard) as _);
        let filter = TopicFilter::Pattern("n*".into());
        let pattern = topics.subscribe(filter, Arc::clone(&heard) as _);
        assert_eq!(topics.deliver(&"news".into(), &"a".into()), 2);
        assert_eq!(topics.deliver(&"nobody".into(), &"b".into()), 1);
        assert_eq!(topics.deliver(&"other".into(), &"c".into()), 0);
        assert_eq!((topics.named(), topics.patterns()), (vec![("news".into(), 1)], 1));
        topics.unsubscribe(named);
        topics.unsubscribe(pattern);
        topics.unsubscribe(pattern);
        assert_eq!(topics.deliver(&"news".into(), &"d".into()), 0);
        assert_eq!(
            *heard.0.lock(),
            [
                r#"b"news" None b"a""#,
                r#"b"news" Some(b"n*") b"a""#,
                r#"b"nobody" Some(b"n*") b"b""#
            ]
        );
    }
}
