//! `ReplicatedMap`, a map of which each member has a copy.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::List;
use super::structures::ReplicatedMapEntryViewHolder;
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a replicated map.
    "ReplicatedMap" 0x0d;
    0x01 "put" Put<'a> (ttl: i64; name: &'a str, key: Data<'a>, value: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x02 "size" Size<'a> (; name: &'a str) -> (response: i32;);
    0x03 "isEmpty" IsEmpty<'a> (; name: &'a str) -> (response: bool;);
    0x04 "containsKey" ContainsKey<'a> (; name: &'a str, key: Data<'a>) -> (response: bool;);
    0x05 "containsValue" ContainsValue<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x06 "get" Get<'a> (; name: &'a str, key: Data<'a>) -> (; response: Option<Data<'a>>);
    0x07 "remove" Remove<'a> (; name: &'a str, key: Data<'a>) -> (; response: Option<Data<'a>>);
    0x08 "putAll" PutAll<'a> (; name: &'a str, entries: List<'a, (Data<'a>, Data<'a>)>) -> (;);
    0x09 "clear" Clear<'a> (; name: &'a str) -> (;);
    0x0a "addEntryListenerToKeyWithPredicate" AddEntryListenerToKeyWithPredicate<'a> (
        local_only: bool;
        name: &'a str, key: Data<'a>, predicate: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x0b "addEntryListenerWithPredicate" AddEntryListenerWithPredicate<'a> (
        local_only: bool;
        name: &'a str, predicate: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x0c "addEntryListenerToKey" AddEntryListenerToKey<'a> (
        local_only: bool;
        name: &'a str, key: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x0d "addEntryListener" AddEntryListener<'a> (local_only: bool; name: &'a str)
        -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x0e "removeEntryListener" RemoveEntryListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x0f "keySet" KeySet<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x10 "values" Values<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x11 "entrySet" EntrySet<'a> (; name: &'a str) -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x12 "addNearCacheEntryListener" AddNearCacheEntryListener<'a> (
        include_value: bool, local_only: bool;
        name: &'a str
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x13 "putAllWithMetadata" PutAllWithMetadata<'a> (
        partition_id: i32;
        name: &'a str, entries: List<'a, ReplicatedMapEntryViewHolder<'a>>
    ) -> (;);
    0x14 "fetchEntryViews" FetchEntryViews<'a> (
        cursor_id: Uuid, new_iteration: bool, partition_id: i32, batch_size: i32;
        name: &'a str
    ) -> (cursor_id: Uuid; entry_views: List<'a, ReplicatedMapEntryViewHolder<'a>>);
    0x15 "endEntryViewIteration" EndEntryViewIteration<'a> (cursor_id: Option<Uuid>; name: &'a str)
        -> (;);
}
