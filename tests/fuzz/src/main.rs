//! `fuzz TARGET SECONDS [SEED]`: random and mutated input, for `SECONDS` seconds.
//!
//! Each target checks that no input makes the code panic, hang or use unbounded memory; some also
//! compare answers with a model. Findings are printed with their seed and input, and the exit code
//! is then 1. With the profile `fuzz`, integer overflows and debug assertions panic.
//!
//! The targets run whole members, or large parts of one. Each decoder has its own harness
//! (`convoke-harness`). `cargo xtask fuzz` runs all targets and harnesses, each in a separate
//! process.

mod commands;
mod config;
mod grid;
mod hazelcast;
mod http;
mod membership;
mod model;
mod report;
mod resp;
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use report::Report;

/// The run of a target.
struct Run {
    deadline: Instant,
    random: StdRng,
    report: Report,
}

impl Run {
    /// Whether there is time for another case.
    fn has_time(&self) -> bool {
        Instant::now() < self.deadline && !self.report.is_full()
    }
}

/// The name of a target, what it covers, and its function.
type Target = (&'static str, &'static str, fn(&mut Run));

/// Every target.
const TARGETS: &[Target] = &[
    ("membership", "messages between two members, mutated on their way", membership::messages),
    ("grid", "messages between two grids, mutated on their way", grid::messages),
    ("resp", "requests, mutated, and bytes that are none", resp::bytes),
    ("http", "paths, heads and bodies", http::requests),
    ("hazelcast", "messages of Hazelcast's clients, mutated or in fragments", hazelcast::messages),
    ("commands", "random commands with arguments at all bounds", commands::random),
    ("model", "commands on a few keys, compared with a model", model::compared),
    ("config", "TOML, and Hazelcast's XML and YAML", config::files),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["--list"] {
        for (name, ..) in TARGETS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let Some((target, seconds, seed)) = read(&args) else {
        eprintln!("usage: fuzz TARGET SECONDS [SEED]");
        for (name, what, _) in TARGETS {
            eprintln!("  {name:<15} {what}");
        }
        return ExitCode::from(2);
    };
    let (name, _, work) = target;
    let mut run = Run {
        deadline: Instant::now() + Duration::from_secs(seconds),
        random: StdRng::seed_from_u64(seed),
        report: Report::new(name, seed),
    };
    work(&mut run);
    if run.report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(args: &[String]) -> Option<(Target, u64, u64)> {
    let (name, seconds, seed) = match args {
        [name, seconds] => (name, seconds, None),
        [name, seconds, seed] => (name, seconds, Some(seed)),
        _ => return None,
    };
    let target = TARGETS.iter().find(|(known, ..)| known == name)?;
    let seed = match seed {
        Some(seed) => seed.parse().ok()?,
        None => rand::rng().random_range(0..1_000_000_000),
    };
    Some((*target, seconds.parse().ok()?, seed))
}
