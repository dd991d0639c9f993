//! The client libraries and frameworks that `cargo xtask test` installs.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use convoke_tests::Cluster;
use convoke_tests::requirements::{below_target, skip};

/// Set to the folder if it is not in the target folder.
const VARIABLE: &str = "CONVOKE_CLIENTS";

/// The scripts that drive client libraries.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// Interpreters, frameworks and libraries.
#[derive(Debug)]
pub(crate) struct Clients {
    folder: PathBuf,
}

impl Clients {
    /// `None` if they are not installed: the test reports that it is skipped.
    ///
    /// # Panics
    /// If they are not installed in CI, or not in the folder that [`VARIABLE`] names.
    #[track_caller]
    pub(crate) fn find() -> Option<Self> {
        if let Some(folder) = env::var_os(VARIABLE) {
            let folder = PathBuf::from(folder);
            assert!(are_in(&folder), "{VARIABLE} names {}: not found", folder.display());
            return Some(Self { folder });
        }
        let Some(folder) = below_target(Path::new("clients")).find(|folder| are_in(folder)) else {
            skip("client libraries are not installed: run `cargo xtask test`");
            return None;
        };
        Some(Self { folder })
    }

    /// The Python that has the frameworks and libraries.
    pub(crate) fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// The test suites of Redis and redis-py.
    pub(crate) fn suites(&self) -> PathBuf {
        self.folder.with_file_name("suites")
    }

    /// Node.js, which finds its packages above the file that it runs.
    pub(crate) fn node(&self, cluster: &Cluster) -> PathBuf {
        let link = cluster.folder().join("node_modules");
        if !link.exists() {
            symlink(self.folder.join("node_modules"), link).expect("the folder is writable");
        }
        "node".into()
    }

    /// Copies the scripts into the cluster's folder: nothing is written to the source folder, and
    /// packages are found from there.
    pub(crate) fn copy_scripts(cluster: &Cluster) {
        for file in fs::read_dir(SCRIPTS).expect("the scripts are part of the sources") {
            let path = file.expect("the scripts are part of the sources").path();
            let is_script = path.extension().is_some_and(|end| end == "py" || end == "mjs");
            if let Some(name) = path.file_name().filter(|_| is_script) {
                fs::copy(&path, cluster.folder().join(name)).expect("the folder is writable");
            }
        }
    }
}

/// Whether a folder has the clients for both languages.
fn are_in(folder: &Path) -> bool {
    let files = ["venv/bin/python", "node_modules/redis/package.json", "../suites/complete"];
    files.iter().all(|file| folder.join(file).is_file())
}
