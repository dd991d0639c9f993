//! `bench modes`: the time until a second member has joined through each mode, and the time from a
//! change of a source to a join.
//!
//! The figures of other products are from their documentation, source and users' reports: Hazelcast
//! waits 2 s (multicast) to 7 s (multicast and a pre-join wait of 5 s); Payara sets that wait to 1
//! s, also for lists, DNS and Kubernetes; a join to a domain server took about 10 s in a version
//! that has been fixed since. Once a member has founded a cluster, others search for a split after
//! 300 s.

use std::net::Ipv4Addr;
use std::time::Instant;

use convoke_tests::{ApiServer, Cluster, DnsServer, Launch, Member};

use crate::measure::{WAIT_MAX, ms, shown};
use crate::table::{Row, Table, Unit};

/// Repetitions of each measurement.
const RUNS: usize = 10;

/// Repetitions of measurements that take a second or two.
const LONG_RUNS: usize = 5;

/// Target for the join of a second member, in milliseconds.
const JOIN_MS: f64 = 300.0;

/// Target for the time from a change of a source to the join, in milliseconds.
const UPDATE_MS: f64 = 2_000.0;

const HAZELCAST: &str = "Hazelcast 2 to 7 s";

pub(crate) fn run() {
    let mut table = Table::new();
    table.add(joined("second member by multicast", |_| "multicast".to_owned()));
    table.add(joined("second member by tcpip", |cluster| {
        format!("tcpip:127.0.0.1:{0}-{1}", cluster.start_port(), cluster.start_port() + 1)
    }));
    table.add(dns_joined());
    table.add(kubernetes_joined());
    table.add(domain_joined());
    table.add(record_joined());
    table.add(pod_joined());
    table.add(domain_back());
    table.print_summary();
}

/// The time from the second member's start until both log a view of two members.
fn joined(what: &'static str, mode: impl Fn(&Cluster) -> String) -> Row {
    let runs = (0..RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let mode = mode(&cluster);
        second(&cluster, &cluster.launch().mode(&mode).start(), cluster.launch().mode(&mode))
    });
    join_row(what, runs.collect())
}

fn join_row(what: &'static str, runs: Vec<f64>) -> Row {
    Row { what, unit: Unit::Milliseconds, runs, target: Some(JOIN_MS), others: HAZELCAST }
}

fn second(cluster: &Cluster, first: &Member, launch: Launch<'_>) -> f64 {
    cluster.agree([first]);
    let second = launch.start();
    let both = shown(first, 2).max(shown(&second, 2));
    ms(both - second.started())
}

/// A domain server that finds no members itself, so that only its instances connect to it.
fn domain_server(cluster: &Cluster) -> Member {
    let keeps = ["--interfaces", "--cluster-name", "--auto-bind-http", "--auto-bind-range"];
    let server = cluster.launch().subcommand(&["domain"], &keeps);
    server
        .option("--start-port", cluster.spare_port(1).to_string())
        .option("--port", cluster.http_port().to_string())
        .mode(format!("tcpip:127.0.0.1:{}", cluster.spare_port(2)))
        .start()
}

fn instance(cluster: &Cluster) -> Launch<'_> {
    cluster.launch().mode(format!("domain:127.0.0.1:{}", cluster.spare_port(1)))
}

/// A member of one mode with a local source.
fn configured<'a>(cluster: &'a Cluster, mode: &str, argument: &str, setting: &str) -> Launch<'a> {
    let text = format!(
        "[[discovery]]\nmode = \"{mode}\"\nargument = \"{argument}\"\nsettings = {{ {setting} }}\n"
    );
    let config = cluster.write(&format!("{mode}.toml"), text).display().to_string();
    cluster.launch().option("--config", config)
}

fn asking<'a>(cluster: &'a Cluster, names: &DnsServer) -> Launch<'a> {
    let port = cluster.start_port();
    let list = format!("members.test:{port},members.test:{}", port + 1);
    configured(cluster, "dns", &list, &format!("servers = \"{}\"", names.address()))
}

fn in_pod<'a>(cluster: &'a Cluster, api: &ApiServer) -> Launch<'a> {
    let kubeconfig = api.kubeconfig(cluster.folder());
    let setting = format!("kubeconfig = \"{}\"", kubeconfig.display());
    configured(cluster, "kubernetes", "shop,till", &setting)
}

/// A member that finds no other members itself.
fn isolated(cluster: &Cluster) -> Member {
    let member = cluster.start_tcpip(&format!("127.0.0.1:{}", cluster.spare_port(3)));
    cluster.agree([&member]);
    member
}

fn dns_joined() -> Row {
    let runs = (0..RUNS).map(|_| {
        let (cluster, names) = (Cluster::exclusive(), DnsServer::start());
        names.set("members.test", &[Ipv4Addr::LOCALHOST], 30);
        second(&cluster, &asking(&cluster, &names).start(), asking(&cluster, &names))
    });
    join_row("second member by dns", runs.collect())
}

fn kubernetes_joined() -> Row {
    let runs = (0..RUNS).map(|_| {
        let (cluster, api) = (Cluster::exclusive(), ApiServer::start());
        api.put_slice("till", "till-a", &["127.0.0.1"], None);
        second(&cluster, &in_pod(&cluster, &api).start(), in_pod(&cluster, &api))
    });
    join_row("second member by kubernetes", runs.collect())
}

/// The time from a change of the source until the notified member logs a view of two members.
fn news(what: &'static str, runs: Vec<f64>) -> Row {
    let others = "Hazelcast 300 s to the first search";
    Row { what, unit: Unit::Milliseconds, runs, target: Some(UPDATE_MS), others }
}

fn record_joined() -> Row {
    let runs = (0..LONG_RUNS).map(|_| {
        let (cluster, names) = (Cluster::exclusive(), DnsServer::start());
        let existing = isolated(&cluster);
        let asker = asking(&cluster, &names).start();
        cluster.agree([&asker]);
        names.set("members.test", &[Ipv4Addr::LOCALHOST], 30);
        let added = Instant::now();
        ms(shown(&asker, 2).max(shown(&existing, 2)) - added)
    });
    news("a DNS record appears -> its member joined", runs.collect())
}

fn pod_joined() -> Row {
    let runs = (0..LONG_RUNS).map(|_| {
        let (cluster, api) = (Cluster::exclusive(), ApiServer::start());
        let existing = isolated(&cluster);
        api.put_slice("till", "till-a", &["127.0.0.1"], Some(("convoke", cluster.spare_port(4))));
        let asker = in_pod(&cluster, &api).start();
        cluster.agree([&asker]);
        api.put_slice(
            "till",
            "till-b",
            &["127.0.0.1"],
            Some(("convoke", existing.address().port())),
        );
        let added = Instant::now();
        ms(shown(&asker, 2).max(shown(&existing, 2)) - added)
    });
    news("a pod appears -> its member joined", runs.collect())
}

fn domain_joined() -> Row {
    let runs = (0..RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        second(&cluster, &domain_server(&cluster), instance(&cluster))
    });
    let others = "Payara 1 to 10 s";
    Row { others, ..join_row("instance by domain server", runs.collect()) }
}

fn domain_back() -> Row {
    let runs = (0..LONG_RUNS).map(|_| {
        let cluster = Cluster::exclusive();
        let mut server = domain_server(&cluster);
        cluster.agree([&server]);
        let instances: Vec<Member> = (0..3).map(|_| instance(&cluster).start()).collect();
        cluster.agree_within(WAIT_MAX, instances.iter().chain([&server]));
        server.kill();
        cluster.agree_within(WAIT_MAX, &instances);
        let started = Instant::now();
        let server = domain_server(&cluster);
        cluster.agree_within(WAIT_MAX, instances.iter().chain([&server]));
        ms(shown(&server, 4) - started)
    });
    Row {
        what: "domain server back -> with its 3 instances",
        unit: Unit::Milliseconds,
        runs: runs.collect(),
        target: Some(UPDATE_MS),
        others: "Hazelcast 300 s to the first search",
    }
}
