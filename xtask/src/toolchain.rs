//! The compiler for the modes. Three routes lead to one, tried in this order:
//! a compiler that has the target already, a Debian compiler fetched earlier (no waiting for a network that is not there),
//! `rustup target add`, and last Debian's packages ([`debian`]).

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{find, output, run_within};
use crate::{Result, debian};

/// What the modes are compiled for: no WASI, so a mode imports only what it asks for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Forces one route, for tests and for machines where another misleads.
const ROUTE_VARIABLE: &str = "CONVOKE_WASM_TOOLCHAIN";

/// What `rustup target add` may take; it fetches some 20 MB.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(120);

/// A compiler for [`TARGET`].
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The one that builds the host has the target.
    Installed,
    /// Debian's, which has the standard library as source only: cargo builds
    /// it along, and another compiler's linker links.
    Debian { root: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// Finds or fetches one, and says in a line which. When no route leads
    /// anywhere, the error says why for each.
    pub(crate) fn find() -> Result<Self> {
        let only = match env::var(ROUTE_VARIABLE) {
            Ok(route) if !route.is_empty() => Some(Route::parse(&route)?),
            _ => None,
        };
        let routes = only.map_or_else(|| Route::ALL.to_vec(), |only| vec![only]);
        let mut tried = Vec::new();
        for route in routes {
            match route.take() {
                Ok(toolchain) => {
                    println!("xtask: modes are compiled with {}", route.in_words());
                    return Ok(toolchain);
                }
                Err(why) => tried.push(format!("  {}: {why}", route.in_words())),
            }
        }
        Err(format!(
            "no compiler for {TARGET}, which the built-in modes need; tried\n{}\n  What to do: \
             `rustup target add {TARGET}` where rustup can fetch, or install the target's \
             standard library with the package manager that brought Rust; on Debian or Ubuntu, \
             make the packages rustc-web and rust-web-src available to apt.",
            tried.join("\n")
        ))
    }

    /// Lets cargo build for [`TARGET`] with this compiler.
    pub(crate) fn drive(&self, cargo: &mut Command) {
        let Self::Debian { root, linker } = self else { return };
        let libraries = debian::library_folders(root);
        let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        // An empty entry would mean the current folder of cargo.
        let others_given =
            env::split_paths(&others).filter(|folder| !folder.as_os_str().is_empty());
        let libraries = libraries.into_iter().chain(others_given);
        cargo
            .arg("-Zbuild-std=core,alloc,std,panic_abort")
            .env("RUSTC", debian::compiler(root))
            // A stable compiler; building the standard library is not.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LD_LIBRARY_PATH", env::join_paths(libraries).unwrap_or_default())
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
}

/// Writes a wrapper of cargo that builds for [`TARGET`] with `toolchain`, for projects whose
/// Makefile uses `CARGO`. `None` if the installed cargo does that.
pub(crate) fn write_cargo(toolchain: &Toolchain, folder: &Path) -> Result<Option<PathBuf>> {
    let Toolchain::Debian { .. } = toolchain else { return Ok(None) };
    let mut driven = Command::new("cargo");
    toolchain.drive(&mut driven);
    let quoted = |text: &OsStr| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
    let variables = driven.get_envs().filter_map(|(name, value)| {
        Some(format!("    export {}={}\n", name.to_string_lossy(), quoted(value?)))
    });
    let arguments: Vec<String> = driven.get_args().map(quoted).collect();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" {TARGET} \"*)\n{}    set -- \"$@\" {} ;;\nesac\nexec cargo \"$@\"\n",
        variables.collect::<String>(),
        arguments.join(" "),
    );
    let path = folder.join("cargo");
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, script))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some(path))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Installed,
    DebianCached,
    Rustup,
    Debian,
}

impl Route {
    const ALL: [Self; 4] = [Self::Installed, Self::DebianCached, Self::Rustup, Self::Debian];

    fn parse(text: &str) -> Result<Self> {
        match text {
            "installed" => Ok(Self::Installed),
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            _ => Err(format!(
                "{ROUTE_VARIABLE}={text} names no route; expected installed, rustup or debian"
            )),
        }
    }

    fn in_words(self) -> String {
        match self {
            Self::Installed => "the installed compiler".to_owned(),
            Self::DebianCached => "Debian's compiler, fetched earlier".to_owned(),
            Self::Rustup => "the installed compiler and rustup's target".to_owned(),
            Self::Debian => "Debian's compiler (rustc-web)".to_owned(),
        }
    }

    fn take(self) -> Result<Toolchain> {
        match self {
            Self::Installed => installed(),
            Self::DebianCached => match debian::cached() {
                Some(root) => debian_with_linker(root),
                None => Err("none was".to_owned()),
            },
            Self::Rustup => {
                if find("rustup").is_none() {
                    return Err("there is no rustup".to_owned());
                }
                let mut rustup = Command::new("rustup");
                run_within(rustup.args(["target", "add", TARGET]), RUSTUP_TIME_MAX)?;
                installed()
            }
            Self::Debian => {
                debian::cached().map_or_else(debian::fetch, Ok).and_then(debian_with_linker)
            }
        }
    }
}

fn installed() -> Result<Toolchain> {
    let target = sysroot()?.join("lib/rustlib").join(TARGET).join("lib");
    if target.is_dir() {
        Ok(Toolchain::Installed)
    } else {
        Err("it has no standard library for the target".to_owned())
    }
}

fn debian_with_linker(root: PathBuf) -> Result<Toolchain> {
    let beside_host = sysroot()?.join("lib/rustlib").join(host()?).join("bin/rust-lld");
    let linker = Some(beside_host)
        .filter(|lld| lld.is_file())
        .or_else(|| find("rust-lld"))
        .or_else(|| find("wasm-ld"))
        .ok_or(
            "there is no linker for it: neither the toolchain's rust-lld nor wasm-ld (package lld)",
        )?;
    Ok(Toolchain::Debian { root, linker })
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn sysroot() -> Result<PathBuf> {
    let printed = output(Command::new(rustc()).args(["--print", "sysroot"]))?;
    Ok(Path::new(printed.trim()).to_owned())
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    let printed = output(Command::new(rustc()).arg("-vV"))?;
    let host = printed.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_none_is_refused() {
        assert_eq!(
            Route::parse("nix"),
            Err("CONVOKE_WASM_TOOLCHAIN=nix names no route; expected installed, rustup or debian"
                .to_owned())
        );
    }

    #[test]
    fn debian_is_driven_with_the_standard_library_built_along() {
        let toolchain =
            Toolchain::Debian { root: "/cache/1.96".into(), linker: "/bin/rust-lld".into() };
        let mut cargo = Command::new("cargo");
        toolchain.drive(&mut cargo);
        let args: Vec<_> = cargo.get_args().collect();
        assert_eq!(args, ["-Zbuild-std=core,alloc,std,panic_abort"]);
        let rustc = cargo.get_envs().find(|(key, _)| *key == "RUSTC").and_then(|(_, value)| value);
        assert_eq!(rustc.unwrap(), "/cache/1.96/usr/bin/rustc");
    }

    #[test]
    fn a_cargo_that_drives_debians_compiler_does_so_for_the_target_only() {
        let folder = env::temp_dir().join(format!("convoke-xtask-cargo-{}", std::process::id()));
        let toolchain = Toolchain::Debian { root: "/it's".into(), linker: "/bin/lld".into() };
        let script = write_cargo(&toolchain, &folder).unwrap().expect("one is needed");
        // In place of the cargo that it hands over to.
        let beside = folder.join("bin");
        fs::create_dir_all(&beside).unwrap();
        fs::write(beside.join("cargo"), "#!/bin/sh\necho \"$RUSTC\" \"$*\"\n").unwrap();
        fs::set_permissions(beside.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", beside.display());
        let run = |args: &[&str]| {
            let mut cargo = Command::new(&script);
            output(cargo.args(args).env("PATH", &path).env_remove("RUSTC")).unwrap()
        };
        assert_eq!(
            run(&["build", "--target", TARGET, "--release"]),
            format!(
                "/it's/usr/bin/rustc build --target {TARGET} --release -Zbuild-std=core,alloc,std,panic_abort\n"
            )
        );
        assert_eq!(run(&["test"]), " test\n");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(write_cargo(&Toolchain::Installed, &folder), Ok(None));
    }
}
