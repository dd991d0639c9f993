//! Instances that join the cluster of a domain server, which fails and returns.

use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{Cluster, Launch, Member, binary};
use serde_json::Value;

/// Instances of one domain server.
const INSTANCES: usize = 20;

/// The longest time until an instance gives up waiting for its domain server.
const GIVEN_UP_MAX: Duration = Duration::from_secs(30);

/// The data grid port and the admin port of this cluster's domain server.
fn ports(cluster: &Cluster) -> (u16, u16) {
    (cluster.spare_port(1), cluster.spare_port(2))
}

/// A domain server, which uses multicast by default.
fn server(cluster: &Cluster) -> Launch<'_> {
    let (port, admin) = ports(cluster);
    let keeps = ["--interfaces", "--cluster-name", "--mc-address", "--mc-port"];
    cluster
        .launch()
        .subcommand(&["domain"], &keeps)
        .option("--start-port", port.to_string())
        .option("--port", admin.to_string())
}

/// A domain server that finds no members itself.
fn isolated_server(cluster: &Cluster) -> Launch<'_> {
    server(cluster).mode(format!("tcpip:127.0.0.1:{}", cluster.spare_port(3)))
}

fn instance(cluster: &Cluster) -> Launch<'_> {
    cluster.launch().mode(format!("domain:127.0.0.1:{}", ports(cluster).0))
}

#[test]
fn instances_join_the_cluster_of_the_domain_server() {
    let cluster = Cluster::new();
    let das = isolated_server(&cluster).start();
    cluster.agree([&das]);
    let (one, two) = (instance(&cluster).start(), instance(&cluster).start());
    let order = cluster.agree([&das, &one, &two]);
    assert_eq!(order[0], das.address());
    let member = das.status().member;
    assert_eq!((member.name.as_str(), member.group.as_str()), ("server", "server-config"));
    das.wait(TIMEOUT, "three instances in the grid", |record| {
        record.grid().filter(|grid| grid.instances.len() == 3).map(|_| ())
    });
}

#[test]
fn the_domain_server_can_be_given_by_name() {
    let cluster = Cluster::new();
    let das = isolated_server(&cluster).start();
    cluster.agree([&das]);
    let by_name = cluster.launch().mode(format!("domain:localhost:{}", ports(&cluster).0)).start();
    cluster.agree([&das, &by_name]);
}

#[test]
fn an_instance_with_multicast_joins_the_same_cluster() {
    let cluster = Cluster::new();
    let das = server(&cluster).start();
    cluster.agree([&das]);
    let by_multicast = cluster.start();
    let by_name = instance(&cluster).start();
    cluster.agree([&das, &by_multicast, &by_name]);
}

#[test]
fn an_instance_that_is_started_first_waits_for_its_domain_server() {
    let cluster = Cluster::new();
    let early = instance(&cluster).start();
    early.wait_for_line(
        TIMEOUT,
        &["nothing listens on that port", "check that the domain server is running"],
    );
    let das = isolated_server(&cluster).start();
    let order = cluster.agree([&das, &early]);
    assert_eq!(order[0], das.address());
    let alone = early.record(|record| record.views.iter().any(|(_, view)| view.0.len() == 1));
    assert!(!alone, "it never founded a cluster");
}

#[test]
fn an_instance_continues_without_its_domain_server_and_joins_it_later() {
    let cluster = Cluster::new();
    let early = instance(&cluster).start();
    early.wait_for_line(
        GIVEN_UP_MAX,
        &["the domain server is down; this member continues without it"],
    );
    cluster.agree([&early]);
    let das = isolated_server(&cluster).start();
    cluster.agree([&das, &early]);
}

#[test]
fn an_instance_that_requires_its_domain_server_waits_indefinitely() {
    let cluster = Cluster::new();
    let text = format!(
        "[[discovery]]\nmode = \"domain\"\nargument = \"127.0.0.1:{}\"\nsettings = {{ required = true }}\n",
        ports(&cluster).0
    );
    let config = cluster.write("a.toml", text).display().to_string();
    let early = cluster.launch().option("--config", config).start();
    early.wait_for_line(GIVEN_UP_MAX, &["not in a cluster yet", "domain server 127.0.0.1"]);
    assert!(early.view().is_none());
    let das = isolated_server(&cluster).start();
    cluster.agree([&das, &early]);
}

#[test]
fn twenty_instances_stay_in_one_cluster_during_an_outage_of_the_domain_server() {
    let cluster = Cluster::exclusive();
    let mut das = isolated_server(&cluster).start();
    cluster.agree([&das]);
    let instances: Vec<Member> = (0..INSTANCES).map(|_| instance(&cluster).start()).collect();
    cluster.agree(instances.iter().chain([&das]));
    das.kill();
    let order = cluster.agree(&instances);
    instances[0]
        .wait_for_line(TIMEOUT, &["the domain server is down; the cluster is not affected"]);
    assert_eq!(cluster.agree(&instances), order, "no other member left");
    let das = isolated_server(&cluster).start();
    let with_server = cluster.agree(instances.iter().chain([&das]));
    assert_eq!(with_server[..INSTANCES], order, "the restarted server is the youngest member");
    instances[0].wait_for_line(TIMEOUT, &["domain server found again"]);
    assert_eq!(members_page(&das).len(), INSTANCES + 1);
}

/// The members that `/members` lists.
fn members_page(das: &Member) -> Vec<Value> {
    let answer = das.get("/members").expect("the admin port answers");
    let page: Value = serde_json::from_str(&answer.body).expect("JSON");
    page["members"].as_array().expect("a list").clone()
}

#[test]
fn the_admin_port_shows_members_groups_and_modes() {
    let cluster = Cluster::new();
    let das = server(&cluster).start();
    cluster.agree([&das]);
    let tills = instance(&cluster).option("--group", "tills").option("--name", "<till>").start();
    cluster.agree([&das, &tills]);
    let members = members_page(&das);
    assert_eq!(members[0]["this"], true);
    assert_eq!(members[1]["name"], "<till>");
    assert_eq!(members[1]["found_by"], "domain");
    assert_eq!(members[1]["health"], "alive");
    assert!(members[1]["since"].as_str().expect("a time").ends_with('Z'));
    assert!(das.get("/groups").expect("an answer").body.contains("\"tills\""));
    assert!(das.get("/modes").expect("an answer").body.contains("\"multicast\""));
    let page = das.get("/").expect("an answer").body;
    assert!(page.contains("&lt;till&gt;") && page.contains("2 members, 2 groups"), "{page}");
    assert_eq!(tills.get("/members").expect("an answer").status, 404, "no admin port");
}

#[test]
fn a_domain_server_with_a_different_password_is_logged_and_waited_for() {
    let cluster = Cluster::new();
    let das = isolated_server(&cluster).option("--cluster-password", "one").start();
    cluster.agree([&das]);
    let other = instance(&cluster).option("--cluster-password", "two").start();
    other.wait_for_line(TIMEOUT, &["domain server 127.0.0.1", "name or password differs"]);
    other.wait_for_line(GIVEN_UP_MAX, &["not in a cluster yet", "name or password differs"]);
    assert!(other.view().is_none(), "it has not founded a cluster");
    cluster.agree([&das]);
}

#[test]
fn the_default_admin_port_as_the_argument_is_logged() {
    let cluster = Cluster::new();
    let instance = cluster.launch().mode("domain:127.0.0.1:4848").start();
    instance.wait_for_line(TIMEOUT, &["4848", "default admin port", "4900"]);
}

#[test]
fn another_program_at_the_port_is_logged() {
    let cluster = Cluster::new();
    let das = isolated_server(&cluster).start();
    cluster.agree([&das]);
    let member = cluster.launch().mode(format!("domain:127.0.0.1:{}", ports(&cluster).1)).start();
    member.wait_for_line(TIMEOUT, &["it is not a domain server", "HTTP"]);
    assert!(member.view().is_none());
}

#[test]
fn a_domain_server_does_not_start_if_its_port_is_in_use() {
    let cluster = Cluster::new();
    let (port, admin) = ports(&cluster);
    let das = isolated_server(&cluster).start();
    cluster.agree([&das]);
    let second = isolated_server(&cluster).option("--port", cluster.spare_port(4).to_string());
    let ended = second.run(TIMEOUT);
    assert!(ended.refusal().contains(&format!("port {port} is in use, and a domain server")));
    let ended = isolated_server(&cluster).option("--start-port", cluster.spare_port(4).to_string());
    assert!(ended.run(TIMEOUT).refusal().contains(&format!("HTTP port {admin} is in use")));
    let ended = isolated_server(&cluster).flag("--no-cluster").run(TIMEOUT);
    assert!(ended.refusal().contains("no-cluster"));
}

#[test]
fn invalid_arguments_are_rejected() {
    let cluster = Cluster::new();
    let cases = [
        ("", "the argument is empty; expected one domain server"),
        (":4900", "\":4900\" is not a host and a port"),
        ("das:", "\"\" is not a port"),
        ("das:0", "\"0\" is not a port (in \"das:0\"); expected 1 to 65535"),
        ("das:70000", "\"70000\" is not a port"),
        ("das one:4900", "is more than one address"),
        ("a,b", "\"a,b\" is more than one address"),
        ("10.0.0.300:4900", "is not a host and a port"),
        ("[::1:4900", "is not a host and a port"),
    ];
    for (argument, expected) in cases {
        let ended = cluster.launch().mode(format!("domain:{argument}")).run(TIMEOUT);
        let line = ended.refusal();
        assert!(line.starts_with("mode \"domain\": ") && line.contains(expected), "{line}");
    }
    let many = vec!["das:4900"; 10_000].join(",");
    let ended = cluster.launch().mode(format!("domain:{many}")).run(TIMEOUT);
    assert!(ended.refusal().len() < 300, "{}", ended.refusal());
}

/// The mode as a third-party component file, with a grant.
fn as_plugin<'a>(cluster: &'a Cluster, grant: &str) -> Launch<'a> {
    std::fs::copy(binary::mode("domain"), cluster.folder().join("mine.wasm")).expect("a copy");
    let text = format!(
        "[[discovery]]\nmode = \"mine\"\nplugin = \"mine.wasm\"\nargument = \"127.0.0.1:{}\"\n{grant}\n",
        ports(cluster).0
    );
    let config = cluster.write("a.toml", text).display().to_string();
    cluster.launch().option("--config", config)
}

#[test]
fn a_third_party_mode_probes_only_what_it_is_granted() {
    let cluster = Cluster::new();
    let das = isolated_server(&cluster).start();
    cluster.agree([&das]);
    let ended = as_plugin(&cluster, "").run(TIMEOUT);
    let address = das.address();
    let needs = format!(
        "it imports convoke:host/probe@0.1.0, which is not granted; to allow it, its [[discovery]] needs: grant = {{ probe = [\"{address}\"] }}"
    );
    assert!(ended.refusal().ends_with(&needs), "{}", ended.refusal());
    let elsewhere = as_plugin(&cluster, "grant = { probe = [\"127.0.0.0/8:1-9999\"] }").start();
    elsewhere.wait_for_line(
        TIMEOUT,
        &[
            &format!("was denied probe {address}"),
            &format!("grant = {{ probe = [\"127.0.0.0/8:1-9999\", \"{address}\"] }}"),
        ],
    );
    elsewhere.wait_for_line(TIMEOUT, &["mode \"mine\" stopped", "the probe is not granted"]);
    assert!(elsewhere.view().is_none(), "it has not founded a cluster");
    let granted = as_plugin(&cluster, &format!("grant = {{ probe = [\"{address}\"] }}")).start();
    cluster.agree([&das, &granted]);
}
