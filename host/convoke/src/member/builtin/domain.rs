//! `domain`: one place to probe, the one that its argument names.

use std::net::IpAddr;

use convoke_discovery::Grants;

use super::BuiltIn;

/// The data grid port of a domain server.
const PORT: u16 = 4900;
/// For an argument that the mode will refuse in its own words: it gets a grant
/// that it will not use.
const UNUSED: &str = "127.0.0.1:4900";

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "domain",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/domain.cwasm")),
    settings: |_, _| Vec::new(),
    grants: |_, _, mode| {
        let grant = |place: &str| Grants::parse([("probe", [place].as_slice())]);
        grant(&place(mode.argument.trim())).or_else(|_| grant(UNUSED)).unwrap_or_default()
    },
    access: None,
};

/// The argument, with this member's own address in place of loopback: a domain server on this
/// machine has the same one, and does not listen on loopback.
pub(crate) fn at_own_address(argument: &str, own: IpAddr) -> String {
    let argument = argument.trim();
    let (host, port) = match argument.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None if argument.matches(':').count() > 1 => (argument, None),
        None => match argument.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (argument, None),
        },
    };
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !is_loopback || own.is_loopback() {
        return argument.to_owned();
    }
    let own = if own.is_ipv6() { format!("[{own}]") } else { own.to_string() };
    port.map_or_else(|| own.clone(), |port| format!("{own}:{port}"))
}

/// The argument with its port, as a grant is written.
fn place(argument: &str) -> String {
    if argument.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{argument}]:{PORT}");
    }
    let has_port = argument.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port { argument.to_owned() } else { format!("{argument}:{PORT}") }
}

#[cfg(test)]
mod tests {
    use super::{at_own_address, place};

    #[test]
    fn loopback_is_this_members_own_address() {
        let at = |argument: &str, own: &str| at_own_address(argument, own.parse().unwrap());
        for argument in ["localhost", "127.0.0.1", "::1", "[::1]"] {
            assert_eq!(at(argument, "10.0.0.7"), "10.0.0.7", "{argument}");
        }
        assert_eq!(at("localhost:7000", "10.0.0.7"), "10.0.0.7:7000");
        assert_eq!(at("[::1]:7000", "fd00::7"), "[fd00::7]:7000");
        for (argument, own) in
            [("das:7000", "10.0.0.7"), ("127.0.0.1", "127.0.0.1"), ("", "10.0.0.7")]
        {
            assert_eq!(at(argument, own), argument);
        }
    }

    #[test]
    fn a_place_has_its_port() {
        for (argument, expected) in [
            ("das", "das:4900"),
            ("das:7000", "das:7000"),
            ("fd00::5", "[fd00::5]:4900"),
            ("[fd00::5]", "[fd00::5]:4900"),
            ("[fd00::5]:7000", "[fd00::5]:7000"),
        ] {
            assert_eq!(place(argument), expected);
        }
    }
}
