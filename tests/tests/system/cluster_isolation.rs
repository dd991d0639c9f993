//! Clusters that are not meant for each other never meet.

use std::time::Duration;

use convoke_tests::cluster::{AGREE_MAX, SOON};
use convoke_tests::{Cluster, Launch, Member};

/// Two members here and a third that is kept out by what `stranger` changes:
/// it has looked often enough to have found them, and they agree without it.
#[track_caller]
fn is_kept_out(cluster: &Cluster, stranger: impl Fn(Launch<'_>) -> Launch<'_>) -> [Member; 3] {
    let first = cluster.start();
    let outside = stranger(cluster.launch()).called("the stranger").start();
    cluster.agree([&outside]);
    let second = cluster.start();
    cluster.agree([&first, &second]);
    outside.wait_for_looks(AGREE_MAX, 3);
    first.wait_for_looks(AGREE_MAX, 3);
    cluster.agree_within(Duration::ZERO, [&first, &second]);
    cluster.agree_within(Duration::ZERO, [&outside]);
    [first, second, outside]
}

#[test]
fn members_of_another_multicast_group_are_kept_out() {
    let cluster = Cluster::new();
    is_kept_out(&cluster, |launch| launch.option("--mc-address", "239.194.77.77"));
}

#[test]
fn members_of_another_multicast_port_are_kept_out() {
    let cluster = Cluster::new();
    let port = cluster.spare_port(0).to_string();
    is_kept_out(&cluster, |launch| launch.option("--mc-port", &port));
}

#[test]
fn members_of_another_cluster_name_are_kept_out() {
    let cluster = Cluster::new();
    let members = is_kept_out(&cluster, |launch| launch.option("--cluster-name", "another"));
    for member in members {
        member.wait_for_status(SOON, "beacons of others that are counted", |status| {
            (status.modes[0].more["multicast"]["foreign"].as_u64() > Some(0)).then_some(())
        });
        let named = ["another cluster", &cluster.group().to_string()];
        assert_eq!(member.count_lines(&named), 1, "once is enough");
    }
}

#[test]
fn members_with_another_password_are_kept_out() {
    let cluster = Cluster::new();
    is_kept_out(&cluster, |launch| launch.option("--cluster-password", "correct horse"));
}

#[test]
fn a_name_and_a_password_are_not_one_text() {
    let cluster = Cluster::new();
    let (left, right) = (
        cluster.launch().option("--cluster-name", "ab").option("--cluster-password", "c").start(),
        cluster.launch().option("--cluster-name", "a").option("--cluster-password", "bc").start(),
    );
    cluster.agree([&left]);
    cluster.agree([&right]);
    left.wait_for_looks(AGREE_MAX, 3);
    right.wait_for_looks(AGREE_MAX, 3);
    cluster.agree_within(Duration::ZERO, [&left]);
    cluster.agree_within(Duration::ZERO, [&right]);
}

#[test]
fn the_password_may_come_from_three_places() {
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
fn the_password_is_never_shown() {
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

/// One dials the other by its address, and both learn that somebody was there.
#[track_caller]
fn both_say_so_once(change: impl Fn(Launch<'_>) -> Launch<'_>) {
    let cluster = Cluster::new();
    let inside = cluster.start();
    cluster.agree([&inside]);
    let list = format!("tcpip:{}", inside.address());
    let outside = change(cluster.launch().mode(list)).start();
    cluster.agree([&outside]);
    let named = ["WARN", "cluster name or password differs"];
    outside.wait_for_line(SOON, &[&named[..], &[&inside.address().to_string()]].concat());
    inside.wait_for_line(SOON, &named);
    outside.wait_for_calls(AGREE_MAX, 2);
    for member in [&inside, &outside] {
        assert_eq!(member.count_lines(&named), 1, "once is enough");
    }
    cluster.agree_within(Duration::ZERO, [&inside]);
    cluster.agree_within(Duration::ZERO, [&outside]);
}

#[test]
fn members_with_another_password_that_meet_by_address_both_say_so_once() {
    both_say_so_once(|launch| launch.option("--cluster-password", "correct horse"));
}

#[test]
fn members_of_another_name_that_meet_by_address_both_say_so_once() {
    both_say_so_once(|launch| launch.option("--cluster-name", "another"));
}
