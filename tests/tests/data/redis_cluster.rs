//! CLUSTER commands, with and without `--redis-cluster`, and the addresses advertised to clients.

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Launch, Member};

use super::safe::wait_until_safe;

#[test]
fn without_redis_cluster_a_member_answers_like_a_standalone_redis() {
    let cluster = Cluster::exclusive();
    let member = cluster.start();
    let mut client = member.client();
    let disabled = "ERR This instance has cluster support disabled";
    for line in [
        "CLUSTER SLOTS",
        "CLUSTER SHARDS",
        "CLUSTER NODES",
        "CLUSTER INFO",
        "CLUSTER MYID",
        "CLUSTER KEYSLOT k",
        "CLUSTER COUNTKEYSINSLOT 1",
        "CLUSTER GETKEYSINSLOT 1 1",
        "CLUSTER HELP",
        "READONLY",
        "READWRITE",
        "ASKING",
    ] {
        assert_eq!(client.command(line).unwrap().error(), Some(disabled), "{line}");
    }
    let info = client.command("INFO cluster").unwrap();
    let info = String::from_utf8_lossy(info.bytes().unwrap()).into_owned();
    assert!(info.contains("cluster_enabled:0"), "{info}");
    let unknown = client.command("CLUSTER NONSENSE").unwrap();
    assert!(unknown.error().unwrap().contains("unknown subcommand"), "{unknown:?}");
}

fn text(client: &mut convoke_tests::resp::Client, line: &str) -> String {
    let answer = client.command(line).unwrap();
    let bytes = answer.bytes().or_else(|| answer.error().map(str::as_bytes));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Two nodes, the first of which advertises another address than it listens on.
fn pair<'c>(cluster: &'c Cluster, change: impl FnOnce(Launch<'c>) -> Launch<'c>) -> Vec<Member> {
    let node = || cluster.launch().flag("--redis-cluster");
    let members = vec![change(node()).start(), node().start()];
    wait_until_safe(cluster, &members);
    members
}

#[test]
fn clients_are_redirected_to_the_public_addresses() {
    let cluster = Cluster::exclusive();
    let members = pair(&cluster, |launch| {
        launch
            .option("--resp-public-address", "cache-1.example:7777")
            .option("--http-public-address", ":8888")
    });
    let mut client = members[1].client();
    let slots = client.command("CLUSTER SLOTS").unwrap();
    let named = slots.list().unwrap().iter().any(|run| {
        let node = run.list().unwrap()[2].list().unwrap();
        let metadata = node[3].list().unwrap();
        node[0] == Value::Bytes(b"cache-1.example".to_vec())
            && node[1] == Value::Integer(7777)
            && *metadata == [Value::Bytes(b"ip".to_vec()), Value::Bytes(b"127.0.0.1".to_vec())]
    });
    assert!(named, "{slots:?}");
    let nodes = text(&mut client, "CLUSTER NODES");
    assert!(nodes.contains(" 127.0.0.1:7777@17777,cache-1.example "), "{nodes}");
    let shards = format!("{:?}", client.command("CLUSTER SHARDS").unwrap());
    assert!(!shards.is_empty());
    let moved = (0..100).map(|key| text(&mut client, &format!("GET k:{key}")));
    let moved: Vec<String> = moved.filter(|answer| answer.starts_with("MOVED ")).collect();
    assert!(!moved.is_empty());
    assert!(moved.iter().all(|answer| answer.ends_with(" cache-1.example:7777")), "{moved:?}");
    let status = members[1].get("/status").unwrap();
    let body = &status.body;
    for shown in
        ["\"http_address\":\"127.0.0.1:8888\"", "\"resp_address\":\"cache-1.example:7777\""]
    {
        assert!(body.contains(shown), "{shown} is not in {body}");
    }
}

#[test]
fn a_public_address_without_a_port_keeps_the_port() {
    let cluster = Cluster::exclusive();
    let members = pair(&cluster, |launch| launch.option("--resp-public-address", "192.0.2.7"));
    let (mut client, port) = (members[1].client(), members[0].resp().port());
    let nodes = text(&mut client, "CLUSTER NODES");
    assert!(nodes.contains(&format!(" 192.0.2.7:{port}@{} ", u32::from(port) + 10_000)), "{nodes}");
}

#[test]
fn public_addresses_for_clients_are_validated() {
    let cluster = Cluster::new();
    for option in ["--resp-public-address", "--http-public-address"] {
        for wrong in ["", ":0", "7000", "a:70000", "0.0.0.0", "two words"] {
            let ended = cluster.launch().flag(&format!("{option}={wrong}")).run(TIMEOUT);
            let line = ended.refusal();
            assert!(line.contains(option) && line.contains("or :port"), "{line}");
        }
    }
}
