//! `domain`: probes the one address that its argument names.

use std::net::IpAddr;

use convoke_discovery::Grants;
use convoke_text::HostPort;

use super::BuiltIn;
use crate::address_list::with_port;

/// The data grid port of a domain server.
const PORT: u16 = 4900;
/// Granted for a malformed argument, which the mode refuses: the grant is never used.
const UNUSED: &str = "127.0.0.1:4900";

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "domain",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/domain.cwasm")),
    settings: |_, _| Vec::new(),
    argument: Some(|argument, choice| at_own_address(argument, choice.primary.ip)),
    grants: |_, _, mode| {
        let grant = |member_state: &str| Grants::parse([("probe", [member_state].as_slice())]);
        grant(&with_port(&mode.argument, PORT)).or_else(|_| grant(UNUSED)).unwrap_or_default()
    },
    access: None,
};

/// Whether the argument names this host's loopback.
pub(crate) fn is_loopback(argument: &str) -> bool {
    HostPort::split(argument.trim()).is_some_and(|HostPort { host, .. }| {
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The argument, with this member's own address in place of loopback: a domain server on this host
/// has the same address, and does not listen on loopback.
fn at_own_address(argument: &str, own: IpAddr) -> String {
    let argument = argument.trim();
    if !is_loopback(argument) || own.is_loopback() {
        return argument.to_owned();
    }
    match HostPort::split(argument).and_then(|place| place.port) {
        Some(port) => HostPort::join(&own.to_string(), port),
        None if own.is_ipv6() => format!("[{own}]"),
        None => own.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{PORT, at_own_address, with_port};

    #[test]
    fn loopback_is_this_members_own_address() {
        let at = |argument: &str, own: &str| at_own_address(argument, own.parse().unwrap());
        for argument in ["localhost", "127.0.0.1", "::1", "[::1]"] {
            assert_eq!(at(argument, "10.0.0.7"), "10.0.0.7", "{argument}");
        }
        assert_eq!(at("localhost:7000", "10.0.0.7"), "10.0.0.7:7000");
        assert_eq!(at("[::1]:7000", "fd00::7"), "[fd00::7]:7000");
        assert_eq!(at("::1", "fd00::7"), "[fd00::7]");
        assert_eq!(at("localhost:", "10.0.0.7"), "10.0.0.7:");
        assert_eq!(at("[localhost]", "10.0.0.7"), "10.0.0.7");
        for malformed in ["[::1", "[::1]7000", "localhost:1:2"] {
            assert_eq!(at(malformed, "10.0.0.7"), malformed);
        }
        for (argument, own) in
            [("das:7000", "10.0.0.7"), ("127.0.0.1", "127.0.0.1"), ("", "10.0.0.7")]
        {
            assert_eq!(at(argument, own), argument);
        }
    }

    #[test]
    fn an_address_without_a_port_gets_the_default_port() {
        for (argument, expected) in [
            ("das", "das:4900"),
            ("das:7000", "das:7000"),
            ("fd00::5", "[fd00::5]:4900"),
            ("[fd00::5]", "[fd00::5]:4900"),
            ("[fd00::5]:7000", "[fd00::5]:7000"),
        ] {
            assert_eq!(with_port(argument, PORT), expected);
        }
    }
}
