//! The wasmtime engine of the process, and ahead-of-time compilation for it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use wasmtime::{Cache, CacheConfig, Config, Engine};

use crate::limits;

/// The engine could not be created.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start on this machine: {0:#}")]
pub struct EngineError(wasmtime::Error);

impl EngineError {
    pub(crate) fn no_thread(error: std::io::Error) -> Self {
        Self(wasmtime::Error::from(error).context("cannot create the ticker thread"))
    }
}

/// The engine settings that compiled code depends on: the same for components compiled at build
/// time and at start.
///
/// Memory accesses are bounds-checked instead of protected by guard pages, which would reserve
/// gigabytes of address space: a mode computes for microseconds every few seconds, and a member
/// in a container with an address space limit has to start.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(limits::WASM_STACK_BYTES)
        .async_stack_size(limits::CALL_STACK_BYTES)
        .memory_reservation(limits::MEMORY_BYTES_MAX as u64)
        .memory_reservation_for_growth(1 << 20)
        .memory_guard_size(64 << 10)
        .guard_before_linear_memory(false);
    config
}

/// Creates the engine for this machine. Components from files are compiled once and cached in
/// `cache_directory`; if it cannot be used, a warning is logged.
pub(crate) fn start(cache_directory: Option<&Path>) -> Result<Engine, EngineError> {
    let mut config = settings();
    if let Some(directory) = cache_directory {
        let mut cache = CacheConfig::new();
        cache.with_directory(directory);
        match Cache::new(cache) {
            Ok(cache) => {
                config.cache(Some(cache));
            }
            Err(error) => tracing::warn!(
                directory = %directory.display(),
                error = %format_args!("{error:#}"),
                "the cache for compiled modes cannot be used; modes from files are compiled at each start"
            ),
        }
    }
    Engine::new(&config).map_err(EngineError)
}

/// An engine for ahead-of-time compilation: this architecture, any CPU.
fn baseline() -> wasmtime::Result<Engine> {
    let mut config = settings();
    // Setting the target explicitly, even to our own, disables the detection of this machine's
    // CPU features.
    config.target(&target_lexicon::HOST.to_string())?;
    Engine::new(&config)
}

/// Identifies the settings that precompiled code depends on. Code with another identifier has
/// to be compiled again.
pub fn precompiled_for() -> Result<String, EngineError> {
    let mut hasher = DefaultHasher::new();
    baseline().map_err(EngineError)?.precompile_compatibility_hash().hash(&mut hasher);
    Ok(format!("{}-{:016x}", target_lexicon::HOST, hasher.finish()))
}

/// Compiles `component` for every CPU of this architecture. The result is the input of
/// [`Source::Builtin`](crate::Source::Builtin).
pub fn precompile(component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    baseline()?.precompile_component(component)
}
