//! Scenario scripts: what a cluster does with data in one situation after the other, as text files
//! with the expected output. README.md describes their format.
//!
//! `REWRITE=1 cargo test -p convoke-grid --test scripts` writes the outputs again; look at the
//! difference before it is committed.

// The members, their network and their grids are those of the simulation.
#[path = "../../../membership/tests/simulation/network.rs"]
mod network;
#[path = "../simulation/oracle.rs"]
#[allow(dead_code, reason = "shared: scripts state what reads return")]
mod oracle;
#[path = "../simulation/store.rs"]
#[allow(dead_code, reason = "shared: not all of it is used here")]
mod store;
#[path = "../../../membership/tests/simulation/world.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "shared: not all of it is used here")]
mod world;

mod cluster;
mod command;
mod script;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use cluster::{OK, Runner};
use script::{LineError, Part};

#[test]
fn scripts_give_their_outputs() {
    let is_rewritten = std::env::var_os("REWRITE").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let paths = scripts(&folder);
    assert!(!paths.is_empty(), "no script in {}", folder.display());
    let mut problems = Vec::new();
    for path in paths {
        let before = std::fs::read_to_string(&path).expect("a readable script");
        let checked = match run(&before, is_rewritten) {
            Ok((after, _)) if is_rewritten => {
                if after != before {
                    std::fs::write(&path, after).expect("a writable script");
                }
                Vec::new()
            }
            Ok((_, differences)) => differences,
            Err(error) => vec![error],
        };
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path).display();
        problems.extend(checked.into_iter().map(|(line, text)| format!("{name}:{line}: {text}")));
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// All scripts in a folder, by name.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
    paths.sort();
    paths
}

/// Runs a script. Returns it with its real outputs, and each difference to the expected ones.
fn run(text: &str, is_rewritten: bool) -> Result<(String, Vec<LineError>), LineError> {
    let mut parts = script::parse(text, is_rewritten)?;
    // A wrong command is found before any other runs.
    let mut commands = VecDeque::new();
    for part in &parts {
        let Part::Step(step) = part else { continue };
        for (line, text) in (step.line..).zip(&step.commands) {
            commands.push_back((line, command::parse(text).map_err(|error| (line, error))?));
        }
    }
    let (mut runner, mut differences) = (Runner::default(), Vec::new());
    for part in &mut parts {
        let Part::Step(step) = part else { continue };
        let mut output = String::new();
        for (line, command) in commands.drain(..step.commands.len()) {
            output += &runner.run(command).map_err(|error| (line, error))?;
        }
        // Commands of which there is nothing to show need no line each.
        if output.lines().all(|line| line == OK) {
            output = format!("{OK}\n");
        } else {
            output = output.lines().filter(|l| *l != OK).map(|l| format!("{l}\n")).collect();
        }
        if output != step.output {
            let commands = step.commands.join("\n");
            let text = format!("\n{commands}\n--- expected\n{}+++ found\n{output}", step.output);
            differences.push((step.line, text));
        }
        step.output = output;
    }
    Ok((script::format(&parts), differences))
}

#[test]
fn an_error_names_its_line() {
    let error = |text: &str| run(text, false).expect_err("an error");
    assert_eq!(
        error("# Starts nothing.\nsafe\n----\n"),
        (2, "no cluster: the first command is \"start\"".into())
    );
    assert_eq!(
        error("start a\n----\nview a\n\nget b key\n----\n"),
        (5, "no member is named \"b\"".into())
    );
    assert_eq!(
        error("start a\n----\n\nadvance 1s\nheal now\n----\n"),
        (5, "left-over argument \"now\"".into())
    );
}

#[test]
fn each_output_that_differs_is_reported() {
    let text = "start a\n----\nview b\n\nput a k 1\nget a k\n----\n\nheal\nput a k 2\n----\nok\n";
    let (after, differences) = run(text, false).expect("no error");
    let lines: Vec<_> = differences.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 5]);
    assert!(differences[0].1.contains("--- expected\nview b\n+++ found\nview a\n"));
    assert!(differences[1].1.ends_with("--- expected\n+++ found\n1\n"));
    assert_eq!(run(&after, false).expect("no error"), (after.clone(), vec![]));
}
