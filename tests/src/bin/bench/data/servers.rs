//! The servers that are measured: members of Convoke, and Redis.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::member::cpu_time;
use convoke_tests::{Cluster, Member, binary};

use crate::measure::{WAIT_MAX, resident_kib};

/// Polling interval.
const POLL: Duration = Duration::from_millis(5);

/// Redis, without persistence. Stopped when dropped.
pub(super) struct Redis {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Redis {
    /// Starts Redis. `None` if it is not installed.
    pub(super) fn start() -> Option<Self> {
        let program = redis_server();
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--port", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let redis = Self { child, address };
        let deadline = Instant::now() + WAIT_MAX;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen at {address}");
            thread::sleep(POLL);
        }
        Some(redis)
    }

    pub(super) fn resident_kib(&self) -> u64 {
        resident_kib(self.child.id())
    }

    /// CPU time of all its threads so far.
    pub(super) fn cpu_time(&self) -> Duration {
        cpu_time(self.child.id())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server that `cargo xtask test` downloaded, or else the installed one.
fn redis_server() -> PathBuf {
    let ours = binary::convoke();
    let target = ours.parent().and_then(|release| release.parent());
    let fetched = target.map(|target| target.join("suites/root/usr/bin/redis-server"));
    fetched.filter(|file| file.is_file()).unwrap_or_else(|| "redis-server".into())
}

/// Members of one cluster, with `backups` backups.
pub(super) fn members(cluster: &Cluster, count: usize, backups: u8) -> Vec<Member> {
    let file = cluster.write("data.toml", format!("[maps.\"*\"]\nbackups = {backups}\n"));
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..count {
        members.push(start(cluster, &file.display().to_string()));
        cluster.agree(&members);
    }
    safe(&members);
    members
}

/// Starts one more member.
pub(super) fn start(cluster: &Cluster, file: &str) -> Member {
    cluster.launch().option("--config", file).start()
}

/// Waits until all replicas of all partitions are complete.
pub(super) fn safe(members: &[Member]) {
    for member in members {
        member.wait_for_status(WAIT_MAX, "data that is safe", |status| {
            (status.data["safe"] == true).then_some(())
        });
    }
}
