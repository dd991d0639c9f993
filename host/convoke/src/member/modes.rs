//! From settings to running modes.

use std::sync::Arc;

use convoke_discovery::{
    Backend, BeaconCiphers, CallError, DiscoveryHost, Fakes, HostConfig, LoadError, LoadedMode,
    LocalMember, ModeSpec, Prober, Problem, Source,
};

use convoke_membership::member::MODES_BYTES_MAX;

use super::{addresses, builtin};
use crate::folders;
use crate::interfaces::Choice;
use crate::settings::{ModeSettings, Settings};

/// Ports tried of a candidate without one: the start port and the next two.
const DEFAULT_PORTS: u16 = 3;

/// The host that all modes of this process run in.
pub(crate) fn host(
    settings: &Settings,
    choice: &Choice,
    beacon_ciphers: BeaconCiphers,
    prober: Prober,
) -> Result<DiscoveryHost, String> {
    host_in(settings, choice, beacon_ciphers, prober, Backend::Real)
}

/// One in which nothing runs: components are looked at.
pub(crate) fn host_without_a_member(settings: &Settings) -> Result<DiscoveryHost, String> {
    DiscoveryHost::new(HostConfig {
        interfaces: Vec::new(),
        multicast_hops: settings.mc_ttl,
        default_ports: Vec::new(),
        cache_directory: folders::cache(),
        state_directory: None,
        backend: Backend::Fake(Arc::default()),
        beacon_ciphers: BeaconCiphers::none(),
        prober: Arc::<Fakes>::default().prober(),
        on_own_thread: false,
    })
    .map_err(|error| error.to_string())
}

/// The host of modes in a certain world.
pub(crate) fn host_in(
    settings: &Settings,
    choice: &Choice,
    beacon_ciphers: BeaconCiphers,
    prober: Prober,
    backend: Backend,
) -> Result<DiscoveryHost, String> {
    let config = HostConfig {
        interfaces: addresses::interfaces(choice),
        multicast_hops: settings.mc_ttl,
        default_ports: (0..DEFAULT_PORTS)
            .filter_map(|step| settings.start_port.checked_add(step))
            .collect(),
        cache_directory: folders::cache(),
        state_directory: settings.state_directory.clone(),
        backend,
        beacon_ciphers,
        prober,
        on_own_thread: true,
    };
    DiscoveryHost::new(config).map_err(|error| error.to_string())
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
        let mut spec = spec(settings, choice, mode)?;
        // Two of one mode are told apart in every line about them.
        let namesakes = loaded.iter().filter(|l| l.name().split('#').next() == Some(&mode.name));
        let number = namesakes.count() + 1;
        if number > 1 {
            spec.name = format!("{}#{number}", spec.name);
        }
        let mode = match host.load(&spec).await {
            Ok(mode) => mode,
            Err(error) => return Err(refused(host, &spec, local, error).await),
        };
        host.check(&mode, local).await.map_err(|error| refusal(mode.name(), &error))?;
        loaded.push(mode);
    }
    Ok(loaded)
}

/// Why a mode is not loaded. Where it lacks a grant, with the one that it needs as it is
/// configured.
async fn refused(
    host: &DiscoveryHost,
    spec: &ModeSpec,
    local: &LocalMember,
    error: LoadError,
) -> String {
    let LoadError::Unlinkable(unlinkable) = error else { return error.to_string() };
    if unlinkable.grant.is_none() {
        return unlinkable.to_string();
    }
    let wanted =
        host.rehearse_ungranted(spec, local).await.ok().and_then(|rehearsal| rehearsal.needed);
    wanted.map_or(unlinkable.clone(), |grants| unlinkable.with_needed_grants(grants)).to_string()
}

/// The modes that are configured, for others to see.
pub(crate) fn listed(settings: &Settings) -> String {
    let mut list = String::new();
    for mode in &settings.modes {
        let separator = if list.is_empty() { "" } else { ", " };
        if list.len() + separator.len() + mode.name.len() > MODES_BYTES_MAX {
            break;
        }
        list.push_str(separator);
        list.push_str(&mode.name);
    }
    list
}

fn refusal(mode: &str, error: &CallError) -> String {
    match error {
        CallError::Problem(Problem::Misconfigured(text) | Problem::Denied(text)) => {
            format!("mode {mode:?}: {text}")
        }
        error => format!("mode {mode:?} cannot be configured: {error}"),
    }
}

fn spec(settings: &Settings, choice: &Choice, mode: &ModeSettings) -> Result<ModeSpec, String> {
    let mut mode = mode.clone();
    let mut given = mode.settings.clone();
    let (source, grants) = match &mode.plugin {
        Some(plugin) => (plugin.clone().into(), mode.grants.clone().unwrap_or_default()),
        None => {
            // Settings name no built-in mode that is not there.
            let built_in = builtin::find(&mode.name)
                .ok_or_else(|| format!("mode {:?} is not in this binary", mode.name))?;
            if let Some(argument) = built_in.argument {
                mode.argument = argument(&mode.argument, choice);
            }
            for (key, value) in (built_in.settings)(settings, choice) {
                if !given.iter().any(|(name, _)| name == key) {
                    given.push((key.to_owned(), value));
                }
            }
            let source = Source::Builtin { name: built_in.name, precompiled: built_in.component };
            let usual = || (built_in.grants)(settings, choice, &mode);
            let mut grants = mode.grants.clone().unwrap_or_else(usual);
            if let Some(access) = built_in.access {
                access(&mode, &mut grants).map_err(|why| format!("mode {:?}: {why}", mode.name))?;
            }
            (source, grants)
        }
    };
    Ok(ModeSpec {
        name: mode.name,
        source,
        digest: mode.digest,
        argument: mode.argument,
        settings: given,
        grants,
    })
}
