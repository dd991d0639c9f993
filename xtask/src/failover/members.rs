//! Three members on loopback.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::table::Mode;
use crate::Result;

/// The members of a run.
const COUNT: u16 = 3;

/// Where free ports are looked for: below the ports that outgoing connections use.
const PORTS_FROM: u16 = 7_500;
const PORTS_TO: u16 = 9_900;

/// From the start of the members until all data is on two of them.
const SAFE_MAX: Duration = Duration::from_secs(30);

/// How often the members' status is read.
const POLL: Duration = Duration::from_millis(50);

/// For one response of a member.
const STATUS_MAX: Duration = Duration::from_secs(2);

/// Members, the oldest first. They are killed when this is dropped.
pub(super) struct Members {
    members: Vec<Child>,
    resp: Vec<u16>,
    http: Vec<u16>,
}

impl Members {
    /// Starts three, and waits until they are safe: each key is on two members. Their logs are
    /// written to `folder`.
    pub(super) fn start(binary: &Path, folder: &Path, mode: Mode) -> Result<Self> {
        let ports = free_ports(3 * COUNT)?;
        let (of_members, rest) = ports.split_at(COUNT.into());
        let (resp, http) = rest.split_at(COUNT.into());
        let list: Vec<String> = of_members.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut all = Self { members: Vec::new(), resp: resp.to_vec(), http: http.to_vec() };
        for (number, port) in of_members.iter().enumerate() {
            let path = folder.join(format!("member-{number}.log"));
            let log = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let both = log.try_clone().map_err(|e| format!("{}: {e}", path.display()))?;
            let mut member = Command::new(binary);
            member
                .args(["--interfaces", "127.0.0.1", "--cluster-name"])
                .arg(format!("clients-{}", std::process::id()))
                .args(["--cluster-mode", &format!("tcpip:{}", list.join(","))])
                .args(["--start-port", &port.to_string(), "--start-port-range", "1"])
                .args(["--resp-port", &resp[number].to_string()])
                .args(["--port", &http[number].to_string()])
                .env("HOME", folder)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(both);
            if mode == Mode::Cluster {
                member.arg("--redis-cluster");
            }
            let member = member
                .spawn()
                .map_err(|error| format!("{} cannot be started: {error}", binary.display()))?;
            all.members.push(member);
            // One after the other, so that the first one is the oldest.
            all.wait_until_safe(number + 1)?;
        }
        Ok(all)
    }

    /// The RESP ports in the order in which a script in this mode uses them.
    pub(super) fn ports(&self, mode: Mode) -> Vec<u16> {
        match mode {
            Mode::One => self.resp[1..2].to_vec(),
            Mode::List | Mode::Cluster => self.resp.clone(),
        }
    }

    /// `kill -9` of the oldest member, which is the coordinator.
    pub(super) fn kill_oldest(&mut self) -> Result<()> {
        let oldest = &mut self.members[0];
        oldest.kill().and_then(|()| oldest.wait()).map(drop).map_err(|e| e.to_string())
    }

    /// A member other than the oldest that has ended, if any.
    pub(super) fn ended(&mut self) -> Option<String> {
        let others = self.members.iter_mut().enumerate().skip(1);
        let mut ended = others.filter_map(|(n, m)| Some((n, m.try_wait().ok()??)));
        ended.next().map(|(number, status)| format!("member {number} ended with {status}"))
    }

    fn wait_until_safe(&mut self, count: usize) -> Result<()> {
        let deadline = Instant::now() + SAFE_MAX;
        loop {
            let all: Vec<Value> =
                self.http[..count].iter().filter_map(|&port| status(port)).collect();
            if all.len() == count && is_safe(&all) {
                return Ok(());
            }
            for (number, member) in self.members.iter_mut().enumerate() {
                if let Ok(Some(status)) = member.try_wait() {
                    return Err(format!("member {number} ended with {status}"));
                }
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
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
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
fn free_ports(count: u16) -> Result<Vec<u16>> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (PORTS_FROM..PORTS_TO)
        .step_by(count.into())
        .map(|first| (first..first + count).collect::<Vec<u16>>())
        .find(|ports| ports.iter().all(is_free))
        .ok_or_else(|| format!("no {count} consecutive free ports in {PORTS_FROM}–{PORTS_TO}"))
}

/// An empty folder.
pub(super) fn empty_folder(path: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}
