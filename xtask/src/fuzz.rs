//! `cargo xtask fuzz`: every decoder and the command layer, by the program of the fuzz
//! crate, and the property tests of the crates below with many more cases.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{cargo, output, run as run_command};
use crate::workspace::Workspace;
use crate::{Result, binaries, modes};

/// Seconds for each target, unless a number is given.
const SECONDS: u64 = 600;

/// As Cargo.toml has it: overflows and failed assertions are panics.
const PROFILE: &str = "fuzz";

/// Crates with property tests of decoders that nothing outside of them can reach.
const CRATES: [&str; 4] = ["convoke-wire", "convoke-membership", "convoke-grid", "convoke-gateway"];

/// The name of these among the targets.
const PROPERTIES: &str = "properties";

/// Cases of each property test in one run of it: as many runs as there is time for.
const CASES: u32 = 2_000;

/// The variable that names a binary to test in place of the one that is built.
const BINARY: &str = "CONVOKE_BIN";

/// Runs all targets, or those that are named, one after the other, each for as many
/// seconds as the first word says.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<()> {
    let (seconds, names) = match words.split_first() {
        Some((first, rest)) => match first.parse() {
            Ok(seconds) => (seconds, rest),
            Err(_) => (SECONDS, words),
        },
        None => (SECONDS, words),
    };
    run_command(cargo(workspace).args([
        "build",
        "--profile",
        PROFILE,
        "--package",
        "convoke-fuzz",
    ]))?;
    let program = workspace.target.join(PROFILE).join("convoke-fuzz");
    let listed = output(Command::new(&program).arg("--list"))?;
    let known: Vec<&str> = listed.lines().chain([PROPERTIES]).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no target {unknown:?}; there are {}", known.join(", ")));
    }
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    if is_chosen("config") && env::var_os(BINARY).is_none() {
        modes::build_host(workspace)?;
    }
    let mut failed = Vec::new();
    for name in known.into_iter().filter(|name| is_chosen(name)) {
        let done = if name == PROPERTIES {
            properties(workspace, Duration::from_secs(seconds))
        } else {
            let mut fuzz = Command::new(&program);
            fuzz.args([name, &seconds.to_string()]);
            if env::var_os(BINARY).is_none() {
                fuzz.env(BINARY, workspace.target.join("release/convoke"));
            }
            run_command(&mut fuzz)
        };
        if let Err(error) = done {
            failed.push(format!("{name}: {error}"));
        }
    }
    for failed in &failed {
        println!("xtask: FOUND: {failed}");
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} targets found something")),
    }
}

/// Runs the property tests again and again: each time they choose other cases.
fn properties(workspace: &Workspace, duration: Duration) -> Result<()> {
    let mut test = cargo(workspace);
    test.args(["test", "--profile", PROFILE, "--lib"]);
    for name in CRATES {
        test.args(["--package", name]);
    }
    let tests = binaries::build(workspace, &mut test)?;
    let deadline = Instant::now() + duration;
    loop {
        for binary in &tests {
            binary.run_cases(CASES)?;
            if Instant::now() >= deadline {
                return Ok(());
            }
        }
    }
}
