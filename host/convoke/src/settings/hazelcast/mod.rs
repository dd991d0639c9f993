//! Reads configuration files of Hazelcast 5, XML or YAML. Settings that find members are honoured;
//! the others are listed once, by their path.

mod defaults;
mod document;
mod join;
mod maps;
mod members;
mod names;
mod quoted;
#[cfg(test)]
mod tests;
mod translate;
mod tree;

use std::path::Path;

pub(super) use document::Surroundings;
pub(crate) use translate::UNHONOURED;
pub(super) use translate::translate;

/// Whether a file with this name and text is a Hazelcast file.
pub(super) fn is_meant(path: &Path, text: &str) -> bool {
    is_named(path) || text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

/// Whether the file name identifies a Hazelcast file.
fn is_named(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("xml" | "yaml" | "yml"))
}
