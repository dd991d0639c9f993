//! A fake DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// Fake records. Names that are not listed do not exist.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FakeDns {
    /// A and AAAA records, by name without the final dot.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// SRV records, by name without the final dot.
    pub services: BTreeMap<String, Vec<FakeServiceTarget>>,
    /// The TTL of all answers, in seconds.
    pub ttl_s: u32,
}

/// One target of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakeServiceTarget {
    /// The host's name.
    pub host: String,
    /// The addresses of the host.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The service's port.
    pub port: u16,
}

impl FakeDns {
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.names.get(&plain(name)).map(Vec::as_slice)
    }

    pub(crate) fn service(&self, name: &str) -> Option<&[FakeServiceTarget]> {
        self.services.get(&plain(name)).map(Vec::as_slice)
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
