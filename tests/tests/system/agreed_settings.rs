//! Members of one cluster have the same data settings: settings that a member does not set are
//! taken from the cluster, and a member with conflicting settings is refused.

use std::net::Ipv4Addr;
use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Launch, Member, http};
use rustix::process::Signal;

/// Enough keys to have some in each partition.
const KEYS: usize = 2_000;

/// A member with this configuration file.
fn with_file<'c>(cluster: &'c Cluster, name: &str, text: &str) -> Launch<'c> {
    let file = cluster.write(name, text).display().to_string();
    cluster.launch().option("--config", file)
}

fn leave(member: &mut Member) {
    member.signal(Signal::TERM);
    assert!(member.wait_exit(TIMEOUT).success());
}

/// The HTTP port of a member that is refused: it never logs the ready line that names it.
fn health_port(cluster: &Cluster) -> u16 {
    cluster.spare_port(1)
}

/// A launch of a member that is to be refused.
fn with_health_port<'c>(cluster: &Cluster, launch: Launch<'c>) -> Launch<'c> {
    launch.option("--port", health_port(cluster).to_string())
}

/// Both sides log the setting that differs, and the member has not joined.
#[track_caller]
fn assert_refused(
    cluster: &Cluster,
    inside: &[&Member],
    outside: &Member,
    setting: &str,
    theirs: &str,
) {
    let words = ["refused a member", setting, &format!("this cluster {theirs}")];
    inside[0].wait_for_line(TIMEOUT, &words);
    let words = ["join refused", setting, &format!("their cluster {theirs}")];
    outside.wait_for_line(TIMEOUT, &words);
    let at = (Ipv4Addr::LOCALHOST, health_port(cluster)).into();
    assert_eq!(http::get(at, "/health/ready").unwrap().status, 503);
    cluster.agree(inside.iter().copied());
}

#[test]
fn a_member_with_a_different_partition_count_is_refused_and_both_sides_log_it() {
    let cluster = Cluster::new();
    let first = cluster.launch().option("--partitions", "7").start();
    cluster.agree([&first]);
    let other = with_health_port(&cluster, cluster.launch().option("--partitions", "11")).start();
    assert_refused(&cluster, &[&first], &other, "partitions = 11", "7");
    // The default partition count is compared in the same way.
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let other = with_health_port(&cluster, cluster.launch().option("--partitions", "11")).start();
    assert_refused(&cluster, &[&first], &other, "partitions = 11", "271");
}

#[test]
fn a_member_with_different_map_settings_is_refused() {
    let cluster = Cluster::new();
    let text = "[maps.\"*\"]\nbackups = 0\n[maps.\"cart*\"]\nttl-s = 60\n";
    let first = with_file(&cluster, "a.toml", text).start();
    cluster.agree([&first]);
    let other = with_file(&cluster, "b.toml", "[maps.carts]\nttl-s = 5\n");
    let other = with_health_port(&cluster, other).start();
    assert_refused(&cluster, &[&first], &other, "maps.\"carts\".ttl-s = 5", "60");
    other.wait_for_line(TIMEOUT, &["join refused", "--change-maps"]);
    // The memory limit is a setting of each member; maps that are not named are not compared.
    let own = "[maps.\"*\"]\nbackups = 0\nmemory-mib = 64\n";
    let own = with_file(&cluster, "d.toml", own).start();
    cluster.agree([&first, &own]);
    let same = with_file(&cluster, "c.toml", "[maps.carts]\nttl-s = 60\n").start();
    cluster.agree([&first, &own, &same]);
}

#[test]
fn map_settings_can_be_changed_by_a_rolling_restart() {
    let cluster = Cluster::new();
    let before = "[maps.\"resp:0\"]\nttl-s = 600\nbackups = 0\n";
    let after = "change-maps = true\n[maps.\"resp:0\"]\nttl-s = 60\nbackups = 1\n";
    let mut first = with_file(&cluster, "a.toml", before).start();
    cluster.agree([&first]);
    let mut second = with_file(&cluster, "a.toml", before).start();
    cluster.agree([&first, &second]);
    let mut client = first.client();
    for n in 0..KEYS {
        assert_eq!(client.command(&format!("SET k{n} v")).unwrap(), Value::ok());
    }
    leave(&mut second);
    cluster.agree([&first]);
    let second = with_file(&cluster, "b.toml", after).start();
    cluster.agree([&first, &second]);
    for member in [&first, &second] {
        let words = ["WARN", "changes map settings", "backups = 1, this cluster 0"];
        member.wait_for_line(TIMEOUT, &words);
    }
    let assert_ttl = |member: &Member, most: i64| {
        let mut client = member.client();
        assert_eq!(client.command("SET another v").unwrap(), Value::ok());
        let left = client.command("TTL another").unwrap().integer().unwrap();
        assert!((most - 10..=most).contains(&left), "{left}");
    };
    assert_ttl(&second, 600);
    leave(&mut first);
    cluster.agree([&second]);
    second.wait_for_line(TIMEOUT, &["map settings changed: the settings of the oldest"]);
    assert_ttl(&second, 60);
    let mut first = with_file(&cluster, "b.toml", after).start();
    cluster.agree([&second, &first]);
    second.wait_for_status(TIMEOUT, "a backup of each partition", |status| {
        let data = &status.data;
        let wanted =
            data["copies"]["wanted"].as_u64() == data["partitions"].as_u64().map(|n| 2 * n);
        (wanted && data["safe"] == true).then_some(())
    });
    first.kill();
    let mut client = second.client();
    for n in 0..KEYS {
        let found = client.command(&format!("GET k{n}")).unwrap();
        assert_eq!(found, Value::Bytes(b"v".to_vec()), "k{n}");
    }
}

#[test]
fn unset_settings_are_taken_from_the_cluster_even_after_the_member_that_set_them_is_gone() {
    let cluster = Cluster::new();
    let text = "partitions = 7\n[maps.\"resp:0\"]\nttl-s = 60\nbackups = 2\n";
    let mut first = with_file(&cluster, "a.toml", text).start();
    cluster.agree([&first]);
    let second = cluster.start();
    cluster.agree([&first, &second]);
    second.wait_for_line(
        TIMEOUT,
        &["settings taken from the cluster", "partitions = 7", "maps.\"resp:0\".ttl-s = 60"],
    );
    let assert_cluster_settings = |member: &Member| {
        let mut client = member.client();
        assert_eq!(client.command("SET k v").unwrap(), Value::ok());
        let left = client.command("TTL k").unwrap().integer().unwrap();
        assert!((50..=60).contains(&left), "{left}");
        assert_eq!(member.status().data["partitions"], 7);
    };
    assert_cluster_settings(&second);
    first.kill();
    let third = cluster.start();
    cluster.agree([&second, &third]);
    assert_cluster_settings(&third);
    let other = with_health_port(&cluster, cluster.launch().option("--partitions", "271")).start();
    assert_refused(&cluster, &[&second, &third], &other, "partitions = 271", "7");
}

#[test]
fn clusters_with_different_settings_do_not_merge() {
    let cluster = Cluster::new();
    let nowhere = "tcpip:127.0.0.1:1";
    let first = cluster.launch().mode(nowhere).option("--partitions", "7").start();
    cluster.agree([&first]);
    let second = cluster.launch().mode(nowhere).option("--partitions", "11").start();
    cluster.agree([&second]);
    // It finds both, and joins the one whose settings it has.
    let list = format!("tcpip:{},{}", first.address(), second.address());
    let third = cluster.launch().mode(list).option("--partitions", "7").start();
    cluster.agree([&first, &third]);
    // It refuses the third one that asks to join; or the third one is in the first cluster already,
    // and the two of them, which are more, refuse the second one.
    second.wait_for_line(Duration::from_secs(20), &["refused", "has partitions"]);
    cluster.agree([&second]);
    assert_eq!(second.get("/health/ready").unwrap().status, 200);
}

#[test]
fn config_check_shows_the_settings_that_members_must_agree_on() {
    let cluster = Cluster::new();
    cluster.write("a.toml", "partitions = 7\n[maps.\"cache-*\"]\nbackups = 0\n");
    let launch = cluster.launch().subcommand(&["config", "check"], &["--interfaces"]);
    let ended = launch.option("--config", "a.toml").run(TIMEOUT);
    for line in [
        "agreed     partitions = 7\n",
        "           maps.\"*\".backups = 1 (not set: taken from the cluster)\n",
        "           maps.\"cache-*\".backups = 0\n",
    ] {
        assert!(ended.stdout.contains(line), "{line:?} is not in {}", ended.stdout);
    }
}
