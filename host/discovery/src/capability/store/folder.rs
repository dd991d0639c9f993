//! A store in a folder: one file for each value. Symbolic links are not followed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::value::{StoreFailure, is_name};
use crate::limits;

/// Locked while a process uses the folder. Not a valid name of a value.
const LOCK: &str = ".lock";
/// A value while it is being written; renamed when it is complete.
const UNFINISHED: &str = ".unfinished";

/// One mode's folder, locked by this process.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens `base/mode`, or the first of `base/mode-2`, `base/mode-3`, … that no other member
    /// on this machine uses.
    pub(super) fn open(base: &Path, mode: &str) -> Result<Self, String> {
        for number in 1..=limits::STORE_FOLDERS_MAX {
            let name = if number == 1 { mode.to_owned() } else { format!("{mode}-{number}") };
            // A second mode of one name in one member is named `consul#2`.
            let path = base.join(name.replace('#', "-"));
            let describe = |error: io::Error| format!("{}: {error}", path.display());
            std::fs::create_dir_all(&path).map_err(describe)?;
            let lock = File::create(path.join(LOCK)).map_err(describe)?;
            match lock.try_lock() {
                Ok(()) => {
                    let dir = Dir::open_ambient_dir(&path, ambient_authority());
                    return Ok(Self { dir: dir.map_err(describe)?, path, _lock: lock });
                }
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(describe(error)),
            }
        }
        Err(format!(
            "all {} folders for this mode beside {} are in use by other members",
            limits::STORE_FOLDERS_MAX,
            base.join(mode).display()
        ))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, StoreFailure> {
        let metadata = match self.dir.metadata(name) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.other(name, &error)),
        };
        // A pipe would never end.
        if !metadata.is_file() {
            return Err(StoreFailure::Other(format!(
                "{}: not a file",
                self.path.join(name).display()
            )));
        }
        let mut value = Vec::new();
        let read = self.dir.open(name).and_then(|file| file.take(max + 1).read_to_end(&mut value));
        match read {
            Ok(_) if value.len() as u64 > max => Err(StoreFailure::Full),
            Ok(_) => Ok(Some(value)),
            Err(error) => Err(self.other(name, &error)),
        }
    }

    pub(super) fn save(&self, name: &str, value: &[u8], max: u64) -> Result<(), StoreFailure> {
        let (mut number, mut bytes) = (1, (name.len() + value.len()) as u64);
        for (other, length) in self.listed()?.into_iter().filter(|(other, _)| other != name) {
            number += 1;
            bytes = bytes.saturating_add(other.len() as u64).saturating_add(length);
        }
        if number > limits::STORE_NAMES_MAX || bytes > max {
            return Err(StoreFailure::Full);
        }
        let write = || {
            let mut file = self.dir.create(UNFINISHED)?;
            file.write_all(value)?;
            file.sync_all()?;
            self.dir.rename(UNFINISHED, &self.dir, name)
        };
        write().map_err(|error| self.other(name, &error))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), StoreFailure> {
        match self.dir.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.other(name, &error)),
            _ => Ok(()),
        }
    }

    pub(super) fn names(&self) -> Result<Vec<String>, StoreFailure> {
        let mut names: Vec<String> = self.listed()?.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.truncate(limits::STORE_NAMES_MAX);
        Ok(names)
    }

    /// The values with their lengths in bytes.
    fn listed(&self) -> Result<Vec<(String, u64)>, StoreFailure> {
        let list = || {
            let mut listed = Vec::new();
            for entry in self.dir.entries()?.take(limits::STORE_ENTRIES_READ_MAX) {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if !is_name(&name) {
                    continue;
                }
                // A symbolic link out of the folder, or a dangling one, is not a value.
                let Ok(metadata) = self.dir.metadata(&name) else { continue };
                if metadata.is_file() {
                    listed.push((name, metadata.len()));
                }
            }
            Ok(listed)
        };
        list().map_err(|error: io::Error| {
            StoreFailure::Other(format!("{}: {error}", self.path.display()))
        })
    }

    fn other(&self, name: &str, error: &io::Error) -> StoreFailure {
        StoreFailure::Other(format!("{}: {error}", self.path.join(name).display()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, StoreFailure};

    const MAX: u64 = 1_000;

    #[test]
    fn values_survive_a_restart_and_are_replaced_atomically() {
        let base = tempfile::tempdir().unwrap();
        {
            let folder = Folder::open(base.path(), "shelf").unwrap();
            assert_eq!(folder.load("a", MAX), Ok(None));
            folder.save("a", b"one", MAX).unwrap();
            folder.save("b", b"", MAX).unwrap();
            folder.save("a", b"two", MAX).unwrap();
        }
        let folder = Folder::open(base.path(), "shelf").unwrap();
        assert_eq!(folder.load("a", MAX), Ok(Some(b"two".to_vec())));
        assert_eq!(folder.names(), Ok(vec!["a".to_owned(), "b".to_owned()]));
        folder.remove("a").unwrap();
        folder.remove("a").unwrap();
        assert_eq!(folder.names(), Ok(vec!["b".to_owned()]));
    }

    #[test]
    fn two_members_on_one_machine_use_separate_folders() {
        let base = tempfile::tempdir().unwrap();
        let first = Folder::open(base.path(), "shelf").unwrap();
        let second = Folder::open(base.path(), "shelf").unwrap();
        assert_eq!(second.path(), base.path().join("shelf-2"));
        drop(first);
        assert_eq!(Folder::open(base.path(), "shelf").unwrap().path(), base.path().join("shelf"));
    }

    #[test]
    fn the_size_limit_applies_to_all_values_together() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::open(base.path(), "shelf").unwrap();
        folder.save("a", &[0; 500], MAX).unwrap();
        assert_eq!(folder.save("b", &[0; 500], MAX), Err(StoreFailure::Full));
        folder.save("a", &[0; 999], MAX).unwrap();
        assert_eq!(folder.load("a", 998), Err(StoreFailure::Full));
        folder.remove("a").unwrap();
        folder.save("b", &[0; 500], MAX).unwrap();
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("secret"), "s").unwrap();
        let folder = Folder::open(base.path(), "shelf").unwrap();
        let inside = folder.path().to_owned();
        std::os::unix::fs::symlink("../secret", inside.join("near")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", inside.join("far")).unwrap();
        std::fs::create_dir(inside.join("folder")).unwrap();
        for name in ["near", "far", "folder"] {
            assert!(matches!(folder.load(name, MAX), Err(StoreFailure::Other(_))), "{name}");
        }
        assert_eq!(folder.names(), Ok(Vec::new()));
        // The link is replaced, not followed.
        folder.save("near", b"mine", MAX).unwrap();
        assert_eq!(std::fs::read(base.path().join("secret")).unwrap(), b"s");
        assert_eq!(folder.load("near", MAX), Ok(Some(b"mine".to_vec())));
    }
}
