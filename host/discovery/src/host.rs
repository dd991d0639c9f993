//! The host of all modes: the engine, the ticker, and the configuration shared by all modes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use convoke_fetch::Digest;
use tokio::sync::{mpsc, watch};

use crate::backend::{Backend, Fakes};
use crate::capability::http;
use crate::capability::mode::{Mode, Rehearsal};
use crate::config::HostConfig;
use crate::engine::{self, EngineError};
use crate::imports;
use crate::inspection::{self, Inspection};
use crate::instance::{CallError, Instance};
use crate::link::{LoadedMode, ModeLinker};
use crate::load::{LoadError, Loader};
use crate::member::{Interface, LocalAddresses, LocalMember};
use crate::mode::{ModeEvent, ModeSpec};
use crate::source::Source;
use crate::supervisor::{self, ModeHandle};
use crate::thread::ModeThread;
use crate::ticker::Ticker;

/// Loads and runs modes. One for each process; clones share its state.
#[derive(Clone, Debug)]
pub struct DiscoveryHost {
    linker: ModeLinker,
    config: Arc<HostConfig>,
    local_addresses: watch::Sender<LocalAddresses>,
    thread: Option<Arc<ModeThread>>,
}

/// The error of every capability call in a rehearsal.
const REHEARSED: &str = "no network access in a rehearsal";

impl DiscoveryHost {
    /// Starts the engine.
    ///
    /// # Errors
    /// This machine cannot run WebAssembly, or no thread can be created.
    pub fn new(config: HostConfig) -> Result<Self, EngineError> {
        // In separate folders: wasmtime deletes unknown files in its cache folder.
        let cache = |of: &str| Some(config.cache_directory.as_ref()?.join(of));
        let engine = engine::start(cache("modes").as_deref())?;
        let ticker = Arc::new(Ticker::start(&engine).map_err(EngineError::no_thread)?);
        let loader = Loader::new(engine.clone(), cache("components"));
        let thread = match config.on_own_thread {
            true => Some(Arc::new(ModeThread::start().map_err(EngineError::no_thread)?)),
            false => None,
        };
        let interfaces = config.interfaces.clone().into();
        let local_addresses = watch::Sender::new(LocalAddresses { interfaces, addresses: None });
        let linker = ModeLinker { engine, loader, ticker };
        Ok(Self { linker, config: Arc::new(config), local_addresses, thread })
    }

    /// Sets new interfaces and addresses of the member. Each mode gets a new instance as soon
    /// as its running call has ended.
    pub fn move_to(&self, interfaces: &[Interface], addresses: &[IpAddr]) {
        let (interfaces, addresses) = (interfaces.into(), Some(addresses.into()));
        self.local_addresses.send_replace(LocalAddresses { interfaces, addresses });
    }

    /// Reads a component, checks its digest, compiles, inspects and links it. No code of the
    /// mode runs.
    ///
    /// # Errors
    /// Any problem with the file, the digest or the grants.
    pub async fn load(&self, spec: &ModeSpec) -> Result<LoadedMode, LoadError> {
        let mode = Mode::new(
            &spec.name,
            spec.grants.clone(),
            Arc::clone(&self.config),
            self.local_addresses.subscribe(),
        );
        self.linker.load(spec, mode, Arc::default(), &spec.grants).await
    }

    /// Reads and compiles a component, and reports what it exports and imports. No code of it
    /// runs, and no grants are needed.
    ///
    /// # Errors
    /// Any problem with the file or the digest.
    pub async fn inspect(
        &self,
        name: &str,
        source: &Source,
        pinned: Option<Digest>,
    ) -> Result<Inspection, LoadError> {
        let started = Instant::now();
        let loaded = self.linker.loader.load(name, source, pinned).await?;
        let digest = loaded.digest.unwrap_or_else(|| Digest::of(&[]));
        Ok(inspection::inspect(
            &self.linker.engine,
            &loaded.component,
            digest,
            loaded.bytes,
            started.elapsed(),
        ))
    }

    /// Rehearses a mode without network access: it is configured, announces and discovers once
    /// while every capability call fails, and its calls are recorded. Nothing is logged.
    ///
    /// Calls that a mode would make only after a successful one are not seen, except for the
    /// HTTP servers that its argument and settings name.
    pub async fn rehearse(&self, loaded: &LoadedMode, local: &LocalMember) -> Rehearsal {
        let mode = self.rehearsing(&loaded.spec);
        rehearse(&loaded.fresh(mode), local).await
    }

    /// Rehearses a mode that cannot be loaded because it lacks grants.
    ///
    /// # Errors
    /// Any problem with the file or the digest, or an import that no grant allows.
    pub async fn rehearse_ungranted(
        &self,
        spec: &ModeSpec,
        local: &LocalMember,
    ) -> Result<Rehearsal, LoadError> {
        let mode = self.rehearsing(spec);
        let mut spec = spec.clone();
        spec.grants.inert_wasi = true;
        let granted = imports::everything();
        let loaded = self.linker.load(&spec, mode, Arc::default(), &granted).await?;
        Ok(rehearse(&loaded, local).await)
    }

    fn rehearsing(&self, spec: &ModeSpec) -> Arc<Mode> {
        let fakes = Arc::new(Fakes { failing: Some(REHEARSED.to_owned()), ..Fakes::default() });
        let config = HostConfig {
            prober: fakes.prober(),
            backend: Backend::Fake(fakes),
            state_directory: None,
            ..(*self.config).clone()
        };
        let local_addresses = self.local_addresses.subscribe();
        Mode::rehearsing(&spec.name, spec.grants.clone(), Arc::new(config), local_addresses)
    }

    /// Configures a mode in a temporary instance, so that configuration errors are reported
    /// before the start.
    ///
    /// # Errors
    /// `Problem(Misconfigured)` with the mode's text, or another reason why it cannot run.
    pub async fn check(&self, loaded: &LoadedMode, local: &LocalMember) -> Result<(), CallError> {
        self.open(loaded, local).await.map(drop)
    }

    /// One configured instance to be called directly, as in a dry run.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub async fn open(
        &self,
        loaded: &LoadedMode,
        local: &LocalMember,
    ) -> Result<Instance, CallError> {
        Instance::open(loaded, local).await
    }

    /// Starts a task that calls the mode until it is stopped. The task waits while `events` is
    /// full, and ends when it is closed.
    pub fn start(
        &self,
        loaded: LoadedMode,
        local: LocalMember,
        events: mpsc::Sender<ModeEvent>,
    ) -> ModeHandle {
        supervisor::start(&self.linker, self.thread.clone(), loaded, local, events)
    }
}

async fn rehearse(loaded: &LoadedMode, local: &LocalMember) -> Rehearsal {
    if let Ok(mut instance) = Instance::open(loaded, local).await {
        // Errors are expected.
        let _ = instance.announce().await;
        let _ = instance.discover().await;
    }
    if loaded.asks_over_http {
        let settings = loaded.spec.settings.iter().map(|(_, value)| value);
        for text in std::iter::once(&loaded.spec.argument).chain(settings) {
            http::rehearse(&loaded.mode, text);
        }
    }
    loaded.mode.rehearsed()
}
