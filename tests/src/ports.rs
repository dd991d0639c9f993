//! Ports and multicast groups that no other running test uses.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, process};

/// The range of allocated ports: below the ephemeral ports, above those of well-known services.
const PORTS: Range<u32> = 10_000..32_000;

/// Distance between the first ports of two processes with consecutive ids.
const STRIDE: u32 = 3_989;

/// Time limit until processes that are being started have closed the sockets inherited by `fork`.
const HELD_MAX: Duration = Duration::from_secs(5);

/// The kernel's tables of sockets, as in proc_pid_net(5).
const TABLES: [&str; 4] = ["tcp", "tcp6", "udp", "udp6"];

/// A block of `count` consecutive ports that are free for TCP and UDP. Each call returns another
/// one.
///
/// # Panics
/// If there is none left, or `/proc` is not mounted.
#[must_use]
pub fn block(count: u16) -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let room = PORTS.end - PORTS.start - u32::from(count);
    let offset = process::id().wrapping_mul(STRIDE);
    let in_use = in_use();
    for _ in 0..room {
        let taken = TAKEN.fetch_add(u32::from(count), Ordering::Relaxed);
        let first = PORTS.start + offset.wrapping_add(taken) % room;
        let first = u16::try_from(first).expect("within the range above");
        if !(first..first + count).any(|port| in_use.contains(&port)) {
            return first;
        }
    }
    panic!("no {count} free ports in a row within {PORTS:?}");
}

/// The ports in use. Read from `/proc` instead of probed: a probing socket would be inherited by
/// processes that are being started, and keep the port in use for a moment.
fn in_use() -> HashSet<u16> {
    let port = |line: &str| {
        let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    let mut ports = HashSet::new();
    for table in TABLES {
        match fs::read_to_string(format!("/proc/thread-self/net/{table}")) {
            // The first line names the columns.
            Ok(lines) => ports.extend(lines.lines().skip(1).filter_map(port)),
            // A machine without IPv6.
            Err(_) if table.ends_with('6') => {}
            Err(error) => panic!("the ports in use: {error}"),
        }
    }
    ports
}

/// Binds a port that this process may have used a moment ago.
///
/// # Panics
/// If it is still in use after [`HELD_MAX`].
pub(crate) async fn bind<T>(bind: impl AsyncFn() -> io::Result<T>) -> T {
    let started = Instant::now();
    loop {
        match bind().await {
            Ok(bound) => return bound,
            Err(error) if error.kind() == ErrorKind::AddrInUse && started.elapsed() < HELD_MAX => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("a port that should be free: {error}"),
        }
    }
}

/// A multicast group of the organisation-local scope (RFC 2365).
#[must_use]
pub fn group_v4() -> Ipv4Addr {
    let [a, b] = unique().to_be_bytes();
    Ipv4Addr::new(239, 195, a, b)
}

/// A number that is unique within this process, and very likely among concurrent processes.
#[must_use]
pub fn unique() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mixed = process::id().wrapping_mul(STRIDE).wrapping_add(count);
    u16::try_from(mixed % u32::from(u16::MAX)).expect("the remainder fits")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::process::Command;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn blocks_do_not_overlap() {
        let (first, second) = (block(30), block(30));
        assert!(first.abs_diff(second) >= 30, "{first} and {second}");
    }

    /// Between `fork` and `exec` a process has the open files of its parent.
    #[test]
    fn a_port_is_free_while_processes_start() {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        assert!(Command::new("true").status().unwrap().success());
                    }
                });
            }
            let in_use = (0..200).find_map(|_| {
                let address = (Ipv4Addr::LOCALHOST, block(1));
                TcpListener::bind(address).and_then(|_| UdpSocket::bind(address)).err()
            });
            is_over.store(true, Ordering::Relaxed);
            assert!(in_use.is_none(), "{in_use:?}");
        });
    }

    #[test]
    fn ports_in_use_are_in_no_block() {
        let address = |port| (Ipv4Addr::LOCALHOST, port);
        let tcp = TcpListener::bind(address(block(1))).unwrap();
        let udp = UdpSocket::bind(address(block(1))).unwrap();
        let in_use = in_use();
        for port in [tcp.local_addr(), udp.local_addr()].map(|address| address.unwrap().port()) {
            assert!(in_use.contains(&port), "{port} in {in_use:?}");
        }
    }
}
