//! Requests, responses and events.
//!
//! There is a module for each service, with a type for each of its requests: [`map::Put`] is the
//! request `Map.put`, and [`map::Put::respond`] writes its response. [`Request`] is any request.
//! [`events`] and [`structures`] are shared by the services.
//!
//! The names of fields are those of the protocol's definitions, so are their units:
//!
//! | field | meaning |
//! |---|---|
//! | `name` | name of the data structure |
//! | `thread_id` | with the client's id, the owner of locks |
//! | `reference_id` | id of a lock operation, which has no further effect if it is repeated |
//! | `ttl` | time to live in ms; 0: forever, -1: as configured for the map |
//! | `max_idle` | time to live after the last access in ms; 0: forever, -1: as configured |
//! | `lease` | time in ms after which a lock is released; below 1 or `i64::MAX`: never |
//! | `timeout`, `timeout_millis` | maximum time to wait in ms; 0: not at all |
//! | `local_only` | whether events of this member suffice, as the client listens to all members |
//! | `listener_flags` | the sum of the [`entry_event`] types that are wanted |
//! | `include_value` | whether events have values |
//! | `registration_id` | what the response to the registration of a listener contained |
//! | `completion_id` | the client waits for [`cache_event::COMPLETED`] with it, unless it is -1 |
//! | `iteration_pointers` | where to continue in a partition; unchanged from response to request |
//!
//! Decoding is lenient: a field that the sender's version does not have gets its default, those of
//! newer versions are ignored.
//!
//! Source: the definitions of Hazelcast Open Binary Client Protocol 2.10.

#[macro_use]
mod macros;

mod encoded;
pub mod events;
pub(crate) mod field;
mod lists;
mod names;
mod partitions;
mod request;
pub mod structures;

pub mod cache;
pub mod client;
pub mod flake_id;
pub mod list;
pub mod map;
pub mod multi_map;
pub mod pn_counter;
pub mod queue;
pub mod replicated_map;
pub mod ringbuffer;
pub mod set;
pub mod topic;

pub use encoded::Encoded;
pub use field::{DecodeError, Fixed, Problem, Secret, Variable};
pub use lists::{Items, List, Packed};
pub use partitions::PartitionTable;
pub use request::{Request, message_name};

/// Types of [`events::EntryEvent`]. The values are bits.
pub mod entry_event {
    /// A key was added.
    pub const ADDED: i32 = 1;
    /// A key was removed.
    pub const REMOVED: i32 = 1 << 1;
    /// A value was replaced.
    pub const UPDATED: i32 = 1 << 2;
    /// An entry was evicted.
    pub const EVICTED: i32 = 1 << 3;
    /// An entry expired.
    pub const EXPIRED: i32 = 1 << 4;
    /// All entries were evicted.
    pub const EVICT_ALL: i32 = 1 << 5;
    /// All entries were removed.
    pub const CLEAR_ALL: i32 = 1 << 6;
    /// An entry was merged when two clusters became one.
    pub const MERGED: i32 = 1 << 7;
    /// A near cache has to drop an entry.
    pub const INVALIDATION: i32 = 1 << 8;
    /// An entry was loaded from a store.
    pub const LOADED: i32 = 1 << 9;
}

/// Types of [`events::ItemEvent`].
pub mod item_event {
    /// An item was added.
    pub const ADDED: i32 = 1;
    /// An item was removed.
    pub const REMOVED: i32 = 2;
}

/// Kinds of [`events::CacheEvent`] and [`structures::CacheEventData`].
pub mod cache_event {
    /// An entry was created.
    pub const CREATED: i32 = 1;
    /// A value was replaced.
    pub const UPDATED: i32 = 2;
    /// An entry was removed.
    pub const REMOVED: i32 = 3;
    /// An entry expired.
    pub const EXPIRED: i32 = 4;
    /// An entry was evicted.
    pub const EVICTED: i32 = 5;
    /// Near caches have to drop an entry.
    pub const INVALIDATED: i32 = 6;
    /// An operation is done. It is sent for operations without effect, too.
    pub const COMPLETED: i32 = 7;
    /// The time when an entry expires changed.
    pub const EXPIRATION_TIME_UPDATED: i32 = 8;
    /// A partition was lost.
    pub const PARTITION_LOST: i32 = 9;
}

/// Names of services in [`client::CreateProxy`] and [`structures::DistributedObjectInfo`].
pub mod service_name {
    /// Maps.
    pub const MAP: &str = "hz:impl:mapService";
    /// Multimaps.
    pub const MULTI_MAP: &str = "hz:impl:multiMapService";
    /// Replicated maps.
    pub const REPLICATED_MAP: &str = "hz:impl:replicatedMapService";
    /// Queues.
    pub const QUEUE: &str = "hz:impl:queueService";
    /// Lists.
    pub const LIST: &str = "hz:impl:listService";
    /// Sets.
    pub const SET: &str = "hz:impl:setService";
    /// Topics.
    pub const TOPIC: &str = "hz:impl:topicService";
    /// Reliable topics.
    pub const RELIABLE_TOPIC: &str = "hz:impl:reliableTopicService";
    /// Ringbuffers.
    pub const RINGBUFFER: &str = "hz:impl:ringbufferService";
    /// Counters.
    pub const PN_COUNTER: &str = "hz:impl:PNCounterService";
    /// Generators of ids.
    pub const FLAKE_ID: &str = "hz:impl:flakeIdGeneratorService";
    /// Caches of JCache.
    pub const CACHE: &str = "hz:impl:cacheService";
    /// Executors, which are not supported.
    pub const EXECUTOR: &str = "hz:impl:executorService";
}

#[cfg(test)]
mod tests;
