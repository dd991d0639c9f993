//! Default directories, as in the XDG Base Directory Specification.

use std::env;
use std::path::PathBuf;

/// The folder for files that can be recreated: compiled modes, downloaded components.
pub(crate) fn cache() -> Option<PathBuf> {
    of_user("XDG_CACHE_HOME", ".cache")
}

/// The folder for files that outlive a restart: the stores of modes.
pub(crate) fn state() -> Option<PathBuf> {
    of_user("XDG_STATE_HOME", ".local/state")
}

/// Relative paths are ignored, as the specification (XDG Base Directory) requires.
fn of_user(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))?;
    Some(base.join("convoke"))
}
