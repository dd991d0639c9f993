//! Members with two addresses, of which one goes away.

use std::thread;
use std::time::Duration;

use convoke_tests::{Cluster, Lab, Member};

/// Members that cannot be reached are missed within this.
const MISSED_MAX: Duration = Duration::from_secs(6);

#[test]
fn a_member_that_loses_one_of_two_addresses_stays_by_the_other() {
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
    let order = cluster.agree(&members);
    lab.drop_address(1);
    thread::sleep(MISSED_MAX);
    assert_eq!(cluster.agree(&members), order, "nobody is missed");
    let lost: usize = members.iter().map(|member| member.count_lines(&[" lost"])).sum();
    assert_eq!(lost, 0, "not even for a moment");
}
