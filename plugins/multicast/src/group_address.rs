//! The address of the multicast group: IP address and port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use convoke_mode_sdk::{ModeConfig, log, quoted};

/// The default group.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 2, 2, 4));

/// The default UDP port.
const PORT: u16 = 2904;

/// The valid groups, for error texts.
pub(crate) const EXPECTED: &str =
    "expected 224.0.0.0–239.255.255.255 or ff00::/8, as in multicast:224.2.2.4:2904";

/// A multicast group and a UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupAddress {
    pub(crate) group: IpAddr,
    pub(crate) port: u16,
}

impl GroupAddress {
    /// Selects group and port: the argument takes precedence over the settings, and the
    /// settings over the defaults. Error texts are for the operator, and start with the
    /// offending value.
    pub(crate) fn choose(config: &ModeConfig) -> Result<Self, String> {
        let mut address = Self { group: GROUP, port: PORT };
        for (key, value) in &config.settings {
            match key.as_str() {
                "group" => address.group = parse_group(value)?,
                "port" => address.port = parse_port(value, &format!("port = {value}"))?,
                _ => log::warn("unknown setting ignored", &[("setting", key)]),
            }
        }
        let argument = config.argument.trim();
        if argument.is_empty() {
            return Ok(address);
        }
        if argument.parse::<IpAddr>().is_ok() {
            address.group = parse_group(argument)?;
            return Ok(address);
        }
        let (group, port) = match argument.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((group, "")) => (group, None),
            Some((group, rest)) => match rest.strip_prefix(':') {
                Some(port) => (group, Some(port)),
                None => return Err(not_a_group(argument)),
            },
            None => match argument.split_once(':') {
                Some((group, port)) => (group, Some(port)),
                None => (argument, None),
            },
        };
        address.group = parse_group(group)?;
        if let Some(port) = port {
            address.port = parse_port(port, argument)?;
        }
        Ok(address)
    }
}

/// `224.2.2.4:2904` or `[ff02::1]:2904`.
impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.group, self.port).fmt(f)
    }
}

fn parse_group(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(group) if group.is_multicast() => Ok(group),
        _ => Err(not_a_group(text)),
    }
}

fn parse_port(text: &str, whole: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(format!(
            "{} is not a port (in {}); expected 1 to 65535, as in multicast:224.2.2.4:2904",
            quoted(text),
            quoted(whole)
        )),
    }
}

fn not_a_group(text: &str) -> String {
    format!("{} is not a multicast address; {EXPECTED}", quoted(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose(argument: &str, settings: &[(&str, &str)]) -> Result<String, String> {
        let settings = settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let config = ModeConfig { argument: argument.to_owned(), settings };
        GroupAddress::choose(&config).map(|address| address.to_string())
    }

    #[test]
    fn the_argument_takes_precedence_over_settings_and_defaults() {
        let settings = [("group", "224.9.9.9"), ("port", "9")];
        assert_eq!(choose("", &[]).unwrap(), "224.2.2.4:2904");
        assert_eq!(choose("", &settings).unwrap(), "224.9.9.9:9");
        assert_eq!(choose("239.1.1.1", &settings).unwrap(), "239.1.1.1:9");
        assert_eq!(choose("239.1.1.1:7", &settings).unwrap(), "239.1.1.1:7");
    }

    #[test]
    fn ipv6_groups_are_parsed_with_and_without_brackets() {
        assert_eq!(choose("ff02::1", &[]).unwrap(), "[ff02::1]:2904");
        assert_eq!(choose("[ff02::1]", &[]).unwrap(), "[ff02::1]:2904");
        assert_eq!(choose("[ff02::1]:7", &[]).unwrap(), "[ff02::1]:7");
        assert_eq!(choose("", &[("group", "ff02::1")]).unwrap(), "[ff02::1]:2904");
    }

    #[test]
    fn an_invalid_group_is_rejected() {
        let cases =
            [("10.0.0.1", "10.0.0.1"), ("10.0.0.1:7", "10.0.0.1"), ("[::1]:7", "::1"), ("x", "x")];
        for (argument, group) in cases {
            assert_eq!(
                choose(argument, &[]).unwrap_err(),
                format!(
                    "\"{group}\" is not a multicast address; expected 224.0.0.0–239.255.255.255 \
                     or ff00::/8, as in multicast:224.2.2.4:2904"
                )
            );
        }
        assert!(choose("", &[("group", "10.0.0.1")]).is_err());
        assert!(choose("[ff02::1]7", &[]).is_err());
    }

    #[test]
    fn an_invalid_port_is_rejected() {
        for port in ["0", "70000", "x", "", "+7"] {
            assert_eq!(
                choose(&format!("224.2.2.4:{port}"), &[]).unwrap_err(),
                format!(
                    "\"{port}\" is not a port (in \"224.2.2.4:{port}\"); expected 1 to 65535, as \
                     in multicast:224.2.2.4:2904"
                )
            );
        }
        assert_eq!(
            choose("", &[("port", "0")]).unwrap_err(),
            "\"0\" is not a port (in \"port = 0\"); expected 1 to 65535, as in \
             multicast:224.2.2.4:2904"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(argument: String) {
            let _ = choose(&argument, &[]);
        }
    }
}
