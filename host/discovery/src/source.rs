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
        /// What [`precompile`](crate::precompile) made of it, for this very build.
        precompiled: &'static [u8],
    },
    /// A component file that an operator chose.
    File(PathBuf),
    /// On a web server or in a registry; such a one is pinned by its digest.
    Remote(Reference),
}

impl Source {
    /// The file that it is read from at each load.
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
