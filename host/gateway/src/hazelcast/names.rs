//! Names of the maps and topics of the grid that hold data structures other than maps.
//!
//! | structure | in the grid |
//! |---|---|
//! | `MultiMap` | the map `hazelcast:multimap:NAME`, distinct items for each key |
//! | `ReplicatedMap` | the map `hazelcast:replicatedmap:NAME` |
//! | `ITopic` | the internal shard topic `hazelcast:topic:NAME` |
//! | `PNCounter` | a key of the system map `hazelcast:counters` |
//! | `FlakeIdGenerator` | the numbers of members, in the system map `hazelcast:id-generators` |

use bytes::Bytes;
use convoke_grid::topic::{INTERNAL, TOPIC_BYTES_MAX};
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;

/// Prefix of all such maps. Clients can open no map whose name begins with it.
const RESERVED: &str = "hazelcast:";
/// Prefix of the map of a multimap.
pub(super) const MULTI_MAP: &str = "hazelcast:multimap:";
/// Prefix of the map of a replicated map.
pub(super) const REPLICATED_MAP: &str = "hazelcast:replicatedmap:";
/// The system map of counters.
pub(super) const COUNTERS: &str = "hazelcast:counters";
/// The system map of the numbers by which members generate ids.
pub(super) const ID_GENERATORS: &str = "hazelcast:id-generators";
/// Maximum length of the name of a topic or a counter, in bytes.
const NAME_BYTES_MAX: usize = TOPIC_BYTES_MAX / 2;

/// Whether clients cannot open a map of this name.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Checks the name of a structure that is not a map of the grid.
pub(super) fn check(name: &str) -> Result<(), Failure> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    let text = format!("a name has 1 to {NAME_BYTES_MAX} bytes");
    Err(Failure::new(ErrorCode::IllegalArgument, text))
}

/// The service and the name of the structure that a map of the grid holds; `None` for all others.
pub(super) fn structure_of(map: &str) -> Option<(&'static str, &str)> {
    [(service_name::MULTI_MAP, MULTI_MAP), (service_name::REPLICATED_MAP, REPLICATED_MAP)]
        .into_iter()
        .find_map(|(service, prefix)| Some((service, map.strip_prefix(prefix)?)))
}

/// The shard topic of a topic.
pub(super) fn topic(name: &str) -> Bytes {
    format!("{INTERNAL}{RESERVED}topic:{name}").into()
}

/// The shard topic on which members report that a structure was destroyed.
pub(super) fn destroyed() -> Bytes {
    format!("{INTERNAL}{RESERVED}destroyed").into()
}

/// The shard topic on which a member reports that it has cleared a map.
pub(super) fn cleared(map: &str) -> Bytes {
    format!("{INTERNAL}{RESERVED}cleared:{map}").into()
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
        for other in ["a", "resp:0", "multimap:a", "lease:hazelcast:multimap:a"] {
            assert_eq!((is_reserved(other), structure_of(other)), (false, None), "{other}");
        }
        for internal in [topic("t"), cleared("m"), destroyed()] {
            assert!(convoke_grid::topic::is_internal(&internal));
        }
        assert!(check("").is_err() && check(&"n".repeat(NAME_BYTES_MAX + 1)).is_err());
    }
}
