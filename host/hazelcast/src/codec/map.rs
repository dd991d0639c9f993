//! `IMap`, a distributed map.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::{List, Packed};
use super::structures::{
    AnchorDataListHolder, IndexConfig, PagingPredicateHolder, SimpleEntryView,
};
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a map.
    "Map" 0x01;
    0x01 "put" Put<'a> (thread_id: i64, ttl: i64; name: &'a str, key: Data<'a>, value: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x02 "get" Get<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x03 "remove" Remove<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x04 "replace" Replace<'a> (thread_id: i64; name: &'a str, key: Data<'a>, value: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x05 "replaceIfSame" ReplaceIfSame<'a> (
        thread_id: i64;
        name: &'a str, key: Data<'a>, test_value: Data<'a>, value: Data<'a>
    ) -> (response: bool;);
    0x06 "containsKey" ContainsKey<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (response: bool;);
    0x07 "containsValue" ContainsValue<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x08 "removeIfSame" RemoveIfSame<'a> (
        thread_id: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (response: bool;);
    0x09 "delete" Delete<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (response: bool = false;);
    0x0a "flush" Flush<'a> (; name: &'a str) -> (;);
    0x0b "tryRemove" TryRemove<'a> (thread_id: i64, timeout: i64; name: &'a str, key: Data<'a>)
        -> (response: bool;);
    0x0c "tryPut" TryPut<'a> (
        thread_id: i64, timeout: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (response: bool;);
    0x0d "putTransient" PutTransient<'a> (
        thread_id: i64, ttl: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (;);
    0x0e "putIfAbsent" PutIfAbsent<'a> (
        thread_id: i64, ttl: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x0f "set" Set<'a> (thread_id: i64, ttl: i64; name: &'a str, key: Data<'a>, value: Data<'a>)
        -> (;);
    0x10 "lock" Lock<'a> (thread_id: i64, ttl: i64, reference_id: i64; name: &'a str, key: Data<'a>)
        -> (;);
    0x11 "tryLock" TryLock<'a> (
        thread_id: i64, lease: i64, timeout: i64, reference_id: i64;
        name: &'a str, key: Data<'a>
    ) -> (response: bool;);
    0x12 "isLocked" IsLocked<'a> (; name: &'a str, key: Data<'a>) -> (response: bool;);
    0x13 "unlock" Unlock<'a> (thread_id: i64, reference_id: i64; name: &'a str, key: Data<'a>)
        -> (;);
    0x14 "addInterceptor" AddInterceptor<'a> (; name: &'a str, interceptor: Data<'a>)
        -> (; response: &'a str);
    0x15 "removeInterceptor" RemoveInterceptor<'a> (; name: &'a str, id: &'a str)
        -> (response: bool;);
    0x16 "addEntryListenerToKeyWithPredicate" AddEntryListenerToKeyWithPredicate<'a> (
        include_value: bool, listener_flags: i32, local_only: bool;
        name: &'a str, key: Data<'a>, predicate: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x17 "addEntryListenerWithPredicate" AddEntryListenerWithPredicate<'a> (
        include_value: bool, listener_flags: i32, local_only: bool;
        name: &'a str, predicate: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x18 "addEntryListenerToKey" AddEntryListenerToKey<'a> (
        include_value: bool, listener_flags: i32, local_only: bool;
        name: &'a str, key: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x19 "addEntryListener" AddEntryListener<'a> (
        include_value: bool, listener_flags: i32, local_only: bool;
        name: &'a str
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x1a "removeEntryListener" RemoveEntryListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x1b "addPartitionLostListener" AddPartitionLostListener<'a> (local_only: bool; name: &'a str)
        -> (response: Uuid;) events { PARTITION_LOST 2 MapPartitionLostEvent };
    0x1c "removePartitionLostListener" RemovePartitionLostListener<'a> (
        registration_id: Uuid;
        name: &'a str
    ) -> (response: bool;);
    /// `max_idle` replaces that of the view.
    0x1d "getEntryView" GetEntryView<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (max_idle: i64; response: Option<SimpleEntryView<'a>>);
    0x1e "evict" Evict<'a> (thread_id: i64; name: &'a str, key: Data<'a>) -> (response: bool;);
    0x1f "evictAll" EvictAll<'a> (; name: &'a str) -> (;);
    0x20 "loadAll" LoadAll<'a> (replace_existing_values: bool; name: &'a str) -> (;);
    0x21 "loadGivenKeys" LoadGivenKeys<'a> (
        replace_existing_values: bool;
        name: &'a str, keys: List<'a, Data<'a>>
    ) -> (;);
    0x22 "keySet" KeySet<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x23 "getAll" GetAll<'a> (; name: &'a str, keys: List<'a, Data<'a>>)
        -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x24 "values" Values<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x25 "entrySet" EntrySet<'a> (; name: &'a str) -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x26 "keySetWithPredicate" KeySetWithPredicate<'a> (; name: &'a str, predicate: Data<'a>)
        -> (; response: List<'a, Data<'a>>);
    0x27 "valuesWithPredicate" ValuesWithPredicate<'a> (; name: &'a str, predicate: Data<'a>)
        -> (; response: List<'a, Data<'a>>);
    0x28 "entriesWithPredicate" EntriesWithPredicate<'a> (; name: &'a str, predicate: Data<'a>)
        -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x29 "addIndex" AddIndex<'a> (; name: &'a str, index_config: IndexConfig<'a>) -> (;);
    0x2a "size" Size<'a> (; name: &'a str) -> (response: i32;);
    0x2b "isEmpty" IsEmpty<'a> (; name: &'a str) -> (response: bool;);
    0x2c "putAll" PutAll<'a> (
        trigger_map_loader: bool = false;
        name: &'a str, entries: List<'a, (Data<'a>, Data<'a>)>
    ) -> (;);
    0x2d "clear" Clear<'a> (; name: &'a str) -> (;);
    0x2e "executeOnKey" ExecuteOnKey<'a> (
        thread_id: i64;
        name: &'a str, entry_processor: Data<'a>, key: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x2f "submitToKey" SubmitToKey<'a> (
        thread_id: i64;
        name: &'a str, entry_processor: Data<'a>, key: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x30 "executeOnAllKeys" ExecuteOnAllKeys<'a> (; name: &'a str, entry_processor: Data<'a>)
        -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x31 "executeWithPredicate" ExecuteWithPredicate<'a> (;
        name: &'a str, entry_processor: Data<'a>, predicate: Data<'a>
    ) -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x32 "executeOnKeys" ExecuteOnKeys<'a> (;
        name: &'a str, entry_processor: Data<'a>, keys: List<'a, Data<'a>>
    ) -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x33 "forceUnlock" ForceUnlock<'a> (reference_id: i64; name: &'a str, key: Data<'a>) -> (;);
    0x34 "keySetWithPagingPredicate" KeySetWithPagingPredicate<'a> (;
        name: &'a str, predicate: PagingPredicateHolder<'a>
    ) -> (; response: List<'a, Data<'a>>, anchor_data_list: AnchorDataListHolder<'a>);
    0x35 "valuesWithPagingPredicate" ValuesWithPagingPredicate<'a> (;
        name: &'a str, predicate: PagingPredicateHolder<'a>
    ) -> (; response: List<'a, Data<'a>>, anchor_data_list: AnchorDataListHolder<'a>);
    0x36 "entriesWithPagingPredicate" EntriesWithPagingPredicate<'a> (;
        name: &'a str, predicate: PagingPredicateHolder<'a>
    ) -> (; response: List<'a, (Data<'a>, Data<'a>)>, anchor_data_list: AnchorDataListHolder<'a>);
    0x37 "fetchKeys" FetchKeys<'a> (
        batch: i32;
        name: &'a str, iteration_pointers: Packed<'a, (i32, i32)>
    ) -> (; iteration_pointers: Packed<'a, (i32, i32)>, keys: List<'a, Data<'a>>);
    0x38 "fetchEntries" FetchEntries<'a> (
        batch: i32;
        name: &'a str, iteration_pointers: Packed<'a, (i32, i32)>
    ) -> (; iteration_pointers: Packed<'a, (i32, i32)>, entries: List<'a, (Data<'a>, Data<'a>)>);
    0x39 "aggregate" Aggregate<'a> (; name: &'a str, aggregator: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x3a "aggregateWithPredicate" AggregateWithPredicate<'a> (;
        name: &'a str, aggregator: Data<'a>, predicate: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x3b "project" Project<'a> (; name: &'a str, projection: Data<'a>)
        -> (; response: List<'a, Option<Data<'a>>>);
    0x3c "projectWithPredicate" ProjectWithPredicate<'a> (;
        name: &'a str, projection: Data<'a>, predicate: Data<'a>
    ) -> (; response: List<'a, Option<Data<'a>>>);
    0x3d "fetchNearCacheInvalidationMetadata" FetchNearCacheInvalidationMetadata<'a> (
        uuid: Uuid;
        names: List<'a, &'a str>
    ) -> (;
        name_partition_sequence_list: List<'a, (&'a str, Packed<'a, (i32, i64)>)>,
        partition_uuid_list: Packed<'a, (i32, Uuid)>
    );
    0x3e "removeAll" RemoveAll<'a> (; name: &'a str, predicate: Data<'a>) -> (;);
    0x3f "addNearCacheInvalidationListener" AddNearCacheInvalidationListener<'a> (
        listener_flags: i32, local_only: bool;
        name: &'a str
    ) -> (
        response: Uuid;
    ) events { INVALIDATION 2 MapInvalidation, BATCH_INVALIDATION 3 MapBatchInvalidation };
    0x40 "fetchWithQuery" FetchWithQuery<'a> (
        batch: i32;
        name: &'a str, iteration_pointers: Packed<'a, (i32, i32)>, projection: Data<'a>,
        predicate: Data<'a>
    ) -> (; results: List<'a, Option<Data<'a>>>, iteration_pointers: Packed<'a, (i32, i32)>);
    0x41 "eventJournalSubscribe" EventJournalSubscribe<'a> (; name: &'a str)
        -> (oldest_sequence: i64, newest_sequence: i64;);
    0x42 "eventJournalRead" EventJournalRead<'a> (
        start_sequence: i64, min_size: i32, max_size: i32;
        name: &'a str, predicate: Option<Data<'a>>, projection: Option<Data<'a>>
    ) -> (
        read_count: i32, next_seq: i64;
        items: List<'a, Data<'a>>, item_seqs: Option<Packed<'a, i64>>
    );
    /// The response is whether there is such an entry.
    0x43 "setTtl" SetTtl<'a> (ttl: i64; name: &'a str, key: Data<'a>) -> (response: bool;);
    0x44 "putWithMaxIdle" PutWithMaxIdle<'a> (
        thread_id: i64, ttl: i64, max_idle: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x45 "putTransientWithMaxIdle" PutTransientWithMaxIdle<'a> (
        thread_id: i64, ttl: i64, max_idle: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x46 "putIfAbsentWithMaxIdle" PutIfAbsentWithMaxIdle<'a> (
        thread_id: i64, ttl: i64, max_idle: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x47 "setWithMaxIdle" SetWithMaxIdle<'a> (
        thread_id: i64, ttl: i64, max_idle: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (; response: Option<Data<'a>>);
    0x48 "replaceAll" ReplaceAll<'a> (; name: &'a str, function: Data<'a>) -> (;);
    0x49 "putAllWithMetadata" PutAllWithMetadata<'a> (;
        name: &'a str, entries: List<'a, SimpleEntryView<'a>>
    ) -> (;);
}
