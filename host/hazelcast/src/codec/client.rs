//! The client itself: authentication, the view of the cluster, proxies, listeners, schemas.

use uuid::Uuid;

use super::field::{self, DecodeError, Secret};
use super::lists::{List, Packed};
use super::partitions::PartitionTable;
use super::structures::{Address, DistributedObjectInfo, MemberInfo};
use crate::message::{Message, MessageType, Writer};
use crate::schema::Schema;

responses! {
    /// The response to [`Authentication`] and [`AuthenticationCustom`]. If the status is not
    /// [`AUTHENTICATED`], the ids and the address are null.
    AuthenticationResponse<'a> (
        status: u8, member_uuid: Option<Uuid>, serialization_version: u8, partition_count: i32,
        cluster_id: Option<Uuid>, failover_supported: bool, member_list_version: i32 = 0,
        partition_list_version: i32 = 0;
        address: Option<Address<'a>>, server_hazelcast_version: &'a str,
        tpc_ports: Option<Packed<'a, i32>> = None, tpc_token: Option<Secret<'a>> = None,
        member_infos: List<'a, MemberInfo<'a>> = List::default(),
        partitions: PartitionTable<'a> = PartitionTable::default(),
        key_value_pairs: List<'a, (&'a str, &'a str)> = List::default()
    );
}

/// Routing mode of a client that connects to one member.
pub const ROUTING_SINGLE_MEMBER: u8 = 0;
/// Routing mode of a client that connects to all members.
pub const ROUTING_ALL_MEMBERS: u8 = 1;
/// Routing mode of a client that connects to a group of members.
pub const ROUTING_MULTI_MEMBER: u8 = 2;
/// Routing mode of a client that does not report it.
pub const ROUTING_UNKNOWN: u8 = u8::MAX;

/// Status of a client whose credentials are valid.
pub const AUTHENTICATED: u8 = 0;
/// Status of a client whose credentials or cluster name are wrong. It tries other members.
pub const CREDENTIALS_FAILED: u8 = 1;
/// Status of a client whose serialization version is not that of the cluster, which is 1.
pub const SERIALIZATION_VERSION_MISMATCH: u8 = 2;
/// Status of a client that may not use this cluster. It does not try other members.
pub const NOT_ALLOWED_IN_CLUSTER: u8 = 3;

service! {
    /// Requests about the client and the cluster.
    "Client" 0x00;
    0x01 "authentication" Authentication<'a> (
        uuid: Option<Uuid>, serialization_version: u8, routing_mode: u8 = ROUTING_UNKNOWN,
        cp_direct_to_leader_routing: bool = false;
        cluster_name: &'a str, username: Option<&'a str>, password: Option<Secret<'a>>,
        client_type: &'a str, client_hazelcast_version: &'a str, client_name: &'a str,
        labels: List<'a, &'a str>
    ) -> AuthenticationResponse;
    0x02 "authenticationCustom" AuthenticationCustom<'a> (
        uuid: Option<Uuid>, serialization_version: u8, routing_mode: u8 = ROUTING_UNKNOWN,
        cp_direct_to_leader_routing: bool = false;
        cluster_name: &'a str, credentials: Secret<'a>, client_type: &'a str,
        client_hazelcast_version: &'a str, client_name: &'a str, labels: List<'a, &'a str>
    ) -> AuthenticationResponse;
    0x03 "addClusterViewListener" AddClusterViewListener (;) -> (;) events {
        MEMBERS_VIEW 2 MembersView, PARTITIONS_VIEW 3 PartitionsView,
        MEMBER_GROUPS_VIEW 4 MemberGroupsView, CLUSTER_VERSION 5 ClusterVersion
    };
    0x04 "createProxy" CreateProxy<'a> (; name: &'a str, service_name: &'a str) -> (;);
    0x05 "destroyProxy" DestroyProxy<'a> (; name: &'a str, service_name: &'a str) -> (;);
    0x06 "addPartitionLostListener" AddPartitionLostListener (local_only: bool;)
        -> (response: Uuid;) events { PARTITION_LOST 2 PartitionLostEvent };
    0x07 "removePartitionLostListener" RemovePartitionLostListener (registration_id: Uuid;)
        -> (response: bool;);
    0x08 "getDistributedObjects" GetDistributedObjects (;)
        -> (; response: List<'a, DistributedObjectInfo<'a>>);
    /// The events are about structures that are created or destroyed.
    0x09 "addDistributedObjectListener" AddDistributedObjectListener (local_only: bool;)
        -> (response: Uuid;) events { DISTRIBUTED_OBJECT 2 DistributedObjectEvent };
    0x0a "removeDistributedObjectListener" RemoveDistributedObjectListener (registration_id: Uuid;)
        -> (response: bool;);
    0x0b "ping" Ping (;) -> (;);
    /// Sent every few seconds. The blob is compressed by zlib.
    0x0c "statistics" Statistics<'a> (
        timestamp: i64;
        client_attributes: &'a str, metrics_blob: &'a [u8]
    ) -> (;);
    0x0d "deployClasses" DeployClasses<'a> (; class_definitions: List<'a, (&'a str, &'a [u8])>)
        -> (;);
    /// Name and service of each structure; sent after a connection was lost.
    0x0e "createProxies" CreateProxies<'a> (; proxies: List<'a, (&'a str, &'a str)>) -> (;);
    /// Sent on each connection by a client that waits for backups itself.
    0x0f "localBackupListener" LocalBackupListener (;)
        -> (response: Uuid;) events { BACKUP 2 BackupEvent };
    /// Sent while the partition table is empty.
    0x10 "triggerPartitionAssignment" TriggerPartitionAssignment (;) -> (;);
    0x11 "addMigrationListener" AddMigrationListener (
        local_only: bool;
    ) -> (
        response: Uuid;
    ) events { MIGRATION 2 MigrationEvent, REPLICA_MIGRATION 3 ReplicaMigrationEvent };
    0x12 "removeMigrationListener" RemoveMigrationListener (registration_id: Uuid;)
        -> (response: bool;);
    /// The client waits until all members are among `replicated_members`.
    0x13 "sendSchema" SendSchema<'a> (; schema: Schema<'a>)
        -> (; replicated_members: Packed<'a, Uuid>);
    0x14 "fetchSchema" FetchSchema (schema_id: i64;) -> (; schema: Option<Schema<'a>>);
    0x15 "sendAllSchemas" SendAllSchemas<'a> (; schemas: List<'a, Schema<'a>>) -> (;);
    0x16 "tpcAuthentication" TpcAuthentication<'a> (uuid: Uuid; token: Secret<'a>) -> (;);
}
