//! Names of the maps and topics of the grid that hold data structures other than maps.
//!
//! | structure | in the grid |
//! |---|---|
//! | `IQueue`, `IList`, `ISet`, `Ringbuffer` | a key of the maps `hazelcast:collection:KIND` |
//! | `MultiMap` | the map `hazelcast:multimap:NAME`, distinct items for each key |
//! | `ReplicatedMap` | the map `hazelcast:replicatedmap:NAME` |
//! | `ICache` | the map `hazelcast:cache:NAME`, of the full name of the cache |
//! | `ITopic` | the internal shard topic `hazelcast:topic:NAME` |
//! | `PNCounter` | a key of the system map `hazelcast:counters` |
//! | `FlakeIdGenerator` | the numbers of members, in the system map `hazelcast:id-generators` |

use std::borrow::Cow;
use std::ops::RangeInclusive;

use bytes::Bytes;
use convoke_grid::map::{MAP_NAME_BYTES_MAX, STRUCTURES};
use convoke_grid::topic::{INTERNAL, TOPIC_BYTES_MAX};
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;
use crate::databases;

/// Prefix of the map of a multimap.
pub(super) const MULTI_MAP: &str = "hazelcast:multimap:";
/// Prefix of the map of a replicated map.
pub(super) const REPLICATED_MAP: &str = "hazelcast:replicatedmap:";
/// Prefix of the maps that hold the entries of caches.
pub(super) const CACHES: &str = "hazelcast:cache:";
/// The system map of counters.
pub(super) const COUNTERS: &str = "hazelcast:counters";
/// The system map of the numbers by which members generate ids.
pub(super) const ID_GENERATORS: &str = "hazelcast:id-generators";
/// Maximum length of the name of a topic or a counter, in bytes.
const NAME_BYTES_MAX: usize = TOPIC_BYTES_MAX / 2;

/// A structure: the name of its service, and its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object<'a> {
    pub(super) service: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
}

impl<'a> Object<'a> {
    pub(super) fn new(service: &'a str, name: &'a str) -> Self {
        Self { service: service.into(), name: name.into() }
    }

    /// The structure whose entries a map of the grid holds.
    pub(super) fn of(map: &'a str) -> Self {
        let (service, name) = structure_of(map).unwrap_or((service_name::MAP, map));
        Self::new(service, name)
    }

    pub(super) fn into_owned(self) -> Object<'static> {
        Object { service: self.service.into_owned().into(), name: self.name.into_owned().into() }
    }
}

/// Beginnings of names that clients cannot use for maps: of the maps of RESP clients, except for existing
/// databases, and of those that the grid itself does not open for clients.
const RESERVED: [&str; 5] = ["resp:", STRUCTURES, "lease:", "system:", "transaction:"];

/// Whether clients cannot open a map of this name.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| name.starts_with(prefix)) && !databases::is_map_name(name)
}

/// Checks the name of a map.
pub(super) fn check_map(name: &str) -> Result<(), Failure> {
    check_length("a map", name, 1..=MAP_NAME_BYTES_MAX)?;
    match RESERVED.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) if is_reserved(name) => {
            let text = format!("names of maps that begin with {prefix:?} are reserved");
            Err(Failure::new(ErrorCode::IllegalArgument, text))
        }
        _ => Ok(()),
    }
}

/// A database of Redis clients is not a map of clients of Hazelcast.
pub(super) fn not_plain(name: &str) -> Failure {
    let text =
        format!("the map {name:?} is a database of Redis clients, and its format is not plain");
    Failure::new(ErrorCode::IllegalArgument, text)
}

/// Checks the name of a structure that a map of the grid holds whose name begins with this prefix.
pub(super) fn check_stored(prefix: &str, name: &str) -> Result<(), Failure> {
    check_length("a structure of this type", name, 0..=MAP_NAME_BYTES_MAX - prefix.len())
}

fn check_length(what: &str, name: &str, lengths: RangeInclusive<usize>) -> Result<(), Failure> {
    if lengths.contains(&name.len()) {
        return Ok(());
    }
    let (length, min, max) = (name.len(), lengths.start(), lengths.end());
    let text = format!("the name of {what} has {length} bytes; it must have {min} to {max}");
    Err(Failure::new(ErrorCode::IllegalArgument, text))
}

/// Checks the name of a topic, a counter or a generator of ids.
pub(super) fn check(name: &str) -> Result<(), Failure> {
    check_length("a topic, counter or generator", name, 0..=NAME_BYTES_MAX)
}

/// The service and the name of the structure that a map of the grid holds; `None` for all others.
pub(super) fn structure_of(map: &str) -> Option<(&'static str, &str)> {
    [(service_name::MULTI_MAP, MULTI_MAP), (service_name::REPLICATED_MAP, REPLICATED_MAP)]
        .into_iter()
        .find_map(|(service, prefix)| Some((service, map.strip_prefix(prefix)?)))
}

/// The shard topic of a topic.
pub(super) fn topic(name: &str) -> Bytes {
    format!("{INTERNAL}{STRUCTURES}topic:{name}").into()
}

/// The shard topic on which members report that a structure was destroyed.
pub(super) fn destroyed() -> Bytes {
    format!("{INTERNAL}{STRUCTURES}destroyed").into()
}

/// The shard topic on which members report about locks.
pub(super) fn locks() -> Bytes {
    format!("{INTERNAL}{STRUCTURES}locks").into()
}

/// The shard topic on which a member reports that it has cleared a map.
pub(super) fn cleared(map: &str) -> Bytes {
    format!("{INTERNAL}{STRUCTURES}cleared:{map}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_a_structure_is_reserved_and_names_it() {
        for (service, prefix) in
            [(service_name::MULTI_MAP, MULTI_MAP), (service_name::REPLICATED_MAP, REPLICATED_MAP)]
        {
            let map = format!("{prefix}a:b");
            assert!(is_reserved(&map));
            assert_eq!(structure_of(&map), Some((service, "a:b")));
        }
        for other in ["a", "resp", "multimap:a", "resp:0", "resp:16", "lease:hazelcast:multimap:a"]
        {
            let is_ordinary = ["a", "resp", "multimap:a", "resp:0"].contains(&other);
            assert_eq!((!is_reserved(other), structure_of(other)), (is_ordinary, None), "{other}");
            assert_eq!(check_map(other).is_ok(), is_ordinary, "{other}");
        }
        let long = "n".repeat(MAP_NAME_BYTES_MAX);
        assert!(check_map(&long).is_ok() && check_stored(MULTI_MAP, &long).is_err());
        assert!(check_map("").is_err() && check_stored(MULTI_MAP, "").is_ok());
        for internal in [topic("t"), cleared("m"), destroyed(), locks()] {
            assert!(convoke_grid::topic::is_internal(&internal));
        }
        assert!(check("").is_ok() && check(&"n".repeat(NAME_BYTES_MAX + 1)).is_err());
    }
}
