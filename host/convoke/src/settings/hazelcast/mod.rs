//! Configuration files of Hazelcast 5, XML or YAML: what finds members takes
//! effect here as it does there; the rest is listed once, by its path.

mod document;
mod join;
mod members;

use std::fmt::Write as _;
use std::path::Path;

use super::file::{File, OneOrMore};
use document::Document;

/// What Hazelcast does with what a file leaves out.
const CLUSTER_NAME: &str = "dev";
const PORT: u16 = 5701;
const GROUP: &str = "224.2.2.3";
const GROUP_PORT: u16 = 54327;
/// Paths that are listed; the rest is counted.
const LISTED_MAX: usize = 24;

/// A Hazelcast file as our own.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) file: File,
    /// What takes no effect, by its path; and why, where there is more to say.
    pub(crate) ignored: Vec<String>,
}

/// Whether `text`, from `path`, is meant for Hazelcast.
pub(super) fn is_meant(path: &Path, text: &str) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("xml" | "yaml" | "yml"))
        || text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

/// Reads a whole file. The error is one line.
pub(super) fn translate(text: &str) -> Result<Translated, String> {
    let mut document = Document::read(text)?;
    let mut file = File {
        cluster_name: Some(
            document.text("cluster-name")?.unwrap_or_else(|| CLUSTER_NAME.to_owned()),
        ),
        name: document.text("instance-name")?,
        public_address: document.text("network.public-address")?,
        ..File::default()
    };
    file.start_port = Some(port(&mut document)?);
    if document.is_on("network.interfaces.enabled", false)? {
        let mut interfaces = document.texts("network.interfaces.interface")?;
        interfaces.extend(document.texts("network.interfaces.interfaces")?);
        file.interfaces = Some(OneOrMore::More(interfaces));
    } else {
        document.forget("network.interfaces");
    }
    if document.is_on("lite-member.enabled", false)? {
        file.lite = Some(true);
    }
    let mut ignored = Vec::new();
    join::translate(&mut document, &mut file, &mut ignored)?;
    ignored.extend(document.rest());
    Ok(Translated { file, ignored })
}

/// Hazelcast tries 100 ports as well; fewer, or just one, cannot be had.
fn port(document: &mut Document) -> Result<u16, String> {
    let mut port = None;
    for path in ["network.port", "network.port.port"] {
        if let Some(text) = document.text(path)? {
            port = Some(document.number(path, &text)?);
        }
    }
    document.forget_default("network.port.auto-increment", "true");
    document.forget_default("network.port.port-count", "100");
    Ok(port.unwrap_or(PORT))
}

impl Translated {
    /// One line for the log; none when all of it takes effect.
    pub(crate) fn warning(&self) -> Option<String> {
        let Self { ignored, .. } = self;
        let (first, more) = ignored.split_at(ignored.len().min(LISTED_MAX));
        let more = match more.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        (!first.is_empty())
            .then(|| format!("not honoured of the Hazelcast file: {}{more}", first.join(", ")))
    }

    /// The file in our own form.
    pub(crate) fn to_toml(&self, origin: &str) -> Result<String, String> {
        let mut text = format!(
            "# Made from {origin}. What that file leaves out is as Hazelcast has it: cluster\n\
             # name {CLUSTER_NAME:?}, port {PORT}, multicast {GROUP}:{GROUP_PORT}.\n\n"
        );
        let body = toml::to_string(&self.file).map_err(|error| error.to_string())?;
        text.push_str(&body);
        if !self.ignored.is_empty() {
            text.push_str("\n# Not honoured:\n");
        }
        for path in &self.ignored {
            let _ = writeln!(text, "# - {path}");
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<hazelcast xmlns="http://www.hazelcast.com/schema/config"
           xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
           xsi:schemaLocation="http://www.hazelcast.com/schema/config https://www.hazelcast.com/schema/config/hazelcast-config-5.5.xsd">
    <cluster-name>shop</cluster-name>
    <instance-name>till</instance-name>
    <network>
        <port auto-increment="true" port-count="100">5710</port>
        <public-address>203.0.113.5:5710</public-address>
        <interfaces enabled="true"><interface>10.3.16.*</interface><interface>10.3.17.1</interface></interfaces>
        <join>
            <auto-detection enabled="false"/>
            <multicast enabled="true">
                <multicast-group>224.2.2.9</multicast-group>
                <multicast-port>54000</multicast-port>
                <multicast-time-to-live>8</multicast-time-to-live>
                <trusted-interfaces><interface>10.3.*.*</interface></trusted-interfaces>
            </multicast>
            <tcp-ip enabled="true">
                <member>10.3.16.1</member>
                <member-list><member>10.3.16.2-9:5710</member><member>10.3.16.20</member></member-list>
                <members>db.example:5710</members>
            </tcp-ip>
            <aws enabled="false"><region>us-west-1</region></aws>
        </join>
    </network>
    <map name="default"><backup-count>2</backup-count></map>
    <lite-member enabled="true"/>
</hazelcast>"#;

    const YAML: &str = "
hazelcast:
  cluster-name: shop
  instance-name: till
  network:
    port: { auto-increment: true, port-count: 100, port: 5710 }
    public-address: 203.0.113.5:5710
    interfaces: { enabled: true, interfaces: ['10.3.16.*', '10.3.17.1'] }
    join:
      auto-detection: { enabled: false }
      multicast:
        enabled: true
        multicast-group: 224.2.2.9
        multicast-port: 54000
        multicast-time-to-live: 8
        trusted-interfaces: ['10.3.*.*']
      tcp-ip:
        enabled: true
        member-list: ['10.3.16.1', '10.3.16.2-9:5710', 'db.example:5710', '10.3.16.20']
      aws: { enabled: false, region: us-west-1 }
  map:
    default: { backup-count: 2 }
  lite-member: { enabled: true }
";

    fn modes(file: &File) -> Vec<(&str, &str)> {
        file.discovery.iter().map(|mode| (mode.mode.as_str(), mode.argument.as_str())).collect()
    }

    #[test]
    fn both_forms_of_one_configuration_say_the_same() {
        for text in [XML, YAML] {
            let Translated { file, ignored } = translate(text).unwrap();
            assert_eq!(file.cluster_name.as_deref(), Some("shop"));
            assert_eq!(file.name.as_deref(), Some("till"));
            assert_eq!(
                (file.start_port, file.mc_ttl, file.lite),
                (Some(5710), Some(8), Some(true))
            );
            assert_eq!(file.public_address.as_deref(), Some("203.0.113.5:5710"));
            assert_eq!(file.interfaces.clone().unwrap().into_vec(), ["10.3.16.*", "10.3.17.1"]);
            assert_eq!(
                modes(&file),
                [
                    ("multicast", "224.2.2.9:54000"),
                    ("tcpip", "10.3.16.1,10.3.16.2-9:5710,10.3.16.20"),
                    ("dns", "db.example:5710"),
                ]
            );
            assert_eq!(ignored.len(), 2, "{ignored:?}");
            let has = |start: &str, end: &str| {
                ignored.iter().any(|path| path.starts_with(start) && path.ends_with(end))
            };
            assert!(has("hazelcast.network.join.multicast.trusted-interfaces", ""));
            assert!(
                has("hazelcast.map", "default.backup-count")
                    || has("hazelcast.map[default]", "backup-count")
            );
        }
    }

    #[test]
    fn what_a_file_leaves_out_is_as_hazelcast_has_it() {
        let Translated { file, ignored } = translate("<hazelcast/>").unwrap();
        assert_eq!((file.cluster_name.as_deref(), file.start_port), (Some("dev"), Some(5701)));
        assert_eq!(modes(&file), [("auto", "")]);
        assert_eq!((file.mc_address.as_deref(), file.mc_port), (Some(GROUP), Some(GROUP_PORT)));
        assert!(ignored.is_empty());
    }

    #[test]
    fn kubernetes_by_service_by_labels_and_by_dns() {
        let join = |properties: &str| {
            let text = format!(
                "hazelcast:\n  network:\n    join:\n      kubernetes: {{ enabled: true, {properties} }}\n"
            );
            translate(&text).unwrap()
        };
        let by_service =
            join("namespace: shop, service-name: till, resolve-not-ready-addresses: false");
        let mode = &by_service.file.discovery[0];
        let settings: Vec<String> =
            mode.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(mode.mode, "kubernetes");
        assert_eq!(settings, ["namespace=shop", "not-ready=false", "service=till"]);
        let by_labels = join("pod-label-name: 'app,tier', pod-label-value: 'till,b'");
        assert_eq!(
            by_labels.file.discovery[0].settings["label-selector"].to_string(),
            "app=till,tier=b"
        );
        let by_dns = join("service-dns: till.shop.svc.cluster.local, service-port: 5702");
        assert_eq!(modes(&by_dns.file), [("dns", "till.shop.svc.cluster.local:5702")]);
        assert!(by_dns.ignored.is_empty(), "{:?}", by_dns.ignored);
    }

    #[test]
    fn clouds_are_named_as_missing_and_no_join_at_all_is_no_cluster() {
        let text = "<hazelcast><network><join><auto-detection enabled='false'/><multicast enabled='false'/><aws enabled='true'><region>x</region></aws></join></network></hazelcast>";
        let Translated { file, ignored } = translate(text).unwrap();
        assert_eq!(file.no_cluster, Some(true));
        assert!(
            ignored[0].starts_with("hazelcast.network.join.aws (there is no such mode here"),
            "{ignored:?}"
        );
    }

    #[test]
    fn what_is_no_hazelcast_file_is_refused_on_one_line() {
        for (text, expected) in [
            ("<hazelcast", "is not well-formed XML"),
            ("<hazelcast-client/>", "its root is <hazelcast-client>; expected <hazelcast>"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><hazelcast>&b;</hazelcast>", "is not well-formed XML"),
            ("a: [", "is not well-formed YAML"),
            ("a: 1", "has no key \"hazelcast\""),
            (
                "<hazelcast><network><port>x</port></network></hazelcast>",
                "hazelcast.network.port: \"x\" is not a port",
            ),
            (
                "<hazelcast><cluster-name>${name}</cluster-name></hazelcast>",
                "hazelcast.cluster-name: \"${name}\" holds a variable",
            ),
            (
                "<hazelcast><lite-member enabled='perhaps'/></hazelcast>",
                "hazelcast.lite-member.enabled: \"perhaps\" is neither true nor false",
            ),
        ] {
            let refusal = translate(text).unwrap_err();
            assert!(refusal.contains(expected) && !refusal.contains('\n'), "{text}: {refusal}");
        }
    }

    #[test]
    fn the_translation_is_a_file_of_our_own() {
        for text in [XML, YAML, "<hazelcast/>"] {
            let translated = translate(text).unwrap();
            let toml = translated.to_toml("a.xml").unwrap();
            let read: File = toml::from_str(&toml).unwrap();
            assert_eq!(toml::to_string(&read).unwrap(), toml::to_string(&translated.file).unwrap());
        }
        assert!(translate(XML).unwrap().to_toml("a.xml").unwrap().contains("# - hazelcast.map"));
    }

    proptest! {
        #[test]
        fn any_text_is_translated_or_refused_on_one_line(text in "(<hazelcast>)?\\PC{0,200}") {
            if let Err(refusal) = translate(&text) {
                prop_assert!(!refusal.contains('\n'));
            }
        }
    }
}
