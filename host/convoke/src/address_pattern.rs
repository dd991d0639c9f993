//! The elements of `--interfaces`: addresses, patterns of addresses, networks and interface names.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use convoke_discovery::limits::INTERFACE_NAME_BYTES_MAX;
use ipnet::IpNet;

use crate::local_address::LocalAddress;

/// One element of `--interfaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// One address.
    Exact(IpAddr),
    /// A link-local address with its interface, by name or index: `fe80::1%eth1`.
    Zoned(Ipv6Addr, String),
    /// IPv4 with a range for each octet: `10.0.*.*`, `10.0.0.1-20`.
    Octets([(u8, u8); 4]),
    /// A network in CIDR notation.
    Network(IpNet),
    /// An interface name, or a prefix of names that ends in `*`.
    Name(String),
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "{text:?} is not an address or interface; expected 10.0.0.5, 10.0.*.*, 10.0.0.1-20, 10.0.0.0/16, fd00::/64, fe80::1%eth1, ::1 or a name such as eth0 or eth*"
            )
        };
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Some((ip, interface)) = bare.split_once('%')
            && let Ok(ip) = ip.parse::<Ipv6Addr>()
        {
            let is_zoned = ip.is_unicast_link_local() && is_interface(interface);
            return is_zoned.then(|| Self::Zoned(ip, interface.to_owned())).ok_or_else(malformed);
        }
        match bare.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => {
                return Err(format!(
                    "{text:?} is the wildcard address, which other hosts cannot connect to; expected one that they can, such as 10.0.*.* or eth0"
                ));
            }
            Ok(ip) => return Ok(Self::Exact(ip.to_canonical())),
            Err(_) => {}
        }
        if let Some((network, length)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| malformed())?;
            let length: u8 = length.parse().map_err(|_| malformed())?;
            return IpNet::new(network, length).map(Self::Network).map_err(|_| malformed());
        }
        let first = text.chars().next().ok_or_else(malformed)?;
        if first.is_ascii_digit() || first == '*' {
            let octets: Vec<_> =
                text.split('.').map(octet).collect::<Option<_>>().ok_or_else(malformed)?;
            let octets: [(u8, u8); 4] = octets.try_into().map_err(|_| malformed())?;
            if octets.iter().all(|(low, high)| low == high) {
                // One address, with leading zeros.
                return octets.map(|(octet, _)| octet.to_string()).join(".").parse();
            }
            return Ok(Self::Octets(octets));
        }
        let is_named = text == "*" || is_interface(text.strip_suffix('*').unwrap_or(text));
        (is_named && text.len() <= INTERFACE_NAME_BYTES_MAX)
            .then(|| Self::Name(text.to_owned()))
            .ok_or_else(malformed)
    }
}

/// Whether the text can be an interface name or index.
fn is_interface(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (1..=INTERFACE_NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_part)
}

fn octet(text: &str) -> Option<(u8, u8)> {
    if text == "*" {
        return Some((0, 255));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(ip) => ip.fmt(f),
            Self::Zoned(ip, interface) => write!(f, "{ip}%{interface}"),
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Octets(octets) => {
                let texts = octets.map(|octet| match octet {
                    (0, 255) => "*".to_owned(),
                    (low, high) if low == high => low.to_string(),
                    (low, high) => format!("{low}-{high}"),
                });
                f.write_str(&texts.join("."))
            }
        }
    }
}

impl Pattern {
    /// Whether the pattern matches this address of the host.
    pub(crate) fn matches(&self, address: &LocalAddress) -> bool {
        match (self, address.ip) {
            (Self::Exact(ip), own) => *ip == own,
            (Self::Zoned(ip, interface), own) => own == IpAddr::V6(*ip) && address.is_on(interface),
            (Self::Name(name), _) => match name.strip_suffix('*') {
                Some(front) => address.interface.starts_with(front),
                None => *name == address.interface,
            },
            (Self::Octets(octets), IpAddr::V4(own)) => octets
                .iter()
                .zip(own.octets())
                .all(|((low, high), octet)| (*low..=*high).contains(&octet)),
            (Self::Octets(_), IpAddr::V6(_)) => false,
            (Self::Network(network), own) => network.contains(&own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_shown_as_it_was_written() {
        for text in [
            "10.0.0.5",
            "10.0.*.*",
            "10.0.0.1-20",
            "10.0.0.7/16",
            "fd00::7/64",
            "fe80::1%eth1",
            "eth*",
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        // A prefix length may have leading zeros, like any number in a pattern.
        assert_eq!("10.0.0.0/08".parse::<Pattern>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn a_network_has_the_addresses_of_its_prefix_and_of_its_family() {
        for (network, within, without) in [
            ("10.1.2.3/16", "10.1.255.255", "10.2.0.0"),
            ("0.0.0.0/0", "192.0.2.1", "::"),
            ("::/0", "fd00::1", "0.0.0.0"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("fd00::1/127", "fd00::", "fd00::2"),
        ] {
            let network: Pattern = network.parse().unwrap();
            let is_in = |ip: &str| {
                let ip = ip.parse().unwrap();
                let traits = crate::local_address::Traits::default();
                let interface = "eth0".to_owned();
                network.matches(&LocalAddress { interface, index: None, ip, prefix: 24, traits })
            };
            assert!(is_in(within) && !is_in(without), "{network}");
        }
    }

    #[test]
    fn the_wildcard_address_is_refused() {
        for all in ["0.0.0.0", "0.0.00.0", "::", "[::]"] {
            assert!(all.parse::<Pattern>().unwrap_err().contains("is the wildcard address"));
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for wrong in ["", "10.0.0", "10.0.0.300", "10.0.0.9-3", "10.0.0.0/33", "a b", "::1/129"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn fuzz_interface_pattern() {
        let samples = [
            "10.0.0.5",
            "10.0.*.*",
            "10.0.0.1-20",
            "10.0.0.7/16",
            "[fd00::7]",
            "fd00::7/64",
            "fe80::1%eth1",
            "eth*",
            "::ffff:10.0.0.1",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            match text.parse::<Pattern>() {
                Ok(pattern) => assert_eq!(pattern.to_string().parse(), Ok(pattern)),
                Err(error) => assert!(!error.contains('\n'), "{error}"),
            }
        });
    }
}
