//! Where a mode's component comes from.

use std::fmt;
use std::path::PathBuf;

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
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin { .. } => f.write_str("built-in"),
            Self::File(path) => path.display().fmt(f),
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
        }
    }
}
