//! `convoke:host/store`: named values that outlive an instance. Granted by size.

mod folder;
mod memory;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::component::HasSelf;

use super::{Capability, Context, Grant, Mode};
use crate::bindings::imports::convoke::host::store::{self, StoreError};
use crate::limits;
use folder::Folder;
use memory::Memory;

/// The size that a proposed grant contains.
const SIZE: &str = "64KiB";

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/store",
    grant: Some(Grant {
        is_granted: |grants| grants.store.is_some(),
        capability: "store",
        example: SIZE,
    }),
    description: "store a few values in its own folder",
    link: |linker| store::add_to_linker::<_, HasSelf<_>>(linker, |state| &mut state.capabilities),
};

/// The store of one mode, opened at first use.
#[derive(Debug, Default)]
pub(crate) struct ModeStore(OnceLock<Result<Arc<Backing>, String>>);

/// Where values are stored.
#[derive(Debug)]
enum Backing {
    Folder(Folder),
    Memory(Mutex<Memory>),
}

/// Why a value cannot be read or stored.
#[derive(Debug, PartialEq, Eq)]
enum StoreFailure {
    Full,
    Other(String),
}

impl Backing {
    fn load(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, StoreFailure> {
        match self {
            Self::Folder(folder) => folder.load(name, max),
            Self::Memory(memory) => Ok(lock(memory).load(name)),
        }
    }

    fn save(&self, name: &str, value: &[u8], max: u64) -> Result<(), StoreFailure> {
        match self {
            Self::Folder(folder) => folder.save(name, value, max),
            Self::Memory(memory) => lock(memory).save(name, value, max),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreFailure> {
        match self {
            Self::Folder(folder) => folder.remove(name),
            Self::Memory(memory) => {
                lock(memory).remove(name);
                Ok(())
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreFailure> {
        match self {
            Self::Folder(folder) => folder.names(),
            Self::Memory(memory) => Ok(lock(memory).names()),
        }
    }
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ModeStore {
    fn get(&self, mode: &Mode) -> Result<Arc<Backing>, String> {
        let open = || {
            if let Some(fakes) = mode.host.backend.fakes() {
                let memory = Memory::new(
                    fakes
                        .store
                        .iter()
                        .map(|(name, text)| (name.clone(), text.clone().into_bytes()))
                        .collect(),
                );
                return Ok(Arc::new(Backing::Memory(Mutex::new(memory))));
            }
            let state = mode.host.state_directory.as_deref().ok_or(
                "this member has no state directory; set state-directory, XDG_STATE_HOME or HOME",
            )?;
            let folder = Folder::open(&state.join("modes"), &mode.name)?;
            tracing::info!(mode = %mode.name, folder = %folder.path().display(), "store opened");
            Ok(Arc::new(Backing::Folder(folder)))
        };
        self.0.get_or_init(open).clone()
    }
}

impl store::Host for Context {
    async fn load(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, StoreError>> {
        Ok(self.with_store("load", Some(name), |store, name, max| store.load(name, max)).await)
    }

    async fn save(
        &mut self,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(self
            .with_store("save", Some(name), move |store, name, max| store.save(name, &value, max))
            .await)
    }

    async fn remove(&mut self, name: String) -> wasmtime::Result<Result<(), StoreError>> {
        Ok(self.with_store("remove", Some(name), |store, name, _| store.remove(name)).await)
    }

    async fn names(&mut self) -> wasmtime::Result<Result<Vec<String>, StoreError>> {
        Ok(self.with_store("names", None, |store, _, _| store.names()).await)
    }
}

impl Context {
    /// Runs `work` on the store, on a thread that may block.
    async fn with_store<T: Send + 'static>(
        &mut self,
        what: &str,
        name: Option<String>,
        work: impl FnOnce(&Backing, &str, u64) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(grant) = self.mode.grants.store else {
            self.mode.warn_denied("store", SIZE);
            return Err(StoreError::Denied);
        };
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(StoreError::InvalidName);
        }
        self.called(format_args!("store: {what} {}", name.as_deref().unwrap_or_default()));
        if let Some(why) = self.mode.host.backend.failing() {
            return Err(StoreError::Other(why));
        }
        let kept = self.mode.store.get(&self.mode).map_err(StoreError::Other)?;
        let name = name.unwrap_or_default();
        let working = tokio::task::spawn_blocking(move || work(&kept, &name, grant.bytes()));
        match self.unless_stopped(working).await {
            Some(Ok(Ok(done))) => Ok(done),
            Some(Ok(Err(StoreFailure::Full))) => Err(StoreError::Full(grant.bytes())),
            Some(Ok(Err(StoreFailure::Other(why)))) => Err(StoreError::Other(why)),
            Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            None => Err(StoreError::Other("this member is leaving".into())),
        }
    }
}

/// Whether `text` is a valid name, and thereby a valid file name on every system.
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
