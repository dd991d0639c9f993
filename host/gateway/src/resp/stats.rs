//! Statistics on commands: calls, time, and errors.
//!
//! Each lane counts in cells of its own, without locks. A fast command is timed once in a while, and
//! counts for the calls in between; others are timed at each call.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use convoke_grid::Reply;
use convoke_script::Value;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::encode::error_text;
use super::slow_log::{KeptArguments, SlowLog};

/// Number of sets of cells; lanes beyond it share them.
const LANES_MAX: usize = 64;
/// A quick command is timed at each of its first calls, and then once in this number of calls.
const TIMED_EVERY: u64 = 16;
/// Maximum size of a `SET` request that is expected to take about a microsecond, in bytes.
pub(crate) const QUICK_BYTES_MAX: usize = 4_096;
/// Number of buckets of a histogram: four for each power of two, up to 2^30 microseconds.
const BUCKETS: usize = 4 + 28 * 4 + 1;
/// Powers of two that `LATENCY HISTOGRAM` reports, in units of about a microsecond.
const POWERS: u32 = 30;

/// Number of different error codes that are counted.
pub(crate) const ERROR_CODES_MAX: usize = 128;

/// A counter to which each lane adds in a cache line of its own.
#[derive(Debug)]
pub struct LaneCounter([Line; LANES_MAX]);

/// A number in a cache line of its own: processors fetch two neighbouring lines of 64 bytes at once.
#[derive(Debug)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Default for LaneCounter {
    fn default() -> Self {
        Self([const { Line(AtomicU64::new(0)) }; LANES_MAX])
    }
}

impl LaneCounter {
    /// Adds in a lane.
    #[inline]
    pub(crate) fn add(&self, lane: usize, count: u64) {
        self.0[lane % LANES_MAX].0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum of all lanes.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

/// What is counted for a command in a lane.
struct Cell {
    calls: AtomicU64,
    /// Time of all calls, in nanoseconds.
    time_ns: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    histogram: [AtomicU64; BUCKETS],
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            time_ns: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            histogram: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

/// The statistics of a command.
#[derive(Clone, Debug)]
pub(crate) struct CommandFigures {
    pub(crate) name: &'static str,
    pub(crate) calls: u64,
    pub(crate) time_us: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
    histogram: [u64; BUCKETS],
}

/// The calls of a command by scripts, which are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandCalls {
    pub(crate) name: Cow<'static, str>,
    /// The index of the command on this member; `None` if another member has counted the calls.
    #[serde(skip)]
    pub(crate) command: Option<usize>,
    pub(crate) calls: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
    pub(crate) timed: TimedCalls,
}

/// How long calls took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimedCalls {
    time_ns: u64,
    /// Buckets of the histogram, and the number of calls in each.
    buckets: Vec<(usize, u64)>,
}

impl TimedCalls {
    /// Adds the time of a call, which counts for `weight` calls.
    pub(crate) fn add(&mut self, time: Duration, weight: u64) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.time_ns = self.time_ns.saturating_add(ns.saturating_mul(weight));
        let at = bucket(ns / 1_000);
        match self.buckets.iter_mut().find(|(bucket, _)| *bucket == at) {
            Some((_, count)) => *count += weight,
            None => self.buckets.push((at, weight)),
        }
    }
}

/// A command that was started and has no reply yet.
pub(crate) struct InProgress {
    pub(crate) command: usize,
    pub(crate) started: Instant,
    pub(crate) is_fast: bool,
    /// Whether it may block: its time does not count then.
    pub(crate) is_blocking: bool,
    /// Its arguments, as far as they are kept.
    pub(crate) arguments: KeptArguments,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Failed,
    Rejected,
}

/// The cells of a lane, by the index of the command.
type LaneCells = OnceLock<Box<[OnceLock<Box<Cell>>]>>;

/// See the [module](self).
pub(crate) struct Stats {
    names: Box<[&'static str]>,
    lanes: [LaneCells; LANES_MAX],
    errors: Mutex<BTreeMap<String, u64>>,
    error_count: AtomicU64,
    /// Commands that took long.
    pub(crate) slow_log: SlowLog,
    /// Commands of all lanes at the last tick, and in the second before it.
    ticked: AtomicU64,
    per_second: AtomicU64,
}

impl Stats {
    /// Statistics of commands with these names; a command is known by its index.
    pub(crate) fn new(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            names: names.into_iter().collect(),
            lanes: [const { OnceLock::new() }; LANES_MAX],
            errors: Mutex::default(),
            error_count: AtomicU64::new(0),
            slow_log: SlowLog::default(),
            ticked: AtomicU64::new(0),
            per_second: AtomicU64::new(0),
        }
    }

    /// The cell of a command in a lane.
    #[inline]
    fn cell(&self, lane: usize, command: usize) -> Option<&Cell> {
        let cells = self.lanes[lane % LANES_MAX]
            .get_or_init(|| self.names.iter().map(|_| OnceLock::new()).collect());
        cells.get(command).map(|cell| &**cell.get_or_init(Box::default))
    }

    /// For how many calls the time of the next call of a command counts; 0 if it is not to be timed.
    /// `is_quick` for a command that is expected to take about a microsecond: reading the clock
    /// would take a tenth of its time. `more` calls are to be counted before it.
    #[inline]
    pub(crate) fn weight_of_next(
        &self,
        lane: usize,
        command: usize,
        is_quick: bool,
        more: u64,
    ) -> u64 {
        // A low threshold is for finding out what is called.
        let is_sampled = is_quick && !self.slow_log.is_lowered();
        let Some(cell) = self.cell(lane, command).filter(|_| is_sampled) else { return 1 };
        weight_after(cell.calls.load(Ordering::Relaxed) + more)
    }

    /// Counts a call. `time` is what it took, and for how many calls that counts, if it was timed.
    #[inline]
    pub(crate) fn count(
        &self,
        lane: usize,
        command: usize,
        time: Option<(Duration, u64)>,
        ended: Ended,
    ) {
        let Some(cell) = self.cell(lane, command) else { return };
        match ended {
            Ended::Rejected => {
                cell.rejected.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ended::Failed => _ = cell.failed.fetch_add(1, Ordering::Relaxed),
            Ended::Done => {}
        }
        cell.calls.fetch_add(1, Ordering::Relaxed);
        if let Some((time, weight)) = time {
            let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            cell.time_ns.fetch_add(ns.saturating_mul(weight), Ordering::Relaxed);
            cell.histogram[bucket(ns / 1_000)].fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// Counts calls by scripts.
    pub(crate) fn add(&self, lane: usize, added: &CommandCalls) {
        let by_name = || self.names.iter().position(|name| *name == added.name);
        let Some(command) = added.command.or_else(by_name) else { return };
        let Some(cell) = self.cell(lane, command) else { return };
        let TimedCalls { time_ns, buckets } = &added.timed;
        for (number, more) in [
            (&cell.calls, added.calls),
            (&cell.rejected, added.rejected),
            (&cell.failed, added.failed),
            (&cell.time_ns, *time_ns),
        ] {
            if more > 0 {
                number.fetch_add(more, Ordering::Relaxed);
            }
        }
        for (bucket, count) in buckets {
            if let Some(number) = cell.histogram.get(*bucket) {
                number.fetch_add(*count, Ordering::Relaxed);
            }
        }
    }

    /// Counts an error reply by its code, the first word.
    pub(crate) fn count_error(&self, text: &str) {
        self.count_errors(error_code(text), 1);
    }

    /// Counts error replies with this code.
    pub(crate) fn count_errors(&self, code: &str, more: u64) {
        self.error_count.fetch_add(more, Ordering::Relaxed);
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += more;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.insert(code.into(), more);
        }
    }

    /// Counts the errors in a reply. Returns how the call ended.
    #[inline]
    pub(crate) fn note_answer(&self, answer: &Answer) -> Ended {
        match answer {
            Answer::Error(text) => self.count_error(text),
            Answer::Reply(Reply::Failed(error)) => self.count_error(&error_text(error)),
            Answer::Value(Value::Error(text)) => self.count_error(&String::from_utf8_lossy(text)),
            // It was counted when the script called the command.
            Answer::PassedOn(_) => {}
            // The replies of a transaction.
            Answer::List(all) => {
                for one in all {
                    if let Answer::Error(_)
                    | Answer::Reply(Reply::Failed(_))
                    | Answer::Value(Value::Error(_)) = one
                    {
                        self.note_answer(one);
                    }
                }
                return Ended::Done;
            }
            _ => return Ended::Done,
        }
        Ended::Failed
    }

    /// Error replies, and how many of each code.
    pub(crate) fn errors(&self) -> (u64, BTreeMap<String, u64>) {
        (self.error_count.load(Ordering::Relaxed), self.errors.lock().clone())
    }

    /// The statistics of all commands that were called or rejected.
    pub(crate) fn commands(&self) -> Vec<CommandFigures> {
        let mut all = Vec::new();
        for (command, name) in self.names.iter().enumerate() {
            let mut sum = CommandFigures {
                name,
                calls: 0,
                time_us: 0,
                rejected: 0,
                failed: 0,
                histogram: [0; BUCKETS],
            };
            let mut time_ns = 0_u64;
            for cells in self.lanes.iter().filter_map(OnceLock::get) {
                let Some(cell) = cells.get(command).and_then(OnceLock::get) else { continue };
                let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
                sum.calls += load(&cell.calls);
                sum.rejected += load(&cell.rejected);
                sum.failed += load(&cell.failed);
                time_ns = time_ns.saturating_add(load(&cell.time_ns));
                for (sum, count) in sum.histogram.iter_mut().zip(&cell.histogram) {
                    *sum += load(count);
                }
            }
            sum.time_us = time_ns / 1_000;
            if sum.calls + sum.rejected > 0 {
                all.push(sum);
            }
        }
        all
    }

    /// Resets everything except for slow commands and latency events, as `CONFIG RESETSTAT`.
    pub(crate) fn reset(&self) {
        for cells in self.lanes.iter().filter_map(OnceLock::get) {
            for cell in cells.iter().filter_map(OnceLock::get) {
                let numbers = [&cell.calls, &cell.time_ns, &cell.rejected, &cell.failed];
                for number in numbers.into_iter().chain(&cell.histogram) {
                    number.store(0, Ordering::Relaxed);
                }
            }
        }
        self.errors.lock().clear();
        self.error_count.store(0, Ordering::Relaxed);
    }

    /// Measures the commands per second; called once a second with their number so far.
    pub(crate) fn tick(&self, commands: u64) {
        let before = self.ticked.swap(commands, Ordering::Relaxed);
        self.per_second.store(commands.saturating_sub(before), Ordering::Relaxed);
    }

    /// Commands in the last second.
    pub(crate) fn commands_per_second(&self) -> u64 {
        self.per_second.load(Ordering::Relaxed)
    }
}

impl CommandFigures {
    /// The time that this share of the calls does not exceed, in microseconds.
    pub(crate) fn percentile_us(&self, percent: f64) -> u64 {
        let all: u64 = self.histogram.iter().sum();
        let wanted = (all as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut count = 0;
        for (at, bucket) in self.histogram.iter().enumerate() {
            count += bucket;
            if count >= wanted {
                return bucket_max_us(at);
            }
        }
        0
    }

    /// For `LATENCY HISTOGRAM`: a time in microseconds, and how many calls took no longer.
    pub(crate) fn distribution(&self) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        let mut last = 0;
        for power in 0..POWERS {
            let limit = 1_u64 << power;
            let within = |at: &usize| bucket_max_us(*at) <= limit;
            let count = (0..BUCKETS).take_while(within).map(|at| self.histogram[at]).sum();
            if count > last {
                // The bounds that Redis shows: those of a histogram of nanoseconds.
                all.push((((1_u64 << (10 + power)) + (1 << (3 + power)) - 1) / 1_000, count));
                last = count;
            }
        }
        all
    }
}

/// The code of an error: its first word.
pub(crate) fn error_code(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// For how many calls the time of the next call of a quick command counts, after this number of
/// calls; 0 if it is not to be timed.
#[inline]
pub(crate) fn weight_after(calls: u64) -> u64 {
    match calls {
        ..TIMED_EVERY => 1,
        calls if calls.is_multiple_of(TIMED_EVERY) => TIMED_EVERY,
        _ => 0,
    }
}

fn bucket(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    let part = (us >> (power - 2)) as usize & 3;
    (4 + (power - 2) * 4 + part).min(BUCKETS - 1)
}

fn bucket_max_us(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (power, part) = ((bucket - 4) / 4, (bucket - 4) as u64 % 4);
    ((5 + part) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        Stats::new(["get", "set"])
    }

    #[test]
    fn a_bucket_holds_the_times_up_to_its_bound() {
        for us in (0..5_000).chain([100_000, 1 << 29, (1 << 30) - 1]) {
            let at = bucket(us);
            assert!(us <= bucket_max_us(at), "{us}");
            assert!(at == 0 || us > bucket_max_us(at - 1), "{us}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn calls_of_all_lanes_are_added_up() {
        let stats = stats();
        let ms = |ms| Some((Duration::from_millis(ms), 1));
        stats.count(0, 1, ms(1), Ended::Done);
        stats.count(1, 1, ms(3), Ended::Failed);
        stats.count(LANES_MAX, 1, None, Ended::Done);
        stats.count(2, 1, None, Ended::Rejected);
        let all = stats.commands();
        assert_eq!(all.len(), 1);
        let set = &all[0];
        assert_eq!(
            (set.name, set.calls, set.time_us, set.rejected, set.failed),
            ("set", 3, 4_000, 1, 1)
        );
        assert_eq!((set.percentile_us(50.0), set.percentile_us(99.0)), (1_023, 3_071));
        assert_eq!(set.distribution(), [(1_056, 1), (4_227, 2)]);
        stats.reset();
        assert!(stats.commands().is_empty());
    }

    #[test]
    fn a_timed_call_of_a_quick_command_counts_for_those_that_are_not_timed() {
        let stats = stats();
        let call = || {
            let weight = stats.weight_of_next(0, 0, true, 0);
            let time = (weight > 0).then_some((Duration::from_micros(2), weight));
            stats.count(0, 0, time, Ended::Done);
            u64::from(weight > 0)
        };
        let timed: u64 = (0..10 * TIMED_EVERY).map(|_| call()).sum();
        let all = stats.commands();
        assert_eq!((all[0].calls, all[0].time_us), (10 * TIMED_EVERY, 20 * TIMED_EVERY));
        assert_eq!(timed, TIMED_EVERY + 9);
        assert_eq!(stats.weight_of_next(0, 0, false, 0), 1, "others are timed always");

        // With a low threshold each call is timed, and counts once.
        stats.slow_log.set_slow_us(0);
        let timed: u64 = (0..10 * TIMED_EVERY).map(|_| call()).sum();
        let all = stats.commands();
        assert_eq!((all[0].calls, all[0].time_us), (20 * TIMED_EVERY, 40 * TIMED_EVERY));
        assert_eq!(timed, 10 * TIMED_EVERY);
    }

    #[test]
    fn calls_of_scripts_are_added_in_one_go() {
        let stats = stats();
        let mut timed = TimedCalls::default();
        timed.add(Duration::from_micros(3), 1);
        timed.add(Duration::from_micros(3), 16);
        timed.add(Duration::from_micros(900), 1);
        let (name, command) = (Cow::Borrowed("set"), None);
        let mut added = CommandCalls { name, command, calls: 20, rejected: 2, failed: 3, timed };
        stats.add(7, &added);
        // What another member sends is not trusted to be within bounds.
        added.timed.buckets = vec![(usize::MAX, 1)];
        added.name = Cow::Borrowed("unknown");
        stats.add(7, &added);
        let all = stats.commands();
        assert_eq!(all.len(), 1);
        let of = &all[0];
        assert_eq!(
            (of.name, of.calls, of.rejected, of.failed, of.time_us),
            ("set", 20, 2, 3, 3 * 17 + 900)
        );
        assert_eq!(of.distribution(), [(4, 17), (1_056, 18)]);
        stats.count_errors("ERR", 5);
        assert_eq!(stats.errors(), (5, BTreeMap::from([("ERR".into(), 5)])));
    }

    #[test]
    fn errors_are_counted_by_code_within_a_bound() {
        let stats = stats();
        stats.count_error("WRONGTYPE no");
        stats.count_error("WRONGTYPE no");
        for n in 0..2 * ERROR_CODES_MAX {
            stats.count_error(&format!("E{n} no"));
        }
        let (count, by_code) = stats.errors();
        assert_eq!(count, 2 + 2 * ERROR_CODES_MAX as u64);
        assert_eq!((by_code.len(), by_code["WRONGTYPE"]), (ERROR_CODES_MAX, 2));
    }
}
