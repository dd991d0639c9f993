//! Parses the argument: the address of the domain server.

use std::fmt;
use std::net::Ipv6Addr;

use convoke_mode_sdk::quoted;

/// The default data grid port of a domain server.
pub(crate) const PORT: u16 = 4900;

/// The default port of a domain server's admin pages.
pub(crate) const ADMIN_PORT: u16 = 4848;

/// Length of a host name, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

const EXPECTED: &str =
    "expected one domain server, as in domain:10.0.0.5:4900 or domain:das.example";

/// A host and its data grid port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// An IP literal without brackets, or a name.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    /// Parses `host`, `host:port`, `[v6]:port` or `v6`. Error texts are for the operator, and
    /// start with the offending value.
    pub(crate) fn parse(argument: &str) -> Result<Self, String> {
        let text = argument.trim();
        if text.is_empty() {
            return Err(format!("the argument is empty; {EXPECTED}"));
        }
        if text.contains([',', ';']) || text.split_whitespace().nth(1).is_some() {
            return Err(format!("{} is more than one address; {EXPECTED}", quoted(text)));
        }
        let malformed = || format!("{} is not a host and a port; {EXPECTED}", quoted(text));
        let (host, port) = if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(malformed)?;
            host.parse::<Ipv6Addr>().map_err(|_| malformed())?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':').ok_or_else(malformed)?)),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.contains(':') == host.parse::<Ipv6Addr>().is_err() || !is_host(host) {
            return Err(malformed());
        }
        let port = match port {
            None => PORT,
            Some(port) => parse_port(port).ok_or_else(|| {
                format!("{} is not a port (in {}); expected 1 to 65535", quoted(port), quoted(text))
            })?,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Whether `text` is a literal or a name; text of digits and dots only must be an address.
fn is_host(text: &str) -> bool {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=HOST_BYTES_MAX).contains(&text.len())
        && text.bytes().all(sound)
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && !text.starts_with('.')
        && !text.contains("..")
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Server;

    fn read(text: &str) -> Result<String, String> {
        Server::parse(text).map(|server| server.to_string())
    }

    #[test]
    fn the_port_is_optional() {
        for (text, expected) in [
            ("10.0.0.5:4900", "10.0.0.5:4900"),
            ("10.0.0.5", "10.0.0.5:4900"),
            ("localhost", "localhost:4900"),
            (" das.example:7000 ", "das.example:7000"),
            ("fd00::5", "[fd00::5]:4900"),
            ("[fd00::5]", "[fd00::5]:4900"),
            ("[fd00::5]:4901", "[fd00::5]:4901"),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_invalid_server_is_rejected_with_what_was_expected() {
        const EXPECTED: &str =
            "expected one domain server, as in domain:10.0.0.5:4900 or domain:das.example";
        assert_eq!(read("").unwrap_err(), format!("the argument is empty; {EXPECTED}"));
        for many in ["a,b", "a:1;b:2", "a b"] {
            let refusal = read(many).unwrap_err();
            assert_eq!(refusal, format!("{many:?} is more than one address; {EXPECTED}"));
        }
        for wrong in [":4900", "[a]:1", "[::1", "[::1]4900", "10.0.0.300", "1:2:3", "a..b", "ä"] {
            let refusal = read(wrong).unwrap_err();
            assert_eq!(refusal, format!("{wrong:?} is not a host and a port; {EXPECTED}"));
        }
        for port in ["0", "70000", "", "+1", "x", "b:c"] {
            let refusal = read(&format!("das:{port}")).unwrap_err();
            assert!(refusal.starts_with(&format!("{port:?} is not a port (in \"das:{port}\")")));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_parsed_or_rejected_on_one_line(text in ".{0,300}") {
            if let Err(refusal) = read(&text) {
                prop_assert!(!refusal.contains('\n'));
            }
        }
    }
}
