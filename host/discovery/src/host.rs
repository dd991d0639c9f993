//! The host of all modes: the engine, the ticker, and the configuration shared by all modes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use convoke_fetch::Digest;
use tokio::sync::{mpsc, watch};
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

use crate::backend::{Backend, Fakes};
use crate::beacon::BeaconCiphers;
use crate::bindings::announcer::AnnouncerExportIndices;
use crate::bindings::strategy::StrategyExportIndices;
use crate::capability::{Mode, Rehearsal, http, wasi};
use crate::engine::{self, EngineError};
use crate::grant::Grants;
use crate::imports::{self, ImportProblem, Unlinkable};
use crate::inspection::{self, Inspection};
use crate::instance::{CallError, Instance, State};
use crate::load::{LoadError, Loader, on_one_line};
use crate::mode::{LocalMember, ModeEvent, ModeSpec};
use crate::prober::Prober;
use crate::reload::FileVersion;
use crate::source::Source;
use crate::supervisor::{self, ModeHandle};
use crate::thread::ModeThread;
use crate::ticker::Ticker;

/// Configuration shared by all modes.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The addresses that the member uses; multicast is sent and received on these only.
    pub interfaces: Vec<Interface>,
    /// The TTL (IPv4) or hop limit (IPv6) of multicast datagrams: the number of routers they
    /// may pass, plus one.
    pub multicast_hops: u8,
    /// Ports to try for a candidate without a port.
    pub default_ports: Vec<u16>,
    /// The folder for compiled (`modes`) and fetched (`components`) components, kept between
    /// starts; `None` for no cache.
    pub cache_directory: Option<PathBuf>,
    /// The folder in which modes with the grant `store` have a subfolder each; `None` if there
    /// is none.
    pub state_directory: Option<PathBuf>,
    /// What implements the capabilities: the system, or fakes.
    pub backend: Backend,
    /// Seals and opens multicast datagrams.
    pub beacon_ciphers: BeaconCiphers,
    /// Probes the addresses that modes ask about.
    pub prober: Prober,
    /// Whether modes run on a thread of their own, so that a mode that uses its whole computing
    /// budget delays only other modes. If false, they run on the caller's runtime.
    pub on_own_thread: bool,
}

/// The addresses of the member, which change with those of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddresses {
    /// See [`HostConfig::interfaces`].
    pub(crate) interfaces: Arc<[Interface]>,
    /// The addresses at which other members connect, replacing [`LocalMember::addresses`];
    /// `None` for no replacement.
    pub(crate) addresses: Option<Arc<[IpAddr]>>,
}

impl LocalAddresses {
    /// `local` with the current addresses.
    pub(crate) fn of(&self, local: &LocalMember) -> LocalMember {
        let addresses = self.addresses.as_deref().unwrap_or(&local.addresses).to_vec();
        LocalMember { addresses, ..local.clone() }
    }
}

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The address; it identifies the interface for IPv4.
    pub address: IpAddr,
    /// The interface's index; it identifies the interface for IPv6.
    pub index: Option<u32>,
}

/// Loads and runs modes. One for each process; clones share its state.
#[derive(Clone, Debug)]
pub struct DiscoveryHost {
    engine: Engine,
    loader: Loader,
    ticker: Arc<Ticker>,
    config: Arc<HostConfig>,
    local_addresses: watch::Sender<LocalAddresses>,
    pub(crate) thread: Option<Arc<ModeThread>>,
}

/// A mode that has been read, compiled, inspected and linked, and is not running yet.
#[derive(Clone)]
pub struct LoadedMode {
    pub(crate) spec: ModeSpec,
    pub(crate) pre: InstancePre<State>,
    pub(crate) strategy: StrategyExportIndices,
    pub(crate) announcer: Option<AnnouncerExportIndices>,
    pub(crate) mode: Arc<Mode>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) digest: Option<Digest>,
    pub(crate) file_version: Option<FileVersion>,
    asks_over_http: bool,
    bytes: u64,
    imports: Vec<&'static str>,
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
        Ok(Self { engine, loader, ticker, config: Arc::new(config), local_addresses, thread })
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
        self.load_as(spec, mode).await
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
        let loaded = self.loader.load(name, source, pinned).await?;
        let digest = loaded.digest.unwrap_or_else(|| Digest::of(&[]));
        Ok(inspection::inspect(
            &self.engine,
            &loaded.component,
            digest,
            loaded.bytes,
            started.elapsed(),
        ))
    }

    /// Loads the current version of `before`'s component. The new version takes over all state
    /// that outlives an instance: the store, connections, counters.
    pub(crate) async fn load_again(&self, before: &LoadedMode) -> Result<LoadedMode, LoadError> {
        self.load_as(&before.spec, Arc::clone(&before.mode)).await
    }

    /// Rehearses a mode without network access: it is configured, announces and discovers once
    /// while every capability call fails, and its calls are recorded. Nothing is logged.
    ///
    /// Calls that a mode would make only after a successful one are not seen, except for the
    /// HTTP servers that its argument and settings name.
    pub async fn rehearse(&self, loaded: &LoadedMode, local: &LocalMember) -> Rehearsal {
        let mode = self.rehearsing(&loaded.spec);
        LoadedMode { mode, ..loaded.clone() }.rehearse(local).await
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
        let loaded = self.load_linked(&spec, mode, &imports::everything()).await?;
        Ok(loaded.rehearse(local).await)
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

    async fn load_as(&self, spec: &ModeSpec, mode: Arc<Mode>) -> Result<LoadedMode, LoadError> {
        self.load_linked(spec, mode, &spec.grants).await
    }

    /// Links what `granted` allows. The calls are checked against the mode's own grants.
    async fn load_linked(
        &self,
        spec: &ModeSpec,
        mode: Arc<Mode>,
        granted: &Grants,
    ) -> Result<LoadedMode, LoadError> {
        let loaded = self.loader.load(&spec.name, &spec.source, spec.digest).await?;
        let component = loaded.component;
        let unlinkable = |problems: Vec<ImportProblem>| {
            let (mode, origin) = (spec.name.clone(), spec.source.to_string());
            Unlinkable { mode, origin, grant: imports::proposed(&problems, granted), problems }
        };
        let misfit = |error| unlinkable(vec![ImportProblem::Types(on_one_line(&error))]);
        let links = imports::inspect(&component, granted).map_err(unlinkable)?;
        let mut linker = Linker::new(&self.engine);
        for capability in &links.capabilities {
            (capability.link)(&mut linker).map_err(misfit)?;
        }
        wasi::link(&mut linker, links.http, links.inert_wasi).map_err(misfit)?;
        let pre = linker.instantiate_pre(&component).map_err(misfit)?;
        let strategy = StrategyExportIndices::new(&pre).map_err(misfit)?;
        let announcer = match component.get_export_index(None, imports::ANNOUNCER) {
            Some(_) => Some(AnnouncerExportIndices::new(&pre).map_err(misfit)?),
            None => None,
        };
        Ok(LoadedMode {
            pre,
            strategy,
            announcer,
            mode,
            digest: loaded.digest,
            file_version: loaded.file_version,
            asks_over_http: links.http,
            bytes: loaded.bytes,
            ticker: Arc::clone(&self.ticker),
            imports: links.capabilities.iter().map(|capability| capability.interface).collect(),
            spec: spec.clone(),
        })
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
        supervisor::start(self, loaded, local, events)
    }
}

impl LoadedMode {
    async fn rehearse(&self, local: &LocalMember) -> Rehearsal {
        if let Ok(mut instance) = Instance::open(self, local).await {
            // Errors are expected.
            let _ = instance.announce().await;
            let _ = instance.discover().await;
        }
        if self.asks_over_http {
            let settings = self.spec.settings.iter().map(|(_, value)| value);
            for text in std::iter::once(&self.spec.argument).chain(settings) {
                http::rehearse(&self.mode, text);
            }
        }
        self.mode.rehearsed()
    }

    /// The mode's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The capabilities that it was linked with, such as `convoke:host/multicast`.
    pub fn imports(&self) -> &[&'static str] {
        &self.imports
    }

    /// The digest of the component, unless it is built in.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Size of the component, in bytes; 0 for one that is built in.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it also announces this member.
    pub fn announces(&self) -> bool {
        self.announcer.is_some()
    }
}
