//! `grant = { probe = ["10.0.0.0/24:5900-5999"] }`: targets that may be probed.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::GrantError;

/// A host pattern and a range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeGrant {
    hosts: Hosts,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    /// A network; a single address is a network with the full prefix length.
    Network(IpAddr, u8),
    /// A name in lower case, whatever addresses it resolves to.
    Named(String),
}

impl ProbeGrant {
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let within = match (&self.hosts, host.parse::<IpAddr>()) {
            (Hosts::Any, _) => true,
            (Hosts::Network(network, length), Ok(ip)) => is_within(ip, *network, *length),
            (Hosts::Named(name), Err(_)) => name.eq_ignore_ascii_case(host),
            _ => false,
        };
        within && self.ports.contains(&port)
    }
}

/// Whether `ip` and `network` have the same first `length` bits.
fn is_within(ip: IpAddr, network: IpAddr, length: u8) -> bool {
    match (ip.to_canonical(), network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differ = u32::from(ip) ^ u32::from(network);
            differ.leading_zeros() >= u32::from(length)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differ = u128::from(ip) ^ u128::from(network);
            differ.leading_zeros() >= u32::from(length)
        }
        _ => false,
    }
}

impl fmt::Display for ProbeGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*:")?,
            Hosts::Named(name) => write!(f, "{name}:")?,
            Hosts::Network(ip, length) => {
                let length = match *length {
                    length if length == longest(*ip) => String::new(),
                    length => format!("/{length}"),
                };
                match ip {
                    IpAddr::V4(ip) => write!(f, "{ip}{length}:")?,
                    IpAddr::V6(ip) => write!(f, "[{ip}{length}]:")?,
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
        let (hosts, ports) = text.rsplit_once(':').ok_or_else(form)?;
        Ok(Self {
            hosts: read_hosts(hosts).ok_or_else(form)?,
            ports: read_ports(ports).ok_or_else(form)?,
        })
    }
}

fn read_hosts(text: &str) -> Option<Hosts> {
    if text == "*" {
        return Some(Hosts::Any);
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if text.contains(':') => return None,
        None => text,
    };
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some(Hosts::Network(ip, longest(ip)));
    }
    if let Some((network, length)) = bare.split_once('/') {
        let network: IpAddr = network.parse().ok()?;
        let length = length.parse().ok().filter(|length| *length <= longest(network))?;
        return Some(Hosts::Network(network, length));
    }
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    // Text of digits and dots only is a mistyped address.
    let is_name = bare.bytes().all(sound)
        && (1..=253).contains(&bare.len())
        && bare.bytes().any(|b| b.is_ascii_alphabetic())
        && bare == text;
    is_name.then(|| Hosts::Named(bare.to_ascii_lowercase()))
}

fn longest(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
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
        assert!(covers("das.example:4900", "DAS.example", 4900));
        assert!(!covers("das.example:4900", "other.example", 4900));
        assert!(covers("*:4900", "anything", 4900) && !covers("*:4900", "anything", 4901));
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
            "10.0.0.0/33:1",
            "fd00::1:4900",
            "[fd00::1:4900",
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
