//! `IQueue`.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::List;
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a queue.
    "Queue" 0x03;
    0x01 "offer" Offer<'a> (timeout_millis: i64; name: &'a str, value: Data<'a>)
        -> (response: bool;);
    0x02 "put" Put<'a> (; name: &'a str, value: Data<'a>) -> (;);
    0x03 "size" Size<'a> (; name: &'a str) -> (response: i32;);
    0x04 "remove" Remove<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x05 "poll" Poll<'a> (timeout_millis: i64; name: &'a str) -> (; response: Option<Data<'a>>);
    0x06 "take" Take<'a> (; name: &'a str) -> (; response: Option<Data<'a>>);
    0x07 "peek" Peek<'a> (; name: &'a str) -> (; response: Option<Data<'a>>);
    0x08 "iterator" Iterator<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x09 "drainTo" DrainTo<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x0a "drainToMaxSize" DrainToMaxSize<'a> (max_size: i32; name: &'a str)
        -> (; response: List<'a, Data<'a>>);
    0x0b "contains" Contains<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x0c "containsAll" ContainsAll<'a> (; name: &'a str, data_list: List<'a, Data<'a>>)
        -> (response: bool;);
    0x0d "compareAndRemoveAll" CompareAndRemoveAll<'a> (;
        name: &'a str, data_list: List<'a, Data<'a>>
    ) -> (response: bool;);
    0x0e "compareAndRetainAll" CompareAndRetainAll<'a> (;
        name: &'a str, data_list: List<'a, Data<'a>>
    ) -> (response: bool;);
    0x0f "clear" Clear<'a> (; name: &'a str) -> (;);
    0x10 "addAll" AddAll<'a> (; name: &'a str, data_list: List<'a, Data<'a>>) -> (response: bool;);
    0x11 "addListener" AddListener<'a> (include_value: bool, local_only: bool; name: &'a str)
        -> (response: Uuid;) events { ITEM 2 ItemEvent };
    0x12 "removeListener" RemoveListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x13 "remainingCapacity" RemainingCapacity<'a> (; name: &'a str) -> (response: i32;);
    0x14 "isEmpty" IsEmpty<'a> (; name: &'a str) -> (response: bool;);
}
