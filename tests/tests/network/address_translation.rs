//! Members behind translated addresses, on hosts with identical internal networks.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use convoke_tests::cluster::AGREE_MAX;
use convoke_tests::relay::relay;
use convoke_tests::{Cluster, Lab, Member};

/// Members that cannot be reached are removed within this time: behind a translated address, a
/// dead process does not refuse connections.
const REMOVED_MAX: Duration = Duration::from_secs(6);

/// The address that each member listens on: the same on every host.
const INSIDE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 2);

/// Waits until all list one another at their public addresses, in the order in which they
/// started.
#[track_caller]
fn agree(cluster: &Cluster, bound: Duration, lab: &Lab, members: &[Member]) {
    let port = cluster.start_port();
    let hosts = lab.hosts().iter().take(members.len());
    let expected: Vec<SocketAddr> = hosts.map(|host| (host.address(), port).into()).collect();
    for member in members {
        member.wait(bound, &format!("a view of {expected:?}"), |record| {
            (record.view()?.addresses() == expected).then_some(())
        });
    }
}

/// A member on each host, behind the host's address.
#[track_caller]
fn start(cluster: &Cluster, lab: &Lab) -> Vec<Member> {
    let port = cluster.start_port();
    let list = format!("tcpip:{}:{port}", lab.host(0).address());
    let mut members: Vec<Member> = Vec::new();
    for (index, host) in lab.hosts().iter().enumerate() {
        lab.add_bridge(index, INSIDE);
        let public = SocketAddr::from((host.address(), port));
        host.inside(|| relay(public, SocketAddr::from((INSIDE, port))));
        let launch = cluster.launch().on(host).option("--interfaces", INSIDE.to_string());
        members.push(launch.option("--public-address", public.to_string()).mode(&list).start());
        agree(cluster, AGREE_MAX, lab, &members);
    }
    members
}

/// Datagrams of the others have the host's own address as their source and are dropped by the
/// kernel, so streams are used.
#[test]
fn members_with_the_same_internal_address_are_distinguished_by_their_public_ones() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let mut members = start(&cluster, &lab);
    let lost = || -> usize { members.iter().map(|member| member.count_lines(&[" lost"])).sum() };
    thread::sleep(REMOVED_MAX);
    assert_eq!(lost(), 0, "an answer from a member's own host says nothing about the others");

    lab.unplug(1);
    thread::sleep(REMOVED_MAX);
    lab.plug_in(1);
    agree(&cluster, AGREE_MAX, &lab, &members);

    members.pop().expect("there are three").kill();
    agree(&cluster, REMOVED_MAX, &lab, &members);
}
