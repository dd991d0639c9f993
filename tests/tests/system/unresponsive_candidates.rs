//! A candidate that accepts connections and does not complete the handshake may be a member: no
//! cluster is founded until it has been given up.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::{AGREE_MAX, TIMEOUT};
use rustix::process::Signal;

/// Until a candidate that never responds is given up, with a margin.
const GIVEN_UP_MAX: Duration = Duration::from_secs(40);

#[test]
fn a_paused_member_is_waited_for_and_joined() {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    first.signal(Signal::STOP);
    let second = cluster.start_tcpip(&first.address().to_string());
    // By then it was called twice, and each handshake has timed out.
    second.wait_for_line(TIMEOUT, &["it may be a member", &first.address().to_string()]);
    first.signal(Signal::CONT);
    cluster.agree([&first, &second]);
    let views = second.record(|record| record.views.len());
    assert_eq!(views, 1, "it never founded a cluster");
}

#[test]
fn a_candidate_that_closes_connections_at_first_is_waited_for_and_joined() {
    let cluster = Cluster::new();
    // Stands for a member that is starting and closes connections.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.spare_port(0))).unwrap();
    let address = listener.local_addr().unwrap();
    let closing = thread::spawn(move || {
        for _ in 0..4 {
            drop(listener.accept().unwrap());
        }
    });
    let second = cluster.start_tcpip(&address.to_string());
    second.wait_for_line(TIMEOUT, &["it may be a member", &address.to_string()]);
    closing.join().unwrap();
    let port = address.port().to_string();
    let first = cluster.launch().without("--start-port").option("--start-port", port).start();
    cluster.agree_within(AGREE_MAX, [&first, &second]);
}

#[test]
fn a_candidate_that_always_closes_connections_is_given_up() {
    let cluster = Cluster::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.spare_port(0))).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().for_each(drop));
    let member = cluster.start_tcpip(&address);
    member.wait_for_line(GIVEN_UP_MAX, &["never completes the handshake", &address]);
    cluster.agree([&member]);
}

#[test]
fn a_candidate_that_never_responds_is_given_up_and_logged() {
    let cluster = Cluster::new();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.spare_port(0))).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let member = cluster.start_tcpip(&address);
    member.wait_for_line(TIMEOUT, &["it may be a member", &address]);
    member.wait_for_line(GIVEN_UP_MAX, &["never completes the handshake", &address, "count=1"]);
    cluster.agree([&member]);
}
