//! Component files that are replaced while a member is running.

use convoke_tests::Cluster;
use convoke_tests::cluster::TIMEOUT;
use convoke_tests::guest::Guest;

#[test]
fn a_new_version_takes_over_after_its_first_lookup_and_a_broken_one_is_rejected() {
    let cluster = Cluster::exclusive();
    let first = cluster.start();
    cluster.agree([&first]);
    // There is no member at this port.
    let unused = Guest::finding("127.0.0.1", cluster.spare_port(1), 100);
    cluster.write("mine.wasm", unused.component());
    let text = "[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\n";
    let config = cluster.write("mine.toml", text).display().to_string();
    let second = cluster.launch().option("--config", config).start();
    cluster.agree([&second]);

    cluster.write("mine.wasm", "<html>not found</html>");
    second.wait_for_line(
        TIMEOUT,
        &[
            "the new version of mode \"mine\" was rejected, and the running version is kept",
            "is text",
        ],
    );
    cluster.write("mine.wasm", Guest::crashing().component());
    second.wait_for_line(TIMEOUT, &["the running version is kept: it crashed"]);

    let address = first.address();
    cluster.write("mine.wasm", Guest::finding("127.0.0.1", address.port(), 100).component());
    second.wait_for_line(TIMEOUT, &["the new version of mode \"mine\" has taken over"]);
    cluster.agree([&first, &second]);
    let mode = second.status().modes.into_iter().find(|mode| mode.name == "mine").unwrap();
    assert_eq!((mode.reloads, mode.restarts), (1, 0));
}

#[test]
fn a_changed_file_with_a_different_digest_is_rejected() {
    let cluster = Cluster::exclusive();
    let member = Guest::finding("127.0.0.1", cluster.spare_port(1), 100);
    cluster.write("mine.wasm", member.component());
    let inspected =
        cluster.launch().subcommand(&["plugin", "inspect", "mine.wasm"], &[]).run(TIMEOUT);
    let digest = inspected.stdout.split("digest = \"").nth(1).unwrap().split('"').next().unwrap();
    let text =
        format!("[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\ndigest = \"{digest}\"\n");
    let config = cluster.write("mine.toml", text).display().to_string();
    let running = cluster.launch().option("--config", config).start();
    cluster.agree([&running]);
    let other = Guest::finding("127.0.0.1", cluster.spare_port(2), 100);
    cluster.write("mine.wasm", other.component());
    running.wait_for_line(TIMEOUT, &["the running version is kept", "has digest", "requires"]);
}
