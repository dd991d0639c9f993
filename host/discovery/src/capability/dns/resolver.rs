//! Asking: search lists, both kinds of addresses, services and their hosts.

use std::net::IpAddr;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _};
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use super::name::is_localhost;
use crate::limits;

/// How long an answer holds that comes from a file, in seconds.
const FILE_TTL_S: u32 = 10;
/// How long an answer holds when only one of two queries was answered, in seconds.
const HALF_TTL_S: u32 = 5;

/// Asks certain servers.
pub(crate) struct Resolver {
    inner: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
    ndots: usize,
    servers: String,
}

/// Why a name gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// There is no such name.
    NotFound,
    /// The name has other records, and none of the kind.
    NoData,
    Temporary(String),
    Other(String),
}

/// Where a name leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ttl_s: u32,
}

/// One place of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) host: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

/// Records of one name, and how long they hold.
struct Records {
    data: Vec<RData>,
    ttl_s: u32,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Resolver").field(&self.servers).finish()
    }
}

impl Resolver {
    pub(super) fn new(
        config: ResolverConfig,
        options: ResolverOpts,
        hosts: Hosts,
    ) -> Result<Self, String> {
        let servers: Vec<String> = config
            .name_servers()
            .iter()
            .map(|server| {
                let port = server.connections.first().map_or(53, |connection| connection.port);
                std::net::SocketAddr::new(server.ip, port).to_string()
            })
            .collect();
        let search = config.search().to_vec();
        let ndots = options.ndots;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let inner = builder.with_options(options).build().map_err(|error| error.to_string())?;
        Ok(Self { inner, hosts, search, ndots, servers: servers.join(", ") })
    }

    /// Who is asked, for an error text.
    pub(super) fn servers(&self) -> &str {
        if self.servers.is_empty() {
            "/etc/hosts (no DNS server is configured)"
        } else {
            &self.servers
        }
    }

    /// A and AAAA records of `name`.
    pub(super) async fn addresses(&self, name: &str) -> Result<Found, LookupError> {
        if is_localhost(name) {
            let addresses = vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
            return Ok(Found { addresses, ttl_s: FILE_TTL_S });
        }
        let (v4, v6) =
            join(self.records(name, RecordType::A), self.records(name, RecordType::AAAA)).await;
        match both(v4, v6) {
            Err(LookupError::NoData) if self.is_alias(name).await => {
                Err(LookupError::Other("its alias (CNAME) leads in a circle, or nowhere".into()))
            }
            found => found,
        }
    }

    /// Whether a name without an address is the alias of another one.
    async fn is_alias(&self, name: &str) -> bool {
        self.records(name, RecordType::CNAME).await.is_ok()
    }

    /// SRV records of `name`, and the addresses of their hosts. A target of `.`
    /// says that the service is not offered (RFC 2782).
    pub(super) async fn service(&self, name: &str) -> Result<(Vec<Offered>, u32), LookupError> {
        let records = self.records(name, RecordType::SRV).await?;
        let mut ttl_s = records.ttl_s;
        let offered = records.data.into_iter().filter_map(|data| match data {
            RData::SRV(srv) if !srv.target.is_root() => Some(srv),
            _ => None,
        });
        let (offered, no_port): (Vec<_>, Vec<_>) = offered.partition(|srv| srv.port != 0);
        if let (true, Some(srv)) = (offered.is_empty(), no_port.first()) {
            let host = srv.target.to_ascii();
            return Err(LookupError::Other(format!(
                "its record for {host} has port 0, which nobody listens on"
            )));
        }
        let resolved: Vec<_> = stream::iter(offered.into_iter().take(limits::SERVICE_PLACES_MAX))
            .map(|srv| async move {
                let host = srv.target.to_ascii();
                let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
                // Absolute, whatever the search list says.
                let found = self.addresses(&format!("{host}.")).await;
                (srv, host, found)
            })
            .buffered(limits::LOOKUPS_AT_ONCE)
            .collect()
            .await;
        let mut places = Vec::with_capacity(resolved.len());
        for (srv, host, found) in resolved {
            // A host that fails now may be there soon.
            let Found { addresses, ttl_s: host_ttl_s } =
                found.unwrap_or(Found { addresses: Vec::new(), ttl_s: 1 });
            ttl_s = ttl_s.min(host_ttl_s);
            let (port, priority, weight) = (srv.port, srv.priority, srv.weight);
            places.push(Offered { host, addresses, port, priority, weight });
        }
        Ok((places, ttl_s))
    }

    /// The records of one kind, from the first name of the search list that has
    /// some. A server that fails on the way is not passed over as "not found".
    async fn records(&self, name: &str, kind: RecordType) -> Result<Records, LookupError> {
        let (mut failed, mut no_data) = (None, false);
        for name in self.candidates(name)? {
            if let Some(lookup) = self.hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
                let data = lookup.answers().iter().map(|record| record.data.clone()).collect();
                return Ok(Records { data, ttl_s: FILE_TTL_S });
            }
            match self.query(name, kind).await {
                Err(LookupError::NotFound) => {}
                Err(LookupError::NoData) => no_data = true,
                Err(error) => {
                    failed.get_or_insert(error);
                }
                Ok(records) => return Ok(records),
            }
        }
        let absent = if no_data { LookupError::NoData } else { LookupError::NotFound };
        Err(failed.unwrap_or(absent))
    }

    /// Absolute names to try, in order: as glibc does, a name with few dots is
    /// completed first.
    fn candidates(&self, name: &str) -> Result<Vec<Name>, LookupError> {
        let other = |error: &dyn ToString| LookupError::Other(error.to_string());
        let relative = Name::from_ascii(name).map_err(|error| other(&error))?;
        let mut absolute = relative.clone();
        absolute.set_fqdn(true);
        if relative.is_fqdn() {
            return Ok(vec![absolute]);
        }
        let completed =
            self.search.iter().filter_map(|domain| relative.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = completed.collect();
        let dots = usize::from(relative.num_labels()).saturating_sub(1);
        let in_hosts = [RecordType::A, RecordType::AAAA].iter().any(|&kind| {
            self.hosts.lookup_static_host(&Query::query(absolute.clone(), kind)).is_some()
        });
        if dots >= self.ndots || in_hosts {
            names.insert(0, absolute);
        } else {
            names.push(absolute);
        }
        Ok(names)
    }

    async fn query(&self, name: Name, kind: RecordType) -> Result<Records, LookupError> {
        let lookup = match self.inner.lookup(name, kind).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_nx_domain() => return Err(LookupError::NotFound),
            Err(error) if error.is_no_records_found() => return Err(LookupError::NoData),
            Err(error) => return Err(self.failed(&error)),
        };
        let mut records = Records { data: Vec::new(), ttl_s: u32::MAX };
        for record in lookup.answers() {
            records.ttl_s = records.ttl_s.min(record.ttl);
            if record.record_type() == kind && records.data.len() < limits::LOOKUP_ADDRESSES_MAX {
                records.data.push(record.data.clone());
            }
        }
        if records.data.is_empty() {
            // Aliases, or nothing.
            return Err(LookupError::NoData);
        }
        Ok(records)
    }

    fn failed(&self, error: &NetError) -> LookupError {
        let servers = self.servers();
        LookupError::Temporary(match error {
            NetError::Timeout => format!("no answer from {servers}"),
            NetError::Dns(DnsError::ResponseCode(code)) => format!("{servers}: {code}"),
            NetError::NoConnections => format!("no connection to {servers}"),
            error => format!("{servers}: {error}"),
        })
    }
}

/// What two queries say together. Half an answer is one, and does not hold long.
fn both(
    v4: Result<Records, LookupError>,
    v6: Result<Records, LookupError>,
) -> Result<Found, LookupError> {
    let mut found = Found { addresses: Vec::new(), ttl_s: u32::MAX };
    let (mut failed, mut absent) = (None, LookupError::NotFound);
    for records in [v4, v6] {
        match records {
            Ok(records) => {
                found.ttl_s = found.ttl_s.min(records.ttl_s);
                for data in records.data {
                    let address: IpAddr = match data {
                        RData::A(a) => a.0.into(),
                        RData::AAAA(aaaa) => aaaa.0.into(),
                        _ => continue,
                    };
                    let room = found.addresses.len() < limits::LOOKUP_ADDRESSES_MAX;
                    if room && !found.addresses.contains(&address) {
                        found.addresses.push(address);
                    }
                }
            }
            Err(LookupError::NotFound) => {}
            Err(LookupError::NoData) => absent = LookupError::NoData,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if found.addresses.is_empty() => Err(error),
        None if found.addresses.is_empty() => Err(absent),
        failed => {
            if failed.is_some() {
                found.ttl_s = found.ttl_s.min(HALF_TTL_S);
            }
            Ok(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(search: &[&str], ndots: usize) -> Resolver {
        let search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
        let mut options = ResolverOpts::default();
        options.ndots = ndots;
        let config = ResolverConfig::from_parts(None, search, Vec::new());
        Resolver::new(config, options, Hosts::default()).unwrap()
    }

    fn tried(resolver: &Resolver, name: &str) -> Vec<String> {
        resolver.candidates(name).unwrap().iter().map(Name::to_ascii).collect()
    }

    #[tokio::test]
    async fn names_are_completed_as_the_search_list_says() {
        let resolver = resolver(&["shop.svc.", "svc."], 2);
        assert_eq!(tried(&resolver, "a"), ["a.shop.svc.", "a.svc.", "a."]);
        assert_eq!(tried(&resolver, "a.b.c"), ["a.b.c.", "a.b.c.shop.svc.", "a.b.c.svc."]);
        assert_eq!(tried(&resolver, "a."), ["a."]);
    }

    #[tokio::test]
    async fn localhost_needs_no_server() {
        let found = resolver(&[], 1).addresses("localhost").await.unwrap();
        assert_eq!(found.addresses.len(), 2);
    }

    #[tokio::test]
    async fn without_a_server_a_name_fails_for_now() {
        let failed = resolver(&[], 1).addresses("a.example").await.unwrap_err();
        assert!(matches!(failed, LookupError::Temporary(why) if why.contains("no DNS server")));
    }

    #[test]
    fn half_an_answer_is_one_and_does_not_hold_long() {
        let v4 = || {
            Ok(Records {
                data: vec![RData::A(std::net::Ipv4Addr::new(10, 0, 0, 1).into())],
                ttl_s: 300,
            })
        };
        let found = both(v4(), Err(LookupError::Temporary("late".into()))).unwrap();
        assert_eq!((found.addresses.len(), found.ttl_s), (1, HALF_TTL_S));
        assert_eq!(both(v4(), Err(LookupError::NotFound)).unwrap().ttl_s, 300);
        let none = both(Err(LookupError::NotFound), Err(LookupError::Temporary("late".into())));
        assert_eq!(none, Err(LookupError::Temporary("late".into())));
        let nothing = both(Err(LookupError::NotFound), Err(LookupError::NotFound));
        assert_eq!(nothing, Err(LookupError::NotFound));
    }
}
