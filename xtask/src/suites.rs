//! `cargo xtask test`, `cargo xtask bench` and `cargo xtask soak`.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::modes::build_binary;
use crate::process::{cargo, run};
use crate::workspace::Workspace;
use crate::{Result, binaries, clients, nameservers, peers};

/// Default factor of a soak: seeds per simulation, as a multiple of those that a test runs.
pub(crate) const SOAK_TIMES: u64 = 10;

/// Range of the first seed of a soak: above all seeds that tests use, and short enough to type.
const SOAK_FROM: u64 = 1_000_000;
const SOAK_TO: u64 = 1_000_000_000;

/// Runs every suite, even if some fail, and then reports the failures. `filter` is passed to each.
pub(crate) fn test(workspace: &Workspace, filter: &[String]) -> Result<()> {
    let host = || {
        let mut host = cargo(workspace);
        host.args(["test", "--release", "--workspace"]);
        host
    };
    // In parallel: downloads use the network, the build the processor.
    let (set_up, built) = thread::scope(|scope| {
        let set_up = scope.spawn(|| (clients::set_up(workspace), nameservers::set_up(workspace)));
        let built = binaries::build(workspace, &mut host());
        (set_up.join(), built)
    });
    let (clients, nameservers) = set_up.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for (what, set_up) in [("client libraries", clients), ("DNS servers", nameservers)] {
        if let Err(error) = set_up {
            // Tests that need it are skipped with a message, or fail in CI.
            let outcome = if env::var_os("CI").is_some() { "fail" } else { "are skipped" };
            eprintln!("xtask: {error}: tests that need {what} {outcome}");
        }
    }
    let mut failed = binaries::run_all(&built?, filter);
    let mut doc_tests = host();
    let mut modes = cargo(workspace);
    modes
        .args(["test", "--no-fail-fast", "--manifest-path"])
        .arg(workspace.plugins_manifest())
        .arg("--target-dir")
        .arg(&workspace.plugins_target);
    for (suite, test) in [("documentation", doc_tests.arg("--doc")), ("modes", &mut modes)] {
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
        count => Err(format!("{count} of the suites above failed")),
    }
}

/// Builds and runs one bench.
pub(crate) fn bench(workspace: &Workspace, name: &str) -> Result<()> {
    build_binary(workspace, "bench")?;
    let mut bench = Command::new(workspace.target.join("release/bench"));
    if name == "hazelcast" {
        bench.env("JAVA", peers::java(workspace)?).env("HAZELCAST_JAR", peers::jar(workspace)?);
    }
    run(bench.arg(name))
}

/// Runs the simulations with `times` times as many seeds as the tests use, starting at an arbitrary
/// one beyond those. A failure prints its seed.
pub(crate) fn soak(workspace: &Workspace, times: u64) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let from = SOAK_FROM + now % (SOAK_TO - SOAK_FROM);
    println!("xtask: running {times} times as many seeds as a test, from seed {from}");
    let mut test = cargo(workspace);
    test.args(["test", "--release", "--workspace", "--no-fail-fast", "--test", "simulation"])
        .env("SEED_FROM", from.to_string())
        .env("SEED_TIMES", times.to_string());
    run(&mut test)
}
