//! Members that listen on several addresses, and the address that other members use.

use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{Cluster, Launch, Member};

/// Members that cannot be reached are removed within this time.
const REMOVED_MAX: Duration = Duration::from_secs(5);

fn on<'a>(cluster: &'a Cluster, interfaces: &str, find: &str) -> Launch<'a> {
    cluster.launch().option("--interfaces", interfaces).mode(format!("tcpip:{find}"))
}

/// An address at which there is no member.
fn unused_address(cluster: &Cluster) -> String {
    format!("127.0.0.1:{}", cluster.spare_port(1))
}

/// Neither is removed, nor suspected, in the time that failing probes would take.
fn assert_stable(members: [&Member; 2]) {
    let views = members.map(|member| member.record(|record| record.views.len()));
    thread::sleep(REMOVED_MAX);
    assert_eq!(members.map(|member| member.record(|record| record.views.len())), views);
    assert!(members.iter().all(|member| member.count_lines(&["a suspected member answered"]) == 0));
}

#[test]
fn a_member_listens_on_and_advertises_all_its_addresses() {
    let cluster = Cluster::new();
    let both = on(&cluster, "127.0.0.1,127.0.0.2,::1", &unused_address(&cluster)).start();
    cluster.agree([&both]);
    let port = both.address().port();
    let status = both.get("/status").expect("an answer").body;
    for address in ["127.0.0.1", "127.0.0.2", "[::1]"] {
        assert!(status.contains(&format!("\"{address}:{port}\"")), "{address} is not in {status}");
        let address = format!("{address}:{port}");
        std::net::TcpStream::connect(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    assert_eq!(
        both.address().ip(),
        IpAddr::from([127, 0, 0, 1]),
        "the first address is advertised first"
    );
}

#[test]
fn an_ipv4_member_reaches_a_dual_stack_member_at_its_ipv4_address() {
    let cluster = Cluster::new();
    let both = on(&cluster, "::1,127.0.0.1", &unused_address(&cluster)).start();
    cluster.agree([&both]);
    let port = both.address().port();
    let v4 = on(&cluster, "127.0.0.1", &format!("127.0.0.1:{port}")).start();
    cluster.agree([&both, &v4]);
    assert_stable([&both, &v4]);
}

#[test]
fn an_ipv6_member_reaches_a_dual_stack_member_that_advertises_ipv4_first() {
    let cluster = Cluster::new();
    let both = on(&cluster, "127.0.0.1,::1", &unused_address(&cluster)).start();
    cluster.agree([&both]);
    let port = both.address().port();
    let v6 = on(&cluster, "::1", &format!("[::1]:{port}")).start();
    cluster.agree([&both, &v6]);
    assert_stable([&both, &v6]);
}

#[test]
fn a_port_is_used_only_if_it_is_free_on_all_addresses() {
    let cluster = Cluster::new();
    let start_port = cluster.start_port();
    let _taken = TcpListener::bind((Ipv6Addr::LOCALHOST, start_port)).expect("a free port");
    let both = on(&cluster, "127.0.0.1,::1", &unused_address(&cluster)).start();
    cluster.agree([&both]);
    assert_eq!(both.address().port(), start_port + 1);
}

#[test]
fn invalid_interfaces_are_rejected() {
    let cluster = Cluster::new();
    for (list, expected) in [
        ("192.0.2.77", "no address of this host matches; it has 127.0.0.1 (lo)"),
        ("10.0.*", "is not an address or interface; expected"),
        ("10.0.0.0/33", "is not an address or interface; expected"),
        ("nothere0", "no address of this host matches"),
        ("", "is not an address or interface; expected"),
    ] {
        let ended = on(&cluster, list, "127.0.0.1").run(TIMEOUT);
        assert!(ended.refusal().contains(expected), "{list:?}: {}", ended.refusal());
    }
}
