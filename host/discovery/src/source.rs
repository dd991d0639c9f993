//! Where a mode's component comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use convoke_fetch::Reference;

/// Where a mode's component comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A component that was compiled when this binary was built.
    Builtin {
        /// The mode's name, such as `multicast`.
        name: &'static str,
        /// The output of [`precompile`](crate::precompile), from the same build.
        precompiled: &'static [u8],
    },
    /// A component file.
    File(PathBuf),
    /// A component on a web server or in an OCI registry; a digest is required.
    Remote(Reference),
}

impl Source {
    /// The file that is read at each load.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Builtin { .. } | Self::Remote(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin { .. } => f.write_str("built-in"),
            Self::File(path) => path.display().fmt(f),
            Self::Remote(reference) => reference.fmt(f),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin { name, precompiled } => f
                .debug_struct("Builtin")
                .field("name", name)
                .field("bytes", &precompiled.len())
                .finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Remote(reference) => f.debug_tuple("Remote").field(reference).finish(),
        }
    }
}
