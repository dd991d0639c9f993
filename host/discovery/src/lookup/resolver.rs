//! The resolver: server order, search list, A and AAAA records, services and their hosts.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, FuturesOrdered, FuturesUnordered, StreamExt as _};
use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{Answer, Records};
use super::conf::Conf;
use super::fault::Fault;
use super::hosts::Hosts;
use super::lookup_error::{LookupError, NegativeAnswer, NegativeKind, RecordTypes, Unusable};
use super::name::is_localhost;
use super::server::{PendingQuery, QueryOptions, Server};
use crate::limits;

/// TTL of an answer from `/etc/hosts`, in seconds.
const FILE_TTL_S: u32 = 10;
/// TTL of an answer when only one of the A and AAAA queries succeeded, in seconds.
const PARTIAL_TTL_S: u32 = 5;
/// TTL of a service of which a host cannot be resolved, in seconds.
const MISSING_HOST_TTL_S: u32 = 1;

/// Resolves names with a fixed set of servers.
#[derive(Debug)]
pub(crate) struct Resolver {
    conf: Conf,
    servers: Vec<Server>,
    hosts: Hosts,
    /// Number of queries so far, for `rotate`.
    turn: AtomicUsize,
    /// Limits concurrent queries.
    concurrency: Semaphore,
}

/// The addresses of a name, with their TTL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ttl_s: u32,
}

/// The targets of a service, with their TTL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) targets: Vec<ServiceTarget>,
    pub(crate) ttl_s: u32,
    /// Records that cannot be used.
    pub(crate) unusable: Vec<Unusable>,
}

/// One target of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceTarget {
    pub(crate) host: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

/// The servers that one query goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerSet {
    /// All servers until one answers; those that are backed off come last.
    All,
    /// Only the servers that are backed off, with a short timeout: another server gave a
    /// negative answer without them having been queried.
    BackedOff,
}

/// The answer of one server.
struct ServerAnswer<'a> {
    server: &'a Server,
    answer: Answer,
    /// A server that is listed before `server` is backed off and has not been queried.
    unsure: bool,
}

impl Service {
    /// Why the service has no usable target although it has records. A target of `.` alone is a
    /// statement by the operator that the service is not available, and no such reason.
    fn nothing_usable(&self) -> Option<String> {
        let found = self.targets.iter().any(|place| !place.addresses.is_empty());
        let mut unusable =
            self.unusable.iter().filter(|why| !matches!(why, Unusable::NotOffered)).peekable();
        if found || unusable.peek().is_none() {
            return None;
        }
        let why: Vec<String> = unusable.map(Unusable::to_string).collect();
        Some(format!("none of its records can be used: {}", why.join("; ")))
    }
}

impl Resolver {
    pub(super) fn new(conf: Conf, hosts: Hosts) -> Self {
        let servers = conf.servers.iter().cloned().map(Server::new).collect();
        let concurrency = Semaphore::new(limits::DNS_QUESTIONS_AT_ONCE);
        Self { conf, servers, hosts, turn: AtomicUsize::new(0), concurrency }
    }

    /// The configured servers, for an error text.
    pub(super) fn servers(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(|s| s.at.to_string()).collect();
        servers.join(", ")
    }

    /// A and AAAA records of `name`.
    pub(crate) async fn addresses(&self, name: &str, until: Instant) -> Result<Found, LookupError> {
        if is_localhost(name) {
            let addresses = vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
            return Ok(Found { addresses, ttl_s: FILE_TTL_S });
        }
        if let Some(addresses) = self.hosts.addresses(name) {
            return Ok(Found { addresses: addresses.to_vec(), ttl_s: FILE_TTL_S });
        }
        self.search(name, |name| verified(move |set| self.both_kinds(name.clone(), set, until)))
            .await
    }

    /// SRV records of `name`, and the addresses of their hosts. A target of `.` means that the
    /// service is not available (RFC 2782).
    pub(crate) async fn service(&self, name: &str, until: Instant) -> Result<Service, LookupError> {
        let ask = |name: Name| {
            verified(move |set| self.records(name.clone(), RecordType::SRV, set, until))
        };
        let records = self.search(name, ask).await?;
        let mut service = Service { ttl_s: records.ttl_s, ..Service::default() };
        let mut offered = Vec::new();
        for data in records.data.into_iter().take(limits::SERVICE_TARGETS_MAX) {
            let RData::SRV(srv) = data else { continue };
            let host = srv.target.to_ascii();
            let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
            if srv.target.is_root() {
                service.unusable.push(Unusable::NotOffered);
            } else if srv.port == 0 {
                service.unusable.push(Unusable::PortZero(host));
            } else if !super::name::is_name(&host) {
                service.unusable.push(Unusable::NoName(host));
            } else {
                offered.push((srv, host));
            }
        }
        let mut resolved = stream::iter(offered)
            .map(|(srv, host)| async move {
                // Absolute: the search list does not apply to SRV targets.
                let found = self.addresses(&format!("{host}."), until).await;
                (srv, host, found)
            })
            .buffered(limits::LOOKUPS_AT_ONCE);
        let mut failed = None;
        while let Some((srv, host, found)) = resolved.next().await {
            // A host that does not resolve now may resolve soon.
            let unresolved = Found { addresses: Vec::new(), ttl_s: MISSING_HOST_TTL_S };
            let found = found.unwrap_or_else(|error| {
                service.unusable.push(Unusable::Host(host.clone(), error.to_string()));
                if !matches!(error, LookupError::Negative(_)) {
                    failed.get_or_insert(format!("its host {host}: {error}"));
                }
                unresolved
            });
            service.ttl_s = service.ttl_s.min(found.ttl_s);
            let (port, priority, weight) = (srv.port, srv.priority, srv.weight);
            let addresses = found.addresses;
            service.targets.push(ServiceTarget { host, addresses, port, priority, weight });
        }
        match failed {
            // A failed lookup is not evidence that the service has no targets.
            Some(why) if service.targets.iter().all(|place| place.addresses.is_empty()) => {
                Err(LookupError::Temporary(why))
            }
            // Nor are records of which none can be used.
            _ => match service.nothing_usable() {
                Some(why) => Err(LookupError::Other(why)),
                None => Ok(service),
            },
        }
    }

    /// Runs `ask` for the names of the search list and returns the first result in list order.
    /// All record types of one name are queried before the next name. A slow answer does not
    /// block the following names, and still takes precedence. A server failure is not treated
    /// as "not found".
    async fn search<T, F>(&self, name: &str, ask: impl Fn(Name) -> F) -> Result<T, LookupError>
    where
        F: Future<Output = Result<T, LookupError>>,
    {
        let mut names = self.candidates(name)?.into_iter();
        let mut asked = FuturesOrdered::new();
        asked.extend(names.next().map(&ask));
        let (mut failed, mut negative) = (None, None::<NegativeAnswer>);
        loop {
            let head_start = Duration::from_millis(limits::SEARCH_HEAD_START_MS);
            let answered = match names.len() {
                0 => asked.next().await,
                _ => match timeout(head_start, asked.next()).await {
                    Ok(answered) => answered,
                    Err(_) => {
                        asked.extend(names.next().map(&ask));
                        continue;
                    }
                },
            };
            match answered {
                Some(Ok(found)) => return Ok(found),
                Some(Err(LookupError::Negative(new))) => {
                    negative = Some(negative.map_or(new.clone(), |old| old.or(new)));
                }
                Some(Err(error)) => {
                    failed.get_or_insert(error);
                }
                None => {}
            }
            if asked.is_empty() {
                match names.next() {
                    Some(name) => asked.push_back(ask(name)),
                    None => break,
                }
            }
        }
        match (failed, negative) {
            (Some(error), _) => Err(error),
            (None, Some(negative)) => Err(LookupError::Negative(negative)),
            (None, None) => Err(LookupError::Other("there is no name to look up".into())),
        }
    }

    /// The absolute names to try, in order. As in glibc, a name with fewer dots than `ndots` is
    /// first completed by the search list.
    fn candidates(&self, name: &str) -> Result<Vec<Name>, LookupError> {
        let relative =
            Name::from_ascii(name).map_err(|error| LookupError::Other(error.to_string()))?;
        let mut absolute = relative.clone();
        absolute.set_fqdn(true);
        if relative.is_fqdn() {
            return Ok(vec![absolute]);
        }
        let completed = self
            .conf
            .search
            .iter()
            .filter_map(|domain| relative.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = completed.collect();
        let dots = usize::from(relative.num_labels()).saturating_sub(1);
        if dots >= self.conf.ndots {
            names.insert(0, absolute);
        } else {
            names.push(absolute);
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    /// A and AAAA records of one absolute name. If only one of the queries succeeds, its
    /// addresses are returned with a short TTL.
    async fn both_kinds(
        &self,
        name: Name,
        set: ServerSet,
        until: Instant,
    ) -> Result<Found, LookupError> {
        let kinds = [RecordType::A, RecordType::AAAA];
        let kinds = if self.conf.no_aaaa { &kinds[..1] } else { &kinds };
        let mut asked: FuturesUnordered<_> =
            kinds.iter().map(|&kind| self.records(name.clone(), kind, set, until)).collect();
        let mut results = Vec::with_capacity(kinds.len());
        // Each query has its own deadline.
        let mut deadline = until + Duration::from_millis(limits::LOOKUP_SPARE_MS);
        while results.len() < kinds.len() {
            let result = match timeout_at(deadline, asked.next()).await {
                Ok(Some(result)) => result,
                _ => Err(LookupError::Temporary(
                    "the query for the other address type was not answered".into(),
                )),
            };
            if result.is_ok() {
                // Some servers never answer queries of one of the two types.
                let other = Duration::from_millis(limits::OTHER_KIND_MS_MAX);
                deadline = deadline.min(Instant::now() + other);
            }
            results.push(result);
        }
        both(results)
    }

    /// The records of one type of one absolute name, following aliases.
    async fn records(
        &self,
        name: Name,
        kind: RecordType,
        set: ServerSet,
        until: Instant,
    ) -> Result<Records, LookupError> {
        let mut question = Query::query(name.clone(), kind);
        let mut ttl_s = u32::MAX;
        let mut seen = HashSet::from([name]);
        loop {
            let answer = self.ask(&question, set, until).await;
            let ServerAnswer { server, answer, unsure } = answer.map_err(|error| match error {
                LookupError::Temporary(why) if seen.len() > 1 => {
                    LookupError::Temporary(format!("its alias {}: {why}", question.name()))
                }
                error => error,
            })?;
            let negative = |negative, alias: Option<Name>| {
                // The last name that was queried, if it is not the first.
                let asked = (seen.len() > 1).then(|| question.name().clone());
                let alias = alias.or(asked).map(|alias| alias.to_ascii());
                let sought = if kind == RecordType::SRV {
                    RecordTypes::Service
                } else {
                    RecordTypes::Addresses
                };
                LookupError::Negative(NegativeAnswer {
                    kind: negative,
                    sought,
                    alias,
                    server: server.at.to_string(),
                    unsure,
                })
            };
            match answer {
                Answer::Records(mut records) => {
                    records.ttl_s = records.ttl_s.min(ttl_s);
                    return Ok(records);
                }
                Answer::NoData(alias) => return Err(negative(NegativeKind::NoData, alias)),
                Answer::NoName(alias) => return Err(negative(NegativeKind::NoName, alias)),
                Answer::Alias(to, holds_s) => {
                    ttl_s = ttl_s.min(holds_s);
                    question.set_name(to.clone());
                    if !seen.insert(to) || seen.len() > limits::ALIASES_MAX {
                        return Err(LookupError::Other(format!(
                            "{}: its alias (CNAME) is a loop, or leads through more than {} names",
                            server.at,
                            limits::ALIASES_MAX
                        )));
                    }
                }
            }
        }
    }

    /// Queries one server after the other until one answers.
    async fn ask(
        &self,
        question: &Query,
        set: ServerSet,
        until: Instant,
    ) -> Result<ServerAnswer<'_>, LookupError> {
        let options = QueryOptions { use_vc: self.conf.use_vc, edns: self.conf.edns };
        let listed = self.order();
        let mut queries: Vec<PendingQuery<'_>> =
            listed.iter().map(|server| PendingQuery::new(server, question, options)).collect();
        let mut faults: Vec<Option<Fault>> = vec![None; listed.len()];
        let attempts = if set == ServerSet::All { self.conf.attempts } else { 1 };
        for _ in 0..attempts {
            let (available, backed_off): (Vec<usize>, Vec<usize>) =
                (0..listed.len()).partition(|&index| !listed[index].is_backed_off());
            let order =
                if set == ServerSet::All { [available, backed_off].concat() } else { backed_off };
            for (at, &index) in order.iter().enumerate() {
                let Some(time) = self.time(set, order.len() - at, until) else { break };
                match self.within_limit(queries[index].ask(time), until).await {
                    Ok(answer) => {
                        let unsure = order[at..].iter().any(|&other| other < index);
                        return Ok(ServerAnswer { server: listed[index], answer, unsure });
                    }
                    Err(fault) => faults[index] = Some(fault),
                }
            }
        }
        let failures = listed
            .iter()
            .zip(faults)
            .filter_map(|(server, fault)| Some(format!("{}: {}", server.at, fault?)));
        let mut failures: Vec<String> = failures.collect();
        if failures.is_empty() {
            failures.push(format!("{}: no time is left to query", self.servers()));
        }
        Err(LookupError::Temporary(failures.join("; ")))
    }

    /// All servers in the configured order; with `rotate`, starting with the next server each
    /// time.
    fn order(&self) -> Vec<&Server> {
        let mut servers: Vec<&Server> = self.servers.iter().collect();
        if self.conf.rotate && !servers.is_empty() {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % servers.len();
            servers.rotate_left(first);
        }
        servers
    }

    /// The time that the next of `servers` remaining servers has to answer; `None` when the
    /// deadline has passed.
    fn time(&self, set: ServerSet, servers: usize, until: Instant) -> Option<Duration> {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(servers).unwrap_or(u32::MAX).max(1);
        let share = share.max(Duration::from_millis(limits::DNS_TURN_MS_MIN));
        let time = match set {
            ServerSet::All => self.conf.timeout.min(share),
            ServerSet::BackedOff => Duration::from_millis(limits::DNS_BACKED_OFF_TURN_MS),
        };
        Some(time.min(left)).filter(|time| !time.is_zero())
    }

    /// Runs `question` within the limit of concurrent queries.
    async fn within_limit(
        &self,
        question: impl Future<Output = Result<Answer, Fault>>,
        until: Instant,
    ) -> Result<Answer, Fault> {
        let started = Instant::now();
        match timeout_at(until, self.concurrency.acquire()).await {
            Ok(_permit) => question.await,
            Err(_) => Err(Fault::Silent(started.elapsed())),
        }
    }
}

/// Runs `ask` on all servers. A negative answer that was given while a server listed earlier
/// was backed off is verified with the servers that are backed off.
async fn verified<T, F>(ask: impl Fn(ServerSet) -> F) -> Result<T, LookupError>
where
    F: Future<Output = Result<T, LookupError>>,
{
    match ask(ServerSet::All).await {
        Err(LookupError::Negative(negative)) if negative.unsure => {
            match ask(ServerSet::BackedOff).await {
                Err(LookupError::Temporary(_)) => Err(LookupError::Negative(negative)),
                answer => answer,
            }
        }
        answer => answer,
    }
}

/// Combines the results of the A and AAAA queries.
fn both(results: Vec<Result<Records, LookupError>>) -> Result<Found, LookupError> {
    let mut found = Found { addresses: Vec::new(), ttl_s: u32::MAX };
    let (mut failed, mut negative) = (None, None::<NegativeAnswer>);
    for result in results {
        match result {
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
            Err(LookupError::Negative(new)) => {
                negative = Some(negative.map_or(new.clone(), |old| old.and(new)));
            }
            Err(error) => failed = Some(error),
        }
    }
    if !found.addresses.is_empty() {
        if failed.is_some() {
            found.ttl_s = found.ttl_s.min(PARTIAL_TTL_S);
        }
        return Ok(found);
    }
    match (failed, negative) {
        // NXDOMAIN holds for all record types (RFC 8020).
        (_, Some(negative)) if negative.kind == NegativeKind::NoName => {
            Err(LookupError::Negative(negative))
        }
        (Some(error), _) => Err(error),
        (None, Some(negative)) => Err(LookupError::Negative(negative)),
        (None, None) => Err(LookupError::Other("its address records cannot be decoded".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_the_search_list_says() {
        let search =
            |domains: &[&str]| domains.iter().map(|d| Name::from_ascii(d).unwrap()).collect();
        let resolver = |domains: &[&str], ndots| {
            let conf = Conf { search: search(domains), ndots, ..Conf::default() };
            Resolver::new(conf, Hosts::default())
        };
        let tried = |resolver: &Resolver, name: &str| -> Vec<String> {
            resolver.candidates(name).unwrap().iter().map(Name::to_ascii).collect()
        };
        let two = resolver(&["shop.svc.", "svc."], 2);
        assert_eq!(tried(&two, "a"), ["a.shop.svc.", "a.svc.", "a."]);
        assert_eq!(tried(&two, "a.b.c"), ["a.b.c.", "a.b.c.shop.svc.", "a.b.c.svc."]);
        assert_eq!(tried(&two, "a."), ["a."]);
        assert_eq!(tried(&resolver(&["."], 1), "a"), ["a."], "each name once");
        assert_eq!(tried(&resolver(&["b."], 0), "a"), ["a.", "a.b."]);
    }
}
