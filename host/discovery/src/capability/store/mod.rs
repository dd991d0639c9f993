//! `convoke:host/store`: named values that outlive an instance. Granted by size.

mod folder;
mod memory;
mod value;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::component::Linker;

use super::mode::Mode;
use super::view::{Capability, Context, Grant, HasContext, View};
use crate::bindings::imports::convoke::host::store::{self, StoreError};
use folder::Folder;
use memory::Memory;
use value::{StoreFailure, is_name};

/// The size that a proposed grant contains.
const SIZE: &str = "64KiB";

pub(crate) enum Store {}

impl Capability for Store {
    const INTERFACE: &'static str = "convoke:host/store";
    const GRANT: Option<Grant> = Some(Grant {
        is_granted: |grants| grants.store.is_some(),
        capability: "store",
        example: SIZE,
    });
    const DESCRIPTION: &'static str = "store a few values in its own folder";

    type Shared = ModeStore;
    type Own = ();

    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
        store::add_to_linker::<_, HasContext<Self>>(linker, T::view)
    }
}

/// The store of one mode, opened at first use.
#[derive(Debug, Default)]
pub(crate) struct ModeStore(OnceLock<Result<Arc<Backing>, String>>);

/// The storage of values.
#[derive(Debug)]
enum Backing {
    Folder(Folder),
    Memory(Mutex<Memory>),
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

impl store::Host for Context<'_, Store> {
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

impl Context<'_, Store> {
    /// Runs `work` on the store, on a thread that may block.
    async fn with_store<T: Send + 'static>(
        &mut self,
        what: &str,
        name: Option<String>,
        work: impl FnOnce(&Backing, &str, u64) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mode = &self.caller.mode;
        let Some(grant) = mode.grants.store else {
            mode.warn_denied("store", SIZE);
            return Err(StoreError::Denied);
        };
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(StoreError::InvalidName);
        }
        mode.called(format_args!("store: {what} {}", name.as_deref().unwrap_or_default()));
        if let Some(why) = mode.host.backend.failing() {
            return Err(StoreError::Other(why));
        }
        let kept = self.shared.get(mode).map_err(StoreError::Other)?;
        let name = name.unwrap_or_default();
        let working = tokio::task::spawn_blocking(move || work(&kept, &name, grant.bytes()));
        match self.caller.unless_stopped(working).await {
            Some(Ok(Ok(done))) => Ok(done),
            Some(Ok(Err(StoreFailure::Full))) => Err(StoreError::Full(grant.bytes())),
            Some(Ok(Err(StoreFailure::Other(why)))) => Err(StoreError::Other(why)),
            Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            None => Err(StoreError::Other("this member is leaving".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Store;
    use crate::backend::Fakes;
    use crate::bindings::imports::convoke::host::store::{Host as _, StoreError};
    use crate::capability::mode;
    use crate::capability::view::View as _;
    use crate::capability::view::tests::{Alone, link_alone};

    #[test]
    fn it_links_with_a_store_that_holds_nothing_else() {
        link_alone::<Store>().unwrap();
    }

    #[tokio::test]
    async fn values_are_kept_within_the_granted_size() {
        let mut alone =
            Alone::<Store>::new(mode::tests::mode(Fakes::default(), &[("store", &["8"])]));
        let mut view = alone.view();
        view.save("a".into(), b"1234".into()).await.unwrap().unwrap();
        assert_eq!(view.load("a".into()).await.unwrap().unwrap().unwrap(), b"1234");
        let refused = view.save("b".into(), vec![0; 8]).await.unwrap();
        assert!(matches!(refused, Err(StoreError::Full(8))), "{refused:?}");
        let refused = view.load("a/b".into()).await.unwrap();
        assert!(matches!(refused, Err(StoreError::InvalidName)), "{refused:?}");
    }

    #[tokio::test]
    async fn without_a_grant_nothing_is_stored() {
        let mut alone = Alone::<Store>::new(mode::tests::mode(Fakes::default(), &[]));
        let refused = alone.view().save("a".into(), Vec::new()).await.unwrap();
        assert!(matches!(refused, Err(StoreError::Denied)), "{refused:?}");
        assert_eq!(alone.caller.mode.grants_needed(), "grant = { store = \"64KiB\" }");
    }
}
