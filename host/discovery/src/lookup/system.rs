//! Selects the DNS servers: those that a grant names, or else the system's.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::conf::{Conf, Overrides};
use super::hosts::Hosts;
use super::resolver::Resolver;
use crate::grant::DnsServer;
use crate::limits;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// The host name (proc_sys_kernel(5)).
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The server that is queried when `resolv.conf` has no `nameserver` line (resolv.conf(5)).
const LOCAL_SERVER: DnsServer =
    DnsServer { ip: std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), zone: None, port: 53 };

/// The resolver of one mode, rebuilt when the system's files change.
#[derive(Debug, Default)]
pub(crate) struct Resolvers {
    current: Mutex<Option<(FileVersions, Arc<Resolver>)>>,
}

/// The last modification and length in bytes of `resolv.conf` and `hosts`.
type FileVersions = [Option<(SystemTime, u64)>; 2];

impl Resolvers {
    /// The resolver for `servers`, or for the system's servers if `servers` is empty.
    pub(crate) fn get(&self, servers: &[DnsServer]) -> Arc<Resolver> {
        let versions =
            if servers.is_empty() { [RESOLV_CONF, HOSTS].map(version) } else { [None; 2] };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, resolver)) = &*current
            && *made == versions
        {
            return Arc::clone(resolver);
        }
        let resolver = Arc::new(if servers.is_empty() { system() } else { named(servers) });
        *current = Some((versions, Arc::clone(&resolver)));
        resolver
    }
}

/// The last modification and length of a file; `None` if it does not exist.
fn version(path: &str) -> Option<(SystemTime, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// The resolver for the contents of `resolv.conf` and `hosts`. A missing file is treated as
/// empty.
fn system() -> Resolver {
    let variable = |name| env::var(name).ok();
    let (domains, options) = (variable("LOCALDOMAIN"), variable("RES_OPTIONS"));
    let host = text(HOST_NAME, limits::RESOLV_CONF_BYTES_MAX);
    let around = Overrides {
        domains: domains.as_deref(),
        options: options.as_deref(),
        host: Some(host.trim()),
    };
    let mut conf = Conf::read(&text(RESOLV_CONF, limits::RESOLV_CONF_BYTES_MAX), around);
    if conf.servers.is_empty() {
        conf.servers.push(LOCAL_SERVER);
    }
    Resolver::new(conf, Hosts::read(&text(HOSTS, limits::HOSTS_BYTES_MAX)))
}

/// A system file, as far as it can be read.
fn text(path: &str, bytes_max: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // The part that was read before an error is used.
        let _ = file.take(bytes_max + 1).read_to_end(&mut bytes);
    }
    if bytes.len() as u64 > bytes_max {
        bytes.truncate(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        tracing::warn!("{path} is larger than {bytes_max} bytes; the rest is ignored");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A resolver for `servers` only, without search list and `hosts`.
fn named(servers: &[DnsServer]) -> Resolver {
    let conf = Conf { servers: servers.to_vec(), edns: true, ..Conf::default() };
    Resolver::new(conf, Hosts::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_kept_while_nothing_changes() {
        let resolvers = Resolvers::default();
        let server = [DnsServer { port: 5353, ..LOCAL_SERVER }];
        let first = resolvers.get(&server);
        assert!(Arc::ptr_eq(&first, &resolvers.get(&server)));
        assert_eq!(first.servers(), "127.0.0.1:5353");
    }
}
