//! Other programs: run, listen to, give up on.

use std::env;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::workspace::Workspace;

/// How often a program with a time limit is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What `cargo run` says of this program's own package begins with these.
const OF_THIS_PACKAGE: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that runs this program, in the workspace's root.
///
/// It gets the environment that xtask was started with. With more variables, crates whose build
/// scripts watch them, such as ring, and all their dependents would be rebuilt each time
/// `cargo xtask` follows another cargo command.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&workspace.root);
    for (name, _) in env::vars_os() {
        let is_added = |name: &str| OF_THIS_PACKAGE.iter().any(|start| name.starts_with(start));
        if name.to_str().is_some_and(is_added) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a program that speaks for itself; an error names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    succeeded(command, status)
}

/// Runs a program for what it prints; an error carries what it complained of.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(complaint(command, &output.stderr))
    }
}

/// Runs a program for what it prints, while its complaints are shown.
pub(crate) fn listen(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let child = command.spawn().map_err(|error| cannot_start(command, &error))?;
    let output = child.wait_with_output().map_err(|error| cannot_start(command, &error))?;
    succeeded(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program that speaks for itself, and prints all that it said in one piece, under
/// a heading.
pub(crate) fn run_apart(heading: &str, command: &mut Command) -> Result<()> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    let [said, complained] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("{heading}\n{said}{complained}");
    succeeded(command, output.status)
}

/// Runs a program for its effect, and ends it when it takes too long.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| cannot_start(command, &error))?;
    let mut stderr = child.stderr.take();
    // Read beside the wait: a full pipe would block the program.
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(stderr) = &mut stderr {
            let _ = stderr.read_to_end(&mut text);
        }
        text
    });
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let stderr = reader.join().unwrap_or_default();
                return if status.success() { Ok(()) } else { Err(complaint(command, &stderr)) };
            }
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{} took longer than {limit:?}", in_words(command)));
            }
            Err(error) => return Err(format!("waiting for {}: {error}", in_words(command))),
        }
    }
}

/// The file a program name stands for on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", in_words(command)))
    }
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("{} cannot be started: {error}", in_words(command))
}

/// What a failed program complained of: the line that calls itself an error,
/// else the last one.
fn complaint(command: &Command, stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("error:") || line.starts_with("E:");
    let line = lines.clone().find(is_error).or_else(|| lines.next_back());
    format!("{} failed: {}", in_words(command), line.unwrap_or("no output"))
}

/// A command as somebody would type it.
fn in_words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> =
        [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let error = run_within(&mut shell("exec sleep 60"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "`sh -c exec sleep 60` took longer than 50ms");
    }

    #[test]
    fn a_failure_carries_the_complaint() {
        let script = "echo error: this >&2; echo 0: a frame of a backtrace >&2; exit 1";
        let expected = format!("`sh -c {script}` failed: error: this");
        assert_eq!(output(&mut shell(script)), Err(expected));

        let script = "echo first >&2; echo last >&2; echo >&2; exit 3";
        let expected = format!("`sh -c {script}` failed: last");
        assert_eq!(run_within(&mut shell(script), Duration::from_secs(10)), Err(expected.clone()));
        assert_eq!(output(&mut shell(script)), Err(expected));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.starts_with("`no-such-program` cannot be started: "), "{error}");
        assert_eq!(find("no-such-program"), None);
    }
}
