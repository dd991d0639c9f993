//! Links components to the capabilities that are granted to them.

use std::sync::Arc;

use convoke_fetch::Digest;
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

use crate::bindings::announcer::AnnouncerExportIndices;
use crate::bindings::strategy::StrategyExportIndices;
use crate::capability::mode::Mode;
use crate::capability::{Shared, State, wasi};
use crate::file_version::FileVersion;
use crate::grant::Grants;
use crate::imports::{self, ImportProblem, Unlinkable};
use crate::load::{LoadError, Loader, on_one_line};
use crate::mode::ModeSpec;
use crate::ticker::Ticker;

/// A mode that has been read, compiled, inspected and linked, and is not running yet.
#[derive(Clone)]
pub struct LoadedMode {
    pub(crate) spec: ModeSpec,
    pub(crate) pre: InstancePre<State>,
    pub(crate) strategy: StrategyExportIndices,
    pub(crate) announcer: Option<AnnouncerExportIndices>,
    pub(crate) mode: Arc<Mode>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) digest: Option<Digest>,
    pub(crate) file_version: Option<FileVersion>,
    /// Whether it imports `wasi:http`.
    pub(crate) asks_over_http: bool,
    bytes: u64,
    imports: Vec<&'static str>,
}

/// Loads and links modes. Clones share its engine and its caches.
#[derive(Clone, Debug)]
pub(crate) struct ModeLinker {
    pub(crate) engine: Engine,
    pub(crate) loader: Loader,
    pub(crate) ticker: Arc<Ticker>,
}

impl ModeLinker {
    /// Links what `granted` allows, to the state of `mode` and `shared`. The calls are checked
    /// against the mode's own grants.
    pub(crate) async fn load(
        &self,
        spec: &ModeSpec,
        mode: Arc<Mode>,
        shared: Arc<Shared>,
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
            shared,
            digest: loaded.digest,
            file_version: loaded.file_version,
            asks_over_http: links.http,
            bytes: loaded.bytes,
            ticker: Arc::clone(&self.ticker),
            imports: links.capabilities.iter().map(|capability| capability.interface).collect(),
            spec: spec.clone(),
        })
    }

    /// Loads the current version of `before`'s component. The new version takes over all state
    /// that outlives an instance: the store, connections, counters.
    pub(crate) async fn load_again(&self, before: &LoadedMode) -> Result<LoadedMode, LoadError> {
        let (mode, shared) = (Arc::clone(&before.mode), Arc::clone(&before.shared));
        self.load(&before.spec, mode, shared, &before.spec.grants).await
    }
}

impl LoadedMode {
    /// The same component with the state of `mode`, as if it had just been loaded.
    pub(crate) fn fresh(&self, mode: Arc<Mode>) -> Self {
        Self { mode, shared: Arc::default(), ..self.clone() }
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
