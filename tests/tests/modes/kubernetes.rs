//! Pods and services of an API server that behaves as Kubernetes' does. Pods are
//! addresses of loopback.

use std::time::Duration;

use convoke_tests::cluster::SOON;
use convoke_tests::kubernetes::{Manner, pod, slice};
use convoke_tests::{ApiServer, Cluster, Launch, Member};

/// What takes a few of the back-offs.
const LATER: Duration = Duration::from_secs(40);

const ONE: &str = "127.0.0.11";
const TWO: &str = "127.0.0.12";
const THREE: &str = "127.0.0.13";

/// A member at `address` that asks `server` with a kubeconfig.
fn member<'a>(cluster: &'a Cluster, server: &ApiServer, address: &str, more: &str) -> Launch<'a> {
    let kubeconfig = server.kubeconfig(cluster.folder());
    with(cluster, address, &format!("kubeconfig = \"{}\"", kubeconfig.display()), more)
}

/// `more` is further keys of its `[[discovery]]`, or settings after a `;`.
fn with<'a>(cluster: &'a Cluster, address: &str, access: &str, more: &str) -> Launch<'a> {
    let (keys, settings) = more.split_once(';').unwrap_or((more, ""));
    let separator = if settings.is_empty() { "" } else { ", " };
    let text = format!(
        "[[discovery]]\nmode = \"kubernetes\"\n{keys}\nsettings = {{ {access}{separator}{settings} }}\n"
    );
    let name = format!("{}.toml", convoke_tests::ports::unique());
    let config = cluster.write(&name, text).display().to_string();
    cluster.launch().at(address).option("--config", config)
}

/// A member that finds nobody by itself.
fn lone(cluster: &Cluster, address: &str) -> Member {
    let nowhere = format!("tcpip:127.0.0.1:{}", cluster.spare_port(1));
    cluster.launch().at(address).mode(nowhere).start()
}

const SERVICE: &str = "argument = \"shop,till\"";

fn candidates(member: &Member) -> Option<u64> {
    member.status().modes[0].more["last_snapshot"]["candidates"].as_u64()
}

#[test]
fn pods_behind_a_service_find_each_other() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_slice("till", "till-a", &[ONE, TWO], None);
    server.put_slice("other", "other-a", &["127.0.0.99"], None);
    let first = member(&cluster, &server, ONE, SERVICE).start();
    cluster.agree([&first]);
    let second = member(&cluster, &server, TWO, SERVICE).start();
    cluster.agree([&first, &second]);
}

#[test]
fn pods_of_the_own_namespace_find_each_other() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[("app", "till")], true);
    server.put_pod("till-1", &[TWO], &[("app", "till")], false);
    server.put_pod("db-0", &["127.0.0.98"], &[("app", "db")], true);
    let by_labels = "; label-selector = \"app=till\"";
    let first = member(&cluster, &server, ONE, by_labels).start();
    cluster.agree([&first]);
    let second = member(&cluster, &server, TWO, by_labels).start();
    cluster.agree([&first, &second]);
    let all = member(&cluster, &server, TWO, "").start();
    cluster.agree([&first, &second, &all]);
}

#[test]
fn in_a_pod_the_account_of_the_pod_is_used() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_slice("till", "till-a", &[ONE, TWO], None);
    let account = server.service_account(cluster.folder());
    let access = format!("service-account = \"{}\"", account.display());
    let start = |address| {
        let launch = with(&cluster, address, &access, SERVICE);
        server.environment().into_iter().fold(launch, |launch, (k, v)| launch.env(k, v)).start()
    };
    let first = start(ONE);
    cluster.agree([&first]);
    let second = start(TWO);
    cluster.agree([&first, &second]);
    // Tokens are replaced while they are in use.
    server.rotate_token();
    server.service_account(cluster.folder());
    server.compact();
    server.put_slice("till", "till-a", &[ONE, TWO, THREE], None);
    for member in [&first, &second] {
        member.wait_for_status(LATER, "the third pod", |_| {
            (candidates(member) == Some(8)).then_some(())
        });
    }
    let third = start(THREE);
    cluster.agree([&first, &second, &third]);
}

#[test]
fn a_pod_that_appears_is_a_member_soon_and_one_that_goes_is_forgotten() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let stranger = lone(&cluster, TWO);
    cluster.agree([&stranger]);
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    let lists = server.requests("list");
    server.put_pod("till-1", &[TWO], &[], false);
    cluster.agree([&stranger, &first]);
    server.remove("pods", "till-1");
    first.wait_for_status(LATER, "one pod less", |_| (candidates(&first) == Some(2)).then_some(()));
    assert_eq!(server.requests("list"), lists, "changes are told, not asked for");
    cluster.agree([&stranger, &first]);
}

#[test]
fn a_watch_whose_past_is_forgotten_begins_anew() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let stranger = lone(&cluster, TWO);
    cluster.agree([&stranger]);
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    server.compact();
    server.put_pod("till-1", &[TWO], &[], true);
    cluster.agree_within(LATER, [&stranger, &first]);
}

#[test]
fn pods_that_are_not_ready_count_unless_they_are_left_out() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    server.put_pod("till-1", &[TWO], &[], false);
    let all = member(&cluster, &server, ONE, "").start();
    cluster.agree([&all]);
    let ready = member(&cluster, &server, ONE, "; not-ready = false").start();
    cluster.agree([&all, &ready]);
    assert!(candidates(&all) > candidates(&ready));
}

#[test]
fn both_kinds_of_addresses_and_named_ports_count() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let first = lone(&cluster, "::1");
    cluster.agree([&first]);
    server.put_slice("till", "till-v6", &["::1"], Some(("member", first.address().port())));
    server.put_slice("till", "till-v4", &[ONE], Some(("member", cluster.spare_port(2))));
    let by_name = "argument = \"shop,till\"; port-name = \"member\"";
    let second = member(&cluster, &server, ONE, by_name).at("::1").start();
    cluster.agree([&first, &second]);
    assert_eq!(candidates(&second), Some(2));
    let other = "argument = \"shop,till\"; port-name = \"gossip\"";
    let third = member(&cluster, &server, ONE, other).at("::1").start();
    third.wait_for_line(SOON, &["a pod has no port of the configured name", "gossip"]);
}

#[test]
fn a_refusal_names_the_account_and_what_to_apply_and_makes_no_lone_cluster() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_slice("till", "till-a", &[ONE, TWO], None);
    server.deny("list", "endpointslices");
    let first = member(&cluster, &server, ONE, SERVICE).start();
    first.wait_for_line(
        SOON,
        &["system:serviceaccount:shop:convoke may not list endpointslices.discovery.k8s.io in namespace \"shop\" (403)"],
    );
    for line in [
        "kind: Role",
        "  verbs: [\"list\", \"watch\"]",
        "  name: convoke",
        "  resources: [\"endpointslices\"]",
        "  name: convoke-discovery-endpointslices.shop.convoke",
    ] {
        first.wait_for_line(SOON, &[line]);
    }
    first.wait_for_line(LATER, &["not in a cluster yet", "may not list"]);
    assert!(first.view().is_none(), "no cluster of its own");
    server.allow("list", "endpointslices");
    cluster.agree([&first]);
}

/// One that nobody has found yet, and one whose account may list pods and not watch them.
#[track_caller]
fn without_watch(cluster: &Cluster, server: &ApiServer) -> [Member; 2] {
    let stranger = lone(cluster, TWO);
    cluster.agree([&stranger]);
    server.put_pod("till-0", &[ONE], &[], true);
    server.deny("watch", "pods");
    let first = member(cluster, server, ONE, "").start();
    cluster.agree([&first]);
    [stranger, first]
}

#[test]
fn an_account_that_may_list_and_not_watch_is_told_and_served() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let [stranger, first] = without_watch(&cluster, &server);
    first.wait_for_line(
        SOON,
        &["may not watch pods in namespace \"shop\" (403)", "polls every 10 s"],
    );
    server.put_pod("till-1", &[TWO], &[], true);
    cluster.agree_within(LATER, [&stranger, &first]);
}

#[test]
fn a_watch_that_is_granted_later_is_used_from_then_on() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let [stranger, first] = without_watch(&cluster, &server);
    first.wait_for_line(SOON, &["may not watch pods", "until then it polls every 10 s"]);
    server.allow("watch", "pods");
    first.wait_for_line(LATER, &["watching the API server for changes"]);
    let lists = server.requests("list");
    server.put_pod("till-1", &[TWO], &[], true);
    cluster.agree([&stranger, &first]);
    assert_eq!(server.requests("list"), lists, "changes are told, not asked for");
}

/// As an API server answers for about a second after a restart, until it has read its Roles.
#[test]
fn a_refusal_that_passes_is_no_news() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    server.deny("list", "pods");
    let lists = server.requests("list");
    server.compact();
    first.wait_for_status(LATER, "a list that is refused", |_| {
        (server.requests("list") > lists).then_some(())
    });
    server.allow("list", "pods");
    server.put_pod("till-1", &[TWO], &[], true);
    first.wait_for_status(LATER, "the second pod", |_| {
        (candidates(&first) == Some(5)).then_some(())
    });
    assert_eq!(first.count_lines(&["(403)"]), 0);
    // A server that is started again was away before it refuses.
    let port = server.port();
    drop(server);
    first.wait_for_line(LATER, &["the API server at", "cannot be reached"]);
    let server = ApiServer::start_at(port);
    server.deny("list", "pods");
    server.put_pod("till-0", &[ONE], &[], true);
    server.kubeconfig(cluster.folder());
    first.wait_for_status(LATER, "a list that is refused", |_| {
        (server.requests("list") > 0).then_some(())
    });
    server.allow("list", "pods");
    first.wait_for_line(LATER, &["mode \"kubernetes\" works again"]);
    assert_eq!(first.count_lines(&["(403)"]), 0);
    // One that stays is told.
    server.deny("list", "pods");
    server.compact();
    first.wait_for_line(LATER, &["may not list pods in namespace \"shop\" (403)"]);
}

#[test]
fn a_token_file_that_holds_no_token_is_said_so_and_read_anew() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let account = server.service_account(cluster.folder());
    let token = std::fs::read_to_string(account.join("token")).expect("it was written");
    let write = |text: &str| std::fs::write(account.join("token"), text).expect("it is ours");
    write("\n");
    let access = format!("service-account = \"{}\"", account.display());
    let launch = with(&cluster, ONE, &access, "; namespace = \"shop\"");
    let first =
        server.environment().into_iter().fold(launch, |launch, (k, v)| launch.env(k, v)).start();
    first.wait_for_line(SOON, &["/token is empty; expected one line"]);
    assert!(first.view().is_none());
    write(&format!("  {token}\r\n\n"));
    cluster.agree_within(LATER, [&first]);
}

#[test]
fn pods_of_which_none_has_the_wanted_port_are_no_empty_cluster() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "; port-name = \"gossip\"").start();
    first.wait_for_line(
        SOON,
        &[
            "no pod has a TCP port named \"gossip\"; \"till-0\" has http",
            "does not found a cluster",
        ],
    );
    assert!(first.view().is_none());
}

/// As the controller of the API server writes it where publishNotReadyAddresses is set.
#[test]
fn a_published_pod_that_is_not_ready_is_left_out_where_only_ready_ones_count() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let mut published = slice("till", "till-a", &[ONE, TWO, THREE], None);
    published["endpoints"][1]["conditions"]["serving"] = false.into();
    published["endpoints"][2]["conditions"]["terminating"] = true.into();
    server.put(published);
    let start = |not_ready| {
        let settings = format!("{SERVICE}; not-ready = \"{not_ready}\"");
        let member = member(&cluster, &server, ONE, &settings).start();
        cluster.agree([&member]);
        candidates(&member)
    };
    // Three ports of each pod, without this member's own.
    assert_eq!((start(true), start(false)), (Some(5), Some(2)));
}

#[test]
fn credentials_that_are_refused_are_told_apart() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let launch = member(&cluster, &server, ONE, "");
    server.rotate_token();
    let first = launch.start();
    first.wait_for_line(SOON, &["rejects the credentials of the user of context \"test\" (401)"]);
    assert!(first.view().is_none());
    server.kubeconfig(cluster.folder());
    cluster.agree_within(LATER, [&first]);
    first.wait_for_line(SOON, &["mode \"kubernetes\" works again"]);
}

/// Each is told in words of its own, founds no cluster, and passes.
#[test]
fn an_api_server_in_trouble_is_waited_for() {
    for (manner, words) in [
        (Manner::Silent, "no response from the API server at"),
        (Manner::Garbage, "did not return a list"),
        (Manner::CloseMidBody, "was interrupted"),
        (Manner::Unavailable, "returned 503: etcdserver: leader changed"),
    ] {
        let (cluster, server) = (Cluster::new(), ApiServer::start());
        server.put_pod("till-0", &[ONE], &[], true);
        server.behave(manner);
        let first = member(&cluster, &server, ONE, "").start();
        first.wait_for_line(LATER, &[words]);
        assert!(first.view().is_none(), "{manner:?}");
        server.behave(Manner::Honest);
        cluster.agree_within(LATER, [&first]);
    }
}

#[test]
fn a_cluster_stays_while_its_api_server_is_away_and_grows_when_it_is_back() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    server.put_pod("till-1", &[TWO], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    let second = member(&cluster, &server, TWO, "").start();
    cluster.agree([&first, &second]);
    let port = server.port();
    drop(server);
    first.wait_for_line(LATER, &["the API server at", "cannot be reached"]);
    cluster.agree([&first, &second]);
    let server = ApiServer::start_at(port);
    let stranger = lone(&cluster, THREE);
    cluster.agree([&stranger]);
    for (name, address) in [("till-0", ONE), ("till-1", TWO), ("till-2", THREE)] {
        server.put_pod(name, &[address], &[], true);
    }
    server.kubeconfig(cluster.folder());
    cluster.agree_within(LATER, [&first, &second, &stranger]);
}

#[test]
fn nobody_behind_a_service_is_a_slip_and_no_empty_cluster() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_slice("till", "till-a", &[ONE], None);
    let first = member(&cluster, &server, ONE, "argument = \"shop,tull\"").start();
    first.wait_for_line(
        SOON,
        &["service \"tull\" in namespace \"shop\" has no endpoints", "publishNotReadyAddresses"],
    );
    assert!(first.view().is_none());
    server.put_slice("tull", "tull-a", &[ONE], None);
    cluster.agree([&first]);
}

#[test]
fn ten_thousand_pods_come_in_pages() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    for n in 0..10_000u32 {
        let ip = format!("127.20.{}.{}", n >> 8, n & 255);
        server.put(pod(&format!("pod-{n:05}"), &[&ip], &[], true));
    }
    server.put_pod("till-0", &[ONE], &[], true);
    let port = format!("; port = {}", cluster.start_port());
    let first = member(&cluster, &server, ONE, &port).start();
    cluster.agree_within(LATER, [&first]);
    assert_eq!(candidates(&first), Some(10_000), "all but itself");
    assert!(server.requests("list") >= 20);
    let (_, peak_kib) = first.resident_kib();
    assert!(peak_kib < 256 << 10, "{peak_kib} KiB");
}

#[test]
fn a_dry_run_shows_the_pods() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let first = lone(&cluster, ONE);
    cluster.agree([&first]);
    server.put_pod("till-0", &[ONE], &[], true);
    let keeps = ["--interfaces", "--cluster-name", "--start-port"];
    let launch = member(&cluster, &server, TWO, "").subcommand(&["discover"], &keeps);
    let ended = launch.run(LATER);
    assert!(ended.stdout.contains(&format!("kept    {}", first.address())), "{ended:#?}");
}

#[test]
fn what_is_malformed_is_refused() {
    let cluster = Cluster::new();
    let account = cluster.folder().join("nothing");
    let cases = [
        ("kubernetes:shop", "\"shop\" names a namespace without a service"),
        ("kubernetes:shop,", "a namespace without a service"),
        ("kubernetes:,till", "a service without a namespace"),
        ("kubernetes:a,b,c", "more than a namespace and a service"),
        ("kubernetes:Shop,till", "\"Shop\" is not a valid Kubernetes name"),
        ("kubernetes:shop,my till", "\"my till\" is not a valid Kubernetes name"),
    ];
    // As in a pod, so that the argument is what is wrong.
    std::fs::create_dir_all(&account).expect("the folder is ours");
    std::fs::write(account.join("token"), "x").expect("the folder is ours");
    let access = format!("service-account = \"{}\"", account.display());
    for (mode, expected) in cases {
        let launch = with(&cluster, "127.0.0.1", &access, "").mode(mode);
        let ended = launch.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").run(SOON);
        let line = ended.refusal();
        assert!(line.starts_with("mode \"kubernetes\": ") && line.contains(expected), "{line}");
    }
    let ended = cluster.launch().mode("kubernetes").run(SOON);
    assert!(ended.refusal().contains("not running in a pod (KUBERNETES_SERVICE_HOST is not set)"));
    let launch = with(&cluster, "127.0.0.1", "kubeconfig = \"/nonexistent\"", "");
    assert!(launch.run(SOON).refusal().contains("kubeconfig: /nonexistent cannot be read"));
}
