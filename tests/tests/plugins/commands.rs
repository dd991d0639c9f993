//! The `convoke plugin` commands, as an author of modes uses them.

use std::fs;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, CompletedProcess, binary};

/// Runs `convoke plugin …` in the cluster's folder, on loopback.
fn plugin(cluster: &Cluster, words: &[&str]) -> CompletedProcess {
    let words: Vec<&str> = ["plugin"].iter().chain(words).copied().collect();
    cluster.launch().subcommand(&words, &["--interfaces"]).run(TIMEOUT)
}

#[track_caller]
fn printed(ended: &CompletedProcess, lines: &[&str]) {
    assert!(ended.status.success(), "{ended:#?}");
    for line in lines {
        assert!(ended.stdout.contains(line), "{line:?} is not in {ended:#?}");
    }
}

#[test]
fn inspect_shows_the_imports_of_a_component_and_the_configuration_to_load_it() {
    let cluster = Cluster::new();
    fs::copy(binary::mode("dns"), cluster.folder().join("names.wasm")).unwrap();
    let ended = plugin(&cluster, &["inspect", "names.wasm"]);
    printed(
        &ended,
        &[
            "looks for members (convoke:discovery/strategy@0.1.0)",
            "look names up in DNS (convoke:host/dns)",
            "digest = \"sha256:",
            "grant = { dns = [\"*.shop.example\"] }",
        ],
    );
    // The configuration in its output is valid.
    let toml = &ended.stdout[ended.stdout.find("[[discovery]]").unwrap()..];
    let toml = toml.replace("mode = \"names\"", "mode = \"names\"\nargument = \"a.shop.example\"");
    cluster.write("pasted.toml", toml);
    let checked = cluster
        .launch()
        .subcommand(&["config", "check", "pasted.toml"], &["--interfaces"])
        .run(TIMEOUT);
    assert!(checked.status.success(), "{checked:#?}");
}

#[test]
fn files_that_are_not_modes_are_rejected_with_what_they_are() {
    let cluster = Cluster::new();
    cluster.write("text.wasm", "(module)");
    cluster.write("core.wasm", b"\0asm\x01\0\0\0");
    let cut = fs::read(binary::mode("tcpip")).unwrap();
    cluster.write("cut.wasm", &cut[..cut.len() / 2]);
    for (file, words) in [
        ("text.wasm", "is text, not a component"),
        ("core.wasm", "is a core WebAssembly module, not a component"),
        ("cut.wasm", "is damaged, truncated"),
        ("gone.wasm", "there is no file "),
    ] {
        let refused = plugin(&cluster, &["inspect", file]);
        assert!(refused.refusal().contains(words), "{refused:#?}");
        let refused = plugin(&cluster, &["try", file]);
        assert_eq!(refused.status.code(), Some(2), "{refused:#?}");
        assert!(refused.stderr.contains(words), "{refused:#?}");
    }
}

#[test]
fn try_runs_a_mode_with_fakes() {
    let cluster = Cluster::new();
    cluster.write(
        "fakes.toml",
        "[dns]\nttl-s = 5\n[dns.names]\n\"members.example\" = [\"10.0.0.7\", \"fd00::7\"]\n",
    );
    let dns = binary::mode("dns").display().to_string();
    let given = ["try", &dns, "--argument", "members.example:6900", "--fakes", "fakes.toml"];
    let granted = |grant: &str| {
        let words: Vec<&str> = given.iter().copied().chain(["--grant", grant]).collect();
        plugin(&cluster, &words)
    };
    printed(
        &granted("dns=*.example"),
        &[
            "lookup 1: 2 candidates, 0 dropped",
            "  10.0.0.7:6900\n",
            "  [fd00::7]:6900\n",
            "next lookup in",
        ],
    );
    let denied = granted("dns=other.example");
    assert_eq!(denied.status.code(), Some(2));
    assert!(
        denied.stderr.contains("grant = { dns = [\"other.example\", \"members.example\"] }"),
        "{denied:#?}"
    );
    assert!(
        denied.stderr.contains("discover: denied: cannot look up members.example"),
        "{denied:#?}"
    );
    let refused = plugin(&cluster, &given);
    assert!(
        refused.stderr.contains("which is not granted; to allow it, its [[discovery]] needs: "),
        "{refused:#?}"
    );
    assert!(refused.stderr.ends_with("; here: --grant 'dns=*.shop.example'\n"), "{refused:#?}");

    cluster.write("fakes.toml", "[dns]\nnmaes = {}\n");
    let refused = granted("dns=*.example");
    assert!(refused.stderr.contains("fakes.toml:2: unknown field `nmaes`"), "{refused:#?}");
}

#[test]
fn try_distinguishes_a_crash_from_an_endless_loop() {
    let cluster = Cluster::new();
    for (guest, words) in [
        (Guest::crashing(), "discover: it crashed"),
        (Guest::looping(), "discover: it computed for more than 950 ms in one call"),
        (Guest::growing(), "discover: it "),
    ] {
        guest.write(&cluster.folder().join("bad.wasm"));
        let ended = plugin(&cluster, &["try", "bad.wasm"]);
        assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
        assert!(ended.stderr.contains(words), "{ended:#?}");
    }
}

#[test]
fn new_creates_a_project_in_each_language_and_never_overwrites_one() {
    let cluster = Cluster::new();
    for language in ["rust", "python", "javascript", "c", "go"] {
        let name = format!("my-{language}");
        let made = plugin(&cluster, &["new", "--lang", language, &name]);
        printed(&made, &["README.md", &format!("make          # builds {name}.wasm")]);
        let folder = cluster.folder().join(&name);
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.starts_with(&format!("# {name}\n")) && !readme.contains("{{"), "{readme}");
        assert!(folder.join("Makefile").is_file());
        let again = plugin(&cluster, &["new", "--lang", language, &name]);
        assert!(again.refusal().contains(&format!("{name} already exists")), "{again:#?}");
    }
    for wrong in ["My", "a_b", "../up", "a-", "1a", &"a".repeat(65)] {
        let refused = plugin(&cluster, &["new", "--lang", "c", wrong]);
        assert!(refused.refusal().contains("is not a name for a mode"), "{refused:#?}");
    }
}

#[test]
fn component_rejects_files_that_are_not_core_modules() {
    let cluster = Cluster::new();
    cluster.write("core.wasm", b"\0asm\x01\0\0\0");
    fs::copy(binary::mode("tcpip"), cluster.folder().join("done.wasm")).unwrap();
    for (file, words) in [
        ("done.wasm", "done.wasm is already a component"),
        ("gone.wasm", "gone.wasm: No such file"),
    ] {
        let refused = plugin(&cluster, &["component", file, "out.wasm"]);
        assert!(refused.refusal().contains(words), "{refused:#?}");
    }
    assert!(!cluster.folder().join("out.wasm").exists());
}
