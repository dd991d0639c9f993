//! Time that all members share, and versions that order writes.
//!
//! A member's clock is its own clock plus an offset that the coordinator tells:
//! deadlines mean the same on all members however wrong their clocks are, and
//! a clock that jumps moves nobody's deadlines. It never goes back.
//!
//! A [`Version`] is a hybrid logical clock (Kulkarni et al., 2014): the shared
//! time in milliseconds, a counter that orders what happens within one, and a
//! mark of the member that gave it, so that two sides of a split hardly ever
//! give the same. Whoever sees a version gives only greater ones from then on;
//! requests and answers carry them, so that what somebody does after another
//! thing counts as later, however wrong a clock is. Deadlines do not follow
//! versions: a member whose clock is an hour ahead ends nobody's session.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bits of a version that mark the member that gave it.
const WRITER_BITS: u32 = 10;
/// Bits of a version that count within one millisecond.
const COUNTER_BITS: u32 = 12;
/// One step of the counter.
const STEP: u64 = 1 << WRITER_BITS;

/// A clock that is ahead by less than this, in microseconds, is set back …
const FAR_US: i64 = 1_000_000;
/// … by so much at a time: twice as much as the coordinator's is.
const BACK_US: i64 = 2_000;

/// Orders writes: 42 bits of milliseconds since 1970 (until 2109), 12 bits of
/// counter, 10 bits of writer. Zero is before all writes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version(pub u64);

impl Version {
    /// Before all writes.
    pub const NONE: Self = Self(0);

    /// Its time, in milliseconds since 1970.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> (COUNTER_BITS + WRITER_BITS)
    }

    /// The first version of that time.
    #[must_use]
    pub fn at(ms: u64) -> Self {
        Self(ms << (COUNTER_BITS + WRITER_BITS))
    }
}

/// The clock of one member.
#[derive(Debug)]
pub struct Clock {
    /// Microseconds to add to the time since the process started.
    offset_us: AtomicI64,
    /// The greatest version given or seen.
    last: AtomicU64,
    /// The latest time that a primary told, in milliseconds since 1970.
    told_ms: AtomicU64,
    writer: u64,
}

impl Clock {
    /// A clock of a process whose machine's clock shows `unix_ms` now, and whose
    /// versions carry the low bits of `writer`.
    #[must_use]
    pub fn new(since_start: Duration, unix_ms: u64, writer: u64) -> Self {
        Self {
            offset_us: AtomicI64::new(offset_us(since_start, unix_ms)),
            last: AtomicU64::new(0),
            told_ms: AtomicU64::new(0),
            writer: writer % STEP,
        }
    }

    /// The time in milliseconds since 1970: never before one that was told.
    #[must_use]
    pub fn now_ms(&self, since_start: Duration) -> u64 {
        self.reading(since_start).max(self.told_ms.load(Ordering::Relaxed))
    }

    /// A version greater than all that were given or seen.
    pub fn next(&self, since_start: Duration) -> Version {
        let now = Version::at(self.reading(since_start)).0;
        let step = |last: u64| now.max((last / STEP + 1) * STEP) | self.writer;
        match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |l| Some(step(l))) {
            Ok(last) | Err(last) => Version(step(last)),
        }
    }

    /// A version that another member gave.
    pub fn saw(&self, version: Version) {
        self.last.fetch_max(version.0, Ordering::Relaxed);
    }

    /// The greatest version given or seen.
    #[must_use]
    pub fn last(&self) -> Version {
        Version(self.last.load(Ordering::Relaxed))
    }

    /// A time that a primary told: what was over by then is over.
    pub fn heard(&self, ms: u64) {
        self.told_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// The coordinator's clock showed `ms` when it told so: now, or a while ago. What
    /// comes late looks as if this clock were ahead; so it is set forward at once, and
    /// back by degrees, unless it is far off.
    pub fn follow(&self, since_start: Duration, ms: u64) {
        let told = offset_us(since_start, ms);
        let here = self.offset_us.load(Ordering::Relaxed);
        let ahead = here.saturating_sub(told);
        let next = if (0..FAR_US).contains(&ahead) { here - ahead.min(BACK_US) } else { told };
        self.offset_us.store(next, Ordering::Relaxed);
    }

    /// What the coordinator tells: its reading, drawn towards `unix_ms`, its own
    /// clock, by at most `step_ms`. A clock that jumps by an hour so moves
    /// nobody's deadlines at once.
    pub fn lead(&self, since_start: Duration, unix_ms: u64, step_ms: u64) -> u64 {
        let step = i64::try_from(step_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let here = self.offset_us.load(Ordering::Relaxed);
        let behind = offset_us(since_start, unix_ms).saturating_sub(here);
        self.offset_us.fetch_add(behind.clamp(-step, step), Ordering::Relaxed);
        self.reading(since_start)
    }

    fn reading(&self, since_start: Duration) -> u64 {
        let reading = self.offset_us.load(Ordering::Relaxed).saturating_add(micros(since_start));
        u64::try_from(reading / 1_000).unwrap_or(0)
    }
}

/// The offset of a clock that shows `ms` now. Of the millisecond that it shows all may
/// be over: this one is not to be behind it.
fn offset_us(since_start: Duration, ms: u64) -> i64 {
    let shown = i64::try_from(ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    shown.saturating_add(999).saturating_sub(micros(since_start))
}

fn micros(since_start: Duration) -> i64 {
    i64::try_from(since_start.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn versions_grow_within_one_millisecond_and_with_time() {
        let clock = Clock::new(ms(0), START, 0);
        let first = clock.next(ms(5));
        let second = clock.next(ms(5));
        assert_eq!((first.ms(), second.0), (START + 5, first.0 + STEP));
        assert_eq!(clock.next(ms(6)), Version::at(START + 6));
    }

    #[test]
    fn a_version_that_was_seen_is_never_given_again_and_time_does_not_go_back() {
        let clock = Clock::new(ms(0), START, 0);
        clock.saw(Version::at(START + 500));
        assert!(clock.next(ms(1)) > Version::at(START + 500));
        assert_eq!(clock.now_ms(ms(1)), START + 1, "deadlines do not follow versions");
        clock.heard(START + 300);
        assert_eq!(clock.now_ms(ms(1)), START + 300);
    }

    #[test]
    fn members_follow_the_coordinators_clock() {
        let (leader, follower) =
            (Clock::new(ms(0), START, 0), Clock::new(ms(0), START + 3_600_000, 1));
        follower.follow(ms(10), leader.now_ms(ms(20)));
        assert_eq!(follower.now_ms(ms(11)), START + 21);
    }

    #[test]
    fn a_clock_that_jumps_is_followed_slowly() {
        let clock = Clock::new(ms(0), START, 0);
        assert_eq!(clock.lead(ms(1_000), START + 1_000 + 3_600_000, 1), START + 1_001);
        assert_eq!(clock.lead(ms(2_000), START + 2_001, 1), START + 2_001);
        assert_eq!(clock.lead(ms(3_000), START, 1), START + 3_000);
    }

    #[test]
    fn what_was_told_long_ago_sets_a_clock_back_by_little_and_not_for_good() {
        let clock = Clock::new(ms(0), START, 0);
        clock.follow(ms(1_000), START + 1_000);
        clock.follow(ms(2_150), START + 2_000);
        assert_eq!(clock.now_ms(ms(2_150)), START + 2_148);
        clock.follow(ms(3_000), START + 3_000);
        assert_eq!(clock.now_ms(ms(3_000)), START + 3_000);
    }

    #[test]
    fn a_clock_is_never_behind_the_one_that_it_follows() {
        let leader = Clock::new(Duration::from_micros(300), START, 0);
        let follower = Clock::new(Duration::from_micros(900), START - 5, 1);
        for us in (0..20_000).step_by(70) {
            // Both processes started at other times, and both cut to milliseconds.
            let told = leader.now_ms(Duration::from_micros(us));
            follower.follow(Duration::from_micros(us + 440), told);
            let now = Duration::from_micros(us + 10);
            let there = follower.now_ms(now + Duration::from_micros(440));
            assert!(there >= leader.now_ms(now), "{us}");
        }
    }
}
