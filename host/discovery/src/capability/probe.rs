//! `convoke:host/probe`: checks whether a member of this cluster is at an address. Granted by
//! range.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use convoke_text::{HostPort, escaped};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime::component::Linker;

use super::mode::Mode;
use super::rate::Bucket;
use super::view::{Capability, Context, Grant, HasContext, View};
use crate::bindings::imports::convoke::host::probe::{self, Outcome, Peer, Place, Target};
use crate::limits;
use crate::lookup::LookupError;
use crate::names::is_dns_name;
use crate::prober::Probed;

pub(crate) enum Probe {}

impl Capability for Probe {
    const INTERFACE: &'static str = "convoke:host/probe";
    const GRANT: Option<Grant> = Some(Grant {
        is_granted: |grants| !grants.probe.is_empty(),
        capability: "probe",
        example: "10.0.0.0/24:4900",
    });
    const DESCRIPTION: &'static str = "check whether a member of this cluster is at an address";

    type Shared = ();
    type Own = Budget;

    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
        probe::add_to_linker::<_, HasContext<Self>>(linker, T::view)
    }
}

/// Length of the reason why a name does not resolve, in bytes.
const ERROR_BYTES_MAX: usize = 300;

/// The rate limit of one instance.
#[derive(Debug)]
pub(crate) struct Budget(Bucket);

impl Default for Budget {
    fn default() -> Self {
        Self(Bucket::new(limits::PROBES_PER_SECOND, limits::PROBES_BURST))
    }
}

impl probe::Host for Context<'_, Probe> {
    async fn probe(
        &mut self,
        targets: Vec<Target>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Vec<Outcome>> {
        let ms = u64::from(timeout_ms).clamp(limits::PROBE_MS_MIN, limits::PROBE_MS_MAX);
        let bound = Duration::from_millis(ms);
        self.caller.mode.called(format_args!("probe: {} targets", targets.len()));
        self.record_denied_targets(&targets);
        let mut waiting: Vec<Result<Target, Outcome>> = Vec::with_capacity(targets.len());
        for (index, target) in targets.into_iter().enumerate() {
            waiting.push(self.admit(index, target));
        }
        let mode = &*self.caller.mode;
        let number = waiting.len();
        // The probe gets its full timeout; resolving the name gets the rest of the call's time.
        let spare = bound + Duration::from_millis(limits::LOOKUP_SPARE_MS);
        let left = self.caller.ends.saturating_duration_since(Instant::now()).saturating_sub(spare);
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
        let given_up = || vec![Outcome::Other("this member is leaving".into()); number];
        Ok(self.caller.unless_stopped(outcomes).await.unwrap_or_else(given_up))
    }
}

/// A target, written as in a grant.
fn shown(target: &Target) -> String {
    HostPort::join(&target.host, target.port)
}

fn is_valid(target: &Target) -> bool {
    let name = target.host.strip_suffix('.').unwrap_or(&target.host);
    target.port != 0 && (target.host.parse::<IpAddr>().is_ok() || is_dns_name(name))
}

impl Context<'_, Probe> {
    /// Records all targets of one call that are not granted, so that one proposed grant covers
    /// all of them.
    fn record_denied_targets(&self, targets: &[Target]) {
        let denied = |target: &&Target| {
            is_valid(target) && !self.caller.mode.grants.grants_probe(&target.host, target.port)
        };
        let targets = targets.iter().take(limits::PROBE_TARGETS_MAX).filter(denied);
        let shown: Vec<String> = targets.map(shown).collect();
        self.caller.mode.record_denied("probe", shown.iter().map(String::as_str));
    }

    /// Checks that a target is valid, granted, and within the limits.
    fn admit(&mut self, index: usize, target: Target) -> Result<Target, Outcome> {
        if index >= limits::PROBE_TARGETS_MAX {
            return Err(Outcome::Other(format!(
                "more than {} targets in one call",
                limits::PROBE_TARGETS_MAX
            )));
        }
        if !is_valid(&target) {
            return Err(Outcome::Other("not a valid host and port".into()));
        }
        if !self.caller.mode.grants.grants_probe(&target.host, target.port) {
            self.caller.mode.warn_denied("probe", &shown(&target));
            return Err(Outcome::Denied);
        }
        if !self.own.0.take() {
            return Err(Outcome::Other(format!(
                "more than {} probes per second",
                limits::PROBES_PER_SECOND
            )));
        }
        Ok(target)
    }
}

/// Resolves a target within `resolving`, and probes its addresses within `bound`.
async fn ask(mode: &Mode, target: &Target, resolving: Duration, bound: Duration) -> Outcome {
    let resolved = match mode.host.backend.fakes() {
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

/// Probes all addresses concurrently: returns the first member, or else the outcome of the
/// first address.
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

/// The addresses of a literal, or of a name through the system's resolver, which may use other
/// sources than DNS. That resolver does not distinguish a name that does not exist from a
/// server that does not respond, so names that it does not find are looked up in DNS as well.
async fn resolve(mode: &Mode, target: &Target, until: Instant) -> Result<Vec<SocketAddr>, Outcome> {
    let Target { host, port } = target;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, *port)]);
    }
    let system = async {
        let found = tokio::net::lookup_host((host.as_str(), *port)).await;
        found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()).ok()
    };
    let resolver = mode.resolvers.get(&mode.grants.dns.servers);
    // Concurrently: with a server that does not respond, each of them may use all of the available
    // time.
    let (system, own) = tokio::join!(
        timeout_at(until, system),
        timeout_at(until, resolver.addresses(host, until)),
    );
    let found = match (system, own) {
        (Ok(Some(found)), _) => found,
        (_, Ok(Ok(found))) => found.addresses,
        (_, Ok(Err(error @ LookupError::Negative(_)))) => {
            return Err(Outcome::Unresolved(escaped(&error.to_string(), ERROR_BYTES_MAX)));
        }
        (_, Ok(Err(error))) => {
            let why = escaped(&error.to_string(), ERROR_BYTES_MAX);
            return Err(Outcome::Other(format!("its name cannot be resolved: {why}")));
        }
        (_, Err(_)) => {
            let why = "its name cannot be resolved: no response from the DNS servers in time";
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
