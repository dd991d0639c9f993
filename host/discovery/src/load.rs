//! From a [`Source`] to a compiled component: read, check the digest, recognise the format,
//! compile.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convoke_fetch::{Digest, FetchError, Fetcher, Limits as FetchLimits};
use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Engine, Precompiled};

use crate::file_version::FileVersion;
use crate::imports::Unlinkable;
use crate::source::Source;
use crate::{limits, precompiled};

/// Why a mode cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file does not exist.
    #[error(
        "mode {mode:?}: there is no file {}", std::path::absolute(path).as_deref().unwrap_or(path).display()
    )]
    Missing {
        /// The mode's name.
        mode: String,
        /// The path.
        path: PathBuf,
    },
    /// The path is a directory.
    #[error("mode {mode:?}: {} is a directory; name the component file in it", path.display())]
    Directory {
        /// The mode's name.
        mode: String,
        /// The path.
        path: PathBuf,
    },
    /// The file exists and cannot be read.
    #[error("mode {mode:?}: {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The mode's name.
        mode: String,
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The component is larger than [`limits::COMPONENT_BYTES_MAX`].
    #[error(
        "mode {mode:?}: {origin} is larger than {} MiB; strip debug information from it", limits::COMPONENT_BYTES_MAX >> 20
    )]
    TooLarge {
        /// The mode's name.
        mode: String,
        /// Where the component comes from.
        origin: String,
    },
    /// The digest differs from the configured one.
    #[error(
        "mode {mode:?}: {origin} has digest {found}, but the configuration requires {pinned}; get the right file, or change `digest`"
    )]
    OtherDigest {
        /// The mode's name.
        mode: String,
        /// Where the component comes from.
        origin: String,
        /// The configured digest.
        pinned: Digest,
        /// The digest of the component.
        found: Digest,
    },
    /// A digest is configured for a built-in mode, which has no file.
    #[error("mode {mode:?} is built in and has no file to verify; remove `digest`")]
    DigestOfBuiltin {
        /// The mode's name.
        mode: String,
    },
    /// The file is not a component.
    #[error("mode {mode:?}: {origin} {kind}")]
    NotAComponent {
        /// The mode's name.
        mode: String,
        /// Where the file comes from.
        origin: String,
        /// The format of the file.
        kind: NotAComponent,
    },
    /// It has the header of a component and does not compile.
    #[error(
        "mode {mode:?}: {origin} is damaged, truncated, or uses WebAssembly features that are not supported: {error}"
    )]
    Damaged {
        /// The mode's name.
        mode: String,
        /// Where the component comes from.
        origin: String,
        /// The compiler's message, on one line.
        error: String,
    },
    /// The component cannot be fetched.
    #[error("mode {mode:?}: {error}")]
    NotFetched {
        /// The mode's name.
        mode: String,
        /// Why it cannot be fetched.
        error: FetchError,
    },
    /// A remote component without a configured digest.
    #[error(
        "mode {mode:?}: {reference} needs digest = \"sha256:…\", since a server may return another component in the future; `convoke plugin inspect` prints the digest of a file"
    )]
    Unpinned {
        /// The mode's name.
        mode: String,
        /// The reference of the component.
        reference: String,
    },
    /// A built-in mode of another build.
    #[error(
        "mode {mode:?} is built into this binary for another machine or version: {error}; rebuild convoke"
    )]
    ForeignBuiltin {
        /// The mode's name.
        mode: String,
        /// The message of wasmtime, on one line.
        error: String,
    },
    /// Imports that are not available or granted, or a missing export.
    #[error(transparent)]
    Unlinkable(#[from] Unlinkable),
}

/// The format of a file that is not a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// An empty file.
    #[error("is empty; build or download it again")]
    Empty,
    /// A core module.
    #[error(
        "is a core WebAssembly module, not a component; convert it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Machine code precompiled by wasmtime.
    #[error(
        "contains precompiled machine code, which cannot be verified; use the .wasm component that it was compiled from"
    )]
    Precompiled,
    /// Text: WAT, an HTML error page, a Git LFS pointer.
    #[error(
        "is text, not a component; if it was downloaded, it may be an error page; if it is WAT, assemble it with `wasm-tools parse`"
    )]
    Text,
    /// The magic number of WebAssembly, and less than a header.
    #[error("ends within its first 8 bytes; build or download it again")]
    Truncated,
    /// A binary format version that is neither that of modules nor that of components.
    #[error(
        "is WebAssembly of a version that this convoke does not support; update convoke, or build the mode with older tools"
    )]
    OtherVersion,
    /// Any other format.
    #[error("is not WebAssembly; a mode is a .wasm component")]
    Other,
}

/// Compiles one component at a time: compiling a large one takes hundreds of megabytes of
/// memory for some seconds.
#[derive(Clone, Debug)]
pub(crate) struct Loader {
    engine: Engine,
    fetcher: Fetcher,
    one_at_a_time: Arc<Semaphore>,
}

/// A compiled component, with its origin.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    /// The digest of a component that is not built in.
    pub(crate) digest: Option<Digest>,
    /// Its size, in bytes; 0 for one that is built in.
    pub(crate) bytes: u64,
    /// The version of the file, taken before it was read.
    pub(crate) file_version: Option<FileVersion>,
}

impl Loader {
    /// Caches fetched components in `cache`.
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
                    .map(|component| Loaded {
                        component,
                        digest: None,
                        bytes: 0,
                        file_version: None,
                    })
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
                let fetched = self.fetcher.fetch(&reference, pin).await;
                match fetched {
                    Ok(bytes) => {
                        Box::new(move || Ok(Read { bytes: bytes.into(), file_version: None }))
                    }
                    Err(error) => return Err(LoadError::NotFetched { mode, error }),
                }
            }
            Source::File(path) => {
                let (mode, path) = (mode.clone(), path.clone());
                Box::new(move || read(&path).map_err(|error| error.into_load_error(mode, path)))
            }
        };
        // The semaphore is never closed; if acquiring failed, compiling would merely not be
        // limited to one.
        let _permit = self.one_at_a_time.acquire().await;
        let (engine, origin) = (self.engine.clone(), source.to_string());
        let mode_name = mode.clone();
        let mut compiling =
            tokio::task::spawn_blocking(move || compile(&engine, mode, origin, read()?, pinned));
        let in_time = Duration::from_millis(limits::COMPILE_SILENT_MS_MAX);
        let compiled = match tokio::time::timeout(in_time, &mut compiling).await {
            Ok(compiled) => compiled,
            Err(_) => {
                tracing::info!(
                    mode = mode_name,
                    "compiling mode {mode_name:?}; the next start loads it from the cache"
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
    Read { bytes, file_version }: Read,
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
            Ok(Loaded { component, digest: Some(found), bytes: bytes.len() as u64, file_version })
        }
        Err(error) => Err(LoadError::Damaged { mode, origin, error: on_one_line(&error) }),
    }
}

/// The content of a file.
struct Read {
    bytes: Vec<u8>,
    file_version: Option<FileVersion>,
}

enum ReadError {
    TooLarge,
    Directory,
    Io(io::Error),
}

impl ReadError {
    fn into_load_error(self, mode: String, path: PathBuf) -> LoadError {
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
    // Limits what is read, not the file's length: a pipe has none, and a file may grow.
    file.take(limits::COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(Read { bytes, file_version: Some(FileVersion::of(&metadata)) })
}

/// The format of `bytes`, if it is not a component.
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
            None => Some(NotAComponent::Truncated),
        };
    }
    if MAGIC.starts_with(bytes) {
        return Some(NotAComponent::Truncated);
    }
    Some(match Engine::detect_precompiled(bytes) {
        Some(Precompiled::Module | Precompiled::Component) => NotAComponent::Precompiled,
        None if std::str::from_utf8(bytes).is_ok() => NotAComponent::Text,
        None => NotAComponent::Other,
    })
}

/// An error with its causes on one line; texts of wasmtime contain line breaks.
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
        assert_eq!(recognise(b"\0asm\x0d"), Some(NotAComponent::Truncated));
        assert_eq!(recognise(b"\0as"), Some(NotAComponent::Truncated));
        assert_eq!(recognise(b""), Some(NotAComponent::Empty));
        assert_eq!(recognise(b"(component)"), Some(NotAComponent::Text));
        assert_eq!(recognise(b"\x89PNG\r\n\x1a\n"), Some(NotAComponent::Other));
    }
}
