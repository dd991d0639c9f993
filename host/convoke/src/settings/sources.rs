//! The source of a setting. The command line takes precedence over the environment, which takes
//! precedence over the file.

use std::path::Path;

use clap::ArgMatches;

use super::cli::{Rank, rank};

/// The sources of settings.
pub(super) struct Sources<'a> {
    pub(super) matches: &'a ArgMatches,
    /// The file, if one was read.
    pub(super) path: Option<&'a Path>,
    /// The keys in the file.
    pub(super) keys: &'a [String],
}

/// A setting that was given, with its source.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) key: &'a str,
    pub(super) rank: Rank,
}

impl<'a> Given<'a> {
    /// A setting of the file.
    pub(super) fn in_file(key: &'a str) -> Self {
        Self { key, rank: Rank::File }
    }
}

impl Sources<'_> {
    /// The setting, if any source has it.
    pub(super) fn given<'a>(&self, key: &'a str) -> Option<Given<'a>> {
        let rank = rank(self.matches, key);
        let is_in_file = || self.keys.iter().any(|known| known == key);
        (rank > Rank::File || is_in_file()).then_some(Given { key, rank })
    }

    /// The setting as the operator wrote it, as part of a sentence: `start-port in FILE`.
    pub(super) fn origin(&self, Given { key, rank }: Given<'_>) -> String {
        match (option_or_variable(key, rank), self.path) {
            (Some(written), _) => written,
            (None, Some(path)) => format!("{key} in {}", path.display()),
            (None, None) => key.to_owned(),
        }
    }

    /// The setting as the operator wrote it, before what is wrong with it: `FILE: start-port`.
    pub(super) fn place(&self, key: &str) -> String {
        match (option_or_variable(key, rank(self.matches, key)), self.path) {
            (Some(written), _) => written,
            (None, Some(path)) => format!("{}: {key}", path.display()),
            (None, None) => key.to_owned(),
        }
    }

    /// The keys of the file that the command line or the environment overrides.
    pub(super) fn overridden(&self) -> Vec<String> {
        let is_given = |key: &str| rank(self.matches, key) > Rank::File;
        let is_overridden = |key: &&String| {
            // Discovery and secrets have two keys each.
            let other = match key.as_str() {
                "discovery" => "cluster-mode".to_owned(),
                "cluster-password" | "client-password" | "client-read-only-password" => {
                    format!("{key}-file")
                }
                key => key.trim_end_matches("-file").to_owned(),
            };
            is_given(key) || is_given(&other)
        };
        self.keys.iter().filter(is_overridden).cloned().collect()
    }
}

/// `--start-port`, or `CONVOKE_START_PORT`.
fn option_or_variable(key: &str, rank: Rank) -> Option<String> {
    match rank {
        Rank::CommandLine => Some(format!("--{key}")),
        Rank::Environment => Some(variable(key)),
        Rank::File => None,
    }
}

/// The environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("CONVOKE_{}", key.replace('-', "_").to_uppercase())
}
