//! Values as files in a folder that nothing leads out of.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::{Unkept, is_name};
use crate::limits;

/// Held locked while a process uses the folder; no value has such a name.
const LOCK: &str = ".lock";
/// A value in the making, renamed when it is whole.
const UNFINISHED: &str = ".unfinished";

/// One mode's folder, and this process's alone for as long as it is open.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens `base/mode`, or the next of `base/mode-2`, `base/mode-3` … that no other
    /// member on this machine uses.
    pub(super) fn open(base: &Path, mode: &str) -> Result<Self, String> {
        for number in 1..=limits::STORE_FOLDERS_MAX {
            let name = if number == 1 { mode.to_owned() } else { format!("{mode}-{number}") };
            // A second of one mode in one member is called `consul#2`.
            let path = base.join(name.replace('#', "-"));
            let in_words = |error: io::Error| format!("{}: {error}", path.display());
            std::fs::create_dir_all(&path).map_err(in_words)?;
            let lock = File::create(path.join(LOCK)).map_err(in_words)?;
            match lock.try_lock() {
                Ok(()) => {
                    let dir = Dir::open_ambient_dir(&path, ambient_authority());
                    return Ok(Self { dir: dir.map_err(in_words)?, path, _lock: lock });
                }
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(in_words(error)),
            }
        }
        Err(format!(
            "{} members use {} and its neighbours already",
            limits::STORE_FOLDERS_MAX,
            base.join(mode).display()
        ))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, Unkept> {
        let metadata = match self.dir.metadata(name) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.other(name, &error)),
        };
        // A pipe would never end.
        if !metadata.is_file() {
            return Err(Unkept::Other(format!("{}: not a file", self.path.join(name).display())));
        }
        let mut value = Vec::new();
        let read = self.dir.open(name).and_then(|file| file.take(max + 1).read_to_end(&mut value));
        match read {
            Ok(_) if value.len() as u64 > max => Err(Unkept::Full),
            Ok(_) => Ok(Some(value)),
            Err(error) => Err(self.other(name, &error)),
        }
    }

    pub(super) fn save(&self, name: &str, value: &[u8], max: u64) -> Result<(), Unkept> {
        let (mut number, mut bytes) = (1, (name.len() + value.len()) as u64);
        for (other, length) in self.listed()?.into_iter().filter(|(other, _)| other != name) {
            number += 1;
            bytes = bytes.saturating_add(other.len() as u64).saturating_add(length);
        }
        if number > limits::STORE_NAMES_MAX || bytes > max {
            return Err(Unkept::Full);
        }
        let write = || {
            let mut file = self.dir.create(UNFINISHED)?;
            file.write_all(value)?;
            file.sync_all()?;
            self.dir.rename(UNFINISHED, &self.dir, name)
        };
        write().map_err(|error| self.other(name, &error))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Unkept> {
        match self.dir.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.other(name, &error)),
            _ => Ok(()),
        }
    }

    pub(super) fn names(&self) -> Result<Vec<String>, Unkept> {
        let mut names: Vec<String> = self.listed()?.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.truncate(limits::STORE_NAMES_MAX);
        Ok(names)
    }

    /// Values with their lengths.
    fn listed(&self) -> Result<Vec<(String, u64)>, Unkept> {
        let list = || {
            let mut listed = Vec::new();
            for entry in self.dir.entries()?.take(limits::STORE_ENTRIES_READ_MAX) {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if !is_name(&name) {
                    continue;
                }
                // A link that leads out of the folder, or nowhere, is no value.
                let Ok(metadata) = self.dir.metadata(&name) else { continue };
                if metadata.is_file() {
                    listed.push((name, metadata.len()));
                }
            }
            Ok(listed)
        };
        list()
            .map_err(|error: io::Error| Unkept::Other(format!("{}: {error}", self.path.display())))
    }

    fn other(&self, name: &str, error: &io::Error) -> Unkept {
        Unkept::Other(format!("{}: {error}", self.path.join(name).display()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, Unkept};

    const MAX: u64 = 1_000;

    #[test]
    fn values_come_back_after_a_restart_and_are_replaced_whole() {
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
    fn two_members_on_one_machine_have_a_folder_each() {
        let base = tempfile::tempdir().unwrap();
        let first = Folder::open(base.path(), "shelf").unwrap();
        let second = Folder::open(base.path(), "shelf").unwrap();
        assert_eq!(second.path(), base.path().join("shelf-2"));
        drop(first);
        assert_eq!(Folder::open(base.path(), "shelf").unwrap().path(), base.path().join("shelf"));
    }

    #[test]
    fn what_is_granted_holds_for_all_values_together() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::open(base.path(), "shelf").unwrap();
        folder.save("a", &[0; 500], MAX).unwrap();
        assert_eq!(folder.save("b", &[0; 500], MAX), Err(Unkept::Full));
        folder.save("a", &[0; 999], MAX).unwrap();
        assert_eq!(folder.load("a", 998), Err(Unkept::Full));
        folder.remove("a").unwrap();
        folder.save("b", &[0; 500], MAX).unwrap();
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("secret"), "s").unwrap();
        let folder = Folder::open(base.path(), "shelf").unwrap();
        let inside = folder.path().to_owned();
        std::os::unix::fs::symlink("../secret", inside.join("near")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", inside.join("far")).unwrap();
        std::fs::create_dir(inside.join("folder")).unwrap();
        for name in ["near", "far", "folder"] {
            assert!(matches!(folder.load(name, MAX), Err(Unkept::Other(_))), "{name}");
        }
        assert_eq!(folder.names(), Ok(Vec::new()));
        // Replaced, not followed.
        folder.save("near", b"mine", MAX).unwrap();
        assert_eq!(std::fs::read(base.path().join("secret")).unwrap(), b"s");
        assert_eq!(folder.load("near", MAX), Ok(Some(b"mine".to_vec())));
    }
}
