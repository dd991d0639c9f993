//! What each mode must do, whatever it is for.

mod arguments;
mod calls;
mod nonsense;
mod report;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{Harness, stem};
use crate::noise::Noise;

pub use report::{Check, Line, Outcome, Report};

/// A mode to be checked.
#[derive(Debug)]
pub struct Subject {
    harness: Harness,
    declared: Vec<String>,
    arguments: Vec<String>,
    excuses: Vec<(Check, String)>,
    looks: u64,
    warm_up: u64,
    memory_max: usize,
    growth_max: u64,
    nesting_max: usize,
    datagrams: usize,
    answers: usize,
    stores: usize,
    seed: u64,
}

/// Checks a mode.
pub fn check(subject: &Subject) -> Report {
    let mut report = Report { mode: stem(&subject.harness.file), lines: Vec::new() };
    let compiled = match TempDir::new() {
        Ok(folder) => folder,
        Err(error) => {
            report.note(
                subject,
                Check::TwoLooks,
                None,
                Err(format!("no temporary folder: {error}")),
            );
            return report;
        }
    };
    let working = subject.harness.clone().cache_or(compiled.path());
    let run = Run { subject, working, noise: Noise::new(subject.seed) };
    run.all(&mut report);
    report
}

/// One run of the suite.
struct Run<'a> {
    subject: &'a Subject,
    working: Harness,
    noise: Noise,
}

/// What was seen when a check passed, or why it failed.
type Seen = Result<String, String>;

impl Subject {
    /// The component in `file`, with no argument, nothing declared and nothing granted.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            harness: Harness::load(file),
            declared: Vec::new(),
            arguments: Vec::new(),
            excuses: Vec::new(),
            looks: 10_000,
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

    /// The capabilities that the mode may import, as grants name them: `dns`, `http`,
    /// `kubernetes`, `multicast`, `probe`, `store`; and `wasi`, for `wasi = "inert"`.
    #[must_use]
    pub fn declares(mut self, capabilities: &[&str]) -> Self {
        self.declared = capabilities.iter().map(|capability| (*capability).to_owned()).collect();
        self
    }

    /// What the mode needs to find something: argument, settings, grants, a world.
    #[must_use]
    pub fn working(mut self, complete: impl FnOnce(Harness) -> Harness) -> Self {
        self.harness = complete(self.harness);
        self
    }

    /// Arguments that this mode must refuse, or take without a crash, beside those that
    /// the suite has.
    #[must_use]
    pub fn silly_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    /// A check that this mode cannot pass, and why. It is not made.
    #[must_use]
    pub fn excuse(mut self, check: Check, why: &str) -> Self {
        self.excuses.push((check, why.to_owned()));
        self
    }

    /// Looks in [`Check::ManyLooks`], 10,000 otherwise; those at the end may take no more
    /// memory than the first `warm_up`, 100 otherwise. For modes that carry an engine.
    #[must_use]
    pub fn looks(mut self, looks: u64, warm_up: u64) -> Self {
        (self.looks, self.warm_up) = (looks, warm_up.min(looks));
        self
    }

    /// Bytes of memory that it may hold; 16 MiB otherwise.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    /// Bytes by which each look may add to its memory, on average after the warm-up; none
    /// otherwise. For a runtime that is known to leak: say so beside it.
    #[must_use]
    pub fn growth_max(mut self, bytes: u64) -> Self {
        self.growth_max = bytes;
        self
    }

    /// How deep brackets are nested in answers; 100,000 otherwise. For a mode whose parser
    /// is not its own, and takes the stack for it.
    #[must_use]
    pub fn nesting_max(mut self, depth: usize) -> Self {
        self.nesting_max = depth;
        self
    }

    /// How much nonsense it is given: datagrams, looks at answers over HTTP, stores. 2,000,
    /// 300 and 100 otherwise.
    #[must_use]
    pub fn nonsense(mut self, datagrams: usize, answers: usize, stores: usize) -> Self {
        (self.datagrams, self.answers, self.stores) = (datagrams, answers, stores);
        self
    }

    /// What nonsense is made of; the same for the same seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the mode and prints the report.
    ///
    /// # Panics
    /// If the mode does not conform.
    pub fn assert_conforms(&self) {
        let report = check(self);
        println!("{report}");
        assert!(report.conforms(), "the mode does not conform:\n{report}");
    }
}

impl Run<'_> {
    fn all(mut self, report: &mut Report) {
        let subject = self.subject;
        report.note(subject, Check::Imports, None, self.imports());
        let works = self.two_looks();
        let is_working = works.is_ok();
        report.note(subject, Check::TwoLooks, None, works);
        if !is_working {
            return;
        }
        report.note(subject, Check::SillyArguments, None, self.silly_arguments());
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
            true => report.skip(Check::Failing, "nothing is declared that can fail"),
            false => report.make(subject, Check::Failing, None, || self.failing()),
        }
        let (many, memory) = self.many_looks();
        report.note(subject, Check::ManyLooks, None, many);
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
    /// Makes a check, unless it is excused.
    fn make(
        &mut self,
        subject: &Subject,
        check: Check,
        capability: Option<&str>,
        seen: impl FnOnce() -> Seen,
    ) {
        let excused = subject.excuses.iter().any(|(of, _)| *of == check);
        self.note(subject, check, capability, if excused { Ok(String::new()) } else { seen() });
    }

    fn note(&mut self, subject: &Subject, check: Check, capability: Option<&str>, seen: Seen) {
        let excuse = subject.excuses.iter().find(|(of, _)| *of == check);
        let outcome = match (excuse, seen) {
            (Some((_, why)), _) => Outcome::Excused(why.clone()),
            (None, Ok(words)) => Outcome::Passed(words),
            (None, Err(why)) => Outcome::Failed(why),
        };
        self.lines.push(Line { check, capability: capability.map(str::to_owned), outcome });
    }

    fn skip(&mut self, check: Check, why: &str) {
        self.lines.push(Line {
            check,
            capability: None,
            outcome: Outcome::Skipped(why.to_owned()),
        });
    }
}
