//! What wears others out: churn, stutter, a busy machine, a full disk.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::{AGREE_MAX, SOON};
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Member, http};
use rustix::process::Signal;

/// Shorter than a suspect may take to object: nobody may be missed for it.
const STUTTER: Duration = Duration::from_millis(300);

/// How long a cluster is left alone.
const REST: Duration = Duration::from_secs(3);

/// How long a machine is kept busy.
const BUSY: Duration = Duration::from_secs(5);

/// Members come and go by a fixed pattern that looks random; some politely.
#[test]
fn churn_ends_in_one_cluster() {
    let cluster = Cluster::alone();
    let mut members: Vec<Member> = (0..4).map(|_| cluster.start()).collect();
    cluster.agree(&members);
    for (step, pick) in [3, 0, 2, 1, 0, 4, 2, 5, 0, 1, 3, 0].into_iter().enumerate() {
        let index = pick % members.len();
        match step % 4 {
            0 => members.remove(index).kill(),
            1 => members.push(cluster.start()),
            2 => {
                let mut leaver = members.remove(index);
                leaver.ready();
                leaver.signal(Signal::TERM);
                assert_eq!(leaver.wait_exit(SOON).code(), Some(0));
            }
            _ => members.extend([cluster.start(), cluster.start()]),
        }
    }
    cluster.agree(&members);
    assert_eq!(members.len(), 7);
}

#[test]
fn a_member_that_stutters_is_not_missed() {
    let cluster = Cluster::alone();
    let members = cluster.start_in_order(3);
    let before: Vec<usize> = members.iter().map(views).collect();
    for _ in 0..8 {
        for signal in [Signal::STOP, Signal::CONT] {
            members[1].signal(signal);
            thread::sleep(STUTTER);
        }
    }
    cluster.agree_within(Duration::ZERO, &members);
    assert_eq!(members.iter().map(views).collect::<Vec<_>>(), before, "nobody came or went");
}

#[test]
fn a_busy_machine_costs_nobody() {
    let cluster = Cluster::alone();
    let members = cluster.start_in_order(6);
    let before: Vec<usize> = members.iter().map(views).collect();
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..2 * cores {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        thread::sleep(BUSY);
        busy.store(false, Ordering::Relaxed);
    });
    cluster.agree_within(Duration::ZERO, &members);
    assert_eq!(members.iter().map(views).collect::<Vec<_>>(), before, "nobody came or went");
}

fn views(member: &Member) -> usize {
    member.record(|record| record.views.len())
}

#[test]
fn a_cluster_at_rest_leaves_the_machine_alone() {
    let cluster = Cluster::alone();
    let mut members = cluster.start_in_order(5);
    members.remove(3).kill();
    members.remove(0).kill();
    cluster.agree(&members);
    members[1].signal(Signal::STOP);
    cluster.agree([&members[0], &members[2]]);
    members[1].signal(Signal::CONT);
    cluster.agree(&members);
    let before: Vec<Duration> = members.iter().map(Member::cpu_time).collect();
    thread::sleep(REST);
    for (member, before) in members.iter().zip(before) {
        let used = member.cpu_time() - before;
        assert!(used < REST / 10, "{used:?} of CPU time in {REST:?} of rest");
    }
}

/// A log on a full disk: every line of it fails, on both outputs.
#[test]
fn a_log_that_cannot_be_written_costs_nothing_but_the_log() {
    let cluster = Cluster::new();
    let mute = cluster.launch().outputs_to("/dev/full").called("mute").start();
    let place = ([127, 0, 0, 1], cluster.http_port()).into();
    let deadline = Instant::now() + AGREE_MAX;
    let is_ready = || http::get(place, "/health/ready").is_ok_and(|answer| answer.status == 200);
    while !is_ready() {
        assert!(Instant::now() < deadline, "the member without a log is not ready");
        thread::sleep(Duration::from_millis(20));
    }
    let other = cluster.start();
    other.wait(AGREE_MAX, "two members", |record| {
        record.view().filter(|view| view.0.len() == 2).map(drop)
    });
    drop(mute);
}

/// A wrapper passes on a signal that the whole process group got as well.
#[test]
fn signals_that_come_together_are_one() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(2);
    let mut leaver = members.remove(1);
    let mut client = leaver.client();
    for n in 0..5_000 {
        assert_eq!(client.ask(&format!("SET k{n} v")).unwrap(), Value::ok());
    }
    leaver.signal(Signal::TERM);
    leaver.signal(Signal::TERM);
    leaver.wait_for_line(SOON, &["left"]);
    leaver.wait_exit(SOON);
    members[0].wait_for_line(SOON, &["members changed", " left"]);
}

#[test]
fn the_second_signal_stops_at_once() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(2);
    let mut leaver = members.remove(1);
    let asked = Instant::now();
    leaver.signal(Signal::TERM);
    leaver.signal(Signal::TERM);
    leaver.wait_exit(SOON);
    assert!(asked.elapsed() < Duration::from_secs(2));
}
