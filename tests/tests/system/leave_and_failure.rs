//! Members leave gracefully, crash, are paused and are restarted.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::AGREE_MAX;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

/// From SIGTERM until no other member lists the member any more.
const LEFT_MAX: Duration = Duration::from_secs(1);

/// From a crash until no other member lists the member any more. Typically one second; the
/// machine may be busy.
const LOST_MAX: Duration = Duration::from_secs(3);

/// From SIGTERM to the end of the process.
const EXIT_MAX: Duration = Duration::from_secs(5);

/// Waits until the coordinator has logged that the data of a cluster of three is safe: a member that
/// leaves earlier waits for copies that are being made.
fn wait_until_safe(coordinator: &Member) {
    coordinator.wait(AGREE_MAX, "data that is safe on three members", |record| {
        let mut behind = record.lines().skip_while(|line| !line.text.contains("DG Size: 3"));
        behind.any(|line| line.text.contains("data is safe")).then_some(())
    });
}

#[test]
fn sigterm_and_sigint_make_a_member_leave_gracefully() {
    for signal in [Signal::TERM, Signal::INT] {
        let cluster = Cluster::exclusive();
        let mut members = cluster.start_in_order(3);
        wait_until_safe(&members[0]);
        let mut leaver = members.remove(1);
        leaver.signal(signal);
        cluster.agree_within(LEFT_MAX, &members);
        assert_eq!(leaver.wait_exit(EXIT_MAX).code(), Some(0), "after {signal:?}");
        for member in &members {
            assert_eq!(
                member.count_lines(&["lost"]),
                0,
                "a member that leaves is not logged as lost"
            );
        }
        members[0].wait_for_line(LEFT_MAX, &["left", &leaver.address().to_string()]);
    }
}

#[test]
fn a_single_member_stops_immediately() {
    let cluster = Cluster::exclusive();
    let mut member = cluster.start();
    cluster.agree([&member]);
    let started = Instant::now();
    member.signal(Signal::TERM);
    assert_eq!(member.wait_exit(EXIT_MAX).code(), Some(0));
    let took = started.elapsed();
    assert!(took < LEFT_MAX, "there is no member to notify, but it took {took:?}");
}

#[test]
fn a_member_can_be_stopped_before_it_is_ready() {
    let cluster = Cluster::new();
    for _ in 0..5 {
        let mut member = cluster.start();
        member.wait(EXIT_MAX, "a first line", |record| record.lines().next().map(drop));
        member.signal(Signal::TERM);
        assert_eq!(member.wait_exit(EXIT_MAX).code(), Some(0));
    }
}

#[test]
fn a_member_that_is_killed_is_removed() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    members.remove(1).kill();
    cluster.agree_within(LOST_MAX, &members);
}

#[test]
fn the_next_oldest_member_coordinates_after_the_coordinator_is_killed() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    let epoch = members[1].status().cluster.epoch;
    members.remove(0).kill();
    let order = cluster.agree_within(LOST_MAX, &members);
    assert_eq!(order, [members[0].address(), members[1].address()]);
    let coordinator = members[0].status().member.id;
    for member in &members {
        member.wait_for_status(LOST_MAX, "the new coordinator and its epoch", |status| {
            let follows = status.cluster.coordinator == coordinator && status.cluster.epoch > epoch;
            follows.then_some(())
        });
    }
    members.push(cluster.start());
    assert_eq!(
        cluster.agree(&members)[2],
        members[2].address(),
        "the new coordinator admits members"
    );
}

#[test]
fn the_next_oldest_member_coordinates_after_the_coordinator_leaves() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&members[0]);
    let mut leaver = members.remove(0);
    leaver.signal(Signal::TERM);
    cluster.agree_within(LEFT_MAX, &members);
    assert_eq!(leaver.wait_exit(EXIT_MAX).code(), Some(0));
}

#[test]
fn one_member_continues_after_the_other_two_are_killed_at_once() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    let survivor = members.remove(1);
    for member in &members {
        member.signal(Signal::KILL);
    }
    cluster.agree_within(2 * LOST_MAX, [&survivor]);
}

#[test]
fn a_member_that_was_paused_returns_to_its_place_in_the_order() {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    let order: Vec<_> = members.iter().map(Member::address).collect();
    for (index, paused) in members.iter().enumerate() {
        let seen = |member: &Member| member.record(|record| record.views.len());
        let (stopped, before) = (Instant::now(), seen(paused));
        paused.signal(Signal::STOP);
        let running = members.iter().filter(|member| member.index() != paused.index());
        cluster.agree_within(LOST_MAX, running);
        thread::sleep(Duration::from_secs(5).saturating_sub(stopped.elapsed()));
        paused.signal(Signal::CONT);
        // The view from before the pause is equal to the one after it has rejoined.
        paused.wait(AGREE_MAX, "a view after the pause", |record| {
            (record.views.len() > before).then_some(())
        });
        assert_eq!(cluster.agree(&members), order, "after member {index} was paused");
    }
}

/// As an orchestrator does it: one member at a time, each on its previous port.
#[test]
fn a_rolling_restart_ends_in_one_cluster_of_all_members() {
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
fn a_crashed_member_that_is_restarted_on_its_port_is_a_new_member() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(3);
    let mut old = members.remove(0);
    let (port, id) = (old.address().port(), old.status().member.id);
    old.kill();
    let new = cluster.launch().option("--start-port", port.to_string()).start();
    assert_eq!(new.address().port(), port);
    members.push(new);
    let order = cluster.agree(&members);
    assert_eq!(order[2].port(), port, "it is the youngest member now");
    members[0].wait_for_status(LOST_MAX, "a list without the old process", |status| {
        status.cluster.members.iter().all(|member| member.id != id).then_some(())
    });
}
