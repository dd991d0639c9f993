//! The role of a backup.

use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;

use super::Partition;
use super::role::{BackupRole, BackupState, ChunkRange, Copying, Role};
use crate::edit::{Record, RecordChange};
use crate::fragment::{Fragment, count, weigh};
use crate::host::Report;
use crate::item::Item;
use crate::map::Map;
use crate::message::{MapStart, Message};
use crate::session::Verdict;
use crate::shared::Shared;
use crate::table::{Assignment, Replica};

/// Interval at which a backup without an answer asks for a copy again, in milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;

/// What came of applying a record of the primary.
enum Applied {
    Done,
    /// It does not fit the data here.
    Differs,
    /// The copy in progress has to start again.
    CopyAgain,
}

impl Partition {
    /// The state of the backup, if `from` is its primary in this epoch.
    fn backup_of(&mut self, from: MemberId, epoch: u64) -> Option<&mut BackupRole> {
        match &mut self.role {
            Role::Backup(role) if role.primary == from && self.epoch == epoch => Some(role),
            _ => None,
        }
    }

    /// Becomes a backup, or remains one.
    pub(super) fn become_backup(
        &mut self,
        shared: &Shared,
        stays: impl Fn(MemberId) -> bool,
        assignment: &Assignment,
        place: u8,
    ) {
        let Some(primary) = assignment.primary() else { return };
        if let Role::Backup(role) = &mut self.role
            && role.primary == primary
            && self.epoch == assignment.epoch
            && role.place != u8::MAX
            && (role.place <= place || shared.maps.catalog().copies_are_equal())
        {
            role.place = place;
            return;
        }
        let before = match &self.role {
            Role::Backup(role) if role.is_synced() && self.epoch + 1 == assignment.epoch => {
                Some((role.primary, self.epoch, self.asks)).filter(|(id, ..)| stays(*id))
            }
            _ => None,
        };
        let had_all = match &self.role {
            Role::Backup(role) => role.has_all_writes,
            Role::Primary(_) => true,
            Role::Idle => false,
        };
        let counts = assignment.of(shared.me).is_some_and(Replica::is_complete);
        let (state, has_all_writes) = (BackupState::Unasked, had_all && counts);
        self.role = Role::Backup(BackupRole { primary, place, state, has_all_writes, before });
        if self.epoch != assignment.epoch {
            self.step.clear();
        }
        self.epoch = assignment.epoch;
        self.ask(shared);
    }

    /// Requests a copy from the primary, unless there is data to merge first.
    pub(crate) fn ask(&mut self, shared: &Shared) {
        if self.leftover {
            return;
        }
        let Role::Backup(role) = &self.role else { return };
        let (primary, place) = (role.primary, role.place);
        let maps = shared.maps.all();
        let held = self.held(&maps, place);
        self.asks += 1;
        let (partition, epoch, ask) = (self.number, self.epoch, self.asks);
        shared.send(primary, &Message::SyncRequest { partition, epoch, ask, place, held });
        if let Role::Backup(role) = &mut self.role {
            role.state = BackupState::Asked(shared.now());
        }
    }

    pub(super) fn ask_again(&mut self, shared: &Shared, now: Duration) {
        let Role::Backup(role) = &self.role else { return };
        let due = match role.state {
            BackupState::Unasked => true,
            BackupState::Asked(at) => now >= at + Duration::from_millis(ASK_AGAIN_MS),
            BackupState::Copying(_) | BackupState::Synced => false,
        };
        if due {
            self.ask(shared);
        }
    }

    /// Handles that messages of a primary were lost, so that the copy is incomplete.
    pub(crate) fn mark_incomplete(&mut self, shared: &Shared, primary: MemberId) {
        self.give_up_handoff(shared, primary);
        if let Role::Backup(role) = &mut self.role
            && role.primary == primary
            && !matches!(role.state, BackupState::Unasked)
        {
            role.state = BackupState::Unasked;
            role.has_all_writes = false;
            self.step.clear();
            self.ask(shared);
        }
    }

    /// Handles the primary's invitation to request a copy.
    pub(crate) fn handle_invite(&mut self, shared: &Shared, from: MemberId, epoch: u64) {
        if self.backup_of(from, epoch).is_some() {
            // Even if the copy is complete, since the primary does not know that.
            self.ask(shared);
        }
    }

    /// Handles the start of a copy: the ranges that differ. The other data is up to date.
    pub(crate) fn handle_start(
        &mut self,
        shared: &Shared,
        from: MemberId,
        epoch: u64,
        ask: u64,
        starts: &[MapStart<'_>],
    ) {
        let (asks, leftover) = (self.asks, self.leftover);
        let Some(role) = self.backup_of(from, epoch).filter(|_| asks == ask && !leftover) else {
            return;
        };
        let place = role.place;
        let mut pending = Vec::new();
        let mut listed = Vec::new();
        for start in starts {
            let Ok(map) = shared.maps.open_copied(start.map) else { continue };
            self.fragment(&map).begin_copy(start.cleared, start.floor);
            listed.push(map.index);
            pending.extend(start.ranges.iter().map(|(from, to)| (map.index, *from, *to)));
        }
        // Maps that the primary does not list have no data.
        for map in shared.maps.all() {
            let keeps =
                map.settings().copies() >= usize::from(place) && listed.contains(&map.index);
            if !keeps && let Some(fragment) = self.fragments.get_mut(map.index) {
                let gone = fragment.take().unwrap_or_default();
                count(&map, weigh(&gone), &Fragment::default());
            }
        }
        if let Role::Backup(role) = &mut self.role {
            role.state = BackupState::Copying(Copying { ranges: pending, items: Vec::new() });
        }
    }

    /// Handles a part of a range. `None` when its items are malformed or do not fit together.
    pub(crate) fn handle_chunk(
        &mut self,
        shared: &Shared,
        from: MemberId,
        epoch: u64,
        map: &Arc<Map>,
        part: &ChunkRange,
        items: &[u8],
    ) -> Option<()> {
        let now_ms = shared.clock.now_ms(shared.now());
        let Some(role) = self.backup_of(from, epoch) else { return Some(()) };
        let BackupState::Copying(copying) = &mut role.state else { return Some(()) };
        if part.first {
            copying.items.clear();
        }
        let mut all = std::mem::take(&mut copying.items);
        if !part.last {
            all.extend_from_slice(items);
            copying.items = all;
            return Some(());
        }
        let items = if all.is_empty() {
            items
        } else {
            all.extend_from_slice(items);
            &all
        };
        let items = Item::decode_all(items)?;
        let hasher = &shared.settings.hasher;
        let fits = self.counted(map, |fragment| {
            fragment.drop_range(&part.range);
            let mut structure = None;
            items.iter().fold(true, |fits, item| {
                fits & fragment.load(map, now_ms, &mut structure, |key| hasher.hash(key), item)
            })
        });
        // A range that does not fit remains missing, so that the copy is requested again.
        let role = self.backup_of(from, epoch).filter(|_| fits)?;
        let BackupState::Copying(copying) = &mut role.state else { return Some(()) };
        // Ranges are sent from their start.
        for (index, start, _) in &mut copying.ranges {
            if *index == map.index && *start == part.range.start {
                *start = part.range.end;
            }
        }
        copying.ranges.retain(|(_, start, end)| start < end);
        Some(())
    }

    /// Handles the end of a copy.
    pub(crate) fn handle_done(&mut self, shared: &Shared, from: MemberId, epoch: u64, ask: u64) {
        let (asks, partition) = (self.asks, self.number);
        let Some(role) = self.backup_of(from, epoch).filter(|_| asks == ask) else { return };
        let BackupState::Copying(copying) = &role.state else { return };
        if copying.ranges.is_empty() {
            role.state = BackupState::Synced;
            role.has_all_writes = true;
            shared.send(from, &Message::Synced { partition, epoch, ask });
        } else {
            // Some parts were not accepted: the copy is requested again later.
            role.state = BackupState::Asked(shared.now());
        }
    }

    /// Handles records of the primary. They are only accepted for the copy that this member
    /// requested last, once it has started. Others are refused, so that the primary does not count
    /// them as received.
    pub(crate) fn handle_records(
        &mut self,
        shared: &Shared,
        from: MemberId,
        (epoch, copy): (u64, u64),
        more: bool,
        records: &[u8],
    ) -> Verdict {
        let counts = match &self.role {
            Role::Backup(role) if role.primary == from && self.epoch == epoch => {
                let is_expected =
                    matches!(role.state, BackupState::Copying(_) | BackupState::Synced);
                is_expected && copy == self.asks
            }
            // The last records of a former primary, for a member that remains a backup.
            Role::Backup(BackupRole { before, state, .. }) => {
                matches!(state, BackupState::Unasked | BackupState::Asked(_))
                    && *before == Some((from, epoch, copy))
            }
            // The last records of a former primary, for the member that takes over.
            Role::Primary(role) => {
                role.awaits == Some(from) && epoch + 1 == self.epoch && copy == self.asks
            }
            Role::Idle => false,
        };
        if !counts {
            return Verdict::Refused;
        }
        if more {
            self.step.extend_from_slice(records);
            return Verdict::Processed;
        }
        let mut step = std::mem::take(&mut self.step);
        let mut rest = if step.is_empty() {
            records
        } else {
            step.extend_from_slice(records);
            &step
        };
        while !rest.is_empty() {
            let Some((record, behind)) = Record::decode(rest) else { return Verdict::Malformed };
            rest = behind;
            let applied = self.apply(shared, &record);
            if matches!(applied, Applied::Differs) {
                shared.host.report(Report::Differs { partition: self.number, member: shared.me });
            }
            if !matches!(applied, Applied::Done) {
                self.mark_incomplete(shared, from);
                return Verdict::Refused;
            }
        }
        Verdict::Processed
    }

    /// Applies one record.
    fn apply(&mut self, shared: &Shared, record: &Record<'_>) -> Applied {
        let Ok(map) = shared.maps.open_copied(record.map) else { return Applied::Differs };
        shared.clock.observe(record.version);
        let now_ms = shared.clock.now_ms(shared.now());
        let hash = record.hash(&shared.settings.hasher);
        if let RecordChange::Exchange(other) = record.change {
            let Ok(other) = shared.maps.open_copied(other) else { return Applied::Differs };
            if let Role::Backup(BackupRole { state: BackupState::Copying(_), .. }) = &self.role {
                // The ranges to come are those of the maps before or after the exchange: which, the
                // primary alone knows.
                return Applied::CopyAgain;
            }
            self.exchange([&map, &other], record.version);
            return Applied::Done;
        }
        if let Role::Backup(BackupRole { state: BackupState::Copying(copying), .. }) = &self.role {
            let to_come = |(index, start, end): &(usize, u64, u64)| {
                *index == map.index && (*start..*end).contains(&u64::from(hash))
            };
            // The rest of the range will include the change of a key. Changes of all keys are
            // applied at once: missing ranges are read after them.
            if matches!(record.change, RecordChange::Key(..)) && copying.ranges.iter().any(to_come)
            {
                return Applied::Done;
            }
        }
        let applied =
            self.counted(&map, |fragment| fragment.apply_record(&map, now_ms, hash, record));
        if applied.is_ok() { Applied::Done } else { Applied::Differs }
    }

    /// Compares digests with those of the primary. If they differ, the copy is requested again.
    pub(crate) fn handle_check(
        &mut self,
        shared: &Shared,
        from: MemberId,
        (epoch, copy): (u64, u64),
        digests: &[(&str, u64)],
    ) {
        let is_meant = copy == self.asks;
        let synced = self.backup_of(from, epoch).filter(|role| is_meant && role.is_synced());
        let Some(place) = synced.map(|role| role.place) else { return };
        let maps = shared.maps.all();
        let ours = self.digests(&maps, place);
        let ours: Vec<_> =
            ours.into_iter().map(|(map, digest)| (&*maps[map].name, digest)).collect();
        let is_equal =
            ours.len() == digests.len() && ours.iter().all(|digest| digests.contains(digest));
        if !is_equal {
            shared.host.report(Report::Differs { partition: self.number, member: shared.me });
            self.mark_incomplete(shared, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Version;
    use crate::entry::Meta;
    use crate::item::ALL_HASHES;
    use crate::testing;
    use crate::value::{ListEdit, StructureEdit};

    #[test]
    fn a_backup_at_the_limit_of_maps_applies_changes_of_another_one() {
        let (me, primary) = (MemberId::from_bytes([1; 16]), MemberId::from_bytes([2; 16]));
        let shared = testing::shared(me);
        let mut count = 0;
        while shared.maps.open(&format!("m{count}")).is_ok() {
            count += 1;
        }
        let mut partition = Partition::new(0, 4);
        partition.epoch = 3;
        partition.role = Role::Backup(BackupRole {
            primary,
            place: 1,
            state: BackupState::Synced,
            has_all_writes: true,
            before: None,
        });
        let version = Version(1);
        let record = Record { map: "another", version, change: RecordChange::Clear };
        assert!(matches!(partition.apply(&shared, &record), Applied::Done));
        let record = Record { map: "m1", version, change: RecordChange::Exchange("third") };
        assert!(matches!(partition.apply(&shared, &record), Applied::Done));
    }

    #[test]
    fn a_range_with_inconsistent_items_is_copied_again() {
        let (me, primary) = (MemberId::from_bytes([1; 16]), MemberId::from_bytes([2; 16]));
        let shared = testing::shared(me);
        let map = shared.maps.open("m").unwrap();
        let mut partition = Partition::new(0, 4);
        partition.epoch = 3;
        let list = |edit| StructureEdit::List(edit);
        let meta = Meta::default();
        let edit = list(ListEdit::PushBack(vec![b"a"]));
        let (mut fits, mut whole) = (Vec::new(), Vec::new());
        crate::encoding::append(&Item::Structure { key: b"l", meta, edit }, &mut fits);
        // The list has one element, and two are to be removed.
        whole.extend_from_slice(&fits);
        crate::encoding::append(&Item::More(list(ListEdit::PopFront(2))), &mut whole);
        let part = ChunkRange { range: ALL_HASHES, first: true, last: true };
        for (items, taken, then) in [(whole, None, " asked"), (fits, Some(()), " synced")] {
            let ranges = vec![(map.index, ALL_HASHES.start, ALL_HASHES.end)];
            let state = BackupState::Copying(Copying { ranges, items: Vec::new() });
            partition.role = Role::Backup(BackupRole {
                primary,
                place: 1,
                state,
                has_all_writes: false,
                before: None,
            });
            assert_eq!(partition.handle_chunk(&shared, primary, 3, &map, &part, &items), taken);
            let asks = partition.asks;
            partition.handle_done(&shared, primary, 3, asks);
            let Role::Backup(role) = &partition.role else {
                panic!("the role is that of a backup")
            };
            assert_eq!(role.describe(), then);
        }
    }
}
