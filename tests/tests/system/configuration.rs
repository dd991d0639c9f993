//! The same options on the command line, in the environment and in a file, in every accepted
//! spelling; and modes from component files.

use std::fs;

use convoke_tests::{Cluster, binary};

#[test]
fn payara_spellings_of_options_are_accepted() {
    let cluster = Cluster::new();
    let group = cluster.group();
    let first = cluster.start();
    cluster.agree([&first]);
    let second = cluster
        .launch()
        .option("--startPort", cluster.start_port().to_string())
        .option("--clusterName", cluster.name())
        .option("--mcAddress", group.ip().to_string())
        .option("--MCPORT", group.port().to_string())
        .option("--clustermode", "multicast")
        .flag("--autobindhttp")
        .option("--autoBindRange", "60")
        .option("--instancegroup", "MicroShoal")
        .start();
    cluster.agree([&first, &second]);
    assert_eq!(second.status().member.group, "MicroShoal");
    assert_eq!(second.address().port(), cluster.start_port() + 1);
}

#[test]
fn every_command_line_option_can_be_set_in_a_file() {
    let cluster = Cluster::new();
    let (group, start_port) = (cluster.group(), cluster.start_port());
    let first = cluster.start();
    let text = format!(
        "cluster-name = \"{}\"\nmc-address = \"{}\"\nmc-port = {}\nstart-port = {}\n\
         interfaces = [\"127.0.0.1\"]\nport = {}\nauto-bind-http = true\nauto-bind-range = 60\n\
         name = \"from the file\"\ngroup = \"files\"\nlite = true\n",
        cluster.name(),
        group.ip(),
        group.port(),
        start_port + 7,
        cluster.http_port(),
    );
    // Loaded without `--config`, since it is in the working directory.
    cluster.write("convoke.toml", text);
    let second = ["--interfaces", "--auto-bind-http", "--auto-bind-range", "--port"]
        .into_iter()
        .chain(["--start-port", "--cluster-name", "--mc-address", "--mc-port"])
        .fold(cluster.launch(), convoke_tests::Launch::without)
        .start();
    cluster.agree([&first, &second]);
    let member = second.status().member;
    assert_eq!((member.name.as_str(), member.group.as_str()), ("from the file", "files"));
    assert_eq!((member.address.port(), member.lite), (start_port + 7, true));
}

#[test]
fn the_command_line_overrides_the_environment_which_overrides_the_file() {
    let cluster = Cluster::new();
    let config = cluster.write("a.toml", "name = \"file\"\ngroup = \"file\"\n");
    let launch = || cluster.launch().option("--config", config.display().to_string());
    let shown = |launch: convoke_tests::Launch<'_>| {
        let member = launch.start().status().member;
        (member.name, member.group)
    };
    let pair = |name: &str, group: &str| (name.to_owned(), group.to_owned());
    assert_eq!(shown(launch()), pair("file", "file"));
    assert_eq!(shown(launch().env("CONVOKE_NAME", "env")), pair("env", "file"));
    let both = launch().env("CONVOKE_NAME", "env").env("CONVOKE_GROUP", "env");
    assert_eq!(shown(both.option("--name", "line")), pair("line", "env"));
}

#[test]
fn modes_in_a_file_work_like_those_on_the_command_line() {
    let cluster = Cluster::new();
    let (by_multicast, by_list) = (cluster.start(), cluster.start_tcpip("127.0.0.1:1"));
    cluster.agree([&by_multicast]);
    cluster.agree([&by_list]);
    let text = format!(
        "[[discovery]]\nmode = \"multicast\"\n\n[[discovery]]\nmode = \"tcpip\"\nargument = \"{}\"\n",
        by_list.address()
    );
    let config = cluster.write("a.toml", text);
    let bridge = cluster.launch().option("--config", config.display().to_string()).start();
    cluster.agree([&by_multicast, &by_list, &bridge]);
    let modes: Vec<String> = bridge.status().modes.into_iter().map(|mode| mode.name).collect();
    assert_eq!(modes, ["multicast", "tcpip"]);
}

/// A component file under a name that is not built in, as of a third-party mode.
fn write_mylist(cluster: &Cluster, argument: &str) -> String {
    fs::copy(binary::mode("tcpip"), cluster.folder().join("mylist.wasm")).unwrap();
    let text = format!(
        "[[discovery]]\nmode = \"mylist\"\nplugin = \"mylist.wasm\"\nargument = \"{argument}\"\n\
         settings = {{ start-port = {} }}\n",
        cluster.start_port()
    );
    cluster.write("a.toml", text).display().to_string()
}

#[test]
fn a_mode_from_a_component_file_finds_members_like_a_built_in_one() {
    let cluster = Cluster::new();
    let first = cluster.start();
    let config = write_mylist(&cluster, &first.address().to_string());
    let second = cluster.launch().option("--config", config).start();
    cluster.agree([&first, &second]);
    assert_eq!(second.status().modes[0].name, "mylist");
}

#[test]
fn the_command_line_overrides_the_argument_of_a_mode_in_the_file() {
    let cluster = Cluster::new();
    let first = cluster.start();
    let config = write_mylist(&cluster, "127.0.0.1:1");
    let launch = cluster.launch().option("--config", config);
    let second = launch.mode(format!("mylist:{}", first.address())).start();
    cluster.agree([&first, &second]);
}

#[test]
fn no_cluster_runs_a_single_member_without_a_member_port() {
    let cluster = Cluster::new();
    let other = cluster.start();
    cluster.agree([&other]);
    let lone = cluster.launch().flag("--no-cluster").start();
    assert_eq!(lone.ready().member, None, "it has no member port");
    assert_eq!(lone.get("/health/ready").unwrap().status, 200);
    let next = other.address().port() + 1;
    for port in [next, next + 1] {
        std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        std::net::UdpSocket::bind(("127.0.0.1", port)).expect("the port is free");
    }
    cluster.agree([&other]);
}
