//! Pods and services of a simulated Kubernetes API server. Pods have loopback addresses.

use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::kubernetes::{Behavior, pod, slice};
use convoke_tests::{ApiServer, Cluster, Launch, Member};

/// For conditions that take several retries.
const LONG_TIMEOUT: Duration = Duration::from_secs(40);

const ONE: &str = "127.0.0.11";
const TWO: &str = "127.0.0.12";
const THREE: &str = "127.0.0.13";

/// A member at `address` that uses `server` with a kubeconfig.
fn member<'a>(cluster: &'a Cluster, server: &ApiServer, address: &str, more: &str) -> Launch<'a> {
    let kubeconfig = server.kubeconfig(cluster.folder());
    with(cluster, address, &format!("kubeconfig = \"{}\"", kubeconfig.display()), more)
}

/// `more` has further keys of its `[[discovery]]`, and settings after a `;`.
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

/// A member that finds no other members itself.
fn start_isolated(cluster: &Cluster, address: &str) -> Member {
    let unused = format!("tcpip:127.0.0.1:{}", cluster.spare_port(1));
    cluster.launch().at(address).mode(unused).start()
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
fn in_a_pod_the_service_account_is_used() {
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
    // Tokens are rotated while they are in use.
    server.rotate_token();
    server.service_account(cluster.folder());
    server.compact();
    server.put_slice("till", "till-a", &[ONE, TWO, THREE], None);
    for member in [&first, &second] {
        member.wait_for_status(LONG_TIMEOUT, "the third pod", |_| {
            (candidates(member) == Some(8)).then_some(())
        });
    }
    let third = start(THREE);
    cluster.agree([&first, &second, &third]);
}

#[test]
fn added_and_removed_pods_update_the_candidates() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let existing = start_isolated(&cluster, TWO);
    cluster.agree([&existing]);
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    let lists = server.requests("list");
    server.put_pod("till-1", &[TWO], &[], false);
    cluster.agree([&existing, &first]);
    server.remove("pods", "till-1");
    first.wait_for_status(LONG_TIMEOUT, "one pod fewer", |_| {
        (candidates(&first) == Some(2)).then_some(())
    });
    assert_eq!(server.requests("list"), lists, "changes are watched, not polled");
    cluster.agree([&existing, &first]);
}

#[test]
fn a_watch_with_an_expired_resource_version_is_restarted() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let existing = start_isolated(&cluster, TWO);
    cluster.agree([&existing]);
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    server.compact();
    server.put_pod("till-1", &[TWO], &[], true);
    cluster.agree_within(LONG_TIMEOUT, [&existing, &first]);
}

#[test]
fn pods_that_are_not_ready_are_candidates_unless_excluded() {
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
fn ipv6_addresses_and_named_ports_are_supported() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let first = start_isolated(&cluster, "::1");
    cluster.agree([&first]);
    server.put_slice("till", "till-v6", &["::1"], Some(("member", first.address().port())));
    server.put_slice("till", "till-v4", &[ONE], Some(("member", cluster.spare_port(2))));
    let by_name = "argument = \"shop,till\"; port-name = \"member\"";
    let second = member(&cluster, &server, ONE, by_name).at("::1").start();
    cluster.agree([&first, &second]);
    assert_eq!(candidates(&second), Some(2));
    let other = "argument = \"shop,till\"; port-name = \"gossip\"";
    let third = member(&cluster, &server, ONE, other).at("::1").start();
    third.wait_for_line(TIMEOUT, &["a pod has no port of the configured name", "gossip"]);
}

#[test]
fn a_forbidden_list_logs_the_account_and_the_role_to_apply_and_founds_no_cluster() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_slice("till", "till-a", &[ONE, TWO], None);
    server.deny("list", "endpointslices");
    let first = member(&cluster, &server, ONE, SERVICE).start();
    first.wait_for_line(
        TIMEOUT,
        &["system:serviceaccount:shop:convoke may not list endpointslices.discovery.k8s.io in namespace \"shop\" (403)"],
    );
    for line in [
        "kind: Role",
        "  verbs: [\"list\", \"watch\"]",
        "  name: convoke",
        "  resources: [\"endpointslices\"]",
        "  name: convoke-discovery-endpointslices.shop.convoke",
    ] {
        first.wait_for_line(TIMEOUT, &[line]);
    }
    first.wait_for_line(LONG_TIMEOUT, &["not in a cluster yet", "may not list"]);
    assert!(first.view().is_none(), "it has not founded a cluster");
    server.allow("list", "endpointslices");
    cluster.agree([&first]);
}

/// An existing member, and one whose account may list but not watch pods.
#[track_caller]
fn without_watch(cluster: &Cluster, server: &ApiServer) -> [Member; 2] {
    let existing = start_isolated(cluster, TWO);
    cluster.agree([&existing]);
    server.put_pod("till-0", &[ONE], &[], true);
    server.deny("watch", "pods");
    let first = member(cluster, server, ONE, "").start();
    cluster.agree([&first]);
    [existing, first]
}

#[test]
fn without_permission_to_watch_pods_are_polled() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let [existing, first] = without_watch(&cluster, &server);
    first.wait_for_line(
        TIMEOUT,
        &["may not watch pods in namespace \"shop\" (403)", "polls every 10 s"],
    );
    server.put_pod("till-1", &[TWO], &[], true);
    cluster.agree_within(LONG_TIMEOUT, [&existing, &first]);
}

#[test]
fn a_permission_to_watch_that_is_granted_later_is_used() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let [existing, first] = without_watch(&cluster, &server);
    first.wait_for_line(TIMEOUT, &["may not watch pods", "until then it polls every 10 s"]);
    server.allow("watch", "pods");
    first.wait_for_line(LONG_TIMEOUT, &["watching the API server for changes"]);
    let lists = server.requests("list");
    server.put_pod("till-1", &[TWO], &[], true);
    cluster.agree([&existing, &first]);
    assert_eq!(server.requests("list"), lists, "changes are watched, not polled");
}

/// An API server answers like this for about a second after a restart, until it has loaded its
/// Roles.
#[test]
fn a_transient_refusal_is_not_logged() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    server.deny("list", "pods");
    let lists = server.requests("list");
    server.compact();
    first.wait_for_status(LONG_TIMEOUT, "a list that is refused", |_| {
        (server.requests("list") > lists).then_some(())
    });
    server.allow("list", "pods");
    server.put_pod("till-1", &[TWO], &[], true);
    first.wait_for_status(LONG_TIMEOUT, "the second pod", |_| {
        (candidates(&first) == Some(5)).then_some(())
    });
    assert_eq!(first.count_lines(&["(403)"]), 0);
    // A server that is restarted is unreachable before it refuses.
    let port = server.port();
    drop(server);
    first.wait_for_line(LONG_TIMEOUT, &["the API server at", "cannot be reached"]);
    let server = ApiServer::start_at(port);
    server.deny("list", "pods");
    server.put_pod("till-0", &[ONE], &[], true);
    server.kubeconfig(cluster.folder());
    first.wait_for_status(LONG_TIMEOUT, "a list that is refused", |_| {
        (server.requests("list") > 0).then_some(())
    });
    server.allow("list", "pods");
    first.wait_for_line(LONG_TIMEOUT, &["mode \"kubernetes\" works again"]);
    assert_eq!(first.count_lines(&["(403)"]), 0);
    // A lasting refusal is logged.
    server.deny("list", "pods");
    server.compact();
    first.wait_for_line(LONG_TIMEOUT, &["may not list pods in namespace \"shop\" (403)"]);
}

#[test]
fn an_empty_token_file_is_logged_and_read_again() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let account = server.service_account(cluster.folder());
    let token = std::fs::read_to_string(account.join("token")).expect("it was written");
    let write =
        |text: &str| std::fs::write(account.join("token"), text).expect("the file is writable");
    write("\n");
    let access = format!("service-account = \"{}\"", account.display());
    let launch = with(&cluster, ONE, &access, "; namespace = \"shop\"");
    let first =
        server.environment().into_iter().fold(launch, |launch, (k, v)| launch.env(k, v)).start();
    first.wait_for_line(TIMEOUT, &["/token is empty; expected one line"]);
    assert!(first.view().is_none());
    write(&format!("  {token}\r\n\n"));
    cluster.agree_within(LONG_TIMEOUT, [&first]);
}

#[test]
fn no_cluster_is_founded_if_no_pod_has_the_named_port() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let first = member(&cluster, &server, ONE, "; port-name = \"gossip\"").start();
    first.wait_for_line(
        TIMEOUT,
        &[
            "no pod has a TCP port named \"gossip\"; \"till-0\" has http",
            "does not found a cluster",
        ],
    );
    assert!(first.view().is_none());
}

/// As the EndpointSlice controller writes it when publishNotReadyAddresses is set.
#[test]
fn published_endpoints_that_are_not_ready_are_excluded_on_request() {
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
fn rejected_credentials_are_logged_as_such() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    let launch = member(&cluster, &server, ONE, "");
    server.rotate_token();
    let first = launch.start();
    first
        .wait_for_line(TIMEOUT, &["rejects the credentials of the user of context \"test\" (401)"]);
    assert!(first.view().is_none());
    server.kubeconfig(cluster.folder());
    cluster.agree_within(LONG_TIMEOUT, [&first]);
    first.wait_for_line(TIMEOUT, &["mode \"kubernetes\" works again"]);
}

/// Each failure is logged distinctly, founds no cluster, and is recovered from.
#[test]
fn a_failing_api_server_is_waited_for() {
    for (behavior, words) in [
        (Behavior::Silent, "no response from the API server at"),
        (Behavior::Garbage, "did not return a list"),
        (Behavior::CloseMidBody, "was interrupted"),
        (Behavior::Unavailable, "returned 503: etcdserver: leader changed"),
    ] {
        let (cluster, server) = (Cluster::new(), ApiServer::start());
        server.put_pod("till-0", &[ONE], &[], true);
        server.set_behavior(behavior);
        let first = member(&cluster, &server, ONE, "").start();
        first.wait_for_line(LONG_TIMEOUT, &[words]);
        assert!(first.view().is_none(), "{behavior:?}");
        server.set_behavior(Behavior::Normal);
        cluster.agree_within(LONG_TIMEOUT, [&first]);
    }
}

#[test]
fn a_cluster_survives_an_outage_of_its_api_server_and_grows_after_it() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_pod("till-0", &[ONE], &[], true);
    server.put_pod("till-1", &[TWO], &[], true);
    let first = member(&cluster, &server, ONE, "").start();
    cluster.agree([&first]);
    let second = member(&cluster, &server, TWO, "").start();
    cluster.agree([&first, &second]);
    let port = server.port();
    drop(server);
    first.wait_for_line(LONG_TIMEOUT, &["the API server at", "cannot be reached"]);
    cluster.agree([&first, &second]);
    let server = ApiServer::start_at(port);
    let existing = start_isolated(&cluster, THREE);
    cluster.agree([&existing]);
    for (name, address) in [("till-0", ONE), ("till-1", TWO), ("till-2", THREE)] {
        server.put_pod(name, &[address], &[], true);
    }
    server.kubeconfig(cluster.folder());
    cluster.agree_within(LONG_TIMEOUT, [&first, &second, &existing]);
}

#[test]
fn no_cluster_is_founded_if_a_service_has_no_endpoints() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    server.put_slice("till", "till-a", &[ONE], None);
    let first = member(&cluster, &server, ONE, "argument = \"shop,tull\"").start();
    first.wait_for_line(
        TIMEOUT,
        &["service \"tull\" in namespace \"shop\" has no endpoints", "publishNotReadyAddresses"],
    );
    assert!(first.view().is_none());
    server.put_slice("tull", "tull-a", &[ONE], None);
    cluster.agree([&first]);
}

#[test]
fn ten_thousand_pods_are_listed_in_pages() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    for n in 0..10_000u32 {
        let ip = format!("127.20.{}.{}", n >> 8, n & 255);
        server.put(pod(&format!("pod-{n:05}"), &[&ip], &[], true));
    }
    server.put_pod("till-0", &[ONE], &[], true);
    let port = format!("; port = {}", cluster.start_port());
    let first = member(&cluster, &server, ONE, &port).start();
    cluster.agree_within(LONG_TIMEOUT, [&first]);
    assert_eq!(candidates(&first), Some(10_000), "all but itself");
    assert!(server.requests("list") >= 20);
    let (_, peak_kib) = first.resident_kib();
    assert!(peak_kib < 256 << 10, "{peak_kib} KiB");
}

#[test]
fn a_dry_run_shows_the_pods_found() {
    let (cluster, server) = (Cluster::new(), ApiServer::start());
    let first = start_isolated(&cluster, ONE);
    cluster.agree([&first]);
    server.put_pod("till-0", &[ONE], &[], true);
    let keeps = ["--interfaces", "--cluster-name", "--start-port"];
    let launch = member(&cluster, &server, TWO, "").subcommand(&["discover"], &keeps);
    let ended = launch.run(LONG_TIMEOUT);
    assert!(ended.stdout.contains(&format!("kept    {}", first.address())), "{ended:#?}");
}

#[test]
fn invalid_arguments_are_rejected() {
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
    // As in a pod, so that only the argument is invalid.
    std::fs::create_dir_all(&account).expect("the folder is writable");
    std::fs::write(account.join("token"), "x").expect("the folder is writable");
    let access = format!("service-account = \"{}\"", account.display());
    for (mode, expected) in cases {
        let launch = with(&cluster, "127.0.0.1", &access, "").mode(mode);
        let ended = launch.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").run(TIMEOUT);
        let line = ended.refusal();
        assert!(line.starts_with("mode \"kubernetes\": ") && line.contains(expected), "{line}");
    }
    let ended = cluster.launch().mode("kubernetes").run(TIMEOUT);
    assert!(ended.refusal().contains("not running in a pod (KUBERNETES_SERVICE_HOST is not set)"));
    let launch = with(&cluster, "127.0.0.1", "kubeconfig = \"/nonexistent\"", "");
    assert!(launch.run(TIMEOUT).refusal().contains("kubeconfig: /nonexistent cannot be read"));
}
