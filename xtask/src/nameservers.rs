//! DNS servers that tests ask: Debian's packages, unpacked below the target folder.

use std::process::Command;

use crate::Result;
use crate::debian;
use crate::process::{find, output};
use crate::workspace::Workspace;

/// Their packages.
const SERVERS: [&str; 4] = ["dnsmasq-base", "unbound", "bind9", "knot"];

/// Libraries of any machine that can run this.
const EVERYWHERE: [&str; 3] = ["libc6", "libgcc-s1", "libstdc++6"];

/// What they need besides libraries.
const BESIDES: [&str; 2] = ["bind9-libs", "dns-root-data"];

/// Packages of one of them, so that no loop is endless.
const PACKAGES_MAX: usize = 128;

/// Leaves each server and its libraries in a folder of its own below `target/nameservers`,
/// once. One that cannot be had does not keep the others.
pub(crate) fn set_up(workspace: &Workspace) -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if find(program).is_none() {
            return Err(format!("there is no {program}"));
        }
    }
    let folder = workspace.target.join("nameservers");
    let failed = SERVERS.iter().filter_map(|server| {
        let done = debian::unpacked_with(&folder.join(server), &[server], || packages(server));
        done.err().map(|error| format!("{server}: {error}"))
    });
    match failed.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        failed => Err(failed.join("; ")),
    }
}

/// A server's package and those of its libraries, by asking apt what depends on what.
fn packages(server: &str) -> Result<Vec<String>> {
    let mut packages = vec![server.to_owned()];
    let mut asked = 0;
    while asked < packages.len() {
        let printed = output(Command::new("apt-cache").args(["depends", &packages[asked]]))?;
        for name in needed(&printed) {
            if !packages.contains(&name) {
                packages.push(name);
            }
        }
        if packages.len() > PACKAGES_MAX {
            return Err(format!("{server} needs more than {PACKAGES_MAX} packages"));
        }
        asked += 1;
    }
    Ok(packages)
}

/// Libraries among what `apt-cache depends` prints. Of alternatives all are taken that are
/// packages.
fn needed(printed: &str) -> Vec<String> {
    let names = printed.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("Depends: ").or_else(|| line.strip_prefix("|Depends: "))
    });
    names
        .map(str::trim)
        .filter(|name| name.starts_with("lib") || BESIDES.contains(name))
        .filter(|name| !EVERYWHERE.contains(name))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn libraries_are_followed_and_what_configures_a_system_is_not() {
        let printed = "bind9\n  PreDepends: init-system-helpers\n  Depends: adduser\n  Depends: bind9-libs\n \
                       |Depends: debconf\n  Depends: <debconf-2.0>\n    cdebconf\n  Depends: libc6\n \
                       |Depends: liblua5.1-0\n  Depends: libuv1\n  Conflicts: libother\n  Suggests: libx\n";
        assert_eq!(needed(printed), ["bind9-libs", "liblua5.1-0", "libuv1"]);
    }
}
