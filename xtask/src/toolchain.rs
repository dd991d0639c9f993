//! The compiler for the modes, from the first of these sources that has one: the installed
//! compiler, if it has the target; Debian's compiler, if downloaded earlier (before rustup, which
//! would wait for a network that may be missing); `rustup target add`; Debian's packages
//! ([`debian`]).

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{find, output, run_within};
use crate::{Result, debian};

/// The target of the modes: without WASI, so a mode imports only what it uses.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Environment variable that selects one source, for tests and for machines where another does not
/// work.
const ROUTE_VARIABLE: &str = "CONVOKE_WASM_TOOLCHAIN";

/// Time limit of `rustup target add`, which downloads about 20 MB.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(120);

/// A compiler for [`TARGET`].
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The compiler that builds the host; it has the target.
    Installed,
    /// Debian's, which includes the standard library only as source: cargo builds it as well, and a
    /// linker from elsewhere links.
    Debian { root: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// Finds or downloads a compiler, and prints which one is used. If no source has one, the error
    /// lists the reason for each.
    pub(crate) fn find() -> Result<Self> {
        let only = match env::var(ROUTE_VARIABLE) {
            Ok(route) if !route.is_empty() => Some(Route::parse(&route)?),
            _ => None,
        };
        let routes = only.map_or_else(|| Route::ALL.to_vec(), |only| vec![only]);
        let mut tried = Vec::new();
        for route in routes {
            match route.get() {
                Ok(toolchain) => {
                    println!("xtask: compiling modes with {}", route.description());
                    return Ok(toolchain);
                }
                Err(error) => tried.push(format!("  {}: {error}", route.description())),
            }
        }
        Err(format!(
            "no compiler for {TARGET}, which the built-in modes need; tried:\n{}\n  Run \
             `rustup target add {TARGET}`, or install the target's \
             standard library with the package manager that installed Rust; on Debian or Ubuntu, \
             make the packages rustc-web and rust-web-src available to apt.",
            tried.join("\n")
        ))
    }

    /// Configures a cargo command to build for [`TARGET`] with this compiler.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        let Self::Debian { root, linker } = self else { return };
        let libraries = debian::library_folders(root);
        let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        // An empty entry would mean cargo's working directory.
        let others_given =
            env::split_paths(&others).filter(|folder| !folder.as_os_str().is_empty());
        let libraries = libraries.into_iter().chain(others_given);
        cargo
            .arg("-Zbuild-std=core,alloc,std,panic_abort")
            .env("RUSTC", debian::compiler(root))
            // Allows `-Zbuild-std` with a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LD_LIBRARY_PATH", env::join_paths(libraries).unwrap_or_default())
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
}

/// Writes a wrapper script of cargo that builds for [`TARGET`] with `toolchain`, for projects whose
/// Makefile uses `CARGO`. Returns `None` if the installed cargo needs no wrapper.
pub(crate) fn write_cargo(toolchain: &Toolchain, folder: &Path) -> Result<Option<PathBuf>> {
    let Toolchain::Debian { .. } = toolchain else { return Ok(None) };
    let mut configured = Command::new("cargo");
    toolchain.configure(&mut configured);
    let quoted = |text: &OsStr| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
    let variables = configured.get_envs().filter_map(|(name, value)| {
        Some(format!("    export {}={}\n", name.to_string_lossy(), quoted(value?)))
    });
    let arguments: Vec<String> = configured.get_args().map(quoted).collect();
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
                "{ROUTE_VARIABLE}={text} is not a toolchain; expected installed, rustup or debian"
            )),
        }
    }

    fn description(self) -> String {
        match self {
            Self::Installed => "the installed compiler".to_owned(),
            Self::DebianCached => "Debian's compiler, downloaded earlier".to_owned(),
            Self::Rustup => "the installed compiler and rustup's target".to_owned(),
            Self::Debian => "Debian's compiler (rustc-web)".to_owned(),
        }
    }

    fn get(self) -> Result<Toolchain> {
        match self {
            Self::Installed => installed(),
            Self::DebianCached => match debian::cached() {
                Some(root) => debian_with_linker(root),
                None => Err("not downloaded".to_owned()),
            },
            Self::Rustup => {
                if find("rustup").is_none() {
                    return Err("rustup is not installed".to_owned());
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
        Err("no standard library for the target is installed".to_owned())
    }
}

fn debian_with_linker(root: PathBuf) -> Result<Toolchain> {
    let beside_host = sysroot()?.join("lib/rustlib").join(host()?).join("bin/rust-lld");
    let linker = Some(beside_host)
        .filter(|lld| lld.is_file())
        .or_else(|| find("rust-lld"))
        .or_else(|| find("wasm-ld"))
        .ok_or(
            "no linker: neither the toolchain's rust-lld nor wasm-ld (package lld) is installed",
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

/// The target triple of this machine.
pub(crate) fn host() -> Result<String> {
    let printed = output(Command::new(rustc()).arg("-vV"))?;
    let host = printed.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "`rustc -vV` prints no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_route_is_rejected() {
        assert_eq!(
            Route::parse("nix"),
            Err("CONVOKE_WASM_TOOLCHAIN=nix is not a toolchain; expected installed, rustup or debian"
                .to_owned())
        );
    }

    #[test]
    fn debians_compiler_also_builds_the_standard_library() {
        let toolchain =
            Toolchain::Debian { root: "/cache/1.96".into(), linker: "/bin/rust-lld".into() };
        let mut cargo = Command::new("cargo");
        toolchain.configure(&mut cargo);
        let args: Vec<_> = cargo.get_args().collect();
        assert_eq!(args, ["-Zbuild-std=core,alloc,std,panic_abort"]);
        let rustc = cargo.get_envs().find(|(key, _)| *key == "RUSTC").and_then(|(_, value)| value);
        assert_eq!(rustc.unwrap(), "/cache/1.96/usr/bin/rustc");
    }

    #[test]
    fn the_wrapper_uses_debians_compiler_for_the_target_only() {
        let folder = env::temp_dir().join(format!("convoke-xtask-cargo-{}", std::process::id()));
        let toolchain = Toolchain::Debian { root: "/it's".into(), linker: "/bin/lld".into() };
        let script = write_cargo(&toolchain, &folder).unwrap().expect("one is needed");
        // Replaces the cargo that the script executes.
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
