//! `Ringbuffer`. Reliable topics are stored in one.

use super::field::{self, DecodeError};
use super::lists::{List, Packed};
use crate::data::Data;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a ringbuffer.
    "Ringbuffer" 0x17;
    0x01 "size" Size<'a> (; name: &'a str) -> (response: i64;);
    0x02 "tailSequence" TailSequence<'a> (; name: &'a str) -> (response: i64;);
    0x03 "headSequence" HeadSequence<'a> (; name: &'a str) -> (response: i64;);
    0x04 "capacity" Capacity<'a> (; name: &'a str) -> (response: i64;);
    0x05 "remainingCapacity" RemainingCapacity<'a> (; name: &'a str) -> (response: i64;);
    /// The policy is 0 to overwrite the oldest item, 1 to fail: then the response is -1.
    0x06 "add" Add<'a> (overflow_policy: i32; name: &'a str, value: Data<'a>) -> (response: i64;);
    0x07 "readOne" ReadOne<'a> (sequence: i64; name: &'a str) -> (; response: Option<Data<'a>>);
    /// As [`Add`]. The response is the sequence of the last item.
    0x08 "addAll" AddAll<'a> (overflow_policy: i32; name: &'a str, value_list: List<'a, Data<'a>>)
        -> (response: i64;);
    /// Waits until there are `min_count` items. The filter is null, or an object of Java.
    0x09 "readMany" ReadMany<'a> (
        start_sequence: i64, min_count: i32, max_count: i32;
        name: &'a str, filter: Option<Data<'a>>
    ) -> (
        read_count: i32, next_seq: i64;
        items: List<'a, Data<'a>>, item_seqs: Option<Packed<'a, i64>>
    );
}
