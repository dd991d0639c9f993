//! Addresses that the operator configures: the multicast group, and the addresses that others
//! connect to.

use std::net::{IpAddr, Ipv6Addr};

use convoke_discovery::is_dns_name;
use convoke_membership::Service;
use convoke_text::HostPort;

use super::error::SettingsError;

/// The address that other members connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicAddress {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// The address that clients connect to for a service, if it differs from the member's address and
/// the port of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    host: Option<String>,
    port: Option<u16>,
}

impl ClientAddress {
    /// The service of the listener on this port.
    pub(crate) fn service(public: Option<&Self>, port: u16) -> Service {
        match public {
            Some(Self { host, port: own }) => {
                Service { host: host.clone(), port: own.unwrap_or(port) }
            }
            None => Service::at(port),
        }
    }
}

/// Parses a multicast group; `from` names the source of the setting, for errors.
pub(super) fn multicast_group(text: &str, from: &str) -> Result<IpAddr, SettingsError> {
    let literal = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match literal.parse::<IpAddr>() {
        Ok(group) if group.is_multicast() => Ok(group),
        _ => Err(SettingsError(format!(
            "{from}: {text:?} is not a multicast address; expected 224.0.0.0 to 239.255.255.255, or ff00::/8"
        ))),
    }
}

/// Parses the address that other members connect to; `from` names the source of the setting, for
/// errors.
pub(super) fn public_address(text: &str, from: &str) -> Result<PublicAddress, SettingsError> {
    let malformed = || {
        SettingsError(format!(
            "{from}: {text:?} is not an address that other members can connect to; expected host, host:port or [ipv6]:port"
        ))
    };
    let HostPort { host, port, is_bracketed } = HostPort::split(text).ok_or_else(malformed)?;
    if is_bracketed && host.parse::<Ipv6Addr>().is_err() {
        return Err(malformed());
    }
    let port = port.map(|p| p.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(malformed));
    // A name that cannot exist is refused, since a name is waited for until it resolves.
    let is_number = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    let is_name = is_dns_name(host.strip_suffix('.').unwrap_or(host)) && !is_number;
    if !is_name && host.parse::<IpAddr>().is_err() {
        return Err(malformed());
    }
    Ok(PublicAddress { host: host.to_owned(), port: port.transpose()? })
}

/// Parses the address that clients connect to; `from` names the source of the setting, for errors.
pub(super) fn client_address(text: &str, from: &str) -> Result<ClientAddress, SettingsError> {
    let malformed = || {
        SettingsError(format!(
            "{from}: {text:?} is not an address that clients can connect to; expected host, host:port, [ipv6]:port or :port"
        ))
    };
    if let Some(HostPort { host: "", port: Some(port), is_bracketed: false }) =
        HostPort::split(text)
    {
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(malformed)?;
        return Ok(ClientAddress { host: None, port: Some(port) });
    }
    let PublicAddress { host, port } = public_address(text, from).map_err(|_| malformed())?;
    let is_nowhere = |ip: IpAddr| ip.is_unspecified() || ip.is_multicast();
    if !Service::is_host(&host) || host.parse().is_ok_and(is_nowhere) {
        return Err(malformed());
    }
    Ok(ClientAddress { host: Some(host), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_hosts_with_or_without_a_port() {
        let read = |text| public_address(text, "--public-address").map(|p| (p.host, p.port));
        assert_eq!(read("a.example:7000").unwrap(), ("a.example".into(), Some(7000)));
        assert_eq!(read("[2001:db8::1]:7000").unwrap(), ("2001:db8::1".into(), Some(7000)));
        assert_eq!(read("2001:db8::1").unwrap(), ("2001:db8::1".into(), None));
        assert_eq!(read("m_0.example.").unwrap(), ("m_0.example.".into(), None));
        assert_eq!(read("[2001:db8::1]").unwrap(), ("2001:db8::1".into(), None));
        assert_eq!(read("10.0.0.1:7000").unwrap(), ("10.0.0.1".into(), Some(7000)));
        for wrong in [
            "",
            "a:",
            "[::1]:",
            "[::1]:0",
            "[10.0.0.1]",
            "[a]:7000",
            "fe80::1%eth0",
            "[fe80::1%eth0]",
            "::1:70000:x",
            ":7000",
            "a:0",
            "a:70000",
            "[::1",
            "[::1]x",
            "a b",
            "a:b:c",
            "a..b",
            "-a",
            "10.0.0.300",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_for_clients_may_be_a_port_alone() {
        let read = |text| client_address(text, "--resp-public-address").map(|a| (a.host, a.port));
        assert_eq!(read(":7000").unwrap(), (None, Some(7000)));
        assert_eq!(read("[::1]").unwrap(), (Some("::1".into()), None));
        for wrong in [":", ":0", ":70000", ":7:8", "::", "[]:7000", "[]", "[::1]7000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
