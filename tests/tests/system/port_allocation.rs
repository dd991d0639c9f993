//! Members choose the next free port if one is in use.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::TIMEOUT;

#[test]
fn a_member_port_in_use_by_tcp_is_skipped() {
    let cluster = Cluster::new();
    let port = cluster.start_port();
    let _in_use = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(cluster.start().address().port(), port + 1);
}

#[test]
fn a_member_port_in_use_by_udp_is_skipped() {
    let cluster = Cluster::new();
    let port = cluster.start_port();
    let _in_use = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(cluster.start().address().port(), port + 1);
}

#[test]
fn members_on_one_machine_use_consecutive_ports() {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(3);
    let ports: Vec<u16> = members.iter().map(|member| member.address().port()).collect();
    let first = cluster.start_port();
    assert_eq!(ports, [first, first + 1, first + 2]);
}

#[test]
fn an_http_port_in_use_is_an_error_that_names_auto_bind() {
    let cluster = Cluster::new();
    let _in_use = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.http_port())).unwrap();
    let launch = cluster.launch().without("--auto-bind-http").without("--auto-bind-range");
    let ended = launch.run(TIMEOUT);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(ended.stderr.contains(&cluster.http_port().to_string()), "{ended:?}");
    assert!(ended.stderr.contains("--auto-bind-http"), "{ended:?}");
}

#[test]
fn auto_bind_uses_the_next_free_http_port() {
    let cluster = Cluster::new();
    let _in_use = TcpListener::bind((Ipv4Addr::LOCALHOST, cluster.http_port())).unwrap();
    let member = cluster.start();
    assert_eq!(member.http().port(), cluster.http_port() + 1);
    assert_eq!(member.get("/health/live").unwrap().status, 200);
}

#[test]
fn auto_bind_fails_at_the_end_of_its_range() {
    let cluster = Cluster::new();
    let first = cluster.http_port();
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _in_use: Vec<TcpListener> = (first..=first + 2).map(listen).collect();
    let ended = cluster.launch().option("--auto-bind-range", "2").run(Duration::from_secs(10));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{}", first + 2)), "{ended:?}");
}
