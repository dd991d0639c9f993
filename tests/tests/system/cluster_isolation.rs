//! Clusters with different names, passwords or multicast groups do not merge.

use std::time::Duration;

use convoke_tests::cluster::{AGREE_MAX, TIMEOUT};
use convoke_tests::{Cluster, Launch, Member};

/// Two members of one cluster and a third one that `change` keeps out of it: all have run
/// enough lookups to have found each other.
#[track_caller]
fn assert_isolated(cluster: &Cluster, change: impl Fn(Launch<'_>) -> Launch<'_>) -> [Member; 3] {
    let first = cluster.start();
    let outside = change(cluster.launch()).label("outside").start();
    cluster.agree([&outside]);
    let second = cluster.start();
    cluster.agree([&first, &second]);
    outside.wait_for_lookups(AGREE_MAX, 3);
    first.wait_for_lookups(AGREE_MAX, 3);
    cluster.agree_within(Duration::ZERO, [&first, &second]);
    cluster.agree_within(Duration::ZERO, [&outside]);
    [first, second, outside]
}

#[test]
fn clusters_in_different_multicast_groups_do_not_merge() {
    let cluster = Cluster::new();
    assert_isolated(&cluster, |launch| launch.option("--mc-address", "239.194.77.77"));
}

#[test]
fn clusters_on_different_multicast_ports_do_not_merge() {
    let cluster = Cluster::new();
    let port = cluster.spare_port(0).to_string();
    assert_isolated(&cluster, |launch| launch.option("--mc-port", &port));
}

#[test]
fn clusters_with_different_names_do_not_merge() {
    let cluster = Cluster::new();
    let members = assert_isolated(&cluster, |launch| launch.option("--cluster-name", "another"));
    for member in members {
        member.wait_for_status(TIMEOUT, "foreign beacons in the counters", |status| {
            (status.modes[0].more["multicast"]["foreign"].as_u64() > Some(0)).then_some(())
        });
        let named = ["another cluster", &cluster.group().to_string()];
        assert_eq!(member.count_lines(&named), 1, "it is logged once");
    }
}

#[test]
fn clusters_with_different_passwords_do_not_merge() {
    let cluster = Cluster::new();
    assert_isolated(&cluster, |launch| launch.option("--cluster-password", "correct horse"));
}

#[test]
fn the_name_and_the_password_are_not_concatenated() {
    let cluster = Cluster::new();
    let (left, right) = (
        cluster.launch().option("--cluster-name", "ab").option("--cluster-password", "c").start(),
        cluster.launch().option("--cluster-name", "a").option("--cluster-password", "bc").start(),
    );
    cluster.agree([&left]);
    cluster.agree([&right]);
    left.wait_for_lookups(AGREE_MAX, 3);
    right.wait_for_lookups(AGREE_MAX, 3);
    cluster.agree_within(Duration::ZERO, [&left]);
    cluster.agree_within(Duration::ZERO, [&right]);
}

#[test]
fn the_password_can_come_from_an_option_the_environment_or_a_file() {
    let cluster = Cluster::new();
    let file = cluster.write("password", "correct horse\n");
    let members = [
        cluster.launch().option("--cluster-password", "correct horse").start(),
        cluster.launch().env("CONVOKE_CLUSTER_PASSWORD", "correct horse").start(),
        cluster.launch().option("--cluster-password-file", file.display().to_string()).start(),
    ];
    cluster.agree(&members);
}

#[test]
fn the_password_is_never_logged_or_reported() {
    let cluster = Cluster::new();
    let member = cluster
        .launch()
        .option("--cluster-password", "swordfish-4711")
        .env("CONVOKE_LOG", "trace")
        .start();
    cluster.agree([&member]);
    assert_ne!(member.count_lines(&["TRACE"]) + member.count_lines(&["DEBUG"]), 0);
    assert_eq!(member.count_lines(&["swordfish"]), 0);
    assert!(!member.get("/status").unwrap().body.contains("swordfish"));
    assert!(!member.get("/metrics").unwrap().body.contains("swordfish"));
}

/// One member connects to the other at its address, and both log the mismatch once.
#[track_caller]
fn assert_both_log_the_mismatch_once(change: impl Fn(Launch<'_>) -> Launch<'_>) {
    let cluster = Cluster::new();
    let inside = cluster.start();
    cluster.agree([&inside]);
    let list = format!("tcpip:{}", inside.address());
    let outside = change(cluster.launch().mode(list)).start();
    cluster.agree([&outside]);
    let named = ["WARN", "cluster name or password differs"];
    outside.wait_for_line(TIMEOUT, &[&named[..], &[&inside.address().to_string()]].concat());
    inside.wait_for_line(TIMEOUT, &named);
    outside.wait_for_calls(AGREE_MAX, 2);
    for member in [&inside, &outside] {
        assert_eq!(member.count_lines(&named), 1, "it is logged once");
    }
    cluster.agree_within(Duration::ZERO, [&inside]);
    cluster.agree_within(Duration::ZERO, [&outside]);
}

#[test]
fn members_with_different_passwords_that_connect_both_log_it_once() {
    assert_both_log_the_mismatch_once(|launch| {
        launch.option("--cluster-password", "correct horse")
    });
}

#[test]
fn members_with_different_cluster_names_that_connect_both_log_it_once() {
    assert_both_log_the_mismatch_once(|launch| launch.option("--cluster-name", "another"));
}
