//! A mode that could not look, whatever the reason: its member waits, says so, and starts no
//! cluster of its own. Whom other modes find it joins all the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use convoke_tests::cluster::SOON;
use convoke_tests::guest::Guest;
use convoke_tests::{Cluster, DnsServer, Launch, Member, http};

/// What the log says of each.
const WAITS: &str = "this member does not found a cluster until it succeeds";
/// Time in which a member that does not wait has long started a cluster.
const LONG_MS: u64 = 1_500;

fn written<'a>(cluster: &'a Cluster, discovery: &str) -> Launch<'a> {
    let name = format!("{}.toml", convoke_tests::ports::unique());
    let config = cluster.write(&name, discovery).display().to_string();
    cluster.launch().option("--config", config)
}

/// The first member of `cluster` is not ready, and stays so.
#[track_caller]
fn is_waiting(cluster: &Cluster, member: &Member) {
    let http = SocketAddr::from(([127, 0, 0, 1], cluster.http_port()));
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(LONG_MS) {
        assert!(member.view().is_none(), "no cluster of its own");
        let ready = http::get(http, "/health/ready").expect("an answer");
        assert_eq!(ready.status, 503, "{}", ready.body);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A member whose second mode has looked and found nobody, and the good version of the first.
#[track_caller]
fn waits_for_a_look(guest: &Guest, words: &[&str]) {
    let cluster = Cluster::new();
    let file = cluster.folder().join("mine.wasm");
    guest.write(&file);
    let nobody = format!("127.0.0.1:{}", cluster.spare_port(1));
    let text = format!(
        "[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\n\
         [[discovery]]\nmode = \"tcpip\"\nargument = \"{nobody}\"\n"
    );
    let member = written(&cluster, &text).start();
    let words: Vec<&str> = words.iter().copied().chain([WAITS]).collect();
    member.wait_for_line(SOON, &words);
    is_waiting(&cluster, &member);
    assert_eq!(member.count_lines(&[WAITS]), 1, "in one line");
    Guest::finding("127.0.0.1", cluster.spare_port(1), 1_000).write(&file);
    cluster.agree_within(Duration::from_secs(30), [&member]);
}

#[test]
fn a_mode_that_crashes_has_not_looked() {
    waits_for_a_look(&Guest::crashing(), &["mode \"mine\" crashed"]);
}

#[test]
fn a_mode_that_is_killed_by_its_budget_has_not_looked() {
    waits_for_a_look(&Guest::looping(), &["mode \"mine\" computed for more than 950 ms"]);
}

#[test]
fn a_mode_that_gets_no_memory_has_not_looked() {
    waits_for_a_look(&Guest::growing(), &["mode \"mine\" "]);
}

#[test]
fn a_mode_that_gives_a_name_for_an_address_has_not_looked() {
    let guest = Guest::finding("db.example", 6_900, 1_000);
    waits_for_a_look(&guest, &["none of the candidates can be used (db.example:6900: not an IPv4"]);
}

#[test]
fn a_mode_that_gives_port_0_has_not_looked() {
    let guest = Guest::finding("10.0.0.7", 0, 1_000);
    waits_for_a_look(&guest, &["none of the candidates can be used (10.0.0.7:0: port 0"]);
}

/// A list of which nothing can be called, without any component of somebody else's.
#[test]
fn a_list_of_which_nothing_can_be_used_is_no_empty_one() {
    let cluster = Cluster::new();
    let member = cluster.start_tcpip("0.0.0.0:6900,224.2.2.4:6900");
    member.wait_for_line(SOON, &["mode \"tcpip\"", "0.0.0.0:6900: the unspecified address", WAITS]);
    is_waiting(&cluster, &member);
}

/// `argument` of the mode dns, with `grant`.
fn named<'a>(cluster: &'a Cluster, server: &DnsServer, argument: &str, grant: &str) -> Launch<'a> {
    let text = format!(
        "[[discovery]]\nmode = \"dns\"\nargument = \"{argument}\"\n\
         settings = {{ servers = \"{}\" }}\n{grant}\n",
        server.address()
    );
    written(cluster, &text)
}

/// The `grant = { … }` of a line.
fn proposed(line: &str) -> String {
    let at = line.find("grant = {").unwrap_or_else(|| panic!("no grant in {line}"));
    let end = line.rfind('}').expect("it ends");
    line[at..=end].to_owned()
}

#[test]
fn a_mode_that_is_denied_waits_and_says_the_grant_that_works_in_place_of_its_own() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let list = format!("a.test:{0},b.test:{0},c.test:{0}", cluster.spare_port(1));
    let narrow = format!("grant = {{ dns = [\"a.test\", \"@{}\"] }}", server.address());
    let member = named(&cluster, &server, &list, &narrow).start();
    let line = member.wait_for_line(SOON, &["mode \"dns\" was denied dns b.test", "needs: "]);
    member.wait_for_line(SOON, &["mode \"dns\" stopped", "b.test", WAITS]);
    is_waiting(&cluster, &member);
    drop(member);

    // The first line that is said has all that this one look was denied.
    let grant = proposed(&line.text);
    assert_eq!(
        grant,
        format!(
            "grant = {{ dns = [\"a.test\", \"b.test\", \"c.test\", \"@{}\"] }}",
            server.address()
        )
    );
    let member = named(&cluster, &server, &list, &grant).start();
    cluster.agree([&member]);
    assert_eq!(member.count_lines(&["was denied"]), 0);
}

#[test]
fn a_mode_that_is_denied_one_name_of_two_joins_by_the_other_and_founds_nothing() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("a.test", &[Ipv4Addr::LOCALHOST], 30);
    let list = format!("a.test:{},b.test:1", cluster.start_port());
    let narrow = "grant = { dns = [\"a.test\"] }";
    let waiting = named(&cluster, &server, &list, narrow).start();
    waiting.wait_for_line(SOON, &["some addresses could not be resolved (b.test", WAITS]);
    is_waiting(&cluster, &waiting);
    let text = format!("127.0.0.1:{}", cluster.spare_port(1));
    // At the place that the name which may be looked up leads to: the first one's own.
    let first = cluster.start_tcpip(&text);
    cluster.agree([&first]);
    let list = format!("a.test:{},b.test:1", first.address().port());
    let joining = named(&cluster, &server, &list, narrow).start();
    cluster.agree([&first, &joining]);
}

#[test]
fn a_name_that_cannot_be_looked_up_keeps_a_member_from_founding_and_not_from_joining() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    server.set("a.test", &[Ipv4Addr::LOCALHOST], 30);
    server.fail("b.test");
    // Nobody is at the one name, and members may be at the other.
    let list = format!("a.test:{0},b.test:{0}", cluster.spare_port(1));
    let member = named(&cluster, &server, &list, "").start();
    member.wait_for_line(SOON, &["some addresses could not be resolved (b.test", WAITS]);
    is_waiting(&cluster, &member);
    // One that is founded by somebody else is joined.
    let first = cluster.launch().mode(format!("tcpip:127.0.0.1:{}", cluster.spare_port(2)));
    let first = first.option("--start-port", cluster.spare_port(1).to_string()).start();
    cluster.agree([&member, &first]);
}

#[test]
fn a_service_whose_hosts_lead_nowhere_is_waited_for_and_one_that_is_not_offered_is_not() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let port = cluster.spare_port(1);
    server.set_service("_gone._tcp.test", &[(10, port, "gone.test")], 1);
    server.set_service("_zero._tcp.test", &[(10, 0, "here.test")], 1);
    server.set_service("_not._tcp.test", &[(10, port, ".")], 1);
    server.set("here.test", &[Ipv4Addr::LOCALHOST], 1);
    for service in ["_gone._tcp.test", "_zero._tcp.test"] {
        let member = named(&cluster, &server, &format!("srv:{service}"), "").start();
        member.wait_for_line(SOON, &["mode \"dns\": cannot look up", service, WAITS]);
        is_waiting(&cluster, &member);
    }
    let gone = named(&cluster, &server, "srv:_gone._tcp.test", "").start();
    gone.wait_for_line(
        SOON,
        &["none of its records can be used: gone.test: the name does not exist in DNS"],
    );
    server.set("gone.test", &[Ipv4Addr::LOCALHOST], 1);
    cluster.agree_within(Duration::from_secs(30), [&gone]);
    drop(gone);
    let member = named(&cluster, &server, "srv:_not._tcp.test", "").start();
    cluster.agree([&member]);
}

#[test]
fn a_check_of_the_configuration_says_what_a_mode_will_ask_for_and_be_denied() {
    let (cluster, server) = (Cluster::new(), DnsServer::start());
    let keeps = ["--interfaces", "--cluster-name", "--start-port"];
    let check = |grant: &str| {
        let launch = named(&cluster, &server, "a.test,srv:_x._tcp.b.test", grant);
        launch.subcommand(&["config", "check"], &keeps).run(SOON)
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
        "the configuration is sound, except for the warnings above\n".to_owned(),
    ] {
        assert!(ended.stdout.contains(&part), "{part:?} in {}", ended.stdout);
    }
    let ended = check("");
    assert!(ended.stdout.ends_with("the configuration is sound\n"), "{ended:#?}");
    assert_eq!(server.queries(), 0, "nobody is asked");
}
