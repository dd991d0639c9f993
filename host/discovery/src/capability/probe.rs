//! `convoke:host/probe`: is a member of this cluster there? Granted by range.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime::component::{HasSelf, Linker};

use super::dns::LookupError;
use super::rate::Bucket;
use super::{Capability, Context, Grant, Mode};
use crate::bindings::imports::convoke::host::probe::{self, Outcome, Peer, Place, Target};
use crate::limits;
use crate::names::is_dns_name;
use crate::prober::Probed;
use crate::text::one_line;

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/probe",
    grant: Some(Grant {
        is_granted: |grants| !grants.probe.is_empty(),
        capability: "probe",
        example: "10.0.0.0/24:4900",
    }),
    in_words: "ask places whether a member of this cluster is there",
    link: |linker: &mut Linker<_>| {
        probe::add_to_linker::<_, HasSelf<_>>(linker, |state| &mut state.capabilities)
    },
};

/// Of why a name was not found, in bytes.
const ERROR_BYTES_MAX: usize = 300;

/// What one instance may still probe.
#[derive(Debug)]
pub(crate) struct Budget(Bucket);

impl Default for Budget {
    fn default() -> Self {
        Self(Bucket::new(limits::PROBES_PER_SECOND, limits::PROBES_BURST))
    }
}

impl probe::Host for Context {
    async fn probe(
        &mut self,
        targets: Vec<Target>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Vec<Outcome>> {
        let ms = u64::from(timeout_ms).clamp(limits::PROBE_MS_MIN, limits::PROBE_MS_MAX);
        let bound = Duration::from_millis(ms);
        self.called(format_args!("probe: {} places", targets.len()));
        self.want_places(&targets);
        let mut waiting: Vec<Result<Target, Outcome>> = Vec::with_capacity(targets.len());
        for (index, target) in targets.into_iter().enumerate() {
            waiting.push(self.admit(index, target));
        }
        let mode = &*self.mode;
        let number = waiting.len();
        // The place gets its time whole, and the name's servers what is left before it.
        let spare = bound + Duration::from_millis(limits::LOOKUP_SPARE_MS);
        let left = self.ends.saturating_duration_since(Instant::now()).saturating_sub(spare);
        let resolving = left.min(Duration::from_millis(limits::LOOKUP_MS_MAX));
        let outcomes = stream::iter(waiting)
            .map(|target| async move {
                match target {
                    Ok(target) => ask(mode, &target, resolving, bound).await,
                    Err(refused) => refused,
                }
            })
            .buffered(limits::PROBES_AT_ONCE)
            .collect::<Vec<_>>();
        let given_up = || vec![Outcome::Other("this member leaves".into()); number];
        Ok(self.while_wanted(outcomes).await.unwrap_or_else(given_up))
    }
}

/// A target as a grant names it.
fn shown(target: &Target) -> String {
    let Target { host, port } = target;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn is_sound(target: &Target) -> bool {
    let name = target.host.strip_suffix('.').unwrap_or(&target.host);
    target.port != 0 && (target.host.parse::<IpAddr>().is_ok() || is_dns_name(name))
}

impl Context {
    /// All of one call that are not granted are denied together.
    fn want_places(&self, targets: &[Target]) {
        let denied = |target: &&Target| {
            is_sound(target) && !self.mode.grants.grants_probe(&target.host, target.port)
        };
        let targets = targets.iter().take(limits::PROBE_TARGETS_MAX).filter(denied);
        let shown: Vec<String> = targets.map(shown).collect();
        self.mode.want("probe", shown.iter().map(String::as_str));
    }

    /// A target that may be asked, or why not.
    fn admit(&mut self, index: usize, target: Target) -> Result<Target, Outcome> {
        if index >= limits::PROBE_TARGETS_MAX {
            return Err(Outcome::Other(format!(
                "more than {} targets in one call",
                limits::PROBE_TARGETS_MAX
            )));
        }
        if !is_sound(&target) {
            return Err(Outcome::Other("not a host and a port".into()));
        }
        if !self.mode.grants.grants_probe(&target.host, target.port) {
            self.mode.warn_denied("probe", &shown(&target));
            return Err(Outcome::Denied);
        }
        if !self.probes.0.take() {
            return Err(Outcome::Other(format!(
                "more than {} probes a second",
                limits::PROBES_PER_SECOND
            )));
        }
        Ok(target)
    }
}

/// Looks a target up within one bound, and asks its addresses within the other.
async fn ask(mode: &Mode, target: &Target, resolving: Duration, bound: Duration) -> Outcome {
    let resolved = match mode.host.world.fakes() {
        Some(fakes) => fakes.resolve(&target.host, target.port).map_err(Outcome::Unresolved),
        None => resolve(mode, target, Instant::now() + resolving).await,
    };
    match resolved {
        Ok(addresses) => {
            timeout(bound, ask_all(mode, addresses)).await.unwrap_or(Outcome::TimedOut)
        }
        Err(unresolved) => unresolved,
    }
}

/// Asks all addresses at the same time: the first member, or what the first address was.
async fn ask_all(mode: &Mode, addresses: Vec<SocketAddr>) -> Outcome {
    let asked = addresses
        .into_iter()
        .map(|address| async move { (address, mode.host.prober.probe(address).await) });
    let mut answers = stream::iter(asked).buffered(limits::PROBE_ADDRESSES_MAX);
    let mut first = None;
    while let Some((address, probed)) = answers.next().await {
        let is_member = matches!(probed, Probed::Member(_));
        let outcome = outcome(address, probed);
        if is_member {
            return outcome;
        }
        first.get_or_insert(outcome);
    }
    first.unwrap_or_else(|| Outcome::Unresolved("the name has no address".into()))
}

/// A literal as it is; a name by the system's resolver, which may have other sources than DNS.
/// That one does not say whether there is no such name or no server to ask, so DNS is asked for
/// what it does not find: a name that could not be looked up is no name that leads nowhere.
async fn resolve(mode: &Mode, target: &Target, until: Instant) -> Result<Vec<SocketAddr>, Outcome> {
    let Target { host, port } = target;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, *port)]);
    }
    let system = async {
        let found = tokio::net::lookup_host((host.as_str(), *port)).await;
        found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()).ok()
    };
    let resolver = mode.dns.get(&mode.grants.dns.servers);
    // Both at once: a server that is silent costs each of them all the time that there is.
    let (system, own) = tokio::join!(
        timeout_at(until, system),
        timeout_at(until, resolver.addresses(host, until)),
    );
    let found = match (system, own) {
        (Ok(Some(found)), _) => found,
        (_, Ok(Ok(found))) => found.addresses,
        (_, Ok(Err(error @ LookupError::Absent(_)))) => {
            return Err(Outcome::Unresolved(one_line(&error.to_string(), ERROR_BYTES_MAX)));
        }
        (_, Ok(Err(error))) => {
            let why = one_line(&error.to_string(), ERROR_BYTES_MAX);
            return Err(Outcome::Other(format!("its name cannot be looked up: {why}")));
        }
        (_, Err(_)) => {
            let why = "its name cannot be looked up: no answer from the DNS servers in time";
            return Err(Outcome::Other(why.into()));
        }
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.into_iter().map(|ip| SocketAddr::new(ip, *port)) {
        if !addresses.contains(&address) && addresses.len() < limits::PROBE_ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn outcome(address: SocketAddr, probed: Probed) -> Outcome {
    let place =
        |address: SocketAddr| Place { address: address.ip().to_string(), port: address.port() };
    match probed {
        Probed::Member(peer) => Outcome::Member(Peer {
            member_id: peer.member_id,
            name: peer.name,
            answered_at: place(address),
            lite: peer.lite,
            cluster_size: peer.cluster_size,
            coordinator: peer.coordinator.into_iter().map(place).collect(),
        }),
        Probed::OtherCluster => Outcome::OtherCluster,
        Probed::NotAMember(what) => Outcome::NotAMember(what),
        Probed::Closed => Outcome::Closed,
        Probed::TimedOut => Outcome::TimedOut,
        Probed::Other(what) => Outcome::Other(what),
    }
}
