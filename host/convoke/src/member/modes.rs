//! From settings to running modes.

use std::net::IpAddr;
use std::path::PathBuf;

use convoke_discovery::{
    BeaconCiphers, CallError, DiscoveryHost, Grants, HostConfig, Interface, LoadedMode,
    LocalMember, ModeSpec, Problem, Source,
};

use crate::interfaces::Choice;
use crate::settings::{ModeSettings, Settings};

/// Group on an IPv6 interface, when none is named: transient, site-local.
const GROUP_IPV6: &str = "ff15::2904";
const GROUP_IPV4: &str = "224.2.2.4";
/// Ports tried of a candidate without one: the start port and the next two.
const DEFAULT_PORTS: u16 = 3;

const MULTICAST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/multicast.cwasm"));
const TCPIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tcpip.cwasm"));

/// The host that all modes of this process run in.
pub(crate) fn host(
    settings: &Settings,
    choice: &Choice,
    beacon_ciphers: BeaconCiphers,
) -> Result<DiscoveryHost, String> {
    let interfaces = choice
        .all
        .iter()
        .map(|local| Interface { address: local.ip, index: local.index })
        .collect();
    let config = HostConfig {
        interfaces,
        multicast_hops: settings.mc_ttl,
        default_ports: (0..DEFAULT_PORTS)
            .filter_map(|step| settings.start_port.checked_add(step))
            .collect(),
        cache_directory: cache_directory(),
        beacon_ciphers,
    };
    DiscoveryHost::new(config).map_err(|error| error.to_string())
}

/// Where compiled components are kept, as the XDG base directories say.
fn cache_directory() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".cache")))?;
    Some(base.join("convoke").join("modes"))
}

/// Loads and checks all modes: what is wrong with one stops the start.
pub(crate) async fn load(
    host: &DiscoveryHost,
    settings: &Settings,
    choice: &Choice,
    local: &LocalMember,
) -> Result<Vec<LoadedMode>, String> {
    let mut loaded: Vec<LoadedMode> = Vec::new();
    for mode in &settings.modes {
        let mut spec = spec(settings, choice, mode);
        // Two of one mode are told apart in every line about them.
        let namesakes = loaded.iter().filter(|l| l.name().split('#').next() == Some(&mode.name));
        let number = namesakes.count() + 1;
        if number > 1 {
            spec.name = format!("{}#{number}", spec.name);
        }
        let mode = host.load(&spec).await.map_err(|error| error.to_string())?;
        host.check(&mode, local).await.map_err(|error| refusal(mode.name(), &error))?;
        loaded.push(mode);
    }
    Ok(loaded)
}

fn refusal(mode: &str, error: &CallError) -> String {
    match error {
        CallError::Problem(Problem::Misconfigured(text) | Problem::Denied(text)) => {
            format!("mode {mode:?}: {text}")
        }
        error => format!("mode {mode:?} cannot be configured: {error}"),
    }
}

fn spec(settings: &Settings, choice: &Choice, mode: &ModeSettings) -> ModeSpec {
    let source = match (&mode.plugin, mode.name.as_str()) {
        (Some(path), _) => Source::File(path.clone()),
        (None, "multicast") => Source::Builtin { name: "multicast", precompiled: MULTICAST },
        (None, _) => Source::Builtin { name: "tcpip", precompiled: TCPIP },
    };
    let mut given = mode.settings.clone();
    let mut usual = |key: &str, value: String| {
        if !given.iter().any(|(name, _)| name == key) {
            given.push((key.to_owned(), value));
        }
    };
    let built_in = mode.plugin.is_none();
    match mode.name.as_str() {
        "multicast" if built_in => {
            let group = group(settings, choice);
            usual("group", group.to_string());
            usual("port", settings.mc_port.to_string());
        }
        "tcpip" if built_in => usual("start-port", settings.start_port.to_string()),
        _ => {}
    }
    let grants = match &mode.grants {
        Some(grants) => grants.clone(),
        None => usual_grants(settings, choice, mode),
    };
    ModeSpec {
        name: mode.name.clone(),
        source,
        digest: mode.digest,
        argument: mode.argument.clone(),
        settings: given,
        grants,
    }
}

fn group(settings: &Settings, choice: &Choice) -> IpAddr {
    let usual = if choice.primary.ip.is_ipv4() { GROUP_IPV4 } else { GROUP_IPV6 };
    settings.mc_address.unwrap_or_else(|| usual.parse().expect("an address"))
}

/// A built-in mode that has no grant of its own gets what it is configured to
/// use, and no more: the group that its argument or the options name.
fn usual_grants(settings: &Settings, choice: &Choice, mode: &ModeSettings) -> Grants {
    if mode.name != "multicast" {
        return Grants::default();
    }
    let setting = |key: &str| mode.settings.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
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
    // What is no group is for the mode to refuse, in its own words: it gets a
    // grant that it will not use.
    grant(named).or_else(|_| grant(bracketed(GROUP_IPV4, "2904"))).unwrap_or_default()
}

fn bracketed(group: &str, port: &str) -> String {
    if is_bare_ipv6(group) { format!("[{group}]:{port}") } else { format!("{group}:{port}") }
}

fn is_bare_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}
