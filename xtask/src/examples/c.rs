//! The example in C: its compiler, its component and its tests.
//!
//! The compiler's Debian packages are unpacked below `target`, not installed, so no root is needed.
//! A clang with wasm32 that `WASM_CC` names, with its `WASI_SYSROOT`, is used instead if given.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bindings::{self, Bindings};
use crate::process::{find, run};
use crate::workspace::Workspace;
use crate::{Result, debian};

const NAME: &str = "address-file";

/// The packages of the compiler in Debian 12 and later.
const PACKAGES: &[&str] = &[
    "clang-19",
    "lld-19",
    "libclang-cpp19",
    "libllvm19",
    "libclang-common-19-dev",
    "libclang-rt-19-dev-wasm32",
    "wasi-libc",
];

fn example(workspace: &Workspace) -> PathBuf {
    workspace.root.join("plugins/examples").join(NAME)
}

fn template(workspace: &Workspace) -> PathBuf {
    workspace.root.join("host/convoke/templates/c")
}

/// Writes the generated bindings of the C template.
pub(crate) fn bindings(workspace: &Workspace) -> Result<()> {
    bindings::write(&template(workspace).join("bindings"), &generated(workspace)?)
}

fn generated(workspace: &Workspace) -> Result<Bindings> {
    let (mut resolve, world) = bindings::world(workspace, &template(workspace))?;
    let mut generator = wit_bindgen_c::Opts::default().build();
    bindings::generate(generator.as_mut(), &mut resolve, world)
}

/// Builds `target/examples/address-file.wasm`.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let component = super::output(workspace, NAME);
    let sources = bindings::sources(&[example(workspace)], &["build", "tests", "README.md"])?;
    if super::is_fresh(&component, &sources) {
        return Ok(());
    }
    let folder = super::tools(workspace).join("build").join(NAME);
    let mut make = make(workspace, &folder)?;
    Compiler::find(workspace)?.configure(&mut make);
    run(make.arg("core"))?;
    bindings::make_component(workspace, &folder.join(format!("{NAME}.core.wasm")), &component)
}

/// Runs the native tests of the example and of the template with the installed C compiler.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    for (project, name) in [(example(workspace), NAME), (template(workspace), "template-c")] {
        let folder = super::tools(workspace).join("build").join(name);
        run(make_in(&project, &folder)?.arg("test"))?;
    }
    Ok(())
}

fn make(workspace: &Workspace, folder: &Path) -> Result<Command> {
    make_in(&example(workspace), folder)
}

/// Returns `make` for a project, with build output in `folder`, so that the checkout stays
/// unchanged.
fn make_in(project: &Path, folder: &Path) -> Result<Command> {
    if find("make").is_none() {
        return Err("make is not installed; the examples in C and Go need it".to_owned());
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut make = Command::new("make");
    make.arg("--silent").arg("--directory").arg(project);
    make.arg({
        let mut build = OsString::from("BUILD=");
        build.push(folder);
        build
    });
    Ok(make)
}

/// A clang with the target wasm32.
enum Compiler {
    /// Given by the user with `WASM_CC` or `WASI_SDK_PATH`.
    Named,
    /// Debian's, unpacked in this folder.
    Unpacked(PathBuf),
}

impl Compiler {
    fn find(workspace: &Workspace) -> Result<Self> {
        if env::var_os("WASM_CC").is_some() || env::var_os("WASI_SDK_PATH").is_some() {
            return Ok(Self::Named);
        }
        let folder = super::tools(workspace).join("clang");
        fetch(&folder)?;
        Ok(Self::Unpacked(folder))
    }

    fn configure(&self, make: &mut Command) {
        let Self::Unpacked(folder) = self else { return };
        let usr = folder.join("usr");
        let path = env::var_os("PATH").unwrap_or_default();
        let paths = [usr.join("bin")].into_iter().chain(env::split_paths(&path));
        // Clang finds its linker (`wasm-ld`) on PATH.
        make.env("PATH", env::join_paths(paths).unwrap_or(path.clone()));
        make.env("LD_LIBRARY_PATH", join(&libraries(&usr)));
        make.env("WASM_CC", "clang-19").env("WASI_SYSROOT", usr);
    }
}

/// The folders with shared libraries: `lib/x86_64-linux-gnu` and `lib/llvm-19/lib`.
fn libraries(usr: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(usr.join("lib")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = folders
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .collect();
    found.push(usr.join("lib/llvm-19/lib"));
    found
}

fn join(paths: &[PathBuf]) -> OsString {
    env::join_paths(paths).unwrap_or_default()
}

/// Downloads and unpacks the packages below a folder.
fn fetch(folder: &Path) -> Result<()> {
    for program in ["apt-get", "dpkg-deb"] {
        if find(program).is_none() {
            return Err(format!(
                "the example in C needs a clang with wasm32, and {program} is not installed to \
                 download Debian's; set WASI_SDK_PATH to a WASI SDK, or WASM_CC and WASI_SYSROOT"
            ));
        }
    }
    debian::unpacked(folder, PACKAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_the_bindings_of_our_wit() {
        let workspace = Workspace::here();
        let folder = template(&workspace).join("bindings");
        assert_eq!(bindings::check(&folder, &generated(&workspace).expect("sound WIT")), Ok(()));
    }
}
