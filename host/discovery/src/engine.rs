//! The one wasmtime engine of the process, and compiling for it ahead of time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use wasmtime::{Cache, CacheConfig, Config, Engine};

use crate::limits;

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine does not start on this machine: {0:#}")]
pub struct EngineError(wasmtime::Error);

impl EngineError {
    pub(crate) fn no_thread(error: std::io::Error) -> Self {
        Self(wasmtime::Error::from(error).context("its ticker needs a thread"))
    }
}

/// The settings that compiled code depends on: the same for a component compiled
/// at build time and for one compiled at start.
///
/// Memory is bounds-checked instead of guarded by gigabytes of address space: a
/// mode computes for microseconds every few seconds, and a member in a container
/// with a limit on address space still starts.
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

/// The engine for this machine. Components from files are compiled once and kept
/// in `cache_directory`; where that cannot be used, one warning says so.
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
                "compiled modes cannot be kept on disk; modes from files are compiled at each start"
            ),
        }
    }
    Engine::new(&config).map_err(EngineError)
}

/// Settings for compiling ahead of time: this architecture, any CPU of it.
fn baseline() -> wasmtime::Result<Engine> {
    let mut config = settings();
    // Naming the target, even our own, is what keeps this machine's CPU features out.
    config.target(&target_lexicon::HOST.to_string())?;
    Engine::new(&config)
}

/// Names the settings that precompiled code was made with. Code made under
/// another name has to be made again.
pub fn precompiled_for() -> Result<String, EngineError> {
    let mut hasher = DefaultHasher::new();
    baseline().map_err(EngineError)?.precompile_compatibility_hash().hash(&mut hasher);
    Ok(format!("{}-{:016x}", target_lexicon::HOST, hasher.finish()))
}

/// Compiles `component` for every CPU of this architecture. The result is for
/// [`Source::Builtin`](crate::Source::Builtin).
pub fn precompile(component: &[u8]) -> wasmtime::Result<Vec<u8>> {
    baseline()?.precompile_component(component)
}
