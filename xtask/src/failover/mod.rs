//! `cargo xtask clients`: clients and frameworks at pinned versions, each doing its main job on three
//! members while they are killed one after the other. Outside of CI.
//!
//! A script gets `CONVOKE_MODE` (`one`, `list`, `cluster`), `CONVOKE_PORTS` (RESP ports on 127.0.0.1,
//! or those for clients of Hazelcast, separated by commas) and `CONVOKE_CLUSTER`, the name of the
//! cluster. It prints `READY` when its job has run for a while, goes on with
//! the job meanwhile, reads a line when the last member was killed, and ends with `DONE interruption_ms=N`
//! and status 0, or with the reason as its last line on standard error. For the application on a page of the
//! documentation, it also gets `APPLICATION`, the folder in which that was built.

mod example;
pub(crate) mod install;
mod manifest;
pub(crate) mod members;
mod page;
pub(crate) mod table;

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use members::{Members, empty_folder};
use table::{Mode, Protocol};

use crate::workspace::Workspace;
use crate::{Result, debian, modes};

/// From the start of a script until its job runs, and from there to its end.
const SCRIPT_MAX: Duration = Duration::from_secs(150);

/// Members that are killed while a script runs. What an operation in transit meets depends on the
/// moment.
const KILLS: usize = 3;

/// From a kill until the member is started again. The next one is killed when all data is on two
/// members again.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);

/// Of the binary under test.
const BINARY_VARIABLE: &str = "CONVOKE_BIN";

/// Runs the entries with these names, or all.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let scripts = workspace.root.join("tests/clients");
    let entries = table::read(&scripts)?;
    if let Some(unknown) = names.iter().find(|name| !entries.iter().any(|(n, _)| n == *name)) {
        let known: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        return Err(format!("no client {unknown:?}; there are {}", known.join(", ")));
    }
    let binary = match env::var_os(BINARY_VARIABLE) {
        Some(binary) => PathBuf::from(binary),
        None => {
            modes::build_host(workspace)?;
            workspace.binary()
        }
    };
    let cache = debian::cache_folder("clients")
        .ok_or("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
    let mut failed = Vec::new();
    let is_wanted = |name: &String| names.is_empty() || names.contains(name);
    for (name, entry) in entries.iter().filter(|(name, _)| is_wanted(name)) {
        for &mode in &entry.modes {
            let logs = cache.join("logs").join(format!("{name}-{}", mode.name()));
            let result = install::install(&scripts, &cache, name, entry)
                .map_err(|error| format!("not installed: {error}"))
                .and_then(|command| run_one(&binary, &logs, command, mode, entry.protocol));
            let row = match result {
                Ok(interruption_ms) => {
                    println!("{name}, {}: ok, interrupted for {interruption_ms} ms", mode.name());
                    ("ok".to_owned(), page::interruption(interruption_ms).to_owned())
                }
                Err(error) => {
                    println!("{name}, {}: FAILED: {error} (see {})", mode.name(), logs.display());
                    failed.push(format!("{name}, {}", mode.name()));
                    (page::cell(&format!("failed: {error}")), String::new())
                }
            };
            // Another run may have written the page meanwhile.
            let mut results = page::read(&scripts, &entries);
            results.insert((name.clone(), mode.name().to_owned()), row);
            page::write(&scripts, &entries, &results)?;
        }
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} failed: {}", failed.join("; "))),
    }
}

/// Runs one script; returns for how many milliseconds its job was interrupted.
fn run_one(
    binary: &Path,
    logs: &Path,
    mut command: Command,
    mode: Mode,
    protocol: Protocol,
) -> Result<u64> {
    empty_folder(logs)?;
    let mut members = Members::start(binary, logs, mode)?;
    let ports: Vec<String> = members.ports(protocol).iter().map(u16::to_string).collect();
    let complaints = logs.join("script.log");
    let log = File::create(&complaints).map_err(|e| format!("{}: {e}", complaints.display()))?;
    command
        .env("CONVOKE_MODE", mode.name())
        .env("CONVOKE_PORTS", ports.join(","))
        .env("CONVOKE_CLUSTER", Members::cluster_name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // Scripts start workers: all of them end with the group.
        .process_group(0);
    let child =
        command.spawn().map_err(|error| format!("the script cannot be started: {error}"))?;
    let mut script = Script::new(child);
    let mut deadline = Instant::now() + SCRIPT_MAX;
    let last_complaint = || {
        let text = fs::read_to_string(&complaints).unwrap_or_default();
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output").to_owned()
    };
    script.wait_for("READY", deadline).map_err(|why| format!("{why}: {}", last_complaint()))?;
    deadline = Instant::now() + SCRIPT_MAX;
    for round in 0..KILLS {
        let victim = members.victim(round);
        members.kill(victim)?;
        if round + 1 < KILLS {
            thread::sleep(BETWEEN_KILLS);
            members.start_one(victim)?;
        }
    }
    script.resume();
    let done = script.wait_for("DONE", deadline);
    if let Some(ended) = members.ended() {
        return Err(ended);
    }
    let done = done.map_err(|why| format!("after the kill, {why}: {}", last_complaint()))?;
    let interruption = done.rsplit_once("interruption_ms=").map(|(_, text)| text.trim().parse());
    interruption.and_then(std::result::Result::ok).ok_or_else(|| format!("it printed {done:?}"))
}

/// A running script, and the processes that it has started. They are killed when this is dropped.
struct Script {
    child: Child,
    lines: Receiver<String>,
}

impl Script {
    fn new(mut child: Child) -> Self {
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines }
    }

    /// The next line that begins with this word.
    fn wait_for(&mut self, word: &str, deadline: Instant) -> Result<String> {
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(word) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(format!("no {word} in time")),
                Err(RecvTimeoutError::Disconnected) => return Err("the script ended".to_owned()),
            }
        }
    }

    /// Reports that the member was killed.
    fn resume(&mut self) {
        if let Some(stdin) = &mut self.child.stdin {
            // A script that has ended is noticed by the line that it does not print.
            let _ = stdin.write_all(b"KILLED\n").and_then(|()| stdin.flush());
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}
