//! The built-in modes in a simulated network, in virtual time.

mod components;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use components::built_in;
use convoke_mode_kit::{CallError, Harness, HarnessError, Lan, Member, Problem};

const GROUP: &str = "224.2.2.4:2904";

/// Time within which members must have found each other, in virtual time.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(name: &str) -> PathBuf {
    built_in(name).unwrap()
}

fn multicast() -> Harness {
    Harness::load(file("multicast")).grant("multicast", GROUP)
}

/// Runs the network until `holds` is true, in steps of a second.
fn run_until(lan: &Lan, holds: impl Fn() -> bool) {
    while !holds() {
        assert!(lan.now() < PATIENCE, "the condition does not hold within {PATIENCE:?}");
        lan.run(Duration::from_secs(1));
    }
}

fn found(member: &Member) -> Vec<String> {
    member.found().iter().map(SocketAddr::to_string).collect()
}

#[test]
fn members_find_each_other_by_multicast_with_one_third_loss() {
    for seed in 0..20 {
        let delays = Duration::from_millis(1)..=Duration::from_millis(20);
        let mut lan = Lan::new(seed).unwrap().loss(0.3).delay(delays);
        let members: Vec<Member> = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
            .map(|address| lan.member(address, &multicast()).unwrap())
            .into();
        let other = lan.member("10.6.6.6", &multicast().cluster("other")).unwrap();
        run_until(&lan, || members.iter().all(|member| member.found().len() == 3));
        assert_eq!(found(&members[3]), ["10.0.0.1:6900", "10.0.0.2:6900", "10.0.0.3:6900"]);
        assert_eq!(found(&other), [""; 0]);
        assert!(members.iter().chain([&other]).all(|member| member.stopped().is_none()));
    }
}

#[test]
fn a_member_that_left_is_no_longer_found() {
    let mut lan = Lan::new(1).unwrap();
    let one = lan.member("10.0.0.1", &multicast()).unwrap();
    let two = lan.member("10.0.0.2", &multicast()).unwrap();
    run_until(&lan, || one.found().len() == 1 && two.found().len() == 1);
    one.leave().unwrap();
    run_until(&lan, || two.found().is_empty());
}

#[test]
fn another_cluster_in_the_group_is_logged_once() {
    let mut lan = Lan::new(2).unwrap();
    let one = lan.member("10.0.0.1", &multicast()).unwrap();
    let other = lan.member("10.6.6.6", &multicast().cluster("other")).unwrap();
    lan.run(Duration::from_secs(30));
    let lines: Vec<String> = one.log().iter().map(ToString::to_string).collect();
    let logged = lines.iter().filter(|line| line.contains("another cluster")).count();
    assert_eq!(logged, 1, "{lines:?}");
    assert!(other.calls() > 0);
}

#[test]
fn a_domain_server_that_is_down_is_retried_in_virtual_time() {
    let harness =
        Harness::load(file("domain")).argument("10.0.0.5").grant("probe", "10.0.0.5:4900");
    let mut lan = Lan::new(3).unwrap();
    let instance = lan.member("10.0.0.1", &harness).unwrap();
    lan.run(Duration::from_secs(5));
    assert_eq!(instance.calls(), 0);
    let problem = instance.last_problem().unwrap().to_string();
    assert!(problem.contains("nothing listens on that port"), "{problem}");
    run_until(&lan, || instance.calls() > 0);
    assert!(lan.now() >= Duration::from_secs(7), "{:?}", lan.now());
    assert!(instance.log().iter().any(|line| line.text.contains("continues without it")));
    // It still retries after a day.
    let calls = instance.calls();
    lan.run(Duration::from_secs(24 * 60 * 60));
    assert!(instance.calls() >= calls + 24 * 60 * 60 / 2, "{}", instance.calls());
}

#[test]
fn harness_errors_are_one_line() {
    let refused = |harness: Harness| harness.open().unwrap_err().to_string();
    assert_eq!(
        refused(multicast().grant("multicats", "x")),
        "unknown grant \"multicats\"; the capabilities are: dns, http, kubernetes, multicast, probe, store"
    );
    let gone = refused(Harness::load("gone.wasm"));
    assert!(gone.contains("gone.wasm") && gone.lines().count() == 1, "{gone}");
    let ungranted = refused(Harness::load(file("multicast")));
    assert!(ungranted.contains("grant = { multicast = "), "{ungranted}");
    let opened = Harness::load(file("tcpip")).argument("10.0.0.300").open();
    match opened {
        Err(HarnessError::Configure(CallError::Problem(Problem::Misconfigured(text)))) => {
            assert!(text.starts_with("\"10.0.0.300\" is not an IPv4 address"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let refused = Lan::new(0).unwrap().member("db.example", &multicast()).unwrap_err();
    assert!(refused.to_string().starts_with("\"db.example\" is not an IP address"), "{refused}");
}
