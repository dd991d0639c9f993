//! Commands that took long, for `SLOWLOG` and `LATENCY`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::request::Request;
use crate::clock::unix_ms;

/// A command that takes longer than this is slow, in microseconds, unless `CONFIG SET` has set
/// another threshold.
const SLOW_US: i64 = 10_000;
/// Number of slow commands that are kept, unless `CONFIG SET` has set another one.
const SLOW_COMMANDS: usize = 128;
/// Maximum of that number; the arguments of as many take at most 4 MiB.
pub(crate) const SLOW_COMMANDS_MAX: usize = 1_024;
/// Number of arguments of a slow command that are kept.
const SLOW_ARGUMENTS_MAX: usize = 32;
/// Size of an argument of a slow command, in bytes.
const SLOW_ARGUMENT_BYTES_MAX: usize = 128;
/// Size of all kept arguments of a command that waits for another member, in bytes.
const KEPT_BYTES_MAX: usize = 512;
/// A command that takes at least this long is a latency event, in milliseconds, unless `CONFIG SET`
/// has set another threshold. As in Redis: none is.
const LATENCY_MS: u64 = 0;
/// Number of samples of a latency event that are kept.
const SAMPLES_MAX: usize = 160;
/// A slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlowCommand {
    pub(crate) id: u64,
    /// When it was called, in seconds since 1970.
    pub(crate) unix_s: u64,
    pub(crate) time_us: u64,
    pub(crate) arguments: Vec<Vec<u8>>,
    /// Address and name of the client.
    pub(crate) peer: String,
    pub(crate) name: String,
}

#[derive(Default)]
struct SlowCommands {
    next: u64,
    /// The latest first.
    all: VecDeque<SlowCommand>,
}

/// The samples of a latency event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LatencyEvent {
    /// Time in seconds since 1970, and duration in milliseconds; the oldest first.
    pub(crate) samples: VecDeque<(u64, u64)>,
    /// The longest duration, in milliseconds.
    pub(crate) max_ms: u64,
}

/// Slow commands and latency events of a member; see the [module](self).
pub(crate) struct SlowLog {
    commands: Mutex<SlowCommands>,
    events: Mutex<BTreeMap<&'static str, LatencyEvent>>,
    /// Threshold of slow commands in microseconds; a negative one means none.
    slow_us: AtomicI64,
    /// Threshold of latency events in milliseconds; 0 means none.
    latency_ms: AtomicU64,
    /// Number of slow commands that are kept.
    commands_max: AtomicUsize,
}

impl Default for SlowLog {
    fn default() -> Self {
        Self {
            commands: Mutex::default(),
            events: Mutex::default(),
            slow_us: AtomicI64::new(SLOW_US),
            latency_ms: AtomicU64::new(LATENCY_MS),
            commands_max: AtomicUsize::new(SLOW_COMMANDS),
        }
    }
}

impl SlowLog {
    /// Whether the threshold of slow commands is below the default: then all calls are timed.
    #[inline]
    pub(crate) fn is_lowered(&self) -> bool {
        (0..SLOW_US).contains(&self.slow_us())
    }

    /// The threshold of slow commands, in microseconds; a negative one means none.
    #[inline]
    pub(crate) fn slow_us(&self) -> i64 {
        self.slow_us.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slow_us(&self, us: i64) {
        self.slow_us.store(us, Ordering::Relaxed);
    }

    /// The threshold of latency events, in milliseconds; 0 means none.
    pub(crate) fn latency_ms(&self) -> u64 {
        self.latency_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_latency_ms(&self, ms: u64) {
        self.latency_ms.store(ms, Ordering::Relaxed);
    }

    /// The number of slow commands that are kept.
    pub(crate) fn commands_max(&self) -> usize {
        self.commands_max.load(Ordering::Relaxed)
    }

    /// Sets that number, at most [`SLOW_COMMANDS_MAX`]; the oldest beyond it are forgotten.
    pub(crate) fn set_commands_max(&self, count: usize) {
        let count = count.min(SLOW_COMMANDS_MAX);
        self.commands_max.store(count, Ordering::Relaxed);
        self.commands.lock().all.truncate(count);
    }

    /// Whether a command that took this long is to be noted.
    #[inline]
    pub(crate) fn is_slow(&self, time: &Duration) -> bool {
        let us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.is_slow_us(us) || self.is_latency_event(us / 1_000)
    }

    fn is_slow_us(&self, us: i64) -> bool {
        let min = self.slow_us();
        min >= 0 && us >= min
    }

    fn is_latency_event(&self, ms: i64) -> bool {
        let min = self.latency_ms();
        min > 0 && u64::try_from(ms).is_ok_and(|ms| ms >= min)
    }

    /// Notes a command that took long. `class` is the latency event.
    pub(crate) fn note(
        &self,
        class: &'static str,
        time: Duration,
        arguments: Vec<Vec<u8>>,
        client: impl FnOnce() -> (String, String),
    ) {
        let now_s = unix_ms() / 1_000;
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let us = i64::try_from(time_us).unwrap_or(i64::MAX);
        if self.is_latency_event(us / 1_000) {
            let mut events = self.events.lock();
            let event = events.entry(class).or_default();
            let ms = time_us / 1_000;
            event.max_ms = event.max_ms.max(ms);
            match event.samples.back_mut() {
                Some((at, longest)) if *at == now_s => *longest = ms.max(*longest),
                _ => event.samples.push_back((now_s, ms)),
            }
            if event.samples.len() > SAMPLES_MAX {
                event.samples.pop_front();
            }
        }
        if !self.is_slow_us(us) {
            return;
        }
        let (peer, name) = client();
        let mut slow = self.commands.lock();
        let id = slow.next;
        slow.next += 1;
        slow.all.push_front(SlowCommand { id, unix_s: now_s, time_us, arguments, peer, name });
        slow.all.truncate(self.commands_max());
    }

    /// Slow commands, the latest first.
    pub(crate) fn commands(&self, count: usize) -> Vec<SlowCommand> {
        self.commands.lock().all.iter().take(count).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.lock().all.len()
    }

    pub(crate) fn reset(&self) {
        self.commands.lock().all.clear();
    }

    /// The latency events.
    pub(crate) fn events(&self) -> BTreeMap<&'static str, LatencyEvent> {
        self.events.lock().clone()
    }

    /// Forgets latency events: those named, or all. Returns how many there were.
    pub(crate) fn reset_events(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|event, _| {
            !names.is_empty() && !names.iter().any(|name| name == &event.as_bytes())
        });
        before - events.len()
    }
}

/// Passes the arguments of a request to `each` as `SLOWLOG` shows them: not all of a long one, and no
/// passwords. What is left out is said by the second part.
fn each_shown(request: &Request<'_>, bytes_max: usize, mut each: impl FnMut(&[u8], &str)) {
    let count = request.len();
    let shown = if count > SLOW_ARGUMENTS_MAX { SLOW_ARGUMENTS_MAX - 1 } else { count };
    let mut left = bytes_max;
    for (at, argument) in request.from(0).take(shown).enumerate() {
        if is_secret(request, at) {
            each(REDACTED, "");
            continue;
        }
        let kept = argument.len().min(SLOW_ARGUMENT_BYTES_MAX).min(left);
        left -= kept;
        if kept == argument.len() {
            each(argument, "");
        } else {
            each(&argument[..kept], &format!("... ({} more bytes)", argument.len() - kept));
        }
    }
    if shown < count {
        each(b"", &format!("... ({} more arguments)", count - shown));
    }
}

/// The arguments of a request as `SLOWLOG` shows them.
pub(crate) fn slow_arguments(request: &Request<'_>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    each_shown(request, usize::MAX, |kept, rest| all.push([kept, rest.as_bytes()].concat()));
    all
}

/// The arguments of a command in progress, in case it turns out to be slow: in one allocation, each
/// after its length.
pub(crate) struct KeptArguments(Vec<u8>);

impl KeptArguments {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let mut bytes = Vec::with_capacity(request.consumed.min(KEPT_BYTES_MAX));
        each_shown(request, KEPT_BYTES_MAX, |kept, rest| {
            let length = u16::try_from(kept.len() + rest.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(kept);
            bytes.extend_from_slice(rest.as_bytes());
        });
        Self(bytes)
    }

    /// The arguments as `SLOWLOG` shows them.
    pub(crate) fn shown(&self) -> Vec<Vec<u8>> {
        let (mut rest, mut all) = (&self.0[..], Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
            all.push(behind[..length].to_vec());
            rest = &behind[length..];
        }
        all
    }
}

/// What is shown instead of a password.
pub(crate) const REDACTED: &[u8] = b"(redacted)";

/// Whether an argument is a password or a user name: of `AUTH`, and of `HELLO … AUTH`.
pub(crate) fn is_secret(request: &Request<'_>, at: usize) -> bool {
    let is = |at: usize, word: &[u8]| {
        request.get(at).is_some_and(|argument| argument.eq_ignore_ascii_case(word))
    };
    if at == 0 {
        return false;
    }
    is(0, b"auth")
        || (is(0, b"hello")
            && ((at >= 2 && is(at - 1, b"auth")) || (at >= 3 && is(at - 2, b"auth"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_request;

    #[test]
    fn the_latest_slow_commands_and_samples_are_kept() {
        let log = SlowLog::default();
        assert!(!log.is_slow(&Duration::from_micros(9_999)));
        assert!(log.is_slow(&Duration::from_micros(10_000)));
        log.note("command", Duration::from_millis(20), Vec::new(), Default::default);
        assert!(log.events().is_empty() && log.len() == 1);
        log.set_slow_us(-1);
        log.set_latency_ms(0);
        assert!(!log.is_slow(&Duration::from_secs(9)));
        log.set_slow_us(0);
        log.set_latency_ms(1);
        log.reset();
        for n in 0..2 * SLOW_COMMANDS {
            let time = Duration::from_millis(n as u64);
            log.note("command", time, Vec::new(), || ("peer".into(), String::new()));
        }
        assert_eq!(log.len(), SLOW_COMMANDS);
        let ids: Vec<u64> = log.commands(2).iter().map(|slow| slow.id).collect();
        assert_eq!(ids, [256, 255]);
        assert_eq!(log.events()["command"].max_ms, 255);
        assert_eq!(log.reset_events(&[b"other"]), 0);
        assert_eq!(log.reset_events(&[]), 1);
        log.reset();
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn long_arguments_are_cut_and_passwords_hidden() {
        let shown = |args: &[&[u8]]| {
            let all = with_request(args, slow_arguments);
            all.iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[b"auth", b"u", b"p"]), ["auth", "(redacted)", "(redacted)"]);
        assert_eq!(
            shown(&[b"hello", b"3", b"AUTH", b"u", b"p", b"setname", b"x"]),
            ["hello", "3", "AUTH", "(redacted)", "(redacted)", "setname", "x"]
        );
        let long = [b'x'; 200];
        assert_eq!(shown(&[b"get", &long])[1], format!("{}... (72 more bytes)", "x".repeat(128)));
        let many = vec![&b"a"[..]; 40];
        let all = shown(&many);
        assert_eq!((all.len(), &*all[31]), (32, "... (9 more arguments)"));
        let kept = with_request(&many, KeptArguments::of).shown();
        assert_eq!(kept, with_request(&many, slow_arguments));
        let kept = with_request(&vec![&long[..]; 32], KeptArguments::of);
        assert!(kept.0.len() < 2 * KEPT_BYTES_MAX + 32 * 32);
        assert_eq!(kept.shown().len(), 32);
    }
}
