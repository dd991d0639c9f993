//! DNS servers that tests ask: Debian's packages, unpacked below the target folder.

use crate::Result;
use crate::debian;
use crate::workspace::Workspace;

/// Their packages.
const SERVERS: [&str; 4] = ["dnsmasq-base", "unbound", "bind9", "knot"];

/// Libraries of any machine that can run this.
const EVERYWHERE: [&str; 3] = ["libc6", "libgcc-s1", "libstdc++6"];

/// What they need besides libraries.
const BESIDES: [&str; 2] = ["bind9-libs", "dns-root-data"];

/// Leaves each server and its libraries in a folder of its own below `target/nameservers`,
/// once. One that cannot be had does not keep the others.
pub(crate) fn set_up(workspace: &Workspace) -> Result<()> {
    debian::check_tools()?;
    let folder = workspace.target.join("nameservers");
    let failed = SERVERS.iter().filter_map(|server| {
        let packages = || debian::with_dependencies(&[server], is_needed);
        let done = debian::unpacked_with(&folder.join(server), &[server], packages);
        done.err().map(|error| format!("{server}: {error}"))
    });
    match failed.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        failed => Err(failed.join("; ")),
    }
}

/// Libraries are; what configures a system is not.
fn is_needed(package: &str) -> bool {
    let is_library = package.starts_with("lib") && !EVERYWHERE.contains(&package);
    is_library || BESIDES.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::is_needed;

    #[test]
    fn libraries_are_followed_and_what_configures_a_system_is_not() {
        for package in ["bind9-libs", "liblua5.1-0", "libuv1", "dns-root-data"] {
            assert!(is_needed(package), "{package}");
        }
        for package in ["adduser", "debconf", "<debconf-2.0>", "libc6"] {
            assert!(!is_needed(package), "{package}");
        }
    }
}
