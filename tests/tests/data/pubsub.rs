//! `PUBSUB` returns the same counts on every member.

use std::time::Instant;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use super::safe::wait_until_safe;

fn subscribed(member: &Member, line: &str) -> Client {
    let mut client = member.client();
    client.command(line).unwrap();
    client
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.list().unwrap_or_default();
    let text = |value: &Value| String::from_utf8_lossy(value.bytes().unwrap()).into_owned();
    list.iter().map(text).collect()
}

/// `PUBSUB NUMSUB news other`.
fn counts(client: &mut Client) -> Vec<i64> {
    let answer = client.command("PUBSUB NUMSUB news other").unwrap();
    answer.list().unwrap().iter().filter_map(Value::integer).collect()
}

#[test]
fn pubsub_counts_the_subscribers_of_all_members() {
    let cluster = Cluster::exclusive();
    let members: Vec<Member> = (0..3).map(|_| cluster.start()).collect();
    wait_until_safe(&cluster, &members);
    let lines = ["SUBSCRIBE news a", "SUBSCRIBE news b", "PSUBSCRIBE n* m*"];
    let subscribers: Vec<Client> =
        members.iter().zip(lines).map(|(member, line)| subscribed(member, line)).collect();
    let _again = subscribed(&members[0], "PSUBSCRIBE n*");
    for member in &members {
        let mut client = member.client();
        assert_eq!(counts(&mut client), [2, 0]);
        assert_eq!(texts(&client.command("PUBSUB CHANNELS").unwrap()), ["a", "b", "news"]);
        assert_eq!(texts(&client.command("PUBSUB CHANNELS n*").unwrap()), ["news"]);
        assert_eq!(
            client.command("PUBSUB NUMPAT").unwrap(),
            Value::Integer(2),
            "each pattern is counted once"
        );
        assert_eq!(client.command("PUBLISH news x").unwrap(), Value::Integer(4));
        assert_eq!(client.command("PUBSUB NUMSUB").unwrap().list().unwrap().len(), 0);
    }
    drop(subscribers);
    let mut client = members[2].client();
    let start = Instant::now();
    while counts(&mut client) != [0, 0] {
        assert!(start.elapsed() < TIMEOUT, "they are still counted");
    }
}

#[test]
fn a_member_that_does_not_answer_is_not_counted_after_a_second() {
    let cluster = Cluster::exclusive();
    let members: Vec<Member> = (0..2).map(|_| cluster.start()).collect();
    wait_until_safe(&cluster, &members);
    let _subscribers: Vec<Client> =
        members.iter().map(|member| subscribed(member, "SUBSCRIBE news")).collect();
    let mut client = members[0].client();
    assert_eq!(counts(&mut client), [2, 0]);
    members[1].signal(Signal::STOP);
    let start = Instant::now();
    assert_eq!(counts(&mut client), [1, 0]);
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    members[1].signal(Signal::CONT);
}

#[test]
fn a_redis_cluster_node_counts_its_own_subscribers_only() {
    let cluster = Cluster::exclusive();
    let node = || cluster.launch().flag("--redis-cluster").start();
    let members: Vec<Member> = (0..2).map(|_| node()).collect();
    wait_until_safe(&cluster, &members);
    let _subscriber = subscribed(&members[0], "SUBSCRIBE news");
    let counted: Vec<_> = members.iter().map(|member| counts(&mut member.client())).collect();
    assert_eq!(counted, [[1, 0], [0, 0]]);
}
