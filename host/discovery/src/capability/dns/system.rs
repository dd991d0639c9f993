//! Whom to ask: the system's servers, as its files say at the time, or those that
//! a grant names.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::Hosts;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;

use super::resolver::Resolver;
use crate::limits;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// The resolver of one mode, made anew when the system's files change.
#[derive(Debug, Default)]
pub(crate) struct Resolvers(Mutex<Option<(Stamps, Arc<Resolver>)>>);

/// When the system's files changed last.
type Stamps = [Option<SystemTime>; 2];

impl Resolvers {
    /// The resolver that asks `servers`; with none, the system's.
    pub(super) fn get(&self, servers: &[SocketAddr]) -> Result<Arc<Resolver>, String> {
        let stamps = if servers.is_empty() { [RESOLV_CONF, HOSTS].map(changed) } else { [None; 2] };
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, resolver)) = &*current
            && *made == stamps
        {
            return Ok(Arc::clone(resolver));
        }
        let resolver = Arc::new(if servers.is_empty() { system()? } else { named(servers)? });
        *current = Some((stamps, Arc::clone(&resolver)));
        Ok(resolver)
    }
}

fn changed(path: &str) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// As `resolv.conf` and `hosts` say. Without servers there are still the hosts.
fn system() -> Result<Resolver, String> {
    let (config, options) = if Path::new(RESOLV_CONF).exists() {
        read_system_conf().unwrap_or_default()
    } else {
        Default::default()
    };
    let hosts = Hosts::from_system().unwrap_or_default();
    Resolver::new(config, bounded(options), hosts)
}

/// `servers` alone: no search list, no hosts.
fn named(servers: &[SocketAddr]) -> Result<Resolver, String> {
    let servers = servers.iter().map(|server| {
        let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = server.port();
        }
        // "No such name" is an answer, and no reason to ask the next server.
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    let config = ResolverConfig::from_parts(None, Vec::<Name>::new(), servers.collect());
    Resolver::new(config, bounded(ResolverOpts::default()), Hosts::default())
}

/// A query is repeated, and other servers are asked, within the bound of one
/// look-up. Answers are not kept: a mode asks again when they have expired, and
/// at once for a name that did not exist a moment ago.
fn bounded(mut options: ResolverOpts) -> ResolverOpts {
    options.timeout = options.timeout.min(Duration::from_millis(limits::QUERY_MS_MAX));
    options.attempts = options.attempts.min(limits::QUERY_RETRIES_MAX);
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

#[cfg(test)]
mod tests {
    use super::Resolvers;

    #[tokio::test]
    async fn a_resolver_is_kept_while_nothing_changes() {
        let resolvers = Resolvers::default();
        let server = ["127.0.0.1:5353".parse().unwrap()];
        let first = resolvers.get(&server).unwrap();
        assert!(std::sync::Arc::ptr_eq(&first, &resolvers.get(&server).unwrap()));
        assert_eq!(first.servers(), "127.0.0.1:5353");
    }
}
