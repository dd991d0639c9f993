//! A component file that changes while a member runs.

use convoke_tests::Cluster;
use convoke_tests::cluster::SOON;
use convoke_tests::guest::Guest;

#[test]
fn a_new_version_takes_over_after_its_first_look_and_a_broken_one_never() {
    let cluster = Cluster::alone();
    let first = cluster.start();
    cluster.agree([&first]);
    // Nobody is there.
    let nowhere = Guest::finding("127.0.0.1", cluster.spare_port(1), 100);
    cluster.write("mine.wasm", nowhere.component());
    let text = "[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\n";
    let config = cluster.write("mine.toml", text).display().to_string();
    let second = cluster.launch().option("--config", config).start();
    cluster.agree([&second]);

    cluster.write("mine.wasm", "<html>not found</html>");
    second.wait_for_line(
        SOON,
        &[
            "the new version of mode \"mine\" was rejected, and the running version is kept",
            "is text",
        ],
    );
    cluster.write("mine.wasm", Guest::crashing().component());
    second.wait_for_line(SOON, &["the running version is kept: it crashed"]);

    let place = first.address();
    cluster.write("mine.wasm", Guest::finding("127.0.0.1", place.port(), 100).component());
    second.wait_for_line(SOON, &["the new version of mode \"mine\" has taken over"]);
    cluster.agree([&first, &second]);
    let mode = second.status().modes.into_iter().find(|mode| mode.name == "mine").unwrap();
    assert_eq!((mode.reloads, mode.restarts), (1, 0));
}

#[test]
fn a_pinned_file_that_changes_is_not_taken() {
    let cluster = Cluster::alone();
    let member = Guest::finding("127.0.0.1", cluster.spare_port(1), 100);
    cluster.write("mine.wasm", member.component());
    let inspected = cluster.launch().subcommand(&["plugin", "inspect", "mine.wasm"], &[]).run(SOON);
    let digest = inspected.stdout.split("digest = \"").nth(1).unwrap().split('"').next().unwrap();
    let text =
        format!("[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\ndigest = \"{digest}\"\n");
    let config = cluster.write("mine.toml", text).display().to_string();
    let running = cluster.launch().option("--config", config).start();
    cluster.agree([&running]);
    let other = Guest::finding("127.0.0.1", cluster.spare_port(2), 100);
    cluster.write("mine.wasm", other.component());
    running.wait_for_line(SOON, &["the running version is kept", "has digest", "requires"]);
}
