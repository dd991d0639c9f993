//! Three members on loopback.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::table::{Mode, Protocol};
use crate::Result;

/// The members of a run.
const COUNT: u16 = 3;

/// The member that a client of one member uses.
const KEPT: usize = 1;

/// Where free ports are looked for: below the ports that outgoing connections use.
const PORTS_FROM: u16 = 7_500;
const PORTS_TO: u16 = 9_900;

/// From the start of the members until all data is on two of them.
const SAFE_MAX: Duration = Duration::from_secs(30);

/// How often the members' status is read.
const POLL: Duration = Duration::from_millis(50);

/// For one response of a member.
const STATUS_MAX: Duration = Duration::from_secs(2);

/// Members. They are killed when this is dropped.
pub(crate) struct Members {
    binary: PathBuf,
    folder: PathBuf,
    mode: Mode,
    ports: Vec<Ports>,
    /// By number; `None` is killed.
    running: Vec<Option<Child>>,
}

/// The ports of one member.
#[derive(Clone, Copy)]
struct Ports {
    member: u16,
    resp: u16,
    http: u16,
    hazelcast: u16,
}

/// Number of ports of a member.
const PORTS_EACH: usize = 4;

impl Members {
    /// Starts three, and waits until they are safe: each key is on two members. Their logs are
    /// written to `folder`.
    pub(crate) fn start(binary: &Path, folder: &Path, mode: Mode) -> Result<Self> {
        let free = free_ports(PORTS_EACH as u16 * COUNT)?;
        let (ports, _) = free.as_chunks::<PORTS_EACH>();
        let ports = ports
            .iter()
            .map(|&[member, resp, http, hazelcast]| Ports { member, resp, http, hazelcast })
            .collect();
        let (binary, folder) = (binary.to_owned(), folder.to_owned());
        let mut all = Self { binary, folder, mode, ports, running: Vec::new() };
        for number in 0..usize::from(COUNT) {
            all.running.push(None);
            // One after the other, so that the first one is the oldest.
            all.start_one(number)?;
        }
        Ok(all)
    }

    /// The name of the cluster.
    pub(crate) fn cluster_name() -> String {
        format!("clients-{}", std::process::id())
    }

    /// The ports for a protocol, in the order in which a script uses them.
    pub(crate) fn ports(&self, protocol: Protocol) -> Vec<u16> {
        let all = self.ports.iter().map(|ports| match protocol {
            Protocol::Resp => ports.resp,
            Protocol::Hazelcast => ports.hazelcast,
        });
        match self.mode {
            Mode::One => all.skip(KEPT).take(1).collect(),
            Mode::List | Mode::Cluster => all.collect(),
        }
    }

    /// Which member is killed in a round: the oldest first, which is the coordinator. Of plain
    /// members one is never killed, for clients, and parts of clients, with one address.
    pub(super) fn victim(&self, round: usize) -> usize {
        let is_kept = |number: usize| match self.mode {
            Mode::One => number == KEPT,
            Mode::List => number + 1 == self.ports.len(),
            Mode::Cluster => false,
        };
        let all: Vec<usize> = (0..self.ports.len()).filter(|&number| !is_kept(number)).collect();
        all[round % all.len()]
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, number: usize) -> Result<()> {
        let Some(mut member) = self.running[number].take() else { return Ok(()) };
        member.kill().and_then(|()| member.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// Starts a member, and waits until all that run are safe.
    pub(super) fn start_one(&mut self, number: usize) -> Result<()> {
        let path = self.folder.join(format!("member-{number}.log"));
        let log = File::options().create(true).append(true).open(&path);
        let logs = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) = logs.map_err(|error| format!("{}: {error}", path.display()))?;
        let list: Vec<String> =
            self.ports.iter().map(|ports| format!("127.0.0.1:{}", ports.member)).collect();
        let Ports { member, resp, http, hazelcast } = self.ports[number];
        let mut command = Command::new(&self.binary);
        command
            .args(["--interfaces", "127.0.0.1", "--cluster-name"])
            .arg(Self::cluster_name())
            .args(["--cluster-mode", &format!("tcpip:{}", list.join(","))])
            .args(["--start-port", &member.to_string(), "--start-port-range", "1"])
            .args(["--resp-port", &resp.to_string(), "--port", &http.to_string()])
            .args(["--hazelcast-port", &hazelcast.to_string()])
            .env("HOME", &self.folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        if self.mode == Mode::Cluster {
            command.arg("--redis-cluster");
        }
        let member = command
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.binary.display()))?;
        self.running[number] = Some(member);
        self.wait_until_safe()
    }

    /// A member that has ended without having been killed, if any.
    pub(super) fn ended(&mut self) -> Option<String> {
        let running = self.running.iter_mut().enumerate();
        let mut ended =
            running.filter_map(|(n, member)| Some((n, member.as_mut()?.try_wait().ok()??)));
        ended.next().map(|(number, status)| format!("member {number} ended with {status}"))
    }

    fn wait_until_safe(&mut self) -> Result<()> {
        let deadline = Instant::now() + SAFE_MAX;
        loop {
            let running =
                self.ports.iter().zip(&self.running).filter(|(_, member)| member.is_some());
            let all: Vec<Option<Value>> = running.map(|(ports, _)| status(ports.http)).collect();
            let count = all.len();
            let all: Vec<Value> = all.into_iter().flatten().collect();
            if all.len() == count && is_safe(&all) {
                return Ok(());
            }
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            if Instant::now() >= deadline {
                return Err(format!("{count} members are not safe after {SAFE_MAX:?}"));
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for number in 0..self.running.len() {
            let _ = self.kill(number);
        }
    }
}

/// Whether all report it, of one table.
fn is_safe(all: &[Value]) -> bool {
    let wanted = &all[0]["data"]["copies"]["wanted"];
    all.iter().all(|status| {
        status["cluster"]["size"] == all.len()
            && status["data"]["safe"] == true
            && status["data"]["copies"]["wanted"] == *wanted
    })
}

/// What a member reports, `None` if it does not respond yet.
fn status(port: u16) -> Option<Value> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, STATUS_MAX).ok()?;
    stream.set_read_timeout(Some(STATUS_MAX)).ok()?;
    stream.write_all(b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

/// Consecutive ports on which nothing listens.
pub(crate) fn free_ports(count: u16) -> Result<Vec<u16>> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (PORTS_FROM..PORTS_TO)
        .step_by(count.into())
        .map(|first| (first..first + count).collect::<Vec<u16>>())
        .find(|ports| ports.iter().all(is_free))
        .ok_or_else(|| format!("no {count} consecutive free ports in {PORTS_FROM}–{PORTS_TO}"))
}

/// An empty folder.
pub(crate) fn empty_folder(path: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}
