//! From a [`Source`] to a compiled component: read, pin, recognise, compile.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convoke_fetch::{FetchError, Fetcher, Limits as FetchLimits};
use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Engine, Precompiled};

use crate::imports::Unlinkable;
use crate::successor::Stamp;
use crate::{Digest, Source, limits, precompiled};

/// Why a mode cannot be loaded. Each says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such file.
    #[error(
        "mode {mode:?}: there is no file {}", std::path::absolute(path).as_deref().unwrap_or(path).display()
    )]
    Missing {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
    },
    /// A folder.
    #[error("mode {mode:?}: {} is a directory; name the component file in it", path.display())]
    Directory {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
    },
    /// The file exists, and cannot be read.
    #[error("mode {mode:?}: {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Larger than [`limits::COMPONENT_BYTES_MAX`].
    #[error(
        "mode {mode:?}: {origin} is larger than {} MiB; no mode needs that, strip debug information from it", limits::COMPONENT_BYTES_MAX >> 20
    )]
    TooLarge {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        origin: String,
    },
    /// Not the file that the operator pinned.
    #[error(
        "mode {mode:?}: {origin} has digest {found}, but the configuration pins {pinned}; it is not the file that was pinned: get that one, or change the pin"
    )]
    OtherDigest {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        origin: String,
        /// What the configuration says.
        pinned: Digest,
        /// What the file has.
        found: Digest,
    },
    /// A pin on a mode that has no file.
    #[error("mode {mode:?} is built in and has no file to compare with a digest; remove `digest`")]
    DigestOfBuiltin {
        /// The mode's name.
        mode: String,
    },
    /// Something else than a component.
    #[error("mode {mode:?}: {origin} {kind}")]
    NotAComponent {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        origin: String,
        /// What it is instead.
        kind: NotAComponent,
    },
    /// It starts as a component, and does not compile.
    #[error(
        "mode {mode:?}: {origin} is damaged, cut short, or uses features of WebAssembly that are not supported: {error}"
    )]
    Damaged {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        origin: String,
        /// What the compiler said, on one line.
        error: String,
    },
    /// It cannot be had from where it lies.
    #[error("mode {mode:?}: {error}")]
    NotFetched {
        /// The mode's name.
        mode: String,
        /// What, where, what to do.
        error: FetchError,
    },
    /// A reference without a pin.
    #[error(
        "mode {mode:?}: {reference} needs a digest = \"sha256:…\" beside it, since a server may hand out another component tomorrow; `convoke plugin inspect` prints that of a file"
    )]
    Unpinned {
        /// The mode's name.
        mode: String,
        /// Where it lies.
        reference: String,
    },
    /// A built-in mode from another build.
    #[error(
        "mode {mode:?} was built into this binary for another machine or version: {error}; build convoke again"
    )]
    ForeignBuiltin {
        /// The mode's name.
        mode: String,
        /// What wasmtime said, on one line.
        error: String,
    },
    /// It imports what it may not have, or does not export what it must.
    #[error(transparent)]
    Unlinkable(#[from] Unlinkable),
}

/// What a file is that is not a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// No bytes at all.
    #[error("is empty; build or download it again")]
    Empty,
    /// A module without the component layer.
    #[error(
        "is a core WebAssembly module, not a component; make one of it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Machine code of some wasmtime.
    #[error(
        "holds precompiled machine code, which cannot be checked; give the .wasm component it was made from"
    )]
    Precompiled,
    /// WAT, an HTML error page, a Git LFS pointer.
    #[error(
        "is text, not a component; if it was downloaded look into it for an error page, if it is WAT assemble it with `wasm-tools parse`"
    )]
    Text,
    /// Starts with the magic number and ends before the version.
    #[error("ends within its first 8 bytes; build or download it again")]
    Cut,
    /// A binary format version that is neither module nor component.
    #[error(
        "is WebAssembly of a version this convoke does not know; update convoke, or build the mode with older tools"
    )]
    OtherVersion,
    /// Something else.
    #[error("is not WebAssembly; a mode is a .wasm component")]
    Other,
}

/// Compiles one component at a time: compiling a large one takes hundreds of
/// megabytes for seconds.
#[derive(Clone, Debug)]
pub(crate) struct Loader {
    engine: Engine,
    fetcher: Fetcher,
    one_at_a_time: Arc<Semaphore>,
}

/// A component, and what it came from.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    /// Of a component that is not built in.
    pub(crate) digest: Option<Digest>,
    /// Its size, in bytes; 0 for one that is built in.
    pub(crate) bytes: u64,
    /// Of a file, before it was read.
    pub(crate) stamp: Option<Stamp>,
}

impl Loader {
    /// Keeps what it fetches in `cache`.
    pub(crate) fn new(engine: Engine, cache: Option<PathBuf>) -> Self {
        let limits =
            FetchLimits { bytes_max: limits::COMPONENT_BYTES_MAX, ..FetchLimits::default() };
        let fetcher = Fetcher::new(cache, limits);
        Self { engine, fetcher, one_at_a_time: Arc::new(Semaphore::new(1)) }
    }

    pub(crate) async fn load(
        &self,
        mode: &str,
        source: &Source,
        pinned: Option<Digest>,
    ) -> Result<Loaded, LoadError> {
        let mode = mode.to_owned();
        let read: Box<dyn FnOnce() -> Result<Read, LoadError> + Send> = match source {
            Source::Builtin { .. } if pinned.is_some() => {
                return Err(LoadError::DigestOfBuiltin { mode });
            }
            Source::Builtin { precompiled, .. } => {
                return precompiled::builtin(&self.engine, precompiled)
                    .map(|component| Loaded { component, digest: None, bytes: 0, stamp: None })
                    .map_err(|error| LoadError::ForeignBuiltin {
                        mode,
                        error: on_one_line(&error),
                    });
            }
            Source::Remote(reference) => {
                let reference = reference.clone();
                let Some(pin) = pinned else {
                    let reference = reference.to_string();
                    return Err(LoadError::Unpinned { mode, reference });
                };
                let fetched = self.fetcher.fetch(&reference, pin.sha256()).await;
                match fetched {
                    Ok(bytes) => Box::new(move || Ok(Read { bytes: bytes.into(), stamp: None })),
                    Err(error) => return Err(LoadError::NotFetched { mode, error }),
                }
            }
            Source::File(path) => {
                let (mode, path) = (mode.clone(), path.clone());
                Box::new(move || read(&path).map_err(|error| error.told(mode, path)))
            }
        };
        // The semaphore is never closed, and a failed acquisition only means that
        // compiling is not limited to one.
        let _permit = self.one_at_a_time.acquire().await;
        let (engine, origin) = (self.engine.clone(), source.to_string());
        let told = mode.clone();
        let mut compiling =
            tokio::task::spawn_blocking(move || compile(&engine, mode, origin, read()?, pinned));
        let in_time = Duration::from_millis(limits::COMPILE_UNTOLD_MS_MAX);
        let compiled = match tokio::time::timeout(in_time, &mut compiling).await {
            Ok(compiled) => compiled,
            Err(_) => {
                tracing::info!(
                    mode = told,
                    "mode {told:?} is being compiled; the next start takes it from the cache"
                );
                compiling.await
            }
        };
        match compiled {
            Ok(result) => result,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

fn compile(
    engine: &Engine,
    mode: String,
    origin: String,
    Read { bytes, stamp }: Read,
    pinned: Option<Digest>,
) -> Result<Loaded, LoadError> {
    let found = Digest::of(&bytes);
    if let Some(pinned) = pinned.filter(|pinned| *pinned != found) {
        return Err(LoadError::OtherDigest { mode, origin, pinned, found });
    }
    if let Some(kind) = recognise(&bytes) {
        return Err(LoadError::NotAComponent { mode, origin, kind });
    }
    match Component::from_binary(engine, &bytes) {
        Ok(component) => {
            Ok(Loaded { component, digest: Some(found), bytes: bytes.len() as u64, stamp })
        }
        Err(error) => Err(LoadError::Damaged { mode, origin, error: on_one_line(&error) }),
    }
}

/// What was read, before it is looked at.
struct Read {
    bytes: Vec<u8>,
    stamp: Option<Stamp>,
}

enum ReadError {
    TooLarge,
    Directory,
    Io(io::Error),
}

impl ReadError {
    fn told(self, mode: String, path: PathBuf) -> LoadError {
        match self {
            Self::TooLarge => LoadError::TooLarge { mode, origin: path.display().to_string() },
            Self::Directory => LoadError::Directory { mode, path },
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                LoadError::Missing { mode, path }
            }
            Self::Io(error) => LoadError::Unreadable { mode, path, error },
        }
    }
}

fn read(path: &Path) -> Result<Read, ReadError> {
    let file = std::fs::File::open(path).map_err(ReadError::Io)?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if metadata.is_dir() {
        return Err(ReadError::Directory);
    }
    let mut bytes = Vec::new();
    // The length is taken from what was read: a pipe or a growing file has none.
    file.take(limits::COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(Read { bytes, stamp: Some(Stamp::of(&metadata)) })
}

/// What `bytes` are if they are not a component.
fn recognise(bytes: &[u8]) -> Option<NotAComponent> {
    const MAGIC: &[u8] = b"\0asm";
    const MODULE: &[u8] = &[1, 0, 0, 0];
    const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
    if bytes.is_empty() {
        return Some(NotAComponent::Empty);
    }
    if let Some(rest) = bytes.strip_prefix(MAGIC) {
        return match rest.get(..4) {
            Some(COMPONENT) => None,
            Some(MODULE) => Some(NotAComponent::CoreModule),
            Some(_) => Some(NotAComponent::OtherVersion),
            None => Some(NotAComponent::Cut),
        };
    }
    if MAGIC.starts_with(bytes) {
        return Some(NotAComponent::Cut);
    }
    Some(match Engine::detect_precompiled(bytes) {
        Some(Precompiled::Module | Precompiled::Component) => NotAComponent::Precompiled,
        None if std::str::from_utf8(bytes).is_ok() => NotAComponent::Text,
        None => NotAComponent::Other,
    })
}

/// An error with its causes; wasmtime's own texts span lines.
pub(crate) fn on_one_line(error: &wasmtime::Error) -> String {
    let causes = format!("{error:#}");
    causes.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{NotAComponent, recognise};

    #[test]
    fn a_component_is_recognised_by_its_first_eight_bytes() {
        assert_eq!(recognise(b"\0asm\x0d\0\x01\0"), None);
        assert_eq!(recognise(b"\0asm\x01\0\0\0"), Some(NotAComponent::CoreModule));
        assert_eq!(recognise(b"\0asm\x0e\0\x01\0"), Some(NotAComponent::OtherVersion));
        assert_eq!(recognise(b"\0asm\x0d"), Some(NotAComponent::Cut));
        assert_eq!(recognise(b"\0as"), Some(NotAComponent::Cut));
        assert_eq!(recognise(b""), Some(NotAComponent::Empty));
        assert_eq!(recognise(b"(component)"), Some(NotAComponent::Text));
        assert_eq!(recognise(b"\x89PNG\r\n\x1a\n"), Some(NotAComponent::Other));
    }
}
