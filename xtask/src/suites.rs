//! `cargo xtask test`, `cargo xtask bench` and `cargo xtask soak`.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::modes::build_binary;
use crate::process::{cargo, run};
use crate::workspace::Workspace;
use crate::{Result, binaries, clients, nameservers};

/// How many times the seeds of a test a soak has, unless a number is given.
pub(crate) const SOAK_TIMES: u64 = 10;

/// Where soaks begin: above all seeds that tests use, below what is unwieldy.
const SOAK_FROM: u64 = 1_000_000;
const SOAK_TO: u64 = 1_000_000_000;

/// Tests that run side by side, for each core: most wait for something more than they
/// compute.
pub(crate) const TESTS_PER_CORE: usize = 2;
/// The same of process tests, most of which wait for a permit (`tests/src/permit.rs`) and cost
/// nothing meanwhile.
pub(crate) const PROCESS_TESTS_PER_CORE: usize = 4;
/// As the harness of tests knows it.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs every suite, even if some fail, and then reports. `filter` is passed to each.
pub(crate) fn test(workspace: &Workspace, filter: &[String]) -> Result<()> {
    let host = || {
        let mut host = cargo(workspace);
        host.args(["test", "--release", "--workspace"]);
        host
    };
    // One waits for the network, the other for the processor.
    let (set_up, built) = thread::scope(|scope| {
        let set_up = scope.spawn(|| (clients::set_up(workspace), nameservers::set_up(workspace)));
        let built = binaries::build(workspace, &mut host());
        (set_up.join(), built)
    });
    let (clients, nameservers) = set_up.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for (what, set_up) in [("real clients", clients), ("real DNS servers", nameservers)] {
        if let Err(error) = set_up {
            // What needs them says so, and fails there.
            let is_skipped = if env::var_os("CI").is_some() { "" } else { ", and is skipped" };
            eprintln!("xtask: {error}: what needs {what} cannot run{is_skipped}");
        }
    }
    let mut failed = binaries::run_all(&built?, filter);
    let mut documented = host();
    let mut modes = cargo(workspace);
    modes
        .args(["test", "--no-fail-fast", "--manifest-path"])
        .arg(workspace.plugins_manifest())
        .arg("--target-dir")
        .arg(&workspace.plugins_target);
    for (suite, test) in [("documentation", documented.arg("--doc")), ("modes", &mut modes)] {
        if let Err(error) = run(test.arg("--").args(filter)) {
            failed.push(format!("{suite}: {error}"));
        }
    }
    println!();
    for failed in &failed {
        println!("xtask: FAILED: {failed}");
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} failed of the suites above")),
    }
}

/// Limits the tests that run at a time to `per_core` for each core, unless the user chose a number.
pub(crate) fn side_by_side(test: &mut Command, per_core: usize) {
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        test.env(THREADS, (per_core * cores).to_string());
    }
}

/// Runs one bench. Built with the features of the whole workspace, as all else.
pub(crate) fn bench(workspace: &Workspace, name: &str) -> Result<()> {
    build_binary(workspace, "bench")?;
    run(Command::new(workspace.target.join("release/bench")).arg(name))
}

/// Runs the simulations with `times` times as many seeds as the tests use, starting at an arbitrary
/// one beyond those. A failure prints its seed.
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
