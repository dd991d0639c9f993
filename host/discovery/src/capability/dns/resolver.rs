//! Asking: servers in their order, search lists, both kinds of addresses, services and
//! their hosts.

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
use super::miss::{Absence, Absent, LookupError, Sought, Unusable};
use super::name::is_localhost;
use super::server::{Conversation, Manner, Server};
use crate::limits;

/// How long an answer holds that comes from a file, in seconds.
const FILE_TTL_S: u32 = 10;
/// How long an answer holds when only one of two queries was answered, in seconds.
const HALF_TTL_S: u32 = 5;
/// How long the place of a host holds that cannot be looked up, in seconds.
const MISSING_HOST_TTL_S: u32 = 1;

/// Asks certain servers.
#[derive(Debug)]
pub(crate) struct Resolver {
    conf: Conf,
    servers: Vec<Server>,
    hosts: Hosts,
    /// Questions so far, for `rotate`.
    turn: AtomicUsize,
    /// Questions that may be under way.
    gate: Semaphore,
}

/// Where a name leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ttl_s: u32,
}

/// What a service offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) places: Vec<Offered>,
    pub(crate) ttl_s: u32,
    /// Records that lead nowhere.
    pub(crate) unusable: Vec<Unusable>,
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

/// Whom one question goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    /// All servers until one can say, those that were silent a moment ago last.
    All,
    /// Those that were silent a moment ago, for a little while: others said no before they
    /// had their say.
    Resting,
}

/// What one server says.
struct Said<'a> {
    server: &'a Server,
    answer: Answer,
    /// One that is listed before it rests, and was not asked.
    unsure: bool,
}

impl Service {
    /// Why nobody can be found by it, when it has records and none of them can be used. A target
    /// of `.` alone is no such reason: whoever set it says that nobody is there.
    fn nothing_usable(&self) -> Option<String> {
        let found = self.places.iter().any(|place| !place.addresses.is_empty());
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
        let gate = Semaphore::new(limits::DNS_QUESTIONS_AT_ONCE);
        Self { conf, servers, hosts, turn: AtomicUsize::new(0), gate }
    }

    /// Who is asked, for an error text.
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
        self.search(name, |name| sure(move |whom| self.both_kinds(name.clone(), whom, until))).await
    }

    /// SRV records of `name`, and the addresses of their hosts. A target of `.`
    /// says that the service is not offered (RFC 2782).
    pub(super) async fn service(&self, name: &str, until: Instant) -> Result<Service, LookupError> {
        let ask =
            |name: Name| sure(move |whom| self.records(name.clone(), RecordType::SRV, whom, until));
        let records = self.search(name, ask).await?;
        let mut service = Service { ttl_s: records.ttl_s, ..Service::default() };
        let mut offered = Vec::new();
        for data in records.data.into_iter().take(limits::SERVICE_PLACES_MAX) {
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
                // Absolute, whatever the search list says.
                let found = self.addresses(&format!("{host}."), until).await;
                (srv, host, found)
            })
            .buffered(limits::LOOKUPS_AT_ONCE);
        let mut failed = None;
        while let Some((srv, host, found)) = resolved.next().await {
            // A host that fails now may be there soon.
            let nowhere = Found { addresses: Vec::new(), ttl_s: MISSING_HOST_TTL_S };
            let found = found.unwrap_or_else(|error| {
                service.unusable.push(Unusable::Host(host.clone(), error.to_string()));
                if !matches!(error, LookupError::Absent(_)) {
                    failed.get_or_insert(format!("its host {host}: {error}"));
                }
                nowhere
            });
            service.ttl_s = service.ttl_s.min(found.ttl_s);
            let (port, priority, weight) = (srv.port, srv.priority, srv.weight);
            let addresses = found.addresses;
            service.places.push(Offered { host, addresses, port, priority, weight });
        }
        match failed {
            // Who could not look knows nothing of who is there.
            Some(why) if service.places.iter().all(|place| place.addresses.is_empty()) => {
                Err(LookupError::Temporary(why))
            }
            // Nor does who was told of nothing that can be used.
            _ => match service.nothing_usable() {
                Some(why) => Err(LookupError::Other(why)),
                None => Ok(service),
            },
        }
    }

    /// What `ask` finds under the first name of the search list that leads anywhere. Names
    /// are asked for in the order of the list, all kinds of records of one before the next;
    /// a slow answer does not hold the others up, and still comes first. A server that fails
    /// on the way is not passed over as "not found".
    async fn search<T, F>(&self, name: &str, ask: impl Fn(Name) -> F) -> Result<T, LookupError>
    where
        F: Future<Output = Result<T, LookupError>>,
    {
        let mut names = self.candidates(name)?.into_iter();
        let mut asked = FuturesOrdered::new();
        asked.extend(names.next().map(&ask));
        let (mut failed, mut absent) = (None, None::<Absent>);
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
                Some(Err(LookupError::Absent(new))) => {
                    absent = Some(absent.map_or(new.clone(), |old| old.or(new)));
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
        match (failed, absent) {
            (Some(error), _) => Err(error),
            (None, Some(absent)) => Err(LookupError::Absent(absent)),
            (None, None) => Err(LookupError::Other("no name to ask for".into())),
        }
    }

    /// Absolute names to try, in order: as glibc does, a name with few dots is
    /// completed first.
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

    /// Addresses of one absolute name. Half an answer is one, and does not hold long.
    async fn both_kinds(
        &self,
        name: Name,
        whom: Whom,
        until: Instant,
    ) -> Result<Found, LookupError> {
        let kinds = [RecordType::A, RecordType::AAAA];
        let kinds = if self.conf.no_aaaa { &kinds[..1] } else { &kinds };
        let mut asked: FuturesUnordered<_> =
            kinds.iter().map(|&kind| self.records(name.clone(), kind, whom, until)).collect();
        let mut outcomes = Vec::with_capacity(kinds.len());
        // Each question knows its own end.
        let mut patience = until + Duration::from_millis(limits::LOOKUP_SPARE_MS);
        while outcomes.len() < kinds.len() {
            let outcome = match timeout_at(patience, asked.next()).await {
                Ok(Some(outcome)) => outcome,
                _ => Err(LookupError::Temporary("the other kind is not answered".into())),
            };
            if outcome.is_ok() {
                // Some servers never answer the one kind of question.
                let other = Duration::from_millis(limits::OTHER_KIND_MS_MAX);
                patience = patience.min(Instant::now() + other);
            }
            outcomes.push(outcome);
        }
        both(outcomes)
    }

    /// The records of one kind of one absolute name, through its aliases.
    async fn records(
        &self,
        name: Name,
        kind: RecordType,
        whom: Whom,
        until: Instant,
    ) -> Result<Records, LookupError> {
        let mut question = Query::query(name.clone(), kind);
        let mut ttl_s = u32::MAX;
        let mut seen = HashSet::from([name]);
        loop {
            let said = self.ask(&question, whom, until).await;
            let Said { server, answer, unsure } = said.map_err(|error| match error {
                LookupError::Temporary(why) if seen.len() > 1 => {
                    LookupError::Temporary(format!("its alias {}: {why}", question.name()))
                }
                error => error,
            })?;
            let absent = |absence, alias: Option<Name>| {
                // The last name that was asked for, once it is not the first one.
                let asked = (seen.len() > 1).then(|| question.name().clone());
                let alias = alias.or(asked).map(|alias| alias.to_ascii());
                let sought =
                    if kind == RecordType::SRV { Sought::Service } else { Sought::Addresses };
                LookupError::Absent(Absent {
                    absence,
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
                Answer::NoData(alias) => return Err(absent(Absence::NoData, alias)),
                Answer::NoName(alias) => return Err(absent(Absence::NoName, alias)),
                Answer::Alias(to, holds_s) => {
                    ttl_s = ttl_s.min(holds_s);
                    question.set_name(to.clone());
                    if !seen.insert(to) || seen.len() > limits::ALIASES_MAX {
                        return Err(LookupError::Other(format!(
                            "{}: its alias (CNAME) leads in a circle, or through more than {} names",
                            server.at,
                            limits::ALIASES_MAX
                        )));
                    }
                }
            }
        }
    }

    /// Asks one server after the other until one can say.
    async fn ask(
        &self,
        question: &Query,
        whom: Whom,
        until: Instant,
    ) -> Result<Said<'_>, LookupError> {
        let manner = Manner { use_vc: self.conf.use_vc, edns: self.conf.edns };
        let listed = self.order();
        let mut talks: Vec<Conversation<'_>> =
            listed.iter().map(|server| Conversation::new(server, question, manner)).collect();
        let mut faults: Vec<Option<Fault>> = vec![None; listed.len()];
        let attempts = if whom == Whom::All { self.conf.attempts } else { 1 };
        for _ in 0..attempts {
            let (awake, resting): (Vec<usize>, Vec<usize>) =
                (0..listed.len()).partition(|&index| !listed[index].rests());
            let order = if whom == Whom::All { [awake, resting].concat() } else { resting };
            for (at, &index) in order.iter().enumerate() {
                let Some(time) = self.time(whom, order.len() - at, until) else { break };
                match self.within_gate(talks[index].ask(time), until).await {
                    Ok(answer) => {
                        let unsure = order[at..].iter().any(|&other| other < index);
                        return Ok(Said { server: listed[index], answer, unsure });
                    }
                    Err(fault) => faults[index] = Some(fault),
                }
            }
        }
        let told = listed
            .iter()
            .zip(faults)
            .filter_map(|(server, fault)| Some(format!("{}: {}", server.at, fault?)));
        let mut told: Vec<String> = told.collect();
        if told.is_empty() {
            told.push(format!("{}: no time is left to ask", self.servers()));
        }
        Err(LookupError::Temporary(told.join("; ")))
    }

    /// All servers, beginning with the first or, where that is asked for, each time with
    /// the next one.
    fn order(&self) -> Vec<&Server> {
        let mut servers: Vec<&Server> = self.servers.iter().collect();
        if self.conf.rotate && !servers.is_empty() {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % servers.len();
            servers.rotate_left(first);
        }
        servers
    }

    /// What the next of so many servers gets to answer; none when the time is over.
    fn time(&self, whom: Whom, servers: usize, until: Instant) -> Option<Duration> {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(servers).unwrap_or(u32::MAX).max(1);
        let share = share.max(Duration::from_millis(limits::DNS_TURN_MS_MIN));
        let time = match whom {
            Whom::All => self.conf.timeout.min(share),
            Whom::Resting => Duration::from_millis(limits::DNS_RESTING_TURN_MS),
        };
        Some(time.min(left)).filter(|time| !time.is_zero())
    }

    /// Not more questions at the same time than a server takes.
    async fn within_gate(
        &self,
        question: impl Future<Output = Result<Answer, Fault>>,
        until: Instant,
    ) -> Result<Answer, Fault> {
        let started = Instant::now();
        match timeout_at(until, self.gate.acquire()).await {
            Ok(_permit) => question.await,
            Err(_) => Err(Fault::Silent(started.elapsed())),
        }
    }
}

/// What `ask` finds; and where some server says that there is nothing before one that is listed
/// earlier had its say, what that one says, if it says anything.
async fn sure<T, F>(ask: impl Fn(Whom) -> F) -> Result<T, LookupError>
where
    F: Future<Output = Result<T, LookupError>>,
{
    match ask(Whom::All).await {
        Err(LookupError::Absent(absent)) if absent.unsure => match ask(Whom::Resting).await {
            Err(LookupError::Temporary(_)) => Err(LookupError::Absent(absent)),
            said => said,
        },
        said => said,
    }
}

/// What the questions for both kinds of addresses say together.
fn both(outcomes: Vec<Result<Records, LookupError>>) -> Result<Found, LookupError> {
    let mut found = Found { addresses: Vec::new(), ttl_s: u32::MAX };
    let (mut failed, mut absent) = (None, None::<Absent>);
    for outcome in outcomes {
        match outcome {
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
            Err(LookupError::Absent(new)) => {
                absent = Some(absent.map_or(new.clone(), |old| old.and(new)));
            }
            Err(error) => failed = Some(error),
        }
    }
    if !found.addresses.is_empty() {
        if failed.is_some() {
            found.ttl_s = found.ttl_s.min(HALF_TTL_S);
        }
        return Ok(found);
    }
    match (failed, absent) {
        // A name that does not exist has no record of the other kind (RFC 8020).
        (_, Some(absent)) if absent.absence == Absence::NoName => Err(LookupError::Absent(absent)),
        (Some(error), _) => Err(error),
        (None, Some(absent)) => Err(LookupError::Absent(absent)),
        (None, None) => Err(LookupError::Other("its addresses cannot be read".into())),
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
