//! Builder for processes of the binary: options, environment, host.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::binary;
use crate::cluster::Cluster;
use crate::journal::Output;
use crate::lab::Host;
use crate::member::Member;

/// A process to be started. By default it is a member of its cluster on loopback; each option that
/// is set replaces the default of the same name, in any of its spellings.
#[derive(Clone, Debug)]
#[must_use]
pub struct Launch<'a> {
    cluster: &'a Cluster,
    host: Option<Host>,
    label: Option<String>,
    subcommand: Vec<String>,
    defaults: Vec<(&'static str, Option<String>)>,
    given: Vec<(String, Option<String>)>,
    environment: Vec<(String, String)>,
    outputs: Option<PathBuf>,
}

/// The result of a process that has exited.
#[derive(Clone, Debug)]
pub struct CompletedProcess {
    /// The exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl CompletedProcess {
    /// The error line, without `error: `, of a process that refused to start.
    ///
    /// # Panics
    /// If the exit code is not 2, or there is not exactly one such line.
    #[track_caller]
    #[must_use]
    pub fn refusal(&self) -> &str {
        assert_eq!(self.status.code(), Some(2), "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let [line] = lines[..] else { panic!("one line, and no more: {:#?}", self.stderr) };
        let rest = line.strip_prefix("error: ");
        rest.unwrap_or_else(|| panic!("it begins with `error: `: {line:?}"))
    }
}

impl<'a> Launch<'a> {
    pub(crate) fn new(cluster: &'a Cluster, defaults: Vec<(&'static str, Option<String>)>) -> Self {
        Self {
            cluster,
            host: None,
            label: None,
            subcommand: Vec::new(),
            defaults,
            given: Vec::new(),
            environment: Vec::new(),
            outputs: None,
        }
    }

    /// Runs it on a host of a lab, with the host's address.
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self.default_to("--interfaces", host.address().to_string())
    }

    /// Uses another loopback address, such as `::1`.
    pub fn at(self, address: &str) -> Self {
        self.default_to("--interfaces", address.to_owned())
    }

    /// Its name in failures; by default `m1`, `m2` and so on.
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Adds an option with a value.
    pub fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.given.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Adds an option without a value.
    pub fn flag(mut self, name: &str) -> Self {
        self.given.push((name.to_owned(), None));
        self
    }

    /// Adds a `--cluster-mode`.
    pub fn mode(self, mode: impl Into<String>) -> Self {
        self.option("--cluster-mode", mode)
    }

    /// Removes the default value of an option.
    pub fn without(mut self, name: &str) -> Self {
        self.defaults.retain(|(default, _)| !is_same(default, name));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Writes both outputs to a file instead of the journal.
    pub fn outputs_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.outputs = Some(path.into());
        self
    }

    /// Sets the args before all options. Only the defaults named in `keep` are kept.
    pub fn subcommand(mut self, args: &[&str], keep: &[&str]) -> Self {
        self.subcommand = args.iter().map(|&arg| arg.to_owned()).collect();
        self.defaults.retain(|(default, _)| keep.contains(default));
        self
    }

    /// Starts a member, without waiting for it.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Member {
        let started = Instant::now();
        let mut child = self.spawn();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let journal = self.cluster.journal();
        let label = match self.label {
            Some(label) => label,
            None => format!("m{} (pid {})", self.cluster.next_number(), child.id()),
        };
        let index = match stdout.zip(stderr) {
            Some((stdout, stderr)) => journal.follow(&label, stdout, stderr),
            None => journal.follow(&label, io::empty(), io::empty()),
        };
        Member::new(child, started, index, journal.clone(), self.host)
    }

    /// Starts a process and waits until it exits.
    ///
    /// # Panics
    /// If it does not exit within `bound`; it is killed then.
    #[track_caller]
    #[must_use]
    pub fn run(self, bound: Duration) -> CompletedProcess {
        let mut member = self.start();
        let status = member.wait_exit(bound);
        let (stdout, stderr) =
            member.record(|record| (record.text(Output::Stdout), record.text(Output::Stderr)));
        CompletedProcess { status, stdout, stderr, took: member.started().elapsed() }
    }

    fn default_to(mut self, name: &'static str, value: String) -> Self {
        self.defaults.retain(|(default, _)| *default != name);
        self.defaults.push((name, Some(value)));
        self
    }

    fn output(&self) -> Stdio {
        let Some(path) = &self.outputs else { return Stdio::piped() };
        OpenOptions::new().append(true).open(path).expect("a file to write to").into()
    }

    fn spawn(&self) -> Child {
        let mut args: Vec<OsString> = Vec::new();
        if let Some(host) = &self.host {
            args.extend(["ip", "netns", "exec", host.namespace()].map(OsString::from));
        }
        if can_die_with_parent() {
            // A test that is killed cannot end its members.
            args.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        args.push(binary::convoke().into());
        args.extend(self.subcommand.iter().map(OsString::from));
        let is_given = |default: &str| self.given.iter().any(|(name, _)| is_same(default, name));
        for (name, value) in self.defaults.iter().filter(|(name, _)| !is_given(name)) {
            args.push(name.into());
            args.extend(value.iter().map(OsString::from));
        }
        for (name, value) in &self.given {
            args.push(name.into());
            args.extend(value.iter().map(OsString::from));
        }
        let mut command = Command::new(&args[0]);
        command.args(&args[1..]).current_dir(self.cluster.folder());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CONVOKE_") || text.starts_with("RUST_") {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(self.output()).stderr(self.output());
        command.spawn().unwrap_or_else(|error| panic!("{args:?} cannot be started: {error}"))
    }
}

/// `--start-port` and `--startPort` are one option.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.replace('-', "").to_lowercase();
    plain(one) == plain(other)
}

/// Whether there is a `setpriv` that supports the option.
fn can_die_with_parent() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let tried = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "true"]).output();
        tried.is_ok_and(|output| output.status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_option_are_the_same() {
        assert!(is_same("--start-port", "--startPort"));
        assert!(is_same("--auto-bind-http", "--autobindhttp"));
        assert!(!is_same("--mc-port", "--port"));
    }
}
