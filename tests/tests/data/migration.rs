//! Data moves to members that join and from members that leave, while clients continue.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::load::Load;
use crate::safe::{wait_until_safe, wait_until_safe_within};

/// Values, and the bytes of each: 200 MB in all.
const VALUES: usize = 2_000;
const VALUE_BYTES: usize = 100 << 10;

/// Values in one pipeline.
const PIPELINE: usize = 8;

/// From the join of a member until it has its share of the data.
const MOVED_MAX: Duration = Duration::from_secs(120);

/// From SIGTERM to the end of the process: handing over data and leaving have limits of their own.
const EXIT_MAX: Duration = Duration::from_secs(30);

/// Changes of small keys that are acknowledged between two events.
const BETWEEN: u64 = 1_000;

/// The nth value, different from all others.
fn value(n: usize) -> Vec<u8> {
    format!("{n:08} ").into_bytes().into_iter().cycle().take(VALUE_BYTES).collect()
}

fn name(n: usize) -> Vec<u8> {
    format!("bulk:{n}").into_bytes()
}

/// The numbers of all values, in batches.
fn batches(from: usize, step: usize) -> impl Iterator<Item = Vec<usize>> {
    let all: Vec<usize> = (from..VALUES).step_by(step).collect();
    all.chunks(PIPELINE).map(<[usize]>::to_vec).collect::<Vec<_>>().into_iter()
}

#[track_caller]
fn put_values(members: &[Member]) {
    thread::scope(|scope| {
        for (by, member) in members.iter().enumerate() {
            let mut client = member.client();
            scope.spawn(move || {
                for some in batches(by, members.len()) {
                    let requests: Vec<Vec<Vec<u8>>> =
                        some.iter().map(|n| vec![b"SET".to_vec(), name(*n), value(*n)]).collect();
                    let answers = client.call_all(&requests).expect("the member answers");
                    assert!(answers.iter().all(|answer| *answer == Value::ok()), "{answers:?}");
                }
            });
        }
    });
}

#[track_caller]
fn expect_values(member: &Member) {
    let mut client = member.client();
    let mut wrong = Vec::new();
    for some in batches(0, 1) {
        let requests: Vec<Vec<Vec<u8>>> =
            some.iter().map(|n| vec![b"GET".to_vec(), name(*n)]).collect();
        let answers = client.call_all(&requests).expect("the member answers");
        for (n, answer) in some.into_iter().zip(answers) {
            if answer.bytes() != Some(&value(n)) {
                wrong.push(format!("bulk:{n} is {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {VALUES} are wrong: {wrong:#?}", wrong.len());
}

#[test]
fn clients_continue_while_200_megabytes_move_to_a_joining_and_from_a_leaving_member() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(2);
    wait_until_safe(&cluster, &members);
    put_values(&members);
    let load = Load::on(&members, 4);
    load.wait_for(BETWEEN);

    members.push(cluster.start());
    cluster.agree(&members);
    let (joined, before) = (Instant::now(), load.acknowledged());
    wait_until_safe_within(MOVED_MAX, &cluster, &members);
    let (took, meanwhile) = (joined.elapsed(), load.acknowledged() - before);
    println!("safe {took:?} after the third member joined, {meanwhile} changes meanwhile");
    assert!(meanwhile > 0, "clients were blocked until all data was moved");
    for member in &members {
        let held = member.status().data["primary"].as_u64();
        assert!(held.is_some_and(|held| held > 0), "each member has its share: {held:?}");
        expect_values(member);
    }

    load.switch_to(&members[1..]);
    load.wait_for(BETWEEN);
    let mut leaver = members.remove(0);
    let started = Instant::now();
    leaver.signal(Signal::TERM);
    assert_eq!(leaver.wait_exit(EXIT_MAX).code(), Some(0));
    println!("stopped {:?} after SIGTERM", started.elapsed());
    let handed_over = leaver.count_lines(&["not all data was handed over"]) == 0;
    assert!(handed_over, "it left before the others had everything");
    load.wait_for(BETWEEN);
    let results = load.stop();
    wait_until_safe(&cluster, &members);
    results.check(&members);
    assert_eq!(results.indeterminate, 0, "{results:?}");
    for member in &members {
        expect_values(member);
    }
}

/// Data is being copied when its sender, its receiver or a leaving member is killed.
#[test]
fn no_data_is_lost_when_a_member_is_killed_while_data_moves() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(2);
    wait_until_safe(&cluster, &members);
    put_values(&members);
    for victim in [0, 2, 1] {
        let load = Load::on(&members, 4);
        load.wait_for(BETWEEN);
        members.push(cluster.start());
        cluster.agree(&members);
        members.remove(victim).kill();
        wait_until_safe_within(MOVED_MAX, &cluster, &members);
        load.switch_to(&members);
        load.wait_for(BETWEEN);
        load.stop().check(&members);
        members.iter().for_each(expect_values);
    }
    members.push(cluster.start());
    wait_until_safe_within(MOVED_MAX, &cluster, &members);
    let load = Load::on(&members, 4);
    load.wait_for(BETWEEN);
    members[0].signal(Signal::TERM);
    members[0].wait_for_line(EXIT_MAX, &["leaving"]);
    members.remove(0).kill();
    wait_until_safe_within(MOVED_MAX, &cluster, &members);
    load.switch_to(&members);
    load.wait_for(BETWEEN);
    load.stop().check(&members);
    members.iter().for_each(expect_values);
}
