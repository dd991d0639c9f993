//! Invalid options and files are rejected at startup, in one line that says what was read,
//! where, and what is expected.

use std::fs;
use std::process::Command;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{Cluster, Launch, binary};

/// One line on stderr, exit code 2, and all of `fragments` in the line.
#[track_caller]
fn assert_rejected(launch: Launch<'_>, fragments: &[&str]) {
    let ended = launch.run(TIMEOUT);
    let line = ended.refusal();
    for fragment in fragments {
        assert!(line.contains(fragment), "{fragment:?} is not in {line:?}");
    }
}

#[test]
fn an_unknown_mode_is_rejected_with_a_list_of_the_known_ones() {
    let cluster = Cluster::new();
    assert_rejected(cluster.launch().mode("multcast"), &["\"multcast\"", "multicast, tcpip"]);
    assert_rejected(cluster.launch().mode("multcast"), &["did you mean \"multicast\""]);
    assert_rejected(cluster.launch().mode(""), &["\"\"", "multicast, tcpip"]);
    assert_rejected(cluster.launch().mode("multicast").mode("nonsense:7"), &["\"nonsense\""]);
}

#[test]
fn lists_of_addresses_are_validated() {
    let cases: &[(&str, &[&str])] = &[
        ("10.0.0.300", &["\"10.0.0.300\" is not an IPv4 address", "CIDR"]),
        ("10.0.0.300:6900", &["\"10.0.0.300\"", "in \"10.0.0.300:6900\""]),
        ("10.0.0.1,10.0.0.300", &["\"10.0.0.300\""]),
        ("10.0.0.9-3", &["\"9-3\" is a reversed range", "10.0.0.9-3"]),
        ("10.0.0.0/8", &["10.0.0.0/8", "65536"]),
        ("10.0.0.0/33", &["\"/33\" is not a prefix length"]),
        ("", &["the argument is empty", "tcpip:10.0.0.1-20"]),
        ("10.0.0.1,,10.0.0.2", &["an empty entry"]),
        ("10.0.0.1:0", &["\"0\" is not a port", "1 to 65535"]),
        ("db.example:7000", &["\"db.example\" is a name", "dns:db.example:7000"]),
        ("[::1", &["no closing bracket"]),
    ];
    let cluster = Cluster::new();
    for (list, fragments) in cases {
        let launch = cluster.launch().mode(format!("tcpip:{list}"));
        assert_rejected(launch, &[&["mode \"tcpip\": "], *fragments].concat());
    }
    assert_rejected(cluster.launch().mode("tcpip"), &["mode \"tcpip\": ", "the argument is empty"]);
}

#[test]
fn multicast_groups_are_validated() {
    let cluster = Cluster::new();
    let group = |text: &str| cluster.launch().option("--mc-address", text);
    assert_rejected(group("10.0.0.1"), &["--mc-address", "10.0.0.1", "multicast", "224.0.0.0"]);
    assert_rejected(group("nonsense"), &["--mc-address", "nonsense"]);
    assert_rejected(group(""), &["--mc-address"]);
    let mode = |text: &str| {
        let launch = cluster.launch().without("--mc-address").without("--mc-port");
        launch.mode(format!("multicast:{text}"))
    };
    assert_rejected(mode("10.0.0.1:2904"), &["mode \"multicast\": ", "10.0.0.1"]);
    assert_rejected(mode("224.2.2.4:0"), &["mode \"multicast\": ", "\"0\""]);
    assert_rejected(mode("224.2.2.4:2904:1"), &["mode \"multicast\": ", "224.2.2.4:2904:1"]);
}

#[test]
fn ports_are_validated() {
    let cluster = Cluster::new();
    for option in ["--mc-port", "--start-port", "--port"] {
        for wrong in ["0", "70000", "-1", "x", ""] {
            let launch = cluster.launch().without(option).flag(&format!("{option}={wrong}"));
            assert_rejected(launch, &[option, wrong]);
        }
    }
}

#[test]
fn an_unknown_option_is_rejected_with_a_suggestion() {
    let cluster = Cluster::new();
    assert_rejected(
        cluster.launch().option("--start-prot", "7"),
        &["--start-prot", "--start-port"],
    );
    assert_rejected(cluster.launch().flag("--nonsense"), &["--nonsense"]);
    assert_rejected(cluster.launch().flag("nonsense"), &["nonsense"]);
}

#[test]
fn an_option_without_its_value_is_rejected() {
    let cluster = Cluster::new();
    for option in ["--name", "--start-port", "--cluster-mode", "--interfaces", "--config"] {
        assert_rejected(cluster.launch().without(option).flag(option), &[option, "value"]);
    }
    assert_rejected(cluster.launch().flag("--lite=perhaps"), &["--lite", "perhaps"]);
}

#[test]
fn invalid_names_are_rejected() {
    let cluster = Cluster::new();
    assert_rejected(cluster.launch().option("--name", "n".repeat(65)), &["name", "64"]);
    assert_rejected(cluster.launch().option("--name", "two\nlines"), &["name"]);
    assert_rejected(cluster.launch().option("--group", ""), &["group"]);
    assert_rejected(cluster.launch().option("--cluster-name", ""), &["--cluster-name"]);
}

#[test]
fn a_missing_interface_is_rejected_with_a_list_of_the_existing_ones() {
    let cluster = Cluster::new();
    // An address of documentation (RFC 5737): no machine has it.
    assert_rejected(cluster.launch().at("203.0.113.77"), &["203.0.113.77", "127.0.0.1 (lo)"]);
    assert_rejected(cluster.launch().at("no-such-if0"), &["no-such-if0", "127.0.0.1 (lo)"]);
    assert_rejected(cluster.launch().at("10.0.0.300"), &["--interfaces", "\"10.0.0.300\""]);
}

#[test]
fn public_addresses_are_validated() {
    let cluster = Cluster::new();
    for wrong in ["", ":7000", "a:0", "[::1", "two words", "0.0.0.0", "224.0.0.1:7000"] {
        let launch = cluster.launch().flag(&format!("--public-address={wrong}"));
        assert_rejected(launch, &["--public-address", wrong.split(':').next().unwrap_or_default()]);
    }
}

#[test]
fn a_password_file_that_cannot_be_read_is_rejected() {
    let cluster = Cluster::new();
    let launch = cluster.launch().option("--cluster-password-file", "no-such-file");
    assert_rejected(launch, &["no-such-file"]);
    // A pipe without a writer.
    let pipe = cluster.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let launch = cluster.launch().option("--cluster-password-file", pipe.display().to_string());
    assert_rejected(launch, &["pipe", "its writer did not finish within 10 s"]);
}

#[test]
fn configuration_files_are_validated() {
    let cases: &[(&str, &[&str])] = &[
        ("cluster-name = \"a\"\nname = \"x\n", &["a.toml:2: "]),
        ("\n\nmc-port = 70000\n", &["a.toml:3: ", "70000"]),
        ("start-prot = 7\n", &["a.toml:1: ", "`start-prot`", "`start-port`"]),
        ("lite = \"perhaps\"\n", &["a.toml:1: "]),
        ("mc-address = \"10.0.0.1\"\n", &["a.toml", "mc-address", "10.0.0.1"]),
        ("[[discovery]]\n", &["a.toml:1: ", "`mode`"]),
        ("[[discovery]]\nmode = \"consul\"\n", &["consul", "plugin"]),
        ("[[discovery]]\nmode = \"tcpip\"\nargument = \"10.0.0.300\"\n", &["10.0.0.300"]),
        ("[[discovery]]\nmode = \"tcpip\"\ngrant = { wishes = [\"3\"] }\n", &["wishes"]),
    ];
    for (text, fragments) in cases {
        let cluster = Cluster::new();
        let path = cluster.write("a.toml", text);
        let launch = cluster.launch().without("--mc-address").without("--mc-port");
        assert_rejected(launch.option("--config", path.display().to_string()), fragments);
    }
    let cluster = Cluster::new();
    assert_rejected(cluster.launch().option("--config", "no-such.toml"), &["no-such.toml"]);
    cluster.write("convoke.toml", "nonsense");
    assert_rejected(cluster.launch(), &["convoke.toml:1: "]);
}

#[test]
fn a_file_that_is_not_a_component_is_rejected_with_what_it_is() {
    let cluster = Cluster::new();
    let whole = fs::read(binary::mode("tcpip")).unwrap();
    cluster.write("truncated.wasm", &whole[..whole.len() / 2]);
    cluster.write("cut.wasm", &whole[..6]);
    cluster.write("core.wasm", b"\0asm\x01\0\0\0");
    cluster.write("text.wasm", "<html>404</html>");
    cluster.write("empty.wasm", "");
    cluster.write("noise.wasm", [0xff; 64]);
    let cases = [
        ("missing.wasm", "there is no file"),
        ("truncated.wasm", "damaged"),
        ("cut.wasm", "ends within its first 8 bytes"),
        ("core.wasm", "core WebAssembly module"),
        ("text.wasm", "is text"),
        ("empty.wasm", "is empty"),
        ("noise.wasm", "is not WebAssembly"),
        (".", "directory"),
    ];
    for (file, fragment) in cases {
        let text = format!("[[discovery]]\nmode = \"mine\"\nplugin = {file:?}\n");
        let config = cluster.write("a.toml", text).display().to_string();
        let launch = cluster.launch().option("--config", config);
        assert_rejected(launch, &["mode \"mine\": ", file, fragment]);
    }
}

#[test]
fn a_plugin_with_a_different_digest_is_rejected() {
    let cluster = Cluster::new();
    fs::copy(binary::mode("tcpip"), cluster.folder().join("mine.wasm")).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    for (digest, fragments) in [
        (other.as_str(), ["mine.wasm", "requires", other.as_str()]),
        ("sha256:short", ["mine", "sha256", "short"]),
    ] {
        let text = format!(
            "[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\ndigest = {digest:?}\n\
             argument = \"127.0.0.1\"\n"
        );
        let config = cluster.write("a.toml", text).display().to_string();
        assert_rejected(cluster.launch().option("--config", config), &fragments);
    }
}

#[test]
fn invalid_options_are_rejected_before_the_member_starts() {
    let cluster = Cluster::new();
    let ended = cluster.launch().mode("tcpip:10.0.0.300").run(TIMEOUT);
    assert!(ended.refusal().contains("10.0.0.300"));
    assert!(!ended.stdout.contains("ready"), "{}", ended.stdout);
}
