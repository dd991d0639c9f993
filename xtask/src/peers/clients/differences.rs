//! The differences on purpose.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Compared;
use crate::Result;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differences {
    /// In the order of the page.
    #[serde(default)]
    pub(super) difference: Vec<Difference>,
}

/// Cases with outcomes that differ for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    /// Names of cases; `*` stands for any characters. Each of them differs.
    pub(super) cases: Vec<String>,
    /// The languages in which they differ; all that have the case if there are none.
    #[serde(default)]
    languages: Vec<String>,
    /// A sentence for the page.
    pub(super) reason: String,
}

impl Difference {
    /// Whether it lists a case.
    pub(super) fn lists(&self, language: &str, case: &str) -> bool {
        (self.languages.is_empty() || self.languages.iter().any(|name| name == language))
            && self.cases.iter().any(|pattern| matches(pattern, case))
    }
}

impl Differences {
    /// The entry that lists a case.
    fn entry(&self, language: &str, case: &str) -> Option<&Difference> {
        self.difference.iter().find(|difference| difference.lists(language, case))
    }

    /// What is wrong with a case, if anything.
    fn problem(
        &self,
        language: &str,
        (case, hazelcast, convoke): (&str, Option<&str>, Option<&str>),
    ) -> Option<String> {
        let show = |outcome: Option<&str>| outcome.unwrap_or("not run").to_owned();
        match (hazelcast == convoke, self.entry(language, case)) {
            (true, None) | (false, Some(_)) => None,
            (true, Some(_)) => Some(format!(
                "{language} {case} is listed in differences.toml, and is equal: {}",
                show(hazelcast)
            )),
            (false, None) => Some(format!(
                "{language} {case}\n  Hazelcast: {}\n  Convoke:   {}",
                show(hazelcast),
                show(convoke)
            )),
        }
    }

    /// The cases with a problem.
    pub(super) fn suspects(&self, compared: &Compared) -> Vec<String> {
        compared
            .cases()
            .filter(|case| self.problem(compared.language, *case).is_some())
            .map(|(name, ..)| name.to_owned())
            .collect()
    }

    /// All problems; patterns that match nothing are one unless only some cases were run.
    pub(super) fn problems(&self, all: &[Compared], chosen: &[String]) -> Vec<String> {
        let mut problems: Vec<String> = all
            .iter()
            .flat_map(|compared| {
                compared.cases().filter_map(|case| self.problem(compared.language, case))
            })
            .collect();
        let is_run = |language: &str| all.iter().any(|compared| compared.language == language);
        for difference in &self.difference {
            let is_run = match &difference.languages[..] {
                [] => all.len() == super::LANGUAGES.len(),
                names => names.iter().all(|name| is_run(name)),
            };
            for pattern in difference.cases.iter().filter(|_| is_run && chosen.is_empty()) {
                let is_used = all.iter().any(|compared| {
                    let mut names = compared.cases().map(|(name, ..)| name);
                    names.any(|name| {
                        matches(pattern, name) && difference.lists(compared.language, name)
                    })
                });
                if !is_used {
                    problems.push(format!("differences.toml: there is no case {pattern}"));
                }
            }
        }
        problems
    }
}

/// Reads the table.
pub(super) fn read(folder: &Path) -> Result<Differences> {
    let path = folder.join("differences.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether a name matches a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(start) else { return false };
    let mut ends = (0..=name.len()).filter(|&end| name.is_char_boundary(end));
    ends.any(|end| matches(rest, &name[end..]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn compared(hazelcast: &[(&str, &str)], convoke: &[(&str, &str)]) -> Compared {
        let outcomes = |all: &[(&str, &str)]| {
            let owned = all.iter().map(|&(name, text)| (name.to_owned(), text.to_owned()));
            owned.collect::<BTreeMap<_, _>>()
        };
        Compared { language: "java", hazelcast: outcomes(hazelcast), convoke: outcomes(convoke) }
    }

    fn table(text: &str) -> Differences {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_table_of_the_repository_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/hazelcast-clients");
        assert!(!read(&folder).unwrap().difference.is_empty());
    }

    #[test]
    fn a_star_matches_any_characters() {
        assert!(matches("map.query-*-regex*", "map.query-json-regex-wrong"));
        assert!(matches("map.*", "map."));
        assert!(!matches("map.query-*-regex", "map.query-json-regex-wrong"));
        assert!(!matches("map", "maps"));
    }

    #[test]
    fn differences_are_listed_and_what_is_listed_differs() {
        let all = compared(&[("a", "1"), ("b", "1"), ("c", "1")], &[("a", "1"), ("b", "2")]);
        let differences = table("[[difference]]\ncases = ['a', 'b']\nreason = 'r'");
        assert_eq!(differences.suspects(&all), ["a", "c"]);
        let problems = differences.problems(&[all], &["a".to_owned()]);
        assert!(problems[0].contains("is listed in differences.toml"), "{problems:?}");
        assert_eq!(problems[1], "java c\n  Hazelcast: 1\n  Convoke:   not run");
    }

    #[test]
    fn an_entry_may_be_limited_to_languages() {
        let all = compared(&[("a", "1")], &[("a", "2")]);
        let text = "[[difference]]\ncases = ['a', 'x']\nlanguages = ['go']\nreason = 'r'";
        assert_eq!(table(text).suspects(&all), ["a"]);
        assert!(table(&text.replace("go", "java")).suspects(&all).is_empty());
        let problems = table(&text.replace("go", "java")).problems(&[all], &[]);
        assert_eq!(problems, ["differences.toml: there is no case x"]);
    }
}
