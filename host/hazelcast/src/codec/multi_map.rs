//! `MultiMap`, a map with several values for a key.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::List;
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a multimap.
    "MultiMap" 0x02;
    0x01 "put" Put<'a> (thread_id: i64; name: &'a str, key: Data<'a>, value: Data<'a>)
        -> (response: bool;);
    0x02 "get" Get<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (; response: List<'a, Data<'a>>);
    0x03 "remove" Remove<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (; response: List<'a, Data<'a>>);
    0x04 "keySet" KeySet<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x05 "values" Values<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x06 "entrySet" EntrySet<'a> (; name: &'a str) -> (; response: List<'a, (Data<'a>, Data<'a>)>);
    0x07 "containsKey" ContainsKey<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (response: bool;);
    0x08 "containsValue" ContainsValue<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x09 "containsEntry" ContainsEntry<'a> (
        thread_id: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (response: bool;);
    0x0a "size" Size<'a> (; name: &'a str) -> (response: i32;);
    0x0b "clear" Clear<'a> (; name: &'a str) -> (;);
    0x0c "valueCount" ValueCount<'a> (thread_id: i64; name: &'a str, key: Data<'a>)
        -> (response: i32;);
    0x0d "addEntryListenerToKey" AddEntryListenerToKey<'a> (
        include_value: bool, local_only: bool;
        name: &'a str, key: Data<'a>
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x0e "addEntryListener" AddEntryListener<'a> (
        include_value: bool, local_only: bool;
        name: &'a str
    ) -> (response: Uuid;) events { ENTRY 2 EntryEvent };
    0x0f "removeEntryListener" RemoveEntryListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x10 "lock" Lock<'a> (thread_id: i64, ttl: i64, reference_id: i64; name: &'a str, key: Data<'a>)
        -> (;);
    0x11 "tryLock" TryLock<'a> (
        thread_id: i64, lease: i64, timeout: i64, reference_id: i64;
        name: &'a str, key: Data<'a>
    ) -> (response: bool;);
    0x12 "isLocked" IsLocked<'a> (; name: &'a str, key: Data<'a>) -> (response: bool;);
    0x13 "unlock" Unlock<'a> (thread_id: i64, reference_id: i64; name: &'a str, key: Data<'a>)
        -> (;);
    0x14 "forceUnlock" ForceUnlock<'a> (reference_id: i64; name: &'a str, key: Data<'a>) -> (;);
    0x15 "removeEntry" RemoveEntry<'a> (
        thread_id: i64;
        name: &'a str, key: Data<'a>, value: Data<'a>
    ) -> (response: bool;);
    0x16 "delete" Delete<'a> (thread_id: i64; name: &'a str, key: Data<'a>) -> (;);
    0x17 "putAll" PutAll<'a> (; name: &'a str, entries: List<'a, (Data<'a>, List<'a, Data<'a>>)>)
        -> (;);
}
