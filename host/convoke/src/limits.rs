//! What the system lets this process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that a member needs at most: streams, candidates, HTTP.
const OPEN_FILES_WANTED: u64 = 65_536;

/// Raises the soft limit on open files as far as the hard limit lets it.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES_WANTED, |max| max.min(OPEN_FILES_WANTED));
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        // Fewer will do for a small cluster.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Open files that this process may have.
pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(OPEN_FILES_WANTED)
}
