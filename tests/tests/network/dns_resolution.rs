//! Names are resolved as the system resolves them: by the servers of `resolv.conf`, in their
//! order; with a test server and with real ones.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::dns::Behavior;
use convoke_tests::nameserver::Zone;
use convoke_tests::{
    Cluster, CompletedProcess, DnsServer, Host, Lab, Member, NameServer, Program, http,
};
use rustix::process::Signal;

/// A lookup that waits for slow and unresponsive servers.
const LOOKUP_MAX: Duration = Duration::from_secs(20);

/// For conditions that take several lookup intervals.
const LONG_TIMEOUT: Duration = Duration::from_secs(30);

/// Longer than an absent domain server is waited for.
const ABSENT_SERVER_MAX: Duration = Duration::from_secs(12);

/// Addresses of one name: too many for a datagram, and fewer than the limit of bind9.
const MANY: u8 = 90;

fn local(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// A dry run of the dns mode on a host, with `servers` or those of the system.
fn discover(
    cluster: &Cluster,
    host: &Host,
    argument: &str,
    servers: Option<&str>,
) -> CompletedProcess {
    let settings = servers.map(|list| format!("settings = {{ servers = \"{list}\" }}\n"));
    let text = format!(
        "[[discovery]]\nmode = \"dns\"\nargument = \"{argument}\"\n{}",
        settings.unwrap_or_default()
    );
    let name = format!("{}.toml", convoke_tests::ports::unique());
    let config = cluster.write(&name, text).display().to_string();
    let keeps = ["--interfaces", "--cluster-name", "--start-port"];
    let launch = cluster.launch().on(host).option("--config", config);
    launch.subcommand(&["discover"], &keeps).run(LOOKUP_MAX)
}

#[track_caller]
fn assert_output(ended: &CompletedProcess, words: &str) {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    assert!(text.contains(words), "{words}\n{text}");
}

#[track_caller]
fn assert_found(ended: &CompletedProcess, address: &str) {
    assert!(ended.stdout.contains(address), "{address}\n{}{}", ended.stdout, ended.stderr);
}

/// A member that can be found at its host's address.
fn start_single(cluster: &Cluster, host: &Host) -> Member {
    let list = format!("tcpip:{}:{}", host.address(), cluster.start_port());
    let member = cluster.launch().on(host).mode(list).start();
    cluster.agree([&member]);
    member
}

#[test]
fn servers_of_resolv_conf_are_tried_in_order_until_one_answers() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let (here, there) = (lab.host(0), lab.host(1));
    let first = start_single(&cluster, there);
    let slow = DnsServer::start_on(here, local(2));
    slow.set("members.test", &[there.address()], 30);
    slow.set_behavior(Behavior::Slow(40));
    let unused = DnsServer::start_on(here, local(3));
    let [refusing, failing, silent] = [4, 5, 6].map(|last| DnsServer::start_on(here, local(last)));
    refusing.set_behavior(Behavior::Refusing);
    failing.set_behavior(Behavior::Failing);
    silent.set_behavior(Behavior::Silent);
    let name = format!("members.test:{}", cluster.start_port());
    let address = first.address().to_string();
    for before in [None, Some(4), Some(5), Some(6), Some(9)] {
        let before = before.map(|last| format!("nameserver 127.0.0.{last}\n"));
        let list = format!(
            "{}nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions timeout:1\n",
            before.unwrap_or_default()
        );
        here.write_resolv_conf(&list);
        assert_found(&discover(&cluster, here, &name, None), &format!("kept    {address}"));
    }
    assert_eq!(unused.queries(), 0, "the last server is not queried");
    let second = cluster.launch().on(here).mode(format!("dns:{name}")).start();
    cluster.agree([&first, &second]);
    assert_eq!(second.record(|record| record.views.len()), 1, "it never founded a cluster");
    here.write_resolv_conf("nameserver 127.0.0.4\nnameserver 127.0.0.5\nnameserver 127.0.0.9\n");
    let ended = discover(&cluster, here, &name, None);
    assert_output(
        &ended,
        "127.0.0.4:53: it refuses to answer (REFUSED); 127.0.0.5:53: it failed (SERVFAIL); 127.0.0.9:53: cannot be reached: nothing listens on that port",
    );
    here.write_resolv_conf("nameserver 127.0.0.6\noptions timeout:1 attempts:1\n");
    assert_output(&discover(&cluster, here, &name, None), "127.0.0.6:53: no answer within 1000 ms");
}

#[test]
fn a_link_local_server_is_queried_through_its_interface() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let (here, there) = (lab.host(0), lab.host(1));
    let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x53);
    lab.add_address_v6(0, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77));
    lab.add_address_v6(1, ip);
    // Another interface, which leads elsewhere.
    lab.add_bridge(0, Ipv4Addr::new(172, 31, 0, 2));
    let server = DnsServer::start_on(there, ip);
    server.set("members.test", &[Ipv4Addr::new(10, 77, 0, 9)], 30);
    here.write_resolv_conf("nameserver fe80::53%eth0\n");
    assert_found(&discover(&cluster, here, "members.test:6900", None), "10.77.0.9:6900");
    here.write_resolv_conf("nameserver 127.0.0.9\n");
    for servers in ["fe80::53%eth0", "[fe80::53%eth0]:53"] {
        assert_found(
            &discover(&cluster, here, "members.test:6900", Some(servers)),
            "10.77.0.9:6900",
        );
    }
    let ended = discover(&cluster, here, "members.test:6900", Some("fe80::53%eth7"));
    assert_output(&ended, "[fe80::53%eth7]:53: cannot be reached: this host has no interface eth7");
}

#[test]
fn timeout_attempts_search_and_use_vc_of_resolv_conf_are_honoured() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let here = lab.host(0);
    let slow = DnsServer::start_on(here, local(2));
    slow.set("members.shop.test", &[Ipv4Addr::new(10, 77, 0, 9)], 30);
    slow.set_behavior(Behavior::Slow(2_000));
    here.write_resolv_conf(
        "nameserver 127.0.0.2\nsearch a.test shop.test\noptions timeout:5 attempts:2 use-vc\n",
    );
    assert_found(&discover(&cluster, here, "members:6900", None), "10.77.0.9:6900");
}

#[test]
fn a_public_address_that_is_not_in_dns_yet_is_waited_for() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let (here, there) = (lab.host(0), lab.host(1));
    let first = start_single(&cluster, there);
    let server = DnsServer::start_on(here, local(2));
    here.write_resolv_conf("nameserver 127.0.0.2\noptions timeout:1 attempts:1\n");
    let port = cluster.start_port();
    let start = || {
        let launch = cluster.launch().on(here).mode(format!("tcpip:{}:{port}", there.address()));
        launch.option("--public-address", format!("m-0.test:{port}")).start()
    };
    for behavior in [Behavior::Normal, Behavior::Failing] {
        server.set_behavior(behavior);
        let mut waiting = start();
        waiting.wait_for_line(TIMEOUT, &["cannot resolve --public-address", "m-0.test"]);
        let page = |path| {
            here.inside(|| http::get((here.address(), cluster.http_port()).into(), path)).unwrap()
        };
        assert_eq!(page("/health/ready").status, 503);
        assert_eq!(page("/health/live").status, 200);
        waiting.signal(Signal::TERM);
        assert!(waiting.wait_exit(TIMEOUT).success());
        assert_eq!(waiting.count_lines(&["cannot resolve --public-address"]), 1);
    }
    let second = start();
    second.wait_for_line(TIMEOUT, &["cannot resolve --public-address"]);
    assert!(second.view().is_none());
    server.set_behavior(Behavior::Normal);
    server.set("m-0.test", &[here.address()], 1);
    cluster.agree_within(LONG_TIMEOUT, [&first, &second]);
    second.wait_for_line(TIMEOUT, &["--public-address resolved", &here.address().to_string()]);
    assert_eq!(second.count_lines(&["cannot resolve --public-address"]), 1);
}

/// A member continues without an absent domain server after about 8 s. One whose name cannot be
/// resolved may be running.
#[test]
fn a_domain_server_whose_name_cannot_be_resolved_is_waited_for() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let (here, there) = (lab.host(0), lab.host(1));
    let server = DnsServer::start_on(here, local(2));
    server.set_behavior(Behavior::Failing);
    here.write_resolv_conf("nameserver 127.0.0.2\noptions timeout:1 attempts:1\n");
    let mode = format!("domain:das.test:{}", cluster.start_port());
    let member = cluster.launch().on(here).mode(mode).start();
    member.wait_for_line(TIMEOUT, &["das.test", "cannot be resolved"]);
    std::thread::sleep(ABSENT_SERVER_MAX);
    assert!(member.view().is_none(), "it does not found a cluster");
    let first = start_single(&cluster, there);
    server.set_behavior(Behavior::Normal);
    server.set("das.test", &[there.address()], 1);
    cluster.agree_within(LONG_TIMEOUT, [&first, &member]);
}

/// The records that each of the servers is queried for.
fn zone() -> Zone {
    let mut lines = "members A 10.77.0.2\nonly6 AAAA fd77::2\nwords TXT hello\n\
                     alias CNAME members\nnowhere CNAME gone\nhost A 10.77.0.3\n\
                     _convoke._tcp SRV 10 10 6901 host\n_alias._tcp CNAME _convoke._tcp\n\
                     _none._tcp SRV 0 0 0 .\n_zero._tcp SRV 0 0 0 host\n\
                     _lost._tcp SRV 0 0 6900 gone\nlame NS ns.lame\nns.lame A 127.0.0.99\n"
        .to_owned();
    for last in 1..=MANY {
        lines.push_str(&format!("many A 10.77.9.{last}\n"));
    }
    Zone::new(&lines)
}

/// How authoritative servers answer queries for aliases and delegated names.
const AUTHORITATIVE: [(&str, &str); 4] = [
    ("alias", "10.77.0.2:6900"),
    ("srv:_alias._tcp", "10.77.0.3:6901"),
    ("nowhere", "the name is an alias (CNAME) of gone.shop.test., which does not exist in DNS"),
    ("x.lame", "127.0.0.1:53: it returned a referral to other servers"),
];

/// Resolves the records that all servers support, and those of `more`.
fn assert_resolves(program: Program, more: &[(&str, &str)]) {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let here = lab.host(0);
    let Some(_server) = NameServer::start(program, here, local(1), &zone()) else { return };
    let names = |list: &[&str]| {
        let full = list.iter().map(|name| match name.strip_prefix("srv:") {
            Some(name) => format!("srv:{name}.shop.test"),
            None => format!("{name}.shop.test:6900"),
        });
        full.collect::<Vec<_>>().join(",")
    };
    let found = names(&["members", "only6", "srv:_convoke._tcp", "many"]);
    let absent = ["gone", "words", "srv:_none._tcp"];
    let unusable = ["srv:_zero._tcp", "srv:_lost._tcp"];
    here.write_resolv_conf("nameserver 127.0.0.1\n");
    for servers in [None, Some("127.0.0.1")] {
        let ended = discover(&cluster, here, &found, servers);
        assert_output(&ended, &format!("mode dns: {} candidates", 3 + u32::from(MANY)));
        for address in ["10.77.0.2:6900", "[fd77::2]:6900", "10.77.0.3:6901", "10.77.9.90:6900"] {
            assert_found(&ended, address);
        }
        let empty = discover(&cluster, here, &names(&absent), servers);
        assert_output(&empty, "mode dns: 0 candidates");
        // Whether there are members is unknown.
        let unknown = discover(&cluster, here, &names(&unusable), servers);
        assert_output(&unknown, "mode dns: cannot look up _zero._tcp.shop.test");
        let text = empty.stderr + &unknown.stderr;
        for (name, words) in [
            ("gone", "the name does not exist in DNS (NXDOMAIN)"),
            ("words", "the name exists in DNS, but has no A or AAAA record (NODATA)"),
            ("_none._tcp", "the target \".\" means that the service is not available (RFC 2782)"),
            ("_zero._tcp", "port 0 at host.shop.test is not a valid port"),
            (
                "_lost._tcp",
                "gone.shop.test: the name does not exist in DNS (NXDOMAIN), according to 127.0.0.1:53",
            ),
        ] {
            let name = format!("name=\"{name}.shop.test\"");
            let is_logged = text.lines().any(|line| line.contains(&name) && line.contains(words));
            assert!(is_logged, "{name} {words}\n{text}");
        }
    }
    for (name, words) in more {
        assert_output(&discover(&cluster, here, &names(&[name]), Some("127.0.0.1")), words);
    }
}

#[test]
fn dnsmasq_is_supported() {
    assert_resolves(Program::Dnsmasq, &[("alias", "10.77.0.2:6900")]);
}

#[test]
fn unbound_is_supported() {
    assert_resolves(Program::Unbound, &AUTHORITATIVE);
}

#[test]
fn bind9_is_supported() {
    assert_resolves(Program::Bind9, &AUTHORITATIVE);
}

#[test]
fn knot_is_supported() {
    assert_resolves(Program::Knot, &AUTHORITATIVE);
}

#[test]
fn knot_resolver_is_supported() {
    assert_resolves(Program::KnotResolver, &AUTHORITATIVE);
}

#[test]
fn after_a_refused_query_the_next_server_is_queried() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(1) else { return };
    let here = lab.host(0);
    let (other, ours) = (Zone::of("other.test", ""), zone());
    let first = NameServer::start(Program::Knot, here, local(2), &other);
    let second = NameServer::start(Program::Bind9, here, local(1), &ours);
    let (Some(_first), Some(_second)) = (first, second) else { return };
    here.write_resolv_conf("nameserver 127.0.0.2\nnameserver 127.0.0.1\n");
    for _ in 0..4 {
        assert_found(&discover(&cluster, here, "members.shop.test:6900", None), "10.77.0.2:6900");
    }
    here.write_resolv_conf("nameserver 127.0.0.2\n");
    let ended = discover(&cluster, here, "members.shop.test:6900", None);
    assert_output(&ended, "127.0.0.2:53: it refuses to answer (REFUSED)");
}
