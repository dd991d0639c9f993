//! `cargo xtask fuzz`: the harness of each decoder, guided by coverage; whole members, driven by
//! the binary of the fuzz crate; and property tests with more cases than usual.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harnesses::{self, Input};
use crate::process::{cargo, output, run as run_command};
use crate::workspace::Workspace;
use crate::{Result, binaries, modes};

/// Default duration of each target, in seconds.
const SECONDS: u64 = 600;

/// A profile of the root manifest: overflows and failed assertions are panics.
const PROFILE: &str = "fuzz";

/// Crates with property tests of structured input.
const CRATES: [&str; 3] = ["convoke-wire", "convoke-grid", "convoke-gateway"];

/// Name of the target that runs the property tests.
const PROPERTIES: &str = "properties";

/// Cases of each property test in one run; runs are repeated until the time is over.
const CASES: u32 = 2_000;

/// Environment variable with the path of a member's binary to test instead of building one.
const BINARY: &str = "CONVOKE_BIN";

/// Option that names a file with one input.
const INPUT: &str = "--input";

/// Runs all targets or the named ones in sequence, each for the number of seconds that the first
/// argument gives; or one harness with one input.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let harnesses = harnesses::find(workspace)?;
    if let [name, option, file] = args
        && option == INPUT
    {
        let harness = harnesses.iter().find(|harness| harness.name == *name);
        let harness = harness.ok_or_else(|| format!("unknown harness {name:?}"))?;
        let built = harnesses::build(workspace, std::slice::from_ref(harness))?;
        return harnesses::run(workspace, &built, harness, &Input::File(Path::new(file)));
    }
    let (seconds, names) = match args.split_first() {
        Some((first, rest)) => match first.parse() {
            Ok(seconds) => (seconds, rest),
            Err(_) => (SECONDS, args),
        },
        None => (SECONDS, args),
    };
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    let chosen: Vec<_> =
        harnesses.iter().filter(|harness| is_chosen(&harness.name)).cloned().collect();
    let are_harnesses = !names.is_empty() && chosen.len() == names.len();
    let program = if are_harnesses { None } else { Some(Program::build(workspace)?) };
    let targets = program.as_ref().map_or(&[][..], |program| &program.targets);
    let is_known = |name: &String| {
        name == PROPERTIES
            || targets.contains(name)
            || harnesses.iter().any(|harness| harness.name == *name)
    };
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known = harnesses.iter().map(|harness| &*harness.name);
        let known = known.chain(targets.iter().map(|target| &**target)).chain([PROPERTIES]);
        let known: Vec<_> = known.collect();
        return Err(format!("unknown target {unknown:?}; expected {}", known.join(", ")));
    }
    let mut failed = Vec::new();
    let mut note = |name: &str, done: Result<()>| {
        if let Err(error) = done {
            failed.push(format!("{name}: {error}"));
        }
    };
    if !chosen.is_empty() {
        let built = harnesses::build(workspace, &chosen)?;
        for harness in &chosen {
            let input = Input::Any(seconds);
            note(&harness.name, harnesses::run(workspace, &built, harness, &input));
        }
    }
    if is_chosen("config") && program.is_some() && env::var_os(BINARY).is_none() {
        modes::build_host(workspace)?;
    }
    if let Some(program) = &program {
        for target in program.targets.iter().filter(|target| is_chosen(target)) {
            note(target, program.run(workspace, target, seconds));
        }
    }
    if is_chosen(PROPERTIES) {
        note(PROPERTIES, properties(workspace, Duration::from_secs(seconds)));
    }
    for failed in &failed {
        println!("xtask: FOUND: {failed}");
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} targets found failures")),
    }
}

/// The binary of the fuzz crate.
struct Program {
    executable: std::path::PathBuf,
    targets: Vec<String>,
}

impl Program {
    fn build(workspace: &Workspace) -> Result<Self> {
        run_command(cargo(workspace).args([
            "build",
            "--profile",
            PROFILE,
            "--package",
            "convoke-fuzz",
        ]))?;
        let executable = workspace.target.join(PROFILE).join("convoke-fuzz");
        let listed = output(Command::new(&executable).arg("--list"))?;
        Ok(Self { executable, targets: listed.lines().map(str::to_owned).collect() })
    }

    fn run(&self, workspace: &Workspace, target: &str, seconds: u64) -> Result<()> {
        let mut fuzz = Command::new(&self.executable);
        fuzz.args([target, &seconds.to_string()]);
        if env::var_os(BINARY).is_none() {
            fuzz.env(BINARY, workspace.binary());
        }
        run_command(&mut fuzz)
    }
}

/// Runs the property tests repeatedly; each run chooses other cases.
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
