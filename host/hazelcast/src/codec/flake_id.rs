//! `FlakeIdGenerator`.

use super::field::{self, DecodeError};
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a generator of ids.
    "FlakeIdGenerator" 0x1c;
    0x01 "newIdBatch" NewIdBatch<'a> (batch_size: i32; name: &'a str)
        -> (base: i64, increment: i64, batch_size: i32;);
}
