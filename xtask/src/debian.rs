//! Debian's packages, unpacked; and its compiler for the web, for machines where rustup
//! cannot fetch.
//!
//! Debian keeps a recent compiler for its browsers (`rustc-web`) beside its
//! stable one. The packages are unpacked into a cache folder and never
//! installed: they would conflict with any other Rust. Clones share the folder.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::Result;
use crate::process::{find, output, run};

/// The compiler, and the source of the standard library. Everything else that
/// is needed is found by asking what these depend on.
const COMPILER: &str = "rustc-web";
const LIBRARY_SOURCE: &str = "rust-web-src";

/// What the compiler depends on, by the names' beginnings: its own libraries
/// and LLVM. The rest (`libc6`, `gcc`, …) is any machine's that builds Rust.
const NEEDED: [&str; 2] = ["libstd-rust-", "libllvm"];

/// Packages of one thing that is fetched, so that no loop is endless.
const PACKAGES_MAX: usize = 128;

/// Written last: a folder without it is not whole.
const STAMP: &str = "complete";

/// The newest compiler fetched earlier.
pub(crate) fn cached() -> Option<PathBuf> {
    let folders = fs::read_dir(cache()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let whole = folders.filter(|folder| folder.join(STAMP).is_file());
    whole.max_by_key(|folder| folder.join(STAMP).metadata().and_then(|stamp| stamp.modified()).ok())
}

/// Whether this machine has Debian's tools.
pub(crate) fn check_tools() -> Result<()> {
    match ["apt-get", "apt-cache", "dpkg-deb"].into_iter().find(|tool| find(tool).is_none()) {
        Some(tool) => Err(format!("there is no {tool}: not a Debian machine")),
        None => Ok(()),
    }
}

/// Fetches the packages and unpacks them; returns the folder.
pub(crate) fn fetch() -> Result<PathBuf> {
    check_tools()?;
    let version = match candidate_version() {
        Some(version) => version,
        None => {
            update_lists(COMPILER)?;
            candidate_version().ok_or_else(|| {
                format!("apt knows no package {COMPILER}, after `apt-get update` either")
            })?
        }
    };
    let packages = with_dependencies(&[COMPILER, LIBRARY_SOURCE], |name| {
        NEEDED.iter().any(|beginning| name.starts_with(beginning))
    })?;
    println!("xtask: fetching {} (version {version}), once", packages.join(", "));

    let cache =
        cache().ok_or("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
    let whole = cache.join(folder_name(&version));
    let making = Making::start(&cache)?;
    output(
        Command::new("apt-get")
            .args(["download", "--quiet=2"])
            .args(&packages)
            .current_dir(&making.folder),
    )?;
    unpack(&making.folder)?;
    making.finish(&whole, &version)
}

/// The compiler in an unpacked folder.
pub(crate) fn compiler(root: &Path) -> PathBuf {
    root.join("usr/bin/rustc")
}

/// Where the compiler's shared libraries are: in the folder of each
/// architecture, whichever it is.
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

/// Where the compilers are kept.
fn cache() -> Option<PathBuf> {
    cache_folder("wasm-toolchain")
}

/// `$XDG_CACHE_HOME`, else `~/.cache`, and a folder of this project in it.
pub(crate) fn cache_folder(name: &str) -> Option<PathBuf> {
    let folder = |variable: &str| {
        env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
    };
    let base = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(base.join("convoke").join(name))
}

/// A version as a folder's name: a colon would part it in a search path.
fn folder_name(version: &str) -> String {
    version.replace([':', '/'], "_")
}

fn candidate_version() -> Option<String> {
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", COMPILER]));
    parse_version(&shown.ok()?)
}

/// `apt-get update` needs root; says so when there is no way to be it.
fn update_lists(wanted: &str) -> Result<()> {
    println!("xtask: apt has no list with {wanted}; running apt-get update");
    let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut update = if is_root {
        Command::new("apt-get")
    } else if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    } else {
        return Err(
            "apt's package lists are missing, and `apt-get update` needs root: run it once"
                .to_owned(),
        );
    };
    output(update.args(["update", "--quiet=2"])).map(drop).map_err(|error| {
        format!("{error} (apt's package lists are missing; run `apt-get update` as root once)")
    })
}

/// These packages and those that they depend on, as far as they are wanted, by asking apt.
pub(crate) fn with_dependencies(
    of: &[&str],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut packages: Vec<String> = of.iter().map(|&name| name.to_owned()).collect();
    let mut asked = 0;
    while asked < packages.len() {
        let printed = output(Command::new("apt-cache").args(["depends", &packages[asked]]))?;
        for name in parse_depends(&printed).filter(|name| is_wanted(name)) {
            if !packages.iter().any(|known| known == name) {
                packages.push(name.to_owned());
            }
        }
        if packages.len() > PACKAGES_MAX {
            return Err(format!("{} needs more than {PACKAGES_MAX} packages", of.join(", ")));
        }
        asked += 1;
    }
    Ok(packages)
}

/// The version in what `apt-cache show` prints.
fn parse_version(shown: &str) -> Option<String> {
    shown.lines().find_map(|line| Some(line.strip_prefix("Version: ")?.trim().to_owned()))
}

/// What a package depends on, in what `apt-cache depends` prints. Of alternatives (`|`) all.
fn parse_depends(printed: &str) -> impl Iterator<Item = &str> {
    let depends = printed.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("|Depends: "))
    });
    depends.map(str::trim)
}

/// Two that bring apt's lists at once would be in each other's way.
static APT: Mutex<()> = Mutex::new(());

/// Leaves these packages unpacked below a folder, once. Nothing is installed.
pub(crate) fn unpacked(folder: &Path, packages: &[&str]) -> Result<()> {
    let these = || Ok(packages.iter().map(|&name| name.to_owned()).collect());
    unpacked_with(folder, packages, these)
}

/// The same with the packages that those of `wanted` take, found once apt has its lists.
pub(crate) fn unpacked_with(
    folder: &Path,
    wanted: &[&str],
    packages: impl Fn() -> Result<Vec<String>>,
) -> Result<()> {
    let _turn = APT.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.join(STAMP).is_file() {
        return Ok(());
    }
    println!("xtask: fetching {}", wanted.join(", "));
    // What an interrupted run left is of no use.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let download = || {
        let packages = packages()?;
        let mut download = Command::new("apt-get");
        download.args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"]).args(&packages);
        output(download.current_dir(folder)).map(drop)
    };
    // Lists that are missing, or older than what the archive has, are brought once.
    if download().is_err() {
        update_lists(wanted[0])?;
        download()?;
    }
    unpack_all(folder)?;
    let stamp = folder.join(STAMP);
    fs::write(&stamp, wanted.join("\n")).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Unpacks every package in a folder beside it, and deletes it.
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

/// Unpacks the compiler.
fn unpack(folder: &Path) -> Result<()> {
    unpack_all(folder)?;
    prune(&folder.join("usr/src"));
    if compiler(folder).is_file() {
        Ok(())
    } else {
        Err(format!("the packages hold no {}", compiler(Path::new("")).display()))
    }
}

/// Deletes the compiler's own source, most of the unpacked bytes: only the
/// standard library is ever built. What cannot be deleted does no harm.
fn prune(sources: &Path) {
    let listed = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    for release in listed(sources) {
        for part in listed(&release.path()).filter(|part| part.file_name() != "library") {
            let _ = fs::remove_dir_all(part.path());
        }
    }
}

/// A folder in the making. Others never see it half done: it gets its name
/// when it is whole, and is deleted when it does not become so.
struct Making {
    folder: PathBuf,
}

impl Making {
    const PREFIX: &str = ".making-";

    fn start(cache: &Path) -> Result<Self> {
        Self::sweep(cache);
        let folder = cache.join(format!("{}{}", Self::PREFIX, std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Deletes what runs that were killed left behind.
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

    /// Names the folder. When another run was faster, its folder is as good.
    fn finish(self, whole: &Path, version: &str) -> Result<PathBuf> {
        let stamp = self.folder.join(STAMP);
        fs::write(&stamp, version).map_err(|error| format!("{}: {error}", stamp.display()))?;
        if let Err(error) = fs::rename(&self.folder, whole)
            && !whole.join(STAMP).is_file()
        {
            return Err(format!("{}: {error}", whole.display()));
        }
        Ok(whole.to_owned())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_apt_would_take() {
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
    fn an_epoch_does_not_part_a_search_path() {
        assert_eq!(folder_name("1:1.96.0+dfsg1-1"), "1_1.96.0+dfsg1-1");
    }

    #[test]
    fn a_folder_is_seen_whole_or_not_at_all() {
        let cache = env::temp_dir().join(format!("convoke-xtask-{}", std::process::id()));
        let whole = cache.join("1.0");
        let abandoned = Making::start(&cache).unwrap().folder.clone();
        assert!(!abandoned.exists(), "dropped unfinished, deleted");

        assert_eq!(Making::start(&cache).unwrap().finish(&whole, "1.0"), Ok(whole.clone()));
        assert_eq!(fs::read_to_string(whole.join(STAMP)).unwrap(), "1.0");
        let second = Making::start(&cache).unwrap().finish(&whole, "1.0");
        assert_eq!(second, Ok(whole), "another was faster");
        fs::remove_dir_all(&cache).unwrap();
    }
}
