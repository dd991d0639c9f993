//! Test bench: operations on a fragment, with a backup that must stay equal.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::{KeyOp, Op, ScanFilter, WholeOp};
use crate::access::{Access, Changes};
use crate::clock::Clock;
use crate::edit::{Edit, Record, RecordChange};
use crate::fragment::{Fragment, count, weigh};
use crate::hasher::KeyHasher;
use crate::item::ALL_HASHES;
use crate::map::{Map, MapCatalog, MapSettings, Maps};
use crate::{OpError, Reply};

const START_MS: u64 = 1_700_000_000_000;

/// A fragment on a primary and its backup.
pub(crate) struct Bench {
    map: Arc<Map>,
    pub(crate) primary: Fragment,
    backup: Fragment,
    clock: Clock,
    hasher: KeyHasher,
    rng: SmallRng,
    pub(crate) changes: Changes,
    pub(crate) now: Duration,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(MapSettings::default())
    }

    pub(crate) fn with(settings: MapSettings) -> Self {
        let maps = Maps::new(MapCatalog { defaults: settings, named: Vec::new() });
        let map = maps.open("m").unwrap();
        map.listened.store(true, std::sync::atomic::Ordering::Relaxed);
        Self {
            map,
            primary: Fragment::default(),
            backup: Fragment::default(),
            clock: Clock::new(Duration::ZERO, START_MS, 1),
            hasher: KeyHasher::new([5; 16]),
            rng: SmallRng::seed_from_u64(7),
            changes: Changes::default(),
            now: Duration::ZERO,
        }
    }

    /// Lets events contain values.
    pub(crate) fn want_values(&self) {
        self.map.values_wanted.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Executes an operation, and checks that the backup is equal afterwards.
    pub(crate) fn run(&mut self, op: &Op<'_>) -> Result<Reply, OpError> {
        let bytes = postcard::to_allocvec(op).unwrap();
        let op: Op<'_> = postcard::from_bytes(&bytes).unwrap();
        self.changes = Changes::default();
        let before = weigh(&self.primary);
        let now_ms = self.clock.now_ms(self.now);
        let mut access = access(
            &self.map,
            &mut self.primary,
            &self.clock,
            &self.hasher,
            &mut self.rng,
            &mut self.changes,
            self.now,
        );
        let reply = op.execute(&mut access);
        count(&self.map, before, &self.primary);
        self.replicate(now_ms, Some(&op).filter(|_| reply.is_err()));
        reply
    }

    /// Applies the records to the backup, which must be equal afterwards. An operation that failed
    /// changes nothing.
    fn replicate(&mut self, now_ms: u64, failed: Option<&Op<'_>>) {
        let mut rest = &self.changes.records[..];
        while let Some((record, behind)) = Record::decode(rest).filter(|_| !rest.is_empty()) {
            // A read postpones the idle deadline, even of a value of the wrong type.
            let touches = matches!(record.change, RecordChange::Key(_, Edit::Touch { .. }));
            assert!(failed.is_none() || touches, "an error changes nothing: {failed:?}");
            let hash = record.hash(&self.hasher);
            self.backup.apply_record(&self.map, now_ms, hash, &record).unwrap();
            rest = behind;
        }
        assert_eq!(self.primary.digest(), self.backup.digest());
        assert_eq!(items(&self.primary), items(&self.backup));
    }

    /// Makes the backup the primary, and the other way round.
    pub(crate) fn fail_over(&mut self) {
        std::mem::swap(&mut self.primary, &mut self.backup);
    }

    /// Drops what has expired at this time since the start, as the sweep of a primary does. Returns
    /// how many keys were due.
    pub(crate) fn expire_due(&mut self, at_ms: u64) -> usize {
        self.now = Duration::from_millis(at_ms);
        let now_ms = self.clock.now_ms(self.now);
        let mut due = Vec::new();
        self.primary.take_due(now_ms, usize::MAX, &mut due);
        self.changes = Changes::default();
        let before = weigh(&self.primary);
        let mut access = access(
            &self.map,
            &mut self.primary,
            &self.clock,
            &self.hasher,
            &mut self.rng,
            &mut self.changes,
            self.now,
        );
        for (hash, key) in &due {
            access.drop_due(*hash, key);
        }
        count(&self.map, before, &self.primary);
        self.replicate(now_ms, None);
        due.len()
    }

    /// Removes all keys except these, as for keys with leases. Returns how many were removed.
    pub(crate) fn clear_except(&mut self, keys: &[Box<[u8]>]) -> usize {
        self.changes = Changes::default();
        let before = weigh(&self.primary);
        let now_ms = self.clock.now_ms(self.now);
        let mut access = access(
            &self.map,
            &mut self.primary,
            &self.clock,
            &self.hasher,
            &mut self.rng,
            &mut self.changes,
            self.now,
        );
        let removed = access.clear_except(keys);
        count(&self.map, before, &self.primary);
        self.replicate(now_ms, None);
        removed
    }

    pub(crate) fn key(&mut self, key: &[u8], op: KeyOp<'_>) -> Result<Reply, OpError> {
        self.run(&Op::Key(key, op))
    }

    /// The names of the events of the last operation.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.changes.events.iter().map(|event| &*event.name).collect()
    }

    /// All keys, by scanning a few at a time.
    pub(crate) fn scan(&mut self, count: u64) -> Vec<Vec<u8>> {
        let (mut cursor, mut keys) = (0, Vec::new());
        loop {
            let filter = ScanFilter::default();
            let reply = self.run(&Op::Whole(WholeOp::Scan { cursor, count, filter })).unwrap();
            let Reply::List(parts) = reply else { panic!("a cursor and keys") };
            let [Reply::Integer(next), Reply::List(found)] = &parts[..] else {
                panic!("{parts:?}")
            };
            for key in found {
                let Reply::Bytes(key) = key else { panic!("a key") };
                keys.push(key.to_vec());
            }
            cursor = *next as u64;
            if cursor == 0 {
                return keys;
            }
        }
    }
}

fn access<'p>(
    map: &'p Map,
    fragment: &'p mut Fragment,
    clock: &'p Clock,
    hasher: &'p KeyHasher,
    rng: &'p mut SmallRng,
    changes: &'p mut Changes,
    now: Duration,
) -> Access<'p> {
    Access {
        map,
        fragment,
        clock,
        host: &crate::testing::Process,
        hasher,
        rng,
        changes,
        since_start: now,
        now_ms: clock.now_ms(now),
        merging: false,
        touches: true,
        may_evict: true,
        missing_since_ms: u64::MAX,
    }
}

fn items(fragment: &Fragment) -> Vec<String> {
    let mut items = Vec::new();
    fragment.items(&ALL_HASHES, usize::MAX, &mut |item| items.push(format!("{item:?}")));
    items
}
