//! What an operator allows one mode to do: `grant = { multicast = ["224.2.2.4:2904"] }`.
//!
//! Policy only. Nothing is granted by default; the capabilities ask here at each call.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What one mode may do. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Groups that may be joined.
    pub multicast: Vec<MulticastGrant>,
}

/// One multicast group, on one port or on every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastGrant {
    group: IpAddr,
    /// `None` covers every port.
    port: Option<u16>,
}

/// A grant that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A capability nobody knows.
    #[error("grant {0:?} is not known; what can be granted is: multicast")]
    UnknownCapability(String),
    /// Not of the form `group:port`.
    #[error(
        "multicast grant {0:?} is not a group and a port; expected \"224.2.2.4:2904\", \"[ff15::2904]:2904\", or \"224.2.2.4:*\" for every port"
    )]
    MulticastForm(String),
    /// The part before the port is no IP literal.
    #[error("multicast grant {0:?}: {1:?} is not an IP address; a group is written as a literal")]
    MulticastAddress(String, String),
    /// An address that is not a multicast group.
    #[error(
        "multicast grant {0:?}: {1} is not a multicast group; groups are 224.0.0.0 to 239.255.255.255 and ff00::/8"
    )]
    NotMulticast(String, IpAddr),
    /// The part after the last colon is no port.
    #[error("multicast grant {0:?}: {1:?} is not a port; expected 1 to 65535, or *")]
    MulticastPort(String, String),
}

impl Grants {
    /// Reads what the configuration holds under `grant`: each capability with its patterns.
    pub fn parse<'a, P: AsRef<str> + 'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a [P])>,
    ) -> Result<Self, GrantError> {
        let mut grants = Self::default();
        for (capability, patterns) in entries {
            match capability {
                "multicast" => {
                    for pattern in patterns {
                        grants.multicast.push(pattern.as_ref().parse()?);
                    }
                }
                unknown => return Err(GrantError::UnknownCapability(unknown.to_owned())),
            }
        }
        Ok(grants)
    }

    /// Whether `group` may be joined on `port`.
    pub fn grants_multicast(&self, group: IpAddr, port: u16) -> bool {
        self.multicast
            .iter()
            .any(|grant| grant.group == group && grant.port.is_none_or(|granted| granted == port))
    }
}

impl FromStr for MulticastGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let form = || GrantError::MulticastForm(text.to_owned());
        let address_error =
            |part: &str| GrantError::MulticastAddress(text.to_owned(), part.to_owned());
        let (group, port): (IpAddr, &str) = if let Some(rest) = text.strip_prefix('[') {
            let (group, port) = rest.split_once("]:").ok_or_else(form)?;
            let group: Ipv6Addr = group.parse().map_err(|_| address_error(group))?;
            (group.into(), port)
        } else {
            let (group, port) = text.rsplit_once(':').ok_or_else(form)?;
            if group.contains(':') {
                return Err(form());
            }
            let group: Ipv4Addr = group.parse().map_err(|_| address_error(group))?;
            (group.into(), port)
        };
        if !group.is_multicast() {
            return Err(GrantError::NotMulticast(text.to_owned(), group));
        }
        let port = match port {
            "*" => None,
            number => match number.parse() {
                Ok(port) if port != 0 => Some(port),
                _ => return Err(GrantError::MulticastPort(text.to_owned(), number.to_owned())),
            },
        };
        Ok(Self { group, port })
    }
}

impl fmt::Display for MulticastGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            IpAddr::V4(group) => write!(f, "{group}:")?,
            IpAddr::V6(group) => write!(f, "[{group}]:")?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Grants;
    use std::net::IpAddr;

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
    fn a_grant_reads_back_as_it_was_written() {
        for text in ["224.2.2.4:2904", "224.2.2.4:*", "[ff15::2904]:2904", "[ff15::2904]:*"] {
            assert_eq!(multicast(&[text]).multicast[0].to_string(), text);
        }
    }

    #[test]
    fn a_capability_nobody_knows_is_refused() {
        assert_eq!(
            Grants::parse([("multicats", ["224.2.2.4:2904"].as_slice())]).unwrap_err().to_string(),
            "grant \"multicats\" is not known; what can be granted is: multicast"
        );
    }

    #[test]
    fn what_is_no_multicast_grant_is_refused_with_what_was_expected() {
        let form = |pattern| {
            format!(
                "multicast grant {pattern:?} is not a group and a port; expected \"224.2.2.4:2904\", \"[ff15::2904]:2904\", or \"224.2.2.4:*\" for every port"
            )
        };
        for pattern in ["", "*", "224.2.2.4", "ff15::2904:2904", "[ff15::2904]"] {
            assert_eq!(refused(pattern), form(pattern));
        }
        assert_eq!(
            refused("*:2904"),
            "multicast grant \"*:2904\": \"*\" is not an IP address; a group is written as a literal"
        );
        assert_eq!(
            refused("10.0.0.1:2904"),
            "multicast grant \"10.0.0.1:2904\": 10.0.0.1 is not a multicast group; groups are 224.0.0.0 to 239.255.255.255 and ff00::/8"
        );
        for (pattern, port) in [("224.2.2.4:0", "0"), ("224.2.2.4:65536", "65536")] {
            assert_eq!(
                refused(pattern),
                format!(
                    "multicast grant {pattern:?}: {port:?} is not a port; expected 1 to 65535, or *"
                )
            );
        }
    }
}
