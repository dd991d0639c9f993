//! `convoke:host/store`: a few values that outlive an instance. Granted by size.

mod folder;
mod memory;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::component::HasSelf;

use super::{Capability, Context, Grant, Mode};
use crate::bindings::imports::convoke::host::store::{self, StoreError};
use crate::limits;
use folder::Folder;
use memory::Memory;

/// A size to begin with.
const SIZE: &str = "64KiB";

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/store",
    grant: Some(Grant {
        is_granted: |grants| grants.store.is_some(),
        capability: "store",
        example: SIZE,
    }),
    in_words: "keep a few values in a folder of its own",
    link: |linker| store::add_to_linker::<_, HasSelf<_>>(linker, |state| &mut state.capabilities),
};

/// What one mode keeps; opened when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Keeper(OnceLock<Result<Arc<Kept>, String>>);

/// Where values lie.
#[derive(Debug)]
enum Kept {
    Folder(Folder),
    Memory(Mutex<Memory>),
}

/// Why a value is neither read nor kept.
#[derive(Debug, PartialEq, Eq)]
enum Unkept {
    Full,
    Other(String),
}

impl Kept {
    fn load(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, Unkept> {
        match self {
            Self::Folder(folder) => folder.load(name, max),
            Self::Memory(memory) => Ok(lock(memory).load(name)),
        }
    }

    fn save(&self, name: &str, value: &[u8], max: u64) -> Result<(), Unkept> {
        match self {
            Self::Folder(folder) => folder.save(name, value, max),
            Self::Memory(memory) => lock(memory).save(name, value, max),
        }
    }

    fn remove(&self, name: &str) -> Result<(), Unkept> {
        match self {
            Self::Folder(folder) => folder.remove(name),
            Self::Memory(memory) => {
                lock(memory).remove(name);
                Ok(())
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, Unkept> {
        match self {
            Self::Folder(folder) => folder.names(),
            Self::Memory(memory) => Ok(lock(memory).names()),
        }
    }
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    fn get(&self, mode: &Mode) -> Result<Arc<Kept>, String> {
        let open = || {
            if let Some(fakes) = mode.host.world.fakes() {
                let memory = Memory::new(
                    fakes
                        .store
                        .iter()
                        .map(|(name, text)| (name.clone(), text.clone().into_bytes()))
                        .collect(),
                );
                return Ok(Arc::new(Kept::Memory(Mutex::new(memory))));
            }
            let state = mode.host.state_directory.as_deref().ok_or(
                "this member has no folder for it; set state-directory, or XDG_STATE_HOME or HOME",
            )?;
            let folder = Folder::open(&state.join("modes"), &mode.name)?;
            tracing::info!(mode = %mode.name, folder = %folder.path().display(), "the mode's own folder");
            Ok(Arc::new(Kept::Folder(folder)))
        };
        self.0.get_or_init(open).clone()
    }
}

impl store::Host for Context {
    async fn load(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, StoreError>> {
        Ok(self.keep("load", Some(name), |kept, name, max| kept.load(name, max)).await)
    }

    async fn save(
        &mut self,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(self.keep("save", Some(name), move |kept, name, max| kept.save(name, &value, max)).await)
    }

    async fn remove(&mut self, name: String) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(self.keep("remove", Some(name), |kept, name, _| kept.remove(name)).await)
    }

    async fn names(&mut self) -> wasmtime::Result<Result<Vec<String>, StoreError>> {
        Ok(self.keep("names", None, |kept, _, _| kept.names()).await)
    }
}

impl Context {
    /// Does something with what is kept, away from the threads that must not block.
    async fn keep<T: Send + 'static>(
        &mut self,
        what: &str,
        name: Option<String>,
        work: impl FnOnce(&Kept, &str, u64) -> Result<T, Unkept> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(grant) = self.mode.grants.store else {
            self.mode.warn_denied("store", SIZE);
            return Err(StoreError::Denied);
        };
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(StoreError::InvalidName);
        }
        self.called(format_args!("store: {what} {}", name.as_deref().unwrap_or_default()));
        if let Some(why) = self.mode.host.world.failing() {
            return Err(StoreError::Other(why));
        }
        let kept = self.mode.store.get(&self.mode).map_err(StoreError::Other)?;
        let name = name.unwrap_or_default();
        let working = tokio::task::spawn_blocking(move || work(&kept, &name, grant.bytes()));
        match self.while_wanted(working).await {
            Some(Ok(Ok(done))) => Ok(done),
            Some(Ok(Err(Unkept::Full))) => Err(StoreError::Full(grant.bytes())),
            Some(Ok(Err(Unkept::Other(why)))) => Err(StoreError::Other(why)),
            Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            None => Err(StoreError::Other("this member leaves".into())),
        }
    }
}

/// Whether `text` is a name, and with that a file's name on every system.
fn is_name(text: &str) -> bool {
    let is_sound =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=limits::STORE_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_sound)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_plain_file_names() {
        for name in ["a", "addresses", "index-2.json", "0", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for wrong in ["", ".", "..", ".lock", "a/b", "a\\b", "A", "ä", "a b", "-a", &"x".repeat(65)]
        {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
