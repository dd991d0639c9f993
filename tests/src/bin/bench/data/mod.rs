//! `bench data`: throughput, memory and failure, compared with Redis on the same machine in the
//! same run. All servers and the client share its cores.

pub(crate) mod commands;
mod failure;
mod fan_out;
mod load;
mod servers;
mod speed;

use convoke_tests::Cluster;

use crate::table::{Row, Table, Unit};
use load::VALUE_BYTES;
use servers::Redis;

/// Entries whose memory is measured, with a key of 16 bytes and a value of 100 bytes each.
const ENTRIES: u64 = 1_000_000;

pub(crate) fn run() {
    let redis = Redis::start();
    if redis.is_none() {
        println!("redis-server is not installed: figures without comparison\n");
    }
    speed::measure(redis.as_ref());
    println!();
    commands::measure(redis.as_ref());
    drop(redis);
    println!();
    let mut table = Table::new();
    memory(&mut table);
    fan_out::measure(&mut table, Redis::start().as_ref());
    failure::measure(&mut table);
    table.print_summary();
}

/// `bench replication`: only the measurements of writes with a backup.
pub(crate) fn replication() {
    speed::measure_replicated();
}

/// Measures the memory per entry, and that of Redis.
fn memory(table: &mut Table) {
    let bytes = |before_kib: u64, after_kib: u64| {
        (after_kib.saturating_sub(before_kib) * 1_024) as f64 / ENTRIES as f64
    };
    let runtime = speed::Bench::new();
    let theirs = Redis::start().map(|redis| {
        let before = redis.resident_kib();
        runtime.fill(redis.address, ENTRIES);
        bytes(before, redis.resident_kib())
    });
    let cluster = Cluster::exclusive();
    let members = servers::members(&cluster, 1, 0);
    let before = members[0].resident_kib().0;
    runtime.fill(members[0].resp(), ENTRIES);
    let ours = bytes(before, members[0].resident_kib().0);
    assert_eq!(VALUE_BYTES, 100, "as the rows say");
    table.add(Row {
        what: "bytes an entry, 16 B key and 100 B value",
        unit: Unit::Count,
        runs: vec![ours],
        target: theirs,
        others: "target: Redis, measured in this run",
    });
}
