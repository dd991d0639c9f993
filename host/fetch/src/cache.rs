//! A cache of fetched components: files named by their digest.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::digest::Digest;
use crate::limits;

/// Name prefix of files that are being written.
const UNFINISHED: &str = ".fetched-";
/// Extension of component files.
const COMPONENT: &str = "wasm";

/// A folder of components. Processes may share it: files are created atomically, and verified
/// when read.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The component with that digest, if it is in the cache and intact.
    pub(crate) fn read(&self, pin: Digest, bytes_max: u64) -> Option<Bytes> {
        let path = self.path(pin);
        match read(&path, bytes_max) {
            Ok(bytes) if Digest::of(&bytes) == pin => {
                // Marks it as recently used. If the modification time cannot be changed,
                // another user maintains the cache.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(bytes.into())
            }
            Ok(_) => {
                tracing::warn!(file = %path.display(), "damaged in the cache; fetching it again");
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read from the cache; fetching it again");
                None
            }
        }
    }

    /// Stores a component. A failure is only logged.
    pub(crate) fn write(&self, pin: Digest, bytes: &[u8]) {
        if let Err(error) = self.try_write(pin, bytes) {
            tracing::warn!(
                folder = %self.folder.display(), %error,
                "cannot write to the cache; the next start needs the network"
            );
        } else if let Err(error) = self.clean_up() {
            tracing::warn!(folder = %self.folder.display(), %error, "cannot clean up the cache");
        }
    }

    fn try_write(&self, pin: Digest, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.path(pin)).map_err(|error| error.error)?;
        sync_folder(&self.folder)
    }

    /// Removes the least recently used components beyond the limit, and partial files of killed
    /// processes.
    fn clean_up(&self) -> io::Result<()> {
        let now = SystemTime::now();
        let mut components = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Another process has removed it.
            let Ok(modified) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.extension().is_some_and(|extension| extension == COMPONENT) {
                components.push((modified, path));
            } else if name.starts_with(UNFINISHED)
                && now.duration_since(modified).is_ok_and(is_abandoned)
            {
                remove(&path)?;
            }
        }
        components.sort_unstable();
        let too_many = components.len().saturating_sub(limits::CACHED_MAX);
        components.iter().take(too_many).try_for_each(|(_, path)| remove(path))
    }

    fn path(&self, pin: Digest) -> PathBuf {
        self.folder.join(pin.digits()).with_extension(COMPONENT)
    }
}

/// Whether a partial file is so old that no process can still be writing it.
fn is_abandoned(age: Duration) -> bool {
    age > Duration::from_secs(limits::UNFINISHED_S_MAX)
}

/// Removes a file; no error if another process has removed it.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads one byte more than the limit, so that a longer file fails verification.
fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the file's name durable, in addition to its content.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
