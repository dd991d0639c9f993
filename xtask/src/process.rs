//! Runs other programs and captures their output, with time limits.

use std::env;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::workspace::Workspace;

/// Polling interval while a program with a time limit runs.
const POLL: Duration = Duration::from_millis(20);

/// Prefixes of the variables that `cargo run` sets for xtask's own package.
const PACKAGE_VARIABLES: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that runs this program, in the workspace's root.
///
/// It gets the environment that xtask was started with. With more variables, crates whose build
/// scripts watch them, such as ring, and all their dependents would be rebuilt each time `cargo
/// xtask` follows another cargo command.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&workspace.root);
    for (name, _) in env::vars_os() {
        let is_added = |name: &str| PACKAGE_VARIABLES.iter().any(|start| name.starts_with(start));
        if name.to_str().is_some_and(is_added) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a program with inherited output. The error contains the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    succeeded(command, status)
}

/// Runs a program and returns its standard output. The error contains its error message.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failure(command, &output.stderr))
    }
}

/// Runs a program and returns its standard output, with standard error inherited.
pub(crate) fn output_with_stderr(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let child = command.spawn().map_err(|error| cannot_start(command, &error))?;
    let output = child.wait_with_output().map_err(|error| cannot_start(command, &error))?;
    succeeded(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and prints its output under a heading when it ends, not interleaved with that of
/// other programs.
pub(crate) fn run_buffered(heading: &str, command: &mut Command) -> Result<()> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("{heading}\n{stdout}{stderr}");
    succeeded(command, output.status)
}

/// Runs a program, discards its output, and kills it after `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| cannot_start(command, &error))?;
    let mut stderr = child.stderr.take();
    // In a thread: a full pipe would block the program.
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
                return if status.success() { Ok(()) } else { Err(failure(command, &stderr)) };
            }
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{} took longer than {limit:?}", command_line(command)));
            }
            Err(error) => return Err(format!("waiting for {}: {error}", command_line(command))),
        }
    }
}

/// The path of a program on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", command_line(command)))
    }
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("{} cannot be started: {error}", command_line(command))
}

/// The error message of a failed program: the first line of its standard error that begins like an
/// error, or else the last line.
fn failure(command: &Command, stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("error:") || line.starts_with("E:");
    let line = lines.clone().find(is_error).or_else(|| lines.next_back());
    format!("{} failed: {}", command_line(command), line.unwrap_or("no output"))
}

/// A command as it would be typed in a shell, in backquotes.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let args: Vec<_> =
        [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    format!("`{}`", args.join(" "))
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
    fn a_program_is_killed_after_the_time_limit() {
        let error = run_within(&mut shell("exec sleep 60"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "`sh -c exec sleep 60` took longer than 50ms");
    }

    #[test]
    fn an_error_contains_the_error_message() {
        let script = "echo error: this >&2; echo 0: a frame of a backtrace >&2; exit 1";
        let expected = format!("`sh -c {script}` failed: error: this");
        assert_eq!(output(&mut shell(script)), Err(expected));

        let script = "echo first >&2; echo last >&2; echo >&2; exit 3";
        let expected = format!("`sh -c {script}` failed: last");
        assert_eq!(run_within(&mut shell(script), Duration::from_secs(10)), Err(expected.clone()));
        assert_eq!(output(&mut shell(script)), Err(expected));
    }

    #[test]
    fn the_error_names_a_missing_program() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.starts_with("`no-such-program` cannot be started: "), "{error}");
        assert_eq!(find("no-such-program"), None);
    }
}
