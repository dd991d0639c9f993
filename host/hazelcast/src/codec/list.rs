//! `IList`.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::List;
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a list.
    "List" 0x05;
    0x01 "size" Size<'a> (; name: &'a str) -> (response: i32;);
    0x02 "contains" Contains<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x03 "containsAll" ContainsAll<'a> (; name: &'a str, values: List<'a, Data<'a>>)
        -> (response: bool;);
    0x04 "add" Add<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x05 "remove" Remove<'a> (; name: &'a str, value: Data<'a>) -> (response: bool;);
    0x06 "addAll" AddAll<'a> (; name: &'a str, value_list: List<'a, Data<'a>>) -> (response: bool;);
    0x07 "compareAndRemoveAll" CompareAndRemoveAll<'a> (; name: &'a str, values: List<'a, Data<'a>>)
        -> (response: bool;);
    0x08 "compareAndRetainAll" CompareAndRetainAll<'a> (; name: &'a str, values: List<'a, Data<'a>>)
        -> (response: bool;);
    0x09 "clear" Clear<'a> (; name: &'a str) -> (;);
    0x0a "getAll" GetAll<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x0b "addListener" AddListener<'a> (include_value: bool, local_only: bool; name: &'a str)
        -> (response: Uuid;) events { ITEM 2 ItemEvent };
    0x0c "removeListener" RemoveListener<'a> (registration_id: Uuid; name: &'a str)
        -> (response: bool;);
    0x0d "isEmpty" IsEmpty<'a> (; name: &'a str) -> (response: bool;);
    0x0e "addAllWithIndex" AddAllWithIndex<'a> (
        index: i32;
        name: &'a str, value_list: List<'a, Data<'a>>
    ) -> (response: bool;);
    0x0f "get" Get<'a> (index: i32; name: &'a str) -> (; response: Option<Data<'a>>);
    0x10 "set" Set<'a> (index: i32; name: &'a str, value: Data<'a>)
        -> (; response: Option<Data<'a>>);
    0x11 "addWithIndex" AddWithIndex<'a> (index: i32; name: &'a str, value: Data<'a>) -> (;);
    0x12 "removeWithIndex" RemoveWithIndex<'a> (index: i32; name: &'a str)
        -> (; response: Option<Data<'a>>);
    0x13 "lastIndexOf" LastIndexOf<'a> (; name: &'a str, value: Data<'a>) -> (response: i32;);
    0x14 "indexOf" IndexOf<'a> (; name: &'a str, value: Data<'a>) -> (response: i32;);
    0x15 "sub" Sub<'a> (from: i32, to: i32; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x16 "iterator" Iterator<'a> (; name: &'a str) -> (; response: List<'a, Data<'a>>);
    0x17 "listIterator" ListIterator<'a> (index: i32; name: &'a str)
        -> (; response: List<'a, Data<'a>>);
}
