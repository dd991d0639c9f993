//! The host's test binaries: built by cargo, run here.
//!
//! Cargo would run one after the other. But members wait more than they compute, and
//! simulations only compute: these go on beside the others, at the lowest priority.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::Result;
use crate::process::{listen, run, run_apart};
use crate::workspace::Workspace;

/// What a simulation's file is.
const SIMULATION: &str = "tests/simulation/main.rs";

/// Tests that run side by side, for each core: most wait for something more than they
/// compute.
pub(crate) const TESTS_PER_CORE: usize = 2;
/// The same of process tests, most of which wait for a permit (`tests/src/permit.rs`) and cost
/// nothing meanwhile.
pub(crate) const PROCESS_TESTS_PER_CORE: usize = 4;
/// As the harness of tests knows it.
const THREADS: &str = "RUST_TEST_THREADS";

/// One test binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    /// What it is made from, relative to the workspace.
    source: PathBuf,
    executable: PathBuf,
    /// Its package's, where it runs.
    folder: PathBuf,
}

/// Has cargo build all of them.
pub(crate) fn build(workspace: &Workspace, test: &mut Command) -> Result<Vec<Binary>> {
    let messages = listen(test.args(["--no-run", "--message-format=json-render-diagnostics"]))?;
    let mut binaries = read(&workspace.root, &messages);
    if binaries.is_empty() {
        return Err("cargo reported no test binary".to_owned());
    }
    // The last first: whole members, that leave the processor to simulations, come before
    // what computes itself.
    binaries.sort_by(|a, b| b.source.cmp(&a.source));
    Ok(binaries)
}

/// Limits the tests that run at a time to `per_core` for each core, unless the user chose a number.
pub(crate) fn side_by_side(test: &mut Command, per_core: usize) {
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        test.env(THREADS, (per_core * cores).to_string());
    }
}

/// Reads the messages of cargo about what it built, a JSON object per line.
fn read(root: &Path, messages: &str) -> Vec<Binary> {
    let binary = |line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        let is_test = message["profile"]["test"] == true;
        let source = path(&message["target"]["src_path"])?;
        Some(Binary {
            source: source.strip_prefix(root).unwrap_or(&source).to_owned(),
            executable: path(&message["executable"]).filter(|_| is_test)?,
            folder: path(&message["manifest_path"])?.parent()?.to_owned(),
        })
    };
    messages.lines().filter_map(binary).collect()
}

/// Runs all of them, even if some fail; `filter` is passed to each.
/// Returns those that failed.
pub(crate) fn run_all(binaries: &[Binary], filter: &[String]) -> Vec<String> {
    let (computing, waiting): (Vec<_>, Vec<_>) =
        binaries.iter().partition(|binary| binary.source.ends_with(SIMULATION));
    let failed = |(binary, result): (&&Binary, Result<()>)| {
        result.err().map(|error| format!("{}: {error}", binary.source.display()))
    };
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let results = computing.iter().map(|binary| (binary, binary.run_beside(filter)));
            results.filter_map(failed).collect::<Vec<_>>()
        });
        let results = waiting.iter().map(|binary| (binary, binary.run(filter)));
        let mut failed: Vec<_> = results.filter_map(failed).collect();
        failed.extend(beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        failed
    })
}

impl Binary {
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// Its package's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn heading(&self) -> String {
        format!("\n     Running {} ({})", self.source.display(), self.executable.display())
    }

    fn run(&self, filter: &[String]) -> Result<()> {
        println!("{}", self.heading());
        let mut test = Command::new(&self.executable);
        let is_process_test = self.source.starts_with("tests");
        side_by_side(
            &mut test,
            if is_process_test { PROCESS_TESTS_PER_CORE } else { TESTS_PER_CORE },
        );
        run(test.args(filter).current_dir(&self.folder))
    }

    /// Runs `cases` cases of each property test; the output is shown if it fails.
    pub(crate) fn run_cases(&self, cases: u32) -> Result<()> {
        let mut test = Command::new(&self.executable);
        test.env("PROPTEST_CASES", cases.to_string()).arg("--quiet").current_dir(&self.folder);
        println!("{}", self.heading());
        run(&mut test)
    }

    /// Out of the way of the others; what it prints comes in one piece, at its end.
    fn run_beside(&self, filter: &[String]) -> Result<()> {
        let mut test = Command::new("nice");
        test.args(["-n", "19"]).arg(&self.executable).args(filter).current_dir(&self.folder);
        side_by_side(&mut test, 1);
        run_apart(&self.heading(), &mut test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_binaries_are_read() {
        let artifact = |target: &str, profile: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/c/host/wire/Cargo.toml","target":{{"src_path":"/c/host/wire/{target}"}},"profile":{{"test":{profile}}},"executable":{executable}}}"#
            )
        };
        let messages = [
            artifact("src/lib.rs", "false", "null"),
            artifact("src/lib.rs", "true", r#""/t/wire-1""#),
            artifact("src/main.rs", "false", r#""/t/wire""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "no JSON".to_owned(),
        ];
        let wire = Binary {
            source: "host/wire/src/lib.rs".into(),
            executable: "/t/wire-1".into(),
            folder: "/c/host/wire".into(),
        };
        assert_eq!(read(Path::new("/c"), &messages.join("\n")), [wire]);
    }

    #[test]
    fn who_fails_is_named_and_nobody_is_left_out() {
        let binary = |source: &str, executable: &str| Binary {
            source: source.into(),
            executable: executable.into(),
            folder: "/".into(),
        };
        let all = [
            binary("a/tests/simulation/main.rs", "/bin/false"),
            binary("a/src/lib.rs", "/bin/false"),
            binary("b/src/lib.rs", "/bin/true"),
            binary("b/tests/simulation/main.rs", "/bin/true"),
        ];
        let failed = run_all(&all, &[]);
        let expected = ["a/src/lib.rs: `false`", "a/tests/simulation/main.rs: `nice -n 19"];
        assert_eq!(failed.len(), expected.len(), "{failed:?}");
        for (failed, expected) in failed.iter().zip(expected) {
            assert!(failed.starts_with(expected), "{failed}");
        }
    }
}
