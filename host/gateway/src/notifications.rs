//! Keyspace notifications: events on keys, published as messages on the channels
//! `__keyspace@N__:key` and `__keyevent@N__:event`.
//!
//! The primary of a key sends each event once to every member that listens, and that member
//! publishes it to its own subscribers.

use std::collections::BTreeMap;

use bytes::Bytes;
use convoke_grid::{Class, Event, Grid, Listener};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::databases::{DATABASES, map_name};

/// The setting that selects which events are published. `CONFIG SET` sets it for the whole cluster;
/// before that, each member uses its own configuration.
pub const SETTING: &str = "notify-keyspace-events";

const KEYSPACE: u16 = 1;
const KEYEVENT: u16 = 1 << 1;
/// The letters of the setting, the class of events that each selects, and its bit.
const LETTERS: [(char, Option<Class>, u16); 14] = [
    ('g', Some(Class::Generic), 1 << 2),
    ('$', Some(Class::Plain), 1 << 3),
    ('l', Some(Class::List), 1 << 4),
    ('s', Some(Class::Set), 1 << 5),
    ('h', Some(Class::Hash), 1 << 6),
    ('z', Some(Class::SortedSet), 1 << 7),
    ('x', Some(Class::Expired), 1 << 8),
    ('e', Some(Class::Evicted), 1 << 9),
    ('t', Some(Class::Stream), 1 << 10),
    ('d', None, 1 << 11),
    ('n', Some(Class::New), 1 << 12),
    ('K', None, KEYSPACE),
    ('E', None, KEYEVENT),
    ('m', None, 1 << 13),
];
/// `A`: all classes except `n` and `m`, without `K` and `E`.
const ALL: u16 = 0b1111_1111_1100;

/// A parsed `notify-keyspace-events` setting: the events that are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventMask(u16);

impl EventMask {
    /// Error for an invalid setting, as Redis words it.
    pub const EXPECTED: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

    /// Parses the setting; `None` if it contains an unknown letter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.chars()
            .map(|letter| {
                let one = LETTERS.iter().find(|(known, ..)| *known == letter).map(|(.., bit)| *bit);
                if letter == 'A' { Some(ALL) } else { one }
            })
            .try_fold(0, |bits, bit| Some(bits | bit?))
            .map(Self)
    }

    /// The canonical text of the setting, as `CONFIG GET` returns it.
    #[must_use]
    pub fn text(self) -> String {
        let all = self.0 & ALL == ALL;
        let letters = LETTERS.iter().filter(|(_, _, bit)| {
            let in_all = ALL | 1 << 12;
            self.0 & bit != 0 && !(all && bit & in_all != 0)
        });
        all.then_some('A').into_iter().chain(letters.map(|(letter, ..)| *letter)).collect()
    }

    fn contains(self, class: Class) -> bool {
        LETTERS.iter().any(|(_, of, bit)| *of == Some(class) && self.0 & bit != 0)
    }
}

/// Publishes the events of one database to the subscribers of this member.
struct KeyspaceNotifier {
    grid: Grid,
    database: usize,
}

impl Listener for KeyspaceNotifier {
    fn handle_event(&self, event: &Event) {
        let setting = self.grid.setting(SETTING).unwrap_or_default();
        let mask = EventMask::parse(&setting).unwrap_or_default();
        if !mask.contains(event.class) {
            return;
        }
        let database = self.database;
        if mask.0 & KEYSPACE != 0 {
            let mut topic = format!("__keyspace@{database}__:").into_bytes();
            topic.extend_from_slice(&event.key);
            self.grid.publish_here(&topic.into(), &Bytes::from(event.name.clone().into_bytes()));
        }
        if mask.0 & KEYEVENT != 0 {
            let topic = format!("__keyevent@{database}__:{}", event.name);
            self.grid.publish_here(&topic.into(), &event.key);
        }
    }
}

/// The databases whose events have subscribers on this member.
#[derive(Default)]
pub(crate) struct Notifications {
    /// Number of subscriptions and listener ID, by database.
    listening: Mutex<BTreeMap<usize, (usize, u64)>>,
}

impl Notifications {
    /// Records a subscription to a channel, or to a pattern if `is_pattern`.
    pub(crate) fn subscribed(&self, grid: &Grid, topic: &[u8], is_pattern: bool) {
        for database in databases(topic, is_pattern) {
            let mut listening = self.listening.lock();
            let (count, _) = listening.entry(database).or_insert_with(|| {
                let notifier = KeyspaceNotifier { grid: grid.clone(), database };
                (0, grid.listen(&map_name(database), Arc::new(notifier)))
            });
            *count += 1;
        }
    }

    /// Records the end of a subscription.
    pub(crate) fn unsubscribed(&self, grid: &Grid, topic: &[u8], is_pattern: bool) {
        for database in databases(topic, is_pattern) {
            let mut listening = self.listening.lock();
            if let Some((count, id)) = listening.get_mut(&database) {
                *count -= 1;
                if *count == 0 {
                    grid.unlisten(*id);
                    listening.remove(&database);
                }
            }
        }
    }
}

/// Whether a channel, or channels that match a pattern, may carry keyspace notifications.
pub(crate) fn may_match_events(topic: &[u8], is_pattern: bool) -> bool {
    !databases(topic, is_pattern).is_empty()
}

/// The databases whose notifications a channel, or channels that match a pattern, may carry.
fn databases(topic: &[u8], is_pattern: bool) -> Vec<usize> {
    for prefix in ["__keyspace@", "__keyevent@"] {
        if let Some(rest) = topic.strip_prefix(prefix.as_bytes()) {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = str::from_utf8(&rest[..digits]).ok();
            let number = number.and_then(|text| text.parse::<usize>().ok());
            if let Some(number) = number.filter(|_| rest[digits..].starts_with(b"__")) {
                return (0..DATABASES).filter(|database| *database == number).collect();
            }
        }
    }
    // A pattern may match them if its literal prefix agrees with theirs.
    let begin = topic.iter().take_while(|byte| !b"*?[\\".contains(byte)).count();
    let begin = &topic[..begin];
    let could = is_pattern
        && ["__keyspace@", "__keyevent@"].iter().any(|prefix| {
            prefix.as_bytes().starts_with(begin) || begin.starts_with(prefix.as_bytes())
        });
    if could { (0..DATABASES).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_formatted_as_in_redis() {
        for (text, shown) in
            [("KEA", "AKE"), ("Ex", "xE"), ("Kg$lshzxetd", "AK"), ("", ""), ("KEnA", "AKE")]
        {
            assert_eq!(EventMask::parse(text).unwrap().text(), shown, "{text}");
        }
        assert_eq!(EventMask::parse("KQ"), None);
    }

    #[test]
    fn a_channel_or_pattern_selects_the_databases_to_listen_to() {
        assert_eq!(databases(b"__keyevent@3__:expired", false), [3]);
        assert_eq!(databases(b"__keyspace@0__:*", true), [0]);
        assert_eq!(databases(b"__key*__:*", true).len(), DATABASES);
        assert_eq!(databases(b"*", true).len(), DATABASES);
        assert!(databases(b"news", false).is_empty());
        assert!(databases(b"news.*", true).is_empty());
        assert!(databases(b"*", false).is_empty());
    }
}
