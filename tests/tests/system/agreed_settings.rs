//! Members of one cluster have the same settings of data: what was left open is taken from the
//! cluster, and what was set to something else keeps a member out.

use std::net::Ipv4Addr;
use std::time::Duration;

use convoke_tests::cluster::SOON;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Launch, Member, http};
use rustix::process::Signal;

/// Keys in all partitions.
const KEYS: usize = 2_000;

/// A member with this configuration file.
fn with_file<'c>(cluster: &'c Cluster, name: &str, text: &str) -> Launch<'c> {
    let file = cluster.write(name, text).display().to_string();
    cluster.launch().option("--config", file)
}

fn leave(member: &mut Member) {
    member.signal(Signal::TERM);
    assert!(member.wait_exit(SOON).success());
}

/// Where a member that is kept out is asked for its health: it never says where it is ready.
fn health_port(cluster: &Cluster) -> u16 {
    cluster.spare_port(1)
}

/// One that is to be kept out.
fn kept_out<'c>(cluster: &Cluster, launch: Launch<'c>) -> Launch<'c> {
    launch.option("--port", health_port(cluster).to_string())
}

/// Both sides name what differs, and nobody joined.
#[track_caller]
fn is_kept_out(cluster: &Cluster, inside: &[&Member], outside: &Member, named: &str, there: &str) {
    let told = ["refused a member", named, &format!("this cluster {there}")];
    inside[0].wait_for_line(SOON, &told);
    let told = ["join refused", named, &format!("their cluster {there}")];
    outside.wait_for_line(SOON, &told);
    let at = (Ipv4Addr::LOCALHOST, health_port(cluster)).into();
    assert_eq!(http::get(at, "/health/ready").unwrap().status, 503);
    cluster.agree(inside.iter().copied());
}

#[test]
fn a_member_that_is_set_to_other_partitions_is_not_let_in_and_both_say_so() {
    let cluster = Cluster::new();
    let first = cluster.launch().option("--partitions", "7").start();
    cluster.agree([&first]);
    let other = kept_out(&cluster, cluster.launch().option("--partitions", "11")).start();
    is_kept_out(&cluster, &[&first], &other, "partitions = 11", "7");
    // What the cluster has because nobody said otherwise counts as much.
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let other = kept_out(&cluster, cluster.launch().option("--partitions", "11")).start();
    is_kept_out(&cluster, &[&first], &other, "partitions = 11", "271");
}

#[test]
fn a_member_whose_maps_are_set_otherwise_is_not_let_in() {
    let cluster = Cluster::new();
    let text = "[maps.\"*\"]\nbackups = 0\n[maps.\"cart*\"]\nttl-s = 60\n";
    let first = with_file(&cluster, "a.toml", text).start();
    cluster.agree([&first]);
    let other = with_file(&cluster, "b.toml", "[maps.carts]\nttl-s = 5\n");
    let other = kept_out(&cluster, other).start();
    is_kept_out(&cluster, &[&first], &other, "maps.\"carts\".ttl-s = 5", "60");
    other.wait_for_line(SOON, &["join refused", "--change-maps"]);
    // How much memory there is, is a matter of each host; what is not named is open.
    let own = "[maps.\"*\"]\nbackups = 0\nmemory-mib = 64\n";
    let own = with_file(&cluster, "d.toml", own).start();
    cluster.agree([&first, &own]);
    let same = with_file(&cluster, "c.toml", "[maps.carts]\nttl-s = 60\n").start();
    cluster.agree([&first, &own, &same]);
}

#[test]
fn settings_of_maps_are_changed_by_restarting_one_member_after_the_other() {
    let cluster = Cluster::new();
    let before = "[maps.\"resp:0\"]\nttl-s = 600\nbackups = 0\n";
    let after = "change-maps = true\n[maps.\"resp:0\"]\nttl-s = 60\nbackups = 1\n";
    let mut first = with_file(&cluster, "a.toml", before).start();
    cluster.agree([&first]);
    let mut second = with_file(&cluster, "a.toml", before).start();
    cluster.agree([&first, &second]);
    let mut client = first.client();
    for n in 0..KEYS {
        assert_eq!(client.ask(&format!("SET k{n} v")).unwrap(), Value::ok());
    }
    leave(&mut second);
    cluster.agree([&first]);
    let second = with_file(&cluster, "b.toml", after).start();
    cluster.agree([&first, &second]);
    for member in [&first, &second] {
        let told = ["WARN", "changes map settings", "backups = 1, this cluster 0"];
        member.wait_for_line(SOON, &told);
    }
    let lives = |member: &Member, most: i64| {
        let mut client = member.client();
        assert_eq!(client.ask("SET another v").unwrap(), Value::ok());
        let left = client.ask("TTL another").unwrap().integer().unwrap();
        assert!((most - 10..=most).contains(&left), "{left}");
    };
    lives(&second, 600);
    leave(&mut first);
    cluster.agree([&second]);
    second.wait_for_line(SOON, &["map settings changed: the settings of the oldest"]);
    lives(&second, 60);
    let mut first = with_file(&cluster, "b.toml", after).start();
    cluster.agree([&second, &first]);
    second.wait_for_status(SOON, "a backup of each partition", |status| {
        let data = &status.data;
        let wanted =
            data["copies"]["wanted"].as_u64() == data["partitions"].as_u64().map(|n| 2 * n);
        (wanted && data["safe"] == true).then_some(())
    });
    first.kill();
    let mut client = second.client();
    for n in 0..KEYS {
        let found = client.ask(&format!("GET k{n}")).unwrap();
        assert_eq!(found, Value::Bytes(b"v".to_vec()), "k{n}");
    }
}

#[test]
fn what_is_left_open_is_as_in_the_cluster_even_when_those_who_set_it_are_gone() {
    let cluster = Cluster::new();
    let text = "partitions = 7\n[maps.\"resp:0\"]\nttl-s = 60\nbackups = 2\n";
    let mut first = with_file(&cluster, "a.toml", text).start();
    cluster.agree([&first]);
    let second = cluster.start();
    cluster.agree([&first, &second]);
    second.wait_for_line(
        SOON,
        &["settings taken from the cluster", "partitions = 7", "maps.\"resp:0\".ttl-s = 60"],
    );
    let is_written = |member: &Member| {
        let mut client = member.client();
        assert_eq!(client.ask("SET k v").unwrap(), Value::ok());
        let left = client.ask("TTL k").unwrap().integer().unwrap();
        assert!((50..=60).contains(&left), "{left}");
        assert_eq!(member.status().data["partitions"], 7);
    };
    is_written(&second);
    first.kill();
    let third = cluster.start();
    cluster.agree([&second, &third]);
    is_written(&third);
    let other = kept_out(&cluster, cluster.launch().option("--partitions", "271")).start();
    is_kept_out(&cluster, &[&second, &third], &other, "partitions = 271", "7");
}

#[test]
fn two_clusters_that_are_set_otherwise_stay_two() {
    let cluster = Cluster::new();
    let nowhere = "tcpip:127.0.0.1:1";
    let first = cluster.launch().mode(nowhere).option("--partitions", "7").start();
    cluster.agree([&first]);
    let second = cluster.launch().mode(nowhere).option("--partitions", "11").start();
    cluster.agree([&second]);
    // It meets both, and belongs to the one of them that it may belong to.
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
fn a_check_of_the_configuration_shows_what_members_have_to_agree_on() {
    let cluster = Cluster::new();
    cluster.write("a.toml", "partitions = 7\n[maps.\"cache-*\"]\nbackups = 0\n");
    let launch = cluster.launch().subcommand(&["config", "check"], &["--interfaces"]);
    let ended = launch.option("--config", "a.toml").run(SOON);
    for line in [
        "agreed     partitions = 7\n",
        "           maps.\"*\".backups = 1 (not set: taken from the cluster)\n",
        "           maps.\"cache-*\".backups = 0\n",
    ] {
        assert!(ended.stdout.contains(line), "{line:?} is not in {}", ended.stdout);
    }
}
