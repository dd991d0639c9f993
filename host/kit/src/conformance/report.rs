//! What came of each check.

use std::fmt;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// What it imports is among what was declared.
    Imports,
    /// Two looks in a row work.
    TwoLooks,
    /// Arguments that make no sense are `misconfigured`, or taken; nothing crashes.
    SillyArguments,
    /// Where a declared capability may do nothing that the mode asks for, it says `denied`.
    Denied,
    /// Where every server is away, it says `temporary`.
    Failing,
    /// Many looks take no more memory than the first ones.
    ManyLooks,
    /// It holds no more memory than it may.
    Memory,
    /// Datagrams that make no sense crash nothing.
    Datagrams,
    /// Answers over HTTP that make no sense crash nothing.
    Answers,
    /// A store in which anything may be crashes nothing.
    Store,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It conforms; what was seen.
    Passed(String),
    /// It does not; what was seen.
    Failed(String),
    /// Nothing to check; why.
    Skipped(String),
    /// The author said why this mode cannot.
    Excused(String),
}

/// One check of one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was checked.
    pub check: Check,
    /// Of which capability, where there is one line for each.
    pub capability: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// All checks of one mode. Its text has a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The mode's name.
    pub mode: String,
    /// In the order in which they were made.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether no check failed.
    pub fn conforms(&self) -> bool {
        self.failed().is_empty()
    }

    /// The checks that failed.
    pub fn failed(&self) -> Vec<Check> {
        let failed = |line: &&Line| matches!(line.outcome, Outcome::Failed(_));
        self.lines.iter().filter(failed).map(|line| line.check).collect()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Imports => "imports",
            Self::TwoLooks => "two looks",
            Self::SillyArguments => "silly arguments",
            Self::Denied => "denied",
            Self::Failing => "failing",
            Self::ManyLooks => "many looks",
            Self::Memory => "memory",
            Self::Datagrams => "datagrams",
            Self::Answers => "answers",
            Self::Store => "store",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, words) = match &self.outcome {
            Outcome::Passed(words) => ("ok", words),
            Outcome::Failed(words) => ("FAILED", words),
            Outcome::Skipped(words) => ("-", words),
            Outcome::Excused(words) => ("excused", words),
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
