//! One entry of the list: addresses, and the ports to try on each.

use std::net::IpAddr;
use std::rc::Rc;

use crate::addresses::Addresses;
use crate::fault::Fault;
use crate::ports::Ports;

/// Length of an interface's name (`IFNAMSIZ`).
const ZONE_BYTES_MAX: usize = 15;

/// A parsed entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The addresses.
    pub(crate) addresses: Addresses,
    /// The interface of link-local addresses, as in `fe80::1%eth1`.
    pub(crate) zone: Option<Rc<str>>,
    /// The entry's own ports, or the default ports.
    pub(crate) ports: Ports,
}

impl Entry {
    /// Parses one entry, with `default_ports` if it has no ports.
    pub(crate) fn parse(text: &str, default_ports: Ports) -> Result<Self, Fault> {
        let Parts { host, ports } = Parts::of(text)?;
        let ports = ports.map_or(Ok(default_ports), Ports::parse)?;
        let mut zone = None;
        let addresses = match host {
            Host::V6(literal) => {
                let (address, named) = split_zone(&literal);
                let addresses = Addresses::parse_v6(&address)?;
                zone = named.map(|named| check_zone(named, &addresses)).transpose()?;
                addresses
            }
            Host::Other(host) if host.eq_ignore_ascii_case("localhost") => {
                Addresses::parse_v4("127.0.0.1")?
            }
            Host::Other(host) if is_name(host) => {
                let hint = format!("tcpip takes addresses, use dns:{host}:{}", ports.first());
                return Err(Fault::new(host, "is a name", hint));
            }
            Host::Other(host) => Addresses::parse_v4(host)?,
        };
        Ok(Self { addresses, zone, ports })
    }

    /// The number of targets, saturating.
    pub(crate) fn count(&self) -> u128 {
        self.addresses.count().saturating_mul(self.ports.count())
    }

    /// The targets: address by address, ports in ascending order.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        let ports = self.ports;
        self.addresses.iter().flat_map(move |address| {
            ports.iter().map(move |port| Target { address, zone: self.zone.clone(), port })
        })
    }
}

/// An address and a port to try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    zone: Option<Rc<str>>,
    pub(crate) port: u16,
}

impl Target {
    /// The address, with its interface if there is one.
    pub(crate) fn host(&self) -> String {
        match &self.zone {
            Some(zone) => format!("{}%{zone}", self.address),
            None => self.address.to_string(),
        }
    }
}

/// An entry, split at its ports.
struct Parts<'a> {
    host: Host<'a>,
    ports: Option<&'a str>,
}

/// The part before the ports.
enum Host<'a> {
    /// An IPv6 address or network, without brackets: `fd00::` or `fd00::/120`.
    V6(String),
    /// An IPv4 address, or a name.
    Other(&'a str),
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, Fault> {
        if let Some(rest) = text.strip_prefix('[') {
            let Some((literal, rest)) = rest.split_once(']') else {
                return Err(Fault::new(text, "has no closing bracket", "write [::1]:6900"));
            };
            let (network, ports) = split_ports(rest);
            if !(network.is_empty() || network.starts_with('/')) {
                let hint = "expected nothing, a prefix length or a port, as in [fd00::]/120:6900";
                return Err(Fault::new(network, "follows a bracket", hint));
            }
            return Ok(Self { host: Host::V6(format!("{literal}{network}")), ports });
        }
        if text.matches(':').count() < 2 {
            let (host, ports) = split_ports(text);
            return Ok(Self { host: Host::Other(host), ports });
        }
        // Without brackets, a port can be distinguished from an address only after a prefix
        // length.
        let (literal, ports) = match text.split_once('/') {
            None => (text, None),
            Some((literal, rest)) => {
                let (prefix, ports) = split_ports(rest);
                (&text[..literal.len() + 1 + prefix.len()], ports)
            }
        };
        Ok(Self { host: Host::V6(literal.to_owned()), ports })
    }
}

/// Splits `fe80::1%eth1/64` into `fe80::1/64` and `eth1`.
fn split_zone(text: &str) -> (String, Option<&str>) {
    let Some((address, rest)) = text.split_once('%') else { return (text.to_owned(), None) };
    let zone = rest.split('/').next().unwrap_or(rest);
    (format!("{address}{}", &rest[zone.len()..]), Some(zone))
}

fn check_zone(zone: &str, of: &Addresses) -> Result<Rc<str>, Fault> {
    let is_interface =
        zone.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'[' | b']'));
    if !(1..=ZONE_BYTES_MAX).contains(&zone.len()) || !is_interface {
        let hint = "expected one of this host's, as in fe80::1%eth1";
        return Err(Fault::new(zone, "is not an interface", hint));
    }
    let is_link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if of.iter().next().is_some_and(is_link_local) {
        Ok(zone.into())
    } else {
        let hint = "only link-local addresses (fe80::/10) have one; remove it";
        Err(Fault::new(&format!("%{zone}"), "is an interface", hint))
    }
}

fn split_ports(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        None => (text, None),
        Some((host, ports)) => (host, Some(ports)),
    }
}

/// Whether this looks like a host name: it has letters that are valid in names, and does not
/// start with two numbers, as a mistyped address does.
fn is_name(text: &str) -> bool {
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let like_an_address = text.contains('.') && text.split('.').take(2).all(is_number);
    let like_a_name =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    like_a_name && !like_an_address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        let entry = Entry::parse(text, Ports::beside(6900)).unwrap();
        entry.targets().map(|target| format!("{} {}", target.host(), target.port)).collect()
    }

    fn refusal(text: &str) -> String {
        Entry::parse(text, Ports::beside(6900)).unwrap_err().describe(text)
    }

    #[test]
    fn ports_are_optional() {
        assert_eq!(targets("10.0.0.1:7000"), ["10.0.0.1 7000"]);
        assert_eq!(targets("10.0.0.1"), ["10.0.0.1 6900", "10.0.0.1 6901", "10.0.0.1 6902"]);
        assert_eq!(targets("10.0.0.1:80-81"), ["10.0.0.1 80", "10.0.0.1 81"]);
        assert_eq!(targets("localhost:80"), ["127.0.0.1 80"]);
        assert_eq!(targets("LocalHost:80"), ["127.0.0.1 80"]);
    }

    #[test]
    fn a_link_local_address_may_have_an_interface() {
        assert_eq!(targets("[fe80::1%eth1]:80"), ["fe80::1%eth1 80"]);
        assert_eq!(targets("fe80::1%eth1").len(), 3);
        assert_eq!(targets("[fe80::2%br-lan]/127:80"), ["fe80::2%br-lan 80", "fe80::3%br-lan 80"]);
        assert_eq!(targets("[fe80::2%3/127]:80").len(), 2);
        for (text, words) in [
            ("[fd00::1%eth1]:80", "\"%eth1\" is an interface"),
            ("[fe80::1%]:80", "\"\" is not an interface"),
            ("fe80::1%a%b", "\"a%b\" is not an interface"),
        ] {
            assert!(refusal(text).starts_with(words), "{}", refusal(text));
        }
    }

    #[test]
    fn ports_follow_ranges_and_networks() {
        let expected = ["10.0.0.1 80", "10.0.0.1 81", "10.0.0.2 80", "10.0.0.2 81"];
        assert_eq!(targets("10.0.0.1-2:80-81"), expected);
        assert_eq!(targets("10.0.0.1-10.0.0.2:80-81"), expected);
        assert_eq!(targets("10.0.0.254/31:80"), ["10.0.0.254 80", "10.0.0.255 80"]);
    }

    #[test]
    fn ipv6_is_parsed_with_and_without_brackets() {
        assert_eq!(targets("[::1]:80"), ["::1 80"]);
        assert_eq!(targets("[::1]"), ["::1 6900", "::1 6901", "::1 6902"]);
        assert_eq!(targets("::1"), targets("[::1]"));
        assert_eq!(targets("[fd00::]/127:80"), ["fd00:: 80", "fd00::1 80"]);
        assert_eq!(targets("fd00::/127:80"), targets("[fd00::]/127:80"));
        assert_eq!(targets("fd00::/127"), targets("[fd00::]/127"));
        assert_eq!(
            targets("::1:6900"),
            targets("[::1:6900]"),
            "without brackets, everything is part of the address"
        );
    }

    #[test]
    fn an_invalid_address_is_shown_with_its_entry() {
        assert_eq!(
            refusal("10.0.0.300:6900"),
            "\"10.0.0.300\" is not an IPv4 address (in \"10.0.0.300:6900\"); expected host, \
             host:port, a range such as 10.0.0.1-20, or CIDR"
        );
        assert_eq!(
            refusal("10.0.0.300"),
            "\"10.0.0.300\" is not an IPv4 address; expected host, host:port, a range such as \
             10.0.0.1-20, or CIDR"
        );
        assert_eq!(
            refusal("10.0.0.x"),
            "\"10.0.0.x\" is not an IPv4 address; expected host, host:port, a range such as \
             10.0.0.1-20, or CIDR"
        );
        assert_eq!(
            refusal("[fd00::zz]:1"),
            "\"fd00::zz\" is not an IPv6 address (in \"[fd00::zz]:1\"); expected an address such \
             as [fd00::7]:6900, or CIDR such as [fd00::]/120"
        );
    }

    #[test]
    fn a_name_is_rejected_with_a_hint_to_the_dns_mode() {
        assert_eq!(
            refusal("db.example"),
            "\"db.example\" is a name; tcpip takes addresses, use dns:db.example:6900"
        );
        assert_eq!(
            refusal("db.example:7000"),
            "\"db.example\" is a name (in \"db.example:7000\"); tcpip takes addresses, use \
             dns:db.example:7000"
        );
    }

    #[test]
    fn invalid_ports_are_rejected() {
        for (text, port) in [("10.0.0.1:0", "0"), ("10.0.0.1:70000", "70000"), ("::/127:x", "x")] {
            assert_eq!(
                refusal(text),
                format!(
                    "\"{port}\" is not a port (in \"{text}\"); expected 1 to 65535, or a range \
                     such as 6900-6910"
                )
            );
        }
        assert_eq!(
            refusal("10.0.0.1:"),
            "\"\" is not a port (in \"10.0.0.1:\"); expected 1 to 65535, or a range such as \
             6900-6910"
        );
    }

    #[test]
    fn reversed_ranges_are_rejected() {
        assert_eq!(
            refusal("10.0.0.20-1"),
            "\"20-1\" is a reversed range (in \"10.0.0.20-1\"); write the lower end first, as in \
             10.0.0.1-20"
        );
        assert_eq!(
            refusal("10.0.1.0-10.0.0.9"),
            "\"10.0.1.0-10.0.0.9\" is a reversed range; write the lower end first, as in 10.0.0.1-20"
        );
        assert_eq!(
            refusal("10.0.0.1:9-8"),
            "\"9-8\" is a reversed range (in \"10.0.0.1:9-8\"); write the lower port first"
        );
    }

    #[test]
    fn prefix_lengths_are_limited() {
        assert_eq!(
            refusal("10.0.0.0/33"),
            "\"/33\" is not a prefix length (in \"10.0.0.0/33\"); expected /0 to /32"
        );
        assert_eq!(
            refusal("fd00::/129:80"),
            "\"/129\" is not a prefix length (in \"fd00::/129:80\"); expected /0 to /128"
        );
    }

    #[test]
    fn brackets_must_close_and_contain_an_ipv6_address() {
        assert_eq!(refusal("[::1"), "\"[::1\" has no closing bracket; write [::1]:6900");
        assert_eq!(
            refusal("[::1]6900"),
            "\"6900\" follows a bracket (in \"[::1]6900\"); expected nothing, a prefix length or \
             a port, as in [fd00::]/120:6900"
        );
        assert!(refusal("[10.0.0.1]:80").starts_with("\"10.0.0.1\" is not an IPv6 address"));
    }

    #[test]
    fn malformed_entries_are_rejected() {
        for text in [
            "-",
            "/",
            ":",
            "*",
            "10.0.0",
            "10.0.0.1.2",
            "10.0.0.1/",
            "10.0.0.1-2/24",
            "10.0.0.-5",
            "10.0.0.5-",
            "1-2-3.0.0.1",
            "fd00::1-5",
            "[]",
            "[]:1",
            "é",
            "10.0.0.1:-",
        ] {
            assert!(Entry::parse(text, Ports::beside(6900)).is_err(), "{text:?}");
        }
    }
}
