//! Who subscribed is one answer, whichever member is asked.

use std::time::Instant;

use convoke_tests::cluster::SOON;
use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use super::safe::wait_until_safe;

fn subscribed(member: &Member, line: &str) -> Client {
    let mut client = member.client();
    client.ask(line).unwrap();
    client
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.list().unwrap_or_default();
    let text = |value: &Value| String::from_utf8_lossy(value.bytes().unwrap()).into_owned();
    list.iter().map(text).collect()
}

/// `PUBSUB NUMSUB news other`.
fn counts(client: &mut Client) -> Vec<i64> {
    let answer = client.ask("PUBSUB NUMSUB news other").unwrap();
    answer.list().unwrap().iter().filter_map(Value::integer).collect()
}

#[test]
fn subscribers_are_counted_on_all_members_as_publish_reaches_them() {
    let cluster = Cluster::alone();
    let members: Vec<Member> = (0..3).map(|_| cluster.start()).collect();
    wait_until_safe(&cluster, &members);
    let lines = ["SUBSCRIBE news a", "SUBSCRIBE news b", "PSUBSCRIBE n* m*"];
    let subscribers: Vec<Client> =
        members.iter().zip(lines).map(|(member, line)| subscribed(member, line)).collect();
    let _again = subscribed(&members[0], "PSUBSCRIBE n*");
    for member in &members {
        let mut client = member.client();
        assert_eq!(counts(&mut client), [2, 0]);
        assert_eq!(texts(&client.ask("PUBSUB CHANNELS").unwrap()), ["a", "b", "news"]);
        assert_eq!(texts(&client.ask("PUBSUB CHANNELS n*").unwrap()), ["news"]);
        assert_eq!(client.ask("PUBSUB NUMPAT").unwrap(), Value::Integer(2), "each pattern once");
        assert_eq!(client.ask("PUBLISH news x").unwrap(), Value::Integer(4));
        assert_eq!(client.ask("PUBSUB NUMSUB").unwrap().list().unwrap().len(), 0);
    }
    drop(subscribers);
    let mut client = members[2].client();
    let start = Instant::now();
    while counts(&mut client) != [0, 0] {
        assert!(start.elapsed() < SOON, "they are gone");
    }
}

#[test]
fn a_member_that_does_not_answer_is_left_out_after_a_second() {
    let cluster = Cluster::alone();
    let members: Vec<Member> = (0..2).map(|_| cluster.start()).collect();
    wait_until_safe(&cluster, &members);
    let _subscribers: Vec<Client> =
        members.iter().map(|member| subscribed(member, "SUBSCRIBE news")).collect();
    let mut client = members[0].client();
    assert_eq!(counts(&mut client), [2, 0]);
    members[1].signal(Signal::STOP);
    let start = Instant::now();
    assert_eq!(counts(&mut client), [1, 0]);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    members[1].signal(Signal::CONT);
}

#[test]
fn a_node_of_a_redis_cluster_answers_for_itself() {
    let cluster = Cluster::alone();
    let node = || cluster.launch().flag("--redis-cluster").start();
    let members: Vec<Member> = (0..2).map(|_| node()).collect();
    wait_until_safe(&cluster, &members);
    let _subscriber = subscribed(&members[0], "SUBSCRIBE news");
    let counted: Vec<_> = members.iter().map(|member| counts(&mut member.client())).collect();
    assert_eq!(counted, [[1, 0], [0, 0]]);
}
