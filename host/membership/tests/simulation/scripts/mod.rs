//! Scenario scripts: `tests/scripts/*.txt` have the commands of a scenario and what its members
//! report. `tests/scripts/README.md` describes the format.
//!
//! - [`commands`]: what each command does
//! - [`texts`]: how events and views are written

mod commands;
mod texts;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use commands::Cluster;

/// Separates the commands of a block from their output.
const SEPARATOR: &str = "----";

/// The scripts, sorted by name.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(&folder).expect("the folder of scripts");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    let mut scripts: Vec<_> = paths.filter(is_script).collect();
    scripts.sort();
    scripts
}

/// Runs a script, and returns it with the output that its commands have now.
///
/// # Errors
/// The line, counted from 1, and what is wrong with it.
fn run(text: &str) -> Result<String, (usize, String)> {
    let mut cluster = Cluster::new();
    let (mut now, mut output, mut has_commands) = (String::new(), String::new(), false);
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let is_separator = line == SEPARATOR;
        if is_separator {
            if !has_commands {
                return Err((number, format!("{SEPARATOR} has to follow a command")));
            }
            while lines.next_if(|(line, _)| !line.is_empty()).is_some() {}
        } else {
            now.push_str(line);
            now.push('\n');
            if !line.is_empty() && !line.starts_with('#') {
                output += &cluster.execute(line).map_err(|what| (number, what))?;
                has_commands = true;
            }
        }
        // A block ends at an empty line, at the separator, or with the script.
        let ends = is_separator || lines.peek().is_none_or(|(line, _)| line.is_empty());
        let is_answered = !is_separator && lines.peek().is_some_and(|(line, _)| *line == SEPARATOR);
        if ends && !is_answered && has_commands {
            if !output.is_empty() {
                let _ = write!(now, "{SEPARATOR}\n{output}");
            }
            (output, has_commands) = (String::new(), false);
            cluster.end_block();
        }
    }
    Ok(now)
}

/// The first difference between what a script has and what its commands print now.
fn difference(script: &str, now: &str) -> Option<String> {
    let (mut old, mut new) = (script.lines(), now.lines());
    (1..).find_map(|number| match (old.next(), new.next()) {
        (None, None) => Some(None),
        (old, new) if old == new => None,
        (old, new) => {
            let text =
                |line: Option<&str>| line.map_or("the end".into(), |line| format!("{line:?}"));
            Some(Some(format!("{number}: expected {}, got {}", text(old), text(new))))
        }
    })?
}

/// Compares the output of each script with what it has. `REWRITE=1` writes the output instead.
#[test]
fn scripts_have_the_output_of_their_commands() {
    let rewrites = std::env::var_os("REWRITE").is_some();
    let mut wrong = Vec::new();
    for path in scripts() {
        let name = format!("tests/scripts/{}", path.file_name().expect("a file").display());
        let script = std::fs::read_to_string(&path).expect("a script is UTF-8 text");
        let now = match run(&script) {
            Ok(now) => now,
            Err((number, what)) => {
                wrong.push(format!("{name}:{number}: {what}"));
                continue;
            }
        };
        assert_eq!(run(&script).as_ref(), Ok(&now), "{name}: two runs differ");
        if rewrites {
            std::fs::write(&path, now).expect("writes the script");
        } else if let Some(difference) = difference(&script, &now) {
            wrong.push(format!("{name}:{difference}"));
        }
    }
    let remedy = "if this is what should happen: REWRITE=1 writes the output again";
    assert!(wrong.is_empty(), "{}\n{remedy}", wrong.join("\n"));
}

#[test]
fn output_replaces_what_follows_the_separator() {
    let alone = "# Alone.\nstart a\nviews\n----\na: view 1.1 [a]\n";
    let no_output = "start a\n\nadvance 1s\nviews\n";
    assert_eq!(run("# Alone.\nstart a\nadvance 1s\n\nviews\n----\nold\nold\n\n# End.\n"), {
        let now = "# Alone.\nstart a\nadvance 1s\n----\n+10ms a: this member is the first of its \
                   cluster (view 1.1) [a]\n\nviews\n----\na: view 1.1 [a]\n\n# End.\n";
        Ok(now.into())
    });
    let now = run(no_output).expect("a sound script");
    assert_eq!(run(&now), Ok(now));
    assert!(difference(alone, alone).is_none());
    let expected = "5: expected \"a: view 1.1 [a]\", got \"a: view 1.2 [a]\"";
    assert_eq!(difference(alone, &alone.replace("1.1", "1.2")).as_deref(), Some(expected));
}

#[test]
fn errors_name_the_line_and_what_is_expected() {
    for (script, number, expected) in [
        ("# No command.\n----\nold\n", 2, "---- has to follow a command"),
        ("start a\n\nstop a\n", 3, "unknown command \"stop\"; known are start, "),
        ("crash a\n", 1, "crash: there is no member \"a\""),
        ("start\n", 1, "start: expected a member"),
        ("start a\nstart a\n", 2, "start: a is running already"),
        ("start A\n", 1, "start: expected a member"),
        ("start a B\n", 1, "start: \"B\" is not a name: expected lower-case letters and digits"),
        ("start a colour=red\n", 1, "start: unknown option \"colour\"; known are "),
        ("start a partitions=many\n", 1, "start: partitions=many: expected a number"),
        ("start a finds=b\n", 1, "start: there is no member \"b\""),
        ("start a address=b\n", 1, "start: \"b\" is not an IP address"),
        ("advance 3\n", 1, "advance: \"3\" is not a time: expected a number and ms, s, m or h"),
        ("advance 3s more\n", 1, "advance: unexpected \"more\""),
        ("advance\n", 1, "advance: expected an argument"),
        ("start a\ncrash a\ncrash a\n", 3, "crash: a is not running"),
        ("start a\npause a 1s\nleave a\n", 3, "leave: a is paused"),
        ("start a b\npartition a b\n", 2, "partition: expected two sides or more"),
        ("start a b\npartition a | a\n", 2, "partition: a is listed twice"),
        ("start a b c\npartition a | b\n", 2, "partition: c is on no side"),
        ("start a b\nfirewall a icmp\n", 2, "firewall: unknown protocol \"icmp\"; known are "),
        ("start a\nunplug a\ncrash a\nrestart a\n", 4, "restart: the host of a has no network"),
        ("start a\n views\nheal a\n", 3, "heal: unexpected \"a\""),
    ] {
        let (at, what) = run(script).expect_err(script);
        assert_eq!(at, number, "{script:?}: {what}");
        assert!(what.starts_with(expected), "{script:?}: {what}");
    }
}
