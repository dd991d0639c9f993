//! Where a member keeps what is its own, unless it is told: as the XDG base directory
//! specification says.

use std::env;
use std::path::PathBuf;

/// What can be made again: compiled modes, fetched components.
pub(crate) fn cache() -> Option<PathBuf> {
    of_user("XDG_CACHE_HOME", ".cache")
}

/// What outlives a restart: what modes store.
pub(crate) fn state() -> Option<PathBuf> {
    of_user("XDG_STATE_HOME", ".local/state")
}

/// Relative paths are to be ignored, says the specification.
fn of_user(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))?;
    Some(base.join("convoke"))
}
