//! Members are lost, stand still, are restarted: what was acknowledged stays.

use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::keys::{expect_all, expect_none, pairs, put_all, remove_all};
use crate::load::Load;
use crate::safe::wait_until_safe;

/// From SIGTERM to the end of the process: handing over and saying goodbye have
/// bounds of their own.
const EXIT_MAX: Duration = Duration::from_secs(30);

/// Changes that are acknowledged between two events.
const BETWEEN: u64 = 2_000;

/// Writers, on all members together.
const WRITERS: usize = 6;

/// Every one of them twice, the coordinator among them and others.
#[test]
fn members_that_are_killed_one_after_the_other_take_nothing_acknowledged_with_them() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let load = Load::on(&members, WRITERS);
    for victim in [2, 0, 1, 1, 2, 0] {
        load.wait_for(BETWEEN);
        members[victim].kill();
        members[victim] = cluster.start();
        wait_until_safe(&cluster, &members);
        load.turn_to(&members);
    }
    load.wait_for(BETWEEN);
    load.stop().check(&members);
}

#[test]
fn a_rolling_restart_loses_nothing_and_leaves_no_write_unknown() {
    let cluster = Cluster::alone();
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
        load.turn_to(&members);
    }
    load.wait_for(BETWEEN);
    let told = load.stop();
    told.check(&members);
    assert_eq!(told.indeterminate, 0, "{told:?}");
    // A writer whose member ends may have asked it for one thing just then.
    assert!(told.broken <= (WRITERS * restarts) as u64, "{told:?}");
}

#[test]
fn of_two_members_the_one_that_is_left_serves_on() {
    for victim in [0, 1] {
        let cluster = Cluster::alone();
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
fn with_two_backups_two_members_may_be_lost_at_once() {
    let cluster = Cluster::alone();
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

/// Members stand still one after the other, each for so long: short enough to be
/// missed by nobody, long enough to be missed by all, or in between.
#[track_caller]
fn stand_still(count: usize, sleepers: &[(usize, u64)]) {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(count);
    wait_until_safe(&cluster, &members);
    let load = Load::on(&members, WRITERS);
    for (sleeper, still_ms) in sleepers {
        load.wait_for(BETWEEN);
        let stopped = Instant::now();
        members[*sleeper].signal(Signal::STOP);
        thread::sleep(Duration::from_millis(*still_ms).saturating_sub(stopped.elapsed()));
        members[*sleeper].signal(Signal::CONT);
        wait_until_safe(&cluster, &members);
    }
    load.wait_for(BETWEEN);
    load.stop().check(&members);
}

#[test]
fn a_member_of_three_that_stands_still_for_a_while_loses_nothing() {
    stand_still(3, &[(0, 5_000), (1, 1_200), (2, 5_000), (0, 2_200), (1, 5_000)]);
}

#[test]
fn a_member_of_two_that_stands_still_for_a_while_loses_nothing() {
    stand_still(2, &[(0, 5_000), (1, 1_200), (1, 5_000), (0, 2_200), (1, 2_200)]);
}

#[test]
fn keys_that_are_deleted_while_a_member_stands_still_do_not_come_back_with_it() {
    let cluster = Cluster::new();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let (gone, kept) = (pairs("gone", 2_000), pairs("kept", 2_000));
    for sleeper in 0..members.len() {
        let awake: Vec<&Member> =
            members.iter().filter(|member| member.index() != members[sleeper].index()).collect();
        put_all(&mut members[sleeper].client(), &gone);
        put_all(&mut members[sleeper].client(), &kept);
        members[sleeper].signal(Signal::STOP);
        cluster.agree(awake.iter().copied());
        remove_all(&mut awake[0].client(), &gone);
        members[sleeper].signal(Signal::CONT);
        wait_until_safe(&cluster, &members);
        for member in &members {
            expect_none(&mut member.client(), &gone);
            expect_all(&mut member.client(), &kept);
        }
    }
}

#[test]
fn keys_that_are_deleted_do_not_come_back_when_members_are_killed() {
    let cluster = Cluster::alone();
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

/// Alone it has all of it already, and nobody to give it to.
#[test]
fn the_last_member_stops_at_once_whatever_it_holds() {
    let cluster = Cluster::alone();
    let mut member = cluster.start();
    wait_until_safe(&cluster, slice::from_ref(&member));
    put_all(&mut member.client(), &pairs("last", 10_000));
    let asked = Instant::now();
    member.signal(Signal::TERM);
    assert_eq!(member.wait_exit(EXIT_MAX).code(), Some(0));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[test]
fn a_member_that_leaves_answers_what_its_clients_have_begun() {
    const CLIENTS: usize = 16;
    const LEAVES: usize = 5;
    let cluster = Cluster::new();
    let mut members = vec![cluster.start()];
    for round in 0..LEAVES {
        members.push(cluster.start());
        wait_until_safe(&cluster, &members);
        let mut leaves = members.pop().expect("two of them");
        let key = |number: usize| format!("count:{round}:{number}");
        let counted: Vec<i64> = thread::scope(|scope| {
            let count = |number: usize| {
                let mut client = leaves.client();
                let request = format!("INCR {}", key(number));
                scope.spawn(move || {
                    let mut last = 0;
                    while let Ok(answer) = client.ask(&request) {
                        last = answer.integer().unwrap_or_else(|| panic!("{answer:?}"));
                    }
                    last
                })
            };
            let clients: Vec<_> = (0..CLIENTS).map(count).collect();
            thread::sleep(Duration::from_millis(200));
            leaves.signal(Signal::TERM);
            clients.into_iter().map(|client| client.join().expect("it counts")).collect()
        });
        assert_eq!(leaves.wait_exit(EXIT_MAX).code(), Some(0));
        let mut client = members[0].client();
        for (number, last) in counted.into_iter().enumerate() {
            assert!(last > 0, "client {number} was served");
            let kept = client.ask(&format!("GET {}", key(number))).unwrap();
            assert_eq!(kept, Value::from(last.to_string().as_str()), "client {number}");
        }
    }
}
