//! The harnesses of decoders: tests whose names begin with `fuzz_`, as targets of libFuzzer.
//!
//! The stable compiler instruments them: `-Cpasses=sancov-module` and the arguments of LLVM are
//! those that cargo-bolero passes. libFuzzer itself is C++, in the crate bolero-libfuzzer, and needs
//! a C++ compiler. What instruments memory (`-Zsanitizer=address`) needs a nightly compiler and is
//! left out: the code is safe Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::{self, Binary};
use crate::process::{cargo, output, run as run_command};
use crate::workspace::Workspace;
use crate::{Result, toolchain};

/// Where crates with harnesses are.
const CRATES: &str = "host";

/// How the names of their tests begin.
const PREFIX: &str = "fuzz_";

/// The profile of the root manifest: overflows and failed assertions are panics.
const PROFILE: &str = "fuzz";

/// What makes a test a target of libFuzzer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "--cfg=fuzzing_libfuzzer",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    #[cfg(target_os = "linux")]
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
];

/// Seconds after which an input counts as one that hangs.
const INPUT_S_MAX: u32 = 10;

/// Memory of the process, in MiB, after which an input counts as one that uses too much.
const MEMORY_MIB_MAX: u32 = 2_048;

/// A harness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Harness {
    /// The crate and the function, as in `wire-datagram`.
    pub(crate) name: String,
    /// The folder of its crate.
    folder: PathBuf,
    /// The name of the function.
    function: String,
}

/// What a harness runs with.
pub(crate) enum Input<'a> {
    /// With inputs that libFuzzer finds, for this number of seconds.
    Any(u64),
    /// With one file.
    File(&'a Path),
}

/// All harnesses, in the order of their names.
pub(crate) fn find(workspace: &Workspace) -> Result<Vec<Harness>> {
    let mut all = Vec::new();
    for folder in entries(&workspace.root.join(CRATES))? {
        let Some(short) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        let mut functions = Vec::new();
        find_in(&folder.join("src"), &mut functions)?;
        all.extend(functions.into_iter().map(|function| Harness {
            name: format!("{short}-{}", function[PREFIX.len()..].replace('_', "-")),
            folder: folder.clone(),
            function,
        }));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(two) = all.windows(2).find(|two| two[0].name == two[1].name) {
        return Err(format!("two harnesses are named {}", two[0].name));
    }
    Ok(all)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(cannot)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(cannot)).collect()
}

/// The functions of a folder that are harnesses.
fn find_in(folder: &Path, functions: &mut Vec<String>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            find_in(&path, functions)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            functions.extend(declared(&text));
        }
    }
    Ok(())
}

/// The harnesses that a source declares.
fn declared(source: &str) -> impl Iterator<Item = String> {
    source.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix("fn ")?.strip_suffix("() {")?;
        name.starts_with(PREFIX).then(|| name.to_owned())
    })
}

/// Builds the crates of these harnesses, for libFuzzer, in a target folder of their own.
pub(crate) fn build(workspace: &Workspace, harnesses: &[Harness]) -> Result<Vec<Binary>> {
    let mut folders: Vec<&Path> = harnesses.iter().map(|harness| &*harness.folder).collect();
    folders.dedup();
    let mut flags = FLAGS.join(" ");
    if let Ok(more) = std::env::var("RUSTFLAGS") {
        flags = format!("{flags} {more}");
    }
    let mut test = cargo(workspace);
    test.args(["test", "--profile", PROFILE]);
    let is_library = |folder: &&Path| folder.join("src/lib.rs").is_file();
    test.args(folders.iter().any(is_library).then_some("--lib"));
    test.args((!folders.iter().all(is_library)).then_some("--bins"));
    // With a target, build scripts and macros are not instrumented.
    test.args(["--target", &toolchain::host()?]).arg("--target-dir").arg(coverage(workspace));
    test.env("RUSTFLAGS", flags);
    // The counters of one crate are to lie in one piece.
    test.env("CARGO_PROFILE_FUZZ_CODEGEN_UNITS", "1");
    for folder in folders {
        test.args(["--package", &package(folder)?]);
    }
    binaries::build(workspace, &mut test)
}

fn coverage(workspace: &Workspace) -> PathBuf {
    workspace.target.join("coverage")
}

/// The name of the package in a folder.
fn package(folder: &Path) -> Result<String> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .map_err(|error| format!("{}: {error}", manifest.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.map(str::to_owned).ok_or_else(|| format!("{}: no name", manifest.display()))
}

/// Runs one harness.
pub(crate) fn run(
    workspace: &Workspace,
    binaries: &[Binary],
    harness: &Harness,
    input: &Input<'_>,
) -> Result<()> {
    let (binary, test) = test_of(binaries, harness)?;
    let [corpus, findings] =
        ["corpus", "findings"].map(|what| coverage(workspace).join(what).join(&harness.name));
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new(binary.executable());
    command.args([&*test, "--exact", "--nocapture", "--quiet", "--test-threads", "1"]);
    command.current_dir(&harness.folder);
    let mut args = vec![
        format!("-artifact_prefix={}/", findings.display()),
        format!("-timeout={INPUT_S_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        // Without a line for each input that reaches new code.
        "-verbosity=0".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    match input {
        Input::Any(seconds) => {
            command.env("CONVOKE_FUZZ_SAMPLES", &corpus);
            args.push(format!("-max_total_time={seconds}"));
            args.push(corpus.display().to_string());
        }
        Input::File(file) => {
            let file = fs::canonicalize(file);
            let file = file.map_err(|error| format!("the input cannot be read: {error}"))?;
            args.push(file.display().to_string());
        }
    }
    if let Some(odd) = args.iter().find(|arg| arg.contains(' ')) {
        return Err(format!("libFuzzer is passed no paths with spaces, such as {odd:?}"));
    }
    command.env("BOLERO_LIBFUZZER_ARGS", args.join(" "));
    println!("\n     Fuzzing {}", harness.name);
    run_command(&mut command).map_err(|_| match input {
        Input::Any(_) => format!("see above; the input is in {}", findings.display()),
        Input::File(_) => "see above".to_owned(),
    })
}

/// The binary that has a harness, and the path of its test.
fn test_of<'a>(binaries: &'a [Binary], harness: &Harness) -> Result<(&'a Binary, String)> {
    for binary in binaries.iter().filter(|binary| binary.folder() == harness.folder) {
        let listed = output(Command::new(binary.executable()).args(["--list", "--format=terse"]))?;
        let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        let mut named = tests.filter(|test| test.rsplit("::").next() == Some(&harness.function));
        if let Some(test) = named.next() {
            return Ok((binary, test.to_owned()));
        }
    }
    Err(format!("no test is named {}", harness.function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harnesses_are_named_by_crate_and_function() {
        let harnesses = find(&Workspace::here()).unwrap();
        let names: Vec<_> = harnesses.iter().map(|harness| &*harness.name).collect();
        for name in ["wire-datagram", "grid-message", "gateway-request", "script-json"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        let wire = harnesses.iter().find(|harness| harness.name == "wire-datagram").unwrap();
        assert_eq!(package(&wire.folder).unwrap(), "convoke-wire");
        assert_eq!(wire.function, "fuzz_datagram");
    }

    #[test]
    fn a_harness_is_a_function_without_arguments() {
        let source = "fn fuzz_one() {\n    fn fuzz_two() {\nfn fuzz_three(a: u8) {\nfn fuzzy() {\n";
        assert_eq!(declared(source).collect::<Vec<_>>(), ["fuzz_one", "fuzz_two"]);
    }
}
