//! `grant = { http = ["https://consul.example:8501"] }`: servers that may be requested over
//! HTTP.
//!
//! A pattern is split here and not by `http::Uri` or `url`, because it is no URL. Its port can be
//! `*`, which neither of them parses, and `http::Uri` reports no port instead of an error for
//! `:70000`. `url` would accept more than an operator can compare with a request: it turns `0x7f.1`
//! into an address and `HTTP://` into `http://`. `HostPort` would reject `[fd00::5].`, whose final
//! dot is ignored here as in every host of a URL.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::error::GrantError;
use crate::names::is_dns_name;

const FORM: &str = "not a server; expected \"https://consul.example:8501\", \"http://10.0.0.5:8500\", \"https://*.shop.example\" for every name below, or \"https://*\" for every host; the port * covers every port, and without a port the scheme's default port is covered";

/// A scheme, a host pattern, and one port or all ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    scheme: HttpScheme,
    hosts: Hosts,
    /// `None` covers every port.
    port: Option<u16>,
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpScheme {
    /// Without encryption.
    Http,
    /// Over TLS.
    Https,
}

/// A host pattern. Names are in lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    Address(IpAddr),
    Exactly(String),
    /// Every name below this one, excluding the name itself.
    Below(String),
}

impl HttpScheme {
    /// The port of a URL without an explicit port.
    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for HttpScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            Hosts::Address(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            Hosts::Exactly(name) => f.write_str(name)?,
            Hosts::Below(name) => write!(f, "*.{name}")?,
        }
        match self.port {
            None => f.write_str(":*"),
            Some(port) if port == self.scheme.default_port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

impl HttpGrant {
    /// Whether `port` of `host`, as written in a URL, is covered.
    pub(crate) fn covers(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        let host = plain(host);
        let named = match &self.hosts {
            Hosts::Any => true,
            Hosts::Address(granted) => literal(&host).is_some_and(|ip| ip == *granted),
            Hosts::Exactly(granted) => *granted == host,
            Hosts::Below(granted) => host
                .strip_suffix(granted.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        };
        named && self.scheme == scheme && self.port.is_none_or(|granted| granted == port)
    }
}

impl HttpGrant {
    /// Whether this server is covered by a literal address or by `localhost`, and not by a
    /// pattern or a name, which may resolve to any address.
    pub(crate) fn names_address(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        let named = match &self.hosts {
            Hosts::Address(_) => true,
            Hosts::Exactly(name) => name == LOCALHOST,
            Hosts::Any | Hosts::Below(_) => false,
        };
        named && self.covers(scheme, host, port)
    }
}

/// The name that means this machine.
const LOCALHOST: &str = "localhost";

/// The address, if a URL's host is an IP literal.
pub(crate) fn address_of(host: &str) -> Option<IpAddr> {
    literal(&plain(host))
}

/// Whether a URL's host is `localhost`.
pub(crate) fn is_localhost(host: &str) -> bool {
    plain(host) == LOCALHOST
}

impl FromStr for HttpGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let malformed = |why: &str| GrantError::malformed("http", text, why);
        let (scheme, place) = match text.split_once("://") {
            Some(("http", place)) => (HttpScheme::Http, place),
            Some(("https", place)) => (HttpScheme::Https, place),
            _ => return Err(malformed(FORM)),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(malformed("a grant covers a whole server; remove the path"));
        }
        if place.contains('@') {
            return Err(malformed(
                "a grant names a server, not a user; configure the user in the mode's settings",
            ));
        }
        // The colons of an IPv6 literal are inside of brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (place, None),
        };
        let port = match port {
            None => Some(scheme.default_port()),
            Some("*") => None,
            Some(port) => {
                Some(port.parse().ok().filter(|p| *p != 0).ok_or_else(|| malformed(FORM))?)
            }
        };
        let name = plain(host);
        let hosts = match (literal(&name), name.strip_prefix("*.")) {
            _ if host == "*" => Hosts::Any,
            (Some(ip), _) => Hosts::Address(ip),
            (None, Some(below)) if is_dns_name(below) => Hosts::Below(below.to_owned()),
            (None, None) if is_dns_name(&name) => Hosts::Exactly(name),
            _ => return Err(malformed(FORM)),
        };
        Ok(Self { scheme, hosts, port })
    }
}

fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Parses `10.0.0.5` or `[fd00::5]`.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => host.parse().ok().filter(IpAddr::is_ipv4),
    }
}

#[cfg(test)]
mod tests {
    use super::{HttpGrant, HttpScheme};

    fn grant(text: &str) -> HttpGrant {
        text.parse().unwrap()
    }

    #[test]
    fn scheme_host_and_port_all_have_to_match() {
        let granted = grant("http://Consul.example:8500");
        assert!(granted.covers(HttpScheme::Http, "consul.EXAMPLE.", 8500));
        assert!(!granted.covers(HttpScheme::Https, "consul.example", 8500));
        assert!(!granted.covers(HttpScheme::Http, "consul.example", 80));
        assert!(!granted.covers(HttpScheme::Http, "x.consul.example", 8500));
        assert!(!granted.covers(HttpScheme::Http, "consul.example.evil", 8500));
    }

    #[test]
    fn the_default_port_is_that_of_the_scheme() {
        assert!(grant("https://a.example").covers(HttpScheme::Https, "a.example", 443));
        assert!(!grant("https://a.example").covers(HttpScheme::Https, "a.example", 8443));
        assert!(grant("https://a.example:*/").covers(HttpScheme::Https, "a.example", 8443));
    }

    #[test]
    fn a_pattern_covers_names_below_and_a_literal_covers_itself() {
        let below = grant("https://*.shop.example");
        assert!(below.covers(HttpScheme::Https, "a.b.shop.example", 443));
        for denied in ["shop.example", "xshop.example", ".shop.example", "10.0.0.5"] {
            assert!(!below.covers(HttpScheme::Https, denied, 443), "{denied}");
        }
        let v6 = grant("http://[fd00::5]:8500");
        assert!(v6.covers(HttpScheme::Http, "[FD00:0::5]", 8500));
        assert!(!v6.covers(HttpScheme::Http, "fd00::5", 8500));
        assert!(grant("http://10.0.0.5").covers(HttpScheme::Http, "10.0.0.5", 80));
        assert!(grant("http://[fd00::5].:80").covers(HttpScheme::Http, "[fd00::5]", 80));
        assert!(grant("http://*:*").covers(HttpScheme::Http, "[::1]", 1));
    }

    #[test]
    fn only_a_literal_or_localhost_names_an_address() {
        let names = |text: &str, host: &str| grant(text).names_address(HttpScheme::Http, host, 80);
        assert!(names("http://127.0.0.1", "127.0.0.1"));
        assert!(names("http://[::1]", "[0::1]"));
        assert!(names("http://localhost", "LOCALHOST."));
        assert!(!names("http://127.0.0.1", "127.0.0.2"));
        assert!(!names("http://*", "127.0.0.1"));
        assert!(!names("http://*", "localhost"));
        assert!(!names("http://api.example", "api.example"));
        assert!(!names("http://*.example", "api.example"));
    }

    #[test]
    fn an_invalid_pattern_is_rejected_with_what_was_expected() {
        for wrong in [
            "",
            "*",
            "consul.example",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:70000",
            "http://a b",
            "http://*.",
            "http://a.*",
            "http://fd00::5",
            "HTTP://a",
        ] {
            let refused = wrong.parse::<HttpGrant>().unwrap_err().to_string();
            assert!(refused.contains("not a server; expected"), "{wrong}: {refused}");
        }
        let refused = |text: &str| text.parse::<HttpGrant>().unwrap_err().to_string();
        assert!(refused("http://a/v1").ends_with("remove the path"));
        assert!(refused("http://me:secret@a").contains("not a user"));
    }
}
