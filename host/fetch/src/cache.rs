//! Components that were brought before: files named by their digest.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::sha256::{Hasher, Sha256};

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
            Ok(bytes) if Hasher::of(&bytes) == pin => Some(bytes.into()),
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
        }
    }

    fn try_write(&self, pin: Sha256, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(".fetched-").tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.path(pin)).map_err(|error| error.error)?;
        sync_folder(&self.folder)
    }

    fn path(&self, pin: Sha256) -> PathBuf {
        self.folder.join(format!("{}.wasm", pin.digits()))
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
