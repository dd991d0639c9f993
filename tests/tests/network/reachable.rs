//! A member belongs only if the others can call it.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use convoke_tests::{Cluster, Lab, Member, http};

/// Several times as long as a member that is not heard takes to be missed.
const WATCHED: Duration = Duration::from_secs(8);

/// From an address that is gone until operators are told.
const TOLD_MAX: Duration = Duration::from_secs(40);

/// From a port that is opened until the member is in: the longest wait before it asks again.
const LET_IN_MAX: Duration = Duration::from_secs(30);

fn start(cluster: &Cluster, lab: &Lab, index: usize) -> Member {
    let list = format!("tcpip:10.77.0.1-3:{}", cluster.start_port());
    cluster.launch().on(lab.host(index)).mode(list).start()
}

fn readiness(cluster: &Cluster, lab: &Lab, index: usize) -> u16 {
    let host = lab.host(index);
    let address = (host.address(), cluster.http_port()).into();
    let loopback = (Ipv4Addr::LOCALHOST, cluster.http_port()).into();
    host.inside(|| {
        let answer = http::get(address, "/health/ready");
        answer.or_else(|_| http::get(loopback, "/health/ready")).map_or(0, |a| a.status)
    })
}

#[test]
fn a_member_that_gets_no_datagrams_stays_by_its_streams_and_the_log_says_so() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = [0, 1, 2].map(|index| start(&cluster, &lab, index));
    let order = cluster.agree(&members);
    let port = cluster.start_port();
    lab.close_port(2, port, &["udp"]);
    let words = ["WARN", "UDP", &port.to_string()].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let third = members.iter().find(|member| member.address().ip() == lab.host(2).address());
    third.expect("it runs").wait_for_line(TOLD_MAX, &words);
    thread::sleep(WATCHED);
    let lost: usize = members.iter().map(|member| member.count_lines(&[" lost"])).sum();
    assert_eq!(lost, 0, "it stays");
    assert_eq!(cluster.agree(&members), order);
    lab.open_port(2, port, &["udp"]);
    third.expect("it runs").wait_for_line(TOLD_MAX, &["datagrams pass again"]);
}

#[test]
fn a_member_that_nobody_can_call_is_not_let_in_until_it_can_be_called() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = [0, 1].map(|index| start(&cluster, &lab, index));
    cluster.agree(&members);
    let port = cluster.start_port();
    lab.close_port(2, port, &["tcp", "udp"]);
    let views = || members.each_ref().map(|member| member.record(|record| record.views.len()));
    let before = views();
    let closed = start(&cluster, &lab, 2);
    let open_tcp = format!("Open TCP port {port}");
    closed.wait_for_line(TOLD_MAX, &["WARN", "do not let this one in", &open_tcp]);
    thread::sleep(WATCHED);
    assert_eq!(views(), before, "the others saw nobody come or go");
    let said: usize = members.iter().map(|m| m.count_lines(&["WARN", "not let in"])).sum();
    assert!(said >= 1, "their side says it as well");
    assert_eq!(readiness(&cluster, &lab, 2), 503);
    lab.open_port(2, port, &["tcp", "udp"]);
    let [first, second] = &members;
    cluster.agree_within(LET_IN_MAX, [first, second, &closed]);
    assert_eq!(readiness(&cluster, &lab, 2), 200);
}

#[test]
fn a_member_whose_address_is_gone_is_lost_once_and_says_what_is_wrong() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let members = [0, 1].map(|index| start(&cluster, &lab, index));
    cluster.agree(&members);
    let gone = lab.host(1).address();
    lab.change_address(1, Ipv4Addr::new(10, 77, 0, 22));
    let [first, second] = &members;
    let (first, second) =
        if first.address().ip() == gone { (second, first) } else { (first, second) };
    let words = ["ERROR", &gone.to_string(), "no address of this host any more"];
    second.wait_for_line(TOLD_MAX, &words);
    thread::sleep(WATCHED);
    assert_eq!(first.count_lines(&["members changed", " lost"]), 1, "and no cycle");
    assert_eq!(first.view().map(|view| view.0.len()), Some(1));
    assert_eq!(readiness(&cluster, &lab, 1), 503);
}
