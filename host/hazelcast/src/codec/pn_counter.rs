//! `PNCounter`.

use uuid::Uuid;

use super::field::{self, DecodeError};
use super::lists::Packed;
use crate::message::{Message, MessageType, Writer};

service! {
    /// Requests of a counter.
    "PNCounter" 0x1d;
    0x01 "get" Get<'a> (
        target_replica_uuid: Uuid;
        name: &'a str, replica_timestamps: Packed<'a, (Uuid, i64)>
    ) -> (value: i64, replica_count: i32; replica_timestamps: Packed<'a, (Uuid, i64)>);
    0x02 "add" Add<'a> (
        delta: i64, get_before_update: bool, target_replica_uuid: Uuid;
        name: &'a str, replica_timestamps: Packed<'a, (Uuid, i64)>
    ) -> (value: i64, replica_count: i32; replica_timestamps: Packed<'a, (Uuid, i64)>);
    0x03 "getConfiguredReplicaCount" GetConfiguredReplicaCount<'a> (; name: &'a str)
        -> (response: i32;);
}
