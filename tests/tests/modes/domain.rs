//! A domain server that instances name, and that comes and goes.

use std::time::Duration;

use convoke_tests::cluster::SOON;
use convoke_tests::{Cluster, Launch, Member, binary};
use serde_json::Value;

/// Instances of one domain server.
const MANY: usize = 20;

/// Until an instance gives up waiting for its domain server, at the most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where this cluster's domain server is: data grid port and admin port.
fn ports(cluster: &Cluster) -> (u16, u16) {
    (cluster.spare_port(1), cluster.spare_port(2))
}

/// A domain server. By itself it looks by multicast.
fn server(cluster: &Cluster) -> Launch<'_> {
    let (port, admin) = ports(cluster);
    let keeps = ["--interfaces", "--cluster-name", "--mc-address", "--mc-port"];
    cluster
        .launch()
        .subcommand(&["domain"], &keeps)
        .option("--start-port", port.to_string())
        .option("--port", admin.to_string())
}

/// One that finds nobody by itself.
fn deaf_server(cluster: &Cluster) -> Launch<'_> {
    server(cluster).mode(format!("tcpip:127.0.0.1:{}", cluster.spare_port(3)))
}

fn instance(cluster: &Cluster) -> Launch<'_> {
    cluster.launch().mode(format!("domain:127.0.0.1:{}", ports(cluster).0))
}

#[test]
fn instances_join_the_grid_of_the_domain_server() {
    let cluster = Cluster::new();
    let das = deaf_server(&cluster).start();
    cluster.agree([&das]);
    let (one, two) = (instance(&cluster).start(), instance(&cluster).start());
    let order = cluster.agree([&das, &one, &two]);
    assert_eq!(order[0], das.address());
    let member = das.status().member;
    assert_eq!((member.name.as_str(), member.group.as_str()), ("server", "server-config"));
    das.wait(SOON, "three instances in the grid", |record| {
        record.grid().filter(|grid| grid.instances.len() == 3).map(|_| ())
    });
}

#[test]
fn localhost_and_names_work() {
    let cluster = Cluster::new();
    let das = deaf_server(&cluster).start();
    cluster.agree([&das]);
    let by_name = cluster.launch().mode(format!("domain:localhost:{}", ports(&cluster).0)).start();
    cluster.agree([&das, &by_name]);
}

#[test]
fn an_instance_on_multicast_joins_the_same_grid() {
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
        SOON,
        &["nothing listens on that port", "check that the domain server is running"],
    );
    let das = deaf_server(&cluster).start();
    let order = cluster.agree([&das, &early]);
    assert_eq!(order[0], das.address());
    let alone = early.record(|record| record.views.iter().any(|(_, view)| view.0.len() == 1));
    assert!(!alone, "it never had a cluster of its own");
}

#[test]
fn an_instance_goes_on_without_a_domain_server_and_joins_it_when_it_comes() {
    let cluster = Cluster::new();
    let early = instance(&cluster).start();
    early.wait_for_line(PATIENCE, &["the domain server is down; this member continues without it"]);
    cluster.agree([&early]);
    let das = deaf_server(&cluster).start();
    cluster.agree([&das, &early]);
}

#[test]
fn an_instance_that_requires_its_domain_server_waits_for_as_long_as_it_takes() {
    let cluster = Cluster::new();
    let text = format!(
        "[[discovery]]\nmode = \"domain\"\nargument = \"127.0.0.1:{}\"\nsettings = {{ required = true }}\n",
        ports(&cluster).0
    );
    let config = cluster.write("a.toml", text).display().to_string();
    let early = cluster.launch().option("--config", config).start();
    early.wait_for_line(PATIENCE, &["not in a cluster yet", "domain server 127.0.0.1"]);
    assert!(early.view().is_none());
    let das = deaf_server(&cluster).start();
    cluster.agree([&das, &early]);
}

#[test]
fn twenty_instances_stay_a_cluster_while_their_domain_server_is_away() {
    let cluster = Cluster::alone();
    let mut das = deaf_server(&cluster).start();
    cluster.agree([&das]);
    let instances: Vec<Member> = (0..MANY).map(|_| instance(&cluster).start()).collect();
    cluster.agree(instances.iter().chain([&das]));
    das.kill();
    let order = cluster.agree(&instances);
    instances[0].wait_for_line(SOON, &["the domain server is down; the cluster is not affected"]);
    assert_eq!(cluster.agree(&instances), order, "nobody else left");
    let das = deaf_server(&cluster).start();
    let with_server = cluster.agree(instances.iter().chain([&das]));
    assert_eq!(with_server[..MANY], order, "the server that came back is the youngest");
    instances[0].wait_for_line(SOON, &["domain server found again"]);
    assert_eq!(members_page(&das).len(), MANY + 1);
}

/// What `/members` lists.
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
fn a_domain_server_with_another_password_is_named_and_never_passed_over() {
    let cluster = Cluster::new();
    let das = deaf_server(&cluster).option("--cluster-password", "one").start();
    cluster.agree([&das]);
    let other = instance(&cluster).option("--cluster-password", "two").start();
    other.wait_for_line(SOON, &["domain server 127.0.0.1", "name or password differs"]);
    other.wait_for_line(PATIENCE, &["not in a cluster yet", "name or password differs"]);
    assert!(other.view().is_none(), "no cluster of its own");
    cluster.agree([&das]);
}

#[test]
fn the_admin_port_given_by_mistake_is_pointed_out() {
    let cluster = Cluster::new();
    let instance = cluster.launch().mode("domain:127.0.0.1:4848").start();
    instance.wait_for_line(SOON, &["4848", "default admin port", "4900"]);
}

#[test]
fn another_program_at_the_port_is_pointed_out() {
    let cluster = Cluster::new();
    let das = deaf_server(&cluster).start();
    cluster.agree([&das]);
    let lost = cluster.launch().mode(format!("domain:127.0.0.1:{}", ports(&cluster).1)).start();
    lost.wait_for_line(SOON, &["it is not a domain server", "HTTP"]);
    assert!(lost.view().is_none());
}

#[test]
fn a_domain_server_is_at_its_port_or_nowhere() {
    let cluster = Cluster::new();
    let (port, admin) = ports(&cluster);
    let das = deaf_server(&cluster).start();
    cluster.agree([&das]);
    let second = deaf_server(&cluster).option("--port", cluster.spare_port(4).to_string());
    let ended = second.run(SOON);
    assert!(ended.refusal().contains(&format!("port {port} is in use, and a domain server")));
    let ended = deaf_server(&cluster).option("--start-port", cluster.spare_port(4).to_string());
    assert!(ended.run(SOON).refusal().contains(&format!("HTTP port {admin} is in use")));
    let ended = deaf_server(&cluster).flag("--no-cluster").run(SOON);
    assert!(ended.refusal().contains("no-cluster"));
}

#[test]
fn what_is_no_domain_server_is_refused() {
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
        let ended = cluster.launch().mode(format!("domain:{argument}")).run(SOON);
        let line = ended.refusal();
        assert!(line.starts_with("mode \"domain\": ") && line.contains(expected), "{line}");
    }
    let many = vec!["das:4900"; 10_000].join(",");
    let ended = cluster.launch().mode(format!("domain:{many}")).run(SOON);
    assert!(ended.refusal().len() < 300, "{}", ended.refusal());
}

/// The mode as somebody else's component file, with a grant.
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
fn a_mode_of_somebody_elses_probes_what_it_is_granted_and_nothing_else() {
    let cluster = Cluster::new();
    let das = deaf_server(&cluster).start();
    cluster.agree([&das]);
    let ended = as_plugin(&cluster, "").run(SOON);
    let place = das.address();
    let needs = format!(
        "it imports convoke:host/probe@0.1.0, which is not granted; to allow it, its [[discovery]] needs: grant = {{ probe = [\"{place}\"] }}"
    );
    assert!(ended.refusal().ends_with(&needs), "{}", ended.refusal());
    let elsewhere = as_plugin(&cluster, "grant = { probe = [\"127.0.0.0/8:1-9999\"] }").start();
    elsewhere.wait_for_line(
        SOON,
        &[
            &format!("was denied probe {place}"),
            &format!("grant = {{ probe = [\"127.0.0.0/8:1-9999\", \"{place}\"] }}"),
        ],
    );
    elsewhere.wait_for_line(SOON, &["mode \"mine\" stopped", "the probe is not granted"]);
    assert!(elsewhere.view().is_none(), "no cluster of its own");
    let granted = as_plugin(&cluster, &format!("grant = {{ probe = [\"{place}\"] }}")).start();
    cluster.agree([&das, &granted]);
}
