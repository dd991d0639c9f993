//! Members on several hosts: links go down, networks split and heal.
//!
//! The hosts are network namespaces. Where these cannot be created, each test reports that it is
//! skipped; with `CI=true` that is a failure.

mod address_selection;
mod address_translation;
mod dns_resolution;
mod link_local;
mod multihomed;
mod reachability;

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::{Cluster, Lab, Member, http};

/// From a link that goes down until all others have removed the host's member. Typically two and
/// a half seconds.
const LOST_MAX: Duration = Duration::from_secs(4);

/// From the link that comes up again until there is one view.
const BACK_MAX: Duration = Duration::from_secs(6);

/// From exec to a joined cluster when other hosts on the list are down.
const JOIN_MAX: Duration = Duration::from_millis(1_500);

/// From exec until thousands of unresponsive hosts are given up.
const LATE_READY_MAX: Duration = Duration::from_secs(20);

/// From exec until two thousand addresses of a connected network were called, with a margin.
const WIDE_NETWORK_MAX: Duration = Duration::from_secs(40);

/// How long two hosts cannot reach each other: several times as long as a lost host takes to be
/// removed.
const BROKEN_PATH: Duration = Duration::from_secs(10);

/// All rounds of the race together.
const RACE_MAX: Duration = Duration::from_secs(120);

/// A member on each host, started one after the other: oldest first.
#[track_caller]
fn start_in_order(cluster: &Cluster, lab: &Lab) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for host in lab.hosts() {
        members.push(cluster.launch().on(host).start());
        cluster.agree(&members);
    }
    members
}

#[test]
fn members_on_three_hosts_find_each_other_by_multicast() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members: Vec<Member> =
        lab.hosts().iter().map(|host| cluster.launch().on(host).start()).collect();
    let mut order = cluster.agree(&members);
    order.sort_unstable();
    let port = cluster.start_port();
    let expected: Vec<_> = lab.hosts().iter().map(|host| (host.address(), port).into()).collect();
    assert_eq!(order, expected, "each on the start port of its host");
}

#[test]
fn members_on_three_hosts_find_each_other_by_ipv6_multicast() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let start = |host: &convoke_tests::Host| {
        let launch = cluster.launch().on(host).without("--mc-address");
        launch.option("--interfaces", host.address_v6().to_string()).start()
    };
    let members: Vec<Member> = lab.hosts().iter().map(start).collect();
    let order = cluster.agree(&members);
    assert!(order.iter().all(|address| address.is_ipv6()), "{order:?}");
}

#[test]
fn members_on_three_hosts_find_each_other_by_a_cidr_range() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let list = format!("tcpip:10.77.0.0/24:{}", cluster.start_port());
    let start = |host| cluster.launch().on(host).mode(&list).start();
    let members: Vec<Member> = lab.hosts().iter().map(start).collect();
    cluster.agree(&members);
}

#[test]
fn listed_hosts_that_are_down_do_not_delay_joining() {
    let cluster = Cluster::exclusive();
    let Some(lab) = Lab::of(3) else { return };
    let first = cluster.launch().on(lab.host(0)).start();
    cluster.agree([&first]);
    lab.unplug(1);
    let port = cluster.start_port();
    let list = format!("tcpip:10.77.0.2:{port},10.77.0.200-220:{port},{}", first.address());
    let second = cluster.launch().on(lab.host(2)).mode(list).start();
    cluster.agree([&first, &second]);
    let took = second.record(|record| {
        let (at, _) = record.views.iter().find(|(_, view)| view.0.len() == 2).unwrap();
        at.duration_since(second.started())
    });
    assert!(took <= JOIN_MAX, "it took {took:?}");
}

/// The kernel resolves each address by ARP, with at most a thousand pending entries: a member
/// must be found even though there are more addresses.
#[test]
fn a_member_in_a_large_sparse_network_is_found_before_a_cluster_is_founded() {
    let cluster = Cluster::exclusive();
    let Some(lab) = Lab::of(2) else { return };
    let (near, far) = (Ipv4Addr::new(10, 79, 0, 1), Ipv4Addr::new(10, 79, 7, 200));
    for (host, address) in [(0, near), (1, far)] {
        lab.add_address(host, address, 20);
    }
    let list = format!("tcpip:10.79.0.0/21:{}", cluster.start_port());
    let itself = format!("tcpip:{far}:{}", cluster.start_port());
    let start = |host, address: Ipv4Addr, list: &str| {
        let launch = cluster.launch().on(lab.host(host)).mode(list);
        launch.option("--interfaces", address.to_string()).start()
    };
    let first = start(1, far, &itself);
    cluster.agree([&first]);
    let second = start(0, near, &list);
    cluster.agree_within(WIDE_NETWORK_MAX, [&first, &second]);
    let views = second.record(|record| record.views.len());
    assert_eq!(views, 1, "it never founded a cluster");
}

/// Calling all the addresses takes longer than a member waits for them.
#[test]
fn a_member_that_becomes_ready_late_logs_it_immediately() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    lab.blackhole(0, "10.78.0.0/16", 1);
    let list = format!("tcpip:10.78.0.0/16:{}", cluster.start_port());
    let member = cluster.launch().on(lab.host(0)).mode(list).start();
    let http = (lab.host(0).address(), cluster.http_port()).into();
    lab.host(0).inside(|| {
        let deadline = Instant::now() + LATE_READY_MAX;
        while !http::get(http, "/health/ready").is_ok_and(|answer| answer.status == 200) {
            assert!(Instant::now() < deadline, "not ready within {LATE_READY_MAX:?}");
            thread::sleep(Duration::from_millis(20));
        }
    });
    member.wait(Duration::from_secs(1), "the ready line", |record| record.ready);
}

#[test]
fn only_a_disconnected_host_is_removed_and_it_returns_to_its_place() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(4) else { return };
    let members = start_in_order(&cluster, &lab);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    // The coordinator, one in the middle, the youngest.
    for lost in [0, 1, 3] {
        let before: Vec<usize> =
            members.iter().map(|member| member.record(|record| record.views.len())).collect();
        lab.unplug(lost);
        let connected: Vec<&Member> = others(&members, lost).collect();
        cluster.agree_within(LOST_MAX, connected.iter().copied());
        let healthy: Vec<_> = connected.iter().map(|member| member.address()).collect();
        for member in &connected {
            let views = member.record(|record| record.views[before[member.index()]..].to_vec());
            for (_, view) in views {
                let all = healthy.iter().all(|address| view.at(*address).is_some());
                assert!(all, "a healthy member was removed: {view:?}");
            }
        }
        lab.plug_in(lost);
        let healed = cluster.agree_within(BACK_MAX, &members);
        assert_eq!(healed, order, "after host {lost} was disconnected");
    }
}

fn others(members: &[Member], index: usize) -> impl Iterator<Item = &Member> {
    members.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, member)| member)
}

#[test]
fn both_halves_of_a_split_continue_and_merge_into_the_old_order() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(4) else { return };
    let members = start_in_order(&cluster, &lab);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    for _ in 0..2 {
        lab.split();
        cluster.agree(&members[..2]);
        cluster.agree(&members[2..]);
        lab.heal();
        assert_eq!(cluster.agree(&members), order);
    }
}

#[test]
fn members_that_joined_either_side_of_a_split_are_in_the_merged_view() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(4) else { return };
    let mut members = start_in_order(&cluster, &lab);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    lab.split();
    cluster.agree(&members[..2]);
    cluster.agree(&members[2..]);
    let left = cluster.launch().on(lab.host(0)).start();
    let right = cluster.launch().on(lab.host(3)).start();
    cluster.agree(members[..2].iter().chain([&left]));
    cluster.agree(members[2..].iter().chain([&right]));
    lab.heal();
    members.extend([left, right]);
    let healed = cluster.agree(&members);
    assert_eq!(healed[..4], order[..], "the earlier members first, in their old order");
}

/// SWIM probes through other members before it declares a member dead, and gossip spreads through
/// all of them.
#[test]
fn no_member_is_removed_when_two_hosts_cannot_reach_each_other() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(5) else { return };
    let (first_four, spare) = (&lab.hosts()[..4], lab.host(4));
    let mut members: Vec<Member> = Vec::new();
    for host in first_four {
        members.push(cluster.launch().on(host).start());
        cluster.agree(&members);
    }
    let order = cluster.agree(&members);
    // The coordinator, and a member that it can then probe only through others.
    lab.disconnect(0, 2);
    thread::sleep(BROKEN_PATH);
    cluster.agree_within(Duration::ZERO, &members);
    let views = members[3].record(|record| record.views.len());
    assert_eq!(views, 1, "the view has not changed since it joined");
    members.push(cluster.launch().on(spare).start());
    let with_fifth = cluster.agree(&members);
    assert_eq!(with_fifth[..4], order[..]);
    lab.reconnect(0, 2);
    members.pop();
    assert_eq!(cluster.agree(&members), order);
}

#[test]
fn a_flapping_link_ends_in_one_cluster() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = start_in_order(&cluster, &lab);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    for down_ms in [300, 1_500, 2_500, 800, 3_500] {
        lab.unplug(1);
        thread::sleep(Duration::from_millis(down_ms));
        lab.plug_in(1);
        thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(cluster.agree(&members), order);
}

#[test]
fn a_split_of_members_with_static_lists_heals() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(4) else { return };
    let list = format!("tcpip:10.77.0.1-4:{}", cluster.start_port());
    let start = |host| cluster.launch().on(host).mode(&list).start();
    let members: Vec<Member> = lab.hosts().iter().map(start).collect();
    let order = cluster.agree(&members);
    lab.split();
    cluster.agree(&members[..2]);
    cluster.agree(&members[2..]);
    lab.heal();
    assert_eq!(cluster.agree(&members), order);
}

#[test]
fn two_members_started_in_the_same_millisecond_on_two_hosts_form_one_cluster() {
    let cluster = Cluster::exclusive();
    let Some(lab) = Lab::of(2) else { return };
    let started = Instant::now();
    for round in 0..100 {
        let pair = [0, 1].map(|host| cluster.launch().on(lab.host(host)).start());
        cluster.agree(&pair);
        assert!(started.elapsed() < RACE_MAX, "only {round} rounds in {RACE_MAX:?}");
    }
}
