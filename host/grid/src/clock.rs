//! Time that all members share, and versions that order writes.
//!
//! The shared time is the coordinator's. Every other member adds an offset to its own
//! monotonic clock. A member that joins takes the time over with its first table, before
//! it leads, stamps or expires anything; from then on it follows by at most
//! [`FORWARD_US_MAX`] and [`BACK_US_MAX`] for each message, so no message can end what
//! lives or keep what is over. A new coordinator goes on from the time that it followed,
//! and is drawn to its machine's clock by degrees. What a member showed never goes back.
//!
//! A [`Version`] is a hybrid logical clock (Kulkarni et al., 2014): the shared
//! time in milliseconds, a counter that orders what happens within one, and a
//! mark of the member that gave it, so that two sides of a split hardly ever
//! give the same. A member that sees a version gives only greater ones from then on;
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
/// The latest time that a version has, in milliseconds since 1970: of the year 2109. It
/// leaves room for 2^44 versions behind it.
const VERSION_MS_MAX: u64 = (u64::MAX >> (COUNTER_BITS + WRITER_BITS)) - (1 << 32);

/// How far one message of the coordinator sets a clock forward, in microseconds.
pub const FORWARD_US_MAX: i64 = 100_000;
/// How far one message of the coordinator sets a clock back, in microseconds: twice as
/// much as the coordinator's own is drawn back meanwhile. A message that comes late makes
/// this clock look as if it were ahead.
pub const BACK_US_MAX: i64 = 2_000;
/// How far ahead of its own clock a member takes what a primary says, in milliseconds.
pub const OBSERVED_AHEAD_MS_MAX: u64 = 1_000;

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

    /// The first version of that time, or of the latest that a version can have.
    #[must_use]
    pub fn at(ms: u64) -> Self {
        Self(ms.min(VERSION_MS_MAX) << (COUNTER_BITS + WRITER_BITS))
    }
}

/// The clock of one member.
#[derive(Debug)]
pub struct Clock {
    /// Microseconds to add to the time since the process started.
    offset_us: AtomicI64,
    /// What was shown before the clock was set back, in microseconds since 1970.
    shown_us: AtomicI64,
    /// The greatest version given or seen.
    last: AtomicU64,
    /// The latest time that a primary said, in milliseconds since 1970.
    observed_ms: AtomicU64,
    writer: u64,
}

impl Clock {
    /// A clock of a process whose machine's clock shows `unix_ms` now, and whose
    /// versions carry the low bits of `writer`.
    #[must_use]
    pub fn new(since_start: Duration, unix_ms: u64, writer: u64) -> Self {
        Self {
            offset_us: AtomicI64::new(offset_us(since_start, unix_ms)),
            shown_us: AtomicI64::new(0),
            last: AtomicU64::new(0),
            observed_ms: AtomicU64::new(0),
            writer: writer % STEP,
        }
    }

    /// The time in milliseconds since 1970: never before one that was shown or heard.
    #[must_use]
    pub fn now_ms(&self, since_start: Duration) -> u64 {
        self.reading(since_start).max(self.observed_ms.load(Ordering::Relaxed))
    }

    /// A version greater than all that were given or seen.
    pub fn next(&self, since_start: Duration) -> Version {
        let now = Version::at(self.reading(since_start)).0;
        let step = |last: u64| now.max((last / STEP).saturating_add(1) * STEP) | self.writer;
        match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |l| Some(step(l))) {
            Ok(last) | Err(last) => Version(step(last)),
        }
    }

    /// A version that another member gave. One that leaves no room for greater ones is
    /// of no clock, and is not followed.
    pub fn observe(&self, version: Version) {
        if version.ms() <= VERSION_MS_MAX {
            self.last.fetch_max(version.0, Ordering::Relaxed);
        }
    }

    /// The greatest version given or seen.
    #[must_use]
    pub fn last(&self) -> Version {
        Version(self.last.load(Ordering::Relaxed))
    }

    /// A time that a primary said: what was over by then is over. Believed up to
    /// [`OBSERVED_AHEAD_MS_MAX`] ahead of this clock.
    pub fn observe_time(&self, since_start: Duration, ms: u64) {
        if ms > self.observed_ms.load(Ordering::Relaxed) {
            let most = self.reading(since_start).saturating_add(OBSERVED_AHEAD_MS_MAX);
            self.observed_ms.fetch_max(ms.min(most), Ordering::Relaxed);
        }
    }

    /// Takes over the time of a cluster that this member comes into, whatever its own
    /// was. To be called only while it answers for nothing. Returns by how many
    /// milliseconds its time is another now.
    pub fn set(&self, since_start: Duration, ms: u64) -> i64 {
        let before = self.now_ms(since_start);
        self.offset_us.store(offset_us(since_start, ms), Ordering::Relaxed);
        self.shown_us.store(0, Ordering::Relaxed);
        self.observed_ms.store(0, Ordering::Relaxed);
        let after = self.now_ms(since_start);
        i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(0)
    }

    /// The coordinator's clock showed `ms` when it said so: now, or a while ago.
    pub fn follow(&self, since_start: Duration, ms: u64) {
        let here = self.offset_us.load(Ordering::Relaxed);
        let ahead = here.saturating_sub(offset_us(since_start, ms));
        self.shift(since_start, ahead.clamp(-FORWARD_US_MAX, BACK_US_MAX).saturating_neg());
    }

    /// What the coordinator says: its reading, drawn towards `unix_ms`, its own
    /// clock, by at most `step_ms`. A clock that jumps by an hour so moves
    /// nobody's deadlines at once.
    pub fn approach(&self, since_start: Duration, unix_ms: u64, step_ms: u64) -> u64 {
        let step = i64::try_from(step_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let here = self.offset_us.load(Ordering::Relaxed);
        let behind = offset_us(since_start, unix_ms).saturating_sub(here);
        self.shift(since_start, behind.clamp(-step, step));
        self.now_ms(since_start)
    }

    fn shift(&self, since_start: Duration, us: i64) {
        if us < 0 {
            let shown = self.offset_us.load(Ordering::Relaxed).saturating_add(micros(since_start));
            self.shown_us.fetch_max(shown, Ordering::Relaxed);
        }
        self.offset_us.fetch_add(us, Ordering::Relaxed);
    }

    fn reading(&self, since_start: Duration) -> u64 {
        let reading = self.offset_us.load(Ordering::Relaxed).saturating_add(micros(since_start));
        let reading = reading.max(self.shown_us.load(Ordering::Relaxed));
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
    const HOUR_MS: u64 = 3_600_000;

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
        clock.observe(Version::at(START + 500));
        assert!(clock.next(ms(1)) > Version::at(START + 500));
        assert_eq!(clock.now_ms(ms(1)), START + 1, "deadlines do not follow versions");
        clock.observe_time(ms(1), START + 300);
        assert_eq!(clock.now_ms(ms(1)), START + 300);
    }

    #[test]
    fn versions_grow_whatever_the_machines_clock_shows() {
        for unix_ms in [0, 1, START, VERSION_MS_MAX, u64::MAX / 1_000, u64::MAX] {
            let clock = Clock::new(ms(0), unix_ms, 3);
            clock.observe(Version(u64::MAX));
            let mut last = Version::NONE;
            for step in 0..10_000 {
                let next = clock.next(ms(step / 100));
                assert!(next > last, "{unix_ms}: {next:?} after {last:?}");
                last = next;
            }
        }
    }

    #[test]
    fn who_joins_takes_the_time_over_and_who_follows_is_moved_by_little() {
        let (leader, follower) =
            (Clock::new(ms(0), START, 0), Clock::new(ms(0), START + HOUR_MS, 1));
        let shift = follower.set(ms(10), leader.now_ms(ms(20)));
        assert_eq!(shift, 10 - HOUR_MS as i64);
        assert_eq!(follower.now_ms(ms(11)), START + 21);
        follower.follow(ms(20), leader.now_ms(ms(30)) + HOUR_MS);
        assert_eq!(follower.now_ms(ms(20)), START + 30 + 100, "forward");
        follower.follow(ms(1_000), leader.now_ms(ms(1_010)) - HOUR_MS);
        assert_eq!(follower.now_ms(ms(1_002)), START + 1_010 + 100, "and back");
    }

    #[test]
    fn one_primary_is_not_believed_about_the_time() {
        let clock = Clock::new(ms(0), START, 0);
        for n in 0..100 {
            clock.observe_time(ms(n), START + HOUR_MS);
        }
        assert!(clock.now_ms(ms(100)) <= START + 100 + OBSERVED_AHEAD_MS_MAX);
        assert_eq!(clock.now_ms(ms(5_000)), START + 5_000, "and time goes on");
    }

    #[test]
    fn a_clock_that_jumps_is_followed_slowly() {
        let clock = Clock::new(ms(0), START, 0);
        assert_eq!(clock.approach(ms(1_000), START + 1_000 + HOUR_MS, 1), START + 1_001);
        assert_eq!(clock.approach(ms(2_000), START + 2_001, 1), START + 2_001);
        // What was shown once is shown until time has come that far again.
        assert_eq!(clock.approach(ms(3_000), START, 1), START + 3_001);
        assert_eq!(clock.now_ms(ms(3_001)), START + 3_001);
        assert_eq!(clock.approach(ms(4_000), START, 1), START + 4_000);
    }

    #[test]
    fn what_was_said_long_ago_sets_a_clock_back_by_little_and_not_for_good() {
        let clock = Clock::new(ms(0), START, 0);
        clock.follow(ms(1_000), START + 1_000);
        clock.follow(ms(2_150), START + 2_000);
        assert_eq!(clock.now_ms(ms(2_152)), START + 2_150);
        clock.follow(ms(3_000), START + 3_000);
        assert_eq!(clock.now_ms(ms(3_000)), START + 3_000);
    }

    #[test]
    fn a_clock_never_goes_back_while_it_follows() {
        let clock = Clock::new(ms(0), START, 0);
        let mut last = 0;
        for us in (0..60_000_000_u64).step_by(970) {
            let now = Duration::from_micros(us);
            if us % 11 == 0 {
                clock.follow(now, START + us / 1_000 - 40 + (us % 97));
            }
            let shown = clock.now_ms(now);
            assert!(shown >= last, "{us}: {shown} after {last}");
            last = shown;
        }
    }

    #[test]
    fn a_clock_is_never_behind_the_one_that_it_follows() {
        let leader = Clock::new(Duration::from_micros(300), START, 0);
        let follower = Clock::new(Duration::from_micros(900), START - 5, 1);
        for us in (0..20_000).step_by(70) {
            // Both processes started at other times, and both cut to milliseconds.
            let said = leader.now_ms(Duration::from_micros(us));
            follower.follow(Duration::from_micros(us + 440), said);
            let now = Duration::from_micros(us + 10);
            let there = follower.now_ms(now + Duration::from_micros(440));
            assert!(there >= leader.now_ms(now), "{us}");
        }
    }
}
