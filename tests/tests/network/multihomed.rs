//! Members with several addresses, one of which is lost or misleading.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::{Cluster, Lab, Member, Record};

/// Members that cannot be reached are removed within this time.
const REMOVED_MAX: Duration = Duration::from_secs(6);

/// Shorter than SWIM takes to declare a member dead.
const SHORT_OUTAGE: Duration = Duration::from_millis(700);

/// A member may be removed in an outage that took longer because the machine is busy.
const OUTAGE_MAX: Duration = Duration::from_millis(900);

/// Attempts to produce three short outages.
const OUTAGES_MAX: usize = 10;

/// From the end of a process until the others have removed it, when its host is up.
const DEAD_PROCESS_MAX: Duration = Duration::from_millis(1_500);

/// The address of a bridge that every host has: on each host it leads to the host itself.
const BRIDGE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 2);

/// A member on each host, with the host's own address and that of a bridge.
#[track_caller]
fn start_with_bridges(cluster: &Cluster, lab: &Lab) -> Vec<Member> {
    let list = format!("tcpip:{}:{}", lab.host(0).address(), cluster.start_port());
    let mut members: Vec<Member> = Vec::new();
    for (index, host) in lab.hosts().iter().enumerate() {
        lab.add_bridge(index, BRIDGE);
        let both = format!("{},{BRIDGE}", host.address());
        members.push(cluster.launch().on(host).option("--interfaces", both).mode(&list).start());
        cluster.agree(&members);
    }
    members
}

#[test]
fn a_stream_that_breaks_in_a_short_outage_removes_no_member_despite_a_misleading_address() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let members = start_with_bridges(&cluster, &lab);
    let order = cluster.agree(&members);
    let lost = || -> usize { members.iter().map(|member| member.count_lines(&[" lost"])).sum() };
    let mut short = 0;
    for _ in 0..OUTAGES_MAX {
        let (before, began) = (lost(), Instant::now());
        lab.unplug(1);
        lab.break_streams(0, 1);
        thread::sleep(SHORT_OUTAGE);
        lab.plug_in(1);
        let took = began.elapsed();
        thread::sleep(REMOVED_MAX / 2);
        if took <= OUTAGE_MAX {
            assert_eq!(lost(), before, "no member is removed, even briefly, after {took:?}");
            short += 1;
        }
        if short == 3 {
            break;
        }
    }
    if short == 0 {
        eprintln!("skipped: this machine is too busy for an outage of {OUTAGE_MAX:?}");
    }
    assert_eq!(cluster.agree(&members), order);
}

#[test]
fn a_dead_process_is_removed_immediately_despite_a_misleading_address() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let mut members = start_with_bridges(&cluster, &lab);
    let mut victim = members.remove(1);
    victim.kill();
    cluster.agree_within(DEAD_PROCESS_MAX, &members);
}

#[test]
fn a_member_that_loses_one_of_two_addresses_stays_at_the_other() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let list = format!("tcpip:{}:{}", lab.host(0).address(), cluster.start_port());
    let mut members: Vec<Member> = Vec::new();
    for host in lab.hosts() {
        let both = format!("{},{}", host.address(), host.address_v6());
        let launch = cluster.launch().on(host).option("--interfaces", both).mode(&list);
        members.push(launch.start());
        cluster.agree(&members);
    }
    lab.drop_address(1);
    thread::sleep(REMOVED_MAX);
    for member in &members {
        let view = member.view().expect("it is in a cluster");
        let listed: Vec<IpAddr> = view.addresses().iter().map(SocketAddr::ip).collect();
        let hosts = lab.hosts();
        let left: [IpAddr; 3] =
            [hosts[0].address().into(), hosts[1].address_v6().into(), hosts[2].address().into()];
        assert_eq!(listed, left, "it is listed at the address that is left, in its place");
    }
    let lost: usize = members.iter().map(|member| member.count_lines(&[" lost"])).sum();
    assert_eq!(lost, 0, "no member was removed, even briefly");
}

#[test]
fn an_address_is_listened_on_each_time_it_is_added() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let host = lab.host(0);
    let member = cluster.launch().on(host).option("--interfaces", "eth0").start();
    member.ready();
    let [a, b, c, d] = host.address().octets();
    let floating = Ipv4Addr::new(a, b, c, d + 100);
    for change in [Lab::add_address, Lab::remove_address].into_iter().cycle().take(6) {
        let before = member.record(Record::mark);
        change(&lab, 0, floating, 24);
        member.wait(REMOVED_MAX, "the change of addresses", |record| {
            let mut news = record.lines_since(before);
            news.find(|line| line.text.contains("the addresses of this host changed")).cloned()
        });
    }
    for words in ["cannot serve", "cannot listen"] {
        assert_eq!(member.count_lines(&[words]), 0, "{words}");
    }
}
