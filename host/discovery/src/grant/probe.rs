//! `grant = { probe = ["10.0.0.0/24:5900-5999"] }`: targets that may be probed.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use convoke_text::HostPort;
use ipnet::IpNet;

use super::error::GrantError;

/// A host pattern and a range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeGrant {
    hosts: Hosts,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    /// A network, or an address of it; a single address is a network with the full prefix length.
    Network(IpNet),
    /// A name in lower case, regardless of the addresses it resolves to.
    Named(String),
}

impl ProbeGrant {
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let within = match (&self.hosts, host.parse::<IpAddr>()) {
            (Hosts::Any, _) => true,
            (Hosts::Network(network), Ok(ip)) => network.contains(&ip.to_canonical()),
            (Hosts::Named(name), Err(_)) => name.eq_ignore_ascii_case(host),
            _ => false,
        };
        within && self.ports.contains(&port)
    }
}

impl fmt::Display for ProbeGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*:")?,
            Hosts::Named(name) => write!(f, "{name}:")?,
            Hosts::Network(network) => {
                let hosts = match network.prefix_len() == network.max_prefix_len() {
                    true => network.addr().to_string(),
                    false => network.to_string(),
                };
                match network {
                    IpNet::V4(_) => write!(f, "{hosts}:")?,
                    IpNet::V6(_) => write!(f, "[{hosts}]:")?,
                }
            }
        }
        match (*self.ports.start(), *self.ports.end()) {
            (1, u16::MAX) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for ProbeGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let form = || {
            let reason = "not hosts and ports; expected \"10.0.0.7:4900\", \"10.0.0.0/24:5900-5999\", \"[fd00::/64]:4900\", \"das.example:4900\", or * for all hosts or all ports";
            GrantError::malformed("probe", text, reason)
        };
        let HostPort { host, port, is_bracketed } = HostPort::split(text).ok_or_else(form)?;
        Ok(Self {
            hosts: read_hosts(host, is_bracketed).ok_or_else(form)?,
            ports: port.and_then(read_ports).ok_or_else(form)?,
        })
    }
}

fn read_hosts(text: &str, is_bracketed: bool) -> Option<Hosts> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Hosts::Network(ip.into()));
    }
    if let Some((network, length)) = text.split_once('/') {
        let network = IpNet::new(network.parse().ok()?, length.parse().ok()?).ok()?;
        return Some(Hosts::Network(network));
    }
    if is_bracketed {
        return None;
    }
    if text == "*" {
        return Some(Hosts::Any);
    }
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    // Text of digits and dots only is a mistyped address.
    let is_name = text.bytes().all(sound)
        && (1..=253).contains(&text.len())
        && text.bytes().any(|b| b.is_ascii_alphabetic());
    is_name.then(|| Hosts::Named(text.to_ascii_lowercase()))
}

fn read_ports(text: &str) -> Option<RangeInclusive<u16>> {
    if text == "*" {
        return Some(1..=u16::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first != 0 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::ProbeGrant;
    use crate::Grants;

    fn covers(pattern: &str, host: &str, port: u16) -> bool {
        Grants::parse([("probe", [pattern].as_slice())]).unwrap().grants_probe(host, port)
    }

    #[test]
    fn networks_addresses_and_names_are_covered_on_the_granted_ports() {
        assert!(covers("10.0.0.0/24:5900-5999", "10.0.0.255", 5999));
        assert!(!covers("10.0.0.0/24:5900-5999", "10.0.1.0", 5900));
        assert!(!covers("10.0.0.0/24:5900-5999", "10.0.0.1", 6000));
        assert!(covers("0.0.0.0/0:1", "9.9.9.9", 1) && !covers("0.0.0.0/0:1", "::1", 1));
        assert!(covers("[fd00::/64]:4900", "fd00::7", 4900));
        assert!(covers("[::1]:*", "::1", 1) && !covers("[::1]:*", "::2", 1));
        assert!(covers("[10.0.0.0/24]:*", "10.0.0.9", 1) && covers("[10.0.0.7]:*", "10.0.0.7", 1));
        assert!(
            covers("10.0.0.7/24:1", "10.0.0.200", 1),
            "an address of a network means all of it"
        );
        assert!(covers("10.0.0.0/24:1", "::ffff:10.0.0.9", 1));
        assert!(!covers("[::ffff:10.0.0.0/120]:1", "10.0.0.9", 1));
        assert!(covers("[::/0]:1", "fd00::7", 1) && !covers("[::/0]:1", "10.0.0.7", 1));
        assert!(covers("das.example:4900", "DAS.example", 4900));
        assert!(!covers("das.example:4900", "other.example", 4900));
        assert!(covers("*:4900", "anything", 4900) && !covers("*:4900", "anything", 4901));
    }

    #[test]
    fn a_grant_round_trips_through_its_text() {
        for (text, shown) in [
            ("10.0.0.7/24:1", "10.0.0.7/24:1"),
            ("10.0.0.7/32:1-2", "10.0.0.7:1-2"),
            ("[fd00::/64]:4900", "[fd00::/64]:4900"),
            ("[fd00::7/128]:1-65535", "[fd00::7]:*"),
            ("[10.0.0.0/8]:1", "10.0.0.0/8:1"),
            ("DAS.example:4900", "das.example:4900"),
            ("*:*", "*:*"),
        ] {
            let grant: ProbeGrant = text.parse().unwrap();
            assert_eq!(grant.to_string(), shown);
            assert_eq!(shown.parse(), Ok(grant));
        }
    }

    #[test]
    fn an_invalid_pattern_is_rejected_with_what_was_expected() {
        let wrongs = [
            "",
            "*",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:9-1",
            "10.0.0.1:70000",
            "10.0.0.1:",
            "10.0.0.1:1:2",
            "10.0.0.0/33:1",
            "10.0.0.0/:1",
            "10.0.0/24:1",
            "fd00::1:4900",
            "fd00::/64:4900",
            "[fd00::1:4900",
            "[fd00::1]4900",
            "[fd00::1]",
            "[fd00::/129]:1",
            "[*]:1",
            ":1",
            "a b:1",
            "10.0.0.300:1",
            "[das]:1",
        ];
        for wrong in wrongs {
            let refusal = Grants::parse([("probe", [wrong].as_slice())]).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("probe grant {wrong:?}: not hosts and ports;")));
        }
    }
}
