//! `grant = { multicast = ["224.2.2.4:2904"] }`: groups that may be joined.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use convoke_text::HostPort;

use super::error::GrantError;

/// One multicast group, with one port or every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastGrant {
    group: IpAddr,
    /// `None` covers every port.
    port: Option<u16>,
}

impl MulticastGrant {
    pub(super) fn covers(&self, group: IpAddr, port: u16) -> bool {
        self.group == group && self.port.is_none_or(|granted| granted == port)
    }
}

impl FromStr for MulticastGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let malformed = |reason: String| GrantError::malformed("multicast", text, reason);
        let form = || {
            malformed(
                "not a group and a port; expected \"224.2.2.4:2904\", \"[ff15::2904]:2904\", or \"224.2.2.4:*\" for every port".into(),
            )
        };
        let address_error = |part: &str| {
            malformed(format!("{part:?} is not an IP address; a group is an IP literal"))
        };
        let HostPort { host, port, is_bracketed } = HostPort::split(text).ok_or_else(form)?;
        let port = port.ok_or_else(form)?;
        let group = match is_bracketed {
            true => host.parse::<Ipv6Addr>().map(IpAddr::V6),
            false => host.parse::<Ipv4Addr>().map(IpAddr::V4),
        };
        let group = group.map_err(|_| address_error(host))?;
        if !group.is_multicast() {
            return Err(malformed(format!(
                "{group} is not a multicast group; groups are 224.0.0.0 to 239.255.255.255 and ff00::/8"
            )));
        }
        let port = match port {
            "*" => None,
            number => match number.parse() {
                Ok(port) if port != 0 => Some(port),
                _ => {
                    return Err(malformed(format!(
                        "{number:?} is not a port; expected 1 to 65535, or *"
                    )));
                }
            },
        };
        Ok(Self { group, port })
    }
}

impl fmt::Display for MulticastGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group.to_string();
        f.write_str(&match self.port {
            Some(port) => HostPort::join(&group, port),
            None => HostPort::join(&group, "*"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use crate::Grants;

    fn multicast(patterns: &[&str]) -> Grants {
        Grants::parse([("multicast", patterns)]).unwrap()
    }

    fn refused(pattern: &str) -> String {
        Grants::parse([("multicast", [pattern].as_slice())]).unwrap_err().to_string()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_granted_by_default() {
        assert!(!Grants::default().grants_multicast(ip("224.2.2.4"), 2904));
    }

    #[test]
    fn an_exact_grant_covers_its_group_and_port_only() {
        let grants = multicast(&["224.2.2.4:2904"]);
        assert!(grants.grants_multicast(ip("224.2.2.4"), 2904));
        assert!(!grants.grants_multicast(ip("224.2.2.4"), 2905));
        assert!(!grants.grants_multicast(ip("224.2.2.5"), 2904));
        assert!(!grants.grants_multicast(ip("ff15::2904"), 2904));
    }

    #[test]
    fn a_star_covers_every_port_of_its_group() {
        let grants = multicast(&["[ff15::2904]:*"]);
        assert!(grants.grants_multicast(ip("ff15::2904"), 1));
        assert!(grants.grants_multicast(ip("ff15:0::2904"), 65535));
        assert!(!grants.grants_multicast(ip("ff15::2905"), 1));
    }

    #[test]
    fn a_grant_round_trips_through_its_text() {
        for text in ["224.2.2.4:2904", "224.2.2.4:*", "[ff15::2904]:2904", "[ff15::2904]:*"] {
            assert_eq!(multicast(&[text]).multicast[0].to_string(), text);
        }
    }

    #[test]
    fn an_invalid_multicast_grant_is_rejected_with_what_was_expected() {
        let form = |pattern| {
            format!(
                "multicast grant {pattern:?}: not a group and a port; expected \"224.2.2.4:2904\", \"[ff15::2904]:2904\", or \"224.2.2.4:*\" for every port"
            )
        };
        for pattern in [
            "",
            "*",
            "224.2.2.4",
            "224.2.2.4:2904:1",
            "ff15::2904:2904",
            "[ff15::2904]",
            "[ff15::2904]2904",
            "[ff15::2904:2904",
        ] {
            assert_eq!(refused(pattern), form(pattern));
        }
        assert_eq!(
            refused("*:2904"),
            "multicast grant \"*:2904\": \"*\" is not an IP address; a group is an IP literal"
        );
        assert_eq!(
            refused("10.0.0.1:2904"),
            "multicast grant \"10.0.0.1:2904\": 10.0.0.1 is not a multicast group; groups are 224.0.0.0 to 239.255.255.255 and ff00::/8"
        );
        assert_eq!(
            refused("[224.2.2.4]:2904"),
            "multicast grant \"[224.2.2.4]:2904\": \"224.2.2.4\" is not an IP address; a group is an IP literal"
        );
        let ports = [
            ("224.2.2.4:0", "0"),
            ("224.2.2.4:65536", "65536"),
            ("224.2.2.4:", ""),
            ("[ff15::2904]:", ""),
            ("[ff15::2904]:1:2", "1:2"),
        ];
        for (pattern, port) in ports {
            assert_eq!(
                refused(pattern),
                format!(
                    "multicast grant {pattern:?}: {port:?} is not a port; expected 1 to 65535, or *"
                )
            );
        }
    }
}
