//! While the lookup of a mode fails, its member logs the reason and does not found a cluster. It
//! still joins members that other modes find.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, DnsServer, Launch, Member, http};

/// Part of the log line of each failure.
const WAITS: &str = "this member does not found a cluster until it succeeds";
/// Long enough for a member that does not wait to found a cluster.
const LONG_MS: u64 = 1_500;

fn with_config<'a>(cluster: &'a Cluster, discovery: &str) -> Launch<'a> {
    let name = format!("{}.toml", convoke_tests::ports::unique());
    let config = cluster.write(&name, discovery).display().to_string();
    cluster.launch().option("--config", config)
}

/// Checks that the first member of `cluster` is not ready and does not become ready.
#[track_caller]
fn assert_waiting(cluster: &Cluster, member: &Member) {
    let http = SocketAddr::from(([127, 0, 0, 1], cluster.http_port()));
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(LONG_MS) {
        assert!(member.view().is_none(), "it has not founded a cluster");
        let ready = http::get(http, "/health/ready").expect("an answer");
        assert_eq!(ready.status, 503, "{}", ready.body);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A member waits for a failing mode, although its other mode found no members, until a working
/// version of the mode is loaded.
#[track_caller]
fn assert_waits_for_mode(guest: &Guest, words: &[&str]) {
    let cluster = Cluster::new();
    let file = cluster.folder().join("mine.wasm");
    guest.write(&file);
    let unused = format!("127.0.0.1:{}", cluster.spare_port(1));
    let text = format!(
        "[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\n\
         [[discovery]]\nmode = \"tcpip\"\nargument = \"{unused}\"\n"
    );
    let member = with_config(&cluster, &text).start();
    let words: Vec<&str> = words.iter().copied().chain([WAITS]).collect();
    member.wait_for_line(TIMEOUT, &words);
    assert_waiting(&cluster, &member);
    assert_eq!(member.count_lines(&[WAITS]), 1, "it is logged once");
    Guest::finding("127.0.0.1", cluster.spare_port(1), 1_000).write(&file);
    cluster.agree_within(Duration::from_secs(30), [&member]);
}

#[test]
fn a_member_waits_for_a_mode_that_crashes() {
    assert_waits_for_mode(&Guest::crashing(), &["mode \"mine\" crashed"]);
}

#[test]
fn a_member_waits_for_a_mode_that_exceeds_its_time_budget() {
    assert_waits_for_mode(&Guest::looping(), &["mode \"mine\" computed for more than 950 ms"]);
}

#[test]
fn a_member_waits_for_a_mode_that_exceeds_its_memory_budget() {
    assert_waits_for_mode(&Guest::growing(), &["mode \"mine\" "]);
}

#[test]
fn a_member_waits_for_a_mode_that_returns_a_name_as_an_address() {
    let guest = Guest::finding("db.example", 6_900, 1_000);
    assert_waits_for_mode(
        &guest,
        &["none of the candidates can be used (db.example:6900: not an IPv4"],
    );
}

#[test]
fn a_member_waits_for_a_mode_that_returns_port_0() {
    let guest = Guest::finding("10.0.0.7", 0, 1_000);
    assert_waits_for_mode(&guest, &["none of the candidates can be used (10.0.0.7:0: port 0"]);
}

/// The same with a built-in mode.
#[test]
fn a_member_waits_if_no_address_of_a_list_is_usable() {
    let cluster = Cluster::new();
    let member = cluster.start_tcpip("0.0.0.0:6900,224.2.2.4:6900");
    member.wait_for_line(
        TIMEOUT,
        &["mode \"tcpip\"", "0.0.0.0:6900: the unspecified address", WAITS],
    );
    assert_waiting(&cluster, &member);
}

/// `argument` of the mode dns, with `grant`.
fn with_dns<'a>(
    cluster: &'a Cluster,
    server: &DnsServer,
    argument: &str,
    grant: &str,
) -> Launch<'a> {
    let text = format!(
        "[[discovery]]\nmode = \"dns\"\nargument = \"{argument}\"\n\
         settings = {{ servers = \"{}\" }}\n{grant}\n",
        server.address()
    );
    with_config(cluster, &text)
}

/// The `grant = { … }` of a line.
fn suggested_grant(line: &str) -> String {
    let at = line.find("grant = {").unwrap_or_else(|| panic!("no grant in {line}"));
    let end = line.rfind('}').expect("it ends");
    line[at..=end].to_owned()
}

#[test]
fn a_member_waits_for_a_denied_mode_and_logs_a_grant_that_works() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let list = format!("a.test:{0},b.test:{0},c.test:{0}", cluster.spare_port(1));
    let narrow = format!("grant = {{ dns = [\"a.test\", \"@{}\"] }}", server.address());
    let member = with_dns(&cluster, &server, &list, &narrow).start();
    let line = member.wait_for_line(TIMEOUT, &["mode \"dns\" was denied dns b.test", "needs: "]);
    member.wait_for_line(TIMEOUT, &["mode \"dns\" stopped", "b.test", WAITS]);
    assert_waiting(&cluster, &member);
    drop(member);

    // The first line lists everything that the lookup was denied.
    let grant = suggested_grant(&line.text);
    assert_eq!(
        grant,
        format!(
            "grant = {{ dns = [\"a.test\", \"b.test\", \"c.test\", \"@{}\"] }}",
            server.address()
        )
    );
    let member = with_dns(&cluster, &server, &list, &grant).start();
    cluster.agree([&member]);
    assert_eq!(member.count_lines(&["was denied"]), 0);
}

#[test]
fn a_member_with_a_denied_name_joins_by_another_name_but_does_not_found_a_cluster() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("a.test", &[Ipv4Addr::LOCALHOST], 30);
    let list = format!("a.test:{},b.test:1", cluster.start_port());
    let narrow = "grant = { dns = [\"a.test\"] }";
    let waiting = with_dns(&cluster, &server, &list, narrow).start();
    waiting.wait_for_line(TIMEOUT, &["some addresses could not be resolved (b.test", WAITS]);
    assert_waiting(&cluster, &waiting);
    let text = format!("127.0.0.1:{}", cluster.spare_port(1));
    // The name that may be resolved leads to this member.
    let first = cluster.start_tcpip(&text);
    cluster.agree([&first]);
    let list = format!("a.test:{},b.test:1", first.address().port());
    let joining = with_dns(&cluster, &server, &list, narrow).start();
    cluster.agree([&first, &joining]);
}

#[test]
fn a_member_with_an_unresolvable_name_joins_but_does_not_found_a_cluster() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("a.test", &[Ipv4Addr::LOCALHOST], 30);
    server.fail("b.test");
    // There is no member at one name, and there may be members at the other.
    let list = format!("a.test:{0},b.test:{0}", cluster.spare_port(1));
    let member = with_dns(&cluster, &server, &list, "").start();
    member.wait_for_line(TIMEOUT, &["some addresses could not be resolved (b.test", WAITS]);
    assert_waiting(&cluster, &member);
    // It joins a cluster that another member founds.
    let first = cluster.launch().mode(format!("tcpip:127.0.0.1:{}", cluster.spare_port(2)));
    let first = first.option("--start-port", cluster.spare_port(1).to_string()).start();
    cluster.agree([&member, &first]);
}

#[test]
fn a_member_waits_for_a_service_without_usable_hosts_but_not_for_an_unavailable_one() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let port = cluster.spare_port(1);
    server.set_service("_gone._tcp.test", &[(10, port, "gone.test")], 1);
    server.set_service("_zero._tcp.test", &[(10, 0, "here.test")], 1);
    server.set_service("_not._tcp.test", &[(10, port, ".")], 1);
    server.set("here.test", &[Ipv4Addr::LOCALHOST], 1);
    for service in ["_gone._tcp.test", "_zero._tcp.test"] {
        let member = with_dns(&cluster, &server, &format!("srv:{service}"), "").start();
        member.wait_for_line(TIMEOUT, &["mode \"dns\": cannot look up", service, WAITS]);
        assert_waiting(&cluster, &member);
    }
    let gone = with_dns(&cluster, &server, "srv:_gone._tcp.test", "").start();
    gone.wait_for_line(
        TIMEOUT,
        &["none of its records can be used: gone.test: the name does not exist in DNS"],
    );
    server.set("gone.test", &[Ipv4Addr::LOCALHOST], 1);
    cluster.agree_within(Duration::from_secs(30), [&gone]);
    drop(gone);
    let member = with_dns(&cluster, &server, "srv:_not._tcp.test", "").start();
    cluster.agree([&member]);
}

#[test]
fn config_check_shows_what_a_mode_requests_and_is_denied() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let keeps = ["--interfaces", "--cluster-name", "--start-port"];
    let check = |grant: &str| {
        let launch = with_dns(&cluster, &server, "a.test,srv:_x._tcp.b.test", grant);
        launch.subcommand(&["config", "check"], &keeps).run(TIMEOUT)
    };
    let ended = check("grant = { dns = [\"a.test\"] }");
    assert!(ended.status.success(), "{ended:#?}");
    for part in [
        "asks for dns: addresses of a.test\n".to_owned(),
        "asks for dns: services _x._tcp.b.test\n".to_owned(),
        "warning: mode \"dns\" will be denied dns _x._tcp.b.test, ".to_owned(),
        format!(
            "its [[discovery]] needs: grant = {{ dns = [\"a.test\", \"_x._tcp.b.test\", \"@{}\"] }}\n",
            server.address()
        ),
        "the configuration is valid, except for the warnings above\n".to_owned(),
    ] {
        assert!(ended.stdout.contains(&part), "{part:?} in {}", ended.stdout);
    }
    let ended = check("");
    assert!(ended.stdout.ends_with("the configuration is valid\n"), "{ended:#?}");
    assert_eq!(server.queries(), 0, "no query is sent");
}
