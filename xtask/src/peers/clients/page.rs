//! The page with the comparison.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::differences::{Difference, Differences};
use super::{Compared, LANGUAGES};
use crate::Result;

/// Maximum length of an outcome on the page, in characters.
const OUTCOME_CHARS_MAX: usize = 160;

/// Numbers of cases.
#[derive(Default)]
struct Counts {
    all: usize,
    equal: usize,
    listed: usize,
    open: usize,
}

/// Writes the page.
pub(super) fn write(folder: &Path, all: &[Compared], differences: &Differences) -> Result<()> {
    let path = folder.join("README.md");
    fs::write(&path, text(all, differences)).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(all: &[Compared], differences: &Differences) -> String {
    let versions: Vec<&str> =
        LANGUAGES.iter().flat_map(|language| language.packages).copied().collect();
    let mut page = format!(
        "# Clients of Hazelcast: members of Hazelcast 5.7.0 and of Convoke\n\n\
         Written by `cargo xtask peers hazelcast-clients`. Clients in four languages run the cases of\n\
         [`java`](java), [`python`](python), [`node`](node) and [`go`](go) on three members of Hazelcast\n\
         and on three members of Convoke. A case prints what each of its operations returned; the\n\
         command compares the lines, and fails if one differs that is not in\n\
         [`differences.toml`](differences.toml). The members of Hazelcast have the classes of the cases\n\
         in Java.\n\n\
         Packages: `{}`.\n\n\
         | language | structure | cases | equal | different on purpose | other |\n\
         |---|---|---|---|---|---|\n",
        versions.join("`, `")
    );
    let mut total = Counts::default();
    for compared in all {
        let mut by_structure: BTreeMap<&str, Counts> = BTreeMap::new();
        for (name, hazelcast, convoke) in compared.cases() {
            let structure = name.split('.').next().unwrap_or(name);
            let is_listed =
                differences.difference.iter().any(|entry| entry.lists(compared.language, name));
            for counts in [by_structure.entry(structure).or_default(), &mut total] {
                counts.all += 1;
                match (hazelcast == convoke, is_listed) {
                    (true, _) => counts.equal += 1,
                    (false, true) => counts.listed += 1,
                    (false, false) => counts.open += 1,
                }
            }
        }
        for (structure, counts) in &by_structure {
            row(&mut page, compared.language, structure, counts);
        }
    }
    row(&mut page, "all", "all", &total);
    page.push_str("\n## Different on purpose\n\nOnly the results that differ are shown.\n");
    for entry in &differences.difference {
        let _ = write!(page, "\n{}\n\n", entry.reason);
        table(&mut page, all, |language, name| entry.lists(language, name));
    }
    if total.open > 0 {
        page.push_str("\n## Other differences\n\n");
        let is_open = |language: &str, name: &str| {
            !differences.difference.iter().any(|entry: &Difference| entry.lists(language, name))
        };
        table(&mut page, all, is_open);
    }
    page
}

fn row(page: &mut String, language: &str, structure: &str, counts: &Counts) {
    let Counts { all, equal, listed, open } = counts;
    let _ = writeln!(page, "| {language} | {structure} | {all} | {equal} | {listed} | {open} |");
}

/// The outcomes of cases that differ; those of several languages with the same results are one row.
fn table(page: &mut String, all: &[Compared], is_wanted: impl Fn(&str, &str) -> bool) {
    page.push_str("| case | language | Hazelcast | Convoke |\n|---|---|---|---|\n");
    let mut rows: BTreeMap<(&str, String, String), Vec<&str>> = BTreeMap::new();
    for compared in all {
        for (name, hazelcast, convoke) in compared.cases() {
            if hazelcast != convoke && is_wanted(compared.language, name) {
                let (one, two) =
                    differing(hazelcast.unwrap_or("not run"), convoke.unwrap_or("not run"));
                rows.entry((name, one, two)).or_default().push(compared.language);
            }
        }
    }
    for ((name, hazelcast, convoke), languages) in rows {
        let languages = languages.join(", ");
        let _ = writeln!(page, "| {name} | {languages} | `{hazelcast}` | `{convoke}` |");
    }
}

/// The results that differ, if there are as many; otherwise all.
fn differing(one: &str, two: &str) -> (String, String) {
    let (ones, twos): (Vec<&str>, Vec<&str>) =
        (one.split("; ").collect(), two.split("; ").collect());
    if ones.len() != twos.len() {
        return (cell(one), cell(two));
    }
    let pairs: Vec<(&str, &str)> =
        ones.into_iter().zip(twos).filter(|(one, two)| one != two).collect();
    let joined = |part: fn(&(&str, &str)) -> String| {
        let texts: Vec<String> = pairs.iter().map(part).collect();
        cell(&texts.join("; "))
    };
    (joined(|(one, _)| (*one).to_owned()), joined(|(_, two)| (*two).to_owned()))
}

/// A text in a cell of a table, as code.
fn cell(text: &str) -> String {
    let mut cell: String = text.chars().take(OUTCOME_CHARS_MAX).collect();
    if cell.len() < text.len() {
        cell.push('…');
    }
    cell.replace('|', "\\|").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_that_differ_are_shown() {
        assert_eq!(differing("1; a; 3; x", "1; b; 3; y"), ("a; x".to_owned(), "b; y".to_owned()));
        assert_eq!(differing("1; 2", "1"), ("1; 2".to_owned(), "1".to_owned()));
        assert_eq!(cell("a|b`c"), "a\\|b'c");
    }
}
