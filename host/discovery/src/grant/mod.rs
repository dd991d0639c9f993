//! What an operator allows one mode to do: `grant = { multicast = ["224.2.2.4:2904"] }`.
//!
//! Policy only. Nothing is granted by default; the capabilities ask here at each call.

mod dns;
mod kubernetes;
mod multicast;
mod probe;

use std::net::IpAddr;

pub use dns::DnsGrants;
pub use kubernetes::{KubernetesAccess, KubernetesGrants};
pub use multicast::MulticastGrant;
pub use probe::ProbeGrant;

/// Capabilities that need a grant, as a grant names them.
const KNOWN: &str = "dns, kubernetes, multicast, probe";

/// What one mode may do. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Names that may be looked up.
    pub dns: DnsGrants,
    /// Namespaces that may be read.
    pub kubernetes: KubernetesGrants,
    /// Groups that may be joined.
    pub multicast: Vec<MulticastGrant>,
    /// Places that may be probed.
    pub probe: Vec<ProbeGrant>,
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
                    "kubernetes" => grants.kubernetes.add(pattern)?,
                    "multicast" => grants.multicast.push(pattern.parse()?),
                    "probe" => grants.probe.push(pattern.parse()?),
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
            "grant \"multicats\" is not known; what can be granted is: dns, kubernetes, multicast, probe"
        );
    }
}
