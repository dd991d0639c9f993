//! The state file, with which an interrupted import continues.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::counts::Counts;

/// Version of the file's format.
const FORMAT: u32 = 1;
/// Largest state file, in bytes: enough for a cluster of thousands of nodes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What an import was asked to do. It continues only if this is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Task {
    /// Address of the source, as the user gave it.
    pub(crate) source: String,
    pub(crate) databases: Option<Vec<u16>>,
    #[serde(rename = "match")]
    pub(crate) pattern: Option<String>,
    pub(crate) existing: String,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, databases, pattern, existing } = self;
        write!(f, "from {source} with --existing {existing}")?;
        if let Some(databases) = databases {
            let numbers: Vec<String> = databases.iter().map(u16::to_string).collect();
            write!(f, " --databases {}", numbers.join(","))?;
        }
        match pattern {
            Some(pattern) => write!(f, " --match {pattern:?}"),
            None => Ok(()),
        }
    }
}

/// How far one database of one server has been copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Progress {
    /// Address of the server.
    pub(crate) server: String,
    /// The process to which the cursor belongs.
    pub(crate) run_id: Option<String>,
    pub(crate) database: u16,
    /// The cursor of `SCAN` up to which all keys have been copied.
    pub(crate) cursor: u64,
    pub(crate) is_done: bool,
}

/// The content of a state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct State {
    format: u32,
    pub(crate) task: Task,
    pub(crate) progress: Vec<Progress>,
    pub(crate) counts: Counts,
    pub(crate) is_complete: bool,
}

impl State {
    pub(crate) fn new(task: Task) -> Self {
        let (progress, counts) = (Vec::new(), Counts::default());
        Self { format: FORMAT, task, progress, counts, is_complete: false }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match state.format {
            FORMAT => Ok(state),
            other => Err(format!("its format is {other}, and this version reads {FORMAT}")),
        }
    }

    /// Where the progress of a database of a server is. A cursor of another process is not valid:
    /// the database begins again, and the second value is true.
    pub(crate) fn position(
        &mut self,
        server: &str,
        run_id: Option<&str>,
        database: u16,
    ) -> (usize, bool) {
        let is_it = |one: &Progress| one.server == server && one.database == database;
        let at = self.progress.iter().position(is_it).unwrap_or_else(|| {
            let server = server.to_owned();
            let (cursor, is_done) = (0, false);
            self.progress.push(Progress { server, run_id: None, database, cursor, is_done });
            self.progress.len() - 1
        });
        let found = &mut self.progress[at];
        let is_other = run_id.is_none() || found.run_id.as_deref() != run_id;
        let begins_again = is_other && found.cursor > 0 && !found.is_done;
        if is_other {
            found.cursor = 0;
            found.run_id = run_id.map(str::to_owned);
        }
        (at, begins_again)
    }
}

/// A state file.
#[derive(Clone, Debug)]
pub(crate) struct StateFile(PathBuf);

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<State>, String> {
        let path = self.0.display();
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the state file {path} cannot be read: {error}")),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("the state file {path} cannot be read: {error}"))?;
        State::parse(&bytes).map(Some).map_err(|why| {
            format!("{path} is not the state file of an import: {why}; remove it, or name another")
        })
    }

    /// Replaces the file in one step: after a crash of this process, it is either the old or the
    /// new one; with `sync`, also after a crash of the machine.
    pub(crate) fn write(&self, state: &State, sync: bool) -> Result<(), String> {
        let mut beside = self.0.clone().into_os_string();
        beside.push(".new");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(state)?)?;
            file.write_all(b"\n")?;
            if sync {
                file.sync_all()?;
            }
            fs::rename(&beside, &self.0)
        };
        write().map_err(|error: std::io::Error| {
            format!("the state file {} cannot be written: {error}", self.0.display())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task {
            source: "10.0.0.7:6379".to_owned(),
            databases: Some(vec![0, 3]),
            pattern: None,
            existing: "skip".to_owned(),
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("state.json"));
        assert_eq!(file.read(), Ok(None));
        let mut state = State::new(task());
        let (at, _) = state.position("10.0.0.7:6379", Some("a"), 3);
        state.progress[at].cursor = u64::MAX;
        state.counts.add_failed(3, b"k", "why");
        file.write(&state, true).unwrap();
        assert_eq!(file.read(), Ok(Some(state)));
        fs::write(file.path(), "{").unwrap();
        assert!(file.read().unwrap_err().contains("is not the state file"));
    }

    #[test]
    fn a_cursor_is_kept_for_the_same_process_only() {
        let mut state = State::new(task());
        for (run_id, kept, begins_again) in
            [(Some("a"), 0, false), (Some("a"), 7, false), (Some("b"), 0, true), (None, 0, true)]
        {
            assert_eq!(state.position("s", run_id, 0), (0, begins_again), "{run_id:?}");
            assert_eq!(state.progress[0].cursor, kept, "{run_id:?}");
            state.progress[0].cursor = 7;
        }
        assert_eq!(state.position("s", Some("a"), 1), (1, false));
        // Nothing of a database that is done is repeated.
        state.progress[0].is_done = true;
        assert_eq!(state.position("s", Some("c"), 0), (0, false));
        assert!(state.progress[0].is_done);
    }

    #[test]
    fn fuzz_state() {
        let mut state = State::new(task());
        let _ = state.position("s", Some("a"), 0);
        let sample = serde_json::to_vec(&state).unwrap();
        convoke_harness::check!(&[sample], |bytes| {
            let Ok(state) = State::parse(bytes) else { return };
            let again = serde_json::to_vec(&state).unwrap();
            assert_eq!(State::parse(&again).unwrap(), state);
        });
    }
}
