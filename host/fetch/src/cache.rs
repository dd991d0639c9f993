//! Components that were brought before: files named by their digest.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::limits;
use crate::sha256::{Hasher, Sha256};

/// Begins the name of what is not whole yet.
const UNFINISHED: &str = ".fetched-";
/// Ends the name of a component.
const COMPONENT: &str = "wasm";

/// A folder of components. Processes may share it: files appear whole, and what is
/// read is hashed again.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The component with that digest, if it is here and whole.
    pub(crate) fn read(&self, pin: Sha256, bytes_max: u64) -> Option<Bytes> {
        let path = self.path(pin);
        match read(&path, bytes_max) {
            Ok(bytes) if Hasher::of(&bytes) == pin => {
                // So that it is not the one to be removed. Where that is not allowed, the
                // cache is somebody else's to keep.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(bytes.into())
            }
            Ok(_) => {
                tracing::warn!(file = %path.display(), "damaged in the cache; fetching it anew");
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read from the cache; fetching anew");
                None
            }
        }
    }

    /// Keeps a component. That it cannot be kept is no reason not to use it.
    pub(crate) fn write(&self, pin: Sha256, bytes: &[u8]) {
        if let Err(error) = self.try_write(pin, bytes) {
            tracing::warn!(
                folder = %self.folder.display(), %error,
                "cannot write to the cache; the next start will need the network"
            );
        } else if let Err(error) = self.tidy() {
            tracing::warn!(folder = %self.folder.display(), %error, "cannot tidy the cache");
        }
    }

    fn try_write(&self, pin: Sha256, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.path(pin)).map_err(|error| error.error)?;
        sync_folder(&self.folder)
    }

    /// Removes what is too much, and what killed processes left.
    fn tidy(&self) -> io::Result<()> {
        let now = SystemTime::now();
        let mut components = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Gone meanwhile, by another process.
            let Ok(modified) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.extension().is_some_and(|extension| extension == COMPONENT) {
                components.push((modified, path));
            } else if name.starts_with(UNFINISHED)
                && now.duration_since(modified).is_ok_and(is_left)
            {
                remove(&path)?;
            }
        }
        components.sort_unstable();
        let too_many = components.len().saturating_sub(limits::KEPT_MAX);
        components.iter().take(too_many).try_for_each(|(_, path)| remove(path))
    }

    fn path(&self, pin: Sha256) -> PathBuf {
        self.folder.join(pin.digits()).with_extension(COMPONENT)
    }
}

/// Whether nobody can still be writing what was begun this long ago.
fn is_left(age: Duration) -> bool {
    age > Duration::from_secs(limits::UNFINISHED_S_MAX)
}

/// Unless another process was faster.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One byte more than the bound is enough to be damaged.
fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name lasts as well as the bytes.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
