//! `ICache`, the caches of JCache (JSR 107).

use uuid::Uuid;

use super::encoded::Encoded;
use super::field::{self, DecodeError};
use super::lists::{List, Packed};
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a cache.
    "Cache" 0x13;
    0x01 "addEntryListener" AddEntryListener<'a> (local_only: bool; name: &'a str)
        -> (response: Uuid;) events { CACHE 2 CacheEvent };
    0x02 "clear" Clear<'a> (; name: &'a str) -> (;);
    0x03 "removeAllKeys" RemoveAllKeys<'a> (
        completion_id: i32;
        name: &'a str, keys: List<'a, Data<'a>>
    ) -> (;);
    0x04 "removeAll" RemoveAll<'a> (completion_id: i32; name: &'a str) -> (;);
    0x05 "containsKey" ContainsKey<'a> (; name: &'a str, key: Data<'a>) -> (response: bool;);
    /// The configuration is a [`CacheConfigHolder`](crate::cache::CacheConfigHolder). The response
    /// is the one that the cache has.
    0x06 "createConfig" CreateConfig<'a> (create_also_on_others: bool; cache_config: Encoded<'a>)
        -> (; response: Option<Encoded<'a>>);
    0x07 "destroy" Destroy<'a> (; name: &'a str) -> (;);
    0x08 "entryProcessor" EntryProcessor<'a> (
        completion_id: i32;
        name: &'a str, key: Data<'a>, entry_processor: Data<'a>, arguments: List<'a, Data<'a>>
    ) -> (; response: Option<Data<'a>>);
    0x09 "getAll" GetAll<'a> (;
        name: &'a str, keys: List<'a, Data<'a>>, expiry_policy: Option<Data<'a>>
    ) -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x0a "getAndRemove" GetAndRemove<'a> (completion_id: i32; name: &'a str, key: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x0b "getAndReplace" GetAndReplace<'a> (
        completion_id: i32;
        name: &'a str, key: Data<'a>, value: Data<'a>, expiry_policy: Option<Data<'a>>
    ) -> (; response: Option<Data<'a>>);
    /// The response is null if there is no such cache.
    0x0c "getConfig" GetConfig<'a> (; name: &'a str, simple_name: &'a str)
        -> (; response: Option<Encoded<'a>>);
    0x0d "get" Get<'a> (; name: &'a str, key: Data<'a>, expiry_policy: Option<Data<'a>>)
        -> (; response: Option<Data<'a>>);
    /// A client begins with the pointers `(i32::MAX, -1)`, and ends when the first index that is
    /// returned is negative.
    0x0e "iterate" Iterate<'a> (
        batch: i32;
        name: &'a str, iteration_pointers: Packed<'a, (i32, i32)>
    ) -> (; iteration_pointers: Packed<'a, (i32, i32)>, keys: List<'a, Data<'a>>);
    0x0f "listenerRegistration" ListenerRegistration<'a> (
        should_register: bool, uuid: Uuid;
        name: &'a str, listener_config: Data<'a>
    ) -> (;);
    0x10 "loadAll" LoadAll<'a> (
        replace_existing_values: bool;
        name: &'a str, keys: List<'a, Data<'a>>
    ) -> (;);
    0x11 "managementConfig" ManagementConfig<'a> (
        is_stat: bool, enabled: bool, uuid: Uuid;
        name: &'a str
    ) -> (;);
    0x12 "putIfAbsent" PutIfAbsent<'a> (
        completion_id: i32;
        name: &'a str, key: Data<'a>, value: Data<'a>, expiry_policy: Option<Data<'a>>
    ) -> (response: bool;);
    /// With `get`, the response is the previous value.
    0x13 "put" Put<'a> (
        get: bool, completion_id: i32;
        name: &'a str, key: Data<'a>, value: Data<'a>, expiry_policy: Option<Data<'a>>
    ) -> (; response: Option<Data<'a>>);
    0x14 "removeEntryListener" RemoveEntryListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x15 "removeInvalidationListener" RemoveInvalidationListener<'a> (
        registration_id: Uuid;
        name: &'a str
    ) -> (response: bool;);
    0x16 "remove" Remove<'a> (
        completion_id: i32;
        name: &'a str, key: Data<'a>, current_value: Option<Data<'a>>
    ) -> (response: bool;);
    /// The response is a boolean: whether the value was replaced.
    0x17 "replace" Replace<'a> (
        completion_id: i32;
        name: &'a str, key: Data<'a>, old_value: Option<Data<'a>>, new_value: Data<'a>,
        expiry_policy: Option<Data<'a>>
    ) -> (; response: Option<Data<'a>>);
    0x18 "size" Size<'a> (; name: &'a str) -> (response: i32;);
    0x19 "addPartitionLostListener" AddPartitionLostListener<'a> (local_only: bool; name: &'a str)
        -> (response: Uuid;) events { PARTITION_LOST 2 CachePartitionLostEvent };
    0x1a "removePartitionLostListener" RemovePartitionLostListener<'a> (
        registration_id: Uuid;
        name: &'a str
    ) -> (response: bool;);
    0x1b "putAll" PutAll<'a> (
        completion_id: i32;
        name: &'a str, entries: List<'a, (Data<'a>, Data<'a>)>, expiry_policy: Option<Data<'a>>
    ) -> (;);
    0x1c "iterateEntries" IterateEntries<'a> (
        batch: i32;
        name: &'a str, iteration_pointers: Packed<'a, (i32, i32)>
    ) -> (; iteration_pointers: Packed<'a, (i32, i32)>, entries: List<'a, (Data<'a>, Data<'a>)>);
    0x1d "addNearCacheInvalidationListener" AddNearCacheInvalidationListener<'a> (
        local_only: bool;
        name: &'a str
    ) -> (
        response: Uuid;
    ) events { INVALIDATION 2 CacheInvalidation, BATCH_INVALIDATION 3 CacheBatchInvalidation };
    0x1e "fetchNearCacheInvalidationMetadata" FetchNearCacheInvalidationMetadata<'a> (
        uuid: Uuid;
        names: List<'a, &'a str>
    ) -> (;
        name_partition_sequence_list: List<'a, (&'a str, Packed<'a, (i32, i64)>)>,
        partition_uuid_list: Packed<'a, (i32, Uuid)>
    );
    0x1f "eventJournalSubscribe" EventJournalSubscribe<'a> (; name: &'a str)
        -> (oldest_sequence: i64, newest_sequence: i64;);
    0x20 "eventJournalRead" EventJournalRead<'a> (
        start_sequence: i64, min_size: i32, max_size: i32;
        name: &'a str, predicate: Option<Data<'a>>, projection: Option<Data<'a>>
    ) -> (
        read_count: i32, next_seq: i64;
        items: List<'a, Data<'a>>, item_seqs: Option<Packed<'a, i64>>
    );
    0x21 "setExpiryPolicy" SetExpiryPolicy<'a> (;
        name: &'a str, keys: List<'a, Data<'a>>, expiry_policy: Data<'a>
    ) -> (response: bool;);
}
