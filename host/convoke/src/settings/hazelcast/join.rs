//! Translates `network.join`: the enabled join mechanisms become modes.

use std::collections::BTreeMap;

use super::super::options::Options;
use super::super::tables::{Discovery, Plain};
use super::defaults::{GROUP, GROUP_PORT, PORT};
use super::document::Document;
use super::members;
use crate::address_list::with_port;

const JOIN: &str = "network.join";
/// Join mechanisms without a counterpart.
const ELSEWHERE: [&str; 4] = ["aws", "azure", "eureka", "gcp"];

/// Translates all enabled mechanisms; the resulting modes run concurrently.
pub(super) fn translate(
    document: &mut Document,
    file: &mut Options,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let group = multicast(document, file)?;
    tcp_ip(document, file)?;
    if document.is_on("network.join.kubernetes.enabled", false)? {
        kubernetes(document, "network.join.kubernetes", file, ignored)?;
    } else {
        document.forget("network.join.kubernetes");
    }
    strategies(document, file, ignored)?;
    let automatic = document.is_on("network.join.auto-detection.enabled", true)?;
    others(document)?;
    if !file.discovery.is_empty() {
        return Ok(());
    }
    if automatic {
        group.check_trust(document)?;
        file.mc_address = Some(group.address);
        file.mc_port = Some(group.port);
        file.mc_ttl = group.ttl;
        file.discovery.push(mode("auto", String::new()));
    } else {
        // As in Hazelcast, a member without a join mechanism stays alone.
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

/// A multicast group, with its trusted senders.
struct Group {
    address: String,
    port: u16,
    ttl: Option<u8>,
    trusted: Vec<String>,
}

impl Group {
    /// Hazelcast ignores messages of other senders in the group. In Convoke every member with the
    /// password may join from any host, so the restriction cannot be honoured: unless all senders
    /// are trusted, the file is rejected.
    fn check_trust(&self, document: &Document) -> Result<(), String> {
        let is_everybody = |pattern: &String| {
            pattern.split(['.', ':']).all(|part| matches!(part, "*" | "0-255" | "0-ffff"))
        };
        if self.trusted.is_empty() || self.trusted.iter().any(is_everybody) {
            return Ok(());
        }
        Err(format!(
            "{} decides by address which hosts may be members; Convoke uses the cluster password for this: remove it, and set --cluster-password-file",
            document.shown("network.join.multicast.trusted-interfaces")
        ))
    }
}

/// The group that the file names. Auto-detection uses it even if multicast is disabled.
fn multicast(document: &mut Document, file: &mut Options) -> Result<Group, String> {
    let path = |name: &str| format!("{JOIN}.multicast.{name}");
    let is_on = document.is_on(&path("enabled"), false)?;
    let address = document.text(&path("multicast-group"))?.unwrap_or_else(|| GROUP.to_owned());
    let port = match document.text(&path("multicast-port"))? {
        Some(text) => document.port(&path("multicast-port"), &text)?,
        None => GROUP_PORT,
    };
    let ttl = document.number(&path("multicast-time-to-live"), 0..=255)?;
    let mut trusted = document.texts(&path("trusted-interfaces"))?;
    trusted.extend(document.texts(&path("trusted-interfaces.interface"))?);
    // The timeout is not needed, since beacons are answered immediately; the loopback mode does not
    // apply.
    document.forget("network.join.multicast");
    let ttl = ttl.and_then(|ttl| u8::try_from(ttl).ok());
    let group = Group { address, port, ttl, trusted };
    if is_on {
        group.check_trust(document)?;
        let Group { address, port, .. } = &group;
        let address = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        file.mc_ttl = ttl;
        file.discovery.push(mode("multicast", format!("{address}:{port}")));
    }
    Ok(group)
}

fn tcp_ip(document: &mut Document, file: &mut Options) -> Result<(), String> {
    if !document.is_on("network.join.tcp-ip.enabled", false)? {
        document.forget("network.join.tcp-ip");
        return Ok(());
    }
    let mut texts = Vec::new();
    for name in ["member", "members", "member-list", "member-list.member", "interface"] {
        texts.extend(document.texts(&format!("{JOIN}.tcp-ip.{name}"))?);
    }
    document.forget("network.join.tcp-ip.connection-timeout-seconds");
    let required = document.text(&format!("{JOIN}.tcp-ip.required-member"))?;
    let listed = members::sort(&texts);
    if listed.addresses.is_empty() && listed.names.is_empty() && required.is_none() {
        return Err(format!(
            "{} is enabled but has no members",
            document.shown("network.join.tcp-ip")
        ));
    }
    // Only the required member may found the cluster.
    if let Some(member) = required {
        let port = file.start_port.unwrap_or(PORT);
        let mut mode = mode("domain", with_port(&member, port));
        mode.settings.insert("required".to_owned(), Plain::Boolean(true));
        file.discovery.push(mode);
    }
    for (name, list) in [("tcpip", listed.addresses), ("dns", listed.names)] {
        if !list.is_empty() {
            file.discovery.push(mode(name, list.join(",")));
        }
    }
    Ok(())
}

/// Translates discovery plug-ins by class name. Only the Kubernetes plug-in is supported, in the
/// form in which Hazelcast 3 configured it.
fn strategies(
    document: &mut Document,
    file: &mut Options,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    const PATH: &str = "network.join.discovery-strategies";
    for name in document.names_below(PATH) {
        let path = format!("{PATH}.{name}");
        if !name.starts_with("discovery-strategy[") {
            continue;
        }
        if !document.is_on(&format!("{path}.enabled"), false)? {
            document.forget(&path);
            continue;
        }
        let class = ["discovery-strategy-factory", "class"].map(|name| format!("{path}.{name}"));
        let class = document.last_text(class)?.unwrap_or_default();
        if class.rsplit('.').next() != Some("HazelcastKubernetesDiscoveryStrategy") {
            return Err(no_such_mode(document, &format!("{PATH} ({class})")));
        }
        kubernetes(document, &path, file, ignored)?;
    }
    document.property("", "hazelcast.discovery.enabled")?;
    document.forget(PATH);
    Ok(())
}

/// Properties that select pods in unsupported ways.
const OF_OTHER_PODS: [(&str, &str); 2] = [
    (
        "service-label-name",
        "finds services by a label, which is not supported: set service-name, or pod-label-name and pod-label-value",
    ),
    (
        "kubernetes-master",
        "names an API server; Convoke uses a kubeconfig for this: remove it, and write a [[discovery]] of mode \"kubernetes\" with the setting kubeconfig",
    ),
];

/// Translates the Kubernetes settings below `path`.
fn kubernetes(
    document: &mut Document,
    path: &str,
    file: &mut Options,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let shown = document.shown(path);
    let port = match document.property(path, "service-port")?.as_deref() {
        None | Some("0") => None,
        Some(text) => Some(document.port(&format!("{path}.service-port"), text)?),
    };
    let by_api = ["service-name", "pod-label-name"];
    for (name, why) in OF_OTHER_PODS {
        if document.has_property(path, name) {
            return Err(format!("{shown}: {name} {why}"));
        }
    }
    let found = if let Some(name) = document.property(path, "service-dns")? {
        if let Some(other) = by_api.iter().find(|other| document.has_property(path, other)) {
            return Err(format!("{shown}: service-dns and {other} are both set; keep one of them"));
        }
        document.property(path, "service-dns-timeout")?;
        mode("dns", port.map_or_else(|| name.clone(), |port| format!("{name}:{port}")))
    } else {
        kubernetes_api(document, path, port)?
    };
    file.discovery.push(found);
    let below = document.names_below(path);
    ignored.extend(below.iter().map(|name| document.shown(&format!("{path}.{name}"))));
    document.forget(path);
    Ok(())
}

fn kubernetes_api(
    document: &mut Document,
    path: &str,
    port: Option<u16>,
) -> Result<Discovery, String> {
    let mut found = mode("kubernetes", String::new());
    let mut set = |key: &str, value: Plain| found.settings.insert(key.to_owned(), value);
    for (theirs, ours) in [("namespace", "namespace"), ("service-name", "service")] {
        if let Some(text) = document.property(path, theirs)? {
            set(ours, Plain::Text(text));
        }
    }
    if let Some(port) = port {
        set("port", Plain::Number(port.into()));
    }
    let text = document.property(path, "resolve-not-ready-addresses")?;
    let not_ready = format!("{path}.resolve-not-ready-addresses");
    if !document.switch(&not_ready, text.as_deref(), true)? {
        set("not-ready", Plain::Boolean(false));
    }
    let names = document.property(path, "pod-label-name")?;
    let values = document.property(path, "pod-label-value")?;
    if let (Some(names), Some(values)) = (names, values) {
        let (names, values): (Vec<_>, Vec<_>) =
            (names.split(',').collect(), values.split(',').collect());
        if names.len() != values.len() {
            return Err(format!(
                "{}.pod-label-name: {} names and {} values; expected the same number of each",
                document.shown(path),
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
    Ok(found)
}

/// Rejects all other join mechanisms, such as clouds and registries: a member that relies on one of
/// them must not found a cluster of its own.
fn others(document: &mut Document) -> Result<(), String> {
    let mut names = document.names_below(JOIN);
    let in_environment = document.names_of_overrides(JOIN).into_iter();
    names.extend(in_environment.filter(|name| ELSEWHERE.contains(&name.as_str())));
    for name in names {
        let path = format!("{JOIN}.{name}");
        if name == "multicast" || name == "tcp-ip" {
            continue;
        }
        if document.is_on(&format!("{path}.enabled"), false)? {
            return Err(no_such_mode(document, &path));
        }
        document.forget(&path);
    }
    Ok(())
}

fn no_such_mode(document: &Document, path: &str) -> String {
    format!(
        "{}: there is no such mode; list addresses with tcp-ip, or load a custom mode",
        document.shown(path)
    )
}
