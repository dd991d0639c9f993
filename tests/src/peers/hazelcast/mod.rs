//! Comparison of configuration files of Hazelcast: the effective values that Hazelcast reads from
//! each file of a corpus, recorded by `cargo xtask peers hazelcast`, and those of `convoke config
//! convert`.
//!
//! A difference is an error unless `differences.toml` contains it with a reason; an entry there
//! that no longer occurs in any file is an error as well.

mod converted;
mod differences;
mod page;
mod recorded;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub use converted::convert;
use differences::Differences;

/// The version whose values are recorded; `cargo xtask peers hazelcast` downloads the same.
pub const VERSION: &str = "5.7.0";

/// Effective values by name; a rejected file only has [`REFUSED`].
pub type Values = BTreeMap<String, String>;

/// The name of the value that contains the reason for which a file is rejected.
pub const REFUSED: &str = "refused";

/// Represents the absence of a value.
const NONE: &str = "-";

/// A value that Convoke intentionally reads differently.
#[derive(Debug)]
pub struct Difference {
    file: String,
    value: String,
    theirs: String,
    ours: String,
    reason: String,
}

/// The comparison of one file.
#[derive(Debug)]
struct Compared {
    file: String,
    values: usize,
    differences: Vec<Difference>,
}

/// The comparison of the whole corpus.
#[derive(Debug)]
pub struct Comparison {
    files: Vec<Compared>,
    /// Differences without a reason, and reasons without a difference, one line each.
    pub unexplained: Vec<String>,
}

/// The folder of the corpus, the recorded values and the page.
#[must_use]
pub fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("peers/hazelcast")
}

/// Converts every recorded file and compares all values.
///
/// # Errors
/// If a file is missing or was not recorded, or the recorded values cannot be read.
pub fn compare(folder: &Path) -> Result<Comparison, String> {
    let recorded = recorded::read(&folder.join("recorded.txt"))?;
    let mut explained = Differences::read(&folder.join("differences.toml"))?;
    let corpus = folder.join("corpus");
    let present = files(&corpus)?;
    if let Some(file) = present.iter().find(|file| !recorded.contains_key(*file)) {
        return Err(format!("{file} is not recorded; run `cargo xtask peers hazelcast`"));
    }
    let mut comparison = Comparison { files: Vec::new(), unexplained: Vec::new() };
    for (file, theirs) in &recorded {
        let ours = convert(&corpus.join(file), theirs)?;
        let compared =
            compare_file(file, theirs, &ours, &mut explained, &mut comparison.unexplained);
        comparison.files.push(compared);
    }
    comparison.unexplained.extend(explained.unused());
    Ok(comparison)
}

fn compare_file(
    file: &str,
    theirs: &Values,
    ours: &Values,
    explained: &mut Differences,
    unexplained: &mut Vec<String>,
) -> Compared {
    let mut compared = Compared { file: file.to_owned(), values: 0, differences: Vec::new() };
    let is_refused = |values: &Values| values.contains_key(REFUSED);
    let names: Vec<&String> = match (is_refused(theirs), is_refused(ours)) {
        (true, true) => {
            // The wording of an error is not compared.
            compared.values = 1;
            return compared;
        }
        (false, false) => {
            let mut names: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
            names.sort_unstable();
            names.dedup();
            names
        }
        (true, false) => theirs.keys().collect(),
        (false, true) => ours.keys().collect(),
    };
    for name in names {
        compared.values += 1;
        let value = |values: &Values| values.get(name).map_or(NONE, String::as_str).to_owned();
        let (theirs, ours) = (value(theirs), value(ours));
        if theirs == ours {
            continue;
        }
        match explained.reason(file, name) {
            Some(reason) => compared.differences.push(Difference {
                file: file.to_owned(),
                value: name.clone(),
                theirs,
                ours,
                reason,
            }),
            None => unexplained.push(format!(
                "{file}: {name}: Hazelcast {VERSION} has {theirs:?}, Convoke {ours:?}"
            )),
        }
    }
    compared
}

/// The files of the corpus, without those that they import (in a subfolder) and `.env` files.
fn files(corpus: &Path) -> Result<Vec<String>, String> {
    let in_words = |error: std::io::Error| format!("{}: {error}", corpus.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(corpus).map_err(in_words)? {
        let path = entry.map_err(in_words)?.path();
        let is_configuration =
            path.extension().is_some_and(|extension| extension == "xml" || extension == "yaml");
        if let Some(name) = path.file_name().filter(|_| is_configuration) {
            files.push(name.to_string_lossy().into_owned());
        }
    }
    files.sort_unstable();
    Ok(files)
}
