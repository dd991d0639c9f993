//! The results of the checks.

use std::fmt;

/// The checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// The mode imports only declared capabilities.
    Imports,
    /// Two consecutive calls succeed.
    TwoCalls,
    /// Invalid arguments are reported as `misconfigured` or accepted, without a crash.
    InvalidArguments,
    /// If a declared capability grants none of the mode's targets, the mode reports `denied`.
    Denied,
    /// If all servers are down, the mode reports `temporary`.
    Failing,
    /// Memory does not grow with the number of calls.
    ManyCalls,
    /// Memory stays below the limit.
    Memory,
    /// Malformed datagrams do not crash the mode.
    Datagrams,
    /// Malformed HTTP responses do not crash the mode.
    Answers,
    /// Arbitrary content of the store does not crash the mode.
    Store,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The mode conforms; the text says what was observed.
    Passed(String),
    /// The mode does not conform; the text says why.
    Failed(String),
    /// The check does not apply; the text says why.
    Skipped(String),
    /// The author excused the mode from the check, for this reason.
    Excused(String),
}

/// The result of one check of one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The check.
    pub check: Check,
    /// The capability, for a check that has one line for each.
    pub capability: Option<String>,
    /// The result.
    pub verdict: Verdict,
}

/// The results of all checks of one mode. Its `Display` has one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The mode's name.
    pub mode: String,
    /// The results, in the order in which the checks ran.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether no check failed.
    pub fn conforms(&self) -> bool {
        self.failed().is_empty()
    }

    /// The checks that failed.
    pub fn failed(&self) -> Vec<Check> {
        let failed = |line: &&Line| matches!(line.verdict, Verdict::Failed(_));
        self.lines.iter().filter(failed).map(|line| line.check).collect()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Imports => "imports",
            Self::TwoCalls => "two calls",
            Self::InvalidArguments => "invalid arguments",
            Self::Denied => "denied",
            Self::Failing => "failing",
            Self::ManyCalls => "many calls",
            Self::Memory => "memory",
            Self::Datagrams => "datagrams",
            Self::Answers => "answers",
            Self::Store => "store",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, words) = match &self.verdict {
            Verdict::Passed(words) => ("ok", words),
            Verdict::Failed(words) => ("FAILED", words),
            Verdict::Skipped(words) => ("-", words),
            Verdict::Excused(words) => ("excused", words),
        };
        let check = match &self.capability {
            Some(capability) => format!("{} {capability}", self.check),
            None => self.check.to_string(),
        };
        write!(f, "{mark:<8}{check:<20}{words}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {:?}", self.mode)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
