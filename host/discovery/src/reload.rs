//! Reloading: watches a mode's file. A changed component is loaded, configured and called once
//! beside the running one, before it takes over.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::candidate::{Problem, Snapshot};
use crate::file_version::FileVersion;
use crate::instance::{CallError, Instance};
use crate::limits;
use crate::link::{LoadedMode, ModeLinker};
use crate::member::LocalMember;
use crate::schedule::BackOff;

/// A new version that is ready to replace the running one.
pub(crate) struct NewVersion {
    pub(crate) loaded: LoadedMode,
    pub(crate) instance: Instance,
    /// The result of its first call of `discover`.
    pub(crate) snapshot: Snapshot,
}

/// Watches the file of one mode; dropping it stops watching.
pub(crate) struct Watch {
    pub(crate) new_versions: mpsc::Receiver<NewVersion>,
    task: JoinHandle<()>,
}

struct Watcher {
    linker: ModeLinker,
    running: LoadedMode,
    local: LocalMember,
    path: PathBuf,
    file_version: Option<FileVersion>,
    new_versions: mpsc::Sender<NewVersion>,
}

impl Watch {
    /// `None` if `running` does not come from a file.
    pub(crate) fn start(
        linker: &ModeLinker,
        running: &LoadedMode,
        local: &LocalMember,
    ) -> Option<Self> {
        let path = running.spec.source.file()?.to_owned();
        let (sender, new_versions) = mpsc::channel(1);
        let watcher = Watcher {
            linker: linker.clone(),
            running: running.clone(),
            local: local.clone(),
            path,
            file_version: running.file_version.clone(),
            new_versions: sender,
        };
        Some(Self { new_versions, task: tokio::spawn(watcher.run()) })
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
            let Some(now) = FileVersion::read(&self.path).await else {
                changed = None;
                continue;
            };
            if self.file_version.as_ref() == Some(&now) {
                changed = None;
            } else if changed.as_ref() != Some(&now) {
                // The file may still be being written: wait until two checks give the same
                // version.
                changed = Some(now);
            } else {
                self.file_version = Some(now);
                changed = None;
                if !self.try_new().await {
                    return;
                }
            }
        }
    }

    /// Loads and tries the current file; false if the receiver is gone.
    async fn try_new(&mut self) -> bool {
        let name = &self.running.spec.name;
        tracing::info!(mode = %name, "the file of mode {name:?} has changed; trying the new version");
        match self.new_version().await {
            Ok(Some(new_version)) => {
                self.running = new_version.loaded.clone();
                self.new_versions.send(new_version).await.is_ok()
            }
            Ok(None) => {
                tracing::info!(mode = %name, "the file of mode {name:?} was rewritten with the same content");
                true
            }
            Err(why) => {
                tracing::warn!(
                    mode = %name,
                    "the new version of mode {name:?} was rejected, and the running version is kept: {why}"
                );
                true
            }
        }
    }

    /// `None` if the bytes have not changed.
    async fn new_version(&self) -> Result<Option<NewVersion>, String> {
        let loaded =
            self.linker.load_again(&self.running).await.map_err(|error| error.to_string())?;
        if loaded.digest == self.running.digest {
            return Ok(None);
        }
        let describe = |error: CallError| match error {
            CallError::Problem(problem) => problem.to_string(),
            error => format!("it {error}"),
        };
        let local = loaded.mode.local_addresses.borrow().of(&self.local);
        let mut instance = Instance::open(&loaded, &local).await.map_err(describe)?;
        let mut failed = 0;
        loop {
            let looked = instance.discover().await.and_then(|snapshot| match snapshot.doubt {
                Some(doubt) if snapshot.candidates.is_empty() => {
                    Err(Problem::Temporary(doubt).into())
                }
                _ => Ok(snapshot),
            });
            match looked {
                Ok(snapshot) => return Ok(Some(NewVersion { loaded, instance, snapshot })),
                Err(CallError::Problem(Problem::Temporary(_) | Problem::Failed(_)))
                    if failed < limits::TRIAL_LOOKS_MAX =>
                {
                    tokio::time::sleep(BackOff::PROBLEM.jittered(failed)).await;
                    failed += 1;
                }
                Err(error) => return Err(describe(error)),
            }
        }
    }
}
