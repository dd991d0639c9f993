//! Applications on pages of the documentation: the files that a reader would save.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::Result;

/// Begins and ends a code block. A block that is a file has its path after the language, such as
/// `java src/main/java/App.java`.
const FENCE: &str = "```";

/// What Maven builds an application from.
const PROJECT: &str = "pom.xml";

/// The files of an application.
#[derive(Debug)]
pub(super) struct Example {
    /// Paths relative to the application's folder, and texts.
    pub(super) files: Vec<(PathBuf, String)>,
}

impl Example {
    /// The application on a page.
    ///
    /// # Errors
    /// The page cannot be read, or has no `pom.xml`.
    pub(super) fn read(page: &Path) -> Result<Self> {
        let shown = page.display();
        let text = fs::read_to_string(page).map_err(|error| format!("{shown}: {error}"))?;
        let example = Self::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
        if example.project().is_none() {
            return Err(format!("{shown}: no code block is the file {PROJECT}"));
        }
        Ok(example)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut files = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(head) = line.strip_prefix(FENCE) else { continue };
            let mut file = String::new();
            loop {
                match lines.next() {
                    None => return Err(format!("the code block {head:?} does not end")),
                    Some(FENCE) => break,
                    Some(line) => file.extend([line, "\n"]),
                }
            }
            let Some((_, path)) = head.split_once(' ') else { continue };
            let path = PathBuf::from(path);
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(format!("{}: expected a path below the project", path.display()));
            }
            files.push((path, file));
        }
        Ok(Self { files })
    }

    fn project(&self) -> Option<&str> {
        let (_, text) = self.files.iter().find(|(path, _)| path == Path::new(PROJECT))?;
        Some(text)
    }

    /// Checks that the application uses this package, `group:artifact:version`.
    ///
    /// # Errors
    /// Its `pom.xml` does not name the artifact or the version.
    pub(super) fn check_package(&self, package: &str) -> Result<()> {
        let project = self.project().unwrap_or_default();
        let elements = ["groupId", "artifactId", "version"];
        for (element, value) in elements.iter().zip(package.split(':')) {
            let element = format!("<{element}>{value}</{element}>");
            if !project.contains(&element) {
                return Err(format!("{PROJECT} on its page has no {element}, of {package}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "text\n```sh\nmvn package\n```\n```xml pom.xml\n<artifactId>b</artifactId>\n\
        <groupId>a</groupId>\n<version>1</version>\n```\n```java src/App.java\nclass App {\n\n}\n```\n";

    #[test]
    fn named_blocks_are_files() {
        let example = Example::parse(PAGE).unwrap();
        let paths: Vec<_> = example.files.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["pom.xml", "src/App.java"]);
        assert_eq!(example.files[1].1, "class App {\n\n}\n");
    }

    #[test]
    fn a_block_without_end_or_outside_of_the_project_is_an_error() {
        assert!(Example::parse("```java App.java\nclass App {}\n").is_err());
        assert!(Example::parse("```java ../App.java\n```\n").is_err());
    }

    #[test]
    fn the_packages_of_the_table_are_those_of_the_page() {
        let example = Example::parse(PAGE).unwrap();
        assert_eq!(example.check_package("a:b:1"), Ok(()));
        let error = example.check_package("a:b:2").unwrap_err();
        assert_eq!(error, "pom.xml on its page has no <version>2</version>, of a:b:2");
    }
}
