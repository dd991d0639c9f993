//! Processes of other programs, which are ended with the test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::journal::Output;
use convoke_tests::{Cluster, Journal, Record};

/// Interval at which a process that is ending is polled.
const POLL: Duration = Duration::from_millis(10);

/// A process in the cluster's folder. Its output goes to the cluster's journal, and is printed with
/// the members' logs when a wait times out.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    journal: Journal,
    index: usize,
}

impl Process {
    /// Starts one; does not wait for anything.
    #[track_caller]
    pub(crate) fn start<'a>(
        cluster: &Cluster,
        label: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
        environment: &[(&str, String)],
    ) -> Self {
        let mut command = if can_die_with_parent() {
            // A test that is killed cannot end it.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            // Output is not buffered.
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(cluster.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = stdout.zip(stderr).expect("both are piped");
        let journal = cluster.journal().clone();
        let index = journal.follow(label, stdout, stderr);
        Self { child, journal, index }
    }

    /// Calls `read` with what it has printed.
    pub(crate) fn record<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        self.journal.with(self.index, read)
    }

    /// Waits until it has printed this line.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, bound: Duration, text: &str) {
        let what = format!("the line {text:?}");
        let has_line = |record: &Record| record.lines().any(|line| line.text == text);
        let ended = self.journal.wait(bound, &what, |records| {
            let record = &records[self.index];
            (has_line(record) || record.is_closed()).then_some(!has_line(record))
        });
        if ended {
            self.journal.fail(&format!("it ended without {what}"));
        }
    }

    /// Writes an empty line to its input, for which it waits.
    pub(crate) fn resume(&mut self) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(b"\n").expect("it waits for a line");
    }

    /// Waits until it has ended, and returns its standard output.
    ///
    /// # Panics
    /// If it fails, or does not end within `bound`.
    #[track_caller]
    pub(crate) fn wait_for_success(&mut self, bound: Duration) -> String {
        let deadline = Instant::now() + bound;
        self.journal.wait(bound, "the end of the process", |records| {
            records[self.index].is_closed().then_some(())
        });
        let status = loop {
            match self.status() {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(POLL),
                None => self.journal.fail("the process closed its outputs and did not end"),
            }
        };
        if !status.success() {
            self.journal.fail(&format!("the process failed: {status}"));
        }
        self.record(|record| record.text(Output::Stdout))
    }

    /// Its exit status, if it has ended.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is a `setpriv` that supports the option.
fn can_die_with_parent() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let tried = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "true"]).output();
        tried.is_ok_and(|output| output.status.success())
    })
}
