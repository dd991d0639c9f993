//! The modes of `plugins/examples`, one in each language: their tools, their
//! components, their own tests.

mod bindings;
mod c;
mod consul;
mod go;
mod javascript;
mod python;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::Result;
use crate::binaries::{PROCESS_TESTS_PER_CORE, TESTS_PER_CORE, side_by_side};
use crate::process::{cargo, run};
use crate::toolchain::{self, Toolchain};
use crate::workspace::Workspace;

/// What each language takes.
struct Example {
    name: &'static str,
    build: fn(&Workspace) -> Result<()>,
    test: fn(&Workspace) -> Result<()>,
}

const EXAMPLES: &[Example] = &[
    Example { name: "consul (Rust)", build: consul::build, test: consul::test },
    Example { name: "etcd (Python)", build: python::build, test: python::test },
    Example { name: "cloud (JavaScript)", build: javascript::build, test: javascript::test },
    Example { name: "address-file (C)", build: c::build, test: c::test },
    Example { name: "http-list (Go)", build: go::build, test: go::test },
];

/// Suites that run components, here with those of the examples; and how many of their
/// tests run side by side, for each core.
const SUITES: &[(&str, &str, usize)] = &[
    ("convoke-mode-kit", "conformance", TESTS_PER_CORE),
    ("convoke-tests", "plugins", PROCESS_TESTS_PER_CORE),
];
/// Says to them that the examples are there.
const VARIABLE: &str = "CONVOKE_EXAMPLES";

/// Builds each example and runs its own tests, and then what the host's tests do with
/// them. Reports all that fails.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    let mut failed = Vec::new();
    let servers = thread::scope(|scope| {
        // Beside the examples, whose compilers leave the network alone.
        let servers = scope.spawn(|| servers::bring(workspace));
        for example in EXAMPLES {
            println!("xtask: example {}", example.name);
            if let Err(error) = (example.build)(workspace).and_then(|()| (example.test)(workspace))
            {
                eprintln!("xtask: example {}: {error}", example.name);
                failed.push(format!("{}: {error}", example.name));
            }
        }
        servers.join()
    });
    if let Err(error) = servers.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        failed.push(format!("servers for the examples: {error}"));
    }
    if !failed.is_empty() {
        return Err(failed.join("; "));
    }
    toolchain::write_cargo(&Toolchain::find()?, &tools(workspace).join("rust"))?;
    for &(package, suite, tests_per_core) in SUITES {
        let mut test = cargo(workspace);
        test.args(["test", "--release", "--workspace", "--no-fail-fast", "--test", suite]);
        test.env(VARIABLE, "1");
        side_by_side(&mut test, tests_per_core);
        if let Err(error) = run(&mut test) {
            failed.push(format!("{package} {suite}: {error}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Builds each example, for a bench.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    EXAMPLES.iter().try_for_each(|example| (example.build)(workspace))
}

/// Writes what projects in C and Go have in place of a binding generator.
pub(crate) fn write_bindings(workspace: &Workspace) -> Result<()> {
    bindings::write_inert(workspace)?;
    c::bindings(workspace)?;
    go::bindings(workspace)
}

/// Where the tools of the languages are kept.
fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target.join("examples-tools")
}

/// Where a component goes.
fn output(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("examples").join(format!("{name}.wasm"))
}

/// Whether `output` is younger than all that it is made from.
fn is_fresh(output: &Path, sources: &[PathBuf]) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(made) = modified(output) else { return false };
    sources.iter().all(|source| modified(source).is_some_and(|changed| changed <= made))
}
