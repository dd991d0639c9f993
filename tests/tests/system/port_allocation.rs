//! A port that is taken costs nothing but the next one.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::SOON;

#[test]
fn a_taken_tcp_port_is_left_alone() {
    let cluster = Cluster::new();
    let port = cluster.start_port();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(cluster.start().address().port(), port + 1);
}

#[test]
fn a_taken_udp_port_is_left_alone() {
    let cluster = Cluster::new();
    let port = cluster.start_port();
    let _taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(cluster.start().address().port(), port + 1);
}

#[test]
fn members_on_one_machine_take_one_port_after_the_other() {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(3);
    let ports: Vec<u16> = members.iter().map(|member| member.address().port()).collect();
    let first = cluster.start_port();
    assert_eq!(ports, [first, first + 1, first + 2]);
}

#[test]
fn a_taken_http_port_is_a_refusal_that_says_how_to_get_another() {
    let cluster = Cluster::new();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.http_port())).unwrap();
    let launch = cluster.launch().without("--auto-bind-http").without("--auto-bind-range");
    let ended = launch.run(SOON);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(ended.stderr.contains(&cluster.http_port().to_string()), "{ended:?}");
    assert!(ended.stderr.contains("--auto-bind-http"), "{ended:?}");
}

#[test]
fn with_auto_bind_the_next_free_http_port_is_taken() {
    let cluster = Cluster::new();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.http_port())).unwrap();
    let member = cluster.start();
    assert_eq!(member.http().port(), cluster.http_port() + 1);
    assert_eq!(member.get("/health/live").unwrap().status, 200);
}

#[test]
fn auto_bind_ends_with_its_range() {
    let cluster = Cluster::new();
    let first = cluster.http_port();
    let taken = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _taken: Vec<TcpListener> = (first..=first + 2).map(taken).collect();
    let ended = cluster.launch().option("--auto-bind-range", "2").run(Duration::from_secs(10));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{}", first + 2)), "{ended:?}");
}
