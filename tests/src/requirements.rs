//! Optional requirements of tests: finding them, and skipping tests without them.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Reports that the test is skipped, and why.
///
/// # Panics
/// In continuous integration (`CI=true`), where all requirements must be met.
#[track_caller]
pub fn skip(why: &str) {
    let text = format!("SKIPPED ({why})");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{text}");
    // Not through `eprintln!`, which the test harness captures.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The candidates for `path` in target folders: those above this executable first, then the
/// workspace's.
pub fn below_target(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let this = env::current_exe().unwrap_or_default();
    let above: Vec<PathBuf> = this.ancestors().skip(1).map(|folder| folder.join(path)).collect();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    above.into_iter().chain(workspace.map(|root| root.join("target").join(path)))
}
