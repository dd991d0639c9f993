//! The conformance suite: requirements for every mode.

mod arguments;
mod calls;
mod malformed;
mod report;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::generator::Generator;
use crate::harness::{Harness, stem};

pub use report::{Check, Line, Report, Verdict};

/// The mode to be checked, and its parameters.
#[derive(Debug)]
pub struct Subject {
    harness: Harness,
    declared: Vec<String>,
    arguments: Vec<String>,
    excuses: Vec<(Check, String)>,
    calls: u64,
    warm_up: u64,
    memory_max: usize,
    growth_max: u64,
    nesting_max: usize,
    datagrams: usize,
    answers: usize,
    stores: usize,
    seed: u64,
}

/// Runs the suite.
pub fn check(subject: &Subject) -> Report {
    let mut report = Report { mode: stem(&subject.harness.file), lines: Vec::new() };
    let compiled = match TempDir::new() {
        Ok(folder) => folder,
        Err(error) => {
            report.note(
                subject,
                Check::TwoCalls,
                None,
                Err(format!("cannot create a temporary folder: {error}")),
            );
            return report;
        }
    };
    let working = subject.harness.clone().cache_or(compiled.path());
    let suite = Suite { subject, working, random: Generator::new(subject.seed) };
    suite.all(&mut report);
    report
}

/// The state of one execution of the suite.
struct Suite<'a> {
    subject: &'a Subject,
    working: Harness,
    random: Generator,
}

/// A description of what was observed if a check passed, or the reason why it failed.
type CheckResult = Result<String, String>;

impl Subject {
    /// The component in `file`, with no argument, no declared capabilities and no grants.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            harness: Harness::load(file),
            declared: Vec::new(),
            arguments: Vec::new(),
            excuses: Vec::new(),
            calls: 10_000,
            warm_up: 100,
            memory_max: 16 << 20,
            growth_max: 0,
            nesting_max: 100_000,
            datagrams: 2_000,
            answers: 300,
            stores: 100,
            seed: 2_904,
        }
    }

    /// Declares the capabilities that the mode may import, by their names in a grant: `dns`,
    /// `http`, `kubernetes`, `multicast`, `probe`, `store`; and `wasi`, for `wasi = "inert"`.
    #[must_use]
    pub fn declares(mut self, capabilities: &[&str]) -> Self {
        self.declared = capabilities.iter().map(|capability| (*capability).to_owned()).collect();
        self
    }

    /// Sets what the mode needs to find members: argument, settings, grants, fakes.
    #[must_use]
    pub fn working(mut self, complete: impl FnOnce(Harness) -> Harness) -> Self {
        self.harness = complete(self.harness);
        self
    }

    /// Adds arguments that this mode has to reject, or accept without a crash.
    #[must_use]
    pub fn invalid_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    /// Skips a check that this mode cannot pass, with the reason.
    #[must_use]
    pub fn excuse(mut self, check: Check, why: &str) -> Self {
        self.excuses.push((check, why.to_owned()));
        self
    }

    /// Sets the number of calls of [`Check::ManyCalls`] (default 10,000), and the number of
    /// calls after which memory must not grow any more (default 100). For modes that contain a
    /// language runtime.
    #[must_use]
    pub fn calls(mut self, calls: u64, warm_up: u64) -> Self {
        (self.calls, self.warm_up) = (calls, warm_up.min(calls));
        self
    }

    /// Sets the memory limit of the mode, in bytes; 16 MiB by default.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    /// Sets the number of bytes by which memory may grow per call, on average after the
    /// warm-up; 0 by default. For a runtime that is known to leak; document the reason beside
    /// it.
    #[must_use]
    pub fn growth_max(mut self, bytes: u64) -> Self {
        self.growth_max = bytes;
        self
    }

    /// Sets the nesting depth of brackets in HTTP responses; 100,000 by default. For a mode
    /// with a recursive parser in a library.
    #[must_use]
    pub fn nesting_max(mut self, depth: usize) -> Self {
        self.nesting_max = depth;
        self
    }

    /// Sets the amount of malformed input: datagrams (default 2,000), calls with HTTP responses
    /// (default 300), and stores (default 100).
    #[must_use]
    pub fn malformed(mut self, datagrams: usize, answers: usize, stores: usize) -> Self {
        (self.datagrams, self.answers, self.stores) = (datagrams, answers, stores);
        self
    }

    /// Sets the seed of random input; the same seed gives the same input.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs the suite and prints the report.
    ///
    /// # Panics
    /// If the mode does not conform.
    pub fn assert_conforms(&self) {
        let report = check(self);
        println!("{report}");
        assert!(report.conforms(), "the mode does not conform:\n{report}");
    }
}

impl Suite<'_> {
    fn all(mut self, report: &mut Report) {
        let subject = self.subject;
        report.note(subject, Check::Imports, None, self.imports());
        let works = self.two_calls();
        let is_working = works.is_ok();
        report.note(subject, Check::TwoCalls, None, works);
        if !is_working {
            return;
        }
        report.note(subject, Check::InvalidArguments, None, self.invalid_arguments());
        let denied: Vec<_> = calls::UNUSED
            .iter()
            .filter(|(capability, _)| {
                subject.declared.iter().any(|declared| declared == capability)
            })
            .collect();
        for (capability, unused) in &denied {
            let seen = || self.denied(capability, unused);
            report.make(subject, Check::Denied, Some(capability), seen);
        }
        match denied.is_empty() && !self.declares("store") {
            true => report.skip(Check::Failing, "no declared capability can fail"),
            false => report.make(subject, Check::Failing, None, || self.failing()),
        }
        let (many, memory) = self.many_calls();
        report.note(subject, Check::ManyCalls, None, many);
        report.note(subject, Check::Memory, None, memory);
        for (check, capability) in
            [(Check::Datagrams, "multicast"), (Check::Answers, "http"), (Check::Store, "store")]
        {
            if !self.declares(capability) {
                report.skip(check, &format!("{capability} is not declared"));
                continue;
            }
            report.make(subject, check, None, || match check {
                Check::Datagrams => self.datagrams(),
                Check::Answers => self.answers(),
                _ => self.store(),
            });
        }
    }

    fn declares(&self, capability: &str) -> bool {
        self.subject.declared.iter().any(|declared| declared == capability)
    }
}

impl Report {
    /// Runs a check, unless it is excused.
    fn make(
        &mut self,
        subject: &Subject,
        check: Check,
        capability: Option<&str>,
        seen: impl FnOnce() -> CheckResult,
    ) {
        let excused = subject.excuses.iter().any(|(of, _)| *of == check);
        self.note(subject, check, capability, if excused { Ok(String::new()) } else { seen() });
    }

    fn note(
        &mut self,
        subject: &Subject,
        check: Check,
        capability: Option<&str>,
        seen: CheckResult,
    ) {
        let excuse = subject.excuses.iter().find(|(of, _)| *of == check);
        let verdict = match (excuse, seen) {
            (Some((_, why)), _) => Verdict::Excused(why.clone()),
            (None, Ok(words)) => Verdict::Passed(words),
            (None, Err(why)) => Verdict::Failed(why),
        };
        self.lines.push(Line { check, capability: capability.map(str::to_owned), verdict });
    }

    fn skip(&mut self, check: Check, why: &str) {
        self.lines.push(Line {
            check,
            capability: None,
            verdict: Verdict::Skipped(why.to_owned()),
        });
    }
}
