//! What an operator allows one mode to do: `grant = { multicast = ["224.2.2.4:2904"] }`.
//!
//! Policy only. Nothing is granted by default; the capabilities ask here at each call.

mod dns;
mod http;
mod kubernetes;
mod multicast;
mod probe;
mod store;

use std::net::IpAddr;

pub use dns::{DnsGrants, DnsServer};
pub use http::{HttpGrant, HttpScheme};
pub(crate) use http::{address_of, is_localhost};
pub use kubernetes::{KubernetesAccess, KubernetesGrants};
pub use multicast::MulticastGrant;
pub use probe::ProbeGrant;
pub use store::StoreGrant;

/// Capabilities that need a grant, as a grant names them.
const KNOWN: &str = "dns, http, kubernetes, multicast, probe, store";

/// What one mode may do. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Names that may be looked up.
    pub dns: DnsGrants,
    /// Places that may be asked over HTTP.
    pub http: Vec<HttpGrant>,
    /// Namespaces that may be read.
    pub kubernetes: KubernetesGrants,
    /// Groups that may be joined.
    pub multicast: Vec<MulticastGrant>,
    /// Places that may be probed.
    pub probe: Vec<ProbeGrant>,
    /// How much may be kept.
    pub store: Option<StoreGrant>,
    /// `wasi = "inert"`: whether a language's runtime finds the WASI interfaces it
    /// insists on. Clocks and random numbers work; what is written to standard output
    /// goes to the log; there are no files, no sockets, no environment.
    pub inert_wasi: bool,
}

/// A grant that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A capability nobody knows.
    #[error("grant {0:?} is not known; what can be granted is: {KNOWN}")]
    UnknownCapability(String),
    /// A pattern that its capability does not know.
    #[error("{capability} grant {pattern:?}: {reason}")]
    Malformed {
        /// The capability.
        capability: &'static str,
        /// What was read.
        pattern: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
}

impl GrantError {
    fn malformed(capability: &'static str, pattern: &str, reason: impl Into<String>) -> Self {
        Self::Malformed { capability, pattern: pattern.to_owned(), reason: reason.into() }
    }
}

impl Grants {
    /// Reads what the configuration holds under `grant`: each capability with its patterns.
    ///
    /// # Errors
    /// The first pattern that cannot be read.
    pub fn parse<'a, P: AsRef<str> + 'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [P])>,
    ) -> Result<Self, GrantError> {
        let mut grants = Self::default();
        for (capability, patterns) in entries {
            for pattern in patterns.iter().map(AsRef::as_ref) {
                match capability {
                    "dns" => grants.dns.add(pattern)?,
                    "http" => grants.http.push(pattern.parse()?),
                    "kubernetes" => grants.kubernetes.add(pattern)?,
                    "multicast" => grants.multicast.push(pattern.parse()?),
                    "probe" => grants.probe.push(pattern.parse()?),
                    "store" if grants.store.is_some() => {
                        let why = "a second size; a mode has one store";
                        return Err(GrantError::malformed("store", pattern, why));
                    }
                    "store" => grants.store = Some(pattern.parse()?),
                    unknown => return Err(GrantError::UnknownCapability(unknown.to_owned())),
                }
            }
        }
        Ok(grants)
    }

    /// Whether `group` may be joined on `port`.
    pub fn grants_multicast(&self, group: IpAddr, port: u16) -> bool {
        self.multicast.iter().any(|grant| grant.covers(group, port))
    }

    /// Whether `port` of `host`, as a URL holds them, may be asked over HTTP.
    pub fn grants_http(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        self.http.iter().any(|grant| grant.covers(scheme, host, port))
    }

    /// Whether the grant names this very host, and it is an address or `localhost`: only then
    /// may it lead to this machine, or to an address that means something else on each one.
    pub(crate) fn grants_http_by_address(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        self.http.iter().any(|grant| grant.names_address(scheme, host, port))
    }

    /// Whether `port` of `host`, a literal or a name, may be probed.
    pub fn grants_probe(&self, host: &str, port: u16) -> bool {
        self.probe.iter().any(|grant| grant.covers(host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::Grants;

    #[test]
    fn a_capability_nobody_knows_is_refused() {
        assert_eq!(
            Grants::parse([("multicats", ["224.2.2.4:2904"].as_slice())]).unwrap_err().to_string(),
            "grant \"multicats\" is not known; what can be granted is: dns, http, kubernetes, multicast, probe, store"
        );
    }
}
