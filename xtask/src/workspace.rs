//! Paths of the workspace.

use std::env;
use std::path::{Path, PathBuf};

/// The checkout and its build folders.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder for the host.
    pub(crate) target: PathBuf,
    /// Cargo's target folder for the modes, which another compiler may build.
    pub(crate) plugins_target: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built in. As with cargo, a relative `CARGO_TARGET_DIR`
    /// is relative to the working directory.
    pub(crate) fn here() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_owned();
        match env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
            Some(target) => {
                let target = std::path::absolute(&target).unwrap_or_else(|_| target.into());
                Self { root, plugins_target: target.join("plugins"), target }
            }
            None => Self {
                target: root.join("target"),
                plugins_target: root.join("plugins/target"),
                root,
            },
        }
    }

    /// The release binary.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("release/convoke")
    }

    /// The folder of the built-in modes' components.
    pub(crate) fn modes(&self) -> PathBuf {
        self.target.join("modes")
    }

    /// The manifest of the modes' workspace.
    pub(crate) fn plugins_manifest(&self) -> PathBuf {
        self.root.join("plugins/Cargo.toml")
    }
}
