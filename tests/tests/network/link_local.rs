//! Members with link-local addresses only (RFC 4007): the index of the interface differs from host
//! to host.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Lab, Launch, Member};

/// From the start until both have one view.
const AGREED_MAX: Duration = Duration::from_secs(10);

fn ip(index: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa0 + index as u16)
}

/// Hosts without any other address. On the second the interface has another index.
fn lab() -> Option<Lab> {
    let lab = Lab::of(2)?;
    lab.replace_interface(1);
    for index in [0, 1] {
        lab.drop_addresses(index);
        lab.add_address_v6(index, ip(index));
    }
    Some(lab)
}

fn launch<'c>(cluster: &'c Cluster, lab: &Lab, index: usize) -> Launch<'c> {
    cluster.launch().on(lab.host(index)).without("--interfaces")
}

/// They are in one cluster at these addresses, and serve the same data.
#[track_caller]
fn assert_one_cluster(cluster: &Cluster, members: &[Member; 2]) {
    cluster.agree_within(AGREED_MAX, members);
    let mut addresses: Vec<SocketAddr> = members.iter().map(Member::address).collect();
    addresses.sort_unstable();
    let expected = [0, 1].map(|index| SocketAddr::new(ip(index).into(), cluster.start_port()));
    assert_eq!(addresses, expected);
    let mut clients = members.iter().map(Member::client);
    let (mut one, mut other) = (clients.next().unwrap(), clients.next().unwrap());
    for n in 0..50 {
        assert_eq!(one.command(&format!("SET k{n} {n}")).unwrap(), Value::ok());
        let found = other.command(&format!("GET k{n}")).unwrap();
        assert_eq!(found, Value::Bytes(n.to_string().into_bytes()));
    }
}

#[test]
fn members_find_each_other_by_a_list_of_link_local_addresses() {
    let cluster = Cluster::new();
    let Some(lab) = lab() else { return };
    let port = cluster.start_port();
    let list = format!("tcpip:[{}%eth0]:{port},[{}%eth0]:{port}", ip(0), ip(1));
    let members = [0, 1].map(|index| launch(&cluster, &lab, index).mode(&list).start());
    assert_one_cluster(&cluster, &members);
    for member in &members {
        assert_eq!(member.count_lines(&["no UDP datagrams"]), 0);
        assert_eq!(member.count_lines(&["cannot connect to"]), 0);
    }
}

/// Meanwhile its host has only loopback, which leads to no other member.
#[test]
fn a_member_rejoins_when_its_only_address_is_restored() {
    let cluster = Cluster::new();
    let Some(lab) = lab() else { return };
    let port = cluster.start_port();
    let list = format!("tcpip:[{}%eth0]:{port},[{}%eth0]:{port}", ip(0), ip(1));
    let members = [0, 1].map(|index| launch(&cluster, &lab, index).mode(&list).start());
    cluster.agree_within(AGREED_MAX, &members);
    lab.drop_addresses(1);
    members[1].wait_for_line(AGREED_MAX, &["ERROR", "no usable address any more"]);
    lab.add_address_v6(1, ip(1));
    members[1].wait_for_line(AGREED_MAX, &["has a usable address again"]);
    assert_one_cluster(&cluster, &members);
}

#[test]
fn members_find_each_other_by_multicast_from_link_local_addresses() {
    let cluster = Cluster::new();
    let Some(lab) = lab() else { return };
    let members = [0, 1].map(|index| {
        let interface = format!("{}%eth0", ip(index));
        let launch = launch(&cluster, &lab, index).option("--interfaces", interface);
        launch.option("--mc-address", "ff02::2904").start()
    });
    assert_one_cluster(&cluster, &members);
}

#[test]
fn a_zone_that_is_not_an_interface_is_logged() {
    let cluster = Cluster::new();
    let Some(lab) = lab() else { return };
    let list = format!("tcpip:[{}%eth7]:{}", ip(1), cluster.start_port());
    let member = launch(&cluster, &lab, 0).mode(list).start();
    let words = ["its zone is not an interface of this host", "fe80::a1%eth7"];
    member.wait_for_line(AGREED_MAX, &words);
}
