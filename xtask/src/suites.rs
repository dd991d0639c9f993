//! `cargo xtask test` and `cargo xtask bench`.

use std::process::Command;

use crate::Result;
use crate::modes::build_binary;
use crate::process::{cargo, run};
use crate::workspace::Workspace;

/// Runs every suite, whatever the ones before it said, and then reports.
/// `filter` goes to each of them as it is.
pub(crate) fn test(workspace: &Workspace, filter: &[String]) -> Result<()> {
    let mut host = cargo(workspace);
    host.args(["test", "--release", "--workspace", "--no-fail-fast"]).args(filter);
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

/// Runs one bench. Built with the features of the whole workspace, as all else.
pub(crate) fn bench(workspace: &Workspace, name: &str) -> Result<()> {
    build_binary(workspace, "bench")?;
    run(Command::new(workspace.target.join("release/bench")).arg(name))
}
