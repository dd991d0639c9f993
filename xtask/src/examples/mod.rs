//! The example modes in `plugins/examples`, one per language: their tools, components and tests.

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
use crate::binaries::{PROCESS_TESTS_PER_CORE, TESTS_PER_CORE, limit_parallel_tests};
use crate::process::{cargo, run};
use crate::toolchain::{self, Toolchain};
use crate::workspace::Workspace;

/// An example and its steps.
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

/// Host suites that also run the examples' components: package, suite, and tests that run in
/// parallel per core.
const SUITES: &[(&str, &str, usize)] = &[
    ("convoke-mode-kit", "conformance", TESTS_PER_CORE),
    ("convoke-tests", "plugins", PROCESS_TESTS_PER_CORE),
];
/// Environment variable that makes these suites use the examples.
const VARIABLE: &str = "CONVOKE_EXAMPLES";

/// Builds each example and runs its own tests, and then the host suites that use them. Reports all
/// failures.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    let mut failed = Vec::new();
    let servers = thread::scope(|scope| {
        // In parallel with the examples: their compilers use the processor, this the network.
        let servers = scope.spawn(|| servers::download(workspace));
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
        limit_parallel_tests(&mut test, tests_per_core);
        if let Err(error) = run(&mut test) {
            failed.push(format!("{package} {suite}: {error}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Builds all examples, for a bench.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    EXAMPLES.iter().try_for_each(|example| (example.build)(workspace))
}

/// Writes the generated bindings of the templates in C and Go, and the adapter that replaces WASI.
pub(crate) fn write_bindings(workspace: &Workspace) -> Result<()> {
    bindings::write_inert(workspace)?;
    c::bindings(workspace)?;
    go::bindings(workspace)
}

/// The folder of the languages' tools.
fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target.join("examples-tools")
}

/// The path of an example's component.
fn output(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("examples").join(format!("{name}.wasm"))
}

/// Whether `output` is newer than all of `sources`.
fn is_fresh(output: &Path, sources: &[PathBuf]) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(made) = modified(output) else { return false };
    sources.iter().all(|source| modified(source).is_some_and(|changed| changed <= made))
}
