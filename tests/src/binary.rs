//! Paths of the binary under test and of the modes that were built with it.

use std::env;
use std::path::{Path, PathBuf};

/// The release binary: `CONVOKE_BIN`, else `release/convoke` in the folder
/// that cargo built this program into, else in the workspace's `target`.
///
/// # Panics
/// If it does not exist; the message names the command that builds it.
#[must_use]
pub fn convoke() -> PathBuf {
    if let Some(path) = env::var_os("CONVOKE_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CONVOKE_BIN names {}, which is not a file", path.display());
        return path;
    }
    find("release/convoke")
        .unwrap_or_else(|| panic!("there is no release/convoke to test: run `cargo xtask build`"))
}

/// The component file of a built-in mode.
///
/// # Panics
/// If it was not built; the message names the command that builds it.
#[must_use]
pub fn mode(name: &str) -> PathBuf {
    let file = format!("modes/{name}.wasm");
    find(&file).unwrap_or_else(|| panic!("there is no {file}: run `cargo xtask modes`"))
}

/// The file of a built-in mode as the binary embeds it.
///
/// # Panics
/// If it was not built; the message names the command that builds it.
#[must_use]
pub fn compiled_mode(name: &str) -> PathBuf {
    let file = format!("modes/{name}.cwasm");
    find(&file).unwrap_or_else(|| panic!("there is no {file}: run `cargo xtask modes`"))
}

/// A file in the target folder of this program, or in that of the workspace.
fn find(file: &str) -> Option<PathBuf> {
    let this = env::current_exe().ok();
    let above = this.iter().flat_map(|this| this.ancestors().skip(1).map(Path::to_owned));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("target"));
    above.chain(workspace).map(|folder| folder.join(file)).find(|file| file.is_file())
}
