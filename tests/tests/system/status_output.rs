//! Output for operators: log blocks, health, status, metrics, and the `members` and `discover`
//! commands.

use convoke_tests::cluster::{AGREE_MAX, TIMEOUT};
use convoke_tests::journal::Output;
use convoke_tests::{Cluster, Member, Status, http};
use rustix::process::Signal;

#[test]
fn the_status_of_a_single_member_shows_itself_as_coordinator() {
    let cluster = Cluster::new();
    let member = cluster.start();
    cluster.agree([&member]);
    let status = member.status();
    assert_eq!((status.cluster.size, status.cluster.name.as_str()), (1, cluster.name()));
    assert_eq!(status.cluster.coordinator, status.member.id);
}

#[test]
fn every_member_lists_a_lite_member_as_lite() {
    let cluster = Cluster::new();
    let full = cluster.start();
    let lite = cluster.launch().flag("--lite").start();
    cluster.agree([&full, &lite]);
    for member in [&full, &lite] {
        let view = member.view().unwrap();
        assert!(view.at(lite.address()).unwrap().lite);
        assert!(!view.at(full.address()).unwrap().lite);
    }
}

#[test]
fn every_member_lists_names_and_groups() {
    let cluster = Cluster::new();
    let named = cluster.launch().option("--name", "shop 1").option("--group", "web").start();
    let other = cluster.start();
    cluster.agree([&named, &other]);
    for member in [&named, &other] {
        let grid = member.wait(TIMEOUT, "a grid of two", |record| {
            record.grid().filter(|grid| grid.size == 2).cloned()
        });
        let shown = grid.instances.iter().find(|shown| shown.address == named.address()).unwrap();
        assert_eq!((shown.name.as_str(), shown.group.as_str()), ("shop 1", "web"));
        let shown = grid.instances.iter().find(|shown| shown.address == other.address()).unwrap();
        assert_eq!(shown.group, "convoke");
        assert!(!shown.name.is_empty(), "a name is generated");
    }
}

#[test]
fn the_members_block_the_grid_block_and_status_agree() {
    let cluster = Cluster::new();
    let mut members = vec![cluster.start(), cluster.launch().flag("--lite").start()];
    members.push(cluster.start());
    let order = cluster.agree(&members);
    for member in &members {
        let status = settled(member, 3);
        let grid = member.wait(TIMEOUT, "a grid of three", |record| {
            record.grid().filter(|grid| grid.size == 3).cloned()
        });
        let listed: Vec<_> = status.cluster.members.iter().map(|m| m.address).collect();
        assert_eq!(listed, order);
        assert_eq!(grid.instances.iter().map(|i| i.address).collect::<Vec<_>>(), order);
        assert_eq!(grid.version, status.cluster.version);
        for (shown, listed) in grid.instances.iter().zip(&status.cluster.members) {
            assert_eq!(
                (&shown.uuid, shown.lite, shown.this, &shown.name, &shown.group),
                (&listed.id, listed.lite, listed.this, &listed.name, &listed.group)
            );
        }
        assert!(status.cluster.members.is_sorted_by_key(|m| m.age), "oldest first");
    }
    let views: Vec<_> =
        members.iter().map(|m| settled(m, 3).cluster).map(|c| (c.epoch, c.version)).collect();
    assert!(views.iter().all(|view| *view == views[0]), "one view: {views:?}");
    assert!(members.iter().all(is_well_formed));
}

/// The status that goes with a view of this size.
#[track_caller]
fn settled(member: &Member, size: usize) -> Status {
    member.wait_for_status(TIMEOUT, "a status of this size", |status| {
        (status.cluster.size == size).then(|| status.clone())
    })
}

#[test]
fn status_is_current_when_a_view_is_logged() {
    let cluster = Cluster::exclusive();
    let mut members = Vec::new();
    for size in 1..=12 {
        members.push(cluster.start());
        cluster.agree(&members);
        let sizes: Vec<usize> = members.iter().map(|m| m.status().cluster.size).collect();
        assert!(sizes.iter().all(|shown| *shown == size), "{size} in the log, {sizes:?}");
    }
}

fn is_well_formed(member: &Member) -> bool {
    member.record(|record| record.malformed.is_empty() && record.ready_count == 1)
}

#[test]
fn a_member_is_live_before_it_is_ready() {
    let cluster = Cluster::exclusive();
    // It looks for other members before it founds a cluster.
    let member = cluster.start();
    let http = std::net::SocketAddr::from(([127, 0, 0, 1], cluster.http_port()));
    let mut answers = Vec::new();
    let deadline = member.started() + TIMEOUT;
    while answers.last() != Some(&200) && std::time::Instant::now() < deadline {
        if let Ok(ready) = http::get(http, "/health/ready") {
            answers.push(ready.status);
            assert_eq!(http::get(http, "/health/live").unwrap().status, 200);
        }
    }
    assert_eq!(answers.last(), Some(&200), "{answers:?}");
    assert_eq!(answers.first(), Some(&503), "it looks for other members first: {answers:?}");
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    let view = member.view();
    assert_eq!(
        view.map(|view| view.0.len()),
        Some(1),
        "a view is logged before the member is ready"
    );
}

#[test]
fn metrics_are_in_the_prometheus_text_format() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.start()];
    cluster.agree(&members);
    let status = settled(&members[0], 2);
    let answer = members[0].get("/metrics").unwrap();
    assert_eq!(answer.status, 200);
    let value = |name: &str| {
        let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<f64>().ok())
    };
    assert_eq!(value("convoke_members"), Some(2.0), "{}", answer.body);
    assert_eq!(value("convoke_view_epoch"), Some(status.cluster.epoch as f64));
    assert_eq!(value("convoke_view_version"), Some(status.cluster.version as f64));
    let comments = answer.body.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert!(comments >= 3, "metrics have a TYPE line:\n{}", answer.body);
}

#[test]
fn unknown_http_paths_return_404() {
    let cluster = Cluster::new();
    let member = cluster.start();
    assert_eq!(member.get("/nonsense").unwrap().status, 404);
    assert_eq!(member.get("/health/nonsense").unwrap().status, 404);
}

#[test]
fn the_members_command_lists_the_view_of_the_member_at_a_port() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.launch().option("--name", "shop 2").start()];
    cluster.agree(&members);
    let port = members[0].http().port().to_string();
    let listing =
        cluster.launch().subcommand(&["members"], &[]).option("--port", port).run(TIMEOUT);
    assert_eq!(listing.status.code(), Some(0), "{listing:#?}");
    for member in &members {
        let http = member.http().to_string();
        assert!(listing.stdout.contains(&http), "{http} is not in {}", listing.stdout);
        assert!(listing.stdout.contains(&member.address().to_string()), "{listing:#?}");
    }
    assert!(listing.stdout.contains("shop 2"), "{listing:#?}");
    let unreachable =
        cluster.launch().subcommand(&["members"], &[]).option("--port", "1").run(TIMEOUT);
    assert_ne!(unreachable.status.code(), Some(0));
    assert!(unreachable.stderr.starts_with("error: "), "{unreachable:#?}");
}

/// The defaults that `convoke discover` shares with a member.
const DISCOVER_OPTIONS: &[&str] =
    &["--interfaces", "--start-port", "--cluster-name", "--mc-address", "--mc-port"];

#[test]
fn discover_lists_candidates_with_their_state_and_does_not_join() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.start()];
    cluster.agree(&members);
    let listing = cluster.launch().subcommand(&["discover"], DISCOVER_OPTIONS).run(TIMEOUT);
    assert_eq!(listing.status.code(), Some(0), "{listing:#?}");
    for member in &members {
        assert!(listing.stdout.contains(&member.address().to_string()), "{listing:#?}");
    }
    let free = cluster.spare_port(0);
    let list = format!("tcpip:{},127.0.0.1:{free}", members[0].address());
    let listing =
        cluster.launch().subcommand(&["discover"], DISCOVER_OPTIONS).mode(list).run(TIMEOUT);
    let lines: Vec<&str> = listing.stdout.lines().collect();
    let line_with = |address: String| lines.iter().find(|line| line.contains(&address)).copied();
    assert!(line_with(members[0].address().to_string()).is_some(), "{listing:#?}");
    let why = line_with(format!("127.0.0.1:{free}")).unwrap_or_else(|| panic!("{listing:#?}"));
    assert!(why.contains("connection refused"), "{listing:#?}");
    members[0].wait_for_lookups(AGREE_MAX, 1);
    let views = members[0].record(|record| record.views.iter().map(|(_, v)| v.0.len()).max());
    assert_eq!(views, Some(2), "it did not join");
}

#[test]
fn a_member_is_not_ready_while_it_leaves() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(2);
    let mut leaver = members.remove(1);
    let http = leaver.http();
    leaver.signal(Signal::TERM);
    // Either it answers with 503, or it has closed the port.
    while let Ok(answer) = http::get(http, "/health/ready") {
        if answer.status == 503 || !leaver.is_running() {
            break;
        }
    }
    assert_eq!(leaver.wait_exit(TIMEOUT).code(), Some(0));
}

#[test]
fn the_log_has_no_colour_codes() {
    let cluster = Cluster::new();
    let member = cluster.start();
    cluster.agree([&member]);
    let text = member.record(|record| record.text(Output::Stdout));
    assert!(!text.contains('\u{1b}'), "{text}");
    let errors = member.record(|record| record.text(Output::Stderr));
    assert_eq!(errors, "", "nothing is written to stderr");
}

#[test]
fn help_and_version_are_printed() {
    let cluster = Cluster::new();
    let help = cluster.launch().subcommand(&["--help"], &[]).run(TIMEOUT);
    assert_eq!(help.status.code(), Some(0));
    for option in ["--cluster-mode", "--interfaces", "--start-port", "--cluster-name", "--config"] {
        assert!(help.stdout.contains(option), "{}", help.stdout);
    }
    let version = cluster.launch().subcommand(&["--version"], &[]).run(TIMEOUT);
    assert_eq!(version.stdout.trim(), format!("convoke {}", env!("CARGO_PKG_VERSION")));
}
