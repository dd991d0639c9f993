//! `multicast`: joins the group of its argument or of the options.

use std::net::IpAddr;

use convoke_discovery::Grants;

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
    let named = match mode.argument.rsplit_once(':') {
        _ if mode.argument.is_empty() => bracketed(&group, &port),
        Some((_, port)) if port.parse::<u16>().is_ok() && !is_bare_ipv6(&mode.argument) => {
            mode.argument.clone()
        }
        _ => bracketed(&mode.argument, &port),
    };
    let grant = |named: String| Grants::parse([("multicast", [named].as_slice())]);
    // A malformed group is left for the mode to refuse: it gets the default grant, which it does
    // not use.
    grant(named).or_else(|_| grant(bracketed(GROUP_IPV4, "2904"))).unwrap_or_default()
}

fn bracketed(group: &str, port: &str) -> String {
    if is_bare_ipv6(group) { format!("[{group}]:{port}") } else { format!("{group}:{port}") }
}

fn is_bare_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}
