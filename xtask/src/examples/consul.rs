//! The example in Rust: `plugins/examples/consul`.

use std::fs;
use std::path::Path;

use wit_component::{DecodedWasm, decode};

use super::output;
use crate::Result;
use crate::modes::make_component;
use crate::process::{cargo, run};
use crate::toolchain::{self, Toolchain};
use crate::workspace::Workspace;

/// All interfaces that the mode may import: those of HTTP, and the log.
const IMPORTS: [&str; 8] = [
    "convoke:discovery/types",
    "convoke:host/log",
    "wasi:clocks/monotonic-clock",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];

/// Builds `target/examples/consul.wasm`.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut build = cargo(workspace);
    build
        .args(["build", "--release", "--target", toolchain::TARGET, "--manifest-path"])
        .arg(workspace.plugins_manifest())
        .arg("--target-dir")
        .arg(&workspace.plugins_target)
        .args(["--package", "convoke-mode-consul"]);
    Toolchain::find()?.configure(&mut build);
    run(&mut build)?;
    let component = output(workspace, "consul");
    if let Some(folder) = component.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let core = workspace.plugins_target.join(toolchain::TARGET).join("release/consul.wasm");
    make_component(&core, &component)
}

/// Checks that the component imports nothing but HTTP and the log. Its other tests are native and
/// run with the modes' workspace.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    let imported = imports(&output(workspace, "consul"))?;
    if imported == IMPORTS {
        Ok(())
    } else {
        Err(format!("consul.wasm imports {imported:?}; expected {IMPORTS:?}"))
    }
}

/// The interfaces that a component imports, sorted, without their versions.
fn imports(component: &Path) -> Result<Vec<String>> {
    let shown = component.display();
    let bytes = fs::read(component).map_err(|error| format!("{shown}: {error}"))?;
    let decoded = decode(&bytes).map_err(|error| format!("{shown}: {error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(format!("{shown} is a package, not a component"));
    };
    let keys = resolve.worlds[world].imports.keys();
    let name =
        |name: String| name.split_once('@').map_or(name.clone(), |(name, _)| name.to_owned());
    let mut names: Vec<String> = keys.map(|key| name(resolve.name_world_key(key))).collect();
    names.sort_unstable();
    Ok(names)
}
