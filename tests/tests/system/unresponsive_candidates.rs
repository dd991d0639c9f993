//! A candidate that takes a connection and does not complete the handshake may be a member:
//! no cluster is founded beside it.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::{AGREE_MAX, SOON};
use rustix::process::Signal;

/// Until something that never speaks is given up, and some.
const GIVEN_UP_MAX: Duration = Duration::from_secs(40);

#[test]
fn a_member_that_is_paused_is_waited_for_and_joined() {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    first.signal(Signal::STOP);
    let second = cluster.start_tcpip(&first.address().to_string());
    // By then it was called twice, and each handshake had all its time.
    second.wait_for_line(SOON, &["it may be a member", &first.address().to_string()]);
    first.signal(Signal::CONT);
    cluster.agree([&first, &second]);
    let views = second.record(|record| record.views.len());
    assert_eq!(views, 1, "it never had a cluster of its own");
}

#[test]
fn a_member_that_hangs_up_at_first_is_waited_for_and_joined() {
    let cluster = Cluster::new();
    // In place of a member that is starting: it hangs up.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.spare_port(0))).unwrap();
    let address = listener.local_addr().unwrap();
    let hanging_up = thread::spawn(move || {
        for _ in 0..4 {
            drop(listener.accept().unwrap());
        }
    });
    let second = cluster.start_tcpip(&address.to_string());
    second.wait_for_line(SOON, &["it may be a member", &address.to_string()]);
    hanging_up.join().unwrap();
    let port = address.port().to_string();
    let first = cluster.launch().without("--start-port").option("--start-port", port).start();
    cluster.agree_within(AGREE_MAX, [&first, &second]);
}

#[test]
fn what_always_hangs_up_is_given_up_as_well() {
    let cluster = Cluster::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.spare_port(0))).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().for_each(drop));
    let member = cluster.start_tcpip(&address);
    member.wait_for_line(GIVEN_UP_MAX, &["never completes the handshake", &address]);
    cluster.agree([&member]);
}

#[test]
fn what_never_speaks_is_given_up_and_said_so() {
    let cluster = Cluster::new();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.spare_port(0))).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let member = cluster.start_tcpip(&address);
    member.wait_for_line(SOON, &["it may be a member", &address]);
    member.wait_for_line(GIVEN_UP_MAX, &["never completes the handshake", &address, "count=1"]);
    cluster.agree([&member]);
}
