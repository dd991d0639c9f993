//! Loads the configured modes.

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

/// Ports tried for a candidate without a port: the start port and the next two.
const DEFAULT_PORTS: u16 = 3;

/// The host that runs all modes of this process.
pub(crate) fn host(
    settings: &Settings,
    choice: &Choice,
    beacon_ciphers: BeaconCiphers,
    prober: Prober,
) -> Result<DiscoveryHost, String> {
    host_in(settings, choice, beacon_ciphers, prober, Backend::Real)
}

/// A host for inspecting components, in which nothing runs.
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

/// A host for modes in the given world.
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

/// Loads and checks all modes; a mode that cannot be loaded stops the start.
pub(crate) async fn load(
    host: &DiscoveryHost,
    settings: &Settings,
    choice: &Choice,
    local: &LocalMember,
) -> Result<Vec<LoadedMode>, String> {
    let mut loaded: Vec<LoadedMode> = Vec::new();
    for mode in &settings.modes {
        let mut spec = spec(settings, choice, mode)?;
        // Several instances of one mode get numbered names, which distinguishes them in the log.
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

/// Why a mode cannot be loaded; where a grant is missing, with the grant that it needs.
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
    let needed =
        host.rehearse_ungranted(spec, local).await.ok().and_then(|rehearsal| rehearsal.needed);
    needed.map_or(unlinkable.clone(), |grants| unlinkable.with_needed_grants(grants)).to_string()
}

/// The configured modes, as other members see them.
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
            // The settings only name built-in modes that exist.
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
            let defaults = || (built_in.grants)(settings, choice, &mode);
            let mut grants = mode.grants.clone().unwrap_or_else(defaults);
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
