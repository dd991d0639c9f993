//! `bench hazelcast`: Hazelcast's client for Java on two members of Convoke and on two of Hazelcast,
//! each with one synchronous backup, on the same machine in the same run. All servers and the
//! clients share its cores.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::member::cpu_time;
use convoke_tests::peers::hazelcast::folder;
use convoke_tests::{Cluster, Member, ports};

use crate::measure::{WAIT_MAX, resident_kib};
use crate::table::{Row, Table, Unit};

/// Members of each cluster.
const MEMBERS: u16 = 2;
/// Entries while speed is measured, and while memory is.
const ENTRIES: u32 = 100_000;
const MANY_ENTRIES: u32 = 1_000_000;
/// Seconds of a phase, and of its warm-up.
const PHASE_S: u32 = 3;
const WARM_UP_S: u32 = 3;
/// Times that each phase is measured, alternating between the products.
const ROUNDS: usize = 5;
/// Polling interval.
const POLL: Duration = Duration::from_millis(50);

/// A measured phase: its command for the load program, and its name.
const PHASES: &[(&str, &str)] = &[
    ("sync set 50", "set, 50 threads"),
    ("sync get 50", "get, 50 threads"),
    ("async set 16", "set, 16 in flight"),
    ("async get 16", "get, 16 in flight"),
    ("async set 64", "set, 64 in flight"),
    ("async get 64", "get, 64 in flight"),
];

pub(crate) fn run() {
    let (Some(java), Some(jar)) = (env::var_os("JAVA"), env::var_os("HAZELCAST_JAR")) else {
        println!("set JAVA and HAZELCAST_JAR, as `cargo xtask bench hazelcast` does");
        return;
    };
    let peer = Peer::start(&java, &jar);
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(MEMBERS.into());
    let mut ours = Load::start(&java, &jar, cluster.name(), &own_ports(&members));
    let mut theirs = Load::start(&java, &jar, CLUSTER, &peer.ports);
    for load in [&mut ours, &mut theirs] {
        assert_eq!(load.run(&format!("fill {ENTRIES}")), "ok");
    }
    for (phase, _) in PHASES {
        for load in [&mut ours, &mut theirs] {
            load.run(&format!("{phase} {WARM_UP_S}"));
        }
    }
    println!(
        "{:<20} {:>10} {:>10} {:>6}   {:>9} {:>9} {:>6}   {:>16} {:>16} {:>6}",
        "median of 5",
        "ours/s",
        "theirs/s",
        "ratio",
        "CPU µs",
        "theirs",
        "ratio",
        "p50, p99.9 µs",
        "theirs",
        "ratio"
    );
    for (phase, name) in PHASES {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(Figures::of(&mut ours, phase, || cpu(&members)));
            other.push(Figures::of(&mut theirs, phase, || peer.cpu()));
        }
        print_row(name, &Figures::median(&own), &Figures::median(&other));
    }
    println!("CPU: of the servers, for one request\n");
    let mut table = Table::new();
    starts(&mut table, &mut ours, &mut theirs);
    for load in [&mut ours, &mut theirs] {
        assert_eq!(load.run(&format!("fill {MANY_ENTRIES}")), "ok");
    }
    let resident = |kib: Vec<u64>| kib.into_iter().max().unwrap_or(0) as f64 / 1_024.0;
    let other = resident(peer.members.iter().map(|member| resident_kib(member.id())).collect());
    table.add(Row {
        what: "a member with a million entries of 100 B",
        unit: Unit::Mebibytes,
        runs: vec![resident(members.iter().map(|member| member.resident_kib().0).collect())],
        target: Some(other / 4.0),
        others: "target: a quarter of Hazelcast's",
    });
    println!("Hazelcast: {other:.0} MiB, the larger of both members");
    table.print_summary();
}

/// Measures from the creation of a client until its first value.
fn starts(table: &mut Table, ours: &mut Load, theirs: &mut Load) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..2 * ROUNDS {
        for (load, times) in [(&mut *ours, &mut own), (&mut *theirs, &mut other)] {
            let micros: f64 = load.run("start").parse().expect("a number of microseconds");
            times.push(micros / 1_000.0);
        }
    }
    other.sort_by(f64::total_cmp);
    table.add(Row {
        what: "a client is created and has its first value",
        unit: Unit::Milliseconds,
        runs: own,
        target: Some(other[other.len() / 2]),
        others: "target: Hazelcast's median",
    });
}

fn print_row(name: &str, own: &Figures, other: &Figures) {
    println!(
        "{name:<20} {:>10.0} {:>10.0} {:>6.2}   {:>9.1} {:>9.1} {:>6.2}   {:>7} {:>8} {:>7} {:>8} {:>6.2}",
        own.rate,
        other.rate,
        own.rate / other.rate,
        own.cpu_us,
        other.cpu_us,
        own.cpu_us / other.cpu_us,
        own.p50_us,
        own.p999_us,
        other.p50_us,
        other.p999_us,
        own.p999_us / other.p999_us,
    );
}

/// What one phase measures.
#[derive(Clone, Copy)]
struct Figures {
    /// Requests per second.
    rate: f64,
    /// CPU time of the servers for one request, in microseconds.
    cpu_us: f64,
    /// Latencies in microseconds.
    p50_us: f64,
    p999_us: f64,
}

impl Figures {
    fn of(load: &mut Load, phase: &str, cpu: impl Fn() -> Duration) -> Self {
        let before = cpu();
        let line = load.run(&format!("{phase} {PHASE_S}"));
        let used = cpu().saturating_sub(before);
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [requests, p50_us, p999_us] = numbers[..] else { panic!("{phase}: {line:?}") };
        Self {
            rate: requests / f64::from(PHASE_S),
            cpu_us: used.as_secs_f64() * 1e6 / requests.max(1.0),
            p50_us,
            p999_us,
        }
    }

    /// The median of each figure.
    fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            rate: of(|one| one.rate),
            cpu_us: of(|one| one.cpu_us),
            p50_us: of(|one| one.p50_us),
            p999_us: of(|one| one.p999_us),
        }
    }
}

fn cpu(members: &[Member]) -> Duration {
    members.iter().map(Member::cpu_time).sum()
}

fn own_ports(members: &[Member]) -> Vec<u16> {
    members.iter().map(|member| member.hazelcast().port()).collect()
}

/// Name of the cluster of Hazelcast's members.
const CLUSTER: &str = "bench";

/// Two members of Hazelcast. Stopped when dropped.
struct Peer {
    members: Vec<Child>,
    ports: Vec<u16>,
    configuration: PathBuf,
}

impl Peer {
    fn start(java: &OsString, jar: &OsString) -> Self {
        let first = ports::block(MEMBERS);
        let ports: Vec<u16> = (first..first + MEMBERS).collect();
        let listed: String =
            ports.iter().map(|port| format!("<member>127.0.0.1:{port}</member>")).collect();
        let configuration = env::temp_dir().join(format!("convoke-bench-{first}.xml"));
        let text = format!(
            "<hazelcast xmlns=\"http://www.hazelcast.com/schema/config\">\n\
             <cluster-name>{CLUSTER}</cluster-name>\n\
             <properties><property name=\"hazelcast.phone.home.enabled\">false</property></properties>\n\
             <network><port auto-increment=\"true\" port-count=\"{MEMBERS}\">{first}</port>\n\
             <join><auto-detection enabled=\"false\"/><multicast enabled=\"false\"/>\
             <tcp-ip enabled=\"true\">{listed}</tcp-ip></join>\n\
             <interfaces enabled=\"true\"><interface>127.0.0.1</interface></interfaces></network>\n\
             </hazelcast>\n"
        );
        std::fs::write(&configuration, text).expect("the file is written");
        let mut peer = Self { members: Vec::new(), ports, configuration };
        for port in peer.ports.clone() {
            let mut command = Command::new(java);
            command
                .arg(format!("-Dhazelcast.config={}", peer.configuration.display()))
                .args(["-Dhazelcast.logging.type=none", "-cp"])
                .arg(jar)
                .arg("com.hazelcast.core.server.HazelcastMemberStarter")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            peer.members.push(command.spawn().expect("java starts"));
            // One after the other, so that each finds its port.
            let deadline = Instant::now() + WAIT_MAX;
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                assert!(Instant::now() < deadline, "Hazelcast does not listen at {port}");
                thread::sleep(POLL);
            }
        }
        peer
    }

    fn cpu(&self) -> Duration {
        self.members.iter().map(|member| cpu_time(member.id())).sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
        let _ = std::fs::remove_file(&self.configuration);
    }
}

/// The load program, with a client of one cluster. Killed when dropped.
struct Load {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    fn start(java: &OsString, jar: &OsString, cluster: &str, ports: &[u16]) -> Self {
        let mut command = Command::new(java);
        command.arg("-cp").arg(jar).arg(folder().join("load/Load.java")).arg(cluster);
        command.args(ports.iter().map(u16::to_string));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("java starts");
        let commands = child.stdin.take().expect("its input is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut load = Self { child, commands, answers };
        assert_eq!(load.answer(), "ready", "the client connects");
        load
    }

    /// Runs a command and returns its answer.
    fn run(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the load program runs");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
