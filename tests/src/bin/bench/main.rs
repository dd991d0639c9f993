//! `bench NAME`: speed and size, measured on real processes and printed with reference figures.
//! Figures are never asserted: that is for tests with limits.

mod cluster;
mod data;
mod facts;
mod hazelcast;
mod measure;
mod modes;
mod plugins;
mod sandbox;
mod table;

use std::process::ExitCode;

/// Every bench, and what it measures.
const BENCHES: &[(&str, &str, fn())] = &[
    ("cluster", "joining, losing and finding members; memory; the sandbox", cluster::run),
    ("data", "requests, memory and failure, beside Redis", data::run),
    ("commands", "of data, scripts, streams and tracked reads alone", data::commands::run),
    ("replication", "of data, the writes with a backup alone", data::replication),
    ("hazelcast", "Hazelcast's client on two members, beside Hazelcast", hazelcast::run),
    ("plugins", "a mode that loops; what the examples in each language take", plugins::run),
    ("modes", "joining through each mode; what a source's news takes", modes::run),
];

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen = match &names[..] {
        [name] => BENCHES.iter().find(|(known, ..)| known == name),
        _ => None,
    };
    let Some((_, _, run)) = chosen else {
        eprintln!("usage: bench NAME");
        for (name, what, _) in BENCHES {
            eprintln!("  {name:<10} {what}");
        }
        return ExitCode::from(2);
    };
    facts::print();
    run();
    ExitCode::SUCCESS
}
