//! Intended differences and their reasons.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// A reason, and the values and files that it applies to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Names of files; `*` stands for all.
    files: Vec<String>,
    /// Names of values; `*` at the beginning or at the end stands for any text.
    values: Vec<String>,
    reason: String,
    /// The pairs of both (by index) that have occurred.
    #[serde(skip)]
    met: Vec<(usize, usize)>,
}

/// All documented differences.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differences {
    #[serde(default)]
    difference: Vec<Entry>,
}

impl Differences {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let in_words = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| in_words(&error))?;
        toml::from_str(&text).map_err(|error| in_words(&error))
    }

    /// The reason for a difference of a value in a file, if it is documented.
    pub(super) fn reason(&mut self, file: &str, value: &str) -> Option<String> {
        self.difference.iter_mut().find_map(|entry| {
            let at = entry.files.iter().position(|known| fits(known, file))?;
            let name = entry.values.iter().position(|known| fits(known, value))?;
            entry.met.push((at, name));
            Some(entry.reason.clone())
        })
    }

    /// Entries, or parts of them, that no longer occur, one per line.
    pub(super) fn unused(&self) -> Vec<String> {
        let mut unused = Vec::new();
        for entry in &self.difference {
            let (files, values) = (entry.files.iter().enumerate(), entry.values.iter().enumerate());
            let idle_files = files.filter(|(at, _)| !entry.met.iter().any(|(met, _)| met == at));
            let idle_values = values.filter(|(at, _)| !entry.met.iter().any(|(_, met)| met == at));
            unused.extend(idle_files.chain(idle_values).map(|(_, name)| {
                format!("differences.toml: {name:?} no longer differs: {}", entry.reason)
            }));
        }
        unused
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(begin), _) => name.starts_with(begin),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::{Differences, Entry};

    #[test]
    fn unused_entries_are_reported() {
        let entry = Entry {
            files: ["a.xml", "b.xml"].map(String::from).to_vec(),
            values: ["map*", "*port"].map(String::from).to_vec(),
            reason: "so".to_owned(),
            met: Vec::new(),
        };
        let mut differences = Differences { difference: vec![entry] };
        assert_eq!(differences.reason("a.xml", "map[x].ttl-s").as_deref(), Some("so"));
        assert_eq!(differences.reason("a.xml", "multicast-port").as_deref(), Some("so"));
        assert_eq!(differences.reason("c.xml", "port"), None);
        assert_eq!(differences.unused(), ["differences.toml: \"b.xml\" no longer differs: so"]);
    }
}
