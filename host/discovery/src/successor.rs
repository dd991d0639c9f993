//! A mode's next version: its file is watched, and when it changes the new component
//! is loaded, configured and looks once beside the running one, before it takes over.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::back_off;
use crate::candidate::{Problem, Snapshot};
use crate::host::{DiscoveryHost, LoadedMode};
use crate::instance::{CallError, Instance};
use crate::limits;
use crate::mode::LocalMember;

/// What tells one version of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

/// A new version that is ready to go on in place of the one that runs.
pub(crate) struct Successor {
    pub(crate) loaded: LoadedMode,
    pub(crate) instance: Instance,
    /// What it found.
    pub(crate) snapshot: Snapshot,
}

/// Watches the file of one mode for as long as it is held.
pub(crate) struct Watch {
    pub(crate) successors: mpsc::Receiver<Successor>,
    task: JoinHandle<()>,
}

struct Watcher {
    host: DiscoveryHost,
    running: LoadedMode,
    local: LocalMember,
    path: PathBuf,
    stamp: Option<Stamp>,
    successors: mpsc::Sender<Successor>,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }

    /// `None` for a file that is not there, as while it is replaced.
    async fn read(path: &Path) -> Option<Self> {
        let path = path.to_owned();
        // A file on a server that is away would hold this thread for minutes.
        let read = tokio::task::spawn_blocking(move || std::fs::metadata(path));
        read.await.ok()?.ok().map(|metadata| Self::of(&metadata))
    }
}

impl Watch {
    /// Nothing to watch where `running` does not come from a file.
    pub(crate) fn start(
        host: &DiscoveryHost,
        running: &LoadedMode,
        local: &LocalMember,
    ) -> Option<Self> {
        let path = running.spec.source.file()?.to_owned();
        let (sender, successors) = mpsc::channel(1);
        let watcher = Watcher {
            host: host.clone(),
            running: running.clone(),
            local: local.clone(),
            path,
            stamp: running.stamp.clone(),
            successors: sender,
        };
        Some(Self { successors, task: tokio::spawn(watcher.run()) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    async fn run(mut self) {
        let interval = Duration::from_millis(limits::FILE_WATCH_MS);
        let mut changed = None;
        loop {
            tokio::time::sleep(interval).await;
            let Some(now) = Stamp::read(&self.path).await else {
                changed = None;
                continue;
            };
            if self.stamp.as_ref() == Some(&now) {
                changed = None;
            } else if changed.as_ref() != Some(&now) {
                // Perhaps still being written: wait until it stays the same.
                changed = Some(now);
            } else {
                self.stamp = Some(now);
                changed = None;
                if !self.try_new().await {
                    return;
                }
            }
        }
    }

    /// Loads and tries what is there now; false when nobody waits for it any more.
    async fn try_new(&mut self) -> bool {
        let name = &self.running.spec.name;
        tracing::info!(mode = %name, "the file of mode {name:?} has changed; the new one is tried");
        match self.successor().await {
            Ok(Some(successor)) => {
                self.running = successor.loaded.clone();
                self.successors.send(successor).await.is_ok()
            }
            Ok(None) => {
                tracing::info!(mode = %name, "the file of mode {name:?} has been written anew and is the same");
                true
            }
            Err(why) => {
                tracing::warn!(
                    mode = %name,
                    "mode {name:?} goes on as it was, because its new file is not used: {why}"
                );
                true
            }
        }
    }

    /// `None` when the bytes are the same.
    async fn successor(&self) -> Result<Option<Successor>, String> {
        let loaded =
            self.host.load_again(&self.running).await.map_err(|error| error.to_string())?;
        if loaded.digest == self.running.digest {
            return Ok(None);
        }
        let in_words = |error: CallError| match error {
            CallError::Problem(problem) => problem.to_string(),
            error => format!("it {error}"),
        };
        let local = loaded.mode.surroundings.borrow().of(&self.local);
        let mut instance = Instance::open(&loaded, &local).await.map_err(in_words)?;
        let bounds = (limits::PROBLEM_BACK_OFF_MS_MIN, limits::PROBLEM_BACK_OFF_MS_MAX);
        let mut failed = 0;
        loop {
            let looked = instance.discover().await.and_then(|snapshot| match snapshot.doubt {
                Some(doubt) if snapshot.candidates.is_empty() => {
                    Err(Problem::Temporary(doubt).into())
                }
                _ => Ok(snapshot),
            });
            match looked {
                Ok(snapshot) => return Ok(Some(Successor { loaded, instance, snapshot })),
                Err(CallError::Problem(Problem::Temporary(_) | Problem::Failed(_)))
                    if failed < limits::TRIAL_LOOKS_MAX =>
                {
                    tokio::time::sleep(back_off::after(failed, bounds)).await;
                    failed += 1;
                }
                Err(error) => return Err(in_words(error)),
            }
        }
    }
}
