//! Client libraries work with any member of a cluster as with Redis. As Redis Cluster clients they
//! survive a member that is killed.

use std::path::PathBuf;
use std::time::Duration;

use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::installed::Clients;
use crate::process::Process;
use crate::safe::wait_until_safe;

/// From the start of a script to its end.
const SCRIPT_MAX: Duration = Duration::from_secs(120);
/// From SIGTERM to the end of a member: clients may take 10 s to move.
const EXIT_MAX: Duration = Duration::from_secs(40);

/// The language of a script.
#[derive(Clone, Copy)]
enum Language {
    Python,
    Node,
}

use Language::{Node, Python};

#[test]
fn redis_py_works_as_with_redis() {
    run_on_members(Python, "redis_py.py");
}

#[test]
fn node_redis_works_as_with_redis() {
    run_on_members(Node, "node_redis.mjs");
}

#[test]
fn ioredis_works_as_with_redis() {
    run_on_members(Node, "ioredis.mjs");
}

#[test]
fn redis_py_as_a_cluster_client_survives_a_killed_member() {
    run_on_cluster_nodes(Python, "redis_py.py");
}

#[test]
fn node_redis_as_a_cluster_client_survives_a_killed_member() {
    run_on_cluster_nodes(Node, "node_redis.mjs");
}

#[test]
fn ioredis_as_a_cluster_client_survives_a_killed_member() {
    run_on_cluster_nodes(Node, "ioredis.mjs");
}

/// redis-py applies the host of an announcement, but not its port: the members have different
/// addresses.
#[test]
fn redis_py_sees_no_error_in_a_rolling_restart() {
    run_rolling_restart(Python, "rolling_restart.py");
}

#[test]
fn node_redis_sees_no_error_in_a_rolling_restart() {
    run_rolling_restart(Node, "rolling_restart.mjs");
}

/// Runs a script whose client is connected to the first of three members, which are restarted one
/// after the other.
#[track_caller]
fn run_rolling_restart(language: Language, script: &str) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::exclusive();
    let list: Vec<String> =
        (1..=3).map(|n| format!("127.0.0.{n}:{}", cluster.start_port())).collect();
    let list = list.join(",");
    let start = |n: usize| {
        let launch = cluster.launch().at(&format!("127.0.0.{}", n + 1));
        launch.mode(format!("tcpip:{list}")).start()
    };
    let mut members: Vec<Member> = (0..3).map(start).collect();
    wait_until_safe(&cluster, &members);
    Clients::copy_scripts(&cluster);
    let program: PathBuf = match language {
        Python => clients.python(),
        Node => clients.node(&cluster),
    };
    let first = members[0].resp();
    let (host, port) = (first.ip().to_string(), first.port().to_string());
    let mut process = Process::start(&cluster, script, &program, [script, &host, &port], &[]);
    process.wait_for_line(SCRIPT_MAX, "READY");
    for n in 0..members.len() {
        members[n].signal(Signal::TERM);
        assert_eq!(members[n].wait_exit(EXIT_MAX).code(), Some(0));
        members[n] = start(n);
        wait_until_safe(&cluster, &members);
    }
    process.resume();
    check_summary(&process.wait_for_success(SCRIPT_MAX));
}

/// As a client of all members, and of one, which is not killed.
#[test]
fn clients_of_hazelcast_survive_a_killed_member() {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    Clients::copy_scripts(&cluster);
    let script = "hazelcast_python.py";
    let ports: Vec<String> =
        members.iter().map(|member| member.hazelcast().port().to_string()).collect();
    let words = [script, cluster.name()].into_iter().chain(ports.iter().map(String::as_str));
    let mut process = Process::start(&cluster, script, &clients.python(), words, &[]);
    process.wait_for_line(SCRIPT_MAX, "READY");
    members.remove(1).kill();
    process.resume();
    check_summary(&process.wait_for_success(SCRIPT_MAX));
}

/// Runs a script on members that each serve all keys.
#[track_caller]
fn run_on_members(language: Language, script: &str) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let mut script_process = start(&clients, &cluster, language, script, &[], &members);
    check_summary(&script_process.wait_for_success(SCRIPT_MAX));
}

/// Runs a script on members that each serve their own slots, and kills one of them when the script
/// is ready for it.
#[track_caller]
fn run_on_cluster_nodes(language: Language, script: &str) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::exclusive();
    let node = || cluster.launch().flag("--redis-cluster").start();
    let mut members: Vec<Member> = (0..3).map(|_| node()).collect();
    wait_until_safe(&cluster, &members);
    let mut script_process = start(&clients, &cluster, language, script, &["--cluster"], &members);
    script_process.wait_for_line(SCRIPT_MAX, "READY");
    members.remove(1).kill();
    script_process.resume();
    check_summary(&script_process.wait_for_success(SCRIPT_MAX));
}

#[track_caller]
fn start(
    clients: &Clients,
    cluster: &Cluster,
    language: Language,
    script: &str,
    options: &[&str],
    members: &[Member],
) -> Process {
    Clients::copy_scripts(cluster);
    let program: PathBuf = match language {
        Python => clients.python(),
        Node => clients.node(cluster),
    };
    let ports: Vec<String> =
        members.iter().map(|member| member.resp().port().to_string()).collect();
    let words = [script].into_iter().chain(options.iter().copied());
    let words = words.chain(ports.iter().map(String::as_str));
    Process::start(cluster, script, &program, words, &[])
}

/// `redis-py 8.1.0: 518 checks passed`. A script that ran no checks has not passed.
#[track_caller]
fn check_summary(printed: &str) {
    let last = printed.lines().last().unwrap_or_default();
    let checks = last.strip_suffix(" checks passed").and_then(|rest| rest.rsplit(' ').next());
    let checks: Option<u32> = checks.and_then(|number| number.parse().ok());
    assert!(checks.is_some_and(|checks| checks > 0), "no summary at the end: {printed:?}");
}
