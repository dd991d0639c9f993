//! `cargo xtask test`, `cargo xtask bench` and `cargo xtask soak`.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::modes::build_binary;
use crate::process::{cargo, run};
use crate::workspace::Workspace;
use crate::{Result, clients};

/// How many times the seeds of a test a soak has, unless a number is given.
pub(crate) const SOAK_TIMES: u64 = 10;

/// Where soaks begin: above all seeds that tests use, below what is unwieldy.
const SOAK_FROM: u64 = 1_000_000;
const SOAK_TO: u64 = 1_000_000_000;

/// Tests that run side by side, for each core: most wait for members more than they
/// compute.
const TESTS_PER_CORE: usize = 2;
/// As the harness of tests knows it.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs every suite, whatever the ones before it said, and then reports.
/// `filter` goes to each of them as it is.
pub(crate) fn test(workspace: &Workspace, filter: &[String]) -> Result<()> {
    let host = |options: &[&str]| {
        let mut host = cargo(workspace);
        host.args(["test", "--release", "--workspace"]).args(options).args(filter);
        side_by_side(&mut host);
        host
    };
    // One waits for the network, the other for the processor. What does not compile is
    // told where the tests run.
    let set_up = thread::scope(|scope| {
        let set_up = scope.spawn(|| clients::set_up(workspace));
        let _ = run(&mut host(&["--no-run"]));
        set_up.join()
    });
    if let Err(error) = set_up.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        // What needs them says so, and fails there.
        let is_skipped = if env::var_os("CI").is_some() { "" } else { ", and is skipped" };
        eprintln!("xtask: {error}: what needs real clients cannot run{is_skipped}");
    }
    let mut host = host(&["--no-fail-fast"]);
    let mut modes = cargo(workspace);
    modes
        .args(["test", "--no-fail-fast", "--manifest-path"])
        .arg(workspace.plugins_manifest())
        .arg("--target-dir")
        .arg(&workspace.plugins_target)
        .args(filter);

    let results = [("host", run(&mut host)), ("modes", run(&mut modes))];
    println!();
    for (suite, result) in &results {
        println!("xtask: {suite}: {}", if result.is_ok() { "passed" } else { "FAILED" });
    }
    let failed: Vec<_> = results
        .iter()
        .filter_map(|(suite, result)| {
            result.as_ref().err().map(|error| format!("{suite}: {error}"))
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Unless whoever typed the command chose a number.
pub(crate) fn side_by_side(test: &mut Command) {
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        test.env(THREADS, (TESTS_PER_CORE * cores).to_string());
    }
}

/// Runs one bench. Built with the features of the whole workspace, as all else.
pub(crate) fn bench(workspace: &Workspace, name: &str) -> Result<()> {
    build_binary(workspace, "bench")?;
    run(Command::new(workspace.target.join("release/bench")).arg(name))
}

/// Runs the simulations with so many times the seeds that tests use, none of them
/// one of those: from an arbitrary one on. A failure prints its seed.
pub(crate) fn soak(workspace: &Workspace, times: u64) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let from = SOAK_FROM + now % (SOAK_TO - SOAK_FROM);
    println!("xtask: {times} times the seeds of a test, from {from} on");
    let mut test = cargo(workspace);
    test.args(["test", "--release", "--workspace", "--no-fail-fast", "--test", "simulation"])
        .env("SEED_FROM", from.to_string())
        .env("SEED_TIMES", times.to_string());
    run(&mut test)
}
