//! Members on several addresses, and which of them others use.

use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::Duration;

use convoke_tests::cluster::SOON;
use convoke_tests::{Cluster, Launch, Member};

/// Members that cannot be reached are missed within this.
const MISSED_MAX: Duration = Duration::from_secs(5);

fn on<'a>(cluster: &'a Cluster, interfaces: &str, find: &str) -> Launch<'a> {
    cluster.launch().option("--interfaces", interfaces).mode(format!("tcpip:{find}"))
}

/// Nobody that `member` finds.
fn nowhere(cluster: &Cluster) -> String {
    format!("127.0.0.1:{}", cluster.spare_port(1))
}

/// Both stay together for long enough that probes would fail if they went astray.
fn they_stay(members: [&Member; 2]) {
    let views = members.map(|member| member.record(|record| record.views.len()));
    thread::sleep(MISSED_MAX);
    assert_eq!(members.map(|member| member.record(|record| record.views.len())), views);
    assert!(members.iter().all(|member| member.count_lines(&["a suspected member answered"]) == 0));
}

#[test]
fn a_member_listens_on_all_its_addresses_and_tells_them() {
    let cluster = Cluster::new();
    let both = on(&cluster, "127.0.0.1,127.0.0.2,::1", &nowhere(&cluster)).start();
    cluster.agree([&both]);
    let port = both.address().port();
    let status = both.get("/status").expect("an answer").body;
    for address in ["127.0.0.1", "127.0.0.2", "[::1]"] {
        assert!(status.contains(&format!("\"{address}:{port}\"")), "{address} is not in {status}");
        let place = format!("{address}:{port}");
        std::net::TcpStream::connect(&place).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    assert_eq!(both.address().ip(), IpAddr::from([127, 0, 0, 1]), "the first is told first");
}

#[test]
fn a_member_of_one_family_reaches_one_of_both_at_the_address_that_it_can() {
    let cluster = Cluster::new();
    let both = on(&cluster, "::1,127.0.0.1", &nowhere(&cluster)).start();
    cluster.agree([&both]);
    let port = both.address().port();
    let v4 = on(&cluster, "127.0.0.1", &format!("127.0.0.1:{port}")).start();
    cluster.agree([&both, &v4]);
    they_stay([&both, &v4]);
}

#[test]
fn a_member_that_is_told_by_the_other_family_first_is_reached_all_the_same() {
    let cluster = Cluster::new();
    let both = on(&cluster, "127.0.0.1,::1", &nowhere(&cluster)).start();
    cluster.agree([&both]);
    let port = both.address().port();
    let v6 = on(&cluster, "::1", &format!("[::1]:{port}")).start();
    cluster.agree([&both, &v6]);
    they_stay([&both, &v6]);
}

#[test]
fn a_port_is_free_when_it_is_free_on_all_addresses() {
    let cluster = Cluster::new();
    let start_port = cluster.start_port();
    let _taken = TcpListener::bind((Ipv6Addr::LOCALHOST, start_port)).expect("a free port");
    let both = on(&cluster, "127.0.0.1,::1", &nowhere(&cluster)).start();
    cluster.agree([&both]);
    assert_eq!(both.address().port(), start_port + 1);
}

#[test]
fn addresses_that_others_cannot_dial_are_refused() {
    let cluster = Cluster::new();
    for (list, expected) in [
        ("192.0.2.77", "no address of this host matches; it has 127.0.0.1 (lo)"),
        ("10.0.*", "is not an address or interface; expected"),
        ("10.0.0.0/33", "is not an address or interface; expected"),
        ("nothere0", "no address of this host matches"),
        ("", "is not an address or interface; expected"),
    ] {
        let ended = on(&cluster, list, "127.0.0.1").run(SOON);
        assert!(ended.refusal().contains(expected), "{list:?}: {}", ended.refusal());
    }
}
