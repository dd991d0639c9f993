//! Members that start at the same time never form two clusters.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::Cluster;

#[test]
fn two_members_started_in_the_same_millisecond_form_one_cluster() {
    let cluster = Cluster::exclusive();
    for _ in 0..30 {
        let (first, second) = (cluster.start(), cluster.start());
        cluster.agree([&first, &second]);
    }
}

#[test]
fn two_members_that_list_each_other_and_start_at_once_form_one_cluster() {
    let cluster = Cluster::exclusive();
    let port = cluster.start_port();
    let list = format!("127.0.0.1:{port}-{}", port + 1);
    for _ in 0..15 {
        let (first, second) = (cluster.start_tcpip(&list), cluster.start_tcpip(&list));
        cluster.agree([&first, &second]);
    }
}

/// The second one starts while the first is looking for others, deciding or founding.
#[test]
fn a_member_started_shortly_after_another_never_founds_its_own_cluster() {
    let cluster = Cluster::exclusive();
    for delay_ms in (0..600).step_by(40) {
        let first = cluster.start();
        let due = Instant::now() + Duration::from_millis(delay_ms);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let second = cluster.start();
        cluster.agree([&first, &second]);
    }
}

#[test]
fn five_members_with_different_modes_started_at_once_form_one_cluster() {
    let cluster = Cluster::exclusive();
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
fn members_that_are_killed_and_immediately_replaced_form_one_cluster() {
    let cluster = Cluster::exclusive();
    let mut members = vec![cluster.start(), cluster.start(), cluster.start()];
    cluster.agree(&members);
    for round in 0..8 {
        let mut killed = members.remove(round % 3);
        killed.kill();
        members.push(cluster.start());
        cluster.agree(&members);
    }
}
