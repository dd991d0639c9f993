//! Client libraries find in a cluster what they would find in Redis, through
//! whichever member they ask. As clients of a Redis Cluster they survive a member
//! that is killed.

use std::path::PathBuf;
use std::time::Duration;

use convoke_tests::{Cluster, Member};

use crate::installed::Clients;
use crate::process::Process;
use crate::safe::wait_until_safe;

/// From the start of a script to its end.
const SCRIPT_MAX: Duration = Duration::from_secs(120);

/// Who runs a script.
#[derive(Clone, Copy)]
enum Language {
    Python,
    Node,
}

use Language::{Node, Python};

#[test]
fn redis_py_finds_in_a_cluster_what_redis_would_tell_it() {
    ask_members(Python, "redis_py.py");
}

#[test]
fn node_redis_finds_in_a_cluster_what_redis_would_tell_it() {
    ask_members(Node, "node_redis.mjs");
}

#[test]
fn ioredis_finds_in_a_cluster_what_redis_would_tell_it() {
    ask_members(Node, "ioredis.mjs");
}

#[test]
fn redis_py_as_a_cluster_client_survives_a_member_that_is_killed() {
    ask_nodes(Python, "redis_py.py");
}

#[test]
fn node_redis_as_a_cluster_client_survives_a_member_that_is_killed() {
    ask_nodes(Node, "node_redis.mjs");
}

#[test]
fn ioredis_as_a_cluster_client_survives_a_member_that_is_killed() {
    ask_nodes(Node, "ioredis.mjs");
}

/// Runs a script on members that each answer for the whole cluster.
#[track_caller]
fn ask_members(language: Language, script: &str) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::alone();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let mut asking = start(&clients, &cluster, language, script, &[], &members);
    check_summary(&asking.wait_for_success(SCRIPT_MAX));
}

/// Runs a script on members that each answer for their own slots, and kills one of
/// them when the script says that it may.
#[track_caller]
fn ask_nodes(language: Language, script: &str) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::alone();
    let node = || cluster.launch().flag("--redis-cluster").start();
    let mut members: Vec<Member> = (0..3).map(|_| node()).collect();
    wait_until_safe(&cluster, &members);
    let mut asking = start(&clients, &cluster, language, script, &["--cluster"], &members);
    asking.wait_for_line(SCRIPT_MAX, "READY");
    members.remove(1).kill();
    asking.go_on();
    check_summary(&asking.wait_for_success(SCRIPT_MAX));
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

/// `redis-py 8.1.0: 518 checks passed`: a script that checked nothing has not
/// passed.
#[track_caller]
fn check_summary(printed: &str) {
    let last = printed.lines().last().unwrap_or_default();
    let checks = last.strip_suffix(" checks passed").and_then(|rest| rest.rsplit(' ').next());
    let checks: Option<u32> = checks.and_then(|number| number.parse().ok());
    assert!(checks.is_some_and(|checks| checks > 0), "no summary at the end: {printed:?}");
}
