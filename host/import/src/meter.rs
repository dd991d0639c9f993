//! Progress on standard error: a bar on a terminal, otherwise a line every few seconds.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// Interval at which the bar is drawn, in milliseconds.
const BAR_MS: u64 = 200;
/// Interval of lines, in milliseconds.
const LINE_MS: u64 = 5_000;
/// Width of the bar, in characters.
const BAR_CHARS: usize = 30;

/// Shows how far an import is.
#[derive(Debug)]
pub(crate) struct Meter {
    is_terminal: bool,
    verb: &'static str,
    /// Number of keys in all, if known.
    total: Option<u64>,
    started: Instant,
    /// Keys that an earlier run has done.
    before: u64,
    shown: Option<Instant>,
    has_bar: bool,
}

impl Meter {
    pub(crate) fn new(is_terminal: bool) -> Self {
        Self {
            is_terminal,
            verb: "",
            total: None,
            started: Instant::now(),
            before: 0,
            shown: None,
            has_bar: false,
        }
    }

    /// Begins a phase, of which `before` keys are done already.
    pub(crate) fn begin(&mut self, verb: &'static str, total: Option<u64>, before: u64) {
        (self.verb, self.total, self.before) = (verb, total, before);
        (self.started, self.shown) = (Instant::now(), Some(Instant::now()));
    }

    /// Shows that `done` keys are done, if enough time has passed.
    pub(crate) fn show(&mut self, done: u64) {
        let interval = Duration::from_millis(if self.is_terminal { BAR_MS } else { LINE_MS });
        if self.shown.is_some_and(|shown| shown.elapsed() < interval) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = self.text(done, self.started.elapsed());
        let mut output = io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        if self.is_terminal {
            self.has_bar = true;
            let _ = write!(output, "\r\x1b[K{text}");
            let _ = output.flush();
        } else {
            let _ = writeln!(output, "{text}");
        }
    }

    fn text(&self, done: u64, elapsed: Duration) -> String {
        let rate = done.saturating_sub(self.before) as f64 / elapsed.as_secs_f64().max(0.001);
        let verb = self.verb;
        // Keys that are added meanwhile may exceed what was counted at the start.
        let Some(total) = self.total.filter(|total| *total >= done && *total > 0) else {
            return format!("{verb} {done} keys, {rate:.0} a second");
        };
        let share = done as f64 / total as f64;
        let left = (total - done) as f64 / rate.max(1.0);
        let figures = format!("{done} of {total} keys, {rate:.0} a second, {left:.0} s left");
        if !self.is_terminal {
            return format!("{verb} {:.0}%: {figures}", share * 100.0);
        }
        let full = (share * BAR_CHARS as f64) as usize;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR_CHARS - full));
        format!("{verb} [{bar}] {figures}")
    }

    /// Removes the bar.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.has_bar) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Prints a line that stays.
    pub(crate) fn note(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(io::stderr(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_a_share_if_the_number_of_keys_is_known() {
        let mut meter = Meter::new(false);
        meter.begin("copied", Some(200), 0);
        let second = Duration::from_secs(1);
        let text = "copied 25%: 50 of 200 keys, 50 a second, 3 s left";
        assert_eq!(meter.text(50, second), text);
        assert_eq!(meter.text(201, second), "copied 201 keys, 201 a second");
        meter.is_terminal = true;
        assert!(meter.text(100, second).starts_with("copied [###############......"));
        meter.begin("copied", None, 40);
        assert_eq!(meter.text(50, second), "copied 50 keys, 10 a second");
    }
}
