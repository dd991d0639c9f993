//! Configuration files: `config check`, and Hazelcast's files as they are and converted.

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{Cluster, CompletedProcess, Launch, Member};

/// `convoke config …` in this cluster's folder.
fn config(cluster: &Cluster, words: &[&str]) -> CompletedProcess {
    let words: Vec<&str> = ["config"].into_iter().chain(words.iter().copied()).collect();
    cluster.launch().subcommand(&words, &["--interfaces"]).run(TIMEOUT)
}

/// A Hazelcast file of this cluster, as XML and as YAML.
fn hazelcast(cluster: &Cluster) -> [(&'static str, String); 2] {
    let (name, port, group) = (cluster.name(), cluster.start_port(), cluster.group());
    let xml = format!(
        "<hazelcast xmlns=\"http://www.hazelcast.com/schema/config\">\n\
         <cluster-name>{name}</cluster-name>\n<network><port>{port}</port>\n\
         <interfaces enabled=\"true\"><interface>127.0.0.*</interface></interfaces>\n\
         <join><multicast enabled=\"true\"><multicast-group>{}</multicast-group>\
         <multicast-port>{}</multicast-port></multicast></join></network>\n\
         <map name=\"default\"><backup-count>2</backup-count></map>\n\
         <queue name=\"jobs\"><max-size>5</max-size></queue>\n\
         <lite-member enabled=\"true\"/>\n</hazelcast>\n",
        group.ip(),
        group.port()
    );
    let yaml = format!(
        "hazelcast:\n  cluster-name: {name}\n  network:\n    port: {{ port: {port} }}\n    \
         interfaces: {{ enabled: true, interfaces: ['127.0.0.*'] }}\n    join:\n      \
         multicast: {{ enabled: true, multicast-group: {}, multicast-port: {} }}\n  \
         map: {{ default: {{ backup-count: 2 }} }}\n  queue: {{ jobs: {{ max-size: 5 }} }}\n  lite-member: {{ enabled: true }}\n",
        group.ip(),
        group.port()
    );
    [("hazelcast.xml", xml), ("hazelcast.yaml", yaml)]
}

/// A member with the map settings of the Hazelcast file above: all members need the same.
fn start_with_same_maps(cluster: &Cluster) -> Member {
    cluster.write("same-maps.toml", "[maps.\"*\"]\nbackups = 2\nmerge = \"put-if-absent\"\n");
    cluster.launch().option("--config", "same-maps.toml").start()
}

fn with_file<'a>(cluster: &'a Cluster, option: &str, file: &str) -> Launch<'a> {
    let launch = ["--interfaces", "--start-port", "--cluster-name", "--mc-address", "--mc-port"]
        .into_iter()
        .fold(cluster.launch(), Launch::without);
    launch.option(option, file)
}

#[test]
fn a_hazelcast_file_takes_effect_and_unsupported_settings_are_logged_once() {
    for number in 0..2 {
        let cluster = Cluster::new();
        let first = start_with_same_maps(&cluster);
        cluster.agree([&first]);
        let (name, text) = &hazelcast(&cluster)[number];
        cluster.write(name, text);
        let second = with_file(&cluster, "--hzConfigFile", name).start();
        cluster.agree([&first, &second]);
        assert!(second.status().member.lite);
        let line =
            second.wait_for_line(TIMEOUT, &["settings of the Hazelcast file are not honoured"]);
        assert!(line.text.contains("hazelcast.queue") && line.text.contains("max-size"));
        assert!(!line.text.contains("multicast") && !line.text.contains("map"), "{}", line.text);
        assert_eq!(second.count_lines(&["not honoured"]), 1);
    }
}

#[test]
fn a_hazelcast_file_can_be_converted() {
    let cluster = Cluster::new();
    let first = start_with_same_maps(&cluster);
    cluster.agree([&first]);
    let (name, text) = &hazelcast(&cluster)[0];
    cluster.write(name, text);
    let ended = config(&cluster, &["convert", name, "--output", "converted.toml"]);
    assert!(ended.status.success(), "{ended:#?}");
    let again = config(&cluster, &["convert", name, "--output", "converted.toml"]);
    assert!(
        again.refusal().contains("converted.toml exists; name another --output, or replace it")
    );
    assert!(
        config(&cluster, &["convert", name, "--output", "converted.toml", "--force"])
            .status
            .success()
    );
    let checked = config(&cluster, &["check", "converted.toml"]);
    assert!(checked.stdout.ends_with("the configuration is valid\n"), "{checked:#?}");
    assert!(checked.stdout.contains(&format!("cluster    {}", cluster.name())), "{checked:#?}");
    let second = with_file(&cluster, "--config", "converted.toml").start();
    cluster.agree([&first, &second]);
    assert_eq!(second.count_lines(&["not honoured"]), 0);
    let shown = config(&cluster, &["convert", name]);
    assert!(shown.stdout.contains("# - hazelcast.queue[jobs].max-size"), "{shown:#?}");
}

#[test]
fn config_check_shows_the_effective_configuration_without_starting_a_member() {
    let cluster = Cluster::new();
    let text = "cluster-name = \"shop\"\ncluster-password = \"very secret\"\ncluster-mode = [\"tcpip:10.0.0.1\", \"dns:a.test\"]\n";
    cluster.write("a.toml", text);
    let ended = config(&cluster, &["check", "a.toml"]);
    assert!(ended.status.success(), "{ended:#?}");
    for expected in [
        "cluster    shop",
        "password   set",
        "mode       tcpip \"10.0.0.1\" (built-in; uses log)",
        "mode       dns \"a.test\" (built-in; uses",
        "the configuration is valid",
    ] {
        assert!(ended.stdout.contains(expected), "{expected:?} is not in {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("very secret") && !ended.stderr.contains("very secret"));
    assert_eq!(config(&cluster, &["check"]).status.code(), Some(0), "the defaults are valid");
}

#[test]
fn config_check_rejects_what_a_member_would_refuse_to_start_with() {
    let cluster = Cluster::new();
    for (name, text, expected) in [
        ("a.toml", "start-prot = 7\n", "a.toml:1: unknown field `start-prot`"),
        (
            "b.toml",
            "cluster-mode = \"tcpip:10.0.0.300\"\n",
            "\"10.0.0.300\" is not an IPv4 address",
        ),
        ("c.toml", "[[discovery]]\nmode = \"x\"\nplugin = \"none.wasm\"\n", "there is no file"),
        (
            "d.xml",
            "<hazelcast><network><port>0</port></network></hazelcast>",
            "\"0\" is not a port",
        ),
        ("e.xml", "<a/>", "its root is <a>; expected <hazelcast>"),
        ("f.yaml", "a: 1\n", "has no key \"hazelcast\""),
    ] {
        cluster.write(name, text);
        let ended = config(&cluster, &["check", name]);
        assert!(ended.refusal().contains(expected), "{name}: {}", ended.refusal());
    }
    let missing = config(&cluster, &["check", "missing.toml"]);
    assert!(missing.refusal().contains("missing.toml: the configuration file cannot be read"));
    let folder = config(&cluster, &["check", "."]);
    assert!(folder.refusal().contains("the configuration file cannot be read"));
    cluster.write("binary.toml", [0xff, 0xfe, 0]);
    assert!(config(&cluster, &["check", "binary.toml"]).refusal().contains("is neither UTF-8 nor"));
}
