//! From a [`Source`] to a compiled component: read, pin, recognise, compile.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::{Engine, Precompiled};

use crate::imports::Unlinkable;
use crate::{Digest, Source, limits, precompiled};

/// Why a mode cannot be loaded. Each says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such file.
    #[error(
        "mode {mode:?}: there is no file {}; a relative path starts at the folder convoke was started in", path.display()
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
        "mode {mode:?}: {} is larger than {} MiB; no mode needs that, strip debug information from it", path.display(), limits::COMPONENT_BYTES_MAX >> 20
    )]
    TooLarge {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
    },
    /// Not the file that the operator pinned.
    #[error(
        "mode {mode:?}: {} has digest {found}, but the configuration pins {pinned}; it is not the file that was pinned: get that one, or change the pin", path.display()
    )]
    OtherDigest {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
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
    #[error("mode {mode:?}: {} {kind}", path.display())]
    NotAComponent {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
        /// What it is instead.
        kind: NotAComponent,
    },
    /// It starts as a component, and does not compile.
    #[error(
        "mode {mode:?}: {} is damaged, cut short, or uses features of WebAssembly that are not supported: {error}", path.display()
    )]
    Damaged {
        /// The mode's name.
        mode: String,
        /// What was asked for.
        path: PathBuf,
        /// What the compiler said, on one line.
        error: String,
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
    one_at_a_time: Arc<Semaphore>,
}

impl Loader {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, one_at_a_time: Arc::new(Semaphore::new(1)) }
    }

    pub(crate) async fn load(
        &self,
        mode: &str,
        source: &Source,
        pinned: Option<Digest>,
    ) -> Result<Component, LoadError> {
        let mode = mode.to_owned();
        match source {
            Source::Builtin { .. } if pinned.is_some() => Err(LoadError::DigestOfBuiltin { mode }),
            Source::Builtin { precompiled, .. } => precompiled::builtin(&self.engine, precompiled)
                .map_err(|error| LoadError::ForeignBuiltin { mode, error: on_one_line(&error) }),
            Source::File(path) => {
                // The semaphore is never closed, and a failed acquisition only
                // means that compiling is not limited to one.
                let _permit = self.one_at_a_time.acquire().await;
                let (engine, path) = (self.engine.clone(), path.clone());
                let compiling =
                    tokio::task::spawn_blocking(move || compile(&engine, mode, path, pinned));
                match compiling.await {
                    Ok(result) => result,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                }
            }
        }
    }
}

fn compile(
    engine: &Engine,
    mode: String,
    path: PathBuf,
    pinned: Option<Digest>,
) -> Result<Component, LoadError> {
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(ReadError::TooLarge) => return Err(LoadError::TooLarge { mode, path }),
        Err(ReadError::Directory) => return Err(LoadError::Directory { mode, path }),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LoadError::Missing { mode, path });
        }
        Err(ReadError::Io(error)) => return Err(LoadError::Unreadable { mode, path, error }),
    };
    if let Some(pinned) = pinned {
        let found = Digest::of(&bytes);
        if found != pinned {
            return Err(LoadError::OtherDigest { mode, path, pinned, found });
        }
    }
    if let Some(kind) = recognise(&bytes) {
        return Err(LoadError::NotAComponent { mode, path, kind });
    }
    Component::from_binary(engine, &bytes).map_err(|error| LoadError::Damaged {
        mode,
        path,
        error: on_one_line(&error),
    })
}

enum ReadError {
    TooLarge,
    Directory,
    Io(io::Error),
}

fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let file = std::fs::File::open(path).map_err(ReadError::Io)?;
    if file.metadata().map_err(ReadError::Io)?.is_dir() {
        return Err(ReadError::Directory);
    }
    let mut bytes = Vec::new();
    // The length is taken from what was read: a pipe or a growing file has none.
    file.take(limits::COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
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
