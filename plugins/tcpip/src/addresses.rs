//! The addresses of an entry; they can be counted without being expanded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::fault::Fault;

/// The addresses of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// A range for each octet: `10.0.0-3.*`.
    Octets([RangeInclusive<u8>; 4]),
    /// A range of IPv4 addresses, including both ends.
    V4(RangeInclusive<u32>),
    /// A range of IPv6 addresses, including both ends.
    V6(RangeInclusive<u128>),
}

impl Addresses {
    /// The number of addresses. All of IPv6, one more than the type can hold, is counted as the
    /// largest value.
    pub(crate) fn count(&self) -> u128 {
        match self {
            Self::Octets(octets) => {
                octets.iter().map(|octet| u128::from(octet.end() - octet.start()) + 1).product()
            }
            Self::V4(range) => u128::from(range.end() - range.start()) + 1,
            Self::V6(range) => (range.end() - range.start()).saturating_add(1),
        }
    }

    /// The addresses in ascending order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = IpAddr> + '_> {
        match self {
            Self::Octets([a, b, c, d]) => Box::new(a.clone().flat_map(move |a| {
                b.clone().flat_map(move |b| {
                    c.clone().flat_map(move |c| d.clone().map(move |d| IpAddr::from([a, b, c, d])))
                })
            })),
            Self::V4(range) => Box::new(range.clone().map(|bits| Ipv4Addr::from_bits(bits).into())),
            Self::V6(range) => Box::new(range.clone().map(|bits| Ipv6Addr::from_bits(bits).into())),
        }
    }

    /// Parses an IPv4 address, range or network.
    pub(crate) fn parse_v4(text: &str) -> Result<Self, Fault> {
        if let Some((base, prefix)) = text.split_once('/') {
            return Self::v4_network(base, prefix);
        }
        if let Some((first, last)) = text.split_once('-') {
            let is_whole = |side: &str| side.matches('.').count() == 3;
            if is_whole(first) && is_whole(last) {
                let (first, last) = (parse_v4_literal(first)?, parse_v4_literal(last)?);
                if first > last {
                    return Err(reversed(text));
                }
                return Ok(Self::V4(first.to_bits()..=last.to_bits()));
            }
        }
        let octets: Vec<&str> = text.split('.').collect();
        let Ok([a, b, c, d]) = <[&str; 4]>::try_from(octets) else {
            return Err(not_v4(text));
        };
        let octet = |octet| parse_octet(octet, text);
        Ok(Self::Octets([octet(a)?, octet(b)?, octet(c)?, octet(d)?]))
    }

    /// Parses an IPv6 address or network: `fd00::`, `fd00::/120`.
    pub(crate) fn parse_v6(text: &str) -> Result<Self, Fault> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let first: Ipv6Addr = base.parse().map_err(|_| not_v6(base))?;
        let prefix = prefix.map_or(Ok(128), |prefix| parse_prefix(prefix, 128))?;
        let host_bits = u128::MAX.checked_shr(prefix).unwrap_or(0);
        let first = first.to_bits() & !host_bits;
        Ok(Self::V6(first..=first | host_bits))
    }

    fn v4_network(base: &str, prefix: &str) -> Result<Self, Fault> {
        let first = parse_v4_literal(base)?;
        let prefix = parse_prefix(prefix, 32)?;
        let host_bits = u32::MAX.checked_shr(prefix).unwrap_or(0);
        let first = first.to_bits() & !host_bits;
        Ok(Self::V4(first..=first | host_bits))
    }
}

fn parse_v4_literal(text: &str) -> Result<Ipv4Addr, Fault> {
    text.parse().map_err(|_| not_v4(text))
}

/// Parses `7`, `1-20` or `*`; `whole` is the address that contains it.
fn parse_octet(text: &str, whole: &str) -> Result<RangeInclusive<u8>, Fault> {
    let number = |text: &str| -> Result<u8, Fault> {
        let plain =
            text == "0" || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if plain => Ok(number),
            _ => Err(not_v4(whole)),
        }
    };
    if text == "*" {
        return Ok(0..=255);
    }
    let Some((first, last)) = text.split_once('-') else {
        let only = number(text)?;
        return Ok(only..=only);
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(reversed(text));
    }
    Ok(first..=last)
}

fn parse_prefix(text: &str, most: u32) -> Result<u32, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(prefix) if digits && prefix <= most => Ok(prefix),
        _ => Err(Fault::new(
            &format!("/{text}"),
            "is not a prefix length",
            format!("expected /0 to /{most}"),
        )),
    }
}

fn not_v4(text: &str) -> Fault {
    Fault::new(
        text,
        "is not an IPv4 address",
        "expected host, host:port, a range such as 10.0.0.1-20, or CIDR",
    )
}

fn not_v6(text: &str) -> Fault {
    Fault::new(
        text,
        "is not an IPv6 address",
        "expected an address such as [fd00::7]:6900, or CIDR such as [fd00::]/120",
    )
}

fn reversed(text: &str) -> Fault {
    Fault::new(text, "is a reversed range", "write the lower end first, as in 10.0.0.1-20")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Vec<String> {
        let addresses = Addresses::parse_v4(text).unwrap();
        let listed: Vec<_> = addresses.iter().map(|address| address.to_string()).collect();
        assert_eq!(addresses.count(), listed.len() as u128, "{text}");
        listed
    }

    #[test]
    fn octet_ranges_expand_in_ascending_order() {
        assert_eq!(v4("10.0.0.1"), ["10.0.0.1"]);
        assert_eq!(v4("10.0.0.1-3"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(v4("10.0-1.0.8-9"), ["10.0.0.8", "10.0.0.9", "10.1.0.8", "10.1.0.9"]);
        assert_eq!(v4("10.0.0-3.*").len(), 1024);
        assert_eq!(v4("10.0.0.*").last().unwrap(), "10.0.0.255");
    }

    #[test]
    fn a_range_of_addresses_includes_both_ends() {
        let listed = v4("10.0.0.254-10.0.1.1");
        assert_eq!(listed, ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]);
        assert_eq!(v4("10.0.0.7-10.0.0.7"), ["10.0.0.7"]);
    }

    #[test]
    fn a_network_includes_its_first_and_last_address() {
        assert_eq!(v4("10.0.1.0/30"), ["10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3"]);
        assert_eq!(v4("10.0.1.2/31"), ["10.0.1.2", "10.0.1.3"]);
        assert_eq!(v4("10.0.1.3/32"), ["10.0.1.3"]);
        assert_eq!(v4("10.0.1.3/30"), v4("10.0.1.0/30"), "host bits do not matter");
        let v6 = Addresses::parse_v6("fd00::ff/126").unwrap();
        let listed: Vec<_> = v6.iter().map(|address| address.to_string()).collect();
        assert_eq!(listed, ["fd00::fc", "fd00::fd", "fd00::fe", "fd00::ff"]);
    }

    #[test]
    fn the_largest_ranges_are_counted_without_being_expanded() {
        assert_eq!(Addresses::parse_v4("0.0.0.0/0").unwrap().count(), 1 << 32);
        assert_eq!(Addresses::parse_v4("*.*.*.*").unwrap().count(), 1 << 32);
        assert_eq!(Addresses::parse_v6("::/0").unwrap().count(), u128::MAX);
        assert_eq!(Addresses::parse_v6("::/64").unwrap().count(), 1 << 64);
    }

    #[test]
    fn leading_zeros_are_rejected_because_they_may_mean_octal() {
        assert!(Addresses::parse_v4("10.0.0.010").is_err());
        assert!(Addresses::parse_v4("10.0.0.00").is_err());
    }
}
