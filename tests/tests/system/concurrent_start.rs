//! Members that start at the same time never end in two clusters.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::Cluster;

#[test]
fn two_members_started_in_the_same_millisecond_are_always_one_cluster() {
    let cluster = Cluster::alone();
    for _ in 0..30 {
        let (first, second) = (cluster.start(), cluster.start());
        cluster.agree([&first, &second]);
    }
}

#[test]
fn two_members_that_list_each_other_and_start_at_once_are_always_one_cluster() {
    let cluster = Cluster::alone();
    let port = cluster.start_port();
    let list = format!("127.0.0.1:{port}-{}", port + 1);
    for _ in 0..15 {
        let (first, second) = (cluster.start_tcpip(&list), cluster.start_tcpip(&list));
        cluster.agree([&first, &second]);
    }
}

/// Whatever the first is doing at the time: asking, deciding, founding.
#[test]
fn a_second_member_started_a_little_later_never_founds_its_own_cluster() {
    let cluster = Cluster::alone();
    for later_ms in (0..600).step_by(40) {
        let first = cluster.start();
        let due = Instant::now() + Duration::from_millis(later_ms);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let second = cluster.start();
        cluster.agree([&first, &second]);
    }
}

#[test]
fn five_members_that_use_different_modes_and_start_at_once_are_always_one_cluster() {
    let cluster = Cluster::alone();
    let port = cluster.start_port();
    let list = format!("tcpip:127.0.0.1:{port}-{}", port + 5);
    for _ in 0..10 {
        let members = [
            cluster.start(),
            cluster.launch().mode(&list).start(),
            cluster.launch().mode("multicast").mode(&list).start(),
            cluster.launch().flag("--lite").start(),
            cluster.launch().mode(&list).start(),
        ];
        cluster.agree(&members);
    }
}

#[test]
fn members_that_are_killed_and_started_again_at_once_are_always_one_cluster() {
    let cluster = Cluster::alone();
    let mut members = vec![cluster.start(), cluster.start(), cluster.start()];
    cluster.agree(&members);
    for round in 0..8 {
        let mut killed = members.remove(round % 3);
        killed.kill();
        members.push(cluster.start());
        cluster.agree(&members);
    }
}
