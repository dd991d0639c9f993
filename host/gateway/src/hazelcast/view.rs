//! The members and the primaries of partitions, as clients see them.
//!
//! A client compares the versions that several members report, and keeps the greatest. So a version
//! is the time at which a member saw the change, by the clock of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke_grid::Grid;
use convoke_grid::table::Table;
use convoke_hazelcast::codec::client::AddClusterViewListener;
use convoke_hazelcast::codec::events::{ClusterVersion, MembersView, PartitionsView};
use convoke_hazelcast::codec::structures::{Address, MemberInfo, MemberVersion, Version};
use convoke_hazelcast::codec::{List, Packed, PartitionTable};
use convoke_membership::MemberId;
use uuid::Uuid;

use super::settings::VERSION_NUMBERS;
use crate::resp::server::{Cluster, ClusterNode};

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    uuid: Uuid,
    is_lite: bool,
    host: String,
    port: u16,
}

/// Start of the time from which versions count: 2026-01-01, in milliseconds since 1970.
const VERSIONS_START_MS: u64 = 1_767_225_600_000;
/// Unit of versions, in milliseconds. More changes than one in this time have consecutive versions.
const VERSION_MS: u64 = 1_000;

/// The version of a change that is seen now, after the version `before`.
fn version(before: i32, now_ms: u64) -> i32 {
    let units = now_ms.saturating_sub(VERSIONS_START_MS) / VERSION_MS;
    i32::try_from(units).unwrap_or(i32::MAX).max(before.saturating_add(1))
}

/// What a client knows of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterView {
    /// Version of the members; 0 before they are known.
    pub(super) members_version: i32,
    /// Version of the partitions; 0 before they are known.
    pub(super) partitions_version: i32,
    /// Oldest first.
    members: Vec<Member>,
    /// The partitions of each member.
    partitions: Vec<(Uuid, Vec<i32>)>,
}

/// The id of a member, the same for all clients.
pub(super) fn uuid(member: MemberId) -> Uuid {
    Uuid::from_bytes(*member.as_bytes())
}

/// The id of a cluster: that of the member which founded it.
pub(super) fn cluster_id(grid: &Grid) -> Option<Uuid> {
    grid.table().map(|table| uuid(table.lineage))
}

impl ClusterView {
    /// The view after this one, or `None` if it is the same. `now_ms` is the cluster's time, in
    /// milliseconds since 1970.
    pub(super) fn next(
        &self,
        cluster: &dyn Cluster,
        table: Option<&Table>,
        now_ms: u64,
    ) -> Option<Self> {
        let members: Vec<Member> = cluster.nodes().iter().filter_map(Member::of).collect();
        let mut partitions: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (number, assignment) in
            table.iter().flat_map(|table| table.partitions.iter().enumerate())
        {
            let primary = assignment.primary().map(uuid);
            // Clients send the requests of other partitions to any member.
            if let Some(primary) = primary.filter(|id| members.iter().any(|m| m.uuid == *id)) {
                partitions
                    .entry(primary)
                    .or_default()
                    .push(i32::try_from(number).unwrap_or(i32::MAX));
            }
        }
        let mut next = Self { members, partitions: partitions.into_iter().collect(), ..*self };
        if next.members != self.members {
            next.members_version = version(self.members_version, now_ms);
        }
        if next.partitions != self.partitions {
            next.partitions_version = version(self.partitions_version, now_ms);
        }
        (next != *self).then_some(next)
    }

    /// Passes the members to `take`.
    pub(super) fn with_members<R>(&self, take: impl FnOnce(List<'_, MemberInfo<'_>>) -> R) -> R {
        let (major, minor, patch) = VERSION_NUMBERS;
        let version = MemberVersion { major, minor, patch };
        let infos: Vec<MemberInfo<'_>> = self
            .members
            .iter()
            .map(|member| MemberInfo {
                uuid: member.uuid,
                lite_member: member.is_lite,
                address: Address { port: member.port.into(), host: &member.host },
                attributes: List::default(),
                version,
                address_map: List::default(),
            })
            .collect();
        take(List::from(&infos[..]))
    }

    /// Passes the primaries of the partitions to `take`.
    pub(super) fn with_partitions<R>(&self, take: impl FnOnce(PartitionTable<'_>) -> R) -> R {
        let owners: Vec<Uuid> = self.partitions.iter().map(|(uuid, _)| *uuid).collect();
        let numbers: Vec<Packed<'_, i32>> =
            self.partitions.iter().map(|(_, numbers)| Packed::from(&numbers[..])).collect();
        take(PartitionTable::new(Packed::from(&owners[..]), List::from(&numbers[..])))
    }

    /// Appends the members as an event.
    pub(super) fn write_members(&self, output: &mut Vec<u8>, correlation_id: i64) {
        // A version of 0 is not valid.
        let version = self.members_version.max(1);
        self.with_members(|member_infos| {
            let members = MembersView { version, member_infos };
            members.write(output, AddClusterViewListener::MEMBERS_VIEW, correlation_id);
        });
    }

    /// Appends the partitions as an event.
    pub(super) fn write_partitions(&self, output: &mut Vec<u8>, correlation_id: i64) {
        let version = self.partitions_version.max(1);
        self.with_partitions(|partitions| {
            let view = PartitionsView { version, partitions };
            view.write(output, AddClusterViewListener::PARTITIONS_VIEW, correlation_id);
        });
    }

    /// Passes host and port of a member to `take`.
    pub(super) fn with_address<R>(
        &self,
        id: Uuid,
        take: impl FnOnce(Option<(&str, u16)>) -> R,
    ) -> R {
        let member = self.members.iter().find(|member| member.uuid == id);
        take(member.map(|member| (member.host.as_str(), member.port)))
    }
}

/// Appends the version of the cluster as an event.
pub(super) fn write_cluster_version(output: &mut Vec<u8>, correlation_id: i64) {
    let (major, minor, _) = VERSION_NUMBERS;
    let version = ClusterVersion { version: Version { major, minor } };
    version.write(output, AddClusterViewListener::CLUSTER_VERSION, correlation_id);
}

impl Member {
    /// A member. `None` if it does not serve clients of Hazelcast.
    fn of(node: &ClusterNode) -> Option<Self> {
        let endpoint = node.hazelcast.as_ref()?;
        Some(Self {
            uuid: uuid(node.member),
            is_lite: !node.stores,
            host: endpoint.host(),
            port: endpoint.port,
        })
    }
}

/// The current view.
pub(super) type Shared = Arc<ClusterView>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_several_members_are_comparable() {
        let now_ms = VERSIONS_START_MS + 5_000_000;
        assert_eq!(version(0, now_ms), 5_000);
        assert_eq!(version(5_000, now_ms), 5_001);
        assert!(version(5_001, now_ms + 3_000) > 5_001);
        assert_eq!((version(0, 0), version(i32::MAX, u64::MAX)), (1, i32::MAX));
    }
}
