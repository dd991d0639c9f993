//! The coordinator's state, from which it computes tables.
//!
//! A new coordinator asks all members which table they follow, and continues the one that most of
//! them follow. Afterwards it only asks new members: a member without a table has just started; a
//! member with another table was partitioned, or comes from another cluster. Absent members are
//! replaced immediately, without asking.
//!
//! A table also lists missing members: those that were lost and may lack removals since then. While
//! a member is listed, all primaries remember removals. A member is listed until it has merged its
//! data, for at most [`MISSING_MS_MAX`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::{MemberId, View};

use crate::map::MapCatalog;
use crate::plan::{Node, ReplicationGoal, plan};
use crate::table::{MISSING_MAX, Missing, Table};

/// Time limit for members to report which table they follow, in milliseconds.
const GATHER_MS_MAX: u64 = 500;
/// Interval at which members that have not reported are asked again, in milliseconds.
const ASK_AGAIN_MS: u64 = 300;
/// Maximum time for which a member may have been unreachable before its loss was detected, in
/// milliseconds.
const UNNOTICED_MS_MAX: u64 = 10_000;
/// Maximum time for which a lost member is listed as missing, in milliseconds: a day.
const MISSING_MS_MAX: u64 = 24 * 3_600_000;

/// Actions that the coordinator must take.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    /// Members to ask for their table.
    pub(crate) query: Vec<MemberId>,
    /// The next table, which all members must follow.
    pub(crate) publish: Option<Arc<Table>>,
    /// Partitions without a complete copy.
    pub(crate) lost: Vec<u16>,
}

/// The table that a member reported.
#[derive(Debug)]
struct ReportedTable {
    generation: u32,
    table: Option<Arc<Table>>,
}

/// A copy that became complete or incomplete.
struct CopyEvent {
    partition: u16,
    epoch: u64,
    member: MemberId,
    complete: Option<u8>,
}

impl CopyEvent {
    /// Updates a table, if it still lists that copy in that epoch.
    fn apply(&self, table: &mut Table) {
        let Some(assignment) = table.partitions.get_mut(usize::from(self.partition)) else {
            return;
        };
        if assignment.epoch != self.epoch || assignment.primary() == Some(self.member) {
            return;
        }
        let copy = assignment.replicas.iter_mut().find(|replica| replica.member == self.member);
        if let Some(copy) = copy {
            copy.complete = self.complete;
        }
    }
}

/// See the [module](self).
pub(crate) struct Control {
    me: MemberId,
    partitions: u16,
    replication: ReplicationGoal,
    /// The settings of maps while this member coordinates.
    maps: MapCatalog,
    nodes: Vec<Node>,
    leaving: BTreeSet<MemberId>,
    is_coordinator: bool,
    /// Reports of members that are in the view with that generation.
    reports: BTreeMap<MemberId, ReportedTable>,
    /// Since when reports are awaited; `None` when none are.
    gathering: Option<Duration>,
    /// When members without a report were last asked.
    asked_at: Option<Duration>,
    /// Whether a new table must be made.
    stale: bool,
    /// Copies that became complete or incomplete since the last table.
    copies: Vec<CopyEvent>,
    /// Members that have merged their data since the last table.
    merged: BTreeSet<MemberId>,
    /// Lite members that are in the view or were in the last table: they hold no data.
    lite: BTreeSet<MemberId>,
}

impl Control {
    pub(crate) fn new(me: MemberId, partitions: u16, maps: MapCatalog) -> Self {
        let replication =
            ReplicationGoal { copies: maps.copies_max(), mixed: !maps.copies_are_equal() };
        Self {
            me,
            partitions,
            replication,
            maps,
            nodes: Vec::new(),
            leaving: BTreeSet::new(),
            is_coordinator: false,
            reports: BTreeMap::new(),
            gathering: None,
            asked_at: None,
            stale: false,
            copies: Vec::new(),
            merged: BTreeSet::new(),
            lite: BTreeSet::new(),
        }
    }

    /// Sets the settings of the cluster that this member is about to join.
    pub(crate) fn adopt_settings(&mut self, partitions: u16, maps: MapCatalog) {
        *self = Self::new(self.me, partitions, maps);
    }

    /// A short description of its state, for debugging.
    pub(crate) fn describe(&self, table: Option<&Arc<Table>>) -> String {
        let reports: Vec<_> = self
            .reports
            .values()
            .map(|report| report.table.as_ref().map(|table| table.stamp.to_string()))
            .collect();
        format!(
            "coordinates {} stale {} gathering {:?} unknown {} reports {reports:?} copies {}",
            self.is_coordinator,
            self.stale,
            self.gathering,
            self.unknown(table).len(),
            self.copies.len()
        )
    }

    /// Whether this member is the coordinator.
    pub(crate) fn is_coordinator(&self) -> bool {
        self.is_coordinator
    }

    /// Number of members in the view that store data.
    pub(crate) fn data_members(&self) -> usize {
        self.nodes.iter().filter(|node| !node.lite).count()
    }

    /// The member of the view with this id.
    fn node(&self, id: MemberId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether a member is in the view with this generation.
    fn is_here(&self, id: MemberId, generation: u32) -> bool {
        self.node(id).is_some_and(|node| node.generation == generation)
    }

    /// The tables that members reported.
    fn reported_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.reports.values().filter_map(|report| report.table.as_ref())
    }

    /// Handles a new view.
    pub(crate) fn handle_view(&mut self, now: Duration, view: &View, table: Option<&Arc<Table>>) {
        self.nodes = view
            .members()
            .iter()
            .map(|member| Node {
                id: member.id,
                generation: member.generation,
                lite: member.lite,
                leaves: self.leaving.contains(&member.id),
                host: member.address().ip(),
            })
            .collect();
        let known = |id: MemberId| {
            view.contains(id) || table.is_some_and(|table| table.generation(id).is_some())
        };
        self.leaving.retain(|id| known(*id));
        self.lite.retain(|id| known(*id));
        self.lite.extend(self.nodes.iter().filter(|node| node.lite).map(|node| node.id));
        let mut reports = std::mem::take(&mut self.reports);
        reports.retain(|id, report| self.is_here(*id, report.generation));
        self.reports = reports;
        self.is_coordinator = view.coordinator().id == self.me;
        self.stale = self.is_coordinator;
        if self.is_coordinator && !self.unknown(table).is_empty() {
            self.gathering.get_or_insert(now);
            self.asked_at = None;
        } else {
            self.gathering = None;
        }
    }

    /// Whether this member made the table and has not been removed since: otherwise the others may
    /// have continued without it.
    fn is_current(&self, table: &Table) -> bool {
        let me = self.node(self.me);
        let known = table.generation(self.me);
        table.stamp.author == self.me
            && me.is_some_and(|me| known.is_none() || known == Some(me.generation))
    }

    /// Members that have not reported their table, which must be known.
    fn unknown(&self, table: Option<&Arc<Table>>) -> Vec<MemberId> {
        let current = table.filter(|table| self.is_current(table));
        self.nodes
            .iter()
            .filter(|node| node.id != self.me && !self.reports.contains_key(&node.id))
            .filter(|node| {
                current.is_none_or(|table| {
                    table.generation(node.id) != Some(node.generation)
                        || self.may_follow_another(node.id, table)
                })
            })
            .map(|node| node.id)
            .collect()
    }

    /// Whether a table of another line than `own` was reported that lists this member: it may
    /// follow that table too.
    fn may_follow_another(&self, id: MemberId, own: &Table) -> bool {
        self.reported_tables().any(|other| {
            let is_of_one_line = own.continues(other.stamp) || other.continues(own.stamp);
            !is_of_one_line && other.generation(id).is_some()
        })
    }

    /// Handles a member's report of its table.
    pub(crate) fn handle_report(
        &mut self,
        from: MemberId,
        table: Option<Table>,
        own: Option<&Arc<Table>>,
    ) {
        let Some(node) = self.node(from).copied() else { return };
        let sound = table.as_ref().is_none_or(|table| table.is_valid(self.partitions));
        // A report from before the member received the current table.
        let is_old = own.is_some_and(|own| {
            self.is_current(own)
                && own.generation(from) == Some(node.generation)
                && table.as_ref().is_none_or(|table| table.stamp < own.stamp)
        });
        if sound && !is_old {
            let report = ReportedTable { generation: node.generation, table: table.map(Arc::new) };
            self.reports.insert(from, report);
            self.stale = true;
        }
    }

    /// Handles that a member has merged its data of other branches.
    pub(crate) fn handle_settled(&mut self, from: MemberId) {
        if self.is_coordinator {
            self.merged.insert(from);
            self.stale = true;
        }
    }

    /// Handles that a member is about to leave.
    pub(crate) fn handle_leaving(&mut self, from: MemberId) {
        self.leaving.insert(from);
        for node in self.nodes.iter_mut().filter(|node| node.id == from) {
            node.leaves = true;
        }
        self.stale = true;
    }

    /// The members that are about to leave.
    pub(crate) fn leaving(&self) -> BTreeSet<MemberId> {
        self.leaving.clone()
    }

    /// Handles that a copy became complete or incomplete.
    pub(crate) fn handle_copy(
        &mut self,
        partition: u16,
        epoch: u64,
        member: MemberId,
        complete: Option<u8>,
    ) {
        if self.is_coordinator {
            self.copies.push(CopyEvent { partition, epoch, member, complete });
            self.stale = true;
        }
    }

    /// Whether any other member stores data and stays.
    pub(crate) fn others_store(&self) -> bool {
        self.nodes.iter().any(|node| node.id != self.me && !node.lite && !node.leaves)
    }

    /// The next actions, at `now` of this process and `now_ms` of the cluster's clock.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        now_ms: u64,
        table: Option<&Arc<Table>>,
    ) -> Actions {
        let mut actions = Actions::default();
        if !self.is_coordinator {
            return actions;
        }
        let is_over = |missing: &Missing| missing.since_ms.saturating_add(MISSING_MS_MAX) < now_ms;
        self.stale |= table.is_some_and(|table| table.missing.iter().any(is_over));
        let unknown = self.unknown(table);
        if !unknown.is_empty() && self.stale {
            self.gathering.get_or_insert(now);
        }
        let limit = Duration::from_millis(GATHER_MS_MAX);
        let mut complete = true;
        if let Some(since) = self.gathering {
            complete = unknown.is_empty() || now >= since + limit;
            let again = Duration::from_millis(ASK_AGAIN_MS);
            if unknown.is_empty() {
                self.gathering = None;
            } else if self.asked_at.is_none_or(|asked_at| now >= asked_at + again) {
                self.asked_at = Some(now);
                actions.query = unknown;
            }
        }
        if !self.stale {
            return actions;
        }
        let current = table.is_some_and(|table| self.is_current(table));
        if complete {
            self.stale = false;
            self.make_table(now_ms, table, &mut actions);
            if actions.publish.is_some() {
                // From now on the members follow this table.
                self.reports.clear();
            }
        } else if current && self.has_lost_member(table) {
            // Failover of known members does not wait for the reports of new ones.
            let reports = std::mem::take(&mut self.reports);
            self.make_table(now_ms, table, &mut actions);
            self.reports = reports;
        }
        actions
    }

    /// Whether the table lists a member that is not in the view any more.
    fn has_lost_member(&self, table: Option<&Arc<Table>>) -> bool {
        table.is_some_and(|table| {
            table.members.iter().any(|known| !self.is_here(known.id, known.generation))
        })
    }

    /// Makes the next table.
    fn make_table(&mut self, now_ms: u64, own: Option<&Arc<Table>>, actions: &mut Actions) {
        let base = self.base(own);
        let foreign = base.as_ref().is_none_or(|base| Some(base.stamp) != own.map(|own| own.stamp));
        let is_diverged = self.follows_other_branch(own);
        let next = match base {
            None => Table::founded_by(self.me, self.partitions, self.maps.clone()),
            Some(base) if self.is_current(&base) && !foreign && !is_diverged => {
                let mut next = Table::clone(&base);
                next.stamp.version += 1;
                next
            }
            Some(base) => base.branch(self.me, self.next_term(own)),
        };
        // Members whose table the next one does not continue count as new, without data.
        let mut before = next.clone();
        before.members.retain(|known| self.follows(known.id, known.generation, &next, own));
        for event in self.copies.drain(..) {
            event.apply(&mut before);
        }
        let present: Vec<Node> = self
            .nodes
            .iter()
            .filter(|node| {
                node.id == self.me
                    || self.reports.contains_key(&node.id)
                    || before.generation(node.id) == Some(node.generation)
            })
            .copied()
            .collect();
        let recopies = !before.maps.has_copies_of(&self.maps);
        if recopies {
            // Only the successor of a lost primary counts as complete.
            let is_here = |id| present.iter().any(|node| node.id == id);
            for assignment in &mut before.partitions {
                let successor = assignment.successor(is_here);
                assignment.forget_copies(successor);
            }
        }
        let mut made = plan(&before, &present, &self.replication);
        if recopies {
            made.partitions.iter_mut().for_each(|assignment| assignment.forget_copies(None));
        }
        let missing = self.missing(now_ms, &next, own);
        let unchanged = own.is_some_and(|own| {
            !foreign
                && !is_diverged
                && own.partitions == made.partitions
                && own.members == made.members
                && own.missing == missing
                && own.maps == self.maps
        });
        if unchanged {
            return;
        }
        actions.lost = made.lost;
        let (partitions, members, maps) = (made.partitions, made.members, self.maps.clone());
        let next = Table { partitions, members, missing, maps, ..next };
        actions.publish = Some(Arc::new(next));
    }

    /// Members that were lost, before `base` or since, or follow another table, and have not merged
    /// their data.
    fn missing(&mut self, now_ms: u64, base: &Table, own: Option<&Arc<Table>>) -> Vec<Missing> {
        let mut all: BTreeMap<MemberId, u64> = BTreeMap::new();
        let tables = self.reported_tables().map(|table| &**table).chain([base]);
        for missing in tables.flat_map(|table| &table.missing) {
            let since_ms = all.entry(missing.id).or_insert(missing.since_ms);
            *since_ms = missing.since_ms.min(*since_ms);
        }
        let merged = std::mem::take(&mut self.merged);
        all.retain(|id, since_ms| {
            !merged.contains(id) && since_ms.saturating_add(MISSING_MS_MAX) >= now_ms
        });
        let since_ms = now_ms.saturating_sub(UNNOTICED_MS_MAX);
        let holds = |id| !self.leaving.contains(&id) && !self.lite.contains(&id);
        for known in &base.members {
            let is_away = !self.is_here(known.id, known.generation);
            if known.id != self.me && is_away && holds(known.id) {
                all.entry(known.id).or_insert(since_ms);
            }
        }
        let reports =
            self.reports.iter().filter_map(|(id, report)| Some((*id, report.table.as_ref()?)));
        for (id, table) in reports.chain(own.map(|own| (self.me, own))) {
            if !base.continues(table.stamp) && holds(id) {
                all.entry(id).or_insert(since_ms);
            }
        }
        let mut all: Vec<Missing> =
            all.into_iter().map(|(id, since_ms)| Missing { id, since_ms }).collect();
        all.sort_by_key(|missing| (missing.since_ms, missing.id));
        all.truncate(MISSING_MAX);
        all
    }

    /// Whether a member follows a table that `next` continues, so that its copies count.
    fn follows(
        &self,
        id: MemberId,
        generation: u32,
        next: &Table,
        own: Option<&Arc<Table>>,
    ) -> bool {
        let here = self.is_here(id, generation);
        let stamp = if id == self.me {
            own.map(|own| own.stamp)
        } else {
            match self.reports.get(&id) {
                Some(report) => report.table.as_ref().map(|table| table.stamp),
                // A member that was not asked follows this coordinator.
                None => return here && !self.may_follow_another(id, next),
            }
        };
        here && stamp.is_some_and(|stamp| next.continues(stamp))
    }

    /// Whether a member follows another branch whose stamps are not lower than ours.
    fn follows_other_branch(&self, own: Option<&Arc<Table>>) -> bool {
        let Some(own) = own else { return false };
        self.reported_tables()
            .any(|table| !own.continues(table.stamp) && table.stamp.term >= own.stamp.term)
    }

    /// The table to continue: the one that most data members follow with copies that count. A
    /// member that was removed since, and returned, does not count.
    fn base(&self, own: Option<&Arc<Table>>) -> Option<Arc<Table>> {
        let reports =
            self.reports.iter().filter_map(|(id, report)| Some((*id, report.table.clone()?)));
        let all: Vec<(MemberId, Arc<Table>)> =
            reports.chain(own.map(|own| (self.me, Arc::clone(own)))).collect();
        let is_data = |id: MemberId| self.node(id).is_some_and(|node| !node.lite);
        let current = own.filter(|own| self.is_current(own));
        let weight = |table: &Table| {
            let follows = |id: MemberId| match all.iter().find(|(other, _)| *other == id) {
                Some((_, followed)) => table.continues(followed.stamp),
                // The members of this coordinator's table were not asked.
                None => current.is_some_and(|own| {
                    own.stamp == table.stamp && !self.may_follow_another(id, own)
                }),
            };
            let counts = table.members.iter().filter(|known| {
                is_data(known.id) && self.is_here(known.id, known.generation) && follows(known.id)
            });
            counts.count()
        };
        let newest_of_its_line = |table: &Table| {
            !all.iter().any(|(_, other)| other.stamp != table.stamp && other.continues(table.stamp))
        };
        all.iter()
            .map(|(_, table)| table)
            .filter(|table| newest_of_its_line(table))
            .max_by_key(|table| (weight(table), table.stamp))
            .cloned()
    }

    /// A term greater than that of any reported table.
    fn next_term(&self, own: Option<&Arc<Table>>) -> u64 {
        self.reported_tables().chain(own).map(|table| table.stamp.term).max().unwrap_or(0) + 1
    }
}
