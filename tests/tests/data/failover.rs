//! Acknowledged writes survive members that are killed, paused and restarted.

use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::keys::{expect_all, expect_none, pairs, put_all, remove_all};
use crate::load::Load;
use crate::safe::wait_until_safe;

/// From SIGTERM to the end of the process: handing over data and leaving have limits of their own.
const EXIT_MAX: Duration = Duration::from_secs(30);

/// Changes that are acknowledged between two events.
const BETWEEN: u64 = 2_000;

/// Writers, on all members together.
const WRITERS: usize = 6;

/// Each member is killed twice, as the coordinator and as another one.
#[test]
fn no_acknowledged_write_is_lost_when_members_are_killed_one_after_the_other() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let load = Load::on(&members, WRITERS);
    for victim in [2, 0, 1, 1, 2, 0] {
        load.wait_for(BETWEEN);
        members[victim].kill();
        members[victim] = cluster.start();
        wait_until_safe(&cluster, &members);
        load.switch_to(&members);
    }
    load.wait_for(BETWEEN);
    load.stop().check(&members);
}

#[test]
fn a_rolling_restart_loses_no_write_and_leaves_none_indeterminate() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let load = Load::on(&members, WRITERS);
    let restarts = members.len();
    for index in 0..restarts {
        load.wait_for(BETWEEN);
        members[index].signal(Signal::TERM);
        assert_eq!(members[index].wait_exit(EXIT_MAX).code(), Some(0));
        members[index] = cluster.start();
        wait_until_safe(&cluster, &members);
        load.switch_to(&members);
    }
    load.wait_for(BETWEEN);
    let results = load.stop();
    results.check(&members);
    assert_eq!(results.indeterminate, 0, "{results:?}");
    // Each writer may have had one command in flight when its member stopped.
    assert!(results.broken <= (WRITERS * restarts) as u64, "{results:?}");
}

#[test]
fn one_member_continues_to_serve_after_the_other_of_two_is_killed() {
    for victim in [0, 1] {
        let cluster = Cluster::exclusive();
        let mut members = cluster.start_in_order(2);
        wait_until_safe(&cluster, &members);
        let (first, second) = (pairs("first", 1_000), pairs("second", 1_000));
        put_all(&mut members[0].client(), &first);
        put_all(&mut members[1].client(), &second);
        members.remove(victim).kill();
        let mut client = members[0].client();
        expect_all(&mut client, &first);
        expect_all(&mut client, &second);
        put_all(&mut client, &pairs("third", 1_000));
        wait_until_safe(&cluster, &members);
    }
}

#[test]
fn with_two_backups_two_members_can_be_killed_at_once() {
    let cluster = Cluster::exclusive();
    let file = cluster.write("settings.toml", "[maps.\"*\"]\nbackups = 2\n");
    let start = || cluster.launch().option("--config", file.display().to_string()).start();
    let mut members: Vec<Member> = (0..4).map(|_| start()).collect();
    wait_until_safe(&cluster, &members);
    let pairs = pairs("two", 3_000);
    put_all(&mut members[3].client(), &pairs);
    for _ in 0..2 {
        for member in &members[..2] {
            member.signal(Signal::KILL);
        }
        members.drain(..2);
        members.extend([start(), start()]);
        wait_until_safe(&cluster, &members);
        for member in &members {
            expect_all(&mut member.client(), &pairs);
        }
    }
}

/// Pauses members one after the other for a number of milliseconds each: too short for any member
/// to notice, long enough for all of them to remove the member, or in between.
#[track_caller]
fn pause_members(count: usize, pauses: &[(usize, u64)]) {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(count);
    wait_until_safe(&cluster, &members);
    let load = Load::on(&members, WRITERS);
    for (paused, pause_ms) in pauses {
        load.wait_for(BETWEEN);
        let stopped = Instant::now();
        members[*paused].signal(Signal::STOP);
        thread::sleep(Duration::from_millis(*pause_ms).saturating_sub(stopped.elapsed()));
        members[*paused].signal(Signal::CONT);
        wait_until_safe(&cluster, &members);
    }
    load.wait_for(BETWEEN);
    load.stop().check(&members);
}

#[test]
fn no_acknowledged_write_is_lost_when_one_of_three_members_is_paused() {
    pause_members(3, &[(0, 5_000), (1, 1_200), (2, 5_000), (0, 2_200), (1, 5_000)]);
}

#[test]
fn no_acknowledged_write_is_lost_when_one_of_two_members_is_paused() {
    pause_members(2, &[(0, 5_000), (1, 1_200), (1, 5_000), (0, 2_200), (1, 2_200)]);
}

#[test]
fn keys_deleted_while_a_member_is_paused_do_not_reappear() {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let (gone, kept) = (pairs("gone", 2_000), pairs("kept", 2_000));
    for paused in 0..members.len() {
        let running: Vec<&Member> =
            members.iter().filter(|member| member.index() != members[paused].index()).collect();
        put_all(&mut members[paused].client(), &gone);
        put_all(&mut members[paused].client(), &kept);
        members[paused].signal(Signal::STOP);
        cluster.agree(running.iter().copied());
        remove_all(&mut running[0].client(), &gone);
        members[paused].signal(Signal::CONT);
        wait_until_safe(&cluster, &members);
        for member in &members {
            expect_none(&mut member.client(), &gone);
            expect_all(&mut member.client(), &kept);
        }
    }
}

#[test]
fn deleted_keys_do_not_reappear_when_members_are_killed() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let (gone, kept) = (pairs("gone", 2_000), pairs("kept", 2_000));
    for victim in [1, 0, 2] {
        put_all(&mut members[0].client(), &gone);
        put_all(&mut members[1].client(), &kept);
        remove_all(&mut members[2].client(), &gone);
        members[victim].kill();
        members[victim] = cluster.start();
        wait_until_safe(&cluster, &members);
        for member in &members {
            expect_none(&mut member.client(), &gone);
            expect_all(&mut member.client(), &kept);
        }
    }
}

/// There is no member to hand its data over to.
#[test]
fn the_last_member_stops_immediately_regardless_of_its_data() {
    let cluster = Cluster::exclusive();
    let mut member = cluster.start();
    wait_until_safe(&cluster, slice::from_ref(&member));
    put_all(&mut member.client(), &pairs("last", 10_000));
    let started = Instant::now();
    member.signal(Signal::TERM);
    assert_eq!(member.wait_exit(EXIT_MAX).code(), Some(0));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[test]
fn a_member_that_leaves_answers_pending_commands() {
    const CLIENTS: usize = 16;
    const LEAVES: usize = 5;
    let cluster = Cluster::new();
    let mut members = vec![cluster.start()];
    for round in 0..LEAVES {
        members.push(cluster.start());
        wait_until_safe(&cluster, &members);
        let mut leaver = members.pop().expect("two of them");
        let key = |number: usize| format!("count:{round}:{number}");
        let counted: Vec<i64> = thread::scope(|scope| {
            let count = |number: usize| {
                let mut client = leaver.client();
                let request = format!("INCR {}", key(number));
                scope.spawn(move || {
                    let mut last = 0;
                    while let Ok(answer) = client.command(&request) {
                        last = answer.integer().unwrap_or_else(|| panic!("{answer:?}"));
                    }
                    last
                })
            };
            let clients: Vec<_> = (0..CLIENTS).map(count).collect();
            thread::sleep(Duration::from_millis(200));
            leaver.signal(Signal::TERM);
            clients.into_iter().map(|client| client.join().expect("it counts")).collect()
        });
        assert_eq!(leaver.wait_exit(EXIT_MAX).code(), Some(0));
        let mut client = members[0].client();
        for (number, last) in counted.into_iter().enumerate() {
            assert!(last > 0, "client {number} was served");
            let kept = client.command(&format!("GET {}", key(number))).unwrap();
            assert_eq!(kept, Value::from(last.to_string().as_str()), "client {number}");
        }
    }
}
