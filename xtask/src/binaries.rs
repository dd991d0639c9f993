//! Test binaries of the host's workspace: built by cargo, run here.
//!
//! Cargo would run them one after the other. Process tests mostly wait, while simulations only
//! compute, so simulations run in parallel with the other binaries, at the lowest priority.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::Result;
use crate::process::{output_with_stderr, run, run_buffered};
use crate::workspace::Workspace;

/// Path, within its crate, of the source of each simulation binary.
const SIMULATION: &str = "tests/simulation/main.rs";

/// Tests that run in parallel, per core, in a binary. More than one, because most wait more than
/// they compute.
pub(crate) const TESTS_PER_CORE: usize = 2;
/// Process tests that run in parallel, per core. Most of them wait for a permit
/// (`tests/src/permit.rs`) and use no processor time meanwhile.
pub(crate) const PROCESS_TESTS_PER_CORE: usize = 4;
/// Environment variable of Rust's test harness: the number of tests that run in parallel.
const THREADS: &str = "RUST_TEST_THREADS";

/// One test binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    /// The source of its crate root, relative to the workspace.
    source: PathBuf,
    executable: PathBuf,
    /// The folder of its package, in which it runs.
    folder: PathBuf,
}

/// Builds the test binaries that `test` selects, and lists them.
pub(crate) fn build(workspace: &Workspace, test: &mut Command) -> Result<Vec<Binary>> {
    let messages =
        output_with_stderr(test.args(["--no-run", "--message-format=json-render-diagnostics"]))?;
    let mut binaries = read(&workspace.root, &messages);
    if binaries.is_empty() {
        return Err("cargo reported no test binary".to_owned());
    }
    // In reverse order: `tests/…` comes first. Its members leave the processor idle for
    // simulations, unlike `host/…`, whose unit tests compute.
    binaries.sort_by(|a, b| b.source.cmp(&a.source));
    Ok(binaries)
}

/// Limits the number of parallel tests to `per_core` per core, unless the user has set one.
pub(crate) fn limit_parallel_tests(test: &mut Command, per_core: usize) {
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

/// Runs all of them, even if some fail; `filter` is passed to each. Returns a message for each that
/// failed.
pub(crate) fn run_all(binaries: &[Binary], filter: &[String]) -> Vec<String> {
    let (computing, waiting): (Vec<_>, Vec<_>) =
        binaries.iter().partition(|binary| binary.source.ends_with(SIMULATION));
    let failed = |(binary, result): (&&Binary, Result<()>)| {
        result.err().map(|error| format!("{}: {error}", binary.source.display()))
    };
    thread::scope(|scope| {
        let background = scope.spawn(|| {
            let results = computing.iter().map(|binary| (binary, binary.run_in_background(filter)));
            results.filter_map(failed).collect::<Vec<_>>()
        });
        let results = waiting.iter().map(|binary| (binary, binary.run(filter)));
        let mut failed: Vec<_> = results.filter_map(failed).collect();
        failed.extend(background.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        failed
    })
}

impl Binary {
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// The folder of its package.
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
        limit_parallel_tests(
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

    /// Runs at the lowest priority; its output is printed at once when it ends.
    fn run_in_background(&self, filter: &[String]) -> Result<()> {
        let mut test = Command::new("nice");
        test.args(["-n", "19"]).arg(&self.executable).args(filter).current_dir(&self.folder);
        limit_parallel_tests(&mut test, 1);
        run_buffered(&self.heading(), &mut test)
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
    fn all_binaries_run_and_those_that_fail_are_reported() {
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
