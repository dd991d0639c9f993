//! DNS servers that tests ask: Debian's packages, unpacked below the target folder.

use crate::Result;
use crate::debian;
use crate::workspace::Workspace;

/// Their packages, and whether a folder becomes a root of its own for its server: Knot Resolver
/// reads its modules from `/usr/lib` and nowhere else.
const SERVERS: [(&str, bool); 5] = [
    ("dnsmasq-base", false),
    ("unbound", false),
    ("bind9", false),
    ("knot", false),
    ("knot-resolver", true),
];

/// Libraries of any machine that can run this; a root of its own needs them as well.
const EVERYWHERE: [&str; 3] = ["libc6", "libgcc-s1", "libstdc++6"];

/// What they need besides libraries.
const BESIDES: [&str; 3] = ["bind9-libs", "dns-root-data", "zlib1g"];

/// Leaves each server and its libraries in a folder of its own below `target/nameservers`,
/// once. One that cannot be had does not keep the others.
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

/// Libraries are; what configures a system is not.
fn is_needed(package: &str, is_root: bool) -> bool {
    let is_library = package.starts_with("lib") && (is_root || !EVERYWHERE.contains(&package));
    is_library || BESIDES.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::is_needed;

    #[test]
    fn libraries_are_followed_and_what_configures_a_system_is_not() {
        for package in ["bind9-libs", "liblua5.1-0", "libuv1", "dns-root-data"] {
            assert!(is_needed(package, false), "{package}");
        }
        for package in ["adduser", "debconf", "<debconf-2.0>", "libc6"] {
            assert!(!is_needed(package, false), "{package}");
        }
        assert!(is_needed("libc6", true), "a root of its own has nothing else");
    }
}
