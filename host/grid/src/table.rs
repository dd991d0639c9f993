//! The partition table: the assignment of partitions to members.
//!
//! Only the coordinator computes tables, and each member follows the newest table of its
//! coordinator. Consecutive tables form a *branch*. A coordinator that takes over, or detects that
//! two clusters have merged, starts a new branch from the table that most members follow. If a
//! member's table is not an ancestor of the new one, the member was partitioned: its data is not
//! trusted and must be merged.

use std::collections::HashMap;
use std::fmt;

use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

use crate::map::MapCatalog;

/// Default number of partitions of a cluster: a prime, so that shares differ little.
pub const PARTITIONS: u16 = 271;
/// Maximum number of replicas of one partition: the primary, backups, and copies in progress.
pub const REPLICAS_MAX: usize = 16;
/// Maximum number of branches that a table lists as its ancestors.
const ANCESTORS_MAX: usize = 16;
/// Maximum number of members that a table lists as missing; those that have been missing longest.
pub const MISSING_MAX: usize = 64;

/// Identifies a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableStamp {
    /// Increases with each branch.
    pub term: u64,
    /// The member that computes the tables of this branch.
    pub author: MemberId,
    /// Increases with each table of the branch.
    pub version: u64,
}

impl fmt::Display for TableStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.version)
    }
}

/// One replica of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The member that has it, or will have it.
    pub member: MemberId,
    /// Its role: 0 for the primary, 1 for the first backup, and so on. Maps with one backup have no
    /// entries at place 2.
    pub place: u8,
    /// The lowest place for which its data is complete; `None` while it is being copied.
    pub complete: Option<u8>,
}

impl Replica {
    /// Whether it has all data of its place.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete.is_some_and(|complete| complete <= self.place)
    }
}

/// The assignment of a partition to members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Increases with each change of the primary. Messages with an older epoch are refused.
    pub epoch: u64,
    /// The primary, then the backups in order, then copies in progress.
    pub replicas: Vec<Replica>,
}

impl Assignment {
    /// The primary.
    #[must_use]
    pub fn primary(&self) -> Option<MemberId> {
        self.replicas.first().map(|replica| replica.member)
    }

    /// The replica of a member.
    #[must_use]
    pub fn of(&self, member: MemberId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.member == member)
    }

    /// The member with the most complete copy, which takes over if the primary is missing.
    pub(crate) fn successor(&self, is_here: impl Fn(MemberId) -> bool) -> Option<MemberId> {
        let (primary, copies) = self.replicas.split_first()?;
        if is_here(primary.member) {
            return None;
        }
        let whole = copies.iter().filter(|copy| copy.complete.is_some() && is_here(copy.member));
        whole.min_by_key(|copy| copy.complete).map(|copy| copy.member)
    }

    /// Marks all copies as incomplete, except for the one of `successor`: after the maps have
    /// changed, their content must be compared again.
    pub(crate) fn forget_copies(&mut self, successor: Option<MemberId>) {
        for copy in self.replicas.iter_mut().skip(1).filter(|copy| Some(copy.member) != successor) {
            copy.complete = None;
        }
    }
}

/// A member of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMember {
    /// Its id.
    pub id: MemberId,
    /// Number of times that it had returned when it was added to the table; see
    /// [`convoke_membership::Member::generation`].
    pub generation: u32,
}

/// A member that was lost, or was partitioned, and may return with outdated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its id.
    pub id: MemberId,
    /// It may lack removals since this time, in milliseconds of the cluster's clock.
    pub since_ms: u64,
}

/// A partition table; see the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its identity.
    pub stamp: TableStamp,
    /// The author of the first table that this one descends from. It differs between clusters that
    /// were founded separately.
    pub lineage: MemberId,
    /// The last tables of the previous branches, latest first.
    pub ancestors: Vec<TableStamp>,
    /// The members, including lite members.
    pub members: Vec<TableMember>,
    /// Members that were lost or partitioned and have not merged their data.
    pub missing: Vec<Missing>,
    /// The settings of maps.
    pub maps: MapCatalog,
    /// The assignments, by partition.
    pub partitions: Vec<Assignment>,
}

impl Table {
    /// The first table of a cluster.
    #[must_use]
    pub fn founded_by(author: MemberId, partitions: u16, maps: MapCatalog) -> Self {
        Self {
            stamp: TableStamp { term: 1, author, version: 1 },
            lineage: author,
            ancestors: Vec::new(),
            members: Vec::new(),
            missing: Vec::new(),
            maps,
            partitions: vec![Assignment::default(); usize::from(partitions)],
        }
    }

    /// The generation of a member in this table.
    #[must_use]
    pub fn generation(&self, id: MemberId) -> Option<u32> {
        self.members.iter().find(|known| known.id == id).map(|known| known.generation)
    }

    /// Whether these are its members, with their generations. True for an empty list, which means
    /// that the members are not known.
    pub(crate) fn is_of(&self, members: &[(MemberId, u32)]) -> bool {
        let has = |(id, generation): &(MemberId, u32)| self.generation(*id) == Some(*generation);
        members.is_empty() || self.members.len() == members.len() && members.iter().all(has)
    }

    /// The earliest time since which a member is missing that may merge old entries, in
    /// milliseconds of the cluster's clock; `None` if none is missing.
    #[must_use]
    pub fn missing_since_ms(&self) -> Option<u64> {
        self.missing.iter().map(|missing| missing.since_ms).min()
    }

    /// Whether it is this table or descends from it.
    #[must_use]
    pub fn continues(&self, older: TableStamp) -> bool {
        std::iter::once(&self.stamp).chain(&self.ancestors).any(|stamp| {
            (stamp.term, stamp.author) == (older.term, older.author)
                && stamp.version >= older.version
        })
    }

    /// The first table of a new branch that continues this one.
    #[must_use]
    pub fn branch(&self, author: MemberId, term: u64) -> Self {
        let mut ancestors = vec![self.stamp];
        ancestors.extend(self.ancestors.iter().take(ANCESTORS_MAX - 1));
        Self { stamp: TableStamp { term, author, version: 1 }, ancestors, ..self.clone() }
    }

    /// Whether all replicas that are possible with this number of data members exist and are
    /// complete.
    #[must_use]
    pub fn is_safe(&self, copies: usize, data_members: usize) -> bool {
        let required = (copies + 1).min(data_members);
        self.partitions.iter().all(|assignment| {
            assignment.replicas.len() == required
                && assignment.replicas.iter().all(Replica::is_complete)
        })
    }

    /// Whether all partitions have had the same primaries since another table.
    #[must_use]
    pub(crate) fn has_primaries_of(&self, other: &Self) -> bool {
        let lead = |table: &Self| -> Vec<_> {
            table.partitions.iter().map(|of| (of.primary(), of.epoch)).collect()
        };
        lead(self) == lead(other)
    }

    /// Whether its members have merged all data of other branches.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.missing.iter().all(|missing| self.generation(missing.id).is_none())
    }

    /// Number of complete replicas and of required replicas, over all partitions.
    #[must_use]
    pub fn progress(&self, copies: usize, data_members: usize) -> (usize, usize) {
        let required = (copies + 1).min(data_members);
        let complete = |assignment: &Assignment| {
            let complete = assignment.replicas.iter().filter(|replica| replica.is_complete());
            complete.count().min(required)
        };
        (self.partitions.iter().map(complete).sum(), required * self.partitions.len())
    }

    /// The number of partitions of which each member is the primary.
    #[must_use]
    pub fn primaries(&self) -> HashMap<MemberId, usize> {
        let mut counts = HashMap::new();
        for primary in self.partitions.iter().filter_map(Assignment::primary) {
            *counts.entry(primary).or_default() += 1;
        }
        counts
    }

    /// Whether it is within the bounds. Tables come from the network.
    #[must_use]
    pub fn is_valid(&self, partitions: u16) -> bool {
        self.partitions.len() == usize::from(partitions)
            && self.ancestors.len() <= ANCESTORS_MAX
            && self.missing.len() <= MISSING_MAX
            && self.maps.is_valid()
            && self.partitions.iter().all(|assignment| {
                let replicas = &assignment.replicas;
                replicas.len() <= REPLICAS_MAX
                    && (1..replicas.len())
                        .all(|at| replicas[..at].iter().all(|r| r.member != replicas[at].member))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MemberId {
        MemberId::from_bytes([n; 16])
    }

    #[test]
    fn a_branch_continues_its_ancestors_and_no_later_tables() {
        let mut first = Table::founded_by(id(1), 3, MapCatalog::default());
        first.stamp.version = 7;
        let second = first.branch(id(2), 2);
        let at = |version| TableStamp { version, ..first.stamp };
        assert!(second.continues(at(7)) && second.continues(at(3)));
        assert!(!second.continues(at(8)), "a later table is no ancestor");
        assert!(second.continues(second.stamp) && !first.continues(second.stamp));
        assert!(second.stamp > first.stamp);
    }

    #[test]
    fn a_table_from_the_network_must_be_within_the_bounds() {
        let table = Table::founded_by(id(1), 3, MapCatalog::default());
        assert!(table.is_valid(3) && !table.is_valid(4));
        let mut twice = table;
        twice.partitions[1].replicas = vec![Replica { member: id(1), place: 0, complete: None }; 2];
        assert!(!twice.is_valid(3));
    }
}
