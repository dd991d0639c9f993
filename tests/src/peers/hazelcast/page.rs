//! The comparison as a Markdown page.

use std::fmt::Write as _;

use super::{Comparison, Difference, VERSION};

impl Comparison {
    /// The page, as Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        let values: usize = self.files.iter().map(|file| file.values).sum();
        let differing: usize = self.files.iter().map(|file| file.differences.len()).sum();
        let mut page = format!(
            "# Configuration files of Hazelcast: Hazelcast {VERSION} and Convoke\n\
             \n\
             Written by `cargo xtask peers hazelcast`. It loads each file of [`corpus`](corpus) with\n\
             Hazelcast {VERSION} ([`Effective.java`](Effective.java); no member is started), records the\n\
             effective values in [`recorded.txt`](recorded.txt), and compares each with what\n\
             `convoke config convert` makes of the file. `cargo xtask test` compares Convoke with the\n\
             recorded values again, without a JVM.\n\
             \n\
             | files | values | equal | different on purpose |\n\
             |---|---|---|---|\n\
             | {} | {values} | {} | {differing} |\n",
            self.files.len(),
            values - differing,
        );
        self.add_reasons(&mut page);
        self.add_files(&mut page);
        page
    }

    /// Adds the differences grouped by reason, in the order of their first occurrence.
    fn add_reasons(&self, page: &mut String) {
        page.push_str(
            "\n## Different on purpose\n\n\
             `listed`: the log of the start and `convoke config check` name the setting as not\n\
             honoured. `-`: no value.\n",
        );
        let mut by_reason: Vec<(&str, Vec<&Difference>)> = Vec::new();
        for difference in self.files.iter().flat_map(|file| &file.differences) {
            match by_reason.iter_mut().find(|(reason, _)| *reason == difference.reason) {
                Some((_, differences)) => differences.push(difference),
                None => by_reason.push((&difference.reason, vec![difference])),
            }
        }
        for (reason, differences) in by_reason {
            let _ = write!(
                page,
                "\n{reason}\n\n| file | value | Hazelcast | Convoke |\n|---|---|---|---|\n"
            );
            let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
            for Difference { file, value, theirs, ours, .. } in differences {
                let [value, theirs, ours] = [value, theirs, ours].map(|text| cell(text));
                let row = format!("{value} | {theirs} | {ours}");
                match rows.iter_mut().find(|(known, _)| *known == row) {
                    Some((_, files)) => files.push(file),
                    None => rows.push((row, vec![file])),
                }
            }
            for (row, files) in rows {
                let files = match files.len() {
                    0..=FILES_NAMED_MAX => files.join(", "),
                    count => format!("{count} files"),
                };
                let _ = writeln!(page, "| {files} | {row} |");
            }
        }
    }

    fn add_files(&self, page: &mut String) {
        page.push_str(
            "\n## Files\n\n| file | values | equal | different on purpose |\n|---|---|---|---|\n",
        );
        for file in &self.files {
            let differing = file.differences.len();
            let equal = file.values - differing;
            let _ = writeln!(page, "| {} | {} | {equal} | {differing} |", file.file, file.values);
        }
    }
}

/// Maximum number of files named in one row.
const FILES_NAMED_MAX: usize = 4;

/// Maximum length of a cell, in characters.
const CELL_CHARS: usize = 160;

/// Escapes a text for a table cell, and shortens it.
fn cell(text: &str) -> String {
    let short: String = text.chars().take(CELL_CHARS).collect();
    let more = if text.chars().count() > CELL_CHARS { "…" } else { "" };
    format!("`{}{more}`", short.replace('|', "\\|").replace('`', "'"))
}
