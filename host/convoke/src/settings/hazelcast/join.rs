//! `network.join`: which of Hazelcast's ways of finding members are on, as modes.

use std::collections::BTreeMap;

use super::super::file::{Discovery, File, Plain};
use super::document::Document;
use super::members;
use super::{GROUP, GROUP_PORT};

const JOIN: &str = "network.join";

/// Several may be on: here they all run.
pub(super) fn translate(
    document: &mut Document,
    file: &mut File,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    multicast(document, file)?;
    tcp_ip(document, file)?;
    kubernetes(document, file, ignored)?;
    let automatic = document.is_on("network.join.auto-detection.enabled", true)?;
    others(document, ignored)?;
    if !file.discovery.is_empty() {
        return Ok(());
    }
    if automatic && ignored.is_empty() {
        file.mc_address = Some(GROUP.to_owned());
        file.mc_port = Some(GROUP_PORT);
        file.discovery.push(mode("auto", String::new()));
    } else {
        // As there: a member that nobody told how to find others is alone.
        file.no_cluster = Some(true);
    }
    Ok(())
}

fn mode(name: &str, argument: String) -> Discovery {
    Discovery {
        mode: name.to_owned(),
        argument,
        plugin: None,
        digest: None,
        settings: BTreeMap::new(),
        grant: BTreeMap::new(),
        wasi: None,
    }
}

fn multicast(document: &mut Document, file: &mut File) -> Result<(), String> {
    let path = |name: &str| format!("{JOIN}.multicast.{name}");
    if !document.is_on(&path("enabled"), false)? {
        document.forget("network.join.multicast");
        return Ok(());
    }
    let group = document.text(&path("multicast-group"))?.unwrap_or_else(|| GROUP.to_owned());
    let port = match document.text(&path("multicast-port"))? {
        Some(text) => document.number(&path("multicast-port"), &text)?,
        None => GROUP_PORT,
    };
    if let Some(text) = document.text(&path("multicast-time-to-live"))? {
        let ttl = text.parse().ok().filter(|ttl| *ttl > 0u8);
        let ttl = ttl.ok_or_else(|| {
            format!("hazelcast.{}: {text:?} is not 1 to 255", path("multicast-time-to-live"))
        })?;
        file.mc_ttl = Some(ttl);
    }
    // How long it waits for an answer: here each is answered at once.
    document.forget(&path("multicast-timeout-seconds"));
    let group = if group.contains(':') { format!("[{group}]") } else { group };
    file.discovery.push(mode("multicast", format!("{group}:{port}")));
    Ok(())
}

fn tcp_ip(document: &mut Document, file: &mut File) -> Result<(), String> {
    if !document.is_on("network.join.tcp-ip.enabled", false)? {
        document.forget("network.join.tcp-ip");
        return Ok(());
    }
    let mut texts = Vec::new();
    for name in
        ["member", "members", "member-list", "member-list.member", "interface", "required-member"]
    {
        texts.extend(document.texts(&format!("{JOIN}.tcp-ip.{name}"))?);
    }
    document.forget("network.join.tcp-ip.connection-timeout-seconds");
    let listed = members::sort(&texts);
    if listed.addresses.is_empty() && listed.names.is_empty() {
        return Err("hazelcast.network.join.tcp-ip is enabled and names no member".to_owned());
    }
    for (name, list) in [("tcpip", listed.addresses), ("dns", listed.names)] {
        if !list.is_empty() {
            file.discovery.push(mode(name, list.join(",")));
        }
    }
    Ok(())
}

fn kubernetes(
    document: &mut Document,
    file: &mut File,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let path = |name: &str| format!("{JOIN}.kubernetes.{name}");
    if !document.is_on(&path("enabled"), false)? {
        document.forget("network.join.kubernetes");
        return Ok(());
    }
    let port = match document.text(&path("service-port"))? {
        Some(text) if text == "0" => None,
        Some(text) => Some(document.number(&path("service-port"), &text)?),
        None => None,
    };
    if let Some(name) = document.text(&path("service-dns"))? {
        document.forget(&path("service-dns-timeout"));
        let argument = port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        file.discovery.push(mode("dns", argument));
        return Ok(());
    }
    let mut found = mode("kubernetes", String::new());
    let mut set = |key: &str, value: Plain| found.settings.insert(key.to_owned(), value);
    for (theirs, ours) in [("namespace", "namespace"), ("service-name", "service")] {
        if let Some(text) = document.text(&path(theirs))? {
            set(ours, Plain::Text(text));
        }
    }
    if let Some(port) = port {
        set("port", Plain::Number(port.into()));
    }
    if !document.is_on(&path("resolve-not-ready-addresses"), true)? {
        set("not-ready", Plain::Boolean(false));
    }
    let names = document.text(&path("pod-label-name"))?;
    let values = document.text(&path("pod-label-value"))?;
    if let (Some(names), Some(values)) = (names, values) {
        let (names, values): (Vec<_>, Vec<_>) =
            (names.split(',').collect(), values.split(',').collect());
        if names.len() != values.len() {
            return Err(format!(
                "hazelcast.{}: {} names and {} values; expected as many of each",
                path("pod-label-name"),
                names.len(),
                values.len()
            ));
        }
        let pairs = names
            .iter()
            .zip(values)
            .map(|(name, value)| format!("{}={}", name.trim(), value.trim()));
        set("label-selector", Plain::Text(pairs.collect::<Vec<_>>().join(",")));
    }
    file.discovery.push(found);
    for name in document.names_below("network.join.kubernetes") {
        ignored.push(format!("hazelcast.{}", path(&name)));
    }
    document.forget("network.join.kubernetes");
    Ok(())
}

/// Clouds and registries, and whatever else there is.
fn others(document: &mut Document, ignored: &mut Vec<String>) -> Result<(), String> {
    for name in document.names_below(JOIN) {
        let path = format!("{JOIN}.{name}");
        if name == "multicast" || name == "tcp-ip" {
            continue;
        }
        let is_on = document.is_on(&format!("{path}.enabled"), name == "discovery-strategies")?;
        document.forget(&path);
        if is_on {
            ignored.push(format!(
                "hazelcast.{path} (there is no such mode here; list addresses with tcpip, names with dns, or load a mode of your own)"
            ));
        }
    }
    Ok(())
}
