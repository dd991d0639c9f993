//! One key with its value, as stored in memory.
//!
//! Most values are plain bytes, and most memory is used for them. Therefore version, deadlines, key
//! and value of a `Plain` entry share one allocation:
//! ```text
//! version 8 | flags 1 | deadline 8 ? | idle 16 ? | statistics 12 ? | key length 1-2 | key | value
//! ```
//! A structure (list, hash, set, sorted set, stream) has its own allocation; see `Structured`.

use serde::{Deserialize, Serialize};

use crate::clock::Version;
use crate::limits::KEY_BYTES_MAX;
use crate::ordered::Hashed;
use crate::value::{Structure, Type};

/// When an entry expires, in milliseconds of the cluster's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// The entry expires at this time.
    pub deadline_ms: Option<u64>,
    /// The entry expires when it is not accessed for this long.
    pub idle: Option<Idle>,
}

/// The part of an expiry that each access moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// Maximum time without access, in milliseconds.
    pub period_ms: u64,
    /// The entry expires at this time unless it is accessed before.
    pub deadline_ms: u64,
}

impl Expiry {
    /// The entry never expires.
    pub const NEVER: Self = Self { deadline_ms: None, idle: None };

    /// Whether it may end later than `other`.
    #[must_use]
    pub(crate) fn outlives(&self, other: &Self) -> bool {
        let last = |expiry: &Self| expiry.first_ms().unwrap_or(u64::MAX);
        last(self) > last(other)
    }

    /// The earlier of its deadlines.
    #[must_use]
    pub fn first_ms(&self) -> Option<u64> {
        match (self.deadline_ms, self.idle) {
            (Some(deadline), Some(idle)) => Some(deadline.min(idle.deadline_ms)),
            (deadline, idle) => deadline.or(idle.map(|idle| idle.deadline_ms)),
        }
    }

    /// Whether it has ended at `now_ms`.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.first_ms().is_some_and(|first| first <= now_ms)
    }
}

/// Statistics of an entry, if its map has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// When the key was created, in milliseconds of the cluster's clock.
    pub created_ms: u64,
    /// Number of reads of the key.
    pub hits: u32,
}

/// Metadata of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of its last change.
    pub version: Version,
    /// When it expires.
    pub expiry: Expiry,
    /// Statistics, if its map has them.
    pub statistics: Option<Statistics>,
    /// Whether an older value, or a removal, of this key would outlive this value. In this case its
    /// expiry leaves a tombstone, as otherwise a copy that lacks this value would restore the older
    /// one.
    pub shadows: bool,
}

/// When (seconds, modulo 2^24) and how often (logarithmic: Morris, "Counting large numbers of
/// events in small registers", 1978) an entry was last used, for eviction. Each replica has its
/// own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    seconds: [u8; 3],
    often: u8,
}

/// Initial count of a new key, so that it is not evicted first.
const OFTEN_AT_FIRST: u8 = 5;
/// The growth of the counter slows by this factor: 255 means some million uses.
const OFTEN_FACTOR: u32 = 10;
/// Minutes without use after which the counter decreases by one.
const OFTEN_DECAY_MINUTES: u32 = 1;
const SECONDS_MASK: u32 = 0xFF_FFFF;

impl Usage {
    pub(crate) fn new(now_ms: u64) -> Self {
        let mut usage = Self { seconds: [0; 3], often: OFTEN_AT_FIRST };
        usage.set_seconds(seconds(now_ms));
        usage
    }

    /// Records a use; `chance` is any random number.
    pub(crate) fn touch(&mut self, now_ms: u64, chance: u32) {
        self.often = self.often_at(now_ms);
        let steps = u32::from(self.often.saturating_sub(OFTEN_AT_FIRST));
        if self.often < u8::MAX && chance.is_multiple_of(steps * OFTEN_FACTOR + 1) {
            self.often += 1;
        }
        self.set_seconds(seconds(now_ms));
    }

    /// Sets the time of the last use and the number of uses, if they are known.
    pub(crate) fn set(&mut self, now_ms: u64, idle_seconds: Option<u32>, often: Option<u8>) {
        if let Some(idle_seconds) = idle_seconds {
            self.set_seconds(seconds(now_ms).wrapping_sub(idle_seconds) & SECONDS_MASK);
        }
        self.often = often.unwrap_or(self.often);
    }

    /// Seconds since the last use.
    pub(crate) fn idle_seconds(self, now_ms: u64) -> u32 {
        let [a, b, c] = self.seconds;
        seconds(now_ms).wrapping_sub(u32::from_le_bytes([a, b, c, 0])) & SECONDS_MASK
    }

    /// The number of uses (logarithmic), decreased by one for each minute without use.
    pub(crate) fn often_at(self, now_ms: u64) -> u8 {
        let decay = self.idle_seconds(now_ms) / 60 / OFTEN_DECAY_MINUTES;
        self.often.saturating_sub(u8::try_from(decay).unwrap_or(u8::MAX))
    }

    fn set_seconds(&mut self, seconds: u32) {
        let [a, b, c, _] = seconds.to_le_bytes();
        self.seconds = [a, b, c];
    }
}

fn seconds(now_ms: u64) -> u32 {
    (now_ms / 1_000) as u32 & SECONDS_MASK
}

/// A key with plain bytes.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    hash: u32,
    pub(crate) usage: Usage,
    packed: Box<[u8]>,
}

impl Hashed for Plain {
    fn hash(&self) -> u32 {
        self.hash
    }
}

const FLAGS_AT: usize = 8;
const HEAD_BYTES: usize = 9;
const HAS_DEADLINE: u8 = 1;
const HAS_IDLE: u8 = 2;
const HAS_STATISTICS: u8 = 4;
const SHADOWS: u8 = 8;
const KIND_SHIFT: u32 = 4;
/// Number of kinds of plain values: four bits.
pub const KINDS_MAX: u8 = 16;
/// A key length below this takes one byte, any other two.
const SHORT_KEY: usize = 0x80;
/// Marks a key length of two bytes.
const LONG_KEY: u16 = 0x8000;
// The longest key fits the 15 bits of its length.
const _: () = assert!(KEY_BYTES_MAX < 1 << 15);

/// Offsets of the parts of a packed entry.
struct Offsets {
    deadline: Option<usize>,
    idle: Option<usize>,
    statistics: Option<usize>,
    key_length: usize,
}

impl Offsets {
    fn of(flags: u8) -> Self {
        let mut at = HEAD_BYTES;
        let mut place = |flag: u8, bytes: usize| {
            let here = at;
            let there = flags & flag != 0;
            at += if there { bytes } else { 0 };
            there.then_some(here)
        };
        let deadline = place(HAS_DEADLINE, 8);
        let idle = place(HAS_IDLE, 16);
        let statistics = place(HAS_STATISTICS, 12);
        Self { deadline, idle, statistics, key_length: at }
    }
}

impl Plain {
    pub(crate) fn new(
        hash: u32,
        usage: Usage,
        meta: &Meta,
        key: &[u8],
        kind: u8,
        value: &[u8],
    ) -> Self {
        Self { hash, usage, packed: pack(meta, key, kind, &[value]) }
    }

    pub(crate) fn version(&self) -> Version {
        Version(self.u64_at(0))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.packed[FLAGS_AT] >> KIND_SHIFT
    }

    pub(crate) fn meta(&self) -> Meta {
        let places = self.places();
        Meta {
            version: self.version(),
            expiry: self.expiry(),
            statistics: places
                .statistics
                .map(|at| Statistics { created_ms: self.u64_at(at), hits: self.u32_at(at + 8) }),
            shadows: self.packed[FLAGS_AT] & SHADOWS != 0,
        }
    }

    pub(crate) fn expiry(&self) -> Expiry {
        if self.packed[FLAGS_AT] & (HAS_DEADLINE | HAS_IDLE) == 0 {
            return Expiry::NEVER;
        }
        let places = self.places();
        Expiry {
            deadline_ms: places.deadline.map(|at| self.u64_at(at)),
            idle: places
                .idle
                .map(|at| Idle { period_ms: self.u64_at(at), deadline_ms: self.u64_at(at + 8) }),
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        let (start, length) = self.key_place();
        &self.packed[start..start + length]
    }

    pub(crate) fn value(&self) -> &[u8] {
        let (start, length) = self.key_place();
        &self.packed[start + length..]
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.len()
    }

    /// Replaces value and metadata, in place if they fit.
    pub(crate) fn set(&mut self, meta: &Meta, kind: u8, value: &[u8]) {
        let flags = flags(meta, kind);
        if self.packed[FLAGS_AT] == flags && self.value().len() == value.len() {
            self.write_meta(meta);
            let start = self.packed.len() - value.len();
            self.packed[start..].copy_from_slice(value);
        } else {
            self.packed = pack(meta, self.key(), kind, &[value]);
        }
    }

    /// Replaces the metadata.
    pub(crate) fn set_meta(&mut self, meta: &Meta) {
        let kind = self.kind();
        if self.packed[FLAGS_AT] == flags(meta, kind) {
            self.write_meta(meta);
        } else {
            self.packed = pack(meta, self.key(), kind, &[self.value()]);
        }
    }

    /// Appends bytes to the value.
    pub(crate) fn append(&mut self, meta: &Meta, more: &[u8]) {
        self.packed = pack(meta, self.key(), self.kind(), &[self.value(), more]);
    }

    /// Overwrites bytes at an index, in place if they are within the value; a gap after the end is
    /// filled with zeros.
    pub(crate) fn splice(&mut self, meta: &Meta, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        let length = self.value().len();
        if end <= length && self.packed[FLAGS_AT] == flags(meta, self.kind()) {
            self.write_meta(meta);
            let start = self.packed.len() - length + at;
            self.packed[start..start + bytes.len()].copy_from_slice(bytes);
            return;
        }
        let mut value = self.value().to_vec();
        if value.len() < end {
            value.resize(end, 0);
        }
        value[at..end].copy_from_slice(bytes);
        self.set(meta, self.kind(), &value);
    }

    /// Reverts [`Plain::splice`] and [`Plain::append`]: restores the metadata, the bytes at an
    /// index, and the length of the value.
    pub(crate) fn restore(&mut self, meta: &Meta, at: usize, bytes: &[u8], length: usize) {
        if self.value().len() > length {
            let value = self.value()[..length].to_vec();
            self.set(meta, self.kind(), &value);
        }
        self.splice(meta, at, bytes);
    }

    /// Counts a read.
    pub(crate) fn hit(&mut self) {
        if let Some(at) = self.places().statistics {
            let hits = self.u32_at(at + 8).saturating_add(1);
            self.packed[at + 8..at + 12].copy_from_slice(&hits.to_le_bytes());
        }
    }

    fn write_meta(&mut self, meta: &Meta) {
        let places = self.places();
        write_meta(&mut self.packed, &places, meta);
    }

    fn places(&self) -> Offsets {
        Offsets::of(self.packed[FLAGS_AT])
    }

    /// Start and length of the key.
    fn key_place(&self) -> (usize, usize) {
        let at = if self.packed[FLAGS_AT] & (HAS_DEADLINE | HAS_IDLE | HAS_STATISTICS) == 0 {
            HEAD_BYTES
        } else {
            self.places().key_length
        };
        let first = usize::from(self.packed[at]);
        if first < SHORT_KEY {
            (at + 1, first)
        } else {
            (at + 2, (first - SHORT_KEY) << 8 | usize::from(self.packed[at + 1]))
        }
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.packed[at..at + 8].try_into().expect("eight bytes"))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.packed[at..at + 4].try_into().expect("four bytes"))
    }
}

fn flags(meta: &Meta, kind: u8) -> u8 {
    debug_assert!(kind < KINDS_MAX);
    let mut flags = kind << KIND_SHIFT;
    for (holds, flag) in [
        (meta.expiry.deadline_ms.is_some(), HAS_DEADLINE),
        (meta.expiry.idle.is_some(), HAS_IDLE),
        (meta.statistics.is_some(), HAS_STATISTICS),
        (meta.shadows, SHADOWS),
    ] {
        if holds {
            flags |= flag;
        }
    }
    flags
}

fn pack(meta: &Meta, key: &[u8], kind: u8, value: &[&[u8]]) -> Box<[u8]> {
    let flags = flags(meta, kind);
    let places = Offsets::of(flags);
    let key_start = places.key_length + if key.len() < SHORT_KEY { 1 } else { 2 };
    let value_bytes: usize = value.iter().map(|part| part.len()).sum();
    let mut packed = Vec::with_capacity(key_start + key.len() + value_bytes);
    packed.resize(places.key_length, 0);
    packed[FLAGS_AT] = flags;
    write_meta(&mut packed, &places, meta);
    let length = u16::try_from(key.len()).expect("keys are at most KEY_BYTES_MAX");
    match u8::try_from(length).ok().filter(|short| usize::from(*short) < SHORT_KEY) {
        Some(short) => packed.push(short),
        None => packed.extend_from_slice(&(length | LONG_KEY).to_be_bytes()),
    }
    packed.extend_from_slice(key);
    for part in value {
        packed.extend_from_slice(part);
    }
    packed.into_boxed_slice()
}

fn write_meta(packed: &mut [u8], places: &Offsets, meta: &Meta) {
    packed[..8].copy_from_slice(&meta.version.0.to_le_bytes());
    let mut put = |at: usize, number: u64| {
        packed[at..at + 8].copy_from_slice(&number.to_le_bytes());
    };
    if let (Some(at), Some(deadline)) = (places.deadline, meta.expiry.deadline_ms) {
        put(at, deadline);
    }
    if let (Some(at), Some(idle)) = (places.idle, meta.expiry.idle) {
        put(at, idle.period_ms);
        put(at + 8, idle.deadline_ms);
    }
    if let (Some(at), Some(statistics)) = (places.statistics, meta.statistics) {
        put(at, statistics.created_ms);
        packed[at + 8..at + 12].copy_from_slice(&statistics.hits.to_le_bytes());
    }
}

/// A key with a structure.
#[derive(Clone, Debug)]
pub(crate) struct Structured {
    hash: u32,
    pub(crate) usage: Usage,
    pub(crate) meta: Meta,
    key: Box<[u8]>,
    pub(crate) value: Structure,
}

impl Hashed for Structured {
    fn hash(&self) -> u32 {
        self.hash
    }
}

impl Structured {
    pub(crate) fn new(hash: u32, usage: Usage, meta: Meta, key: &[u8], value: Structure) -> Self {
        Self { hash, usage, meta, key: key.into(), value }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.bytes()
    }

    /// The first deadline of the entry and of its elements.
    pub(crate) fn first_ms(&self) -> Option<u64> {
        match (self.meta.expiry.first_ms(), self.value.first_deadline_ms()) {
            (Some(entry), Some(element)) => Some(entry.min(element)),
            (entry, element) => entry.or(element),
        }
    }
}

/// A tombstone: a removed key, remembered for copies that lack the removal.
#[derive(Clone, Debug)]
pub(crate) struct Tombstone {
    hash: u32,
    pub(crate) version: Version,
    pub(crate) key: Box<[u8]>,
}

impl Hashed for Tombstone {
    fn hash(&self) -> u32 {
        self.hash
    }
}

impl Tombstone {
    pub(crate) fn new(hash: u32, version: Version, key: &[u8]) -> Self {
        Self { hash, version, key: key.into() }
    }
}

/// An entry, plain or structured.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    Plain(&'a Plain),
    Structured(&'a Structured),
}

impl<'a> Entry<'a> {
    pub(crate) fn hash(&self) -> u32 {
        match self {
            Self::Plain(entry) => entry.hash(),
            Self::Structured(entry) => entry.hash(),
        }
    }

    pub(crate) fn key(&self) -> &'a [u8] {
        match self {
            Self::Plain(entry) => entry.key(),
            Self::Structured(entry) => entry.key(),
        }
    }

    pub(crate) fn meta(&self) -> Meta {
        match self {
            Self::Plain(entry) => entry.meta(),
            Self::Structured(entry) => entry.meta,
        }
    }

    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Plain(entry) => entry.version(),
            Self::Structured(entry) => entry.meta.version,
        }
    }

    pub(crate) fn expiry(&self) -> Expiry {
        match self {
            Self::Plain(entry) => entry.expiry(),
            Self::Structured(entry) => entry.meta.expiry,
        }
    }

    /// The first deadline of the entry and of its elements.
    pub(crate) fn first_ms(&self) -> Option<u64> {
        match self {
            Self::Plain(entry) => entry.expiry().first_ms(),
            Self::Structured(entry) => entry.first_ms(),
        }
    }

    /// Whether the entry, or all its elements, have expired.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        self.expiry().is_over(now_ms)
            || matches!(self, Self::Structured(entry) if entry.value.is_over(now_ms))
    }

    pub(crate) fn usage(&self) -> Usage {
        match self {
            Self::Plain(entry) => entry.usage,
            Self::Structured(entry) => entry.usage,
        }
    }

    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::Plain(_) => Type::Plain,
            Self::Structured(entry) => entry.value.kind(),
        }
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Plain(entry) => entry.bytes(),
            Self::Structured(entry) => entry.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metas() -> impl Strategy<Value = Meta> {
        let idle = (any::<u64>(), any::<u64>())
            .prop_map(|(period_ms, deadline_ms)| Idle { period_ms, deadline_ms });
        let statistics = (any::<u64>(), any::<u32>())
            .prop_map(|(created_ms, hits)| Statistics { created_ms, hits });
        (
            any::<u64>(),
            proptest::option::of(any::<u64>()),
            proptest::option::of(idle),
            proptest::option::of(statistics),
            any::<bool>(),
        )
            .prop_map(|(version, deadline_ms, idle, statistics, shadows)| Meta {
                version: Version(version),
                expiry: Expiry { deadline_ms, idle },
                statistics,
                shadows,
            })
    }

    fn check(entry: &Plain, meta: &Meta, key: &[u8], kind: u8, value: &[u8]) {
        assert_eq!(&entry.meta(), meta);
        assert_eq!(entry.key(), key);
        assert_eq!((entry.kind(), entry.value()), (kind, value));
    }

    proptest! {
        #[test]
        fn a_packed_entry_can_be_read_and_changed(
            (first, second, third) in (metas(), metas(), metas()),
            key in proptest::collection::vec(any::<u8>(), 0..300),
            value in proptest::collection::vec(any::<u8>(), 0..300),
            other in proptest::collection::vec(any::<u8>(), 0..300),
            (kind, at) in (0..KINDS_MAX, 0..400_usize),
        ) {
            let mut entry = Plain::new(9, Usage::default(), &first, &key, kind, &value);
            check(&entry, &first, &key, kind, &value);
            entry.set_meta(&second);
            check(&entry, &second, &key, kind, &value);
            entry.append(&third, &other);
            check(&entry, &third, &key, kind, &[value.clone(), other.clone()].concat());
            entry.set(&first, 0, &value);
            check(&entry, &first, &key, 0, &value);
            entry.splice(&second, at, &other);
            let mut spliced = value;
            spliced.resize(spliced.len().max(at + other.len()), 0);
            spliced[at..at + other.len()].copy_from_slice(&other);
            check(&entry, &second, &key, 0, &spliced);
        }
    }

    #[test]
    fn a_short_entry_takes_ten_bytes_beside_key_and_value() {
        let entry = Plain::new(1, Usage::default(), &Meta::default(), &[1; 16], 0, &[2; 100]);
        assert_eq!(entry.bytes(), 126);
        assert_eq!(size_of::<Option<Plain>>(), 24);
    }

    #[test]
    fn usage_reflects_recency_and_frequency() {
        let now_ms = 1_700_000_000_000;
        let mut usage = Usage::new(now_ms);
        for _ in 0..10_000 {
            usage.touch(now_ms, 0);
        }
        assert_eq!(usage.often_at(now_ms), u8::MAX);
        assert_eq!(usage.often_at(now_ms + 60_000 * 55), 200);
        assert_eq!(usage.idle_seconds(now_ms + 5_000), 5);
        let mut rare = Usage::new(now_ms);
        for n in 0..1_000_u32 {
            rare.touch(now_ms, n.wrapping_mul(0x9E37_79B1) >> 3);
        }
        assert!(rare.often_at(now_ms) < 60, "{rare:?}");
    }
}
