//! The grants of a mode, written by an operator: `grant = { multicast = ["224.2.2.4:2904"] }`.
//!
//! Policy only. Nothing is granted by default; the capabilities check the grants at each call.

mod dns;
mod error;
mod http;
mod kubernetes;
mod multicast;
mod probe;
mod store;

use std::fmt::{self, Write as _};
use std::net::IpAddr;

pub use dns::{DnsGrants, DnsServer};
pub use error::GrantError;
pub use http::{HttpGrant, HttpScheme};
pub(crate) use http::{address_of, is_localhost};
pub use kubernetes::{KubernetesAccess, KubernetesGrants};
pub use multicast::MulticastGrant;
pub use probe::ProbeGrant;
pub use store::StoreGrant;

/// The permissions of one mode. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Names that may be looked up.
    pub dns: DnsGrants,
    /// Servers that may be requested over HTTP.
    pub http: Vec<HttpGrant>,
    /// Namespaces that may be read.
    pub kubernetes: KubernetesGrants,
    /// Multicast groups that may be joined.
    pub multicast: Vec<MulticastGrant>,
    /// Targets that may be probed.
    pub probe: Vec<ProbeGrant>,
    /// The size of the store; `None` if there is no store.
    pub store: Option<StoreGrant>,
    /// `wasi = "inert"`: whether the WASI interfaces that language runtimes require are
    /// available. Clocks and random numbers work; standard output goes to the log; there are no
    /// files, no sockets, no environment.
    pub inert_wasi: bool,
}

impl Grants {
    /// Parses the configuration under `grant`: the patterns of each capability.
    ///
    /// # Errors
    /// The first invalid pattern.
    pub fn parse<'a, P: AsRef<str> + 'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [P])>,
    ) -> Result<Self, GrantError> {
        let mut grants = Self::default();
        for (capability, patterns) in entries {
            for pattern in patterns.iter().map(AsRef::as_ref) {
                grants.add(capability, pattern)?;
            }
        }
        Ok(grants)
    }

    /// Adds one pattern of a capability.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse).
    pub fn add(&mut self, capability: &str, pattern: &str) -> Result<(), GrantError> {
        match capability {
            "dns" => self.dns.add(pattern)?,
            "http" => self.http.push(pattern.parse()?),
            "kubernetes" => self.kubernetes.add(pattern)?,
            "multicast" => self.multicast.push(pattern.parse()?),
            "probe" => self.probe.push(pattern.parse()?),
            "store" if self.store.is_some() => {
                let why = "a second size; a mode has only one store";
                return Err(GrantError::malformed("store", pattern, why));
            }
            "store" => self.store = Some(pattern.parse()?),
            unknown => return Err(GrantError::UnknownCapability(unknown.to_owned())),
        }
        Ok(())
    }

    /// Whether `group` may be joined on `port`.
    pub fn grants_multicast(&self, group: IpAddr, port: u16) -> bool {
        self.multicast.iter().any(|grant| grant.covers(group, port))
    }

    /// Whether `port` of `host`, as written in a URL, may be requested over HTTP.
    pub fn grants_http(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        self.http.iter().any(|grant| grant.covers(scheme, host, port))
    }

    /// Whether the grant names this host as an address or as `localhost`, and not by a pattern.
    /// Only then may it be a local address.
    pub(crate) fn grants_http_by_address(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        self.http.iter().any(|grant| grant.names_address(scheme, host, port))
    }

    /// Whether `port` of `host`, a literal or a name, may be probed.
    pub fn grants_probe(&self, host: &str, port: u16) -> bool {
        self.probe.iter().any(|grant| grant.covers(host, port))
    }
}

/// The grants as one line of configuration: `grant = { dns = ["a.example"] }`. Parsing that
/// line gives equal grants, except for `wasi`, which is a separate key.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |all: &mut dyn Iterator<Item = String>| {
            let mut list = String::new();
            for pattern in all {
                let separator = if list.is_empty() { "" } else { ", " };
                let _ = write!(list, "{separator}{}", toml_text(&pattern));
            }
            list
        };
        let entries = [
            ("dns", written(&mut self.dns.patterns())),
            ("http", written(&mut self.http.iter().map(ToString::to_string))),
            ("kubernetes", written(&mut self.kubernetes.patterns())),
            ("multicast", written(&mut self.multicast.iter().map(ToString::to_string))),
            ("probe", written(&mut self.probe.iter().map(ToString::to_string))),
            ("store", written(&mut self.store.iter().map(ToString::to_string))),
        ];
        f.write_str("grant = {")?;
        let mut separator = " ";
        for (capability, list) in entries.iter().filter(|(_, list)| !list.is_empty()) {
            match *capability {
                "store" => write!(f, "{separator}{capability} = {list}")?,
                _ => write!(f, "{separator}{capability} = [{list}]")?,
            }
            separator = ", ";
        }
        f.write_str(" }")
    }
}

/// A basic string of TOML (v1.0.0, "String").
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::Grants;

    #[test]
    fn grants_round_trip_through_their_text() {
        let all: [(&str, &[&str]); 6] = [
            ("dns", &["*", "*.shop.example", "a.example", "@10.0.0.53:53", "@[fd00::53]:5353"]),
            (
                "http",
                &["http://10.0.0.5:8500", "https://*", "https://*.a.example:*", "http://[::1]:81"],
            ),
            ("kubernetes", &[".", "*", "shop", "kubeconfig:C:\\a \"b\"", "context:kind"]),
            ("multicast", &["224.2.2.4:2904", "[ff15::1]:*"]),
            ("probe", &["*:*", "10.0.0.0/24:1-9", "[fd00::]/64:4900", "10.0.0.7:4900", "das:1"]),
            ("store", &["64KiB"]),
        ];
        // An IPv6 network is inside of brackets as a whole.
        let all = all.map(|(capability, patterns)| {
            let patterns = patterns.iter().map(|p| p.replace("[fd00::]/64", "[fd00::/64]"));
            (capability, patterns.collect::<Vec<_>>())
        });
        let granted = Grants::parse(all.iter().map(|(c, p)| (*c, p.as_slice()))).unwrap();
        let line = granted.to_string();
        assert_eq!(
            line,
            r#"grant = { dns = ["*", "*.shop.example", "a.example", "@10.0.0.53:53", "@[fd00::53]:5353"], http = ["http://10.0.0.5:8500", "https://*", "https://*.a.example:*", "http://[::1]:81"], kubernetes = [".", "*", "shop", "kubeconfig:C:\\a \"b\"", "context:kind"], multicast = ["224.2.2.4:2904", "[ff15::1]:*"], probe = ["*:*", "10.0.0.0/24:1-9", "[fd00::/64]:4900", "10.0.0.7:4900", "das:1"], store = "64KiB" }"#
        );
        for bytes in ["1", "1000", "1024", "1048576", "3145729"] {
            let store = Grants::parse([("store", [bytes].as_slice())]).unwrap().store.unwrap();
            assert_eq!(store.to_string().parse(), Ok(store), "{bytes}");
        }
    }

    #[test]
    fn an_unknown_capability_is_rejected() {
        assert_eq!(
            Grants::parse([("multicats", ["224.2.2.4:2904"].as_slice())]).unwrap_err().to_string(),
            "unknown grant \"multicats\"; the capabilities are: dns, http, kubernetes, multicast, probe, store"
        );
    }

    /// The name of a capability and a pattern, separated by a space.
    #[test]
    fn fuzz_grant() {
        let samples = [
            "dns *.shop.example",
            "dns @[fd00::53]:5353",
            "dns @fe80::1%eth0",
            "http https://*.a.example:*",
            "http http://[::1]:81",
            "kubernetes kubeconfig:C:\\a \"b\"",
            "kubernetes context:kind",
            "multicast [ff15::1]:*",
            "multicast 224.2.2.4:2904",
            "probe [fd00::/64]:4900",
            "probe 10.0.0.0/24:1-9",
            "store 64KiB",
            "store 18446744073709551615",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let Some((capability, pattern)) = text.split_once(' ') else { return };
            match Grants::parse([(capability, [pattern].as_slice())]) {
                Ok(grants) => {
                    // The text of a grant gives an equal grant.
                    let again = |capability, pattern: String| {
                        Grants::parse([(capability, [pattern].as_slice())]).ok()
                    };
                    let shown = grants.dns.patterns().map(|shown| ("dns", shown));
                    let shown = shown.chain(grants.http.iter().map(|it| ("http", it.to_string())));
                    let kubernetes = grants.kubernetes.patterns().map(|it| ("kubernetes", it));
                    let multicast = grants.multicast.iter().map(|it| ("multicast", it.to_string()));
                    let probe = grants.probe.iter().map(|it| ("probe", it.to_string()));
                    let store = grants.store.iter().map(|it| ("store", it.to_string()));
                    let shown = shown.chain(kubernetes).chain(multicast).chain(probe).chain(store);
                    for (capability, shown) in shown {
                        assert_eq!(again(capability, shown).as_ref(), Some(&grants));
                    }
                    assert!(!grants.to_string().contains('\n'));
                }
                Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            }
        });
    }
}
