//! What a test needs and this machine may not have: found, or said to be missing.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Says aloud that the test is skipped, and why.
///
/// # Panics
/// In continuous integration (`CI=true`), which must have all that tests need.
#[track_caller]
pub fn skip(why: &str) {
    let text = format!("SKIPPED ({why})");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{text}");
    // Past the harness, which shows only what failed tests print.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Where `path` may be below the folders that cargo builds into: those above this program
/// first, then the workspace's own.
pub fn below_target(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let this = env::current_exe().unwrap_or_default();
    let above: Vec<PathBuf> = this.ancestors().skip(1).map(|folder| folder.join(path)).collect();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    above.into_iter().chain(workspace.map(|root| root.join("target").join(path)))
}
