//! Settings from several sources that contradict each other: either the source with the higher
//! precedence wins and the log says so, or the start is refused. The command line takes precedence
//! over the environment, which takes precedence over the file.

use std::path::Path;

use clap::ArgMatches;

use super::cli::{self, Options};
use super::file::File;
use super::modes::ModeSettings;
use super::{ClientSettings, SettingsError};

/// The sources of settings.
pub(super) struct Sources<'a> {
    pub(super) matches: &'a ArgMatches,
    /// The file, if one was read.
    pub(super) path: Option<&'a Path>,
    /// The keys in the file.
    pub(super) keys: &'a [String],
}

/// A setting that was given, with its source.
#[derive(Clone, Copy)]
struct Given<'a> {
    key: &'a str,
    /// Precedence of the source; 0 is the file.
    rank: u8,
}

impl Sources<'_> {
    /// The setting, if any source has it.
    fn given<'a>(&self, key: &'a str) -> Option<Given<'a>> {
        let rank = cli::rank(self.matches, &key.replace('-', "_"));
        let is_in_file = || self.keys.iter().any(|known| known == key);
        (rank > 0 || is_in_file()).then_some(Given { key, rank })
    }

    /// The setting that says how to find members; a file has two forms of it.
    fn way(&self) -> Option<Given<'static>> {
        let discovery = || self.given("discovery").map(|found| Given { rank: 0, ..found });
        self.given("cluster-mode").or_else(discovery)
    }

    /// The setting as the operator wrote it.
    fn origin(&self, Given { key, rank }: Given<'_>) -> String {
        match (rank, self.path) {
            (2, _) => format!("--{key}"),
            (1, _) => format!("CONVOKE_{}", key.replace('-', "_").to_uppercase()),
            (_, Some(path)) => format!("{key} in {}", path.display()),
            (_, None) => key.to_owned(),
        }
    }
}

/// Whether the member runs without a cluster. A source with higher precedence that says how to find
/// members overrides `no-cluster`.
pub(super) fn no_cluster(sources: &Sources<'_>, is_set: bool, notes: &mut Vec<String>) -> bool {
    let (Some(none), Some(way)) = (sources.given("no-cluster"), sources.way()) else {
        return is_set;
    };
    if !is_set {
        return false;
    }
    let [none_from, way_from] = [none, way].map(|given| sources.origin(given));
    let finds_one = way.rank > none.rank;
    notes.push(match finds_one {
        true => format!("{way_from} overrides {none_from}: this member looks for a cluster"),
        false => format!("{none_from} overrides {way_from}: this member runs without a cluster"),
    });
    !finds_one
}

/// Settings that may contradict each other, resolved.
pub(super) struct Resolved<'a> {
    pub(super) clients: &'a ClientSettings,
    pub(super) no_cluster: bool,
    pub(super) lite: bool,
    pub(super) min_members: u32,
    pub(super) auto_bind_http: bool,
}

/// Reports settings that have no effect in combination with others, and refuses contradictions.
pub(super) fn check(
    sources: &Sources<'_>,
    resolved: &Resolved<'_>,
    notes: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let given = |key| sources.given(key);
    if resolved.no_cluster && resolved.lite {
        let origins = ["no-cluster", "lite"].map(|key| given(key).map(|it| sources.origin(it)));
        let [Some(none), Some(lite)] = origins else { return Ok(()) };
        return Err(SettingsError(format!(
            "{none} and {lite} contradict each other: a single member that stores no data refuses every write; remove one of them"
        )));
    }
    if resolved.min_members > 1
        && let Some(min) = given("min-members")
    {
        let min = sources.origin(min);
        if resolved.no_cluster {
            notes.push(format!(
                "no-cluster is set, and {min} requires more than one member: every write is refused"
            ));
        } else if resolved.lite {
            notes.push(format!(
                "lite is set, so {min} has no effect on this member; set it on the members that store data"
            ));
        }
    }
    if resolved.clients.resp_port.is_none()
        && let Some(port) = given("resp-port")
    {
        let port_from = sources.origin(port);
        for of_resp in
            ["max-clients", "client-idle-s", "redis-cluster"].into_iter().filter_map(given)
        {
            let from = sources.origin(of_resp);
            if of_resp.rank > port.rank {
                return Err(SettingsError(format!(
                    "{from} is set, but RESP is off: {port_from} is 0; set --resp-port as well, or remove it"
                )));
            }
            notes.push(format!("{port_from} is 0: {from} has no effect"));
        }
    }
    if let Some(range) = given("auto-bind-range")
        && !resolved.auto_bind_http
    {
        let from = sources.origin(range);
        if range.rank > 0 {
            notes.push(format!("{from} has no effect without auto-bind-http"));
        }
    }
    Ok(())
}

/// Reports modes that a file describes but does not use, since its own `cluster-mode` names others.
pub(super) fn unused(
    sources: &Sources<'_>,
    options: &Options,
    file: &File,
    modes: &[ModeSettings],
    notes: &mut Vec<String>,
) {
    if file.cluster_mode.is_none() || !options.cluster_mode.is_empty() {
        return;
    }
    let is_used = |name: &str| modes.iter().any(|mode| mode.name.eq_ignore_ascii_case(name));
    for entry in file.discovery.iter().filter(|entry| !is_used(&entry.mode)) {
        let [way, entries] = ["cluster-mode", "discovery"].map(|key| Given { key, rank: 0 });
        notes.push(format!(
            "{} does not name mode {:?}: its table in {} has no effect",
            sources.origin(way),
            entry.mode,
            sources.origin(entries)
        ));
    }
}

/// Resolves the group of the multicast mode, which can be set by the argument of the mode or by
/// `mc-address` and `mc-port`.
pub(super) fn group(
    sources: &Sources<'_>,
    options: &Options,
    file: &File,
    modes: &mut [ModeSettings],
    notes: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let built_in = |mode: &ModeSettings| mode.name == "multicast" && mode.plugin.is_none();
    let address = options.mc_address.clone().or_else(|| file.mc_address.clone());
    let port = options.mc_port.or(file.mc_port).map(|port| port.to_string());
    let others = [("mc-address", address), ("mc-port", port)];
    if !modes.iter().any(built_in) {
        if modes.iter().all(|mode| mode.plugin.is_none()) {
            let idle = others.iter().filter(|(_, value)| value.is_some());
            for given in idle.filter_map(|(key, _)| sources.given(key)).filter(|it| it.rank > 0) {
                let from = sources.origin(given);
                notes.push(format!("{from} has no effect: no configured mode uses multicast"));
            }
        }
        return Ok(());
    }
    // Settings in a table of `discovery` take precedence over the mode's other sources.
    for mode in modes.iter_mut().filter(|mode| built_in(mode)) {
        let way = Given { key: "discovery", rank: 0 };
        for ((key, value), name) in others.iter().zip(["group", "port"]) {
            let set = mode.settings.iter().position(|(known, _)| known == name);
            let (Some(at), Some(value), Some(given)) = (set, value, sources.given(key)) else {
                continue;
            };
            let (value, part) = (value.trim_matches(['[', ']']), mode.settings[at].1.clone());
            if part.trim_matches(['[', ']']) == value {
                continue;
            }
            let [own, other] = [way, given].map(|given| sources.origin(given));
            if given.rank == 0 {
                return Err(SettingsError(format!(
                    "{own} sets {part} for multicast, and {other} sets {value}; keep one of them"
                )));
            }
            notes.push(format!("{other} overrides {own}: multicast uses {value}, not {part}"));
            mode.settings.remove(at);
        }
    }
    for mode in modes.iter_mut().filter(|mode| built_in(mode) && !mode.argument.is_empty()) {
        // Set on the command line or in the environment if it is there, otherwise in the file.
        let is_in = |texts: &[String]| texts.iter().any(|text| text.ends_with(&mode.argument));
        let in_file = file.cluster_mode.as_ref().is_some_and(|modes| is_in(modes.as_slice()));
        let way = match sources.given("cluster-mode") {
            Some(way) if way.rank > 0 && is_in(&options.cluster_mode) => way,
            _ if in_file => Given { key: "cluster-mode", rank: 0 },
            _ => Given { key: "discovery", rank: 0 },
        };
        let [mut host, mut port] = parts(&mode.argument);
        let mut is_overruled = false;
        for ((key, value), part) in others.iter().zip([&mut host, &mut port]) {
            let (Some(value), Some(given)) = (value, sources.given(key)) else { continue };
            let value = value.trim_matches(['[', ']']);
            if part.is_empty() && !value.is_empty() || part == value {
                continue;
            }
            let [own, other] = [way, given].map(|given| sources.origin(given));
            match given.rank.cmp(&way.rank) {
                std::cmp::Ordering::Greater => {
                    notes.push(format!(
                        "{other} overrides {own}: multicast uses {value}, not {part}"
                    ));
                    *part = value.to_owned();
                    is_overruled = true;
                }
                std::cmp::Ordering::Less => {
                    notes.push(format!("{own} overrides {other}, {value}: multicast uses {part}"));
                }
                std::cmp::Ordering::Equal => {
                    return Err(SettingsError(format!(
                        "{own} sets {part} for multicast, and {other} sets {value}; keep one of them"
                    )));
                }
            }
        }
        // Unchanged, so that the mode can quote it as it was written if it refuses it.
        if !is_overruled {
            continue;
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        mode.argument = if port.is_empty() { host } else { format!("{host}:{port}") };
    }
    Ok(())
}

/// Group and port of an argument; empty where it has none.
fn parts(argument: &str) -> [String; 2] {
    let bare = argument.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, port) = match argument.rsplit_once(':') {
        Some((host, port)) if !bare && !port.ends_with(']') => (host, port),
        _ => (argument, ""),
    };
    [host.trim_matches(['[', ']']).to_owned(), port.to_owned()]
}
