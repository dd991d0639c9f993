//! Resource limits of this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Number of open files that a large cluster needs: streams, candidates, HTTP.
const OPEN_FILES_TARGET: u64 = 65_536;

/// Raises the soft limit on open files as far as the hard limit allows.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let target = limit.maximum.map_or(OPEN_FILES_TARGET, |max| max.min(OPEN_FILES_TARGET));
    if limit.current.is_some_and(|now| now < target) {
        limit.current = Some(target);
        // On failure the lower limit stays, which is enough for a small cluster.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Open files that this process may have.
pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(OPEN_FILES_TARGET)
}
