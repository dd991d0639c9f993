//! What a member says of the cluster to clients that know Redis Cluster, and to others.

use convoke_tests::cluster::SOON;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Launch, Member};

use super::safe::wait_until_safe;

#[test]
fn without_the_option_a_member_answers_as_a_redis_that_is_no_cluster() {
    let cluster = Cluster::alone();
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
        assert_eq!(client.ask(line).unwrap().error(), Some(disabled), "{line}");
    }
    let info = client.ask("INFO cluster").unwrap();
    let info = String::from_utf8_lossy(info.bytes().unwrap()).into_owned();
    assert!(info.contains("cluster_enabled:0"), "{info}");
    let unknown = client.ask("CLUSTER NONSENSE").unwrap();
    assert!(unknown.error().unwrap().contains("unknown subcommand"), "{unknown:?}");
}

fn text(client: &mut convoke_tests::resp::Client, line: &str) -> String {
    let answer = client.ask(line).unwrap();
    let bytes = answer.bytes().or_else(|| answer.error().map(str::as_bytes));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// Two nodes, the first of which is dialled otherwise than it listens.
fn pair<'c>(cluster: &'c Cluster, change: impl FnOnce(Launch<'c>) -> Launch<'c>) -> Vec<Member> {
    let node = || cluster.launch().flag("--redis-cluster");
    let members = vec![change(node()).start(), node().start()];
    wait_until_safe(cluster, &members);
    members
}

#[test]
fn clients_are_sent_where_the_operator_says_that_they_dial() {
    let cluster = Cluster::alone();
    let members = pair(&cluster, |launch| {
        launch
            .option("--resp-public-address", "cache-1.example:7777")
            .option("--http-public-address", ":8888")
    });
    let mut client = members[1].client();
    let slots = client.ask("CLUSTER SLOTS").unwrap();
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
    let shards = format!("{:?}", client.ask("CLUSTER SHARDS").unwrap());
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
fn what_is_left_out_of_an_address_for_clients_stays_as_it_is() {
    let cluster = Cluster::alone();
    let members = pair(&cluster, |launch| launch.option("--resp-public-address", "192.0.2.7"));
    let (mut client, port) = (members[1].client(), members[0].resp().port());
    let nodes = text(&mut client, "CLUSTER NODES");
    assert!(nodes.contains(&format!(" 192.0.2.7:{port}@{} ", u32::from(port) + 10_000)), "{nodes}");
}

#[test]
fn an_address_for_clients_is_read_with_care() {
    let cluster = Cluster::new();
    for option in ["--resp-public-address", "--http-public-address"] {
        for wrong in ["", ":0", "7000", "a:70000", "0.0.0.0", "two words"] {
            let ended = cluster.launch().flag(&format!("{option}={wrong}")).run(SOON);
            let line = ended.refusal();
            assert!(line.contains(option) && line.contains("or :port"), "{line}");
        }
    }
}
