//! Findings, including panics of all threads.

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::server::{RESIDENT_MIB_MAX, resident_mib};

/// Maximum number of distinct findings of a target; it ends when it is reached.
const FINDINGS_MAX: usize = 20;

/// Bytes of an input that are printed.
const SHOWN_BYTES_MAX: usize = 6_000;

/// Panics since the last check: location and text.
static PANICS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// The findings of one target.
pub(crate) struct Report {
    target: &'static str,
    seed: u64,
    started: Instant,
    cases: u64,
    found: BTreeSet<String>,
}

impl Report {
    /// An empty report; from now on, panics of all threads are collected.
    pub(crate) fn new(target: &'static str, seed: u64) -> Self {
        panic::set_hook(Box::new(|info| {
            let place = info.location().map_or("nowhere".to_owned(), ToString::to_string);
            let frames = Backtrace::force_capture().to_string();
            let ours: Vec<&str> = frames
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("at ") && line.contains("host/"))
                .take(8)
                .collect();
            let text = format!("{info}\n    {}", ours.join("\n    "));
            lock().push((place, text));
        }));
        println!("fuzz {target}: seed {seed}");
        Self { target, seed, started: Instant::now(), cases: 0, found: BTreeSet::new() }
    }

    pub(crate) fn count(&mut self) {
        self.cases += 1;
    }

    /// Whether the limit of findings is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= FINDINGS_MAX
    }

    /// Adds what an input has done to the server of this process: it does not answer any more (`hang`
    /// says what), needs too much memory, or panicked. Returns whether the run is over.
    pub(crate) fn add_state(&mut self, hang: Option<&str>, input: impl Fn() -> String) -> bool {
        if let Some(hang) = hang {
            self.add("hang", hang, &input());
        }
        let resident = resident_mib();
        if resident > RESIDENT_MIB_MAX {
            self.add("memory", &format!("{resident} MiB resident"), &input());
        }
        self.take_panics(&input);
        hang.is_some() || resident > RESIDENT_MIB_MAX
    }

    /// Adds a finding. Only the first one of each `kind` is printed.
    pub(crate) fn add(&mut self, kind: &str, text: &str, input: &str) {
        if !self.found.insert(kind.to_owned()) {
            return;
        }
        let mut end = input.len().min(SHOWN_BYTES_MAX);
        while !input.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < input.len() { "… (cut)" } else { "" };
        println!(
            "FOUND {}: seed {}, case {}: {kind}\n  {text}\n  input: {}{cut}\n",
            self.target,
            self.seed,
            self.cases,
            &input[..end],
        );
    }

    /// Adds the panics since the last check as findings caused by `input`. Returns true if there
    /// were any.
    pub(crate) fn take_panics(&mut self, input: impl FnOnce() -> String) -> bool {
        let panics = std::mem::take(&mut *lock());
        if panics.is_empty() {
            return false;
        }
        let input = input();
        for (place, text) in panics {
            self.add(&format!("panic at {place}"), &text, &input);
        }
        true
    }

    /// Prints the summary. Returns true if nothing was found.
    pub(crate) fn finish(&self) -> bool {
        println!(
            "fuzz {}: {} cases in {} s, {} findings",
            self.target,
            self.cases,
            self.started.elapsed().as_secs(),
            self.found.len()
        );
        self.found.is_empty()
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<(String, String)>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work`. Returns `None` if it panics; the panic is collected.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(panic::AssertUnwindSafe(work)).ok()
}

/// Bytes, escaped as in Rust.
pub(crate) fn shown(bytes: &[u8]) -> String {
    format!("b\"{}\"", bytes.escape_ascii())
}
