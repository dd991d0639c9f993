//! Members that can find each other form one cluster, in every discovery mode.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use convoke_tests::{Cluster, Member};

#[test]
fn two_members_find_each_other_by_multicast() {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let second = cluster.start();
    assert_eq!(cluster.agree([&first, &second]), [first.address(), second.address()]);
}

#[test]
fn two_members_find_each_other_by_a_list_of_addresses() {
    let cluster = Cluster::new();
    let port = cluster.start_port();
    let list = format!("127.0.0.1:{port}-{}", port + 3);
    let first = cluster.start_tcpip(&list);
    cluster.agree([&first]);
    let second = cluster.start_tcpip(&list);
    assert_eq!(cluster.agree([&first, &second]), [first.address(), second.address()]);
}

#[test]
fn a_list_without_ports_stands_for_the_start_port_and_the_next_two() {
    let cluster = Cluster::new();
    let first = cluster.start_tcpip("127.0.0.1");
    let second = cluster.start_tcpip("127.0.0.1");
    cluster.agree([&first, &second]);
    let third = cluster.start_tcpip("127.0.0.1");
    let port = cluster.start_port();
    cluster.agree([&first, &second, &third]);
    assert_eq!(third.address().port(), port + 2);
}

#[test]
fn a_member_is_found_by_an_address_range() {
    let cluster = Cluster::new();
    let first = cluster.start();
    let port = first.address().port();
    let second = cluster.start_tcpip(&format!("127.0.0.0/28:{port}"));
    cluster.agree([&first, &second]);
}

#[test]
fn members_with_different_modes_form_one_cluster() {
    let cluster = Cluster::new();
    let by_multicast = cluster.start();
    let named = by_multicast.address();
    let by_list = cluster.start_tcpip(&named.to_string());
    let by_both =
        cluster.launch().mode("multicast").mode(format!("tcpip:{}", by_list.address())).start();
    cluster.agree([&by_multicast, &by_list, &by_both]);
}

#[test]
fn a_member_with_two_modes_merges_two_clusters() {
    let cluster = Cluster::new();
    let by_multicast = cluster.start();
    let by_list = cluster.start_tcpip("127.0.0.1:1");
    cluster.agree([&by_multicast]);
    cluster.agree([&by_list]);
    let listed = format!("tcpip:{}", by_list.address());
    let bridge = cluster.launch().mode("multicast").mode(listed).start();
    cluster.agree([&by_multicast, &by_list, &bridge]);
}

#[test]
fn the_multicast_group_can_be_set_in_the_mode_argument() {
    let cluster = Cluster::new();
    let group = cluster.group();
    let first = cluster.start();
    let named = format!("multicast:{}:{}", group.ip(), group.port());
    let second = cluster.launch().without("--mc-address").without("--mc-port").mode(named).start();
    cluster.agree([&first, &second]);
}

#[test]
fn a_member_finds_others_over_ipv6() {
    let cluster = Cluster::new();
    let port = cluster.start_port();
    let list = format!("[::1]:{port}-{}", port + 1);
    let member = || cluster.launch().at("::1").mode(format!("tcpip:{list}")).start();
    let (first, second) = (member(), member());
    let order = cluster.agree([&first, &second]);
    assert!(order.iter().all(|address| address.is_ipv6()), "{order:?}");
}

#[test]
fn an_ipv6_only_member_uses_an_ipv6_group() {
    let cluster = Cluster::new();
    if !multicast_works_on_loopback_v6() {
        println!("SKIPPED (this system has no IPv6 multicast on loopback)");
        return;
    }
    let member = || cluster.launch().at("::1").without("--mc-address").start();
    let (first, second) = (member(), member());
    cluster.agree([&first, &second]);
}

/// Whether multicast works on IPv6 loopback; many systems have no route for it. The network
/// tests cover the same on the interfaces of a lab.
fn multicast_works_on_loopback_v6() -> bool {
    let group: Ipv6Addr = "ff15::2904:77".parse().unwrap();
    let tried = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let port = socket.local_addr()?.port();
        socket.join_multicast_v6(&group, 1)?;
        socket.send_to(b"x", SocketAddrV6::new(group, port, 0, 1))?;
        Ok(socket.recv(&mut [0; 8])? == 1)
    };
    tried().unwrap_or(false)
}

#[test]
fn lite_members_can_found_a_cluster_that_full_members_join() {
    let cluster = Cluster::new();
    let lite = || cluster.launch().flag("--lite").start();
    let (first, second) = (lite(), lite());
    cluster.agree([&first, &second]);
    let full = cluster.start();
    cluster.agree([&first, &second, &full]);
}

#[test]
fn members_on_two_addresses_of_one_machine_can_share_a_port() {
    let cluster = Cluster::new();
    let members = ["127.0.0.2", "127.0.0.3"].map(|ip| cluster.launch().at(ip).start());
    let order = cluster.agree(&members);
    assert!(order.iter().all(|address| address.port() == cluster.start_port()), "{order:?}");
}

#[test]
fn interfaces_are_selected_by_name_wildcard_and_network() {
    let cluster = Cluster::new();
    let list = format!("tcpip:127.0.0.1:{0}-{1}", cluster.start_port(), cluster.start_port() + 3);
    let lists = ["lo", "127.*.*.*", "127.0.0.0/8", "203.0.113.77,127.0.0.1"];
    let members = lists.map(|interfaces| cluster.launch().at(interfaces).mode(&list).start());
    cluster.agree(&members);
}

#[test]
fn a_later_member_is_listed_after_the_earlier_ones() {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(4);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    assert_eq!(cluster.agree(&members), order);
}

#[test]
fn twenty_members_started_at_once_form_one_cluster() {
    let cluster = Cluster::exclusive();
    let members: Vec<Member> = (0..20).map(|_| cluster.start()).collect();
    cluster.agree_within(Duration::from_secs(20), &members);
}
