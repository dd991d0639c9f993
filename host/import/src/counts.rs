//! What an import has done so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::functions::Functions;
use crate::value::Kind;

/// Keys that are named in a summary, of each sort.
const NAMED_MAX: usize = 10;
/// Length of the name of a key in a summary, in bytes.
const NAME_BYTES_MAX: usize = 120;

/// A key as a summary names it, with its database.
pub(crate) fn name_of(database: u16, key: &[u8]) -> String {
    let name = match str::from_utf8(key) {
        Ok(text) => convoke_text::escaped(text, NAME_BYTES_MAX),
        Err(_) => convoke_text::escaped(&key.escape_ascii().to_string(), NAME_BYTES_MAX),
    };
    format!("database {database}, key {name}")
}

/// Keys that are counted, the first of which are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) count: u64,
    /// A line for each of the first ones.
    first: Vec<String>,
}

impl Named {
    pub(crate) fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(line());
        }
    }

    /// The lines, and one that counts the rest.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let rest = self.count - self.first.len() as u64;
        let rest = (rest > 0).then(|| format!("  and {rest} more"));
        self.first.iter().map(|line| format!("  {line}")).chain(rest)
    }
}

/// What has been done so far, over all runs that a state file connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Keys that the source has listed.
    pub(crate) scanned: u64,
    /// Copied keys by their type.
    copied: BTreeMap<String, u64>,
    /// Of these, those that expire.
    pub(crate) expiring: u64,
    /// Keys that existed in the cluster and were not replaced.
    pub(crate) kept: u64,
    /// Keys that were deleted or expired before they could be copied.
    pub(crate) gone: u64,
    /// Keys that were written in pieces, and changed in the source each time meanwhile.
    pub(crate) changed: Named,
    /// Entries of consumer groups that the stream itself does not have any more.
    pub(crate) pending_lost: u64,
    pub(crate) failed: Named,
    /// Libraries of functions.
    #[serde(default)]
    pub(crate) functions: Functions,
    /// Time of all runs, in milliseconds.
    pub(crate) elapsed_ms: u64,
}

impl Counts {
    pub(crate) fn add_copied(&mut self, kind: &Kind, expires: bool) {
        *self.copied.entry(kind.to_string()).or_default() += 1;
        self.expiring += u64::from(expires);
    }

    pub(crate) fn add_failed(&mut self, database: u16, key: &[u8], why: &str) {
        self.failed.add(|| format!("{}: {why}", name_of(database, key)));
    }

    pub(crate) fn copied(&self) -> u64 {
        self.copied.values().sum()
    }

    /// The summary, with `verb` for what was done with the keys.
    pub(crate) fn lines(&self, verb: &str) -> Vec<String> {
        self.lines_of(verb, "")
    }

    /// As [`Self::lines`]; `timed` is what the time is that of, if that is not `verb`.
    pub(crate) fn lines_of(&self, verb: &str, timed: &str) -> Vec<String> {
        let seconds = self.elapsed_ms as f64 / 1_000.0;
        let rate = self.copied() as f64 / seconds.max(0.001);
        let keys = self.copied();
        let mut lines = vec![if timed.is_empty() {
            format!("{keys} keys {verb} in {seconds:.1} s ({rate:.0} a second)")
        } else {
            format!("{keys} keys {verb}; {timed} in {seconds:.1} s")
        }];
        let kinds = self.copied.iter().map(|(kind, count)| format!("  {count} {kind}"));
        lines.extend(kinds);
        let mut count = |count: u64, what: &str| {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        };
        count(self.expiring, "of them expire");
        count(self.kept, "keys existed in the cluster and were kept");
        count(self.gone, "keys were deleted or expired meanwhile");
        count(self.pending_lost, "pending entries were left out: their streams have deleted them");
        count(self.changed.count, "keys changed while they were copied, and may be inconsistent:");
        lines.extend(self.changed.lines());
        if self.failed.count > 0 {
            lines.push(format!("{} keys could not be {verb}:", self.failed.count));
            lines.extend(self.failed.lines());
        }
        lines.extend(self.functions.lines(verb));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_the_first_keys_that_failed() {
        let mut counts = Counts { elapsed_ms: 2_000, ..Counts::default() };
        counts.add_copied(&Kind::Hash, true);
        counts.add_copied(&Kind::String, false);
        for number in 0..12 {
            counts.add_failed(3, format!("k\n{number}").as_bytes(), "too large");
        }
        let text = counts.lines("copied").join("\n");
        assert!(text.starts_with("2 keys copied in 2.0 s (1 a second)\n  1 hashes\n  1 strings"));
        assert!(
            text.contains("12 keys could not be copied:\n  database 3, key k\\n0: too large\n")
        );
        assert!(text.ends_with("  and 2 more"), "{text}");
    }

    #[test]
    fn a_key_that_is_not_text_is_escaped() {
        assert_eq!(name_of(0, b"\xff\x00k"), "database 0, key \\xff\\x00k");
    }
}
