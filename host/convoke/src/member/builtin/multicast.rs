//! `multicast`: joins the group of its argument or of the options.

use std::net::IpAddr;

use convoke_discovery::Grants;
use convoke_text::HostPort;

use super::{BuiltIn, setting};
use crate::interfaces::Choice;
use crate::settings::{ModeSettings, Settings};

/// Default group on an IPv6 interface: transient, site-local (RFC 4291, section 2.7).
const GROUP_IPV6: &str = "ff15::2904";
const GROUP_IPV4: &str = "224.2.2.4";

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "multicast",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/multicast.cwasm")),
    settings: |settings, choice| {
        vec![("group", group(settings, choice).to_string()), ("port", settings.mc_port.to_string())]
    },
    argument: None,
    grants,
    access: None,
};

fn group(settings: &Settings, choice: &Choice) -> IpAddr {
    let default = if choice.primary.ip.is_ipv4() { GROUP_IPV4 } else { GROUP_IPV6 };
    settings.mc_address.unwrap_or_else(|| default.parse().expect("an address"))
}

fn grants(settings: &Settings, choice: &Choice, mode: &ModeSettings) -> Grants {
    let setting = |key| setting(mode, key).map(str::to_owned);
    let group = setting("group").unwrap_or_else(|| group(settings, choice).to_string());
    let port = setting("port").unwrap_or_else(|| settings.mc_port.to_string());
    let named = named(&mode.argument, &group, &port);
    let grant = |named: String| Grants::parse([("multicast", [named].as_slice())]);
    // A malformed group is left for the mode to refuse: it gets the default grant, which it does
    // not use.
    grant(named).or_else(|_| grant(HostPort::join(GROUP_IPV4, 2904))).unwrap_or_default()
}

/// The group and port of an argument, which may omit the port, or both.
fn named(argument: &str, group: &str, port: &str) -> String {
    if argument.is_empty() {
        return HostPort::join(group, port);
    }
    let own = HostPort::split(argument).and_then(|place| place.port);
    match own.is_some_and(|port| port.parse::<u16>().is_ok()) {
        true => argument.to_owned(),
        false => HostPort::join(argument, port),
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn an_argument_may_omit_the_port_or_both() {
        for (argument, expected) in [
            ("", "224.2.2.4:2904"),
            ("224.2.2.9", "224.2.2.9:2904"),
            ("224.2.2.9:3000", "224.2.2.9:3000"),
            ("ff02::7", "[ff02::7]:2904"),
            ("ff02::7:3000", "[ff02::7:3000]:2904"),
            ("[ff02::7]", "[ff02::7]:2904"),
            ("[ff02::7]:3000", "[ff02::7]:3000"),
            // Malformed: no grant of this name exists.
            ("224.2.2.9:", "224.2.2.9::2904"),
            ("224.2.2.9:x", "224.2.2.9:x:2904"),
        ] {
            assert_eq!(named(argument, "224.2.2.4", "2904"), expected);
        }
        assert_eq!(named("", "ff15::2904", "2904"), "[ff15::2904]:2904");
    }
}
