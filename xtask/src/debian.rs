//! Debian packages, unpacked below the target folder, and Debian's compiler for WebAssembly, for
//! machines on which rustup cannot download a target.
//!
//! Debian packages a recent compiler (`rustc-web`), which it needs for browsers, beside its stable
//! one. It is unpacked into a cache folder and not installed, as it conflicts with other Rust
//! packages. All clones of the repository share that folder.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::Result;
use crate::process::{find, output, run};

/// The compiler and the source of the standard library. The other packages are found through the
/// dependencies of these.
const COMPILER: &str = "rustc-web";
const LIBRARY_SOURCE: &str = "rust-web-src";

/// Prefixes of the dependencies that are downloaded too: the compiler's own libraries and LLVM. The
/// others (`libc6`, `gcc`, …) are present on every machine that builds Rust.
const NEEDED: [&str; 2] = ["libstd-rust-", "libllvm"];

/// Maximum number of packages that one download resolves to; bounds the search for dependencies.
const PACKAGES_MAX: usize = 128;

/// File that is written last into a folder; a folder without it is incomplete.
const STAMP: &str = "complete";

/// The folder of the newest compiler that was downloaded earlier.
pub(crate) fn cached() -> Option<PathBuf> {
    let folders = fs::read_dir(cache()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let complete = folders.filter(|folder| folder.join(STAMP).is_file());
    complete
        .max_by_key(|folder| folder.join(STAMP).metadata().and_then(|stamp| stamp.modified()).ok())
}

/// Returns an error if one of Debian's package tools is missing.
pub(crate) fn check_tools() -> Result<()> {
    match ["apt-get", "apt-cache", "dpkg-deb"].into_iter().find(|tool| find(tool).is_none()) {
        Some(tool) => Err(format!("{tool} is not installed; this is not a Debian system")),
        None => Ok(()),
    }
}

/// Downloads and unpacks the compiler; returns its folder.
pub(crate) fn fetch() -> Result<PathBuf> {
    check_tools()?;
    let version = match candidate_version() {
        Some(version) => version,
        None => {
            update_lists(COMPILER)?;
            candidate_version().ok_or_else(|| {
                format!("apt has no package {COMPILER}, even after `apt-get update`")
            })?
        }
    };
    let packages = with_dependencies(&[COMPILER, LIBRARY_SOURCE], |name| {
        NEEDED.iter().any(|beginning| name.starts_with(beginning))
    })?;
    println!("xtask: fetching {} (version {version})", packages.join(", "));

    let cache =
        cache().ok_or("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
    let target = cache.join(folder_name(&version));
    let staging = Staging::start(&cache)?;
    output(
        Command::new("apt-get")
            .args(["download", "--quiet=2"])
            .args(&packages)
            .current_dir(&staging.folder),
    )?;
    unpack(&staging.folder)?;
    staging.finish(&target, &version)
}

/// Path of the compiler below the folder that it was unpacked into.
pub(crate) fn compiler(root: &Path) -> PathBuf {
    root.join("usr/bin/rustc")
}

/// Folders with the compiler's shared libraries: those of every architecture (`usr/lib/*-linux-*`)
/// and LLVM's.
pub(crate) fn library_folders(root: &Path) -> Vec<PathBuf> {
    let lib = root.join("usr/lib");
    let is_multiarch = |folder: &PathBuf| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"))
    };
    let llvm = |folder: &PathBuf| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm-"))
    };
    let folders: Vec<PathBuf> = fs::read_dir(&lib)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let of_llvm = folders.iter().filter(|folder| llvm(folder)).map(|folder| folder.join("lib"));
    folders.iter().filter(|folder| is_multiarch(folder)).cloned().chain(of_llvm).collect()
}

/// The cache folder of the compilers.
fn cache() -> Option<PathBuf> {
    cache_folder("wasm-toolchain")
}

/// A cache folder of Convoke: in `$XDG_CACHE_HOME`, or else in `~/.cache`.
pub(crate) fn cache_folder(name: &str) -> Option<PathBuf> {
    let folder = |variable: &str| {
        env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
    };
    let base = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(base.join("convoke").join(name))
}

/// The folder name of a version. Colons are replaced because they separate entries of
/// `LD_LIBRARY_PATH`.
fn folder_name(version: &str) -> String {
    version.replace([':', '/'], "_")
}

fn candidate_version() -> Option<String> {
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", COMPILER]));
    parse_version(&shown.ok()?)
}

/// Runs `apt-get update`, with `sudo -n` if needed; the error says what to do without root.
fn update_lists(package: &str) -> Result<()> {
    println!("xtask: apt has no package {package}; running apt-get update");
    let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut update = if is_root {
        Command::new("apt-get")
    } else if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    } else {
        return Err(
            "apt's package lists are missing or outdated; run `apt-get update` as root".to_owned()
        );
    };
    output(update.args(["update", "--quiet=2"])).map(drop).map_err(|error| {
        format!(
            "{error} (apt's package lists are missing or outdated; run `apt-get update` as root)"
        )
    })
}

/// `of` and its transitive dependencies for which `is_wanted` returns true, as reported by
/// `apt-cache depends`.
pub(crate) fn with_dependencies(
    of: &[&str],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut packages: Vec<String> = of.iter().map(|&name| name.to_owned()).collect();
    let mut resolved = 0;
    while resolved < packages.len() {
        let printed = output(Command::new("apt-cache").args(["depends", &packages[resolved]]))?;
        for name in parse_depends(&printed).filter(|name| is_wanted(name)) {
            if !packages.iter().any(|known| known == name) {
                packages.push(name.to_owned());
            }
        }
        if packages.len() > PACKAGES_MAX {
            return Err(format!("{} needs more than {PACKAGES_MAX} packages", of.join(", ")));
        }
        resolved += 1;
    }
    Ok(packages)
}

/// The version in the output of `apt-cache show`.
fn parse_version(shown: &str) -> Option<String> {
    shown.lines().find_map(|line| Some(line.strip_prefix("Version: ")?.trim().to_owned()))
}

/// The dependencies in the output of `apt-cache depends`, with all alternatives (`|Depends`).
fn parse_depends(printed: &str) -> impl Iterator<Item = &str> {
    let depends = printed.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("|Depends: "))
    });
    depends.map(str::trim)
}

/// Serializes the use of apt: concurrent runs would contend for apt's locks.
static APT: Mutex<()> = Mutex::new(());

/// Unpacks these packages below a folder, unless that was done. Nothing is installed.
pub(crate) fn unpacked(folder: &Path, packages: &[&str]) -> Result<()> {
    let these = || Ok(packages.iter().map(|&name| name.to_owned()).collect());
    unpacked_with(folder, packages, these)
}

/// Like [`unpacked`], for the packages that `packages` returns; it is called again after an update
/// of apt's lists. `names` are those that messages mention.
pub(crate) fn unpacked_with(
    folder: &Path,
    names: &[&str],
    packages: impl Fn() -> Result<Vec<String>>,
) -> Result<()> {
    let _guard = APT.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.join(STAMP).is_file() {
        return Ok(());
    }
    println!("xtask: fetching {}", names.join(", "));
    // An interrupted run may have left an incomplete folder.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let download = || {
        let packages = packages()?;
        let mut download = Command::new("apt-get");
        download.args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"]).args(&packages);
        output(download.current_dir(folder)).map(drop)
    };
    // Downloads fail if apt's lists are missing or outdated, so they are updated once.
    if download().is_err() {
        update_lists(names[0])?;
        download()?;
    }
    unpack_all(folder)?;
    let stamp = folder.join(STAMP);
    fs::write(&stamp, names.join("\n")).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Unpacks every package in a folder into that folder, and deletes the package files.
fn unpack_all(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for package in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if package.extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
            fs::remove_file(&package).map_err(|error| format!("{}: {error}", package.display()))?;
        }
    }
    Ok(())
}

/// Unpacks the compiler's packages and removes what is not needed.
fn unpack(folder: &Path) -> Result<()> {
    unpack_all(folder)?;
    prune(&folder.join("usr/src"));
    if compiler(folder).is_file() {
        Ok(())
    } else {
        Err(format!("the packages contain no {}", compiler(Path::new("")).display()))
    }
}

/// Deletes the compiler's own source, which is most of the unpacked bytes: only the standard
/// library is built from source. Errors are ignored, as extra files do no harm.
fn prune(sources: &Path) {
    let listed = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    for release in listed(sources) {
        for part in listed(&release.path()).filter(|part| part.file_name() != "library") {
            let _ = fs::remove_dir_all(part.path());
        }
    }
}

/// A temporary folder that is renamed into place when it is complete, so that other processes never
/// see it incomplete. Deleted on drop if it is unfinished.
struct Staging {
    folder: PathBuf,
}

impl Staging {
    const PREFIX: &str = ".staging-";

    fn start(cache: &Path) -> Result<Self> {
        Self::sweep(cache);
        let folder = cache.join(format!("{}{}", Self::PREFIX, std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Deletes the folders of processes that no longer run.
    fn sweep(cache: &Path) {
        let entries = fs::read_dir(cache).into_iter().flatten();
        for folder in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(process) = name.strip_prefix(Self::PREFIX) else { continue };
            if !Path::new("/proc").join(process).exists() {
                let _ = fs::remove_dir_all(&folder);
            }
        }
    }

    /// Renames the folder to `target`. If another process has created `target` meanwhile, that one
    /// is used.
    fn finish(self, target: &Path, version: &str) -> Result<PathBuf> {
        let stamp = self.folder.join(STAMP);
        fs::write(&stamp, version).map_err(|error| format!("{}: {error}", stamp.display()))?;
        if let Err(error) = fs::rename(&self.folder, target)
            && !target.join(STAMP).is_file()
        {
            return Err(format!("{}: {error}", target.display()));
        }
        Ok(target.to_owned())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_output_of_apt_cache() {
        let shown = "Package: rustc-web\nVersion: 1.96.0+dfsg1-1~deb12u2\nInstalled-Size: 13205\n";
        assert_eq!(parse_version(shown).as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn dependencies_and_their_alternatives_are_found() {
        let printed = "bind9\n  PreDepends: init-system-helpers\n  Depends: bind9-libs\n \
                       |Depends: debconf\n  Depends: <debconf-2.0>\n    cdebconf\n  Conflicts: \
                       rustc\n  Recommends: rust-web-llvm\n  Replaces: libstd-rust-dev\n";
        let found: Vec<&str> = parse_depends(printed).collect();
        assert_eq!(found, ["bind9-libs", "debconf", "<debconf-2.0>"]);
    }

    #[test]
    fn a_folder_name_contains_no_colon() {
        assert_eq!(folder_name("1:1.96.0+dfsg1-1"), "1_1.96.0+dfsg1-1");
    }

    #[test]
    fn a_folder_is_visible_only_when_it_is_complete() {
        let cache = env::temp_dir().join(format!("convoke-xtask-{}", std::process::id()));
        let target = cache.join("1.0");
        let abandoned = Staging::start(&cache).unwrap().folder.clone();
        assert!(!abandoned.exists(), "deleted on drop");

        assert_eq!(Staging::start(&cache).unwrap().finish(&target, "1.0"), Ok(target.clone()));
        assert_eq!(fs::read_to_string(target.join(STAMP)).unwrap(), "1.0");
        let second = Staging::start(&cache).unwrap().finish(&target, "1.0");
        assert_eq!(second, Ok(target), "another process was faster");
        fs::remove_dir_all(&cache).unwrap();
    }
}
