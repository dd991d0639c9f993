//! The cost of a lost member: the time until its keys can be written, and until all data has all
//! its replicas again.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::resp::{Client, Value};
use convoke_tests::slots::Slots;
use convoke_tests::{Cluster, Member};

use super::servers;
use crate::measure::{WAIT_MAX, ms};
use crate::table::{Row, Table, Unit};

/// Losses that are measured, one per run.
const RUNS: usize = 5;
/// Keys of the lost member that are written.
const KEYS: usize = 40;
/// Delay before a failed write is repeated.
const PAUSE: Duration = Duration::from_millis(5);
/// The data stored before the loss: 1 GB.
const ENTRIES: usize = 1_000_000;
const VALUE_BYTES: usize = 1_000;
/// Requests in one pipeline to fill a member.
const BATCH: usize = 1_000;

pub(super) fn measure(table: &mut Table) {
    let mut all = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (first, last) = writes_after_a_loss();
        all.0.push(ms(first));
        all.1.push(ms(last));
    }
    table.add(Row {
        what: "kill -9 -> first write on its partitions",
        unit: Unit::Milliseconds,
        runs: all.0,
        target: Some(1_000.0),
        others: "Redis Cluster: cluster-node-timeout, 15 s",
    });
    table.add(Row {
        what: "kill -9 -> writes on all its partitions",
        unit: Unit::Milliseconds,
        runs: all.1,
        target: None,
        others: "",
    });
    let (elapsed, resident_kib) = safe_after_a_loss();
    table.add(Row {
        what: "1 GB in three members, one lost -> safe again",
        unit: Unit::Milliseconds,
        runs: vec![ms(elapsed)],
        target: None,
        others: "",
    });
    table.add(Row {
        what: "  resident memory of a member then",
        unit: Unit::Mebibytes,
        runs: vec![resident_kib as f64 / 1_024.0],
        target: None,
        others: "1 GB each, since each holds all of it",
    });
}

/// The times from the kill to the first and to the last successful write of a key of the lost
/// member.
fn writes_after_a_loss() -> (Duration, Duration) {
    let cluster = Cluster::exclusive();
    let mut members = servers::members(&cluster, 3, 1);
    let slots = Slots::of(&cluster, &members);
    let mut victim = members.remove(1);
    let led = |number: &usize| slots.owner(format!("key:{number}").as_bytes()) == victim.resp();
    let keys: Vec<usize> = (0..).filter(led).take(KEYS).collect();
    let survivors: Vec<SocketAddr> = members.iter().map(Member::resp).collect();
    let killed = Instant::now();
    victim.kill();
    let written: Vec<Duration> = thread::scope(|scope| {
        let writers = keys.iter().enumerate().map(|(place, key)| {
            let survivor = survivors[place % survivors.len()];
            scope.spawn(move || written(survivor, *key).duration_since(killed))
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    let first = written.iter().min().copied().unwrap_or_default();
    (first, written.into_iter().max().unwrap_or_default())
}

/// Writes a key, with retries, and returns the time of success.
fn written(survivor: SocketAddr, key: usize) -> Instant {
    let mut client = Client::connect(survivor).expect("a survivor");
    loop {
        let answer = client.command(&format!("SET key:{key} x")).expect("a survivor answers");
        if answer == Value::ok() {
            return Instant::now();
        }
        thread::sleep(PAUSE);
    }
}

fn safe_after_a_loss() -> (Duration, u64) {
    let cluster = Cluster::exclusive();
    let mut members = servers::members(&cluster, 3, 1);
    let mut client = members[0].client();
    let value = [b'v'; VALUE_BYTES];
    for from in (0..ENTRIES).step_by(BATCH) {
        let request =
            |number| vec![b"SET".to_vec(), format!("key:{number}").into(), value.to_vec()];
        let requests: Vec<Vec<Vec<u8>>> = (from..from + BATCH).map(request).collect();
        let answers = client.call_all(&requests).expect("a member answers");
        assert!(answers.iter().all(|answer| *answer == Value::ok()), "{answers:?}");
    }
    let mut victim = members.remove(1);
    let killed = Instant::now();
    victim.kill();
    let is_over = |member: &Member| {
        let status = member.status();
        status.cluster.size == 2 && status.data["safe"] == true
    };
    while !members.iter().all(is_over) {
        assert!(killed.elapsed() < WAIT_MAX, "the data is not safe again");
        thread::sleep(PAUSE);
    }
    (killed.elapsed(), members[0].resident_kib().0)
}
