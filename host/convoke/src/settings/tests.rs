//! The settings that result from files and command lines.

use convoke_wire::PASSWORD_BYTES_MAX;

use super::*;

fn resolve(arguments: &[&str]) -> Result<Settings, SettingsError> {
    let arguments = std::iter::once(&"convoke").chain(arguments).map(|a| (*a).into());
    Settings::resolve(CommandLine::read(arguments).expect("a well-formed command line"))
}

fn refusal(arguments: &[&str]) -> String {
    resolve(arguments).unwrap_err().to_string()
}

#[test]
fn defaults_match_the_readme() {
    let settings = resolve(&[]).unwrap();
    assert_eq!(settings.cluster_name, "development");
    assert_eq!((settings.start_port, settings.mc_port, settings.port), (6900, 2904, 8080));
    assert_eq!(settings.modes.len(), 1);
    assert_eq!(settings.modes[0].name, "multicast");
    assert!(settings.password.is_empty() && !settings.lite);
}

#[test]
fn a_group_that_is_not_multicast_is_refused() {
    assert_eq!(
        refusal(&["--mcAddress", "10.0.0.1"]),
        "--mc-address: \"10.0.0.1\" is not a multicast address; expected 224.0.0.0 to 239.255.255.255, or ff00::/8"
    );
    assert!(resolve(&["--mc-address", "[ff02::1]"]).is_ok());
}

#[test]
fn client_addresses_are_a_host_a_port_or_both() {
    let read = |text: &str| {
        let settings = resolve(&["--resp-public-address", text])?;
        Ok(ClientAddress::service(settings.resp_public_address.as_ref(), 6379)
            .address("10.0.0.1".parse().unwrap()))
    };
    for (text, dialled) in [
        ("cache.example", "cache.example:6379"),
        ("cache.example:7000", "cache.example:7000"),
        (":7000", "10.0.0.1:7000"),
        ("2001:db8::1", "[2001:db8::1]:6379"),
        ("[2001:db8::1]:7000", "[2001:db8::1]:7000"),
        ("192.0.2.1:7000", "192.0.2.1:7000"),
    ] {
        assert_eq!(read(text).map_err(|e: SettingsError| e.to_string()), Ok(dialled.into()));
    }
    for wrong in ["", ":0", ":x", "7000", "0.0.0.0", "224.0.0.1", "a b", "a:0", "::"] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains("--resp-public-address") && error.contains("or :port"), "{error}");
    }
    let off = refusal(&["--resp-port", "0", "--resp-public-address", "a"]);
    assert!(off.contains("resp-port is 0"), "{off}");
}

#[test]
fn settings_that_the_command_line_overrides_are_reported() {
    let file = std::env::temp_dir().join(format!("convoke-wins-{}.xml", std::process::id()));
    std::fs::write(&file, "<hazelcast><cluster-name>a</cluster-name></hazelcast>").unwrap();
    let path = file.display().to_string();
    let outcome = |more: &[&str]| {
        let settings = resolve(&[&["--hzConfigFile", &path], more].concat()).unwrap();
        (settings.cluster_name, settings.overridden)
    };
    assert_eq!(outcome(&[]), ("a".to_owned(), Vec::new()));
    let (name, overridden) = outcome(&["--clusterName", "b", "--clusterMode", "tcpip:10.0.0.1"]);
    assert_eq!((name.as_str(), overridden.join(" ").as_str()), ("b", "cluster-name discovery"));
    std::fs::remove_file(&file).unwrap();
    let file = file.with_extension("toml");
    let path = file.display().to_string();
    std::fs::write(&file, "no-cluster = true\n").unwrap();
    let settings = |more: &[&str]| resolve(&[&["--config", &path], more].concat()).unwrap();
    assert!(settings(&[]).no_cluster);
    let found = settings(&["--cluster-mode", "tcpip:10.0.0.1"]);
    assert_eq!((found.no_cluster, found.overridden.join(" ").as_str()), (false, "no-cluster"));
    let both = settings(&["--cluster-mode", "tcpip:10.0.0.1", "--no-cluster"]);
    assert!(both.no_cluster);
    std::fs::remove_file(file).unwrap();
}

/// Resolves settings with this file and these options.
fn with_file(name: &str, text: &str, more: &[&str]) -> Result<Settings, String> {
    let file = std::env::temp_dir().join(format!("convoke-{}-{name}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let path = file.display().to_string();
    let resolved = resolve(&[&["--config", &path], more].concat());
    std::fs::remove_file(&file).unwrap();
    resolved.map_err(|error| error.to_string().replace(&path, "FILE"))
}

#[test]
fn the_source_with_higher_precedence_wins_and_is_reported() {
    let notes = |text: &str, more: &[&str]| {
        let settings = with_file("notes.toml", text, more).unwrap();
        let file = settings.file.as_ref().unwrap().display().to_string();
        let notes = settings.notes.join("; ").replace(&file, "FILE");
        (settings, notes)
    };
    let (settings, notes_text) = notes("no-cluster = true", &["--cluster-mode", "tcpip:10.0.0.1"]);
    assert!(!settings.no_cluster);
    assert_eq!(
        notes_text,
        "--cluster-mode overrides no-cluster in FILE: this member looks for a cluster"
    );
    let (settings, notes_text) = notes("[[discovery]]\nmode = \"multicast\"", &["--no-cluster"]);
    assert!(settings.no_cluster);
    assert_eq!(
        notes_text,
        "--no-cluster overrides discovery in FILE: this member runs without a cluster"
    );
    let both = ["--no-cluster", "--cluster-mode", "tcpip:10.0.0.1"];
    let (settings, notes_text) = notes("", &both);
    assert!(settings.no_cluster && notes_text.starts_with("--no-cluster overrides --cluster-mode"));
    let (_, notes_text) = notes("lite = true\nmin-members = 3", &[]);
    assert!(
        notes_text.starts_with("lite is set, so min-members in FILE has no effect"),
        "{notes_text}"
    );
    let (_, notes_text) = notes("min-members = 3", &["--no-cluster"]);
    assert!(notes_text.contains("every write is refused"), "{notes_text}");
    let (_, notes_text) = notes("resp-port = 0\nredis-cluster = true", &[]);
    assert_eq!(notes_text, "resp-port in FILE is 0: redis-cluster in FILE has no effect");
    let (_, notes_text) = notes("cluster-mode = \"tcpip:10.0.0.1\"", &["--mc-port", "3000"]);
    assert_eq!(notes_text, "--mc-port has no effect: no configured mode uses multicast");
    let (_, notes_text) = notes("", &["--auto-bind-range", "9"]);
    assert_eq!(notes_text, "--auto-bind-range has no effect without auto-bind-http");
    assert_eq!(notes("min-members = 3\nauto-bind-range = 9", &["--resp-port", "0"]).1, "");
}

#[test]
fn the_multicast_group_of_the_source_with_higher_precedence_wins() {
    let group = |text: &str, more: &[&str]| {
        let settings = with_file("group.toml", text, more).unwrap();
        (settings.modes[0].argument.clone(), settings.notes.len())
    };
    let file = "cluster-mode = \"multicast:224.2.2.9:3000\"";
    assert_eq!(group(file, &[]), ("224.2.2.9:3000".to_owned(), 0));
    assert_eq!(group(file, &["--mc-port", "3000"]).1, 0, "the same");
    assert_eq!(group(file, &["--mcPort", "3001"]), ("224.2.2.9:3001".to_owned(), 1));
    assert_eq!(
        group(file, &["--mc-address", "[ff02::1]", "--mc-port", "3001"]),
        ("[ff02::1]:3001".to_owned(), 2)
    );
    assert_eq!(
        group("mc-port = 4000", &["--cluster-mode", "multicast:224.2.2.9:3000"]),
        ("224.2.2.9:3000".to_owned(), 1)
    );
    let refusal = |text: &str, more: &[&str]| with_file("groups.toml", text, more).unwrap_err();
    assert_eq!(
        refusal(&format!("{file}\nmc-port = 3001"), &[]),
        "cluster-mode in FILE sets 3000 for multicast, and mc-port in FILE sets 3001; keep one of them"
    );
    let both = ["--cluster-mode", "multicast:224.2.2.9:3000", "--mc-address", "224.2.2.8"];
    assert!(refusal("", &both).contains("--mc-address sets 224.2.2.8; keep one of them"));
}

#[test]
fn the_command_line_overrides_the_group_of_a_hazelcast_file() {
    let text = "<hazelcast><network><join><multicast enabled='true'/></join></network></hazelcast>";
    let settings = with_file("group.xml", text, &["--mcPort", "3001"]).unwrap();
    assert_eq!(settings.modes[0].argument, "224.2.2.3:3001");
    assert!(settings.notes[0].starts_with("--mc-port overrides discovery in "));
}

#[test]
fn the_command_line_overrides_the_settings_of_a_table() {
    let table = "[[discovery]]\nmode = \"multicast\"\nsettings = { port = \"77\", group = \"239.1.1.9\" }\n";
    let settings = with_file("table.toml", table, &["--mc-port", "78"]).unwrap();
    assert_eq!(settings.modes[0].settings, [("group".to_owned(), "239.1.1.9".to_owned())]);
    assert!(settings.notes[0].contains("multicast uses 78, not 77"), "{:?}", settings.notes);
    let same = with_file("table.toml", table, &["--mc-port", "77"]).unwrap();
    assert!(same.notes.is_empty(), "{:?}", same.notes);
    let both = format!("mc-port = 78\n{table}");
    let refusal = with_file("table.toml", &both, &[]).unwrap_err();
    assert!(refusal.contains("sets 77 for multicast"), "{refusal}");
    let unused =
        "cluster-mode = \"tcpip:10.0.0.1\"\n[[discovery]]\nmode = \"dns\"\nargument = \"h\"\n";
    let settings = with_file("table.toml", unused, &[]).unwrap();
    assert!(settings.notes[0].contains("has no effect"), "{:?}", settings.notes);
}

#[test]
fn byte_order_marks_and_line_breaks_are_not_part_of_a_password() {
    let secret = std::env::temp_dir().join(format!("convoke-marked-{}", std::process::id()));
    let read = |bytes: &[u8]| {
        std::fs::write(&secret, bytes).unwrap();
        let file = secret.display().to_string();
        resolve(&["--cluster-password-file", &file]).map(|settings| settings.password.to_vec())
    };
    assert_eq!(read(b"\xef\xbb\xbfabc\r\n").unwrap(), b"abc");
    let error = read(b"\xff\xfea\0b\0").unwrap_err().to_string();
    assert!(error.contains("UTF-8"), "{error}");
    std::fs::remove_file(secret).unwrap();
    assert!(refusal(&["--cluster-name", "a\nb"]).contains("control characters"));
}

#[test]
fn contradictory_settings_are_refused() {
    let refusal = |text: &str, more: &[&str]| with_file("both.toml", text, more).unwrap_err();
    assert_eq!(
        refusal("lite = true", &["--no-cluster"]),
        "--no-cluster and lite in FILE contradict each other: a single member that stores no data refuses every write; remove one of them"
    );
    assert_eq!(
        refusal("resp-port = 0", &["--redis-cluster"]),
        "--redis-cluster is set, but RESP is off: resp-port in FILE is 0; set --resp-port as well, or remove it"
    );
}

#[test]
fn a_password_file_with_higher_precedence_is_reported_as_overriding() {
    let secret = std::env::temp_dir().join(format!("convoke-secret-{}", std::process::id()));
    // A password of the maximum length, and a line break.
    std::fs::write(&secret, format!("{}\r\n", "s".repeat(PASSWORD_BYTES_MAX))).unwrap();
    let option = secret.display().to_string();
    let settings = with_file(
        "secret.toml",
        "cluster-password = \"other\"\nclient-password = \"own\"",
        &["--cluster-password-file", &option],
    );
    let settings = settings.unwrap();
    assert_eq!(settings.password.len(), PASSWORD_BYTES_MAX);
    assert_eq!(settings.overridden, ["cluster-password"]);
    std::fs::write(&secret, "s".repeat(PASSWORD_BYTES_MAX + 1)).unwrap();
    assert!(refusal(&["--cluster-password-file", &option]).contains("has more than"));
    std::fs::remove_file(secret).unwrap();
}

#[test]
fn notifications_accept_the_letters_and_report_the_errors_of_redis() {
    let settings = resolve(&["--notify-keyspace-events", "Ex"]).unwrap();
    assert_eq!(settings.clients.notifications.text(), "xE");
    assert_eq!(
        refusal(&["--notify-keyspace-events", "KQ"]),
        "--notify-keyspace-events is \"KQ\": Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
    );
    let file = "notify-keyspace-events = \"KEA\"";
    let of_file = with_file("notify.toml", file, &[]).unwrap();
    assert_eq!(of_file.clients.notifications.text(), "AKE");
    let above = with_file("notify.toml", file, &["--notify-keyspace-events", ""]).unwrap();
    assert_eq!(above.clients.notifications.text(), "");
}

#[test]
fn data_options_are_checked() {
    let settings = resolve(&["--resp-port", "0", "--min-members", "2"]).unwrap();
    assert_eq!((settings.clients.resp_port, settings.data.min_members), (None, 2));
    assert!(refusal(&["--partitions", "0"]).contains("expected 1 to 16384"));
    assert_eq!(refusal(&["--min-members", "0"]), "--min-members is 0; expected 1 or more members");
    let empty = refusal(&["--client-password", ""]);
    assert_eq!(empty, "--client-password is empty; set a password, or remove it");
    let database = with_file("database.toml", "[maps.\"resp:16\"]\nbackups = 2", &[]).unwrap_err();
    assert!(database.contains("they are resp:0 to resp:15"), "{database}");
    assert!(with_file("database.toml", "[maps.\"resp:1*\"]\nbackups = 2", &[]).is_ok());
    assert!(refusal(&["--max-clients", "0"]).contains("set resp-port and hazelcast-port to 0"));
    let both = ["--client-password", "a", "--client-password-file", "b"];
    assert!(refusal(&both).contains("both client-password and client-password-file"));
}
