//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The checkout, and where it is built.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder for the host.
    pub(crate) target: PathBuf,
    /// Cargo's target folder for the modes: another compiler may make them.
    pub(crate) plugins_target: PathBuf,
}

impl Workspace {
    /// The workspace this program was built in. `CARGO_TARGET_DIR` is honoured
    /// as cargo does: relative to where the command was typed.
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

    /// Where the components are.
    pub(crate) fn modes(&self) -> PathBuf {
        self.target.join("modes")
    }

    /// The manifest of the modes' own workspace.
    pub(crate) fn plugins_manifest(&self) -> PathBuf {
        self.root.join("plugins/Cargo.toml")
    }
}
