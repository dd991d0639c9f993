//! The translation of Hazelcast files.

use convoke_grid::map::MergePolicy;

use super::super::options::Options;
use super::super::tables::MapEntry;
use super::defaults::{GROUP, GROUP_PORT};
use super::translate::{LOCAL_ADDRESS, PUBLIC_ADDRESS, Translated};
use super::*;

fn translate(text: &str) -> Result<Translated, String> {
    super::translate(text, &Surroundings::default())
}

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
      tcp-ip:
        enabled: true
        member-list: ['10.3.16.1', '10.3.16.2-9:5710', 'db.example:5710', '10.3.16.20']
      aws: { enabled: false, region: us-west-1 }
  map:
    default: { backup-count: 2 }
  lite-member: { enabled: true }
";

#[test]
fn settings_that_hazelcast_refuses_or_overrides_are_not_replaced_by_defaults() {
    let refusal = |text: &str| translate(text).unwrap_err();
    let both =
        "hazelcast: { network: { port: { port: 7777 } }, advanced-network: { enabled: true } }";
    assert!(refusal(both).contains("keep one of them"), "{}", refusal(both));
    let two = "hazelcast: { cluster-name: a }\n---\nhazelcast: { cluster-name: b }\n";
    assert!(refusal(two).contains("a second document"), "{}", refusal(two));
    let name = "<hazelcast><cluster-name><b>x</b></cluster-name></hazelcast>";
    assert!(refusal(name).contains("expected text only"), "{}", refusal(name));
    let one = "---\nhazelcast: { cluster-name: a }\n...\n";
    assert_eq!(translate(one).unwrap().file.cluster_name.as_deref(), Some("a"));
    let in_environment = |name: &str, text: &str| {
        let environment = vec![(name.to_owned(), "true".to_owned())];
        super::translate(text, &Surroundings { environment, ..Surroundings::default() })
    };
    let plain = "<hazelcast><network><port>7777</port></network></hazelcast>";
    for name in ["HZ_NETWORK_JOIN_AWS_ENABLED", "HZ_NETWORK_JOIN_GCP_ENABLED"] {
        let refusal = in_environment(name, plain).unwrap_err();
        assert!(refusal.contains("there is no such mode"), "{name}: {refusal}");
    }
    let refusal = in_environment("HZ_ADVANCEDNETWORK_ENABLED", plain).unwrap_err();
    assert!(refusal.contains("keep one of them"), "{refusal}");
    let advanced =
        "hazelcast: { advanced-network: { enabled: true, join: { tcp-ip: { member: h } } } }";
    let translated = in_environment("HZ_ADVANCEDNETWORK_JOIN_TCPIP_ENABLED", advanced).unwrap();
    assert_eq!(modes(&translated.file), [("dns", "h")]);
}

#[test]
fn properties_that_choose_an_address_are_honoured() {
    let property = |name: &str, value: &str| {
        translate(&format!(
            "<hazelcast><properties><property name='{name}'>{value}</property></properties></hazelcast>"
        ))
    };
    let read = property(LOCAL_ADDRESS, "10.0.0.7").unwrap();
    assert_eq!(read.file.interfaces.unwrap().into_vec(), ["10.0.0.7"]);
    let read = property(LOCAL_ADDRESS, "localhost").unwrap();
    assert_eq!(
        (read.file.interfaces.unwrap().into_vec(), read.ignored),
        (vec!["127.0.0.1".to_owned()], vec![])
    );
    assert!(property(LOCAL_ADDRESS, "db").unwrap_err().contains("is not an IP address"));
    let read = property(PUBLIC_ADDRESS, "203.0.113.9:5701").unwrap();
    assert_eq!(read.file.public_address.as_deref(), Some("203.0.113.9:5701"));
}

fn modes(file: &Options) -> Vec<(&str, &str)> {
    file.discovery.iter().map(|mode| (mode.mode.as_str(), mode.argument.as_str())).collect()
}

#[test]
fn xml_and_yaml_of_one_configuration_are_equivalent() {
    for text in [XML, YAML] {
        let Translated { file, ignored } = translate(text).unwrap();
        assert_eq!(file.cluster_name.as_deref(), Some("shop"));
        assert_eq!(file.name.as_deref(), Some("till"));
        assert_eq!((file.start_port, file.mc_ttl, file.lite), (Some(5710), Some(8), Some(true)));
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
        assert!(ignored.is_empty(), "{ignored:?}");
        assert_eq!(file.maps["*"].backups, Some(2));
        assert_eq!(file.start_port_range, None);
    }
}

#[test]
fn omitted_settings_have_hazelcasts_defaults() {
    let Translated { file, ignored } = translate("<hazelcast/>").unwrap();
    assert_eq!((file.cluster_name.as_deref(), file.start_port), (Some("dev"), Some(5701)));
    assert_eq!(modes(&file), [("auto", "")]);
    assert_eq!((file.mc_address.as_deref(), file.mc_port), (Some(GROUP), Some(GROUP_PORT)));
    assert!(ignored.is_empty());
}

#[test]
fn kubernetes_is_translated_by_service_by_labels_and_by_dns() {
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
fn an_unsupported_way_to_join_is_refused_and_none_means_no_cluster() {
    let join = |ways: &str| {
        translate(&format!(
            "<hazelcast><network><join><auto-detection enabled='false'/><multicast enabled='false'/>{ways}</join></network></hazelcast>"
        ))
    };
    let refusal = join("<aws enabled='true'><region>x</region></aws>").unwrap_err();
    assert!(refusal.starts_with("hazelcast.network.join.aws: there is no such mode"), "{refusal}");
    let refusal = join("<discovery-strategies><discovery-strategy enabled='true' class='a.B'/></discovery-strategies>").unwrap_err();
    assert!(refusal.contains("(a.B): there is no such mode"), "{refusal}");
    let Translated { file, ignored } =
        join("<aws enabled='false'><region>x</region></aws>").unwrap();
    assert_eq!((file.no_cluster, ignored.len()), (Some(true), 0));
}

#[test]
fn the_text_of_an_element_is_joined_across_comments() {
    let text = "<hazelcast><cluster-name>a<!-- c -->b</cluster-name><instance-name><![CDATA[x]]>y<?p?>z</instance-name><network><port><!-- f -->59<!-- c -->06</port>\
            <join><multicast enabled=' true '/></join></network></hazelcast>";
    let file = translate(text).unwrap().file;
    assert_eq!(file.cluster_name.as_deref(), Some("ab"));
    assert_eq!(file.name.as_deref(), Some("xyz"));
    assert_eq!(file.start_port, Some(5906));
    assert_eq!(modes(&file), [("multicast", "224.2.2.3:54327")]);
}

#[test]
fn yaml_words_and_numbers_stay_names() {
    let file = translate("hazelcast: { cluster-name: no, instance-name: 007 }").unwrap().file;
    assert_eq!((file.cluster_name.as_deref(), file.name.as_deref()), (Some("no"), Some("007")));
}

#[test]
fn a_required_member_becomes_the_mode_domain() {
    let text = "<hazelcast><network><port>5761</port><join><tcp-ip enabled='true'><required-member>10.77.0.2</required-member><member>10.77.0.1:5761</member></tcp-ip></join></network></hazelcast>";
    let Translated { file, ignored } = translate(text).unwrap();
    assert_eq!(modes(&file), [("domain", "10.77.0.2:5761"), ("tcpip", "10.77.0.1:5761")]);
    assert_eq!(file.discovery[0].settings["required"].to_string(), "true");
    assert!(ignored.is_empty(), "{ignored:?}");
}

#[test]
fn properties_are_found_in_each_spelling_and_location() {
    let own = "<hazelcast><network><join><kubernetes enabled='true'><nameSpace>ns</nameSpace><SERVICE-NAME>svc</SERVICE-NAME></kubernetes></join></network></hazelcast>";
    let strategy = "<hazelcast><network><join><discovery-strategies><discovery-strategy enabled='false' class='a.B'/><discovery-strategy enabled='true' class='com.hazelcast.kubernetes.HazelcastKubernetesDiscoveryStrategy'>
            <properties><property name='namespace'>ns</property><property name='serviceName'>svc</property></properties></discovery-strategy></discovery-strategies></join></network>
            <properties><property name='hazelcast.discovery.enabled'>true</property></properties></hazelcast>";
    let yaml = "
hazelcast:
  network:
    join:
      discovery-strategies:
        discovery-strategies:
        - { enabled: true, class: com.hazelcast.kubernetes.HazelcastKubernetesDiscoveryStrategy, properties: { namespace: ns, service-name: svc } }
";
    for text in [own, strategy, yaml] {
        let Translated { file, ignored } = translate(text).unwrap();
        assert_eq!(modes(&file), [("kubernetes", "")], "{text}");
        let settings = &file.discovery[0].settings;
        assert_eq!(settings["namespace"].to_string(), "ns", "{text}");
        assert_eq!(settings["service"].to_string(), "svc", "{text}");
        assert!(ignored.is_empty(), "{ignored:?}");
    }
    let both = "<hazelcast><network><join><kubernetes enabled='true'><service-dns>a</service-dns><service-name>svc</service-name></kubernetes></join></network></hazelcast>";
    let refusal = translate(both).unwrap_err();
    assert!(refusal.contains("service-dns and service-name are both set"), "{refusal}");
    let beside = "<hazelcast><network><join><kubernetes enabled='true'><service-dns>a</service-dns><namespace>ns</namespace></kubernetes></join></network></hazelcast>";
    assert_eq!(translate(beside).unwrap().ignored, ["hazelcast.network.join.kubernetes.namespace"]);
}

#[test]
fn an_advanced_network_replaces_the_plain_one() {
    let text = "
hazelcast:
  cluster-name: edge
  advanced-network:
    enabled: true
    join:
      multicast: { enabled: false }
      tcp-ip: { enabled: true, member-list: ['10.77.0.1:5705', '10.77.0.2:5705'] }
    member-server-socket-endpoint-config:
      port: { port: 5705, auto-increment: false }
      reuse-address: false
";
    let Translated { file, ignored } = translate(text).unwrap();
    assert_eq!((file.start_port, file.start_port_range), (Some(5705), Some(1)));
    assert_eq!(modes(&file), [("tcpip", "10.77.0.1:5705,10.77.0.2:5705")]);
    assert_eq!(
        ignored,
        ["hazelcast.advanced-network.member-server-socket-endpoint-config.reuse-address"]
    );
    let plain = "  network: { port: { port: 1 }, join: { multicast: { enabled: true } } }\n";
    let both = text.replace("  advanced", &format!("{plain}  advanced"));
    assert!(translate(&both).unwrap_err().contains("ambiguous"));
    let off = both.replace("enabled: true\n    join", "enabled: false\n    join");
    let file = translate(&off).unwrap().file;
    assert_eq!(modes(&file), [("multicast", "224.2.2.3:54327")]);
}

#[test]
fn map_settings_are_translated() {
    let xml = "<hazelcast>
            <map name='default'><backup-count>2</backup-count><time-to-live-seconds>60</time-to-live-seconds><in-memory-format>BINARY</in-memory-format></map>
            <map name='sessions.web'><backup-count>2</backup-count><max-idle-seconds>1800</max-idle-seconds>
                <eviction eviction-policy='LRU' max-size-policy='USED_HEAP_SIZE' size='256'/><merge-policy batch-size='100'>LatestUpdateMergePolicy</merge-policy></map>
            <map name='cache-*'><backup-count>0</backup-count><time-to-live-seconds>3600</time-to-live-seconds><eviction eviction-policy='LFU' max-size-policy='PER_NODE' size='10000'/></map>
            <split-brain-protection enabled='true' name='two'><minimum-cluster-size>2</minimum-cluster-size></split-brain-protection>
            <map name='safe'><split-brain-protection-ref>two</split-brain-protection-ref></map>
            <properties><property name='hazelcast.partition.count'>7</property></properties>
        </hazelcast>";
    let yaml = "
hazelcast:
  map:
    default: { backup-count: 2, time-to-live-seconds: 60 }
    sessions.web:
      backup-count: 2
      max-idle-seconds: 1800
      eviction: { eviction-policy: LRU, max-size-policy: USED_HEAP_SIZE, size: 256 }
      merge-policy: { class-name: com.hazelcast.spi.merge.LatestUpdateMergePolicy, batch-size: 100 }
    cache-*:
      backup-count: 0
      time-to-live-seconds: 3600
      eviction: { eviction-policy: LFU, max-size-policy: PER_NODE, size: 10000 }
    safe: { split-brain-protection-ref: two }
  split-brain-protection:
    two: { enabled: true, minimum-cluster-size: 2 }
  properties:
    hazelcast.partition.count: 7
";
    for text in [xml, yaml] {
        let translated = translate(text).unwrap();
        let toml = translated.to_toml("a.xml").unwrap();
        let read: Options = toml::from_str(&toml).unwrap();
        assert_eq!(read.maps, translated.file.maps);
        let maps = toml[toml.find("[maps").unwrap()..].split("\n# Not").next().unwrap();
        assert_eq!(
            maps,
            "[maps.\"*\"]\nbackups = 2\nttl-s = 60\nmerge = \"put-if-absent\"\n\n[maps.\"cache-*\"]\nbackups = 0\nttl-s = 3600\n\n\
                 [maps.safe]\nbackups = 1\nttl-s = 0\n\n\
                 [maps.\"sessions.web\"]\nttl-s = 0\nmax-idle-s = 1800\nmemory-mib = 256\neviction = \"lru\"\nmerge = \"last-writer\"\n"
        );
        assert_eq!((read.min_members, read.partitions), (Some(2), Some(7)));
        let ignored = &translated.ignored;
        assert_eq!(ignored.len(), 2, "{ignored:?}");
        assert!(
            ignored[0].starts_with("hazelcast.map[cache-*].eviction (a bound by PER_NODE"),
            "{ignored:?}"
        );
        assert!(ignored[1].starts_with("hazelcast.map[safe].split-brain"), "{ignored:?}");
    }
}

#[test]
fn variables_and_overrides_are_read_from_the_environment() {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let surroundings = Surroundings {
        environment: vec![
            variable("CONVOKE_HZ_MY_NAME", "shop"),
            variable("HZ_NETWORK_PORT_PORT", "5800"),
            variable("HZ_NETWORK_JOIN_TCPIP_ENABLED", "false"),
            variable("HZ_MAP_CARTS_BACKUPCOUNT", "3"),
            variable("HZ_MAP_ORDERS_BACKUPCOUNT", "2"),
            variable("HZ_NOSUCHTHING", "1"),
        ],
        ..Surroundings::default()
    };
    let text = "<hazelcast><cluster-name>${my.name}-1</cluster-name><network><port>5701</port><join><multicast enabled='true'/><tcp-ip enabled='true'><member>10.0.0.1</member></tcp-ip></join></network><map name='carts'><backup-count>1</backup-count></map></hazelcast>";
    let Translated { file, ignored } = super::translate(text, &surroundings).unwrap();
    assert_eq!((file.cluster_name.as_deref(), file.start_port), (Some("shop-1"), Some(5800)));
    assert_eq!(modes(&file), [("multicast", "224.2.2.3:54327")]);
    assert_eq!(file.maps["carts"].backups, Some(3));
    assert_eq!(file.maps["orders"].backups, Some(2));
    assert_eq!(ignored, ["HZ_NOSUCHTHING"]);
    let refusal = translate(text).unwrap_err();
    assert!(refusal.contains("set CONVOKE_HZ_MY_NAME in the environment"), "{refusal}");
}

#[test]
fn imported_files_are_read_in_place_of_the_import() {
    let folder = std::env::temp_dir().join(format!("convoke-import-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("more")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "more/b.xml",
        "<hazelcast><import resource='c.yaml'/><network><port>5999</port></network></hazelcast>",
    );
    write("more/c.yaml", "hazelcast: { instance-name: till }");
    write("other.yaml", "hazelcast: { cluster-name: other }");
    write("round.yaml", "hazelcast: { import: [round.yaml] }");
    let read = |text: &str| {
        super::translate(text, &Surroundings { folder: folder.clone(), environment: Vec::new() })
    };
    let file = read("<hazelcast><import resource='file://more/b.xml'/><cluster-name>own</cluster-name></hazelcast>").unwrap().file;
    assert_eq!((file.cluster_name.as_deref(), file.start_port), (Some("own"), Some(5999)));
    assert_eq!(file.name.as_deref(), Some("till"));
    let refusal = read("hazelcast: { import: [other.yaml], cluster-name: own }").unwrap_err();
    assert_eq!(refusal, "hazelcast.cluster-name is both \"other\" and \"own\"; keep one of them");
    for (resource, expected) in [
        ("nowhere.xml", "cannot be read"),
        ("round.yaml", "do the files import each other?"),
        ("classpath:a.xml", "is not a file path"),
    ] {
        let refusal = read(&format!("hazelcast: {{ import: ['{resource}'] }}")).unwrap_err();
        assert!(refusal.contains(expected) && !refusal.contains('\n'), "{refusal}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn settings_that_decide_membership_are_honoured_or_refused() {
    for (text, expected) in [
        ("<group><name>shop</name></group>", "hazelcast.group is for Hazelcast 3"),
        (
            "<network><ssl enabled='true'/></network>",
            "hazelcast.network.ssl decides by certificates which hosts may be members",
        ),
        ("<security enabled='true'/>", "hazelcast.security decides which hosts may be members"),
        (
            "<network><symmetric-encryption enabled='true'><key>k</key></symmetric-encryption></network>",
            "with a key instead of a password",
        ),
        (
            "<network><join><multicast enabled='true'><trusted-interfaces><interface>10.3.*.*</interface></trusted-interfaces></multicast></join></network>",
            "hazelcast.network.join.multicast.trusted-interfaces decides by address",
        ),
        (
            "<network><join><multicast><trusted-interfaces><interface>10.3.0.1</interface></trusted-interfaces></multicast></join></network>",
            "trusted-interfaces decides by address",
        ),
        (
            "<network><join><kubernetes enabled='true'><service-label-name>a</service-label-name></kubernetes></join></network>",
            "hazelcast.network.join.kubernetes: service-label-name finds services by a label",
        ),
        (
            "<network><join><kubernetes enabled='true'><kubernetesMaster>https://a</kubernetesMaster></kubernetes></join></network>",
            "kubernetes-master names an API server",
        ),
        (
            "<properties><property name='hazelcast.application.validation.token'>t</property></properties>",
            "hazelcast.application.validation.token decides which hosts may be members",
        ),
        ("<cluster-name/>", "hazelcast.cluster-name is empty"),
        (
            "<cluster-name>a</cluster-name><cluster-name>b</cluster-name>",
            "hazelcast.cluster-name is both \"a\" and \"b\"",
        ),
        ("<persistence enabled='true'/>", "hazelcast.persistence keeps data on disk"),
        (
            "<map name='a'><map-store enabled='true'/></map>",
            "hazelcast.map[a].map-store keeps the map in an external store",
        ),
    ] {
        let refusal = translate(&format!("<hazelcast>{text}</hazelcast>")).unwrap_err();
        assert!(refusal.starts_with("hazelcast.") && refusal.contains(expected), "{refusal}");
    }
    let text = "<hazelcast><network><ssl enabled='false'><factory-class-name>a.B</factory-class-name></ssl><symmetric-encryption enabled='true'><algorithm>AES/CBC/PKCS5Padding</algorithm><password>secret</password></symmetric-encryption></network></hazelcast>";
    let Translated { file, ignored } = translate(text).unwrap();
    assert_eq!(file.cluster_password.as_deref(), Some("secret"));
    assert!(ignored.is_empty(), "{ignored:?}");
}

#[test]
fn auto_detection_uses_the_multicast_group_of_the_file() {
    let text = "<hazelcast><network><join><multicast enabled='false'><multicast-group>224.2.2.88</multicast-group><multicast-port>54888</multicast-port><multicast-time-to-live>8</multicast-time-to-live><trusted-interfaces><interface>*.*.*.*</interface></trusted-interfaces></multicast></join></network></hazelcast>";
    let Translated { file, ignored } = translate(text).unwrap();
    assert_eq!(modes(&file), [("auto", "")]);
    assert_eq!(
        (file.mc_address.as_deref(), file.mc_port, file.mc_ttl),
        (Some("224.2.2.88"), Some(54888), Some(8))
    );
    assert!(ignored.is_empty(), "{ignored:?}");
}

#[test]
fn a_map_inherits_nothing_from_other_patterns() {
    let maps = |text: &str| translate(&format!("hazelcast: {{ map: {{ {text} }} }}")).unwrap();
    // A map without settings has Hazelcast's defaults, whatever `default` says.
    let file = maps("default: { async-backup-count: 1 }, bare: {}, empty: ").file;
    assert_eq!(file.maps["*"].async_backups, Some(1));
    for name in ["bare", "empty"] {
        assert_eq!(file.maps[name].async_backups, Some(0), "{name}");
    }
    // It must not match another pattern.
    let file = maps("cache-*: { backup-count: 0 }, cache-safe: { backup-count: 1 }").file;
    assert_eq!(file.maps["cache-safe"], MapEntry::default());
    // A pattern that matches all maps takes precedence over `default`.
    let file = maps("default: { backup-count: 3 }, '*': { backup-count: 2 }, a: {}").file;
    let backups = |name: &str| file.maps[name].backups;
    assert_eq!(["*", "default", "a"].map(backups), [Some(2), Some(3), Some(1)]);
    // Hazelcast's default merge policy differs from that of Convoke.
    let file = maps("a: { merge-policy: { class-name: org.example.Own } }").file;
    assert_eq!(file.maps["*"].merge, Some(MergePolicy::PutIfAbsent));
    assert_eq!(file.maps["a"].merge, Some(MergePolicy::LastWriter));
}

#[test]
fn split_brain_protection_of_one_map_is_reported_to_apply_to_all() {
    let rule = "split-brain-protection: { two: { enabled: true, minimum-cluster-size: 2 } }";
    let read = |map: &str| {
        let text = format!(
            "hazelcast: {{ {rule}, map: {{ {map}: {{ split-brain-protection-ref: two }} }} }}"
        );
        let Translated { file, ignored } = translate(&text).unwrap();
        assert_eq!(file.min_members, Some(2));
        ignored
    };
    assert!(read("default").is_empty());
    assert_eq!(
        read("accounts"),
        [
            "hazelcast.map[accounts].split-brain-protection-ref (min-members is 2, and applies to all maps)"
        ]
    );
}

#[test]
fn long_names_and_a_ttl_of_zero_are_accepted() {
    let text = format!(
        "<hazelcast><instance-name>{}</instance-name><network><join><multicast enabled='true'><multicast-time-to-live>0</multicast-time-to-live></multicast></join></network></hazelcast>",
        "n".repeat(65)
    );
    let Translated { file, ignored } = translate(&text).unwrap();
    assert_eq!((file.mc_ttl, file.name), (Some(0), None));
    assert!(ignored[0].starts_with("hazelcast.instance-name (longer than 64 bytes"), "{ignored:?}");
}

#[test]
fn characters_that_hide_text_are_not_quoted() {
    let hidden = |c: char| convoke_text::is_hidden(c);
    let refused = [
        "hazelcast: { network: { port: \"57\u{202e}10\u{200b}\" } }",
        "hazelcast: { network: { \"po\u{202e}rt\": 1 } }",
        "hazelcast: { cluster-name: \"a\u{2066}${b}\" }",
        "hazelcast: { import: [\"a\u{202e}lmx.b\"] }",
        "<hazelcast><cluster-name>a</cluster-name><cluster-name>a\u{ad}b</cluster-name></hazelcast>",
    ];
    for text in refused {
        let refusal = translate(text).unwrap_err();
        // `Debug` would escape them, so they have been removed.
        assert!(!refusal.contains("\\u{") && !refusal.contains(hidden), "{refusal}");
    }
    let listed = "hazelcast: { map: { \"a\u{202e}b\": { nope: 1, eviction: { eviction-policy: LRU, size: 7, max-size-policy: \"X\u{202e}Y\" } } }, \"que\u{200b}ue\": { c: 1 } }";
    let translated = translate(listed).unwrap();
    assert_eq!(translated.ignored.len(), 3, "{:?}", translated.ignored);
    let warning = translated.warning().unwrap();
    assert!(!warning.contains(hidden), "{warning}");
    assert!(warning.contains("hazelcast.que ue.c"), "{warning}");
}

#[test]
fn other_files_are_refused_with_one_line() {
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
            "hazelcast.cluster-name: \"${name}\" contains a variable",
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
fn the_translation_is_a_valid_convoke_file() {
    for text in [XML, YAML, "<hazelcast/>"] {
        let translated = translate(text).unwrap();
        let toml = translated.to_toml("a.xml").unwrap();
        let read: Options = toml::from_str(&toml).unwrap();
        assert_eq!(toml::to_string(&read).unwrap(), toml::to_string(&translated.file).unwrap());
    }
    let listed = translate("<hazelcast><queue name='a'><max-size>1</max-size></queue></hazelcast>");
    let toml = listed.unwrap().to_toml("a.xml").unwrap();
    assert!(toml.contains("# - hazelcast.queue[a].max-size"), "{toml}");
}

/// Any file is translated to a valid file, or refused on one line.
#[test]
fn fuzz_hazelcast() {
    let samples = [
        XML.to_owned(),
        YAML.to_owned(),
        "<hazelcast><queue name='a'><max-size>1</max-size></queue></hazelcast>".to_owned(),
        "<hazelcast><map name='m'><eviction size='&#x41;'/><!-- ${a} --></map></hazelcast>"
            .to_owned(),
        "hazelcast: {map: {m: {backup-count: &a 1, async-backup-count: *a}}}".to_owned(),
        "<a>".repeat(2_000),
        "[".repeat(2_000),
    ];
    convoke_harness::check!(&samples, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match translate(&text) {
            Ok(translated) => match translated.to_toml("a.xml") {
                Ok(toml) => drop(toml::from_str::<Options>(&toml).expect("a valid file")),
                Err(refusal) => assert!(!refusal.contains('\n'), "{refusal}"),
            },
            Err(refusal) => assert!(!refusal.contains('\n'), "{refusal}"),
        }
    });
}
