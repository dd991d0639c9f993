//! When a script must stop, and how that is noticed without looking at the clock each time.
//!
//! The state calls [`Deadline::check`] at each loop iteration, call and return, and so do the libraries
//! that are written in Rust at each element. Looking at the clock there would take longer than the rest
//! of a short loop, and looking at every hundredth of them is too rare if each takes 20 ms. So a
//! thread counts [`TICK`]s while scripts run, and a check that finds the count changed looks at the clock.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How often the clock is looked at while a script runs.
const TICK: Duration = Duration::from_millis(5);
/// Ticks for which the thread goes on after the last script: about one second.
const TICKS_PER_ROUND: u32 = 200;
/// Checks between two looks at the clock, at most.
const CHECKS_PER_LOOK: u32 = 256;
/// The same, if there is no thread that counts.
const CHECKS_PER_LOOK_WITHOUT_TICKS: u32 = 16;
/// Bytes that a library reads or writes between two checks.
pub(crate) const BYTES_PER_CHECK: usize = 64 * 1024;

/// Ticks since the start of the process, while scripts ran.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// Whether a script has run in this round.
static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Has the ticks counted for at least one more round. Returns whether they are.
fn want_ticks() -> bool {
    static THREAD: OnceLock<Option<Thread>> = OnceLock::new();
    let is_new = !IS_WANTED.load(Ordering::Relaxed) && !IS_WANTED.swap(true, Ordering::SeqCst);
    let thread = THREAD.get_or_init(|| {
        let thread = thread::Builder::new().name("script-ticks".into()).spawn(count_ticks);
        thread.ok().map(|handle| handle.thread().clone())
    });
    if is_new && let Some(thread) = thread {
        thread.unpark();
    }
    thread.is_some()
}

fn count_ticks() {
    loop {
        // If it is wanted after this, `park` returns at once.
        if !IS_WANTED.swap(false, Ordering::SeqCst) {
            thread::park();
            continue;
        }
        for _ in 0..TICKS_PER_ROUND {
            thread::sleep(TICK);
            TICKS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Why a script has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its deadline has passed.
    TimedOut,
    /// It was asked to stop.
    Stopped,
    /// A command ended it.
    Interrupted,
}

/// The script that was running has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl From<Ended> for String {
    fn from(_: Ended) -> Self {
        "the script is stopped".into()
    }
}

/// When the script of one state must stop. Once it must, it remains so until the next one begins.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    ending: Cell<Option<Ending>>,
    /// `None` while no script runs.
    at: Cell<Option<Instant>>,
    stop: RefCell<Option<Arc<AtomicBool>>>,
    /// Checks until the clock is looked at, if no tick is counted before. Zero after the end.
    left: Cell<u32>,
    /// The count of ticks when the clock was looked at.
    ticks: Cell<u64>,
}

impl Deadline {
    /// A script begins.
    pub(crate) fn begin(&self, at: Instant, stop: Option<&Arc<AtomicBool>>) {
        self.ending.set(None);
        self.at.set(Some(at));
        *self.stop.borrow_mut() = stop.cloned();
        self.wait_for_next_look();
    }

    /// The script has returned. What ended it is kept.
    pub(crate) fn finish(&self) {
        self.at.set(None);
        *self.stop.borrow_mut() = None;
    }

    /// Why the script has to stop, as far as was noticed.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Stops the script.
    pub(crate) fn end(&self, ending: Ending) {
        self.ending.set(Some(ending));
        self.left.set(0);
    }

    fn wait_for_next_look(&self) {
        let counts = want_ticks();
        self.left.set(if counts { CHECKS_PER_LOOK } else { CHECKS_PER_LOOK_WITHOUT_TICKS });
        self.ticks.set(TICKS.load(Ordering::Relaxed));
    }

    /// Checks whether the script must stop, without looking at the clock each time.
    pub(crate) fn check(&self) -> Result<(), Ended> {
        let left = self.left.get();
        if left > 0 && self.ticks.get() == TICKS.load(Ordering::Relaxed) {
            self.left.set(left - 1);
            return Ok(());
        }
        self.look()
    }

    /// Checks whether the script must stop, by the clock.
    pub(crate) fn look(&self) -> Result<(), Ended> {
        if self.ending.get().is_some() {
            return Err(Ended);
        }
        let Some(at) = self.at.get() else {
            return Ok(());
        };
        if self.stop.borrow().as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            self.end(Ending::Stopped);
            return Err(Ended);
        }
        if Instant::now() >= at {
            self.end(Ending::TimedOut);
            return Err(Ended);
        }
        self.wait_for_next_look();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[test]
    fn a_few_checks_that_take_long_notice_the_deadline() {
        let deadline = Deadline::default();
        deadline.begin(in_ms(20), None);
        assert_eq!(deadline.check(), Ok(()));
        // Fewer checks than after which the clock is looked at in any case.
        let checks = (0..CHECKS_PER_LOOK / 2).take_while(|_| {
            thread::sleep(Duration::from_millis(10));
            deadline.check().is_ok()
        });
        assert!(checks.count() < CHECKS_PER_LOOK as usize / 2);
        assert_eq!(deadline.ending(), Some(Ending::TimedOut));
        assert_eq!(deadline.check(), Err(Ended), "it remains so");
    }

    #[test]
    fn checks_notice_the_deadline_and_the_wish_to_stop() {
        let (deadline, stop) = (Deadline::default(), Arc::new(AtomicBool::new(false)));
        deadline.begin(in_ms(30), None);
        while deadline.check().is_ok() {}
        assert_eq!(deadline.ending(), Some(Ending::TimedOut));
        deadline.begin(in_ms(60_000), Some(&stop));
        assert_eq!((deadline.check(), deadline.ending()), (Ok(()), None));
        stop.store(true, Ordering::Relaxed);
        while deadline.check().is_ok() {}
        assert_eq!(deadline.ending(), Some(Ending::Stopped));
    }

    #[test]
    fn nothing_ends_while_no_script_runs() {
        let deadline = Deadline::default();
        deadline.begin(in_ms(0), None);
        deadline.finish();
        assert!((0..10_000).all(|_| deadline.check().is_ok()));
    }
}
