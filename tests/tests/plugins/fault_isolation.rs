//! A faulty mode does not affect a cluster that uses another mode as well.

use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, Member};

/// A member with the modes tcpip and `guest`.
fn start_with(cluster: &Cluster, guest: &Guest, list: &str) -> Member {
    guest.write(&cluster.folder().join("hostile.wasm"));
    let text = format!(
        "[[discovery]]\nmode = \"hostile\"\nplugin = \"hostile.wasm\"\n\
         [[discovery]]\nmode = \"tcpip\"\nargument = \"{list}\"\n"
    );
    let config = cluster.write("hostile.toml", text).display().to_string();
    cluster.launch().option("--config", config).start()
}

#[track_caller]
fn assert_cluster_unaffected(guest: &Guest, words: &[&str]) {
    let cluster = Cluster::exclusive();
    let first = cluster.start();
    cluster.agree([&first]);
    let member = start_with(&cluster, guest, &first.address().to_string());
    member.wait_for_line(TIMEOUT, words);
    cluster.agree([&first, &member]);
    // It fails repeatedly; this is logged once, and the view does not change.
    let bound = Duration::from_secs(30);
    member.wait_for_status(bound, "the mode was restarted three times", |status| {
        let mode = status.modes.iter().find(|mode| mode.name == "hostile")?;
        (mode.restarts >= 3).then_some(())
    });
    assert_eq!(member.count_lines(words), 1);
    let third = cluster.start_tcpip(&member.address().to_string());
    cluster.agree([&first, &member, &third]);
    assert_eq!(member.count_lines(&["Members [3]"]), 1, "no member was removed meanwhile");
}

#[test]
fn an_endless_loop_in_a_mode_does_not_block_its_member() {
    assert_cluster_unaffected(
        &Guest::looping(),
        &["mode \"hostile\" computed for more than 950 ms in one call"],
    );
}

#[test]
fn a_crash_of_a_mode_does_not_affect_its_member() {
    assert_cluster_unaffected(&Guest::crashing(), &["mode \"hostile\" crashed"]);
}

#[test]
fn a_mode_is_limited_to_64_mib_of_memory() {
    assert_cluster_unaffected(&Guest::growing(), &["mode \"hostile\" "]);
}
