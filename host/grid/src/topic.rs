//! Topics: a message that is published on any member is delivered to every subscriber on every
//! member, in the order of its publisher. Nothing is stored. Each member knows only its own
//! subscribers; queries ask the others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::glob::Glob;

/// Maximum length of a topic's name, in bytes.
pub const TOPIC_BYTES_MAX: usize = 16 * 1024;

/// Prefix of the names of shard topics that clients of Redis neither use nor see in a list.
pub const INTERNAL: &str = "internal:";

/// Whether a shard topic of this name is internal.
#[must_use]
pub fn is_internal(name: &[u8]) -> bool {
    name.starts_with(INTERNAL.as_bytes())
}

/// Maximum number of topics or patterns in one answer.
pub const NAMES_MAX: usize = 1_000_000;
/// Maximum total length of these names, in bytes.
pub const NAMES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A query about subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionQuery {
    /// Number of clients that subscribed to each of these topics by name.
    Counts(Vec<Bytes>),
    /// Topics to which clients subscribed by name: those that match a glob pattern, or all.
    Topics(Option<Bytes>),
    /// Patterns to which clients subscribed.
    Patterns,
    /// Like [`Self::Counts`], for shard topics.
    ShardCounts(Vec<Bytes>),
    /// Like [`Self::Topics`], for shard topics.
    ShardTopics(Option<Bytes>),
}

/// The answer to a [`SubscriptionQuery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionInfo {
    /// Counts, in the order of the topics in the query.
    Counts(Vec<u64>),
    /// Distinct names.
    Names(BTreeSet<Bytes>),
}

impl SubscriptionInfo {
    /// Adds the answer of another member; an answer of a different kind is ignored.
    ///
    /// # Errors
    /// When the names exceed [`NAMES_MAX`] or [`NAMES_BYTES_MAX`].
    pub(crate) fn add(&mut self, other: Self) -> Result<(), TooManyNames> {
        match (self, other) {
            (Self::Counts(counts), Self::Counts(others)) if counts.len() == others.len() => {
                for (count, other) in counts.iter_mut().zip(others) {
                    *count = count.saturating_add(other);
                }
                Ok(())
            }
            (Self::Names(names), Self::Names(others)) => {
                names.extend(others);
                bounded(names)
            }
            _ => Ok(()),
        }
    }
}

/// There are more topics or patterns than one answer can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("there are more than {NAMES_MAX} names, or more than {} MiB of them", NAMES_BYTES_MAX >> 20)]
pub struct TooManyNames;

fn bounded(names: &BTreeSet<Bytes>) -> Result<(), TooManyNames> {
    let bytes: usize = names.iter().map(Bytes::len).sum();
    if names.len() > NAMES_MAX || bytes > NAMES_BYTES_MAX { Err(TooManyNames) } else { Ok(()) }
}

/// Receives published messages. Must not block: a subscriber that does not keep up drops messages,
/// and reports that to its client.
pub trait Subscriber: Send + Sync {
    /// A message was published. `pattern` is the one that matched, for a subscription by pattern.
    fn deliver(&self, topic: &Bytes, pattern: Option<&Bytes>, payload: &Bytes);

    /// A message was published on a shard topic. A subscriber that never subscribes to one need not
    /// handle it.
    fn deliver_shard(&self, _topic: &Bytes, _payload: &Bytes) {}
}

/// The topics that a subscription matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicFilter {
    /// One topic.
    Named(Bytes),
    /// All topics that match a glob pattern.
    Pattern(Bytes),
    /// One shard topic. Shard topics have a separate namespace, and no pattern matches them.
    Shard(Bytes),
}

/// Identifies a subscription of this member.
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
    shards: HashMap<Bytes, Vec<Named>>,
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
            TopicFilter::Shard(topic) => {
                inner.shards.entry(topic.clone()).or_default().push((id, subscriber));
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
            Some(TopicFilter::Named(topic)) => remove(&mut inner.named, &topic, id),
            Some(TopicFilter::Shard(topic)) => remove(&mut inner.shards, &topic, id),
            Some(TopicFilter::Pattern(_)) => inner.patterns.retain(|pattern| pattern.id != id),
            None => {}
        }
    }

    /// Delivers to the subscribers of this member; returns their number.
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

    /// Delivers to the subscribers of a shard topic on this member; returns their number.
    pub(crate) fn deliver_shard(&self, topic: &Bytes, payload: &Bytes) -> u64 {
        let inner = self.inner.read();
        let subscribers = inner.shards.get(topic).into_iter().flatten();
        subscribers.map(|(_, subscriber)| subscriber.deliver_shard(topic, payload)).count() as u64
    }

    /// How many subscribers of this member receive a message on this topic, or shard topic.
    pub(crate) fn receivers(&self, topic: &[u8], is_shard: bool) -> u64 {
        let inner = self.inner.read();
        let of = if is_shard { &inner.shards } else { &inner.named };
        let named = of.get(topic).map_or(0, Vec::len);
        let patterns = inner.patterns.iter().filter(|of| !is_shard && of.glob.matches(topic));
        (named + patterns.count()) as u64
    }

    /// Answers a query for the subscriptions of this member.
    pub(crate) fn query(
        &self,
        query: &SubscriptionQuery,
    ) -> Result<SubscriptionInfo, TooManyNames> {
        let inner = self.inner.read();
        let counts = |of: &HashMap<Bytes, Vec<Named>>, topics: &[Bytes]| {
            let count = |topic| of.get(topic).map_or(0, |all| all.len() as u64);
            Ok(SubscriptionInfo::Counts(topics.iter().map(count).collect()))
        };
        let matching = |of: &HashMap<Bytes, Vec<Named>>, pattern: &Option<Bytes>| match pattern {
            None => of.keys().cloned().collect(),
            Some(pattern) => {
                let glob = Glob::new(pattern);
                of.keys().filter(|topic| glob.matches(topic)).cloned().collect()
            }
        };
        let names: BTreeSet<Bytes> = match query {
            SubscriptionQuery::Counts(topics) => return counts(&inner.named, topics),
            SubscriptionQuery::ShardCounts(topics) => return counts(&inner.shards, topics),
            SubscriptionQuery::Topics(pattern) => matching(&inner.named, pattern),
            SubscriptionQuery::ShardTopics(pattern) => {
                let mut names = matching(&inner.shards, pattern);
                names.retain(|name: &Bytes| !is_internal(name));
                names
            }
            SubscriptionQuery::Patterns => inner.patterns.iter().map(|p| p.text.clone()).collect(),
        };
        bounded(&names).map(|()| SubscriptionInfo::Names(names))
    }
}

fn remove(of: &mut HashMap<Bytes, Vec<Named>>, topic: &Bytes, id: SubscriptionId) {
    let left = of.get_mut(topic).map(|all| {
        all.retain(|(other, _)| *other != id);
        all.len()
    });
    if left == Some(0) {
        of.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Subscriber for Recorder {
        fn deliver(&self, topic: &Bytes, pattern: Option<&Bytes>, payload: &Bytes) {
            self.0.lock().push(format!("{topic:?} {pattern:?} {payload:?}"));
        }

        fn deliver_shard(&self, topic: &Bytes, payload: &Bytes) {
            self.0.lock().push(format!("shard {topic:?} {payload:?}"));
        }
    }

    #[test]
    fn answers_of_members_are_added_up_within_bounds() {
        let mut counts = SubscriptionInfo::Counts(vec![1, 2]);
        counts.add(SubscriptionInfo::Counts(vec![3, 4])).unwrap();
        counts.add(SubscriptionInfo::Counts(vec![9])).unwrap();
        counts.add(SubscriptionInfo::Names(BTreeSet::new())).unwrap();
        assert_eq!(
            counts,
            SubscriptionInfo::Counts(vec![4, 6]),
            "an answer of another kind adds nothing"
        );
        let long = |n: u8| Bytes::from(vec![n; NAMES_BYTES_MAX / 2]);
        let mut names = SubscriptionInfo::Names([long(1)].into());
        assert_eq!(names.add(SubscriptionInfo::Names([long(1), long(2)].into())), Ok(()));
        assert_eq!(names.add(SubscriptionInfo::Names([long(3)].into())), Err(TooManyNames));
    }

    #[test]
    fn shard_topics_are_apart_from_other_topics() {
        let (topics, recorder) = (Topics::default(), Arc::new(Recorder::default()));
        let subscribe = |filter| topics.subscribe(filter, Arc::clone(&recorder) as _);
        let shard = subscribe(TopicFilter::Shard("news".into()));
        subscribe(TopicFilter::Named("news".into()));
        subscribe(TopicFilter::Pattern("n*".into()));
        assert_eq!(topics.deliver_shard(&"news".into(), &"a".into()), 1);
        assert_eq!(topics.deliver_shard(&"other".into(), &"a".into()), 0);
        let receivers = |topic: &[u8], is_shard| topics.receivers(topic, is_shard);
        assert_eq!((receivers(b"news", true), receivers(b"other", true)), (1, 0));
        assert_eq!((receivers(b"news", false), receivers(b"nothing", false)), (2, 1));
        assert_eq!(*recorder.0.lock(), [r#"shard b"news" b"a""#]);
        let counts = SubscriptionQuery::ShardCounts(vec!["news".into(), "other".into()]);
        assert_eq!(topics.query(&counts), Ok(SubscriptionInfo::Counts(vec![1, 0])));
        let all = SubscriptionQuery::ShardTopics(None);
        let names = |names: &[&'static str]| {
            Ok(SubscriptionInfo::Names(names.iter().map(|name| Bytes::from(*name)).collect()))
        };
        assert_eq!(topics.query(&all), names(&["news"]));
        assert_eq!(topics.query(&SubscriptionQuery::ShardTopics(Some("x*".into()))), names(&[]));
        let internal = subscribe(TopicFilter::Shard("internal:news".into()));
        assert_eq!(topics.query(&all), names(&["news"]));
        topics.unsubscribe(internal);
        topics.unsubscribe(shard);
        assert_eq!(topics.query(&all), names(&[]));
    }

    #[test]
    fn subscribers_by_name_and_by_pattern_receive_matching_messages() {
        let (topics, recorder) = (Topics::default(), Arc::new(Recorder::default()));
        let name = TopicFilter::Named("news".into());
        let named = topics.subscribe(name, Arc::clone(&recorder) as _);
        let filter = TopicFilter::Pattern("n*".into());
        let pattern = topics.subscribe(filter, Arc::clone(&recorder) as _);
        assert_eq!(topics.deliver(&"news".into(), &"a".into()), 2);
        assert_eq!(topics.deliver(&"nobody".into(), &"b".into()), 1);
        assert_eq!(topics.deliver(&"other".into(), &"c".into()), 0);
        let counts = SubscriptionQuery::Counts(vec!["news".into(), "nobody".into()]);
        assert_eq!(topics.query(&counts), Ok(SubscriptionInfo::Counts(vec![1, 0])));
        let names = |names: &[&'static str]| {
            Ok(SubscriptionInfo::Names(names.iter().map(|name| Bytes::from(*name)).collect()))
        };
        assert_eq!(topics.query(&SubscriptionQuery::Topics(None)), names(&["news"]));
        assert_eq!(topics.query(&SubscriptionQuery::Topics(Some("x*".into()))), names(&[]));
        assert_eq!(topics.query(&SubscriptionQuery::Patterns), names(&["n*"]));
        topics.unsubscribe(named);
        topics.unsubscribe(pattern);
        topics.unsubscribe(pattern);
        assert_eq!(topics.deliver(&"news".into(), &"d".into()), 0);
        assert_eq!(
            *recorder.0.lock(),
            [
                r#"b"news" None b"a""#,
                r#"b"news" Some(b"n*") b"a""#,
                r#"b"nobody" Some(b"n*") b"b""#
            ]
        );
    }
}
