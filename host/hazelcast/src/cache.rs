//! Configurations of caches (JCache, JSR 107).
//!
//! A client in Java creates a cache with [`CreateConfig`]. The
//! configuration has objects of Java in it. Of these, [`ExpiryPolicy`] recognizes the policies of
//! JCache and Hazelcast. A server cannot run any other class, and has to refuse a configuration
//! that names one: a loader, a writer, or a policy of the application.

mod expiry;
mod java;

pub use expiry::{ExpiryPolicy, Lifetime};

use crate::codec::cache::CreateConfig;
use crate::codec::field::{self, Problem, Variable};
use crate::codec::{Encoded, List};
use crate::data::Data;
use crate::frame::{Flags, Frames};
use crate::message::Writer;

/// What the full name of a cache begins with. The name that the application chose comes last.
pub const NAME_PREFIX: &str = "/hz/";

structures! {
    /// The configuration of a cache. Fields that end in `factory` are objects of Java.
    CacheConfigHolder<'a> (
        backup_count: i32, async_backup_count: i32, read_through: bool, write_through: bool,
        store_by_value: bool, management_enabled: bool, statistics_enabled: bool,
        disable_per_entry_invalidation_events: bool;
        name: &'a str, manager_prefix: Option<&'a str>, uri_string: Option<&'a str>,
        in_memory_format: &'a str, eviction_config_holder: EvictionConfigHolder<'a>,
        wan_replication_ref: Option<WanReplicationRef<'a>>, key_class_name: &'a str,
        value_class_name: &'a str, cache_loader_factory: Option<Data<'a>>,
        cache_writer_factory: Option<Data<'a>>, expiry_policy_factory: Data<'a>,
        hot_restart_config: Option<HotRestartConfig>,
        event_journal_config: Option<EventJournalConfig>,
        split_brain_protection_name: Option<&'a str>,
        listener_configurations: Option<List<'a, Data<'a>>>,
        merge_policy_config: MergePolicyConfig<'a>,
        cache_partition_lost_listener_configs: Option<List<'a, ListenerConfigHolder<'a>>>,
        merkle_tree_config: Option<MerkleTreeConfig> = None,
        data_persistence_config: DataPersistenceConfig = DataPersistenceConfig::DEFAULT,
        user_code_namespace: Option<&'a str> = None
    );

    /// When entries are evicted. The policies are names of Hazelcast's enumerations, such as
    /// `ENTRY_COUNT` and `LRU`.
    EvictionConfigHolder<'a> (
        size: i32;
        max_size_policy: &'a str, eviction_policy: &'a str, comparator_class_name: Option<&'a str>,
        comparator: Option<Data<'a>>
    );

    /// Replication to another cluster.
    WanReplicationRef<'a> (
        republishing_enabled: bool;
        name: &'a str, merge_policy_class_name: &'a str, filters: Option<List<'a, &'a str>>
    );

    /// How entries are merged when two clusters become one.
    MergePolicyConfig<'a> (batch_size: i32; policy: &'a str);

    /// A listener that members run.
    ListenerConfigHolder<'a> (
        listener_type: i32, include_value: bool, local: bool;
        listener_implementation: Option<Data<'a>>, class_name: Option<&'a str>
    );

    /// Whether entries survive a restart of the cluster, in older versions.
    HotRestartConfig (enabled: bool, fsync: bool;);

    /// Whether entries survive a restart of the cluster.
    DataPersistenceConfig (enabled: bool, fsync: bool;);

    /// The journal of changes.
    EventJournalConfig (enabled: bool, capacity: i32, time_to_live_seconds: i32;);

    /// Digests of entries, by which clusters are compared.
    MerkleTreeConfig (enabled: bool, depth: i32, enabled_set: bool = false;);
}

impl DataPersistenceConfig {
    /// What clients that do not know the field mean.
    const DEFAULT: Self = Self { enabled: false, fsync: false };
}

impl<'a> CacheConfigHolder<'a> {
    /// Decodes a configuration.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(config: &Encoded<'a>) -> Result<Self, Problem> {
        config.decode()
    }

    /// Encodes the configuration. The result are the bytes of an [`Encoded`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::response(&mut bytes, CreateConfig::TYPE.response(), 0, 0);
        writer.end();
        let start = writer.length();
        self.write(&mut writer);
        writer.finish();
        bytes.split_off(start)
    }

    /// Name of the cache in all other requests: the prefix of its manager, and its name.
    #[must_use]
    pub fn full_name(&self) -> String {
        [self.manager_prefix.unwrap_or_default(), self.name].concat()
    }

    /// The expiry of entries. `None` if it is of a class of the application.
    #[must_use]
    pub fn expiry_policy(&self) -> Option<ExpiryPolicy> {
        ExpiryPolicy::of_factory(self.expiry_policy_factory)
    }
}

#[cfg(test)]
mod tests;
