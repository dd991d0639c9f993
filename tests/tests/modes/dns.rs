//! Names and services of a DNS server, whose records are added and removed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::dns::Behavior;
use convoke_tests::{Cluster, DnsServer, Launch, Member};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// For conditions that take several lookup intervals.
const LONG_TIMEOUT: Duration = Duration::from_secs(30);

/// A member that uses the dns mode with `server` only.
fn with_dns<'a>(cluster: &'a Cluster, server: &DnsServer, argument: &str) -> Launch<'a> {
    let text = format!(
        "[[discovery]]\nmode = \"dns\"\nargument = \"{argument}\"\nsettings = {{ servers = \"{}\" }}\n",
        server.address()
    );
    // A file for each argument: members read theirs when they start.
    let name = format!("{}.toml", convoke_tests::ports::unique());
    cluster.launch().option("--config", cluster.write(&name, text).display().to_string())
}

/// `name` on the ports that this cluster's first three members take.
fn on_ports(cluster: &Cluster, name: &str) -> String {
    let port = cluster.start_port();
    format!("{name}:{port},{name}:{},{name}:{}", port + 1, port + 2)
}

/// A member that finds no other members itself.
fn start_isolated(cluster: &Cluster) -> Member {
    cluster.start_tcpip(&format!("127.0.0.1:{}", cluster.spare_port(1)))
}

#[test]
fn members_find_each_other_by_name() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 30);
    let list = on_ports(&cluster, "members.test");
    let first = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first]);
    let second = with_dns(&cluster, &server, &list).start();
    assert_eq!(cluster.agree([&first, &second]), [first.address(), second.address()]);
}

#[test]
fn all_ipv4_and_ipv6_addresses_of_a_name_are_candidates() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let others: [IpAddr; 4] =
        [[127, 0, 0, 2].into(), [127, 0, 0, 3].into(), HERE.into(), Ipv6Addr::LOCALHOST.into()];
    server.set("members.test", &others, 30);
    let first = start_isolated(&cluster);
    cluster.agree([&first]);
    let list = format!("members.test:{}", first.address().port());
    let second = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first, &second]);
    let found = second.status().modes[0].more["last_snapshot"]["candidates"].as_u64();
    assert_eq!(found, Some(4));
}

#[test]
fn a_name_without_a_port_stands_for_the_start_port_and_the_next_two() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 30);
    let first = with_dns(&cluster, &server, "members.test").start();
    cluster.agree([&first]);
    let second = with_dns(&cluster, &server, "members.test").start();
    cluster.agree([&first, &second]);
}

#[test]
fn a_service_provides_hosts_and_ports() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let first = start_isolated(&cluster);
    cluster.agree([&first]);
    let port = first.address().port();
    let targets = [(20, cluster.spare_port(2), "b.test"), (10, port, "a.test"), (30, port, ".")];
    server.set_service("_convoke._tcp.shop.test", &targets, 30);
    server.set("a.test", &[HERE], 30);
    let second = with_dns(&cluster, &server, "srv:_convoke._tcp.shop.test").start();
    cluster.agree([&first, &second]);
    let found = second.status().modes[0].more["last_snapshot"]["candidates"].as_u64();
    assert_eq!(found, Some(1), "b.test has no address, and the target . means not available");
    second.wait_for_line(
        TIMEOUT,
        &["some SRV records", "b.test: the name does not exist in DNS", "\".\""],
    );
}

#[test]
fn a_record_that_is_added_leads_to_a_join() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let existing = start_isolated(&cluster);
    cluster.agree([&existing]);
    let list = format!("late.test:{}", existing.address().port());
    let first = with_dns(&cluster, &server, &list).start();
    first.wait_for_line(TIMEOUT, &["the name does not exist in DNS", "late.test"]);
    cluster.agree([&first]);
    server.set("late.test", &[HERE], 1);
    cluster.agree([&existing, &first]);
    first.wait_for_line(TIMEOUT, &["name found", "late.test"]);
}

#[test]
fn an_address_that_is_added_to_a_name_is_found_after_the_ttl() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let existing = start_isolated(&cluster);
    cluster.agree([&existing]);
    server.set("members.test", &[Ipv4Addr::new(127, 0, 0, 7)], 1);
    let list = format!("members.test:{}", existing.address().port());
    let first = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first]);
    server.set("members.test", &[Ipv4Addr::new(127, 0, 0, 7), HERE], 1);
    cluster.agree([&existing, &first]);
}

#[test]
fn an_answer_is_cached_for_its_ttl() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 300);
    let first = with_dns(&cluster, &server, "members.test").start();
    cluster.agree([&first]);
    let asked = server.queries();
    let second = with_dns(&cluster, &server, "brief.test").start();
    // Meanwhile another name is looked up repeatedly.
    second.wait_for_line(TIMEOUT, &["the name does not exist in DNS"]);
    second.wait_for_lookups(LONG_TIMEOUT, 3);
    assert!(server.queries() > asked + 6);
    let lookups = first.status().modes[0].lookups;
    assert_eq!(lookups, 1, "nothing has expired");
}

#[test]
fn a_member_stays_after_its_record_is_removed() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 1);
    let first = with_dns(&cluster, &server, "members.test").start();
    cluster.agree([&first]);
    let second = with_dns(&cluster, &server, "members.test").start();
    cluster.agree([&first, &second]);
    server.remove("members.test");
    for member in [&first, &second] {
        member.wait_for_status(LONG_TIMEOUT, "no candidates", |status| {
            (status.modes[0].more["last_snapshot"]["candidates"] == 0).then_some(())
        });
    }
    cluster.agree([&first, &second]);
}

#[test]
fn no_cluster_is_founded_while_the_dns_server_does_not_answer() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 30);
    server.set_behavior(Behavior::Silent);
    let list = on_ports(&cluster, "members.test");
    let members =
        [with_dns(&cluster, &server, &list).start(), with_dns(&cluster, &server, &list).start()];
    let asked = server.address().to_string();
    for member in &members {
        member.wait_for_line(LONG_TIMEOUT, &["cannot look up members.test", "no answer", &asked]);
        assert!(member.view().is_none(), "it has not founded a cluster");
    }
    server.set_behavior(Behavior::Normal);
    cluster.agree_within(LONG_TIMEOUT, &members);
    let alone = |member: &Member| {
        member.record(|record| record.views.iter().any(|(_, view)| view.0.len() == 1))
    };
    assert!(!members.iter().all(alone), "one founded the cluster, the other joined it");
}

#[test]
fn a_failing_dns_server_is_logged_and_waited_for() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 30);
    server.set_behavior(Behavior::Failing);
    let member = with_dns(&cluster, &server, "members.test").start();
    member.wait_for_line(TIMEOUT, &["cannot look up members.test", "it failed (SERVFAIL)"]);
    server.set_behavior(Behavior::Normal);
    cluster.agree([&member]);
    member.wait_for_line(TIMEOUT, &["name found", "members.test"]);
}

#[test]
fn a_name_that_cannot_be_resolved_does_not_affect_the_others() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.fail("broken.test");
    server.set("members.test", &[HERE], 30);
    let first = start_isolated(&cluster);
    cluster.agree([&first]);
    let port = first.address().port();
    let list = format!("broken.test:{port},members.test:{port}");
    let second = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first, &second]);
    second.wait_for_line(TIMEOUT, &["a name cannot be looked up", "broken.test"]);
}

#[test]
fn a_cluster_survives_an_outage_of_its_dns_server_and_grows_after_it() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("members.test", &[HERE], 1);
    let list = on_ports(&cluster, "members.test");
    let first = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first]);
    let second = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first, &second]);
    let port = server.address().port();
    drop(server);
    first.wait_for_line(
        LONG_TIMEOUT,
        &["a name cannot be looked up", "its previous addresses stay in use"],
    );
    cluster.agree([&first, &second]);
    let server = DnsServer::start_at(port);
    server.set("members.test", &[HERE], 1);
    first.wait_for_line(LONG_TIMEOUT, &["name found", "members.test"]);
    let third = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first, &second, &third]);
}

#[test]
fn a_member_is_found_among_a_thousand_addresses_of_one_name() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let first = start_isolated(&cluster);
    cluster.agree([&first]);
    let many = (0..1_000u16).map(|n| Ipv4Addr::new(127, 9, (n >> 8) as u8, (n & 255) as u8));
    // Too many for a datagram: the answer is sent over TCP.
    server.set("many.test", &many.chain([HERE]).collect::<Vec<_>>(), 30);
    let list = format!("many.test:{}", first.address().port());
    let second = with_dns(&cluster, &server, &list).start();
    cluster.agree_within(LONG_TIMEOUT, [&first, &second]);
    let found = second.status().modes[0].more["last_snapshot"]["candidates"].as_u64();
    assert_eq!(found, Some(1_001));
}

#[test]
fn aliases_are_followed_and_alias_loops_are_logged() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let first = start_isolated(&cluster);
    cluster.agree([&first]);
    let port = first.address().port();
    server.set_alias("alias.test", "members.test", 30);
    server.set("members.test", &[HERE], 30);
    server.set_alias("one.test", "two.test", 30);
    server.set_alias("two.test", "one.test", 30);
    let list = format!("one.test:{port},alias.test:{port}");
    let second = with_dns(&cluster, &server, &list).start();
    cluster.agree([&first, &second]);
    second.wait_for_line(TIMEOUT, &["one.test", "alias (CNAME) is a loop"]);
}

#[test]
fn localhost_is_resolved_without_a_dns_server() {
    let cluster = Cluster::new();
    let list = on_ports(&cluster, "localhost");
    let first = cluster.launch().mode(format!("dns:{list}")).start();
    cluster.agree([&first]);
    let second = cluster.launch().mode(format!("dns:{list}")).start();
    cluster.agree([&first, &second]);
}

#[test]
fn a_dry_run_shows_the_resolved_candidates() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let first = start_isolated(&cluster);
    cluster.agree([&first]);
    server.set("members.test", &[HERE, Ipv4Addr::new(127, 0, 0, 9)], 30);
    let list = format!("members.test:{}", first.address().port());
    let keeps = ["--interfaces", "--cluster-name", "--start-port"];
    let ended = with_dns(&cluster, &server, &list).subcommand(&["discover"], &keeps).run(TIMEOUT);
    assert!(ended.stdout.contains("mode dns: 2 candidates"), "{ended:#?}");
    assert!(ended.stdout.contains(&format!("kept    {}", first.address())), "{ended:#?}");
}

#[test]
fn invalid_arguments_and_servers_are_rejected() {
    let cluster = Cluster::new();
    let long = "a".repeat(64);
    let cases = [
        ("", "the argument is empty; expected name:port"),
        ("a.test:", "\"\" is not a port (in \"a.test:\"); expected 1 to 65535"),
        ("a.test:0", "\"0\" is not a port"),
        ("a.test:70000", "\"70000\" is not a port"),
        ("a.test:1,,b.test:2", "an empty entry at position 2"),
        ("a$b:1", "\"a$b\" has a character that is not allowed in a name (in \"a$b:1\")"),
        ("10.0.0.300:1", "\"10.0.0.300\" is not an address"),
        ("srv:", "\"\" is not a name (in \"srv:\")"),
        ("srv:_x._tcp.a:1", "has a port, but the ports of a service are in its records"),
        (long.as_str(), "longer than 63 characters"),
    ];
    for (argument, expected) in cases {
        let ended = cluster.launch().mode(format!("dns:{argument}")).run(TIMEOUT);
        let line = ended.refusal();
        assert!(line.starts_with("mode \"dns\": ") && line.contains(expected), "{line}");
    }
    let many: Vec<String> = (0..10_000).map(|n| format!("h{n}")).collect();
    let ended = cluster.launch().mode(format!("dns:{}", many.join(","))).run(TIMEOUT);
    assert!(ended.refusal().contains("exceeds the limit of 256 entries"), "{}", ended.refusal());
    for servers in ["", "ns.test", "127.0.0.1:0", "224.0.0.1"] {
        let text = format!(
            "[[discovery]]\nmode = \"dns\"\nargument = \"a.test\"\nsettings = {{ servers = \"{servers}\" }}\n"
        );
        let config = cluster.write("bad.toml", text).display().to_string();
        let ended = cluster.launch().option("--config", config).run(TIMEOUT);
        let line = ended.refusal();
        assert!(line.starts_with("mode \"dns\": servers: "), "{line}");
        assert!(line.contains("expected 10.0.0.53"), "{line}");
    }
}
