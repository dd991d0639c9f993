//! Generated bindings for templates in C and Go, whose authors need no binding generator: the
//! folder `bindings` of a template, generated from `wit/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_bindgen_core::wit_parser::{Resolve, UnresolvedPackageGroup, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};

use crate::Result;
use crate::process::run;
use crate::workspace::Workspace;

/// The name of the world in a template's `wit` folder.
pub(super) const WORLD: &str = "mode";

/// The WASI module that language runtimes import.
const WASI: &str = "wasi_snapshot_preview1";

/// Generated files by their path below `bindings`.
pub(super) type Bindings = BTreeMap<PathBuf, Vec<u8>>;

/// Parses the world of a template with the packages of `wit/` that it uses.
pub(super) fn world(workspace: &Workspace, template: &Path) -> Result<(Resolve, WorldId)> {
    let wit = workspace.root.join("wit");
    let mut packages = vec![wit.join("discovery"), wit.join("host")];
    packages.extend(sorted(&wit.join("deps"))?);
    let parse = |path: &PathBuf| match path.is_dir() {
        true => UnresolvedPackageGroup::parse_dir(path).map_err(|error| format!("{error:#}")),
        false => UnresolvedPackageGroup::parse(path, &read_text(path)?)
            .map_err(|(map, error)| error.render(&map)),
    };
    let packages = packages.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let main = parse(&template.join("wit"))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_groups(main, packages).map_err(|error| error.to_string())?;
    let world =
        resolve.select_world(&[package], Some(WORLD)).map_err(|error| format!("{error:#}"))?;
    Ok((resolve, world))
}

/// Runs a generator and collects its files.
pub(super) fn generate(
    generator: &mut dyn WorldGenerator,
    resolve: &mut Resolve,
    world: WorldId,
) -> Result<Bindings> {
    let mut files = Files::default();
    generator.generate(resolve, world, &mut files).map_err(|error| format!("{error:#}"))?;
    Ok(files.iter().map(|(name, bytes)| (PathBuf::from(name), bytes.to_vec())).collect())
}

/// Writes the files that are missing or differ.
pub(super) fn write(folder: &Path, bindings: &Bindings) -> Result<()> {
    for (name, bytes) in bindings {
        let file = folder.join(name);
        if fs::read(&file).is_ok_and(|present| present == *bytes) {
            continue;
        }
        let folder = file.parent().unwrap_or(folder);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("xtask: wrote {}", file.display());
    }
    Ok(())
}

/// Returns an error if a file is missing or differs.
pub(super) fn check(folder: &Path, bindings: &Bindings) -> Result<()> {
    for (name, bytes) in bindings {
        let file = folder.join(name);
        if !fs::read(&file).is_ok_and(|present| present == *bytes) {
            return Err(format!(
                "{} does not match wit/; run `cargo xtask bindings` to regenerate it",
                file.display()
            ));
        }
    }
    Ok(())
}

/// Makes a component of a core module that may import WASI, with `convoke plugin component`, as an
/// author of a mode would.
pub(super) fn make_component(workspace: &Workspace, core: &Path, component: &Path) -> Result<()> {
    if let Some(folder) = component.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut convoke = Command::new(workspace.target.join("release/convoke"));
    run(convoke.args(["plugin", "component"]).args([core, component]))
}

/// All files below `folders`, without hidden ones and those in folders named in `skipped`. Links
/// are followed.
pub(super) fn sources(folders: &[PathBuf], skipped: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        for path in sorted(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || skipped.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot_read = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(cannot_read)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(cannot_read)?;
    paths.sort();
    Ok(paths)
}

fn read_text(file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Assembles the adapter that replaces WASI from its text form.
pub(super) fn write_inert(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("host/convoke/templates/inert");
    write(&folder, &Bindings::from([(format!("{WASI}.wasm").into(), inert(&folder)?)]))
}

fn inert(folder: &Path) -> Result<Vec<u8>> {
    wat::parse_file(folder.join(format!("{WASI}.wat"))).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inert_adapter_matches_its_text() {
        let folder = Workspace::here().root.join("host/convoke/templates/inert");
        let made = inert(&folder).expect("well formed");
        let made = Bindings::from([(format!("{WASI}.wasm").into(), made)]);
        assert_eq!(check(&folder, &made), Ok(()));
    }
}
