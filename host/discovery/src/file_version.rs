//! Recognises a changed file by its metadata.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

/// Identifies the version of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl FileVersion {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }

    /// `None` if the file does not exist, as while it is being replaced.
    pub(crate) async fn read(path: &Path) -> Option<Self> {
        let path = path.to_owned();
        // Metadata of a file on an unreachable network file system may block for minutes.
        let read = tokio::task::spawn_blocking(move || std::fs::metadata(path));
        read.await.ok()?.ok().map(|metadata| Self::of(&metadata))
    }
}
