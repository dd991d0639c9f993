//! Only members that the others can connect to are in the view, at the current addresses of their
//! hosts.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::launch::Launch;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Lab, Member, http};

/// Several times as long as an unresponsive member takes to be removed.
const WATCHED: Duration = Duration::from_secs(8);

/// From a lost address until it is logged.
const LOGGED_MAX: Duration = Duration::from_secs(40);

/// From a blocked port until the others have removed its member.
const REMOVED_MAX: Duration = Duration::from_secs(40);

/// From a change of addresses until all members list the new one.
const UPDATED_MAX: Duration = Duration::from_secs(5);

/// From an unblocked port until the member has joined: the longest delay between two join
/// attempts.
const JOIN_MAX: Duration = Duration::from_secs(30);

fn launch<'a>(cluster: &'a Cluster, lab: &Lab, index: usize) -> Launch<'a> {
    let list = format!("tcpip:10.77.0.1-3:{}", cluster.start_port());
    cluster.launch().on(lab.host(index)).mode(list)
}

fn start(cluster: &Cluster, lab: &Lab, index: usize) -> Member {
    launch(cluster, lab, index).start()
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

/// Waits until `/health/ready` returns this status, which may be shortly after the log line.
#[track_caller]
fn wait_for_readiness(cluster: &Cluster, lab: &Lab, index: usize, status: u16) {
    let deadline = Instant::now() + UPDATED_MAX;
    loop {
        let found = readiness(cluster, lab, index);
        if found == status {
            return;
        }
        assert!(Instant::now() < deadline, "host {index}: {found}, not {status}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_member_without_udp_stays_in_the_view_over_tcp_and_logs_it() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = [0, 1, 2].map(|index| start(&cluster, &lab, index));
    let order = cluster.agree(&members);
    let port = cluster.start_port();
    lab.block_port(2, port, &["udp"]);
    let words = ["WARN", "UDP", &port.to_string()].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let third = members.iter().find(|member| member.address().ip() == lab.host(2).address());
    third.expect("it runs").wait_for_line(LOGGED_MAX, &words);
    thread::sleep(WATCHED);
    let lost: usize = members.iter().map(|member| member.count_lines(&[" lost"])).sum();
    assert_eq!(lost, 0, "it is not removed");
    assert_eq!(cluster.agree(&members), order);
    lab.unblock_port(2, port, &["udp"]);
    third.expect("it runs").wait_for_line(LOGGED_MAX, &["datagrams arrive again"]);
}

#[test]
fn a_member_that_cannot_be_connected_to_is_refused_until_it_can_be() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = [0, 1].map(|index| start(&cluster, &lab, index));
    cluster.agree(&members);
    let port = cluster.start_port();
    lab.block_port(2, port, &["tcp", "udp"]);
    let views = || members.each_ref().map(|member| member.record(|record| record.views.len()));
    let before = views();
    let closed = start(&cluster, &lab, 2);
    let open_tcp = format!("Open TCP port {port}");
    closed.wait_for_line(LOGGED_MAX, &["WARN", "join refused", &open_tcp]);
    thread::sleep(WATCHED);
    assert_eq!(views(), before, "the view of the others did not change");
    let logged: usize = members.iter().map(|m| m.count_lines(&["WARN", "refused a member"])).sum();
    assert!(logged >= 1, "the others log it as well");
    assert_eq!(readiness(&cluster, &lab, 2), 503);
    lab.unblock_port(2, port, &["tcp", "udp"]);
    let [first, second] = &members;
    cluster.agree_within(JOIN_MAX, [first, second, &closed]);
    assert_eq!(readiness(&cluster, &lab, 2), 200);
}

/// The failure detector reaches it, and it can connect to others, but others cannot open streams
/// to it.
#[test]
fn a_member_whose_tcp_port_is_blocked_is_removed_although_udp_works() {
    const KEYS: usize = 200;
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = [0, 1, 2].map(|index| start(&cluster, &lab, index));
    cluster.agree(&members);
    let port = cluster.start_port();
    for index in [2, 0] {
        // The youngest member, then the coordinator.
        lab.block_port(index, port, &["tcp"]);
        let host = lab.host(index).address();
        let is_at = |member: &&Member| member.address().ip() == host;
        let closed = members.iter().find(is_at).expect("it runs");
        let others: Vec<&Member> = members.iter().filter(|member| !is_at(member)).collect();
        cluster.agree_within(REMOVED_MAX, others.iter().copied());
        let logged: usize = others
            .iter()
            .map(|m| m.count_lines(&["WARN", "no member can connect to it any more"]))
            .sum();
        assert!(logged >= 1, "the log has the reason");
        closed.wait_for_line(LOGGED_MAX, &["WARN", "join refused"]);
        wait_for_readiness(&cluster, &lab, index, 503);
        let mut client = others[0].client();
        for n in 0..KEYS {
            let (key, value) = (format!("{index}:{n}"), n.to_string());
            let answer = client
                .call(&[b"SET", key.as_bytes(), value.as_bytes()])
                .expect("the member answers");
            assert_eq!(answer, Value::ok(), "writes do not wait for the removed member");
        }
        lab.unblock_port(index, port, &["tcp"]);
        cluster.agree_within(JOIN_MAX, &members);
        wait_for_readiness(&cluster, &lab, index, 200);
        for n in 0..KEYS {
            let answer = closed.client().command(&format!("GET {index}:{n}")).unwrap();
            assert_eq!(answer, Value::from(n.to_string().as_str()));
        }
    }
}

/// All others reach both, and writes that one of them replicates to the other would never
/// complete.
#[test]
fn one_of_two_members_that_cannot_connect_to_each_other_is_removed_until_they_can() {
    const KEYS: usize = 200;
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let mut members: Vec<Member> = Vec::new();
    for index in 0..3 {
        members.push(start(&cluster, &lab, index));
        cluster.agree(&members);
    }
    // A member, then the coordinator, which cannot send its refusal itself.
    for other in [1, 0] {
        lab.disconnect(other, 2);
        cluster.agree_within(REMOVED_MAX, &members[..2]);
        members[0].wait_for_line(
            LOGGED_MAX,
            &["WARN", "cannot connect to each other, though others can reach both"],
        );
        let why =
            format!("this member and {} cannot connect to each other", members[other].address());
        members[2].wait_for_line(LOGGED_MAX, &["WARN", "join refused", &why]);
        wait_for_readiness(&cluster, &lab, 2, 503);
        let mut client = members[0].client();
        for n in 0..KEYS {
            let answer =
                client.command(&format!("SET {other}:{n} {n}")).expect("the member answers");
            assert_eq!(answer, Value::ok(), "writes do not wait for the removed member");
        }
        let views = || members[..2].iter().map(|m| m.record(|r| r.views.len())).sum::<usize>();
        let lines = || members[2].count_lines(&["removed this one"]);
        let before = (views(), lines());
        thread::sleep(WATCHED);
        assert_eq!((views(), lines()), before, "it is not admitted and removed repeatedly");
        lab.reconnect(other, 2);
        cluster.agree_within(JOIN_MAX, &members);
        wait_for_readiness(&cluster, &lab, 2, 200);
        for n in 0..KEYS {
            let answer = members[2].client().command(&format!("GET {other}:{n}")).unwrap();
            assert_eq!(answer, Value::from(n.to_string().as_str()));
        }
    }
}

/// Waits until all of `members` list a member at `now` and none at `before`.
#[track_caller]
fn wait_for_address(members: &[&Member], now: Ipv4Addr, before: Ipv4Addr) {
    for member in members {
        let what = format!("{now} in place of {before}");
        member.wait(UPDATED_MAX, &what, |record| {
            let (_, view) = record.views.last()?;
            let lists = |ip: Ipv4Addr| view.0.iter().any(|shown| shown.address.ip() == ip);
            (lists(now) && !lists(before)).then_some(())
        });
    }
}

#[test]
fn a_member_whose_address_changes_stays_in_the_view_at_the_new_one() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    let members = [0, 1, 2]
        .map(|index| launch(&cluster, &lab, index).option("--interfaces", "10.77.0.*").start());
    cluster.agree(&members);
    let all: Vec<&Member> = members.iter().collect();
    // The coordinator first, then another member, which later gets its first address back.
    for index in [0, 1] {
        let (before, now) = (lab.host(index).address(), Ipv4Addr::new(10, 77, 0, 20 + index as u8));
        lab.change_address(index, now);
        wait_for_address(&all, now, before);
        assert_eq!(readiness(&cluster, &lab, index), 200);
    }
    thread::sleep(WATCHED);
    let lost: usize = members.iter().map(|member| member.count_lines(&[" lost"])).sum();
    assert_eq!(lost, 0, "no member was lost");
    lab.add_address(1, lab.host(1).address(), 24);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(members[1].count_lines(&["addresses of this host changed"]), 2);
    // A new member finds them at their new addresses.
    let list = format!("tcpip:10.77.0.20-21:{}", cluster.start_port());
    let late = cluster
        .launch()
        .on(lab.host(2))
        .mode(list)
        .option("--start-port", cluster.spare_port(0).to_string())
        .start();
    late.wait(UPDATED_MAX, "all four", |record| {
        let (_, view) = record.views.last()?;
        (view.0.len() == 4).then_some(())
    });
}

#[test]
fn a_member_without_an_address_is_not_ready_until_it_has_one_again() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let interfaces = |index: usize| lab.host(index).address().to_string();
    let members = [0, 1].map(|index| {
        launch(&cluster, &lab, index).option("--interfaces", interfaces(index)).start()
    });
    cluster.agree(&members);
    lab.drop_address(1);
    members[1].wait_for_line(LOGGED_MAX, &["ERROR", "no usable address any more", &interfaces(1)]);
    assert_eq!(readiness(&cluster, &lab, 1), 503);
    lab.add_address(1, lab.host(1).address(), 24);
    members[1].wait_for_line(LOGGED_MAX, &["has a usable address again"]);
    cluster.agree_within(JOIN_MAX, &members);
    assert_eq!(readiness(&cluster, &lab, 1), 200);
}

/// A container that is disconnected from its network and connected again: same address, new
/// interface.
#[test]
fn a_member_whose_interface_is_replaced_is_still_found_by_multicast() {
    let cluster = Cluster::new();
    for group in ["224.2.2.4", "ff15::2904"] {
        let Some(lab) = Lab::of(2) else { return };
        let launch = |index: usize| {
            let launch = cluster.launch().on(lab.host(index)).without("--interfaces");
            launch.option("--mc-address", group).start()
        };
        let first = launch(0);
        first.ready();
        lab.replace_interface(0);
        thread::sleep(Duration::from_secs(1));
        let second = launch(1);
        cluster.agree_within(JOIN_MAX, [&first, &second]);
    }
}

/// As with a stale virtual address, or container bridges with the same address, on two hosts.
#[test]
fn an_address_that_two_members_advertise_is_logged_and_does_not_separate_them() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let shared = Ipv4Addr::new(172, 31, 0, 2);
    let members = [0, 1].map(|index| {
        lab.add_bridge(index, shared);
        let both = format!("{},{shared}", lab.host(index).address());
        launch(&cluster, &lab, index).option("--interfaces", both).start()
    });
    let order = cluster.agree(&members);
    let line = ["WARN", "advertise the same address", &shared.to_string()];
    for member in &members {
        member.wait_for_line(LOGGED_MAX, &line);
    }
    lab.split();
    for member in &members {
        member.wait_for_line(LOGGED_MAX, &[" lost"]);
    }
    lab.heal();
    assert_eq!(cluster.agree_within(JOIN_MAX, &members), order);
}
