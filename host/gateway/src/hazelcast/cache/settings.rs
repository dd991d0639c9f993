//! What the configuration of a cache means for its entries. What is not offered is refused.

use std::sync::Arc;

use convoke_grid::Map;
use convoke_grid::map::Eviction;
use convoke_grid::op::{CacheLifetime, CachePolicy, CacheRoom};
use convoke_hazelcast::cache::{CacheConfigHolder, ExpiryPolicy, Lifetime};
use convoke_hazelcast::data::Data;

use super::super::errors::Failure;

/// Up to this number of entries, the bound of a partition has [`DEVIATIONS_OF_FEW`] standard
/// deviations of room above an even distribution, beyond it [`DEVIATIONS`], as in Hazelcast.
const FEW_ENTRIES: u32 = 4_000;
const DEVIATIONS_OF_FEW: f64 = 5.0;
const DEVIATIONS: f64 = 3.0;
/// Beyond this number of entries, the distribution is even enough.
const MANY_ENTRIES: u32 = 1_000_000;

/// A cache, as requests need it.
pub(super) struct Cache {
    pub(super) map: Arc<Map>,
    pub(super) policy: CachePolicy,
    pub(super) room: Option<CacheRoom>,
    /// Whether near caches are notified of each entry, not only when all are removed.
    pub(super) invalidates_entries: bool,
}

fn lifetime(lifetime: Lifetime) -> CacheLifetime {
    match lifetime {
        Lifetime::Eternal => CacheLifetime::Eternal,
        Lifetime::Ms(ms) => CacheLifetime::Ms(ms),
    }
}

fn policy(policy: ExpiryPolicy) -> CachePolicy {
    CachePolicy {
        creation: lifetime(policy.creation),
        access: policy.access.map(lifetime),
        update: policy.update.map(lifetime),
    }
}

/// The expiry policy of a request.
///
/// # Errors
/// It is of a class of the application.
pub(super) fn requested(data: Data<'_>) -> Result<CachePolicy, Failure> {
    ExpiryPolicy::decode(data).map(policy).ok_or_else(|| {
        let what = "an expiry policy that is neither of JCache nor a HazelcastExpiryPolicy";
        Failure::unsupported("Cache", what)
    })
}

impl Cache {
    /// A cache with this configuration.
    ///
    /// # Errors
    /// The configuration has something that is not offered.
    pub(super) fn new(
        map: Arc<Map>,
        config: &CacheConfigHolder<'_>,
        partitions: u16,
    ) -> Result<Self, Failure> {
        let refused = |what: &str| Failure::unsupported("Cache.createConfig", what);
        for (is_there, what) in [
            (config.cache_loader_factory.is_some(), "a cache loader"),
            (config.cache_writer_factory.is_some(), "a cache writer"),
            (config.wan_replication_ref.is_some(), "WAN replication"),
            (config.hot_restart_config.is_some_and(|c| c.enabled), "hot restart"),
            (config.data_persistence_config.enabled, "persistence"),
            (config.event_journal_config.is_some_and(|c| c.enabled), "an event journal"),
            (config.merkle_tree_config.is_some_and(|c| c.enabled), "a Merkle tree"),
            (config.split_brain_protection_name.is_some(), "split-brain protection by name"),
            (config.user_code_namespace.is_some(), "a namespace of user code"),
            (
                config.cache_partition_lost_listener_configs.is_some_and(|l| l.iter().len() > 0),
                "a listener for lost partitions",
            ),
            (config.in_memory_format == "NATIVE", "the in-memory format NATIVE"),
        ] {
            if is_there {
                return Err(refused(what));
            }
        }
        let expiry = config.expiry_policy().ok_or_else(|| {
            refused("an expiry policy that is neither of JCache nor a HazelcastExpiryPolicy")
        })?;
        Ok(Self {
            map,
            policy: policy(expiry),
            room: room(config, partitions)?,
            invalidates_entries: !config.disable_per_entry_invalidation_events,
        })
    }
}

/// The bound on the entries of a partition.
fn room(config: &CacheConfigHolder<'_>, partitions: u16) -> Result<Option<CacheRoom>, Failure> {
    let eviction = &config.eviction_config_holder;
    let refused = |what: &str| Failure::unsupported("Cache.createConfig", what);
    let has_comparator = |name: &str| !name.is_empty();
    if eviction.comparator.is_some() || eviction.comparator_class_name.is_some_and(has_comparator) {
        return Err(refused("a comparator of entries to evict"));
    }
    if eviction.max_size_policy != "ENTRY_COUNT" {
        return Err(refused("a maximum size other than ENTRY_COUNT"));
    }
    let policy = match eviction.eviction_policy {
        "LRU" => Eviction::Lru,
        "LFU" => Eviction::Lfu,
        "RANDOM" => Eviction::Random,
        "NONE" => return Ok(None),
        _ => return Err(refused("this eviction policy")),
    };
    // Hazelcast does not permit a size of 0.
    let entries = u32::try_from(eviction.size).unwrap_or(0).max(1);
    Ok(Some(CacheRoom { entries_max: entries_max(entries, partitions), eviction: policy }))
}

/// How many entries a partition may have if the cache may have `entries`.
fn entries_max(entries: u32, partitions: u16) -> u32 {
    let share = f64::from(entries) / f64::from(partitions.max(1));
    let deviations = if entries <= FEW_ENTRIES {
        DEVIATIONS_OF_FEW
    } else if entries <= MANY_ENTRIES {
        DEVIATIONS
    } else {
        0.0
    };
    // Positive, and at most a few times the number of entries.
    ((share + share.sqrt() * deviations) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_may_have_more_than_its_even_share() {
        // As calculated by Hazelcast 5.7.0 for 271 partitions.
        assert_eq!(entries_max(10_000, 271), 55);
        assert_eq!(entries_max(100, 271), 3);
        assert_eq!(entries_max(2_710_000, 271), 10_000);
        assert_eq!(entries_max(1, 271), 1);
    }
}
