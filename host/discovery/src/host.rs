//! The host of all modes: one engine, one ticker, and what every mode shares.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

use crate::Digest;
use crate::beacon::BeaconCiphers;
use crate::bindings::announcer::SpeakerIndices;
use crate::bindings::strategy::FinderIndices;
use crate::capability::{Mode, Rehearsal, http, wasi};
use crate::engine::{self, EngineError};
use crate::grant::Grants;
use crate::imports::{self, ImportProblem, Unlinkable};
use crate::inspection::{self, Inspection};
use crate::instance::{CallError, Instance, State};
use crate::load::{LoadError, Loader, on_one_line};
use crate::mode::{LocalMember, ModeEvent, ModeSpec};
use crate::prober::Prober;
use crate::source::Source;
use crate::successor::Stamp;
use crate::supervisor::{self, ModeHandle};
use crate::thread::ModeThread;
use crate::ticker::Ticker;
use crate::world::{Fakes, World};

/// What all modes share.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The addresses a member uses; multicast goes out and comes in on these only.
    pub interfaces: Vec<Interface>,
    /// Routers that a multicast datagram may pass, plus one: the TTL of IPv4 and
    /// the hop limit of IPv6.
    pub multicast_hops: u8,
    /// Ports to try for a candidate that comes without one.
    pub default_ports: Vec<u16>,
    /// Where compiled components (`modes`) and fetched ones (`components`) are kept between
    /// starts; `None` for nowhere.
    pub cache_directory: Option<PathBuf>,
    /// Where modes with the grant `store` have a folder each; `None` for nowhere.
    pub state_directory: Option<PathBuf>,
    /// What is behind the capabilities.
    pub world: World,
    /// Seals and opens multicast datagrams.
    pub beacon_ciphers: BeaconCiphers,
    /// Shakes hands with the places that modes ask about.
    pub prober: Prober,
    /// Whether modes run on a thread of their own, so that one that computes for as
    /// long as it may delays nothing but other modes; else on the caller's runtime.
    pub on_own_thread: bool,
}

/// Where a member is: what changes with its host's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// See [`HostConfig::interfaces`].
    pub(crate) interfaces: Arc<[Interface]>,
    /// Where others dial it, instead of [`LocalMember::addresses`].
    pub(crate) addresses: Option<Arc<[IpAddr]>>,
}

impl Surroundings {
    /// The member, where it is now.
    pub(crate) fn of(&self, local: &LocalMember) -> LocalMember {
        let addresses = self.addresses.as_deref().unwrap_or(&local.addresses).to_vec();
        LocalMember { addresses, ..local.clone() }
    }
}

/// One address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The address, which names the interface for IPv4.
    pub address: IpAddr,
    /// The interface's index, which names it for IPv6.
    pub index: Option<u32>,
}

/// Loads and runs modes. One for each process; clones are the same one.
#[derive(Clone, Debug)]
pub struct DiscoveryHost {
    engine: Engine,
    loader: Loader,
    ticker: Arc<Ticker>,
    config: Arc<HostConfig>,
    surroundings: watch::Sender<Surroundings>,
    pub(crate) thread: Option<Arc<ModeThread>>,
}

/// A mode that was read, compiled, inspected and linked, and does not run yet.
#[derive(Clone)]
pub struct LoadedMode {
    pub(crate) spec: ModeSpec,
    pub(crate) pre: InstancePre<State>,
    pub(crate) finder: FinderIndices,
    pub(crate) speaker: Option<SpeakerIndices>,
    pub(crate) mode: Arc<Mode>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) digest: Option<Digest>,
    pub(crate) stamp: Option<Stamp>,
    asks_over_http: bool,
    bytes: u64,
    imports: Vec<&'static str>,
}

/// What a mode that is only tried is answered.
const NOT_ASKED: &str = "nobody is asked, the mode is only tried";

impl DiscoveryHost {
    /// Starts the engine.
    ///
    /// # Errors
    /// When this machine cannot run WebAssembly, or has no thread left.
    pub fn new(config: HostConfig) -> Result<Self, EngineError> {
        // A folder each: wasmtime deletes what it finds in its own and did not write.
        let cache = |of: &str| Some(config.cache_directory.as_ref()?.join(of));
        let engine = engine::start(cache("modes").as_deref())?;
        let ticker = Arc::new(Ticker::start(&engine).map_err(EngineError::no_thread)?);
        let loader = Loader::new(engine.clone(), cache("components"));
        let thread = match config.on_own_thread {
            true => Some(Arc::new(ModeThread::start().map_err(EngineError::no_thread)?)),
            false => None,
        };
        let interfaces = config.interfaces.clone().into();
        let surroundings = watch::Sender::new(Surroundings { interfaces, addresses: None });
        Ok(Self { engine, loader, ticker, config: Arc::new(config), surroundings, thread })
    }

    /// The member is elsewhere now: its modes go on with these interfaces, and make it known at
    /// these addresses. Each gets a new instance, as soon as its running call has ended.
    pub fn move_to(&self, interfaces: &[Interface], addresses: &[IpAddr]) {
        let (interfaces, addresses) = (interfaces.into(), Some(addresses.into()));
        self.surroundings.send_replace(Surroundings { interfaces, addresses });
    }

    /// Reads, pins, compiles, inspects and links a mode. Nothing of it runs.
    ///
    /// # Errors
    /// Everything that is wrong with a file, a pin or a grant.
    pub async fn load(&self, spec: &ModeSpec) -> Result<LoadedMode, LoadError> {
        let mode = Mode::new(
            &spec.name,
            spec.grants.clone(),
            Arc::clone(&self.config),
            self.surroundings.subscribe(),
        );
        self.load_as(spec, mode).await
    }

    /// Reads and compiles a component, and says what it is and asks for. Nothing of it
    /// runs, and nothing is granted to it.
    ///
    /// # Errors
    /// Everything that is wrong with a file or a pin.
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

    /// Loads what is there now in place of `before`, with all that the mode holds
    /// beyond its instances: its store, its connections, its counters.
    pub(crate) async fn load_again(&self, before: &LoadedMode) -> Result<LoadedMode, LoadError> {
        self.load_as(&before.spec, Arc::clone(&before.mode)).await
    }

    /// Tries a mode without asking anybody: it is configured, announces and looks once with
    /// nothing behind its capabilities, and what it asks for is noted. Nothing is logged.
    ///
    /// What a mode would ask only after an answer is not seen, but for the servers that its
    /// argument and settings name.
    pub async fn rehearse(&self, loaded: &LoadedMode, local: &LocalMember) -> Rehearsal {
        let mode = self.rehearsing(&loaded.spec);
        LoadedMode { mode, ..loaded.clone() }.rehearse(local).await
    }

    /// The same for a mode that is not loaded, since it lacks grants.
    ///
    /// # Errors
    /// Everything that is wrong with a file or a pin, and interfaces that no grant gives.
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
        let fakes = Arc::new(Fakes { failing: Some(NOT_ASKED.to_owned()), ..Fakes::default() });
        let config = HostConfig {
            prober: fakes.prober(),
            world: World::Fake(fakes),
            state_directory: None,
            ..(*self.config).clone()
        };
        let surroundings = self.surroundings.subscribe();
        Mode::rehearsing(&spec.name, spec.grants.clone(), Arc::new(config), surroundings)
    }

    async fn load_as(&self, spec: &ModeSpec, mode: Arc<Mode>) -> Result<LoadedMode, LoadError> {
        self.load_linked(spec, mode, &spec.grants).await
    }

    /// Links what `granted` allows; what a call may do is for the mode's own grants to say.
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
        let finder = FinderIndices::new(&pre).map_err(misfit)?;
        let speaker = match component.get_export_index(None, imports::ANNOUNCER) {
            Some(_) => Some(SpeakerIndices::new(&pre).map_err(misfit)?),
            None => None,
        };
        Ok(LoadedMode {
            pre,
            finder,
            speaker,
            mode,
            digest: loaded.digest,
            stamp: loaded.stamp,
            asks_over_http: links.http,
            bytes: loaded.bytes,
            ticker: Arc::clone(&self.ticker),
            imports: links.capabilities.iter().map(|capability| capability.interface).collect(),
            spec: spec.clone(),
        })
    }

    /// Configures a mode once and throws that instance away, so that what its
    /// operator got wrong is known before the start.
    ///
    /// # Errors
    /// `Problem(Misconfigured)` in the mode's own words, or that it cannot run.
    pub async fn check(&self, loaded: &LoadedMode, local: &LocalMember) -> Result<(), CallError> {
        self.open(loaded, local).await.map(drop)
    }

    /// One configured instance for the caller to use by hand, as in a dry run.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn open(
        &self,
        loaded: &LoadedMode,
        local: &LocalMember,
    ) -> Result<Instance, CallError> {
        Instance::open(loaded, local).await
    }

    /// Hands a mode to a task that looks and announces until it is stopped.
    /// Events wait while `events` is full; the task ends when it is closed.
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
            // That they fail is expected.
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

    /// The capabilities it was linked with, such as `convoke:host/multicast`.
    pub fn imports(&self) -> &[&'static str] {
        &self.imports
    }

    /// Of the component, unless it is built in.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Size of the component, in bytes; 0 for one that is built in.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it makes this member known, too.
    pub fn announces(&self) -> bool {
        self.speaker.is_some()
    }
}
