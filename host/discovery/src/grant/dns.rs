//! `grant = { dns = ["*.shop.example", "@10.0.0.53"] }`: names that may be looked up, and DNS
//! servers to use instead of the system's.

use std::fmt;
use std::net::IpAddr;

use convoke_text::HostPort;

use super::error::GrantError;
use crate::limits;
use crate::names::is_dns_name;

/// The port of DNS servers (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// Names that may be looked up, and the DNS servers to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsGrants {
    names: Vec<Names>,
    /// Used instead of the system's servers, unless empty.
    pub servers: Vec<DnsServer>,
}

/// A DNS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsServer {
    /// Its address.
    pub ip: IpAddr,
    /// The interface of a link-local IPv6 address: a name or an index (RFC 4007, section 11).
    /// Resolved at each query, since interfaces come and go.
    pub zone: Option<String>,
    /// Its port, UDP and TCP.
    pub port: u16,
}

impl DnsServer {
    /// Parses `10.0.0.53`, `fd00::53` or `fe80::1%eth0`, as in a `nameserver` line.
    pub(crate) fn parse_bare(text: &str) -> Option<Self> {
        let (ip, zone) = match text.split_once('%') {
            Some((ip, zone)) => (ip, Some(zone)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let is_zone = |zone: &str| {
            ip.is_ipv6()
                && (1..=limits::INTERFACE_NAME_BYTES_MAX).contains(&zone.len())
                && zone.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'%' | b']'))
        };
        zone.is_none_or(is_zone).then(|| Self { ip, zone: zone.map(str::to_owned), port: DNS_PORT })
    }

    /// Parses the same forms, and `10.0.0.53:5353`, `[fd00::53]`, `[fe80::1%eth0]:5353`.
    fn parse(text: &str) -> Option<Self> {
        let HostPort { host, port, is_bracketed } = HostPort::split(text)?;
        let server =
            Self::parse_bare(host).filter(|server| server.ip.is_ipv6() || !is_bracketed)?;
        match port {
            None => Some(server),
            Some(port) => Some(Self { port: port.parse().ok()?, ..server }),
        }
    }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ip, zone, port } = self;
        match zone {
            Some(zone) => write!(f, "[{ip}%{zone}]:{port}"),
            None => std::net::SocketAddr::new(*ip, *port).fmt(f),
        }
    }
}

/// A name pattern, in lower case and without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Any,
    Exactly(String),
    /// Every name below this one, excluding the name itself.
    Below(String),
}

impl DnsGrants {
    pub(super) fn add(&mut self, text: &str) -> Result<(), GrantError> {
        if let Some(server) = text.strip_prefix('@') {
            return self.add_server(server).map_err(|why| GrantError::malformed("dns", text, why));
        }
        let name = plain(text);
        let names = match name.strip_prefix("*.") {
            _ if text == "*" => Names::Any,
            Some(below) if is_dns_name(below) => Names::Below(below.to_owned()),
            None if is_dns_name(&name) => Names::Exactly(name),
            _ => {
                let reason = "not a name; expected \"members.shop.example\", \"*.shop.example\" for every name below, \"*\" for every name, or \"@10.0.0.53:53\" for a DNS server to use";
                return Err(GrantError::malformed("dns", text, reason));
            }
        };
        self.names.push(names);
        Ok(())
    }

    /// Adds the server `text`, such as `10.0.0.53`, `[fd00::53]:5353` or `fe80::1%eth0`, to be
    /// used instead of the system's servers.
    ///
    /// # Errors
    /// What is wrong with `text`, and what was expected.
    pub fn add_server(&mut self, text: &str) -> Result<(), String> {
        let server = DnsServer::parse(text)
            .filter(|server| server.port != 0 && !server.ip.is_multicast())
            .ok_or_else(|| {
                format!("{text:?} is not the address of a DNS server; expected 10.0.0.53, 10.0.0.53:53, [fd00::53]:53 or [fe80::1%eth0]:53")
            })?;
        if let IpAddr::V6(ip) = server.ip
            && ip.is_unicast_link_local()
            && server.zone.is_none()
        {
            return Err(format!(
                "{text:?} is a link-local address, which exists on every interface; add the interface: {ip}%eth0"
            ));
        }
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
        let max = limits::DNS_SERVERS_MAX;
        if self.servers.len() > max {
            return Err(format!("more than {max} DNS servers; remove some"));
        }
        Ok(())
    }

    /// Grants exactly `name`.
    pub fn add_name(&mut self, name: &str) {
        self.names.push(Names::Exactly(plain(name)));
    }

    /// The patterns, as in a configuration.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        let names = self.names.iter().map(|names| match names {
            Names::Any => "*".to_owned(),
            Names::Exactly(name) => name.clone(),
            Names::Below(name) => format!("*.{name}"),
        });
        names.chain(self.servers.iter().map(|server| format!("@{server}")))
    }

    /// Whether no name may be looked up.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether `name` may be looked up.
    pub fn covers(&self, name: &str) -> bool {
        let name = plain(name);
        self.names.iter().any(|names| match names {
            Names::Any => true,
            Names::Exactly(granted) => *granted == name,
            Names::Below(granted) => name
                .strip_suffix(granted.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        })
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::DnsGrants;

    fn grants(patterns: &[&str]) -> DnsGrants {
        let mut grants = DnsGrants::default();
        for pattern in patterns {
            grants.add(pattern).unwrap();
        }
        grants
    }

    fn refused(pattern: &str) -> String {
        DnsGrants::default().add(pattern).unwrap_err().to_string()
    }

    #[test]
    fn a_name_or_all_names_below_it_are_granted() {
        let granted = grants(&["a.example", "*.Shop.example."]);
        assert!(granted.covers("A.example") && granted.covers("a.example."));
        assert!(granted.covers("x.shop.example") && granted.covers("y.x.shop.example"));
        for denied in ["b.example", "shop.example", "xshop.example", ".shop.example", "example", ""]
        {
            assert!(!granted.covers(denied), "{denied}");
        }
        assert!(grants(&["*"]).covers("anything"));
        assert!(!grants(&["@10.0.0.53"]).covers("anything"));
    }

    #[test]
    fn servers_are_ip_literals_with_an_optional_port() {
        let granted =
            grants(&["@10.0.0.53", "@10.0.0.53:53", "@[fd00::1]:5353", "@fd00::2", "@[fd00::3]"]);
        let servers: Vec<String> = granted.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.53:53", "[fd00::1]:5353", "[fd00::2]:53", "[fd00::3]:53"]);
    }

    #[test]
    fn a_link_local_server_has_a_zone() {
        let granted = grants(&[
            "@fe80::1%eth1",
            "@[fe80::1%br-lan]:5353",
            "@[fe80::2%eth0.100]",
            "@fe80::3%eth0:1",
        ]);
        let servers: Vec<String> = granted.servers.iter().map(ToString::to_string).collect();
        let expected = [
            "[fe80::1%eth1]:53",
            "[fe80::1%br-lan]:5353",
            "[fe80::2%eth0.100]:53",
            // An alias, as `ip address add … label eth0:1` names it.
            "[fe80::3%eth0:1]:53",
        ];
        assert_eq!(servers, expected);
        assert!(refused("@fe80::1").contains("add the interface: fe80::1%eth0"));
        for wrong in ["@fe80::1%", "@fe80::1%a/b", "@10.0.0.53%eth0", "@fe80::1%a%b"] {
            assert!(refused(wrong).contains("is not the address of a DNS server"), "{wrong}");
        }
    }

    #[test]
    fn an_invalid_pattern_is_rejected_with_what_was_expected() {
        for wrong in ["", ".", "a b", "*.", "*.*", "a.*", "-@", "a..b", &"x".repeat(64)] {
            assert!(
                refused(wrong).starts_with(&format!("dns grant {wrong:?}: not a name;")),
                "{wrong}"
            );
        }
        for wrong in [
            "@",
            "@ns.example",
            "@10.0.0.53:0",
            "@10.0.0.53:70000",
            "@10.0.0.53:",
            "@10.0.0.53:53:53",
            "@[10.0.0.53]:53",
            "@[10.0.0.53]",
            "@[fd00::1",
            "@[fd00::1]53",
            "@[fd00::1]:",
            "@fd00::1]:53",
            "@224.0.0.1",
        ] {
            assert!(refused(wrong).contains("is not the address of a DNS server"), "{wrong}");
        }
    }
}
