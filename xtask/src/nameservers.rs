//! DNS servers that tests query: Debian packages, unpacked below the target folder.

use crate::Result;
use crate::debian;
use crate::workspace::Workspace;

/// Packages of the servers, and whether the server runs with its folder as root directory (chroot):
/// Knot Resolver only loads modules from `/usr/lib`.
const SERVERS: [(&str, bool); 5] = [
    ("dnsmasq-base", false),
    ("unbound", false),
    ("bind9", false),
    ("knot", false),
    ("knot-resolver", true),
];

/// Libraries that every machine has; a root directory needs its own copies.
const BASE_LIBRARIES: [&str; 3] = ["libc6", "libgcc-s1", "libstdc++6"];

/// Packages that the servers need and whose names do not begin with `lib`.
const OTHERS: [&str; 3] = ["bind9-libs", "dns-root-data", "zlib1g"];

/// Unpacks each server with its libraries into a folder below `target/nameservers`, unless that was
/// done. If one server fails, the others are still unpacked.
pub(crate) fn set_up(workspace: &Workspace) -> Result<()> {
    debian::check_tools()?;
    let folder = workspace.target.join("nameservers");
    let failed = SERVERS.iter().filter_map(|(server, is_root)| {
        let is_wanted = |package: &str| is_needed(package, *is_root);
        let packages = || debian::with_dependencies(&[server], is_wanted);
        let done = debian::unpacked_with(&folder.join(server), &[server], packages);
        done.err().map(|error| format!("{server}: {error}"))
    });
    match failed.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        failed => Err(failed.join("; ")),
    }
}

/// Whether a dependency is unpacked: libraries are, packages that configure a system are not.
fn is_needed(package: &str, is_root: bool) -> bool {
    let is_library = package.starts_with("lib") && (is_root || !BASE_LIBRARIES.contains(&package));
    is_library || OTHERS.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::is_needed;

    #[test]
    fn libraries_are_unpacked_and_configuration_is_not() {
        for package in ["bind9-libs", "liblua5.1-0", "libuv1", "dns-root-data"] {
            assert!(is_needed(package, false), "{package}");
        }
        for package in ["adduser", "debconf", "<debconf-2.0>", "libc6"] {
            assert!(!is_needed(package, false), "{package}");
        }
        assert!(is_needed("libc6", true), "a root of its own has nothing else");
    }
}
