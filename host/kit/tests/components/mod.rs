//! Locates the components under test.

use std::env;
use std::path::{Path, PathBuf};

/// The path of a built-in mode.
///
/// # Panics
/// If it was not built; the text says what to run.
#[allow(clippy::unnecessary_wraps, reason = "of the shape of `example`")]
pub(crate) fn built_in(name: &str) -> Option<PathBuf> {
    let file = format!("modes/{name}.wasm");
    Some(find(&file).unwrap_or_else(|| panic!("{file} does not exist; run `cargo xtask modes`")))
}

/// The path of an example; `None` if it has not been built and is not required.
///
/// # Panics
/// If it was not built and `CONVOKE_EXAMPLES` is 1.
#[allow(dead_code, reason = "each test program uses its part")]
pub(crate) fn example(name: &str) -> Option<PathBuf> {
    let file = format!("examples/{name}.wasm");
    let found = find(&file);
    let must_be = env::var_os("CONVOKE_EXAMPLES").is_some_and(|value| value == "1");
    assert!(
        found.is_some() || !must_be,
        "{file} does not exist; run `cargo xtask test --examples`"
    );
    found
}

/// Finds a file in the target folder of this program, or in that of the workspace.
fn find(file: &str) -> Option<PathBuf> {
    let this = env::current_exe().ok();
    let above = this.iter().flat_map(|this| this.ancestors().skip(1).map(Path::to_owned));
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(|root| root.join("target"));
    above.chain(workspace).map(|folder| folder.join(file)).find(|file| file.is_file())
}
