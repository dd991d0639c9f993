//! Hosts with or without a port, and the member lists of `tcpip`, as far as the choice of this
//! member's own address depends on them. The mode itself expands and checks its list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use convoke_text::HostPort;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::local_address::LocalAddress;

/// Maximum number of entries that are sampled to find the routes to the listed members.
const SAMPLE_MAX: usize = 64;

/// The text with its own port, or else with this one. A malformed text stays malformed.
pub(crate) fn with_port(place: &str, port: u16) -> String {
    let place = place.trim();
    match HostPort::split(place) {
        Some(HostPort { port: Some(_), .. }) => place.to_owned(),
        Some(HostPort { host, is_bracketed, .. }) if is_bracketed => format!("[{host}]:{port}"),
        Some(HostPort { host, .. }) => HostPort::join(host, port),
        None => format!("{place}:{port}"),
    }
}

/// The entries of all member lists.
#[derive(Debug, Default)]
pub(crate) struct AddressList {
    entries: Vec<Entry>,
}

#[derive(Debug)]
enum Entry {
    /// A range for each octet.
    Octets([RangeInclusive<u8>; 4]),
    Between(RangeInclusive<Ipv4Addr>),
    /// With the interface of a link-local address, if it was given.
    V6(RangeInclusive<Ipv6Addr>, Option<String>),
}

impl AddressList {
    /// Adds the entries of a list; malformed entries are skipped.
    pub(crate) fn add(&mut self, list: &str) {
        let separates = |c: char| matches!(c, ',' | ';') || c.is_whitespace();
        let entries = list.split(separates).filter(|entry| !entry.is_empty());
        self.entries.extend(entries.filter_map(entry));
    }

    /// Whether an entry contains this address.
    pub(crate) fn contains(&self, own: &LocalAddress) -> bool {
        self.entries.iter().any(|entry| match (entry, own.ip) {
            (Entry::Octets(ranges), IpAddr::V4(ip)) => {
                ranges.iter().zip(ip.octets()).all(|(range, octet)| range.contains(&octet))
            }
            (Entry::Between(range), IpAddr::V4(ip)) => range.contains(&ip),
            (Entry::V6(range, zone), IpAddr::V6(ip)) => {
                range.contains(&ip) && zone.as_ref().is_none_or(|zone| own.is_on(zone))
            }
            _ => false,
        })
    }

    /// Whether an entry contains any address of the network of this address.
    pub(crate) fn overlaps_network_of(&self, own: &LocalAddress) -> bool {
        fn meet<T: Ord>(one: &RangeInclusive<T>, other: &RangeInclusive<T>) -> bool {
            one.start() <= other.end() && other.start() <= one.end()
        }
        match own.network() {
            IpNet::V4(network) => {
                let network = all_of_v4(network);
                let (low, high) = (network.start().octets(), network.end().octets());
                self.entries.iter().any(|entry| match entry {
                    // A network is a range in each octet, too.
                    Entry::Octets(ranges) => {
                        (0..4).all(|at| meet(&ranges[at], &(low[at]..=high[at])))
                    }
                    Entry::Between(range) => meet(range, &network),
                    Entry::V6(..) => false,
                })
            }
            IpNet::V6(network) => {
                let network = all_of_v6(network);
                self.entries.iter().any(|entry| match entry {
                    Entry::V6(range, zone) => {
                        meet(range, &network) && zone.as_ref().is_none_or(|zone| own.is_on(zone))
                    }
                    _ => false,
                })
            }
        }
    }

    /// Whether the list is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One address from each of the first [`SAMPLE_MAX`] entries, with its interface if it was given:
    /// enough to find the routes to them.
    pub(crate) fn sample(&self) -> impl Iterator<Item = (IpAddr, Option<&str>)> {
        let first = |entry: &Entry| -> IpAddr {
            match entry {
                Entry::Octets(ranges) => {
                    let octet = |at: usize| match *ranges[at].start() {
                        // The network address itself belongs to no host.
                        0 if at == 3 && *ranges[at].end() > 0 => 1,
                        octet => octet,
                    };
                    Ipv4Addr::new(octet(0), octet(1), octet(2), octet(3)).into()
                }
                Entry::Between(range) if range.start() < range.end() => {
                    Ipv4Addr::from(u32::from(*range.start()).saturating_add(1)).into()
                }
                Entry::Between(range) => (*range.start()).into(),
                Entry::V6(range, _) if range.start() < range.end() => {
                    Ipv6Addr::from(u128::from(*range.start()).saturating_add(1)).into()
                }
                Entry::V6(range, _) => (*range.start()).into(),
            }
        };
        fn zone(entry: &Entry) -> Option<&str> {
            match entry {
                Entry::V6(_, zone) => zone.as_deref(),
                _ => None,
            }
        }
        self.entries.iter().take(SAMPLE_MAX).map(move |entry| (first(entry), zone(entry)))
    }

    /// Whether the list has entries, and all of them are loopback addresses.
    pub(crate) fn is_loopback_only(&self) -> bool {
        let is_loopback = |entry: &Entry| match entry {
            Entry::Octets(ranges) => *ranges[0].start() == 127 && *ranges[0].end() == 127,
            Entry::Between(range) => range.start().is_loopback() && range.end().is_loopback(),
            Entry::V6(range, _) => range.start().is_loopback() && range.end().is_loopback(),
        };
        !self.entries.is_empty() && self.entries.iter().all(is_loopback)
    }
}

fn entry(text: &str) -> Option<Entry> {
    // The prefix length of an IPv6 network is within or after the brackets.
    let (place, length) = match text.find("]/") {
        Some(at) => (&text[..=at], text[at + 2..].split(':').next()),
        None => (text, None),
    };
    let HostPort { host, is_bracketed, .. } = HostPort::split(place)?;
    let (host, length) = match host.split_once('/') {
        Some((host, own)) => (host, length.or(Some(own))),
        None => (host, length),
    };
    let length: Option<u8> = length.map(str::parse).transpose().ok()?;
    if is_bracketed || host.contains(':') {
        return v6(host, length);
    }
    if let Some(length) = length {
        let network = Ipv4Net::new(host.parse().ok()?, length).ok()?;
        return Some(Entry::Between(all_of_v4(network)));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return entry("127.0.0.1");
    }
    if let Some((first, last)) = host.split_once('-')
        && let (Ok(first), Ok(last)) = (first.parse(), last.parse())
    {
        return Some(Entry::Between(first..=last));
    }
    let octets: Option<Vec<RangeInclusive<u8>>> = host.split('.').map(octet).collect();
    octets?.try_into().ok().map(Entry::Octets)
}

fn octet(text: &str) -> Option<RangeInclusive<u8>> {
    if text == "*" {
        return Some(0..=255);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

fn v6(text: &str, length: Option<u8>) -> Option<Entry> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone.to_owned())),
        None => (text, None),
    };
    let network = Ipv6Net::new(ip.parse().ok()?, length.unwrap_or(Ipv6Addr::BITS as u8)).ok()?;
    Some(Entry::V6(all_of_v6(network), zone))
}

fn all_of_v4(network: Ipv4Net) -> RangeInclusive<Ipv4Addr> {
    network.network()..=network.broadcast()
}

fn all_of_v6(network: Ipv6Net) -> RangeInclusive<Ipv6Addr> {
    network.network()..=network.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_address::Traits;

    fn own(ip: &str, prefix: &str) -> LocalAddress {
        LocalAddress {
            interface: "eth0".into(),
            index: Some(3),
            ip: ip.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            traits: Traits::default(),
        }
    }

    #[test]
    fn a_host_without_a_port_gets_the_default_port() {
        for (place, expected) in [
            ("10.0.0.1", "10.0.0.1:5701"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            (" a.example ", "a.example:5701"),
            ("a.example:", "a.example:"),
            ("a.example:x", "a.example:x"),
            (":7", ":7"),
            ("", ":5701"),
            ("::1", "[::1]:5701"),
            ("[::1]", "[::1]:5701"),
            ("[::1]:7", "[::1]:7"),
            ("[::1]:", "[::1]:"),
            ("[a.example]", "[a.example]:5701"),
            ("fe80::1%eth0", "fe80::1%eth0:5701"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]:5701"),
            // Malformed; the mode rejects it.
            ("a:1:2", "a:1:2:5701"),
            ("[::1", "[::1:5701"),
            ("[::1]7", "[::1]7:5701"),
        ] {
            assert_eq!(with_port(place, 5701), expected);
        }
    }

    #[test]
    fn each_form_of_entry_contains_its_addresses_and_no_others() {
        for (list, within, without) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.1:6900, 10.0.0.3:6900-6910", "10.0.0.3", "10.0.0.2"),
            ("10.0.0.5-20", "10.0.0.20", "10.0.0.21"),
            ("10.0.0-3.*:7", "10.0.2.9", "10.0.4.9"),
            ("10.0.0.250-10.0.1.20", "10.0.1.3", "10.0.1.21"),
            ("10.0.1.0/28", "10.0.1.15", "10.0.1.16"),
            ("10.0.1.9/0", "192.0.2.1", "::1"),
            ("fd00::5;[fd00::6]:6900", "fd00::6", "fd00::7"),
            ("[fd00::]/120", "fd00::ff", "fd00::100"),
            ("fd00::/64", "fd00::1:2:3:4", "fd00:0:0:1::"),
            ("localhost", "127.0.0.1", "10.0.0.1"),
            ("[fe80::1%eth0]:6900", "fe80::1", "fe80::2"),
            ("fe80::1%3", "fe80::1", "fe80::2"),
            ("[fe80::5%eth0]/64", "fe80::1", "fd00::1"),
            ("fe80::1,fe80::2%eth1", "fe80::1", "fe80::2"),
            ("fe80::%eth0/64", "fe80::1:2", "fe80:0:0:1::"),
            ("[fd00::/120]:6900", "fd00::ff", "fd00::100"),
            ("[fd00::]/120:6900-6910", "fd00::ff", "fd00::100"),
            ("[fd00::7]:", "fd00::7", "fd00::8"),
            ("LocalHost:6900", "127.0.0.1", "10.0.0.1"),
            ("10.0.1.0/28:6900", "10.0.1.15", "10.0.1.16"),
            ("10.0.1.9/32", "10.0.1.9", "10.0.1.8"),
            ("10.0.0.1:", "10.0.0.1", "10.0.0.2"),
        ] {
            let mut addresses = AddressList::default();
            addresses.add(list);
            assert!(addresses.contains(&own(within, "24")), "{list}: {within}");
            assert!(!addresses.contains(&own(without, "24")), "{list}: {without}");
        }
        let mut addresses = AddressList::default();
        for wrong in [
            "db.example",
            "10.0.0",
            "10.0.0.300",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.1-9/24",
            "[10.0.0.1]",
            "localhost/8",
            "fd00::/129",
            "fd00::/64:6900",
            "[fd00::]/",
            "[::1",
            "[::1]7",
            "::1]",
        ] {
            addresses.add(wrong);
            assert!(addresses.entries.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_list_overlaps_a_network_when_it_has_any_address_of_it() {
        let touches = |list: &str, member: &str| {
            let mut addresses = AddressList::default();
            addresses.add(list);
            let (ip, prefix) = member.split_once('/').unwrap();
            addresses.overlaps_network_of(&own(ip, prefix))
        };
        for (list, own, others) in [
            ("10.0.0.1", "10.0.0.200/24", "10.0.1.200/24"),
            ("10.0.0-3.*:7", "10.0.2.9/28", "10.0.4.9/24"),
            ("10.0.0.5-20", "10.0.0.16/30", "10.0.0.24/29"),
            ("10.0.0.250-10.0.1.20", "10.0.1.200/24", "10.0.2.1/24"),
            ("10.0.1.0/28", "10.0.1.15/32", "10.0.1.16/32"),
            ("fd00::5;[fd00::6]:6900", "fd00::77/64", "fd01::77/64"),
            ("[fe80::9%eth0]", "fe80::1/64", "10.0.0.1/24"),
            ("172.16.0.9", "172.17.0.1/12", "172.32.0.1/12"),
        ] {
            assert!(touches(list, own), "{list} {own}");
            assert!(!touches(list, others), "{list} {others}");
        }
        assert!(!touches("[fe80::9%eth1]", "fe80::1/64"));
    }

    #[test]
    fn a_list_is_loopback_only_when_all_of_its_entries_are() {
        let is_loopback_only = |list: &str| {
            let mut addresses = AddressList::default();
            addresses.add(list);
            addresses.is_loopback_only()
        };
        assert!(
            is_loopback_only("127.0.0.1") && is_loopback_only("localhost:6900-6905, [::1]:7000")
        );
        assert!(!is_loopback_only("127.0.0.1,10.0.0.1") && !is_loopback_only(""));
    }

    #[test]
    fn fuzz_address_list() {
        let samples = [
            "10.0.0.1:6900, 10.0.0.3:6900-6910",
            "10.0.0-3.*:7;10.0.0.250-10.0.1.20",
            "10.0.1.0/28 10.0.1.9/0",
            "fd00::5;[fd00::6]:6900,[fd00::/120]:6900",
            "[fd00::]/120:6900-6910",
            "localhost fe80::1%eth0 [fe80::5%3]/64",
            "255.255.255.255 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/0",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut list = AddressList::default();
            list.add(&text);
            assert!(list.entries.len() <= text.len());
            assert!(list.sample().count() <= SAMPLE_MAX);
            let _ = list.is_loopback_only();
            for (ip, prefix) in [("10.0.0.1", "24"), ("fe80::1", "64"), ("255.255.255.255", "0")] {
                let own = own(ip, prefix);
                // A list that contains an address also overlaps its network.
                assert!(!list.contains(&own) || list.overlaps_network_of(&own));
            }
            assert!(with_port(&text, 5701).contains(':'));
        });
    }
}
