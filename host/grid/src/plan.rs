//! Planning: computes the next step from a table and the present members towards a table with equal
//! shares and all replicas.
//!
//! `plan` is a pure function, called after each change of the view and each completed copy. It
//! minimizes movement: a member keeps a partition unless it exceeds its share. No copy is dropped
//! before its replacement is complete, and no member becomes primary without complete data.

use std::collections::HashMap;
use std::net::IpAddr;

use convoke_membership::MemberId;

use crate::table::{Assignment, Replica, Table, TableMember};

/// Maximum number of copies in progress to one member, or from one.
const COPIES_IN_PROGRESS_MAX: usize = 64;

/// A member as seen by the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: MemberId,
    /// See [`convoke_membership::Member::generation`].
    pub generation: u32,
    /// Whether it stores no data.
    pub lite: bool,
    /// Whether it is about to leave: its partitions move to others.
    pub leaves: bool,
    /// Its host. Replicas are placed on different hosts if there are several.
    pub host: IpAddr,
}

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The partitions of the next table.
    pub partitions: Vec<Assignment>,
    /// The members of the next table.
    pub members: Vec<TableMember>,
    /// Partitions without a complete copy.
    pub lost: Vec<u16>,
}

/// The required replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationGoal {
    /// Number of copies besides the primary.
    pub copies: usize,
    /// Whether some map has fewer copies than that: then a backup that moves to a lower place lacks
    /// data at first.
    pub mixed: bool,
}

/// The step after `table` for these members.
#[must_use]
pub fn plan(table: &Table, nodes: &[Node], replication: &ReplicationGoal) -> Plan {
    let mut partitions = table.partitions.clone();
    let mut lost = Vec::new();
    let stays = |replica: &Replica| {
        nodes.iter().any(|node| {
            node.id == replica.member
                && !node.lite
                && table.generation(node.id) == Some(node.generation)
        })
    };
    let holders: Vec<&Node> = nodes.iter().filter(|node| !node.lite && !node.leaves).collect();
    for (number, assignment) in partitions.iter_mut().enumerate() {
        let had = !assignment.replicas.is_empty();
        if remove_absent(assignment, stays, replication) && had {
            lost.push(number as u16);
        }
    }
    let goals = goals(&partitions, &holders, replication.copies);
    let mut traffic = Traffic::of(&partitions);
    // Missing copies come before copies that only move.
    for repair in [true, false] {
        for (assignment, goal) in partitions.iter_mut().zip(&goals) {
            step(assignment, goal, repair, &mut traffic);
        }
    }
    let members =
        nodes.iter().map(|node| TableMember { id: node.id, generation: node.generation }).collect();
    Plan { partitions, members, lost }
}

/// Removes the replicas of absent members. Returns whether no complete copy is left.
fn remove_absent(
    assignment: &mut Assignment,
    stays: impl Fn(&Replica) -> bool,
    replication: &ReplicationGoal,
) -> bool {
    let before = assignment.primary();
    assignment.replicas.retain(stays);
    if !replication.mixed {
        // If all maps have the same number of backups, a copy is complete for all places or for
        // none.
        for replica in &mut assignment.replicas {
            replica.complete = replica.complete.map(|_| 0);
        }
    }
    // The first complete copy becomes the primary; if none is complete, the one with the lowest
    // place.
    assignment.replicas.sort_by_key(|replica| (replica.complete.is_none(), replica.place));
    let mut lost = true;
    if let Some(first) = assignment.replicas.first_mut() {
        lost = first.complete.is_none();
        first.place = 0;
        first.complete = Some(0);
    }
    // The others move to lower places.
    let mut place = 1;
    for replica in assignment.replicas.iter_mut().skip(1) {
        if replica.complete.is_some() && replica.place > place {
            replica.place = place;
        }
        place = place.max(replica.place) + 1;
    }
    if assignment.primary() != before {
        assignment.epoch += 1;
    }
    lost
}

/// The final members of each partition: the primary, then the backups.
fn goals(partitions: &[Assignment], holders: &[&Node], copies: usize) -> Vec<Vec<MemberId>> {
    if holders.is_empty() {
        return vec![Vec::new(); partitions.len()];
    }
    let copies = copies.min(holders.len() - 1);
    let mut goals: Vec<Vec<MemberId>> = vec![Vec::new(); partitions.len()];
    for place in 0..=copies {
        let mut shares = Shares::new(holders, partitions.len());
        // Members keep a partition at this place, up to their share.
        for (assignment, goal) in partitions.iter().zip(&mut goals) {
            let keeps = assignment
                .replicas
                .iter()
                .find(|replica| {
                    usize::from(replica.place) == place && !goal.contains(&replica.member)
                })
                .filter(|replica| !shares_host(holders, goal, replica.member))
                .map(|replica| replica.member);
            // Backups are evened out at the end, by the total of each member.
            if let Some(member) = keeps
                && (shares.take(member) || (place > 0 && shares.knows(member)))
            {
                goal.push(member);
            }
        }
        for (assignment, goal) in partitions.iter().zip(&mut goals) {
            if goal.len() <= place {
                // Members that have any copy are preferred.
                let has = |id: MemberId| assignment.of(id).is_some();
                let candidate = |node: &&&Node| !goal.contains(&node.id);
                let best = holders.iter().filter(candidate).min_by_key(|node| {
                    let full = !shares.has_room(node.id);
                    (full, shares_host(holders, goal, node.id), !has(node.id), shares.of(node.id))
                });
                if let Some(node) = best {
                    shares.add(node.id);
                    goal.push(node.id);
                }
            }
        }
    }
    even_out(&mut goals, holders);
    goals
}

/// Moves backups from members with too many copies to members with too few. This is needed because
/// the choice for the last places is restricted: a member can have only one replica of a partition.
fn even_out(goals: &mut [Vec<MemberId>], holders: &[&Node]) {
    let mut counts: HashMap<MemberId, usize> = holders.iter().map(|node| (node.id, 0)).collect();
    for member in goals.iter().flatten() {
        *counts.entry(*member).or_default() += 1;
    }
    let mut moved = true;
    while std::mem::take(&mut moved) {
        let mut order: Vec<MemberId> = holders.iter().map(|node| node.id).collect();
        order.sort_by_key(|id| counts[id]);
        for (rank, poor) in order.iter().enumerate() {
            for rich in order[rank + 1..].iter().rev() {
                if counts[rich] < counts[poor] + 2 {
                    break;
                }
                let place = |goal: &[MemberId]| {
                    let place = goal.iter().position(|id| id == rich).filter(|place| *place > 0)?;
                    let others: Vec<_> = goal.iter().copied().filter(|id| id != rich).collect();
                    let fits = !goal.contains(poor)
                        && !shares_host(holders, &others, *poor)
                        && !shares_host(holders, &goal[..place], *poor);
                    fits.then_some(place)
                };
                let found = goals.iter_mut().find_map(|goal| Some((place(goal)?, goal)));
                if let Some((place, goal)) = found {
                    goal[place] = *poor;
                    *counts.entry(*rich).or_default() -= 1;
                    *counts.entry(*poor).or_default() += 1;
                    moved = true;
                }
            }
        }
    }
}

/// Whether a member shares its host with another replica of the partition, although there are hosts
/// without one.
fn shares_host(holders: &[&Node], goal: &[MemberId], member: MemberId) -> bool {
    let host = |id: MemberId| holders.iter().find(|node| node.id == id).map(|node| node.host);
    let used: Vec<_> = goal.iter().map(|id| host(*id)).collect();
    let elsewhere = holders.iter().any(|node| !used.contains(&Some(node.host)));
    elsewhere && used.contains(&host(member))
}

/// The number of partitions of each member at one place.
struct Shares {
    counts: HashMap<MemberId, usize>,
    /// Number of partitions that each member may have.
    floor: usize,
    /// Number of members that may have one more.
    over: usize,
}

impl Shares {
    fn new(holders: &[&Node], partitions: usize) -> Self {
        Self {
            counts: holders.iter().map(|node| (node.id, 0)).collect(),
            floor: partitions / holders.len(),
            over: partitions % holders.len(),
        }
    }

    fn of(&self, member: MemberId) -> usize {
        self.counts.get(&member).copied().unwrap_or(usize::MAX)
    }

    fn has_room(&self, member: MemberId) -> bool {
        let count = self.of(member);
        count < self.floor || (count == self.floor && self.over > 0)
    }

    fn add(&mut self, member: MemberId) {
        if self.of(member) == self.floor {
            self.over = self.over.saturating_sub(1);
        }
        *self.counts.entry(member).or_default() += 1;
    }

    fn knows(&self, member: MemberId) -> bool {
        self.counts.contains_key(&member)
    }

    fn take(&mut self, member: MemberId) -> bool {
        let room = self.counts.contains_key(&member) && self.has_room(member);
        if room {
            self.add(member);
        }
        room
    }
}

/// Copies in progress, by sender and receiver.
struct Traffic {
    from: HashMap<MemberId, usize>,
    to: HashMap<MemberId, usize>,
}

impl Traffic {
    fn of(partitions: &[Assignment]) -> Self {
        let mut traffic = Self { from: HashMap::new(), to: HashMap::new() };
        for assignment in partitions {
            for replica in assignment.replicas.iter().filter(|replica| !replica.is_complete()) {
                traffic.add(assignment.primary(), replica.member);
            }
        }
        traffic
    }

    fn add(&mut self, from: Option<MemberId>, to: MemberId) {
        if let Some(from) = from {
            *self.from.entry(from).or_default() += 1;
        }
        *self.to.entry(to).or_default() += 1;
    }

    fn has_room(&self, from: Option<MemberId>, to: MemberId) -> bool {
        let busy = |map: &HashMap<_, usize>, id| {
            map.get(&id).is_some_and(|count| *count >= COPIES_IN_PROGRESS_MAX)
        };
        !from.is_some_and(|from| busy(&self.from, from)) && !busy(&self.to, to)
    }
}

/// One step of one partition towards its goal.
fn step(assignment: &mut Assignment, goal: &[MemberId], repair: bool, traffic: &mut Traffic) {
    if goal.is_empty() {
        return;
    }
    if assignment.replicas.is_empty() {
        // No member has the partition: the primary starts with an empty one.
        assignment.replicas.push(Replica { member: goal[0], place: 0, complete: Some(0) });
        assignment.epoch += 1;
    }
    let is_missing =
        assignment.replicas.iter().filter(|r| r.complete.is_some()).count() < goal.len();
    if repair != is_missing && !is_done(assignment, goal) {
        return;
    }
    for (place, member) in goal.iter().enumerate() {
        let place = place as u8;
        let primary = assignment.primary();
        match assignment.replicas.iter_mut().find(|replica| replica.member == *member) {
            // It is complete for a higher place only, so it becomes a copy in progress.
            Some(replica) if replica.complete.is_none_or(|complete| complete > place) => {
                replica.place = replica.place.min(place);
            }
            Some(_) => {}
            None if traffic.has_room(primary, *member) => {
                assignment.replicas.push(Replica { member: *member, place, complete: None });
                traffic.add(primary, *member);
            }
            None => {}
        }
    }
    if is_done(assignment, goal) {
        commit(assignment, goal);
    }
}

/// Whether all members of the goal have complete data for their place.
fn is_done(assignment: &Assignment, goal: &[MemberId]) -> bool {
    goal.iter().enumerate().all(|(place, member)| {
        let replica = assignment.of(*member);
        replica.and_then(|r| r.complete).is_some_and(|complete| usize::from(complete) <= place)
    })
}

/// Assigns the partition to the members of the goal, and to no others.
fn commit(assignment: &mut Assignment, goal: &[MemberId]) {
    if assignment.primary() != Some(goal[0]) {
        assignment.epoch += 1;
    }
    let replica = |(place, member): (usize, &MemberId)| Replica {
        member: *member,
        place: place as u8,
        complete: assignment.of(*member).and_then(|replica| replica.complete),
    };
    assignment.replicas = goal.iter().enumerate().map(replica).collect();
    if let Some(primary) = assignment.replicas.first_mut() {
        primary.complete = Some(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::MapCatalog;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn id(n: u8) -> MemberId {
        MemberId::from_bytes([n; 16])
    }

    fn node(n: u8, hosts: u8) -> Node {
        let host = IpAddr::from([10, 0, 0, n % hosts.max(1)]);
        Node { id: id(n), generation: 0, lite: false, leaves: false, host }
    }

    fn replication(copies: usize) -> ReplicationGoal {
        ReplicationGoal { copies, mixed: false }
    }

    fn apply(table: &mut Table, plan: Plan) -> bool {
        let changed = table.partitions != plan.partitions || table.members != plan.members;
        table.partitions = plan.partitions;
        table.members = plan.members;
        changed
    }

    fn advance(table: &mut Table, nodes: &[Node], replication: &ReplicationGoal) {
        let next = plan(table, nodes, replication);
        apply(table, next);
    }

    /// Completes every copy in progress.
    fn complete_all(table: &mut Table) {
        for replica in table.partitions.iter_mut().flat_map(|a| &mut a.replicas) {
            replica.complete = Some(replica.complete.unwrap_or(replica.place).min(replica.place));
        }
    }

    /// Plans until nothing changes; returns the number of steps.
    fn converge(table: &mut Table, nodes: &[Node], replication: &ReplicationGoal) -> usize {
        for steps in 0..1_000 {
            complete_all(table);
            let next = plan(table, nodes, replication);
            if !apply(table, next) {
                return steps;
            }
        }
        panic!("the plan does not converge");
    }

    fn check_shares(table: &Table, nodes: &[Node], copies: usize) {
        let hosts = nodes.iter().map(|node| node.host).collect::<BTreeSet<_>>();
        let hosts = if hosts.len() == nodes.len() { 1 } else { hosts.len() };
        let holders: Vec<_> = nodes.iter().filter(|node| !node.lite && !node.leaves).collect();
        let copies = copies.min(holders.len().saturating_sub(1));
        assert!(table.is_safe(copies, holders.len()), "all copies exist");
        let counts = |has: &dyn Fn(&Assignment, MemberId) -> bool| -> Vec<usize> {
            let count = |node: &&Node| table.partitions.iter().filter(|a| has(a, node.id)).count();
            holders.iter().map(count).collect()
        };
        let differ = |counts: &[usize]| counts.iter().max().unwrap() - counts.iter().min().unwrap();
        let primaries = counts(&|assignment, id| assignment.primary() == Some(id));
        assert!(differ(&primaries) <= 1, "{primaries:?}");
        if hosts == 1 {
            let copies = counts(&|assignment, id| assignment.of(id).is_some());
            assert!(differ(&copies) <= 2 + table.partitions.len() / 20, "{copies:?}");
        }
        assert!(table.is_valid(table.partitions.len() as u16));
    }

    proptest! {
        #[test]
        fn shares_become_equal_without_loss_while_members_come_and_go(
            changes in proptest::collection::vec((any::<bool>(), 1..9_u8, any::<bool>()), 1..14),
            copies in 0..4_usize,
            hosts in 1..5_u8,
            partitions in prop_oneof![Just(7_u16), Just(31), Just(271)],
        ) {
            let replication = replication(copies);
            let mut nodes = vec![node(1, hosts)];
            let mut table = Table::founded_by(id(1), partitions, MapCatalog::default());
            converge(&mut table, &nodes, &replication);
            for (comes, n, in_the_middle) in changes {
                let here = nodes.iter().position(|node| node.id == id(n));
                match here {
                    None if comes => nodes.push(node(n, hosts)),
                    Some(at) if !comes && nodes.len() > 1 => {
                        // One crash at a time, with all copies complete, must not lose data.
                        converge(&mut table, &nodes, &replication);
                        let copied = copies > 0;
                        nodes.remove(at);
                        let next = plan(&table, &nodes, &replication);
                        prop_assert!(!copied || next.lost.is_empty());
                        apply(&mut table, next);
                    }
                    _ => continue,
                }
                advance(&mut table, &nodes, &replication);
                for assignment in &table.partitions {
                    prop_assert!(assignment.replicas[0].is_complete(), "a primary is complete");
                }
                if !in_the_middle {
                    converge(&mut table, &nodes, &replication);
                    check_shares(&table, &nodes, copies);
                }
            }
            converge(&mut table, &nodes, &replication);
            check_shares(&table, &nodes, copies);
        }
    }

    #[test]
    fn a_new_member_gets_its_share_and_the_others_keep_theirs() {
        let mut nodes: Vec<_> = (1..=3).map(|n| node(n, 9)).collect();
        let mut table = Table::founded_by(id(1), 271, MapCatalog::default());
        converge(&mut table, &nodes, &replication(1));
        let before = table.clone();
        nodes.push(node(4, 9));
        converge(&mut table, &nodes, &replication(1));
        check_shares(&table, &nodes, 1);
        let moved = before
            .partitions
            .iter()
            .zip(&table.partitions)
            .filter(|(old, new)| old.primary() != new.primary())
            .collect::<Vec<_>>();
        assert!(moved.len() <= 271 / 4 + 1, "{}", moved.len());
        assert!(moved.iter().all(|(_, new)| new.primary() == Some(id(4))));
    }

    #[test]
    fn a_primary_serves_until_its_replacement_is_complete() {
        let nodes = [node(1, 9), node(2, 9)];
        let mut table = Table::founded_by(id(1), 31, MapCatalog::default());
        converge(&mut table, &nodes[..1], &replication(1));
        advance(&mut table, &nodes, &replication(1));
        assert_eq!(table.primaries()[&id(1)], 31);
        let on_its_way = |a: &Assignment| a.of(id(2)).is_some_and(|r| r.complete.is_none());
        assert!(table.partitions.iter().all(on_its_way));
        complete_all(&mut table);
        advance(&mut table, &nodes, &replication(1));
        assert_eq!(table.primaries()[&id(2)], 15);
    }

    #[test]
    fn replicas_are_placed_on_different_hosts() {
        let nodes: Vec<_> = (1..=6).map(|n| node(n, 2)).collect();
        let mut table = Table::founded_by(id(1), 271, MapCatalog::default());
        converge(&mut table, &nodes, &replication(1));
        let host = |id: MemberId| nodes.iter().find(|node| node.id == id).unwrap().host;
        for assignment in &table.partitions {
            let hosts: BTreeSet<_> = assignment.replicas.iter().map(|r| host(r.member)).collect();
            assert_eq!(hosts.len(), 2);
        }
    }

    #[test]
    fn a_leaving_member_gives_up_its_partitions_once_others_have_them() {
        let mut nodes: Vec<_> = (1..=3).map(|n| node(n, 9)).collect();
        let mut table = Table::founded_by(id(1), 31, MapCatalog::default());
        converge(&mut table, &nodes, &replication(1));
        nodes[0].leaves = true;
        advance(&mut table, &nodes, &replication(1));
        assert!(table.primaries().contains_key(&id(1)), "not before others have its data");
        converge(&mut table, &nodes, &replication(1));
        assert!(table.partitions.iter().all(|a| a.of(id(1)).is_none()));
    }

    #[test]
    fn lite_members_hold_nothing_and_returning_members_start_without_data() {
        let lite = Node { lite: true, ..node(2, 9) };
        let mut table = Table::founded_by(id(1), 31, MapCatalog::default());
        converge(&mut table, &[node(1, 9), lite], &replication(1));
        assert!(table.partitions.iter().all(|a| a.of(id(2)).is_none()));
        let mut nodes = [node(1, 9), node(3, 9)];
        converge(&mut table, &nodes, &replication(1));
        nodes[1].generation = 1;
        let next = plan(&table, &nodes, &replication(1));
        let new_copy = |a: &Assignment| a.of(id(3)).is_none_or(|r| r.complete.is_none());
        assert!(next.partitions.iter().all(new_copy));
    }

    #[test]
    fn without_backups_the_partitions_of_a_lost_member_are_reported_as_lost() {
        let nodes = [node(1, 9), node(2, 9)];
        let mut table = Table::founded_by(id(1), 31, MapCatalog::default());
        converge(&mut table, &nodes, &replication(0));
        let next = plan(&table, &nodes[..1], &replication(0));
        assert_eq!(next.lost.len(), 15);
        assert!(next.partitions.iter().all(|a| a.primary() == Some(id(1))));
    }

    #[test]
    fn a_backup_that_moves_up_lacks_the_maps_with_fewer_copies() {
        let nodes: Vec<_> = (1..=3).map(|n| node(n, 9)).collect();
        let mut table = Table::founded_by(id(1), 7, MapCatalog::default());
        let mixed = ReplicationGoal { copies: 2, mixed: true };
        converge(&mut table, &nodes, &mixed);
        let primary = table.partitions[0].primary().unwrap();
        let left: Vec<_> = nodes.iter().copied().filter(|node| node.id != primary).collect();
        let next = plan(&table, &left, &mixed);
        let replicas = &next.partitions[0].replicas;
        assert_eq!((replicas[0].place, replicas[0].complete), (0, Some(0)));
        assert_eq!((replicas[1].place, replicas[1].complete), (1, Some(2)));
    }
}
