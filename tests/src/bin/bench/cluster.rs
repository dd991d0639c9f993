//! `bench cluster`: how long members take to join, to detect failures and to rejoin, and their
//! memory.
//!
//! The figures of other products are from their documentation, source and users' reports: Payara
//! Micro's start of about 8 s; Hazelcast's join delays of 2 s (multicast) to 7 s (multicast and a
//! pre-join wait of 5 s); one report of 40 members that took 10 minutes; detection of a killed
//! member after 5 s through its broken connections, or after 60 s through heartbeats; detection of
//! a lost host after 60 s through heartbeats; the first search for a split after 300 s.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::{Cluster, Lab, Member, Members};

use crate::measure::{WAIT_MAX, ms, shown};
use crate::sandbox;
use crate::table::{Row, Table, Unit};

/// Repetitions of measurements well below a second.
const SHORT_RUNS: usize = 10;

/// Repetitions of measurements that take seconds.
const LONG_RUNS: usize = 5;

/// Number of members that start concurrently.
const MANY: usize = 40;

/// Idle time before the memory of members is read.
const IDLE: Duration = Duration::from_secs(10);

/// Time limit for probing a whole /16.
const PROBE_MAX: Duration = Duration::from_secs(120);

pub(crate) fn run() {
    let mut table = Table::new();
    table.add(first_with_a_list());
    table.add(first_by_multicast());
    table.add(second());
    table.add(many());
    table.add(killed("killed -9 -> gone from every view", 1));
    table.add(killed("coordinator killed -9 -> gone", 0));
    lost_host(&mut table);
    split(&mut table);
    idle(&mut table);
    probe(&mut table);
    silence(&mut table);
    sandbox::measure(&mut table);
    table.print_summary();
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

/// When the last of `members` logged its latest view.
fn settled<'m>(members: impl IntoIterator<Item = &'m Member>) -> Instant {
    let last = |member: &Member| member.record(|record| record.views.last().map(|(at, _)| *at));
    members.into_iter().filter_map(last).max().expect("each has shown a view")
}

fn first_with_a_list() -> Row {
    let runs = (0..SHORT_RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let port = cluster.spare_port(8);
        let member = cluster.start_tcpip(&format!("127.0.0.1:{port}-{}", port + 2));
        ms(member.ready().at - member.started())
    });
    Row {
        what: "exec -> ready, tcpip list, no other member",
        unit: Unit::Milliseconds,
        runs: runs.collect(),
        target: Some(100.0),
        others: "Payara Micro about 8 s; Hazelcast alone 2 to 7 s",
    }
}

fn first_by_multicast() -> Row {
    let runs = (0..SHORT_RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let member = cluster.start();
        ms(member.ready().at - member.started())
    });
    Row {
        what: "exec -> ready, multicast, no other member",
        unit: Unit::Milliseconds,
        runs: runs.collect(),
        target: Some(400.0),
        others: "Payara Micro about 8 s; Hazelcast alone 2 to 7 s",
    }
}

fn second() -> Row {
    let runs = (0..SHORT_RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let first = cluster.start();
        cluster.agree([&first]);
        let second = cluster.start();
        let both = shown(&first, 2).max(shown(&second, 2));
        ms(both - second.started())
    });
    Row {
        what: "second member exec -> both show it, multicast",
        unit: Unit::Milliseconds,
        runs: runs.collect(),
        target: Some(300.0),
        others: "Hazelcast 2 to 7 s",
    }
}

fn many() -> Row {
    let runs = (0..LONG_RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let started = Instant::now();
        let members: Vec<Member> = (0..MANY).map(|_| cluster.start()).collect();
        cluster.agree_within(WAIT_MAX, &members);
        ms(settled(&members) - started)
    });
    Row {
        what: "40 members at once -> all show all 40",
        unit: Unit::Milliseconds,
        runs: runs.collect(),
        target: Some(5_000.0),
        others: "one report of Hazelcast: 10 min",
    }
}

fn killed(what: &'static str, index: usize) -> Row {
    let runs = (0..LONG_RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let mut members = cluster.start_in_order(3);
        let mut victim = members.remove(index);
        let killed = Instant::now();
        victim.kill();
        cluster.agree_within(WAIT_MAX, &members);
        ms(settled(&members) - killed)
    });
    Row {
        what,
        unit: Unit::Milliseconds,
        runs: runs.collect(),
        target: Some(1_000.0),
        others: "Hazelcast 5 s, or 60 s by heartbeats",
    }
}

/// A member on each host, oldest first.
fn start_on_all(cluster: &Cluster, lab: &Lab) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for host in lab.hosts() {
        members.push(cluster.launch().on(host).start());
        cluster.agree(&members);
    }
    members
}

fn lost_host(table: &mut Table) {
    let (mut gone, mut accused) = (Vec::new(), Vec::new());
    for run in 0..LONG_RUNS {
        let cluster = Cluster::exclusive();
        let Some(lab) = Lab::of(5) else { break };
        let members = start_on_all(&cluster, &lab);
        let marks: Vec<usize> =
            members.iter().map(|member| member.record(|record| record.views.len())).collect();
        // Each member in turn, including the coordinator and the youngest one.
        let lost = run % members.len();
        let pulled = Instant::now();
        lab.unplug(lost);
        let awake: Vec<&Member> = members.iter().filter(|member| member.index() != lost).collect();
        cluster.agree_within(WAIT_MAX, awake.iter().copied());
        gone.push(ms(settled(awake.iter().copied()) - pulled));
        let healthy: Vec<_> = awake.iter().map(|member| member.address()).collect();
        let removals = |member: &&Member| {
            member.record(|record| {
                let views = record.views[marks[member.index()]..].iter().map(|(_, view)| view);
                let missing = |view: &Members| {
                    healthy.iter().filter(|address| view.at(**address).is_none()).count()
                };
                views.map(missing).sum::<usize>()
            })
        };
        let removed: usize = awake.iter().map(removals).sum();
        let alarms: usize =
            awake.iter().map(|member| member.count_lines(&["a suspected member answered"])).sum();
        accused.push((removed + alarms) as f64);
    }
    table.add(Row {
        what: "host lost without a word -> gone, 5 hosts",
        unit: Unit::Milliseconds,
        runs: gone,
        target: Some(3_000.0),
        others: "Hazelcast 60 s",
    });
    table.add(Row {
        what: "  healthy members accused meanwhile",
        unit: Unit::Count,
        runs: accused,
        target: Some(0.0),
        others: "",
    });
}

fn split(table: &mut Table) {
    let (mut noticed, mut healed) = (Vec::new(), Vec::new());
    for _ in 0..LONG_RUNS {
        let cluster = Cluster::exclusive();
        let Some(lab) = Lab::of(4) else { break };
        let members = start_on_all(&cluster, &lab);
        let cut = Instant::now();
        lab.split();
        cluster.agree_within(WAIT_MAX, &members[..2]);
        cluster.agree_within(WAIT_MAX, &members[2..]);
        noticed.push(ms(settled(&members) - cut));
        let joined = Instant::now();
        lab.heal();
        cluster.agree_within(WAIT_MAX, &members);
        healed.push(ms(settled(&members) - joined));
    }
    table.add(Row {
        what: "split in halves -> each half shows itself",
        unit: Unit::Milliseconds,
        runs: noticed,
        target: None,
        others: "Hazelcast 60 s",
    });
    table.add(Row {
        what: "split healed -> one view again, 4 hosts",
        unit: Unit::Milliseconds,
        runs: healed,
        target: Some(5_000.0),
        others: "Hazelcast 300 s to the first search",
    });
}

fn idle(table: &mut Table) {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    let before: Vec<Duration> = members.iter().map(Member::cpu_time).collect();
    thread::sleep(IDLE);
    table.add(Row {
        what: "resident memory, idle, three members, 10 s",
        unit: Unit::Mebibytes,
        runs: members.iter().map(|member| mib(member.resident_kib().0)).collect(),
        target: Some(30.0),
        others: "Payara Micro: hundreds of MB",
    });
    let used = members.iter().zip(before).map(|(member, before)| member.cpu_time() - before);
    table.add(Row {
        what: "  of one core, meanwhile",
        unit: Unit::Percent,
        runs: used.map(|used| 100.0 * used.as_secs_f64() / IDLE.as_secs_f64()).collect(),
        target: None,
        others: "",
    });
}

fn silence(table: &mut Table) {
    let mut runs = Vec::new();
    for _ in 0..3 {
        let cluster = Cluster::exclusive();
        let Some(lab) = Lab::of(2) else { break };
        lab.blackhole(0, "10.78.0.0/22", 1);
        let list = format!("tcpip:10.78.0.0/22:{}", cluster.start_port());
        let member = cluster.launch().on(lab.host(0)).mode(list).start();
        runs.push(ms(member.ready().at - member.started()));
    }
    table.add(Row {
        what: "/22: 1,024 hosts that never answer -> ready",
        unit: Unit::Milliseconds,
        runs,
        target: None,
        others: "Hazelcast: 256 at most, 5 s for each round",
    });
}

fn probe(table: &mut Table) {
    let (mut took, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let cluster = Cluster::exclusive();
        let port = cluster.spare_port(8);
        let member = cluster.start_tcpip(&format!("127.1.0.0/16:{port}"));
        let line = member.wait_for_line(PROBE_MAX, &["called all candidates"]);
        took.push(ms(line.at - member.started()));
        memory.push(mib(member.resident_kib().1));
    }
    table.add(Row {
        what: "/16 on one port: all 65,536 places probed",
        unit: Unit::Milliseconds,
        runs: took,
        target: None,
        others: "Hazelcast: ranges of the last octet only, at most 256",
    });
    table.add(Row {
        what: "  peak resident memory meanwhile",
        unit: Unit::Mebibytes,
        runs: memory,
        target: None,
        others: "",
    });
}
