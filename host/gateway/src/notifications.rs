//! Keyspace notifications: what happens to keys, as messages on topics
//! `__keyspace@N__:key` and `__keyevent@N__:event`.
//!
//! Events come from each key's primary to the members that listen, once; each
//! member tells its own subscribers.

use std::collections::BTreeMap;

use bytes::Bytes;
use convoke_grid::{Class, Event, Grid, Listener};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::resp::server::{DATABASES, map_name};

/// The setting that says which events are sent. A client sets it for the whole cluster; until one
/// does, each member has its own.
pub const SETTING: &str = "notify-keyspace-events";

const KEYSPACE: u16 = 1;
const KEYEVENT: u16 = 1 << 1;
/// EventStream of the setting, what they stand for, and whether `A` is for them too.
const LETTERS: [(char, Option<Class>, u16); 14] = [
    ('g', Some(Class::Generic), 1 << 2),
    ('$', Some(Class::Plain), 1 << 3),
    ('l', Some(Class::List), 1 << 4),
    ('s', Some(Class::Set), 1 << 5),
    ('h', Some(Class::Hash), 1 << 6),
    ('z', Some(Class::SortedSet), 1 << 7),
    ('x', Some(Class::Expired), 1 << 8),
    ('e', Some(Class::Evicted), 1 << 9),
    ('t', None, 1 << 10),
    ('d', None, 1 << 11),
    ('n', Some(Class::New), 1 << 12),
    ('K', None, KEYSPACE),
    ('E', None, KEYEVENT),
    ('m', None, 1 << 13),
];
/// `A`: all but `n`, `m`, `K` and `E`.
const ALL: u16 = 0b1111_1111_1100;

/// Which events are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted(u16);

impl Wanted {
    /// What a text that is none is refused with; Redis' words.
    pub const EXPECTED: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";

    /// From the setting's text; `None` when a message has no meaning.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.chars()
            .map(|message| {
                let one =
                    LETTERS.iter().find(|(known, ..)| *known == message).map(|(.., bit)| *bit);
                if message == 'A' { Some(ALL) } else { one }
            })
            .try_fold(0, |bits, bit| Some(bits | bit?))
            .map(Self)
    }

    /// As the setting is shown.
    #[must_use]
    pub fn text(self) -> String {
        let all = self.0 & ALL == ALL;
        let messages = LETTERS.iter().filter(|(_, _, bit)| {
            let in_all = ALL | 1 << 12;
            self.0 & bit != 0 && !(all && bit & in_all != 0)
        });
        all.then_some('A').into_iter().chain(messages.map(|(message, ..)| *message)).collect()
    }

    fn has(self, class: Class) -> bool {
        LETTERS.iter().any(|(_, of, bit)| *of == Some(class) && self.0 & bit != 0)
    }
}

/// Tells the subscribers of this member about one database.
struct KeyspaceNotifier {
    grid: Grid,
    database: usize,
}

impl Listener for KeyspaceNotifier {
    fn handle_event(&self, event: &Event) {
        let setting = self.grid.setting(SETTING).unwrap_or_default();
        let wanted = Wanted::parse(&setting).unwrap_or_default();
        if !wanted.has(event.class) {
            return;
        }
        let database = self.database;
        if wanted.0 & KEYSPACE != 0 {
            let mut topic = format!("__keyspace@{database}__:").into_bytes();
            topic.extend_from_slice(&event.key);
            self.grid.publish_here(&topic.into(), &Bytes::from(event.name.clone().into_bytes()));
        }
        if wanted.0 & KEYEVENT != 0 {
            let topic = format!("__keyevent@{database}__:{}", event.name);
            self.grid.publish_here(&topic.into(), &event.key);
        }
    }
}

/// Which databases somebody on this member wants to hear of.
#[derive(Default)]
pub(crate) struct Notifications {
    /// How many subscriptions want a database, and the listener's number.
    listening: Mutex<BTreeMap<usize, (usize, u64)>>,
}

impl Notifications {
    /// Somebody subscribed to this topic, or to topics that fit it as a pattern.
    pub(crate) fn subscribed(&self, grid: &Grid, topic: &[u8], is_pattern: bool) {
        for database in databases(topic, is_pattern) {
            let mut listening = self.listening.lock();
            let (count, _) = listening.entry(database).or_insert_with(|| {
                let teller = KeyspaceNotifier { grid: grid.clone(), database };
                (0, grid.listen(&map_name(database), Arc::new(teller)))
            });
            *count += 1;
        }
    }

    /// That subscription ended.
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

/// Whether a topic, or topics that fit it as a pattern, may tell of keys.
pub(crate) fn concerns(topic: &[u8], is_pattern: bool) -> bool {
    !databases(topic, is_pattern).is_empty()
}

/// The databases that a topic, or a pattern of topics, may tell of.
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
    // A pattern may fit them, unless it begins otherwise.
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
    fn the_setting_is_shown_as_redis_shows_it() {
        for (text, shown) in
            [("KEA", "AKE"), ("Ex", "xE"), ("Kg$lshzxetd", "AK"), ("", ""), ("KEnA", "AKE")]
        {
            assert_eq!(Wanted::parse(text).unwrap().text(), shown, "{text}");
        }
        assert_eq!(Wanted::parse("KQ"), None);
    }

    #[test]
    fn only_those_databases_are_listened_to_that_may_be_told_of() {
        assert_eq!(databases(b"__keyevent@3__:expired", false), [3]);
        assert_eq!(databases(b"__keyspace@0__:*", true), [0]);
        assert_eq!(databases(b"__key*__:*", true).len(), DATABASES);
        assert_eq!(databases(b"*", true).len(), DATABASES);
        assert!(databases(b"news", false).is_empty());
        assert!(databases(b"news.*", true).is_empty());
        assert!(databases(b"*", false).is_empty());
    }
}
