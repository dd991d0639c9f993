//! The page with the results: `tests/clients/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::table::Entry;
use crate::Result;

const NAME: &str = "README.md";

const HEAD: &str = "\
# Clients and frameworks

Written by `cargo xtask clients [NAME …]`, which installs each entry of [`table.toml`](table.toml) in the
version shown and lets it do its main job on three members. In the middle of it, members are killed with
`kill -9`: first the oldest one, which is the coordinator. It is started again, and when all data is on
two members again, the next one is killed; three in all. The job has to go on, and nothing that was
acknowledged may be lost. The scripts are beside this page. Web applications in Java are those of the pages in
[`host/gateway/hazelcast`](../../host/gateway/hazelcast), each in two processes; the script is their users.

Modes: with `one`, the client has the address of one member, and others are killed. With `list`, it has the
addresses of all members, of which the last one is not killed. With `cluster`, it is a client of Redis
Cluster on members with `--redis-cluster`. In both, the first address is that of the first member that is
killed.

The interruption is the longest time between two steps that succeeded, less the longest such time
before the kills, on a machine with two cores; *none* is less than half a second. Where the library or
the framework raises an error for a step meanwhile, the script catches it, as an application would, and
takes the next step.

";

const COLUMNS: &str = "\
| name | version | mode | job | result | interruption | note |
|---|---|---|---|---|---|---|
";

/// Rows by name and mode: result and interruption.
pub(super) type Results = BTreeMap<(String, String), (String, String)>;

/// The results that the page has, of entries whose versions have not changed.
pub(super) fn read(folder: &Path, entries: &[(String, Entry)]) -> Results {
    let text = fs::read_to_string(folder.join(NAME)).unwrap_or_default();
    let mut results = Results::new();
    for line in text.lines() {
        let cells: Vec<&str> =
            line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [name, version, mode, _, result, interruption, _] = cells[..] else { continue };
        if entries.iter().any(|(known, entry)| known == name && entry.version() == version) {
            let result = (result.to_owned(), interruption.to_owned());
            results.insert((name.to_owned(), mode.to_owned()), result);
        }
    }
    results
}

/// Writes the page.
pub(super) fn write(folder: &Path, entries: &[(String, Entry)], results: &Results) -> Result<()> {
    let mut text = HEAD.to_owned() + COLUMNS;
    for (name, entry) in entries {
        for mode in &entry.modes {
            let key = (name.clone(), mode.name().to_owned());
            let not_run = ("not run".to_owned(), String::new());
            let (result, interruption) = results.get(&key).unwrap_or(&not_run);
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {result} | {interruption} | {} |",
                entry.version(),
                mode.name(),
                entry.job,
                entry.note
            );
        }
    }
    let path = folder.join(NAME);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A result as a cell of the table.
pub(super) fn cell(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    let line = text.replace(['|', '\n', '`'], " ");
    line.chars().take(CHARS_MAX).collect::<String>().trim().to_owned()
}

/// An interruption in coarse steps: the page does not change with every run.
pub(super) fn interruption(milliseconds: u64) -> &'static str {
    match milliseconds {
        0..500 => "none",
        500..1_000 => "< 1 s",
        1_000..3_000 => "< 3 s",
        3_000..10_000 => "< 10 s",
        _ => "≥ 10 s",
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    #[test]
    fn results_are_kept_until_the_version_changes() {
        let folder = std::env::temp_dir().join(format!("convoke-page-{}", std::process::id()));
        let scripts = folder.join("go");
        fs::create_dir_all(&scripts).unwrap();
        fs::write(scripts.join("s"), "").unwrap();
        let entries = |version: &str| {
            let text = format!(
                "[x]\necosystem = 'go'\npackages = ['x v{version}']\nscript = 's'\n\
                 modes = ['one', 'cluster']\njob = 'j'"
            );
            fs::write(folder.join("table.toml"), text).unwrap();
            table::read(&folder).unwrap()
        };
        let key = |mode: &str| ("x".to_owned(), mode.to_owned());
        let ok = ("ok".to_owned(), "< 1 s".to_owned());
        let first = Results::from([(key("one"), ok.clone())]);
        write(&folder, &entries("1"), &first).unwrap();
        let again = read(&folder, &entries("1"));
        assert_eq!(again[&key("one")], ok);
        assert_eq!(again[&key("cluster")].0, "not run");
        assert!(read(&folder, &entries("2")).is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_message_fits_into_a_cell() {
        assert_eq!(cell("a | b\nc `d`"), "a   b c  d");
        assert_eq!(cell(&"é".repeat(1_000)).chars().count(), 160);
    }
}
