//! Data structures within messages.

use uuid::Uuid;

use super::field::{self, Problem, Variable};
use super::lists::{List, Packed};
use crate::data::Data;
use crate::frame::{Flags, Frames};
use crate::message::Writer;

structures! {
    /// Where a member listens.
    Address<'a> (port: i32; host: &'a str);

    /// For what an address is: the kind is 0 for members, 1 for clients, 2 for WAN replication, 3
    /// for REST, 4 for memcached. Clients outside the network of the members use the address of
    /// kind 1 whose identifier is `public`.
    EndpointQualifier<'a> (kind: i32; identifier: Option<&'a str>);

    /// Version of a member.
    MemberVersion (major: u8, minor: u8, patch: u8;);

    /// Version of a cluster.
    Version (major: u8, minor: u8;);

    /// A member.
    MemberInfo<'a> (
        uuid: Uuid, lite_member: bool;
        address: Address<'a>, attributes: List<'a, (&'a str, &'a str)>, version: MemberVersion,
        address_map: List<'a, (EndpointQualifier<'a>, Address<'a>)> = List::default()
    );

    /// A data structure that exists.
    DistributedObjectInfo<'a> (; service_name: &'a str, name: &'a str);

    /// Progress of migrations. Times are in milliseconds, the first one since the epoch.
    MigrationState (
        start_time: i64, planned_migrations: i32, completed_migrations: i32,
        total_elapsed_time: i64;
    );

    /// An entry of a map with its metadata. Times are in milliseconds since the epoch; `ttl` and
    /// `max_idle` are in milliseconds, `i64::MAX` without a limit.
    SimpleEntryView<'a> (
        cost: i64, creation_time: i64, expiration_time: i64, hits: i64, last_access_time: i64,
        last_stored_time: i64, last_update_time: i64, version: i64, ttl: i64, max_idle: i64;
        key: Data<'a>, value: Data<'a>
    );

    /// An entry of a replicated map with its metadata. Times are in milliseconds since the epoch.
    ReplicatedMapEntryViewHolder<'a> (
        creation_time: i64, hits: i64, last_access_time: i64, last_update_time: i64,
        ttl_millis: i64;
        key: Data<'a>, value: Data<'a>
    );

    /// An index of a map. The kind is 0 for sorted, 1 for hash, 2 for bitmap.
    IndexConfig<'a> (
        kind: i32;
        name: Option<&'a str>, attributes: List<'a, &'a str>,
        bitmap_index_options: Option<BitmapIndexOptions<'a>>,
        b_tree_index_config: Option<BTreeIndexConfig> = None
    );

    /// Options of a bitmap index. The transformation of unique keys is 0 for objects, 1 for `long`,
    /// 2 for raw.
    BitmapIndexOptions<'a> (unique_key_transformation: i32; unique_key: &'a str);

    /// Options of a sorted index outside of the heap.
    BTreeIndexConfig (; page_size: Capacity, memory_tier_config: MemoryTierConfig);

    /// Size of the memory of an index.
    MemoryTierConfig (; capacity: Capacity);

    /// A size. The unit is 0 for bytes, 1 for kilobytes, 2 for megabytes, 3 for gigabytes.
    Capacity (value: i64, unit: i32;);

    /// The last entry of each page that was visited.
    AnchorDataListHolder<'a> (;
        anchor_page_list: Packed<'a, i32>, anchor_data_list: List<'a, (Data<'a>, Data<'a>)>
    );

    /// A predicate whose results are requested in pages. The kind of iteration is 0 for keys, 1 for
    /// values, 2 for entries.
    PagingPredicateHolder<'a> (
        page_size: i32, page: i32, iteration_type_id: u8;
        anchor_data_list_holder: AnchorDataListHolder<'a>, predicate_data: Option<Data<'a>>,
        comparator_data: Option<Data<'a>>, partition_key_data: Option<Data<'a>>,
        partition_keys_data: Option<List<'a, Data<'a>>> = None
    );

    /// A change of an entry of a cache. The kind is a constant of
    /// [`cache_event`](super::cache_event).
    CacheEventData<'a> (
        cache_event_type: i32, old_value_available: bool;
        name: &'a str, data_key: Option<Data<'a>>, data_value: Option<Data<'a>>,
        data_old_value: Option<Data<'a>>
    );
}
