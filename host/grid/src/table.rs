//! Who holds what: the partition table.
//!
//! The coordinator alone makes tables, and each member follows the newest of its
//! coordinator. Tables of one *branch* follow one another; whoever takes over,
//! or finds that two clusters have become one, begins a branch of its own from
//! the table that most members follow. A member whose own table is no ancestor
//! of the new one was away: what it holds is to be merged, not to be trusted.

use std::collections::HashMap;
use std::fmt;

use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

use crate::map::MapCatalog;

/// Partitions of a cluster, unless the configuration says otherwise: a prime, so
/// that shares differ little.
pub const PARTITIONS: u16 = 271;
/// Copies of one partition, the primary and those on their way among them.
pub const REPLICAS_MAX: usize = 16;
/// Branches that a table names as its ancestors.
const ANCESTORS_MAX: usize = 16;
/// Members that a table names as missing, at most: the rest count as one with the
/// earliest of them.
pub const MISSING_MAX: usize = 64;

/// Names a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Grows with each branch.
    pub term: u64,
    /// Who makes the tables of this branch.
    pub author: MemberId,
    /// Grows with each table of the branch.
    pub version: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.version)
    }
}

/// One copy of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Who has it, or is to have it.
    pub member: MemberId,
    /// What it is for: 0 the primary, 1 the first backup, and so on. The first
    /// backup has maps that the second does not have, if these have one backup
    /// only.
    pub place: u8,
    /// The lowest place for which it has everything; `None` while it is on its
    /// way.
    pub complete: Option<u8>,
}

impl Replica {
    /// Whether it has everything that its place should have.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete.is_some_and(|complete| complete <= self.place)
    }
}

/// Who has a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Grows with each change of the primary; whoever comes with an older one is
    /// refused.
    pub epoch: u64,
    /// The primary, then the backups in their order, then copies on their way.
    pub replicas: Vec<Replica>,
}

impl Assignment {
    /// Who answers for it.
    #[must_use]
    pub fn primary(&self) -> Option<MemberId> {
        self.replicas.first().map(|replica| replica.member)
    }

    /// The copy of a member.
    #[must_use]
    pub fn of(&self, member: MemberId) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.member == member)
    }

    /// Who takes over with the most complete copy, if the primary is not here.
    pub(crate) fn successor(&self, is_here: impl Fn(MemberId) -> bool) -> Option<MemberId> {
        let (primary, copies) = self.replicas.split_first()?;
        if is_here(primary.member) {
            return None;
        }
        let whole = copies.iter().filter(|copy| copy.complete.is_some() && is_here(copy.member));
        whole.min_by_key(|copy| copy.complete).map(|copy| copy.member)
    }

    /// What a copy has that was complete depends on the maps that it was to have: with other maps
    /// it is compared again, except for the one of `successor`.
    pub(crate) fn forget_copies(&mut self, successor: Option<MemberId>) {
        for copy in self.replicas.iter_mut().skip(1).filter(|copy| Some(copy.member) != successor) {
            copy.complete = None;
        }
    }
}

/// A member as a table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMember {
    /// Who.
    pub id: MemberId,
    /// How often it had come back when it was taken in.
    pub generation: u32,
}

/// A member that was lost and may come back with what it held then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Who.
    pub id: MemberId,
    /// What was removed from then on it may not know of: milliseconds of the shared
    /// clock.
    pub since_ms: u64,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub stamp: Stamp,
    /// The member that made the first table that this one comes of: two clusters that
    /// never were one have different ones.
    pub lineage: MemberId,
    /// Where its branch comes from: the last tables of the branches before, the
    /// nearest first.
    pub ancestors: Vec<Stamp>,
    /// Who takes part, lite members among them.
    pub members: Vec<TableMember>,
    /// Members that were lost and have not brought in what they held.
    pub missing: Vec<Missing>,
    /// How maps behave.
    pub maps: MapCatalog,
    /// By number.
    pub partitions: Vec<Assignment>,
}

impl Table {
    /// The first table of a cluster.
    #[must_use]
    pub fn founded_by(author: MemberId, partitions: u16, maps: MapCatalog) -> Self {
        Self {
            stamp: Stamp { term: 1, author, version: 1 },
            lineage: author,
            ancestors: Vec::new(),
            members: Vec::new(),
            missing: Vec::new(),
            maps,
            partitions: vec![Assignment::default(); usize::from(partitions)],
        }
    }

    /// The generation under which it knows a member.
    #[must_use]
    pub fn generation(&self, id: MemberId) -> Option<u32> {
        self.members.iter().find(|known| known.id == id).map(|known| known.generation)
    }

    /// Whether its members are these, each of its generation; true when they are not known.
    pub(crate) fn is_of(&self, members: &[(MemberId, u32)]) -> bool {
        let has = |(id, generation): &(MemberId, u32)| self.generation(*id) == Some(*generation);
        members.is_empty() || self.members.len() == members.len() && members.iter().all(has)
    }

    /// Since when a member has been missing that may bring in what it held, in
    /// milliseconds of the shared clock; `None` when none is.
    #[must_use]
    pub fn missing_since_ms(&self) -> Option<u64> {
        self.missing.iter().map(|missing| missing.since_ms).min()
    }

    /// Whether it comes of that table, or is it.
    #[must_use]
    pub fn continues(&self, older: Stamp) -> bool {
        std::iter::once(&self.stamp).chain(&self.ancestors).any(|stamp| {
            (stamp.term, stamp.author) == (older.term, older.author)
                && stamp.version >= older.version
        })
    }

    /// The first table of a new branch that goes on from this one.
    #[must_use]
    pub fn branch(&self, author: MemberId, term: u64) -> Self {
        let mut ancestors = vec![self.stamp];
        ancestors.extend(self.ancestors.iter().take(ANCESTORS_MAX - 1));
        Self { stamp: Stamp { term, author, version: 1 }, ancestors, ..self.clone() }
    }

    /// Whether all copies are complete that there are to be, with as many data
    /// members as there are.
    #[must_use]
    pub fn is_safe(&self, copies: usize, data_members: usize) -> bool {
        let wanted = (copies + 1).min(data_members);
        self.partitions.iter().all(|assignment| {
            assignment.replicas.len() == wanted
                && assignment.replicas.iter().all(Replica::is_complete)
        })
    }

    /// Whether its members have brought in all that they held of other tables.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.missing.iter().all(|missing| self.generation(missing.id).is_none())
    }

    /// Copies that are there of those that are to be, over all partitions.
    #[must_use]
    pub fn progress(&self, copies: usize, data_members: usize) -> (usize, usize) {
        let wanted = (copies + 1).min(data_members);
        let complete = |assignment: &Assignment| {
            let complete = assignment.replicas.iter().filter(|replica| replica.is_complete());
            complete.count().min(wanted)
        };
        (self.partitions.iter().map(complete).sum(), wanted * self.partitions.len())
    }

    /// How many partitions each member is the primary of.
    #[must_use]
    pub fn primaries(&self) -> HashMap<MemberId, usize> {
        let mut counts = HashMap::new();
        for primary in self.partitions.iter().filter_map(Assignment::primary) {
            *counts.entry(primary).or_default() += 1;
        }
        counts
    }

    /// Whether it keeps the bounds; tables come from the network.
    #[must_use]
    pub fn is_sound(&self, partitions: u16) -> bool {
        self.partitions.len() == usize::from(partitions)
            && self.ancestors.len() <= ANCESTORS_MAX
            && self.missing.len() <= MISSING_MAX
            && self.maps.is_sound()
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
    fn a_branch_continues_what_it_came_from_and_nothing_later() {
        let mut first = Table::founded_by(id(1), 3, MapCatalog::default());
        first.stamp.version = 7;
        let second = first.branch(id(2), 2);
        let at = |version| Stamp { version, ..first.stamp };
        assert!(second.continues(at(7)) && second.continues(at(3)));
        assert!(!second.continues(at(8)), "it does not know of that one");
        assert!(second.continues(second.stamp) && !first.continues(second.stamp));
        assert!(second.stamp > first.stamp);
    }

    #[test]
    fn a_table_from_the_network_keeps_the_bounds() {
        let table = Table::founded_by(id(1), 3, MapCatalog::default());
        assert!(table.is_sound(3) && !table.is_sound(4));
        let mut twice = table;
        twice.partitions[1].replicas = vec![Replica { member: id(1), place: 0, complete: None }; 2];
        assert!(!twice.is_sound(3));
    }
}
