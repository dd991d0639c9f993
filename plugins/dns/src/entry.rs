//! An entry of the argument.

use std::net::{IpAddr, Ipv6Addr};

use convoke_mode_sdk::quoted;

/// Length of a name without its final dot, in bytes (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Length of one label, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// The prefix of a service entry.
const SERVICE: &str = "srv:";
/// The valid forms of an entry, for error texts.
pub(crate) const EXPECTED: &str =
    "expected name:port, name, 10.0.0.5:6900 or srv:_convoke._tcp.shop.example";

/// A parsed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An IP literal, which needs no lookup.
    Address(IpAddr, Option<u16>),
    /// A host name, for A and AAAA records.
    Host(String, Option<u16>),
    /// A service name, for SRV records, which contain ports.
    Service(String),
}

impl Entry {
    /// Parses one entry. Error texts are for the operator, and start with the offending value.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = strip_service(text) {
            return Self::parse_service(name, text);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Address(ip, None));
        }
        if text.contains('%') {
            return Err(format!(
                "{} has a zone, which is valid for addresses only; list addresses with a zone in --cluster-mode tcpip:",
                quoted(text)
            ));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let malformed =
                || format!("{} is not an address and a port; expected [::1]:6900", quoted(text));
            let (ip, rest) = rest.split_once(']').ok_or_else(malformed)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| malformed())?;
            let port = match rest {
                "" => None,
                rest => Some(parse_port(rest.strip_prefix(':').ok_or_else(malformed)?, text)?),
            };
            return Ok(Self::Address(ip.into(), port));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port, text)?)),
            None => (text, None),
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::Address(ip, port));
        }
        check_name(host, text)?;
        Ok(Self::Host(host.to_owned(), port))
    }

    fn parse_service(name: &str, text: &str) -> Result<Self, String> {
        if name.contains(':') {
            return Err(format!(
                "{} has a port, but the ports of a service are in its records; expected srv:_convoke._tcp.shop.example",
                quoted(text)
            ));
        }
        check_name(name, text)?;
        Ok(Self::Service(name.to_owned()))
    }
}

/// The part of an entry after `srv:`, in any case.
fn strip_service(text: &str) -> Option<&str> {
    let (front, rest) = text.split_at_checked(SERVICE.len())?;
    front.eq_ignore_ascii_case(SERVICE).then_some(rest)
}

fn parse_port(port: &str, text: &str) -> Result<u16, String> {
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(format!(
            "{} is not a port (in {}); expected 1 to 65535",
            quoted(port),
            quoted(text)
        )),
    }
}

fn check_name(name: &str, text: &str) -> Result<(), String> {
    let within = || if name == text { String::new() } else { format!(" (in {})", quoted(text)) };
    let bare = name.strip_suffix('.').unwrap_or(name);
    let refused = |what: &str| Err(format!("{} {what}{}; {EXPECTED}", quoted(name), within()));
    if bare.is_empty() {
        return refused("is not a name");
    }
    if bare.len() > NAME_BYTES_MAX {
        return refused("has more than 253 characters");
    }
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !bare.bytes().all(is_valid) {
        return refused("has a character that is not allowed in a name");
    }
    if bare.split('.').any(|label| label.is_empty() || label.len() > LABEL_BYTES_MAX) {
        return refused("has a part that is empty or longer than 63 characters");
    }
    if bare.split('.').any(|label| label.starts_with('-') || label.ends_with('-')) {
        return refused("has a part that begins or ends with -");
    }
    // A name of digits and dots only, such as 10.0.0.300, is a mistyped address.
    if bare.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return refused("is not an address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Entry;

    fn host(name: &str, port: Option<u16>) -> Entry {
        Entry::Host(name.to_owned(), port)
    }

    #[test]
    fn names_services_and_literals_are_parsed() {
        let cases = [
            ("members.shop.example:6900", host("members.shop.example", Some(6900))),
            ("members", host("members", None)),
            ("a.example.", host("a.example.", None)),
            ("localhost:1", host("localhost", Some(1))),
            ("srv:_convoke._tcp.shop.example", Entry::Service("_convoke._tcp.shop.example".into())),
            ("SRV:a", Entry::Service("a".into())),
            ("10.0.0.5:6900", Entry::Address([10, 0, 0, 5].into(), Some(6900))),
            ("10.0.0.5", Entry::Address([10, 0, 0, 5].into(), None)),
            ("[::1]:6900", Entry::Address("::1".parse().unwrap(), Some(6900))),
            ("::1", Entry::Address("::1".parse().unwrap(), None)),
        ];
        for (text, expected) in cases {
            assert_eq!(Entry::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_invalid_entry_is_rejected_with_the_offending_value() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}a", "a.".repeat(127));
        let cases = [
            ("a:", "\"\" is not a port (in \"a:\"); expected 1 to 65535"),
            ("a:0", "\"0\" is not a port"),
            ("a:70000", "\"70000\" is not a port"),
            ("a:b:c", "\"b:c\" is not a port"),
            (":6900", "\"\" is not a name (in \":6900\")"),
            ("a..b", "has a part that is empty"),
            ("-a.example", "begins or ends with -"),
            ("a/b", "has a character that is not allowed in a name"),
            ("ä.example", "has a character that is not allowed in a name"),
            ("10.0.0.300:6900", "\"10.0.0.300\" is not an address"),
            ("srv:6900", "\"6900\" is not an address"),
            ("srv:", "\"\" is not a name (in \"srv:\")"),
            ("srv:_x._tcp.a:6900", "has a port"),
            ("[::1", "expected [::1]:6900"),
            ("[a]:1", "expected [::1]:6900"),
            ("[fe80::1%eth0]:6900", "has a zone"),
            ("fe80::1%eth0", "has a zone"),
            (&long_label, "longer than 63"),
            (&long_name, "more than 253"),
        ];
        for (text, expected) in cases {
            let refusal = Entry::parse(text).unwrap_err();
            assert!(refusal.starts_with('"') && refusal.contains(expected), "{text}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_parsed_or_rejected_on_one_line(text in "\\PC{0,80}") {
            if let Err(refusal) = Entry::parse(&text) {
                prop_assert!(!refusal.contains('\n') && refusal.len() < 700);
            }
        }
    }
}
