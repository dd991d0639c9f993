//! One process of the binary, killed when dropped.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::block::Members;
use crate::http::{self, Answer};
use crate::journal::{Journal, Line, Ready, Record};
use crate::lab::Host;
use crate::resp::Client;
use crate::status::Status;

/// Time limit from exec to ready, on a busy machine.
pub const READY_MAX: Duration = Duration::from_secs(15);

/// Polling interval of HTTP requests and of processes that are ending.
const POLL: Duration = Duration::from_millis(10);

/// The unit of CPU time in `/proc`: by the kernel's ABI 100 ticks a second.
const MS_PER_TICK: u64 = 10;

/// A process of the binary.
#[derive(Debug)]
pub struct Member {
    child: Child,
    started: Instant,
    index: usize,
    journal: Journal,
    host: Option<Host>,
}

impl Member {
    pub(crate) fn new(
        child: Child,
        started: Instant,
        index: usize,
        journal: Journal,
        host: Option<Host>,
    ) -> Self {
        Self { child, started, index, journal, host }
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its index in the journal.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The host of a lab that it runs on.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// Calls `read` with its output. The journal is locked meanwhile: `read` must not call methods
    /// of members.
    pub fn record<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        self.journal.with(self.index, read)
    }

    /// Waits until `condition` on this member's record returns something.
    #[track_caller]
    pub fn wait<T>(
        &self,
        bound: Duration,
        what: &str,
        mut condition: impl FnMut(&Record) -> Option<T>,
    ) -> T {
        self.journal.wait(bound, what, |records| condition(&records[self.index]))
    }

    /// Waits until it is in a cluster.
    #[track_caller]
    pub fn ready(&self) -> Ready {
        self.wait(READY_MAX, "ready", |record| record.ready)
    }

    /// The address for other members; waits until the member is ready.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.ready().member.expect("the ready line names the member's address")
    }

    /// Its HTTP address on its own host; waits until the member is ready.
    #[track_caller]
    pub fn http(&self) -> SocketAddr {
        let address = self.ready().http.expect("the ready line names the HTTP address");
        match address.ip() {
            // Loopback needs no zone.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                (Ipv6Addr::LOCALHOST, address.port()).into()
            }
            _ => address,
        }
    }

    /// Its RESP address on its own host; waits until the member is ready.
    #[track_caller]
    #[must_use]
    pub fn resp(&self) -> SocketAddr {
        let port = self.wait_for_status(READY_MAX, "a RESP port", |status| status.member.resp_port);
        self.on_own_host(port)
    }

    /// Its port for clients of Hazelcast; waits until the member is ready.
    #[track_caller]
    #[must_use]
    pub fn hazelcast(&self) -> SocketAddr {
        let port = self.wait_for_status(READY_MAX, "a port for clients of Hazelcast", |status| {
            status.member.hazelcast_port
        });
        self.on_own_host(port)
    }

    /// The address of a port for clients on its own host.
    fn on_own_host(&self, port: u16) -> SocketAddr {
        let ip = match self.http().ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        SocketAddr::new(ip, port)
    }

    /// Connects a new RESP client to it, on its own host.
    #[track_caller]
    #[must_use]
    pub fn client(&self) -> Client {
        let address = self.resp();
        // A connection stays in the namespace in which it was opened.
        let connected = match &self.host {
            None => Client::connect(address),
            Some(host) => host.inside(|| Client::connect(address)),
        };
        match connected {
            Ok(client) => client,
            Err(error) => self.journal.fail(&format!("no RESP at {address}: {error}")),
        }
    }

    /// The newest members block.
    #[must_use]
    pub fn view(&self) -> Option<Members> {
        self.record(|record| record.view().cloned())
    }

    /// Waits for a line that contains all of `words`.
    #[track_caller]
    pub fn wait_for_line(&self, bound: Duration, words: &[&str]) -> Line {
        self.wait(bound, &format!("a line with {words:?}"), |record| {
            record.lines().find(|line| words.iter().all(|word| line.text.contains(word))).cloned()
        })
    }

    /// Number of lines that contain all of `words`.
    #[must_use]
    pub fn count_lines(&self, words: &[&str]) -> usize {
        let holds = |line: &&Line| words.iter().all(|word| line.text.contains(word));
        self.record(|record| record.lines().filter(holds).count())
    }

    /// Sends one GET request.
    ///
    /// # Errors
    /// If there is no response.
    pub fn get(&self, path: &str) -> std::io::Result<Answer> {
        let address = self.http();
        match &self.host {
            None => http::get(address, path),
            Some(host) => host.inside(|| http::get(address, path)),
        }
    }

    /// Requests `/status` once.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> Status {
        let answer = match self.get("/status") {
            Ok(answer) => answer,
            Err(error) => self.journal.fail(&format!("no response to /status: {error}")),
        };
        serde_json::from_str(&answer.body).unwrap_or_else(|error| {
            self.journal.fail(&format!("/status is malformed: {error}\n{}", answer.body))
        })
    }

    /// Requests `/status` until `condition` returns something.
    #[track_caller]
    pub fn wait_for_status<T>(
        &self,
        bound: Duration,
        what: &str,
        mut condition: impl FnMut(&Status) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + bound;
        loop {
            let status = self.status();
            if let Some(found) = condition(&status) {
                return found;
            }
            if Instant::now() >= deadline {
                self.journal
                    .fail(&format!("timed out after {bound:?} waiting for {what}\n{status:#?}"));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until each of its modes has completed `more` further lookups.
    #[track_caller]
    pub fn wait_for_lookups(&self, bound: Duration, more: u64) {
        let before: Vec<u64> = self.status().modes.iter().map(|mode| mode.lookups).collect();
        self.wait_for_status(bound, "more lookups", |status| {
            let mut pairs = status.modes.iter().zip(&before);
            pairs.all(|(mode, before)| mode.lookups >= before + more).then_some(())
        });
    }

    /// Waits until it has called candidates `more` further times.
    #[track_caller]
    pub fn wait_for_calls(&self, bound: Duration, more: u64) {
        let calls = |status: &Status| status.counted(&["candidate_calls"]);
        let before = calls(&self.status());
        self.wait_for_status(bound, "more calls", |status| {
            (calls(status) >= before + more).then_some(())
        });
    }

    /// Sends a signal to this process.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has an id"), signal).expect("it is a child process");
    }

    /// Kills it, like a crash, and waits until it has ended.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the process has exited.
    ///
    /// # Panics
    /// If it does not exit within `bound`.
    #[track_caller]
    pub fn wait_exit(&mut self, bound: Duration) -> ExitStatus {
        let deadline = Instant::now() + bound;
        self.wait(bound, "the end of the process", |record| record.is_closed().then_some(()));
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => self.journal.fail("the process closed its outputs and did not exit"),
                Err(error) => {
                    self.journal.fail(&format!("the state of the process cannot be read: {error}"))
                }
            }
        }
    }

    /// Whether the process is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its current and its peak resident memory, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.expect("the process runs");
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// CPU time of all its threads so far.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.child.id())
    }
}

/// CPU time of all threads of a process so far.
///
/// # Panics
/// If the process has ended.
#[must_use]
pub fn cpu_time(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/stat"));
    let text = text.expect("the process runs");
    // The name before them, in parentheses, may contain spaces.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * MS_PER_TICK)
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
