//! The table of clients and frameworks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::example::Example;
use crate::Result;

/// Where the packages of an entry are from, and what runs its script.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ecosystem {
    /// PyPI, and `python3`.
    Python,
    /// npm, and `node`.
    Node,
    /// Go modules, and `go build`.
    Go,
    /// crates.io, and `cargo build`.
    Rust,
    /// Maven's central repository, and `javac`.
    Java,
    /// Packages of Debian, driven by a script in Python.
    Debian,
}

impl Ecosystem {
    /// The folder of its scripts.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Java => "java",
            Self::Debian => "tools",
        }
    }

    /// The order in which entries are run and listed.
    fn rank(self) -> usize {
        self as usize
    }
}

/// How a script connects, and which members are killed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// To one plain member. The others are killed.
    One,
    /// To several plain members, whose addresses the client has. All but the last one
    /// are killed, one after the other.
    List,
    /// As a client of Redis Cluster to members with `--redis-cluster`. All are killed,
    /// one after the other.
    Cluster,
}

impl Mode {
    /// Its name for scripts and on the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::List => "list",
            Self::Cluster => "cluster",
        }
    }
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// RESP, as clients of Redis.
    #[default]
    Resp,
    /// The client protocol of Hazelcast.
    Hazelcast,
}

/// A client or framework.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The ecosystem of its packages.
    pub(super) ecosystem: Ecosystem,
    /// Pinned packages as the ecosystem writes them; the first is the entry's own.
    pub(super) packages: Vec<String>,
    /// The file of the script in the folder of the ecosystem.
    pub(super) script: String,
    /// A page of the documentation, relative to the root of the repository, whose application is
    /// built and run by the script, with the packages that its own `pom.xml` names. Only in Java.
    #[serde(default)]
    pub(super) page: Option<String>,
    /// The script gets the ports for this protocol.
    #[serde(default)]
    pub(super) protocol: Protocol,
    /// Arguments of the script.
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    /// The script runs once in each.
    pub(super) modes: Vec<Mode>,
    /// What the script does, for the page.
    pub(super) job: String,
    /// What a user of this client should know, for the page.
    #[serde(default)]
    pub(super) note: String,
}

impl Entry {
    /// The version of the entry's own package.
    pub(super) fn version(&self) -> &str {
        let Some(own) = self.packages.first() else { return "" };
        own.rsplit(['=', '@', ':', ' ']).next().unwrap_or(own)
    }
}

/// All entries by name, in the order of their ecosystems.
///
/// # Errors
/// If the file is not such a table, or a script is missing.
pub(super) fn read(folder: &Path) -> Result<Vec<(String, Entry)>> {
    let path = folder.join("table.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let entries = parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    for (name, entry) in &entries {
        let script = folder.join(entry.ecosystem.folder()).join(&entry.script);
        if !script.is_file() {
            return Err(format!("{name}: there is no script {}", script.display()));
        }
        if let Some(example) = example(folder, entry)? {
            for package in &entry.packages {
                example.check_package(package).map_err(|error| format!("{name}: {error}"))?;
            }
        }
    }
    Ok(entries)
}

/// The application of an entry, if it is on a page of the documentation.
///
/// # Errors
/// The page is missing, or has no application.
pub(super) fn example(folder: &Path, entry: &Entry) -> Result<Option<Example>> {
    let Some(page) = &entry.page else { return Ok(None) };
    Example::read(&folder.join("../..").join(page)).map(Some)
}

fn parse(text: &str) -> Result<Vec<(String, Entry)>> {
    let entries: BTreeMap<String, Entry> =
        toml::from_str(text).map_err(|error| error.to_string())?;
    for (name, entry) in &entries {
        if entry.packages.is_empty() || entry.modes.is_empty() {
            return Err(format!("{name}: an entry has at least one package and one mode"));
        }
        if entry.page.is_some() && entry.ecosystem != Ecosystem::Java {
            return Err(format!("{name}: only applications in Java are on pages"));
        }
    }
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(_, entry)| entry.ecosystem.rank());
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_repository_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
        assert!(read(&folder).unwrap().len() > 20);
    }

    #[test]
    fn the_version_is_that_of_the_first_package() {
        let version = |package: &str| {
            let text = format!(
                "[x]\necosystem = 'go'\npackages = ['{package}']\nscript = 's'\n\
                 modes = ['one']\njob = 'j'"
            );
            parse(&text).unwrap()[0].1.version().to_owned()
        };
        assert_eq!(version("redis==8.1.0"), "8.1.0");
        assert_eq!(version("@socket.io/redis-adapter@8.3.0"), "8.3.0");
        assert_eq!(version("redis.clients:jedis:8.0.2"), "8.0.2");
        assert_eq!(version("github.com/redis/go-redis/v9 v9.23.0"), "v9.23.0");
    }

    #[test]
    fn an_entry_without_packages_or_modes_is_rejected() {
        let text = "[x]\necosystem = 'go'\npackages = []\nscript = 's'\nmodes = []\njob = 'j'";
        let error = parse(text).unwrap_err();
        assert_eq!(error, "x: an entry has at least one package and one mode");
        assert!(parse(&text.replace("'go'", "'cobol'")).unwrap_err().contains("cobol"));
    }
}
