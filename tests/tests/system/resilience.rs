//! A cluster stays intact under churn, short pauses, a busy machine, a full disk and repeated
//! signals.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::{AGREE_MAX, TIMEOUT};
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Member, http};
use rustix::process::Signal;

/// Shorter than a suspected member may take to refute: no member may be removed for it.
const SHORT_PAUSE: Duration = Duration::from_millis(300);

/// How long a cluster is left idle.
const IDLE: Duration = Duration::from_secs(3);

/// How long the machine is kept busy.
const BUSY: Duration = Duration::from_secs(5);

/// Members are killed, leave gracefully and are started in a fixed, irregular order.
#[test]
fn churn_ends_in_one_cluster() {
    let cluster = Cluster::exclusive();
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
                assert_eq!(leaver.wait_exit(TIMEOUT).code(), Some(0));
            }
            _ => members.extend([cluster.start(), cluster.start()]),
        }
    }
    cluster.agree(&members);
    assert_eq!(members.len(), 7);
}

#[test]
fn a_member_that_is_paused_briefly_and_repeatedly_is_not_removed() {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    let before: Vec<usize> = members.iter().map(views).collect();
    for _ in 0..8 {
        for signal in [Signal::STOP, Signal::CONT] {
            members[1].signal(signal);
            thread::sleep(SHORT_PAUSE);
        }
    }
    cluster.agree_within(Duration::ZERO, &members);
    assert_eq!(members.iter().map(views).collect::<Vec<_>>(), before, "the view did not change");
}

#[test]
fn no_member_is_removed_on_a_busy_machine() {
    let cluster = Cluster::exclusive();
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
    assert_eq!(members.iter().map(views).collect::<Vec<_>>(), before, "the view did not change");
}

fn views(member: &Member) -> usize {
    member.record(|record| record.views.len())
}

#[test]
fn an_idle_cluster_uses_little_cpu_time() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(5);
    members.remove(3).kill();
    members.remove(0).kill();
    cluster.agree(&members);
    members[1].signal(Signal::STOP);
    cluster.agree([&members[0], &members[2]]);
    members[1].signal(Signal::CONT);
    cluster.agree(&members);
    let before: Vec<Duration> = members.iter().map(Member::cpu_time).collect();
    thread::sleep(IDLE);
    for (member, before) in members.iter().zip(before) {
        let used = member.cpu_time() - before;
        assert!(used < IDLE / 10, "{used:?} of CPU time in {IDLE:?} of idling");
    }
}

/// The log is on a full disk: every write to stdout and stderr fails.
#[test]
fn a_member_that_cannot_write_its_log_still_works() {
    let cluster = Cluster::new();
    let silenced = cluster.launch().outputs_to("/dev/full").label("without a log").start();
    let http = ([127, 0, 0, 1], cluster.http_port()).into();
    let deadline = Instant::now() + AGREE_MAX;
    let is_ready = || http::get(http, "/health/ready").is_ok_and(|answer| answer.status == 200);
    while !is_ready() {
        assert!(Instant::now() < deadline, "the member without a log is not ready");
        thread::sleep(Duration::from_millis(20));
    }
    let other = cluster.start();
    other.wait(AGREE_MAX, "two members", |record| {
        record.view().filter(|view| view.0.len() == 2).map(drop)
    });
    drop(silenced);
}

/// A wrapper script forwards a signal that the process group has already received.
#[test]
fn two_signals_in_quick_succession_count_as_one() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(2);
    let mut leaver = members.remove(1);
    let mut client = leaver.client();
    for n in 0..5_000 {
        assert_eq!(client.command(&format!("SET k{n} v")).unwrap(), Value::ok());
    }
    leaver.signal(Signal::TERM);
    leaver.signal(Signal::TERM);
    leaver.wait_for_line(TIMEOUT, &["left"]);
    leaver.wait_exit(TIMEOUT);
    members[0].wait_for_line(TIMEOUT, &["members changed", " left"]);
}

#[test]
fn a_second_signal_stops_the_member_immediately() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(2);
    let mut leaver = members.remove(1);
    let started = Instant::now();
    leaver.signal(Signal::TERM);
    leaver.signal(Signal::TERM);
    leaver.wait_exit(TIMEOUT);
    assert!(started.elapsed() < Duration::from_secs(2));
}
