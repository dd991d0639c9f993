//! Contradictory settings from several sources: either the source with the higher precedence wins,
//! which is logged, or the start is refused. The command line takes precedence over the
//! environment, which takes precedence over the file.

use std::cmp::Ordering;

use convoke_text::HostPort;

use super::cli::Rank;
use super::data::ClientSettings;
use super::error::SettingsError;
use super::modes::ModeSettings;
use super::options::Options;
use super::sources::{Given, Sources};

/// The setting that determines how members are found; a file has two forms of it.
fn way(sources: &Sources<'_>) -> Option<Given<'static>> {
    let discovery = || sources.given("discovery").map(|found| Given::in_file(found.key));
    sources.given("cluster-mode").or_else(discovery)
}

/// Whether the member runs without a cluster. A source with higher precedence that determines how
/// members are found overrides `no-cluster`.
pub(super) fn no_cluster(sources: &Sources<'_>, is_set: bool, notes: &mut Vec<String>) -> bool {
    let (Some(none), Some(way)) = (sources.given("no-cluster"), way(sources)) else {
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
        // The maximum also applies to connections of Hazelcast clients.
        let max_clients = resolved.clients.hazelcast_port.is_none().then_some("max-clients");
        for of_resp in
            max_clients.into_iter().chain(["client-idle-s", "redis-cluster"]).filter_map(given)
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
        if range.rank > Rank::File {
            notes.push(format!("{from} has no effect without auto-bind-http"));
        }
    }
    Ok(())
}

/// Reports modes that a file configures but does not use, since its `cluster-mode` names others.
pub(super) fn unused(
    sources: &Sources<'_>,
    file: &Options,
    modes: &[ModeSettings],
    notes: &mut Vec<String>,
) {
    let is_overridden = sources.given("cluster-mode").is_some_and(|it| it.rank > Rank::File);
    if file.cluster_mode.is_none() || is_overridden {
        return;
    }
    let is_used = |name: &str| modes.iter().any(|mode| mode.name.eq_ignore_ascii_case(name));
    for entry in file.discovery.iter().filter(|entry| !is_used(&entry.mode)) {
        notes.push(format!(
            "{} does not name mode {:?}: its table in {} has no effect",
            sources.origin(Given::in_file("cluster-mode")),
            entry.mode,
            sources.origin(Given::in_file("discovery"))
        ));
    }
}

/// Resolves the group of the multicast mode, which can be set by the argument of the mode or by
/// `mc-address` and `mc-port`.
pub(super) fn group(
    sources: &Sources<'_>,
    merged: &Options,
    file: &Options,
    modes: &mut [ModeSettings],
    notes: &mut Vec<String>,
) -> Result<(), SettingsError> {
    let built_in = |mode: &ModeSettings| mode.name == "multicast" && mode.plugin.is_none();
    let port = merged.mc_port.map(|port| port.to_string());
    let others = [("mc-address", merged.mc_address.clone()), ("mc-port", port)];
    if !modes.iter().any(built_in) {
        if modes.iter().all(|mode| mode.plugin.is_none()) {
            let idle = others.iter().filter(|(_, value)| value.is_some());
            for given in
                idle.filter_map(|(key, _)| sources.given(key)).filter(|it| it.rank > Rank::File)
            {
                let from = sources.origin(given);
                notes.push(format!("{from} has no effect: no configured mode uses multicast"));
            }
        }
        return Ok(());
    }
    // Settings in a table of `discovery` take precedence over the mode's other sources.
    for mode in modes.iter_mut().filter(|mode| built_in(mode)) {
        let way = Given::in_file("discovery");
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
            if given.rank == Rank::File {
                return Err(SettingsError(format!(
                    "{own} sets {part} for multicast, and {other} sets {value}; keep one of them"
                )));
            }
            notes.push(format!("{other} overrides {own}: multicast uses {value}, not {part}"));
            mode.settings.remove(at);
        }
    }
    for mode in modes.iter_mut().filter(|mode| built_in(mode) && !mode.argument.is_empty()) {
        // On the command line or in the environment if it is there, otherwise in the file.
        let is_in = |texts: &[String]| texts.iter().any(|text| text.ends_with(&mode.argument));
        let in_file = file.cluster_mode.as_deref().is_some_and(is_in);
        let is_merged = merged.cluster_mode.as_deref().is_some_and(is_in);
        let way = match sources.given("cluster-mode") {
            Some(way) if way.rank > Rank::File && is_merged => way,
            _ if in_file => Given::in_file("cluster-mode"),
            _ => Given::in_file("discovery"),
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
                Ordering::Greater => {
                    notes.push(format!(
                        "{other} overrides {own}: multicast uses {value}, not {part}"
                    ));
                    *part = value.to_owned();
                    is_overruled = true;
                }
                Ordering::Less => {
                    notes.push(format!("{own} overrides {other}, {value}: multicast uses {part}"));
                }
                Ordering::Equal => {
                    return Err(SettingsError(format!(
                        "{own} sets {part} for multicast, and {other} sets {value}; keep one of them"
                    )));
                }
            }
        }
        // Unchanged, so that the mode quotes the original text if it rejects it.
        if !is_overruled {
            continue;
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        mode.argument = if port.is_empty() { host } else { format!("{host}:{port}") };
    }
    Ok(())
}

/// Group and port of an argument; empty if missing.
fn parts(argument: &str) -> [String; 2] {
    let Some(HostPort { host, port, .. }) = HostPort::split(argument) else {
        return [argument.trim_matches(['[', ']']).to_owned(), String::new()];
    };
    [host.to_owned(), port.unwrap_or_default().to_owned()]
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn an_argument_of_multicast_has_a_group_a_port_or_both() {
        for (argument, [group, port]) in [
            ("224.2.2.9", ["224.2.2.9", ""]),
            ("224.2.2.9:3000", ["224.2.2.9", "3000"]),
            ("224.2.2.9:", ["224.2.2.9", ""]),
            (":3000", ["", "3000"]),
            ("ff02::1", ["ff02::1", ""]),
            ("[ff02::1]", ["ff02::1", ""]),
            ("[ff02::1]:3000", ["ff02::1", "3000"]),
            ("[ff02::1%eth0]:3000", ["ff02::1%eth0", "3000"]),
            // Malformed; the mode rejects it.
            ("[ff02::1", ["ff02::1", ""]),
        ] {
            assert_eq!(parts(argument), [group, port], "{argument}");
        }
    }
}
