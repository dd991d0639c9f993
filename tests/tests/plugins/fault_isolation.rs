//! A mode that means ill, beside one that does its work: the cluster stands.

use std::time::Duration;

use convoke_tests::cluster::SOON;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, Member};

/// A member that looks by list and by `guest`.
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
fn the_cluster_stands(guest: &Guest, words: &[&str]) {
    let cluster = Cluster::alone();
    let first = cluster.start();
    cluster.agree([&first]);
    let beside = start_with(&cluster, guest, &first.address().to_string());
    beside.wait_for_line(SOON, words);
    cluster.agree([&first, &beside]);
    // It fails again and again; said once, and nobody is removed or added for it.
    let bound = Duration::from_secs(30);
    beside.wait_for_status(bound, "the mode was built anew three times", |status| {
        let mode = status.modes.iter().find(|mode| mode.name == "hostile")?;
        (mode.restarts >= 3).then_some(())
    });
    assert_eq!(beside.count_lines(words), 1);
    let third = cluster.start_tcpip(&beside.address().to_string());
    cluster.agree([&first, &beside, &third]);
    assert_eq!(beside.count_lines(&["Members [3]"]), 1, "no member left meanwhile");
}

#[test]
fn a_mode_that_loops_for_ever_holds_nobody_up() {
    the_cluster_stands(
        &Guest::looping(),
        &["mode \"hostile\" computed for more than 950 ms in one call"],
    );
}

#[test]
fn a_mode_that_crashes_takes_nobody_along() {
    the_cluster_stands(&Guest::crashing(), &["mode \"hostile\" crashed"]);
}

#[test]
fn a_mode_that_takes_all_memory_gets_64_mib() {
    the_cluster_stands(&Guest::growing(), &["mode \"hostile\" "]);
}
