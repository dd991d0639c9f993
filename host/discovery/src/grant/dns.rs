//! `grant = { dns = ["*.shop.example", "@10.0.0.53"] }`: names that may be looked
//! up, and the servers that are asked in place of the system's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::GrantError;
use crate::names::is_dns_name;

/// Servers that one mode may have asked.
const SERVERS_MAX: usize = 8;
/// Where servers listen.
const DNS_PORT: u16 = 53;

/// Names that may be looked up, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsGrants {
    names: Vec<Names>,
    /// Asked in place of the system's; empty for the system's.
    pub servers: Vec<SocketAddr>,
}

/// Lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Any,
    Exactly(String),
    /// Every name below this one, and not the one itself.
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
                let reason = "not a name; expected \"members.shop.example\", \"*.shop.example\" for every name below, \"*\" for every name, or \"@10.0.0.53:53\" for a server to ask";
                return Err(GrantError::malformed("dns", text, reason));
            }
        };
        self.names.push(names);
        Ok(())
    }

    /// Has `text`, such as `10.0.0.53` or `[fd00::53]:5353`, asked in place of the
    /// system's servers.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub fn add_server(&mut self, text: &str) -> Result<(), String> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = if let Ok(ip) = text.parse::<IpAddr>() {
            Some(SocketAddr::new(ip, DNS_PORT))
        } else if let Some(Ok(ip)) = bare.map(str::parse::<Ipv6Addr>) {
            Some(SocketAddr::new(ip.into(), DNS_PORT))
        } else {
            text.parse().ok()
        };
        match address {
            Some(address) if address.port() != 0 && !address.ip().is_multicast() => {
                if !self.servers.contains(&address) {
                    self.servers.push(address);
                }
            }
            _ => {
                return Err(format!(
                    "{text:?} is not the address of a DNS server; expected 10.0.0.53, 10.0.0.53:53 or [fd00::53]:53"
                ));
            }
        }
        if self.servers.len() > SERVERS_MAX {
            return Err(format!("more than {SERVERS_MAX} DNS servers; keep the nearest"));
        }
        Ok(())
    }

    /// Allows exactly `name`.
    pub fn add_name(&mut self, name: &str) {
        self.names.push(Names::Exactly(plain(name)));
    }

    /// As they are written.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        let names = self.names.iter().map(|names| match names {
            Names::Any => "*".to_owned(),
            Names::Exactly(name) => name.clone(),
            Names::Below(name) => format!("*.{name}"),
        });
        names.chain(self.servers.iter().map(|server| format!("@{server}")))
    }

    /// Whether any name may be looked up.
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
    fn names_are_granted_exactly_or_from_below_one() {
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
    fn servers_are_literals_with_or_without_a_port() {
        let granted =
            grants(&["@10.0.0.53", "@10.0.0.53:53", "@[fd00::1]:5353", "@fd00::2", "@[fd00::3]"]);
        let servers: Vec<String> = granted.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.53:53", "[fd00::1]:5353", "[fd00::2]:53", "[fd00::3]:53"]);
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for wrong in ["", ".", "a b", "*.", "*.*", "a.*", "-@", "a..b", &"x".repeat(64)] {
            assert!(
                refused(wrong).starts_with(&format!("dns grant {wrong:?}: not a name;")),
                "{wrong}"
            );
        }
        for wrong in ["@", "@ns.example", "@10.0.0.53:0", "@10.0.0.53:70000", "@224.0.0.1"] {
            assert!(refused(wrong).contains("is not the address of a DNS server"), "{wrong}");
        }
    }
}
