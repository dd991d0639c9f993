//! Members go: politely, in a crash, for a while.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::AGREE_MAX;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

/// From SIGTERM until nobody shows the member any more.
const LEFT_MAX: Duration = Duration::from_secs(1);

/// From a crash until nobody shows the member any more. About one second is
/// usual; the machine may be busy.
const LOST_MAX: Duration = Duration::from_secs(3);

/// From SIGTERM to the end of the process.
const EXIT_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_member_that_is_asked_to_stop_says_goodbye() {
    for signal in [Signal::TERM, Signal::INT] {
        let cluster = Cluster::alone();
        let mut members = cluster.start_in_order(3);
        let mut leaver = members.remove(1);
        leaver.signal(signal);
        cluster.agree_within(LEFT_MAX, &members);
        assert_eq!(leaver.wait_exit(EXIT_MAX).code(), Some(0), "after {signal:?}");
        for member in &members {
            assert_eq!(member.count_lines(&["lost"]), 0, "leaving is no loss");
        }
        members[0].wait_for_line(LEFT_MAX, &["left", &leaver.address().to_string()]);
    }
}

#[test]
fn a_lone_member_stops_at_once() {
    let cluster = Cluster::alone();
    let mut member = cluster.start();
    cluster.agree([&member]);
    let asked = Instant::now();
    member.signal(Signal::TERM);
    assert_eq!(member.wait_exit(EXIT_MAX).code(), Some(0));
    let took = asked.elapsed();
    assert!(took < LEFT_MAX, "nobody has to be told, and it took {took:?}");
}

#[test]
fn a_member_that_is_asked_to_stop_before_it_is_ready_stops() {
    let cluster = Cluster::new();
    for _ in 0..5 {
        let mut member = cluster.start();
        member.wait(EXIT_MAX, "a first line", |record| record.lines().next().map(drop));
        member.signal(Signal::TERM);
        assert_eq!(member.wait_exit(EXIT_MAX).code(), Some(0));
    }
}

#[test]
fn a_member_that_is_killed_is_missed() {
    let cluster = Cluster::alone();
    let mut members = cluster.start_in_order(3);
    members.remove(1).kill();
    cluster.agree_within(LOST_MAX, &members);
}

#[test]
fn when_the_coordinator_is_killed_the_next_oldest_leads() {
    let cluster = Cluster::alone();
    let mut members = cluster.start_in_order(3);
    let epoch = members[1].status().cluster.epoch;
    members.remove(0).kill();
    let order = cluster.agree_within(LOST_MAX, &members);
    assert_eq!(order, [members[0].address(), members[1].address()]);
    let leader = members[0].status().member.id;
    for member in &members {
        member.wait_for_status(LOST_MAX, "the new coordinator and its epoch", |status| {
            let follows = status.cluster.coordinator == leader && status.cluster.epoch > epoch;
            follows.then_some(())
        });
    }
    members.push(cluster.start());
    assert_eq!(cluster.agree(&members)[2], members[2].address(), "it leads indeed");
}

#[test]
fn when_the_coordinator_leaves_the_next_oldest_leads() {
    let cluster = Cluster::alone();
    let mut members = cluster.start_in_order(3);
    let mut leaver = members.remove(0);
    leaver.signal(Signal::TERM);
    cluster.agree_within(LEFT_MAX, &members);
    assert_eq!(leaver.wait_exit(EXIT_MAX).code(), Some(0));
}

#[test]
fn two_of_three_killed_at_once_leave_one_that_goes_on() {
    let cluster = Cluster::alone();
    let mut members = cluster.start_in_order(3);
    let survivor = members.remove(1);
    for member in &members {
        member.signal(Signal::KILL);
    }
    cluster.agree_within(2 * LOST_MAX, [&survivor]);
}

#[test]
fn a_member_that_stood_still_for_a_while_finds_its_old_place() {
    let cluster = Cluster::alone();
    let members = cluster.start_in_order(3);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    for (index, sleeper) in members.iter().enumerate() {
        let seen = |member: &Member| member.record(|record| record.views.len());
        let (stopped, before) = (Instant::now(), seen(sleeper));
        sleeper.signal(Signal::STOP);
        let awake = members.iter().filter(|member| member.index() != sleeper.index());
        cluster.agree_within(LOST_MAX, awake);
        thread::sleep(Duration::from_secs(5).saturating_sub(stopped.elapsed()));
        sleeper.signal(Signal::CONT);
        // The view that it fell asleep with reads like the one that lets it in again.
        sleeper.wait(AGREE_MAX, "a view since it stood still", |record| {
            (record.views.len() > before).then_some(())
        });
        assert_eq!(cluster.agree(&members), order, "after number {index} stood still");
    }
}

/// As an orchestrator does it: one after the other, each on its old port.
#[test]
fn a_rolling_restart_leaves_one_cluster_of_all() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(3);
    for _ in 0..3 {
        let mut old = members.remove(0);
        let port = old.address().port();
        old.signal(Signal::TERM);
        assert_eq!(old.wait_exit(EXIT_MAX).code(), Some(0));
        let new = cluster.launch().option("--start-port", port.to_string()).start();
        assert_eq!(new.address().port(), port, "its port is free again");
        members.push(new);
        cluster.agree(&members);
    }
}

#[test]
fn a_member_that_crashed_and_was_started_again_on_its_port_is_a_new_member() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(3);
    let mut old = members.remove(0);
    let (port, id) = (old.address().port(), old.status().member.id);
    old.kill();
    let new = cluster.launch().option("--start-port", port.to_string()).start();
    assert_eq!(new.address().port(), port);
    members.push(new);
    let order = cluster.agree(&members);
    assert_eq!(order[2].port(), port, "it is the youngest now");
    members[0].wait_for_status(LOST_MAX, "a list without the old process", |status| {
        status.cluster.members.iter().all(|member| member.id != id).then_some(())
    });
}
