//! Third-party software that tests use: client libraries from their package registries, and the
//! test suites of Redis and redis-py. All are stored below the target folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::{find, run};
use crate::workspace::Workspace;

/// File that is written last into a folder and contains the list of packages that the folder was
/// made from. A folder without it, or with another list, is made again.
const STAMP: &str = "made-from";

/// Installs and downloads what is missing.
pub(crate) fn set_up(workspace: &Workspace) -> Result<()> {
    for program in ["python3", "node", "npm", "apt-get", "dpkg-deb"] {
        if find(program).is_none() {
            return Err(format!("{program} is not installed"));
        }
    }
    let (from, into) = (workspace.root.join("tests/clients"), workspace.target.join("clients"));
    make(&from.join("requirements.txt"), &into.join("venv"), python)?;
    make(&from.join("package.json"), &into.join("node_modules"), npm)?;
    let suites = workspace.target.join("suites");
    run(Command::new("bash").arg(workspace.root.join("tests/suites/fetch.sh")).arg(suites))
}

/// Makes `folder` from a list of packages with `install`, unless it exists and was made from the
/// same list.
pub(crate) fn make(
    list: &Path,
    folder: &Path,
    install: fn(&Path, &Path) -> Result<()>,
) -> Result<()> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let (content, stamp) = (read(list)?, folder.join(STAMP));
    if fs::read(&stamp).is_ok_and(|made| made == content) {
        return Ok(());
    }
    println!("xtask: installing the packages of {} in {}", list.display(), folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    install(list, folder)?;
    fs::write(&stamp, content).map_err(|e| format!("{}: {e}", stamp.display()))
}

pub(crate) fn python(list: &Path, folder: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let quiet = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(folder.join("bin/pip")).args(quiet).arg(list))
}

fn npm(list: &Path, folder: &Path) -> Result<()> {
    let beside = folder.with_file_name("package.json");
    fs::copy(list, &beside).map_err(|e| format!("{}: {e}", beside.display()))?;
    let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
    let mut install = Command::new("npm");
    install.args(quiet).current_dir(folder.parent().unwrap_or(folder));
    run(&mut install)
}
