//! Which of a host's addresses a member uses, and where its clients reach it, when only the
//! discovery mode is configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Host, Lab, Launch, Member, http};

/// The default port of a domain server.
const DOMAIN_PORT: u16 = 4900;

/// A member on a host, which selects its address itself.
fn unconfigured<'a>(cluster: &'a Cluster, host: &Host) -> Launch<'a> {
    cluster.launch().on(host).without("--interfaces").without("--mc-address")
}

#[test]
fn members_with_a_list_of_loopback_addresses_use_loopback() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let first = cluster.start_port();
    let list = format!("tcpip:127.0.0.1:{first},localhost:{}-{}", first + 1, first + 2);
    let members: Vec<Member> =
        (0..2).map(|_| unconfigured(&cluster, lab.host(0)).mode(&list).start()).collect();
    let order = cluster.agree(&members);
    assert!(order.iter().all(|address| address.ip().is_loopback()), "{order:?}");
    // If the list has an address of the network as well, loopback is not used.
    let host = lab.host(0);
    let list = format!("tcpip:127.0.0.1,{}", host.address());
    let member = unconfigured(&cluster, host).mode(list).start();
    assert_eq!(member.address().ip(), host.address());
}

#[test]
fn a_domain_server_on_the_same_host_is_found_over_loopback() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let host = lab.host(0);
    let keeps = ["--cluster-name", "--resp-port", "--port"];
    let server = unconfigured(&cluster, host).subcommand(&["domain"], &keeps).start();
    assert_eq!(server.address(), SocketAddr::new(host.address().into(), DOMAIN_PORT));
    let member = unconfigured(&cluster, host).mode("domain:localhost").start();
    cluster.agree(&[server, member]);
}

#[test]
fn clients_on_the_same_host_reach_a_member_over_ipv4_and_ipv6_loopback() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let host = lab.host(0);
    for own in [IpAddr::V4(host.address()), IpAddr::V6(host.address_v6())] {
        let member = unconfigured(&cluster, host).option("--interfaces", own.to_string()).start();
        let (resp, web) = (member.resp().port(), member.http().port());
        for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            host.inside(|| {
                let mut client = Client::connect(SocketAddr::new(loopback, resp)).expect("RESP");
                assert_eq!(
                    client.command("PING").unwrap(),
                    Value::Simple("PONG".to_owned()),
                    "{loopback}"
                );
                let answer = http::get(SocketAddr::new(loopback, web), "/health/live");
                assert_eq!(answer.expect("HTTP").status, 200, "{loopback}");
            });
        }
    }
}

#[test]
fn a_mode_on_the_command_line_overrides_disabled_discovery_in_the_file() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let file = cluster.write(
        "disabled.xml",
        format!(
            "<hazelcast><cluster-name>{}</cluster-name><network><join><auto-detection enabled='false'/><multicast enabled='false'/></join></network></hazelcast>",
            cluster.name()
        ),
    );
    let list = format!("tcpip:{}:{}", lab.host(0).address(), cluster.start_port());
    let members: Vec<Member> = lab
        .hosts()
        .iter()
        .map(|host| {
            let launch =
                unconfigured(&cluster, host).option("--config", file.display().to_string());
            launch.mode(&list).start()
        })
        .collect();
    cluster.agree(&members);
    let line = ["overridden by the command line or the environment", "no-cluster"];
    assert_eq!(members[0].count_lines(&line), 1);
}

#[test]
fn a_list_without_an_address_of_a_local_network_is_warned_about() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let start = |list: &str| {
        let list = format!("tcpip:{list}:{}", cluster.start_port());
        unconfigured(&cluster, lab.host(0)).mode(list).start()
    };
    let words = ["WARN", "has no address in a network of this host", "10.77.0.1 (eth0), /24"];
    let member = start("192.168.7.1-3");
    member.wait_for_line(Duration::from_secs(5), &words);
    drop(member);
    let member = start("10.77.0.2-3");
    cluster.agree([&member]);
    assert_eq!(member.count_lines(&words[1..]), 0);
}
