//! The cluster's clock, and versions that order writes.
//!
//! The coordinator's clock is the cluster's. Every other member adds an offset to its own monotonic
//! clock. A member that joins takes the time over with its first table, before it serves, assigns
//! versions or expires entries. From then on, each message of the coordinator corrects the offset
//! by at most [`FORWARD_US_MAX`] and [`BACK_US_MAX`], so that a single message can neither end
//! entries early nor keep expired ones. A new coordinator continues from the time that it followed,
//! and approaches its machine's clock slowly. The clock of a member never goes back.
//!
//! A [`Version`] is a hybrid logical clock (Kulkarni et al., 2014): the cluster's time in
//! milliseconds, a counter that orders writes within one millisecond, and a mark of the member that
//! assigned it, so that the two sides of a split rarely assign the same. A member that has observed
//! a version assigns only greater ones. Requests and answers carry versions, so that a write that
//! was caused by another one is later, even if a clock is wrong. Deadlines do not follow versions:
//! a member whose clock is an hour ahead expires no sessions.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bits of a version that mark the member that assigned it.
const WRITER_BITS: u32 = 10;
/// Bits of a version that count within one millisecond.
const COUNTER_BITS: u32 = 12;
/// One step of the counter.
const STEP: u64 = 1 << WRITER_BITS;
/// The latest time of a version, in milliseconds since 1970; in the year 2109. It leaves room for
/// 2^44 greater versions.
const VERSION_MS_MAX: u64 = (u64::MAX >> (COUNTER_BITS + WRITER_BITS)) - (1 << 32);

/// Maximum correction of a clock forward by one message of the coordinator, in microseconds.
pub const FORWARD_US_MAX: i64 = 100_000;
/// Maximum correction of a clock back by one message of the coordinator, in microseconds: twice as
/// much as the coordinator's own clock is set back in that time. A delayed message makes this clock
/// seem to be ahead.
pub const BACK_US_MAX: i64 = 2_000;
/// Correction of the coordinator's clock towards its machine's at each heartbeat, in microseconds.
const APPROACH_US: i64 = 1_000;
/// How far the machine's clock may be ahead of the coordinator's for the heartbeats to follow it by
/// [`FORWARD_US_MAX`] rather than by [`APPROACH_US`], in microseconds: as far as services that
/// discipline a clock step it in normal operation. Until the clocks agree, deadlines that clients
/// give as times are late.
const CATCH_UP_US_MAX: i64 = 1_000_000;
/// Maximum difference by which the time of a primary may be ahead of a member's own clock, in
/// milliseconds; the excess is ignored.
pub const OBSERVED_AHEAD_MS_MAX: u64 = 1_000;

/// Orders writes: 42 bits of milliseconds since 1970 (until 2109), 12 bits of counter, 10 bits of
/// writer. Zero is before all writes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version(pub u64);

impl Version {
    /// Less than the version of any write.
    pub const NONE: Self = Self(0);

    /// The time of the version, in milliseconds since 1970.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> (COUNTER_BITS + WRITER_BITS)
    }

    /// The first version with this time, which is limited to the latest time of a version.
    #[must_use]
    pub fn at(ms: u64) -> Self {
        Self(ms.min(VERSION_MS_MAX) << (COUNTER_BITS + WRITER_BITS))
    }
}

/// The clock of one member.
#[derive(Debug)]
pub struct Clock {
    /// Microseconds to add to the time since the process started, to get the time since 1970.
    offset_us: AtomicI64,
    /// The reading when the clock was last set back, in microseconds since 1970: until then it
    /// does not advance.
    shown_us: AtomicI64,
    /// The greatest version assigned or observed.
    last: AtomicU64,
    /// The latest time received from a primary, in milliseconds since 1970.
    observed_ms: AtomicU64,
    writer: u64,
}

impl Clock {
    /// A clock that reads `unix_ms` now, for a process that has run for `since_start`. Its versions
    /// carry the low bits of `writer`.
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

    /// The time in milliseconds since 1970: never earlier than a previous reading or an observed
    /// time.
    #[must_use]
    pub fn now_ms(&self, since_start: Duration) -> u64 {
        self.reading(since_start).max(self.observed_ms.load(Ordering::Relaxed))
    }

    /// A version greater than all versions assigned or observed.
    pub fn next(&self, since_start: Duration) -> Version {
        let now = Version::at(self.reading(since_start)).0;
        let step = |last: u64| now.max((last / STEP).saturating_add(1) * STEP) | self.writer;
        match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |l| Some(step(l))) {
            Ok(last) | Err(last) => Version(step(last)),
        }
    }

    /// Observes a version of another member. A version too great to assign greater ones is invalid
    /// and is ignored.
    pub fn observe(&self, version: Version) {
        if version.ms() <= VERSION_MS_MAX {
            self.last.fetch_max(version.0, Ordering::Relaxed);
        }
    }

    /// The greatest version assigned or observed.
    #[must_use]
    pub fn last(&self) -> Version {
        Version(self.last.load(Ordering::Relaxed))
    }

    /// Observes the time of a primary, so that entries that have expired there also expire here.
    /// The time may be up to [`OBSERVED_AHEAD_MS_MAX`] ahead of this clock; a later one is reduced
    /// to that.
    pub fn observe_time(&self, since_start: Duration, ms: u64) {
        if ms > self.observed_ms.load(Ordering::Relaxed) {
            let most = self.reading(since_start).saturating_add(OBSERVED_AHEAD_MS_MAX);
            self.observed_ms.fetch_max(ms.min(most), Ordering::Relaxed);
        }
    }

    /// Sets the clock to the time of the cluster that this member joins. Must be called only while
    /// the member serves no data. Returns the difference to the former time, in milliseconds.
    pub fn set(&self, since_start: Duration, ms: u64) -> i64 {
        let before = self.now_ms(since_start);
        self.offset_us.store(offset_us(since_start, ms), Ordering::Relaxed);
        self.shown_us.store(0, Ordering::Relaxed);
        self.observed_ms.store(0, Ordering::Relaxed);
        let after = self.now_ms(since_start);
        i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(0)
    }

    /// Corrects the clock towards the coordinator's, which read `ms` when the message was sent.
    pub fn synchronize(&self, since_start: Duration, ms: u64) {
        let here = self.offset_us.load(Ordering::Relaxed);
        let ahead = here.saturating_sub(offset_us(since_start, ms));
        self.shift(since_start, ahead.clamp(-FORWARD_US_MAX, BACK_US_MAX).saturating_neg());
    }

    /// Corrects the coordinator's clock towards `unix_ms`, its machine's clock, at a heartbeat, and
    /// returns the reading. A clock that is slightly ahead is followed at once; one that jumps by an
    /// hour moves no deadlines at once, and a clock is never followed back at once.
    pub fn approach(&self, since_start: Duration, unix_ms: u64) -> u64 {
        let here = self.offset_us.load(Ordering::Relaxed);
        let behind = offset_us(since_start, unix_ms).saturating_sub(here);
        let forward = if behind <= CATCH_UP_US_MAX { FORWARD_US_MAX } else { APPROACH_US };
        self.shift(since_start, behind.clamp(-APPROACH_US, forward));
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

/// The offset of a clock that reads `ms` now. The millisecond counts as finished, so that this
/// clock is never behind the one that it follows.
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
    fn versions_exceed_all_that_were_observed_and_time_does_not_go_back() {
        let clock = Clock::new(ms(0), START, 0);
        clock.observe(Version::at(START + 500));
        assert!(clock.next(ms(1)) > Version::at(START + 500));
        assert_eq!(clock.now_ms(ms(1)), START + 1, "deadlines do not follow versions");
        clock.observe_time(ms(1), START + 300);
        assert_eq!(clock.now_ms(ms(1)), START + 300);
    }

    #[test]
    fn versions_grow_for_any_reading_of_the_machines_clock() {
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
    fn a_joining_member_takes_over_the_time_and_is_then_corrected_slowly() {
        let (leader, follower) =
            (Clock::new(ms(0), START, 0), Clock::new(ms(0), START + HOUR_MS, 1));
        let shift = follower.set(ms(10), leader.now_ms(ms(20)));
        assert_eq!(shift, 10 - HOUR_MS as i64);
        assert_eq!(follower.now_ms(ms(11)), START + 21);
        follower.synchronize(ms(20), leader.now_ms(ms(30)) + HOUR_MS);
        assert_eq!(follower.now_ms(ms(20)), START + 30 + 100, "forward");
        follower.synchronize(ms(1_000), leader.now_ms(ms(1_010)) - HOUR_MS);
        assert_eq!(follower.now_ms(ms(1_002)), START + 1_010 + 100, "and back");
    }

    #[test]
    fn a_primary_with_a_wrong_clock_has_little_effect() {
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
        assert_eq!(clock.approach(ms(1_000), START + 1_000 + HOUR_MS), START + 1_001);
        assert_eq!(clock.approach(ms(2_000), START + 2_001), START + 2_001);
        // A reading is repeated until the clock has caught up with it.
        assert_eq!(clock.approach(ms(3_000), START), START + 3_001);
        assert_eq!(clock.now_ms(ms(3_001)), START + 3_001);
        assert_eq!(clock.approach(ms(4_000), START), START + 4_000);
    }

    #[test]
    fn a_clock_that_is_slightly_ahead_is_followed_quickly() {
        let (leader, follower) = (Clock::new(ms(0), START, 0), Clock::new(ms(0), START, 1));
        let readings = (1..=4).map(|n| {
            let reading = leader.approach(ms(n * 250), START + n * 250 + 340);
            follower.synchronize(ms(n * 250), reading);
            assert_eq!(follower.now_ms(ms(n * 250)), reading);
            reading - START - n * 250
        });
        assert_eq!(readings.collect::<Vec<_>>(), [100, 200, 300, 340]);
        // The same at the end of a larger difference, but not for the whole of it.
        assert_eq!(leader.approach(ms(2_000), START + 3_341), START + 2_341);
        assert_eq!(leader.approach(ms(3_000), START + 4_341), START + 3_441);
    }

    #[test]
    fn a_delayed_message_sets_a_clock_back_slightly_and_temporarily() {
        let clock = Clock::new(ms(0), START, 0);
        clock.synchronize(ms(1_000), START + 1_000);
        clock.synchronize(ms(2_150), START + 2_000);
        assert_eq!(clock.now_ms(ms(2_152)), START + 2_150);
        clock.synchronize(ms(3_000), START + 3_000);
        assert_eq!(clock.now_ms(ms(3_000)), START + 3_000);
    }

    #[test]
    fn a_clock_never_goes_back_while_it_follows() {
        let clock = Clock::new(ms(0), START, 0);
        let mut last = 0;
        for us in (0..60_000_000_u64).step_by(970) {
            let now = Duration::from_micros(us);
            if us % 11 == 0 {
                clock.synchronize(now, START + us / 1_000 - 40 + (us % 97));
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
            // The processes started at different times, and both truncate to milliseconds.
            let reading = leader.now_ms(Duration::from_micros(us));
            follower.synchronize(Duration::from_micros(us + 440), reading);
            let now = Duration::from_micros(us + 10);
            let there = follower.now_ms(now + Duration::from_micros(440));
            assert!(there >= leader.now_ms(now), "{us}");
        }
    }
}
