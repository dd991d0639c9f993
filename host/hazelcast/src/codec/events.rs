//! Events: messages to a listener that the client has registered on this connection.

use uuid::Uuid;

use super::field;
#[cfg(any(test, feature = "client"))]
use super::field::DecodeError;
use super::lists::{List, Packed};
use super::partitions::PartitionTable;
use super::structures::{CacheEventData, MemberInfo, MigrationState, Version};
use crate::data::Data;
use crate::frame::Flags;
#[cfg(any(test, feature = "client"))]
use crate::message::Message;
use crate::message::{MessageType, Writer};

events! {
    /// The members, the oldest one first. The version is 1 or more, and grows.
    MembersView<'a> (version: i32; member_infos: List<'a, MemberInfo<'a>>);

    /// The owners of partitions. The version differs whenever the content does.
    PartitionsView<'a> (version: i32; partitions: PartitionTable<'a>);

    /// Groups of members that can reach one another.
    MemberGroupsView<'a> (version: i32; member_groups: List<'a, Packed<'a, Uuid>>);

    /// Version of the cluster, such as 5.7.
    ClusterVersion (; version: Version);

    /// A partition lost its primary and this number of backups.
    PartitionLostEvent (partition_id: i32, lost_backup_count: i32, source: Option<Uuid>;);

    /// A data structure was created or destroyed: the type is `CREATED` or `DESTROYED`.
    DistributedObjectEvent<'a> (
        source: Uuid; name: &'a str, service_name: &'a str, event_type: &'a str
    );

    /// A backup of the request with this correlation id is done.
    BackupEvent (source_invocation_correlation_id: i64;) flags BACKUP_EVENT;

    /// Partitions begin to migrate (kind 0), or all of them have migrated (kind 1).
    MigrationEvent (kind: i32; migration_state: MigrationState);

    /// A replica of a partition has migrated, or failed to. Replica 0 is the primary.
    ReplicaMigrationEvent (
        partition_id: i32, replica_index: i32, source_uuid: Option<Uuid>, dest_uuid: Option<Uuid>,
        success: bool, elapsed_time: i64;
        migration_state: MigrationState
    );

    /// An entry of a map changed, or several were removed: then the key is null. The type of the
    /// event is a constant of [`entry_event`](super::entry_event), the id is that of the member.
    EntryEvent<'a> (
        event_type: i32, uuid: Uuid, number_of_affected_entries: i32;
        key: Option<Data<'a>>, value: Option<Data<'a>>, old_value: Option<Data<'a>>,
        merging_value: Option<Data<'a>>
    );

    /// A member that had a partition of a map was lost with its data.
    MapPartitionLostEvent (partition_id: i32, uuid: Uuid;);

    /// Near caches have to drop a key; without a key, all of the map. The source is the client that
    /// wrote. The sequence is that of the partition: 1 for the first invalidation.
    MapInvalidation<'a> (
        source_uuid: Uuid, partition_uuid: Uuid, sequence: i64; key: Option<Data<'a>>
    );

    /// Several of [`MapInvalidation`]. All lists have the same length.
    MapBatchInvalidation<'a> (;
        keys: List<'a, Data<'a>>, source_uuids: Packed<'a, Uuid>, partition_uuids: Packed<'a, Uuid>,
        sequences: Packed<'a, i64>
    );

    /// An item was added to a collection (event type 1) or removed from it (2). The id is that of
    /// the member.
    ItemEvent<'a> (uuid: Uuid, event_type: i32; item: Option<Data<'a>>);

    /// A message of a topic. The time is in milliseconds since the epoch, the id is that of the
    /// member to which it was published.
    TopicEvent<'a> (publish_time: i64, uuid: Uuid; item: Data<'a>);

    /// Entries of a cache changed, or an operation of this completion id is done. The kind is a
    /// constant of [`cache_event`](super::cache_event).
    CacheEvent<'a> (kind: i32, completion_id: i32; keys: List<'a, CacheEventData<'a>>);

    /// A member that had a partition of a cache was lost with its data.
    CachePartitionLostEvent (partition_id: i32, uuid: Uuid;);

    /// As [`MapInvalidation`], for a cache.
    CacheInvalidation<'a> (
        source_uuid: Option<Uuid>, partition_uuid: Uuid, sequence: i64;
        name: &'a str, key: Option<Data<'a>>
    );

    /// Several of [`CacheInvalidation`]. All lists have the same length.
    CacheBatchInvalidation<'a> (;
        name: &'a str, keys: List<'a, Data<'a>>, source_uuids: Packed<'a, Uuid>,
        partition_uuids: Packed<'a, Uuid>, sequences: Packed<'a, i64>
    );
}
