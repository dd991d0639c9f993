//! The built-in modes: compiled to core modules, made into components, and precompiled for the
//! machine that the binary runs on.

use std::fs;
use std::path::Path;
use std::process::Command;

use wit_component::ComponentEncoder;

use crate::process::{cargo, run};
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;
use crate::{Result, toolchain};

/// The names of the built-in modes, which are also the library names of their crates.
const MODES: &[&str] = &["multicast", "tcpip", "dns", "kubernetes", "domain"];

/// Builds for each mode `target/modes/<mode>.wasm`, a component, and `<mode>.cwasm`, its
/// precompiled form, which the binary embeds.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    compile(workspace, &Toolchain::find()?)?;
    let folder = workspace.modes();
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for mode in MODES {
        let core =
            workspace.plugins_target.join(toolchain::TARGET).join(format!("release/{mode}.wasm"));
        make_component(&core, &folder.join(format!("{mode}.wasm")))?;
    }
    precompile(workspace, &folder)
}

/// Builds the modes and then the binary, which embeds them.
pub(crate) fn build_host(workspace: &Workspace) -> Result<()> {
    build(workspace)?;
    build_binary(workspace, "convoke")
}

fn compile(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let mut build = cargo(workspace);
    build
        .args(["build", "--release", "--target", toolchain::TARGET, "--manifest-path"])
        .arg(workspace.plugins_manifest())
        .arg("--target-dir")
        .arg(&workspace.plugins_target);
    for mode in MODES {
        build.arg("--package").arg(format!("convoke-mode-{mode}"));
    }
    toolchain.configure(&mut build);
    run(&mut build)
}

/// Makes a component of a core module. An existing equal file is left untouched, so that nothing is
/// rebuilt because of its time stamp.
pub(crate) fn make_component(core: &Path, component: &Path) -> Result<()> {
    let module = fs::read(core).map_err(|error| format!("{}: {error}", core.display()))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("{} cannot be made a component: {error:#}", core.display()))?;
    if fs::read(component).is_ok_and(|present| present == encoded) {
        return Ok(());
    }
    fs::write(component, encoded).map_err(|error| format!("{}: {error}", component.display()))
}

/// Precompiles the components with the same engine as the binary's. `convoke-precompile` skips
/// files that are up to date.
fn precompile(workspace: &Workspace, folder: &Path) -> Result<()> {
    build_binary(workspace, "convoke-precompile")?;
    let mut compiler = Command::new(workspace.target.join("release/convoke-precompile"));
    for mode in MODES {
        compiler.args(["wasm", "cwasm"].map(|form| folder.join(format!("{mode}.{form}"))));
    }
    run(&mut compiler)
}

/// Builds one binary of the workspace. `--workspace` unifies the features of all crates; otherwise
/// the Wasm engine would be compiled once per set of features.
pub(crate) fn build_binary(workspace: &Workspace, name: &str) -> Result<()> {
    run(cargo(workspace).args(["build", "--release", "--workspace", "--bin", name]))
}

#[cfg(test)]
mod tests {
    use wit_component::{DecodedWasm, decode};

    use super::*;

    /// The interfaces that a component imports and those that it exports.
    fn interfaces(component: &Path) -> (Vec<String>, Vec<String>) {
        let bytes = fs::read(component).expect("made by `cargo xtask modes`");
        let DecodedWasm::Component(resolve, world) = decode(&bytes).expect("a component") else {
            panic!("{} is a package, not a component", component.display());
        };
        let world = &resolve.worlds[world];
        let imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
        let exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        (imports, exports)
    }

    #[test]
    fn the_modes_import_only_what_they_need() {
        const TYPES: &str = "convoke:discovery/types@0.1.0";
        const LOG: &str = "convoke:host/log@0.1.0";
        const DNS: &str = "convoke:host/dns@0.1.0";
        const KUBERNETES: &str = "convoke:host/kubernetes@0.1.0";
        const MULTICAST: &str = "convoke:host/multicast@0.1.0";
        const PROBE: &str = "convoke:host/probe@0.1.0";
        const STRATEGY: &str = "convoke:discovery/strategy@0.1.0";
        const ANNOUNCER: &str = "convoke:discovery/announcer@0.1.0";
        let expected: &[(&str, &[&str], &[&str])] = &[
            ("multicast", &[TYPES, LOG, MULTICAST], &[STRATEGY, ANNOUNCER]),
            ("tcpip", &[TYPES, LOG], &[STRATEGY]),
            ("dns", &[TYPES, LOG, DNS], &[STRATEGY]),
            ("kubernetes", &[TYPES, LOG, KUBERNETES], &[STRATEGY]),
            ("domain", &[TYPES, LOG, PROBE], &[STRATEGY]),
        ];
        let folder = Workspace::here().modes();
        assert_eq!(expected.iter().map(|(mode, ..)| *mode).collect::<Vec<_>>(), MODES);
        for &(mode, imports, exports) in expected {
            let (imported, exported) = interfaces(&folder.join(format!("{mode}.wasm")));
            assert_eq!(sorted(imported), sorted(imports), "imports of {mode}");
            assert_eq!(sorted(exported), sorted(exports), "exports of {mode}");
        }
    }

    fn sorted<T: ToString>(names: impl IntoIterator<Item = T>) -> Vec<String> {
        let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }
}
