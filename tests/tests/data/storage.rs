//! Any member serves what another one has stored, within limits of time, size and memory; pub/sub
//! reaches subscribers of all members.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Member};

use crate::keys::{expect_all, pairs, put_all, remove_all};
use crate::safe::wait_until_safe;

/// The largest value, in bytes.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// The memory limit of maps that have one, in bytes.
const MAP_BYTES_MAX: u64 = 8 << 20;

/// Two members that store data, and a lite member.
#[track_caller]
fn two_members_and_a_lite_one(cluster: &Cluster) -> Vec<Member> {
    let mut members = cluster.start_in_order(2);
    members.push(cluster.launch().flag("--lite").start());
    wait_until_safe(cluster, &members);
    members
}

/// Two members with a configuration file.
#[track_caller]
fn two_with(cluster: &Cluster, settings: &str) -> Vec<Member> {
    let file = cluster.write("settings.toml", settings).display().to_string();
    let members: Vec<Member> =
        (0..2).map(|_| cluster.launch().option("--config", &file).start()).collect();
    wait_until_safe(cluster, &members);
    members
}

fn clients(members: &[Member]) -> Vec<Client> {
    members.iter().map(Member::client).collect()
}

#[test]
fn a_value_set_through_one_member_is_readable_through_all_members() {
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    let mut clients = clients(&members);
    for by in 0..clients.len() {
        let pairs = pairs(&format!("by:{by}"), 300);
        put_all(&mut clients[by], &pairs);
        for client in &mut clients {
            expect_all(client, &pairs);
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let count = Value::Integer(1 + n as i64);
        assert_eq!(client.command("INCR count").unwrap(), count);
        assert_eq!(client.command(&format!("RPUSH list {n}")).unwrap(), count);
        assert_eq!(client.command(&format!("HSET hash field:{n} {n}")).unwrap(), Value::Integer(1));
    }
    let all = Value::List(["0", "1", "2"].map(Value::from).to_vec());
    for client in &mut clients {
        assert_eq!(client.command("GET count").unwrap(), Value::from("3"));
        assert_eq!(client.command("LRANGE list 0 -1").unwrap(), all);
        assert_eq!(client.command("HLEN hash").unwrap(), Value::Integer(3));
        assert_eq!(client.command("DBSIZE").unwrap(), Value::Integer(3 * 300 + 3));
    }
}

#[test]
fn without_a_full_member_commands_fail_and_name_the_reason() {
    let cluster = Cluster::new();
    let lite = cluster.launch().flag("--lite").start();
    let mut client = lite.client();
    for line in ["SET a 1", "INCR a", "GET a"] {
        let answer = client.command(line).unwrap();
        let text = answer.error().unwrap_or_else(|| panic!("{line}: {answer:?}"));
        assert!(text.contains("no member of the cluster stores data: all are lite"), "{text}");
    }
    let full = cluster.start();
    cluster.agree([&lite, &full]);
    assert_eq!(client.command("SET a 1").unwrap(), Value::ok());
    assert_eq!(full.client().command("GET a").unwrap(), Value::from("1"));
}

#[test]
fn the_time_to_live_counts_down_on_every_member() {
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    let mut clients = clients(&members);
    assert_eq!(clients[0].command("SET a 1 PX 600000").unwrap(), Value::ok());
    for client in &mut clients {
        let mut left = || client.command("PTTL a").unwrap().integer().unwrap();
        let (first, deadline) = (left(), Instant::now() + TIMEOUT);
        assert!((1..=600_000).contains(&first), "{first}");
        while left() >= first {
            assert!(Instant::now() < deadline, "it is still {first}");
        }
    }
}

#[test]
fn an_expired_key_is_gone_on_all_members_at_once() {
    const LIFE_MS: u64 = 400;
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    let mut clients = clients(&members);
    for round in 0..9 {
        let (by, key) = (round % clients.len(), format!("short:{round}"));
        let put = Instant::now();
        let line = format!("SET {key} 1 PX {LIFE_MS}");
        assert_eq!(clients[by].command(&line).unwrap(), Value::ok());
        // Another member is read first each time.
        clients.rotate_left(1);
        let get = format!("GET {key}");
        while clients[by].command(&get).unwrap() != Value::Nil {
            assert!(put.elapsed() < TIMEOUT, "it is still there");
        }
        let lived = put.elapsed();
        assert!(lived >= Duration::from_millis(LIFE_MS / 2), "it lived for {lived:?} only");
        for client in &mut clients {
            assert_eq!(client.command(&get).unwrap(), Value::Nil);
            assert_eq!(client.command(&format!("PTTL {key}")).unwrap(), Value::Integer(-2));
        }
    }
}

#[test]
fn a_value_of_one_mebibyte_is_readable_through_all_members() {
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    let mut clients = clients(&members);
    for by in 0..clients.len() {
        let (key, byte) = (format!("long:{by}"), b'a' + by as u8);
        let value = vec![byte; 1 << 20];
        assert_eq!(clients[by].call(&[b"SET", key.as_bytes(), &value]).unwrap(), Value::ok());
        for client in &mut clients {
            assert_eq!(client.command(&format!("GET {key}")).unwrap(), Value::Bytes(value.clone()));
        }
    }
}

#[test]
fn a_value_at_the_size_limit_is_accepted_and_a_larger_one_is_refused() {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(2);
    wait_until_safe(&cluster, &members);
    let mut clients = clients(&members);
    let value = vec![b'x'; VALUE_BYTES_MAX];
    assert_eq!(clients[0].call(&[b"SET", b"longest", &value]).unwrap(), Value::ok());
    let longest = Value::Integer(VALUE_BYTES_MAX as i64);
    for client in &mut clients {
        assert_eq!(client.command("STRLEN longest").unwrap(), longest);
        let grown = client.command("APPEND longest y").unwrap();
        assert!(
            grown.error().is_some_and(|text| text.contains("maximum allowed size")),
            "{grown:?}"
        );
        assert_eq!(client.command("STRLEN longest").unwrap(), longest, "it is unchanged");
        let back = client.command("GET longest").unwrap();
        assert!(back.bytes() == Some(&value), "{back:?}");
    }
    // A refused length closes the connection, since what follows is not a request.
    let mut over = members[0].client();
    let head = format!("*3\r\n$3\r\nSET\r\n$4\r\nover\r\n${}\r\n", VALUE_BYTES_MAX + 1);
    over.send_bytes(head.as_bytes()).unwrap();
    let answers = over.drain().unwrap();
    assert_eq!(answers, [Value::Error("ERR Protocol error: invalid bulk length".to_owned())]);
    assert_eq!(clients[1].command("EXISTS over").unwrap(), Value::Integer(0));
}

/// Such a request arrives in many segments.
#[test]
fn a_request_with_many_small_arguments_is_executed() {
    const PAIRS: usize = 30_000;
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    for (by, member) in members.iter().enumerate() {
        let mut client = member.client();
        let pairs = pairs(&format!("many:{by}"), PAIRS);
        let texts = pairs.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
        let words: Vec<&[u8]> = std::iter::once(&b"MSET"[..]).chain(texts).collect();
        assert_eq!(client.call(&words).unwrap(), Value::ok());
        let texts = pairs.iter().map(|(key, _)| key.as_bytes());
        let words: Vec<&[u8]> = std::iter::once(&b"EXISTS"[..]).chain(texts).collect();
        assert_eq!(client.call(&words).unwrap(), Value::Integer(PAIRS as i64));
    }
}

#[test]
fn a_full_map_without_eviction_refuses_writes_and_serves_reads() {
    let cluster = Cluster::new();
    let settings = "[maps.\"resp:0\"]\nmemory-mib = 8\neviction = \"none\"\n";
    let members = two_with(&cluster, settings);
    let mut clients = clients(&members);
    let value = "v".repeat(16 << 10);
    let mut put = Vec::new();
    let refusal = loop {
        let pair = (format!("full:{}", put.len()), value.clone());
        assert!(put.len() < 2 * MAP_BYTES_MAX as usize / value.len(), "the map is never full");
        let client = &mut clients[put.len() % 2];
        match client.call(&[b"SET", pair.0.as_bytes(), pair.1.as_bytes()]).unwrap() {
            Value::Error(text) => break text,
            answer => assert_eq!(answer, Value::ok()),
        }
        put.push(pair);
    };
    assert!(refusal.starts_with("OOM command not allowed"), "{refusal}");
    let bytes = put.len() * value.len();
    assert!(bytes > MAP_BYTES_MAX as usize / 2, "full with {bytes} bytes");
    for client in &mut clients {
        expect_all(client, &put);
        assert_eq!(
            client.command(&format!("EXISTS full:{}", put.len())).unwrap(),
            Value::Integer(0)
        );
        assert_eq!(client.command("SELECT 1").unwrap(), Value::ok());
        assert_eq!(client.command("SET other 1").unwrap(), Value::ok(), "another map is not full");
        assert_eq!(client.command("SELECT 0").unwrap(), Value::ok());
    }
    let rest = put.split_off(put.len() / 2);
    remove_all(&mut clients[0], &rest);
    put_all(&mut clients[1], &pairs("again", 100));
    expect_all(&mut clients[0], &put);
}

#[test]
fn a_growing_key_is_refused_at_the_memory_limit_of_its_map() {
    let cluster = Cluster::new();
    let settings = "[maps.\"resp:0\"]\nmemory-mib = 8\neviction = \"none\"\n";
    let members = two_with(&cluster, settings);
    let mut client = members[0].client();
    let text = "v".repeat(16 << 10);
    // At most twice the limit: tables and pending writes count as well.
    let most = 2 * MAP_BYTES_MAX as usize / text.len();
    for command in [
        "APPEND k",
        "RPUSH k",
        "LPUSH k",
        "SADD k N",
        "HSET k N",
        "HSETNX k N",
        "ZADD k 1 N",
        "HINCRBYFLOAT k N 1",
    ] {
        let is_refused = (0..most).any(|n| {
            // Where a member or field is added, its name is as long as a value.
            let words = command.split(' ').map(|word| match word {
                "N" if command.starts_with("HSET") => n.to_string(),
                "N" => format!("{n}{text}"),
                word => word.to_owned(),
            });
            let mut words: Vec<String> = words.collect();
            if !command.contains(" N") || command.starts_with("HSET") {
                words.push(text.clone());
            }
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            match client.call(&words).unwrap() {
                Value::Error(text) => text.starts_with("OOM"),
                _ => false,
            }
        });
        assert!(is_refused, "{command}: never refused");
        assert_eq!(client.command("DEL k").unwrap(), Value::Integer(1));
    }
}

#[test]
fn a_map_with_lru_eviction_stays_within_its_memory_limit() {
    const WRITES: usize = 48_000;
    let cluster = Cluster::new();
    let settings = "[maps.\"resp:0\"]\nmemory-mib = 8\neviction = \"lru\"\n";
    let members = two_with(&cluster, settings);
    let mut clients = clients(&members);
    let bytes = |member: &Member, what: &str| {
        let data = member.status().data;
        let maps = data["maps"].as_array().expect("a list of maps");
        let map = maps.iter().find(|map| map["name"] == "resp:0").expect("the map");
        map[what].as_u64().expect("a number")
    };
    // Concurrent writes of both members may exceed the limit slightly.
    let most = MAP_BYTES_MAX + MAP_BYTES_MAX / 8;
    let value = "v".repeat(1_000);
    let all: Vec<(String, String)> =
        (0..WRITES).map(|n| (format!("lru:{n}"), value.clone())).collect();
    for (round, some) in all.chunks(2_000).enumerate() {
        put_all(&mut clients[round % 2], some);
        for member in &members {
            let held = bytes(member, "bytes");
            assert!(held <= most, "{held} bytes after {round} rounds, of {MAP_BYTES_MAX}");
        }
        // The latest write is not evicted.
        expect_all(&mut clients[0], &some[some.len() - 1..]);
    }
    let (first, last) = (&all[0].0, bytes(&members[0], "bytes"));
    assert!(last > MAP_BYTES_MAX / 2, "{last} bytes: more was evicted than necessary");
    assert_eq!(
        clients[1].command(&format!("GET {first}")).unwrap(),
        Value::Nil,
        "the oldest key is evicted"
    );
    let evicted: u64 = members.iter().map(|member| bytes(member, "evicted")).sum();
    assert!(evicted > WRITES as u64 / 2, "{evicted} were evicted");
}

#[test]
fn a_map_with_eviction_accepts_values_of_all_sizes_below_its_limit() {
    let cluster = Cluster::new();
    let settings = "[maps.\"resp:0\"]\nmemory-mib = 8\neviction = \"lru\"\n";
    let members = two_with(&cluster, settings);
    let mut clients = clients(&members);
    let mut put = |number: usize, bytes: usize| {
        let (key, value) = (format!("k:{number}"), vec![b'v'; bytes]);
        clients[number % 2].call(&[b"SET", key.as_bytes(), &value]).unwrap()
    };
    let (small, mib) = (4 << 10, 1 << 20);
    let sizes =
        [(40, mib), (20, 3 * mib), (10, 5 * mib), (3_000, small), (1, 6 * mib), (500, small)];
    let mut number = 0;
    for (count, bytes) in sizes {
        for _ in 0..count {
            assert_eq!(put(number, bytes), Value::ok(), "key {number} of {bytes} bytes");
            number += 1;
        }
    }
    let refusal = put(number, 9 * mib);
    assert!(refusal.error().is_some_and(|text| text.starts_with("OOM ")), "{refusal:?}");
    let answer = clients[0].command(&format!("STRLEN k:{}", number - 1)).unwrap();
    assert_eq!(
        answer,
        Value::Integer(small as i64),
        "nothing is evicted for a value that does not fit"
    );
}

#[test]
fn a_subscriber_that_does_not_read_is_disconnected() {
    let cluster = Cluster::exclusive();
    let member = cluster.start();
    // It does not read any messages.
    let _slow = subscriber(&member, "news");
    let mut client = member.client();
    let payload = vec![b'p'; 1 << 20];
    // More than the output buffer of a client and the socket buffers hold.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let reached = client.call(&[b"PUBLISH", b"news", &payload]).unwrap();
        if reached == Value::Integer(0) {
            break;
        }
        assert!(Instant::now() < deadline, "the subscriber is still counted");
    }
    let list = client.command("CLIENT LIST TYPE pubsub").unwrap();
    assert_eq!(list, Value::from(""), "it is not connected any more");
}

#[test]
fn a_slow_subscriber_receives_all_buffered_messages() {
    const MESSAGES: usize = 1_500;
    let cluster = Cluster::exclusive();
    let member = cluster.start();
    let mut behind = subscriber(&member, "news");
    let mut client = member.client();
    // Less than the output buffer of a client, and more than the socket buffers hold.
    let payload = |number: usize| format!("{number:020000}");
    for first in (0..MESSAGES).step_by(100) {
        let requests: Vec<Vec<String>> = (first..first + 100)
            .map(|number| vec!["PUBLISH".to_owned(), "news".to_owned(), payload(number)])
            .collect();
        client.call_all(&requests).unwrap();
    }
    for number in 0..MESSAGES {
        assert_eq!(message(&mut behind, "news"), payload(number));
    }
}

/// A subscriber, after its subscription was confirmed.
#[track_caller]
fn subscriber(member: &Member, topic: &str) -> Client {
    let mut client = member.client();
    let answer = client.command(&format!("SUBSCRIBE {topic}")).unwrap();
    let expected = [Value::from("subscribe"), Value::from(topic), Value::Integer(1)];
    assert_eq!(answer.list(), Some(&expected[..]));
    client
}

/// The payload of the next message.
#[track_caller]
fn message(subscriber: &mut Client, topic: &str) -> String {
    let message = subscriber.receive().unwrap();
    match message.list() {
        Some([word, of, Value::Bytes(payload)])
            if *word == Value::from("message") && *of == Value::from(topic) =>
        {
            String::from_utf8_lossy(payload).into_owned()
        }
        _ => panic!("not a message of {topic:?}: {message:?}"),
    }
}

#[test]
fn messages_are_delivered_once_and_in_order_to_subscribers_of_all_members() {
    const MESSAGES: usize = 500;
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    let mut subscribers: Vec<Client> =
        members.iter().chain(&members).map(|member| subscriber(member, "news")).collect();
    let reached = Value::Integer(subscribers.len() as i64);
    thread::scope(|scope| {
        for (by, member) in members.iter().enumerate() {
            let mut client = member.client();
            let reached = &reached;
            scope.spawn(move || {
                let request =
                    |n| vec!["PUBLISH".to_owned(), "news".to_owned(), format!("{by}:{n}")];
                let requests: Vec<Vec<String>> = (0..MESSAGES).map(request).collect();
                let answers = client.call_all(&requests).unwrap();
                assert!(answers.iter().all(|answer| answer == reached), "{answers:?}");
            });
        }
    });
    let end = members[0].client().command("PUBLISH news end").unwrap();
    assert_eq!(end, reached);
    for (at, subscriber) in subscribers.iter_mut().enumerate() {
        let mut next = vec![0; members.len()];
        loop {
            let payload = message(subscriber, "news");
            if payload == "end" {
                break;
            }
            let (by, n) = payload.split_once(':').expect("it was published here");
            let (by, n): (usize, usize) = (by.parse().unwrap(), n.parse().unwrap());
            assert_eq!(n, next[by], "subscriber {at} of publisher {by}");
            next[by] += 1;
        }
        assert_eq!(next, vec![MESSAGES; members.len()], "subscriber {at}");
    }
}

#[test]
fn configured_notifications_apply_until_a_client_sets_others() {
    const TOPIC: &str = "__keyevent@0__:set";
    const GET: &str = "CONFIG GET notify-keyspace-events";
    let cluster = Cluster::new();
    let configured = cluster.launch().option("--notify-keyspace-events", "E$").start();
    // The first client does not need to set anything.
    let mut listener = subscriber(&configured, TOPIC);
    let mut writer = configured.client();
    assert_eq!(writer.command("SET first 1").unwrap(), Value::ok());
    assert_eq!(message(&mut listener, TOPIC), "first");
    // Another member has its own configuration: no notifications.
    let other = cluster.start();
    cluster.agree([&configured, &other]);
    let shown = |client: &mut Client| -> Value {
        let shown = client.command(GET).unwrap();
        shown.list().and_then(|pair| pair.last()).cloned().unwrap()
    };
    let mut at_other = other.client();
    assert_eq!(shown(&mut writer), Value::from("$E"));
    assert_eq!(shown(&mut at_other), Value::from(""));
    // A setting made by a client on either member applies to both.
    for (is_other, letters, expected) in [(true, "Ex", "xE"), (false, "", "")] {
        let setter = if is_other { &mut at_other } else { &mut writer };
        let words = ["CONFIG", "SET", "notify-keyspace-events", letters].map(str::as_bytes);
        assert_eq!(setter.call(&words).unwrap(), Value::ok());
        let deadline = Instant::now() + TIMEOUT;
        while [&mut writer, &mut at_other].map(shown) != [expected, expected].map(Value::from) {
            assert!(Instant::now() < deadline, "{letters:?} is not on both members");
        }
    }
}

#[test]
fn expired_events_are_delivered_once_to_subscribers_of_all_members() {
    const TOPIC: &str = "__keyevent@0__:expired";
    const KEYS: usize = 30;
    let cluster = Cluster::new();
    let members = two_members_and_a_lite_one(&cluster);
    let mut writer = members[0].client();
    assert_eq!(writer.command("CONFIG SET notify-keyspace-events Ex").unwrap(), Value::ok());
    let mut subscribers: Vec<Client> =
        members.iter().chain(&members).map(|member| subscriber(member, TOPIC)).collect();
    // The setting and the subscriptions spread asynchronously: they have reached all members once
    // each subscriber has received events of keys of all partitions that are used here.
    let deadline = Instant::now() + TIMEOUT;
    for subscriber in &mut subscribers {
        subscriber.set_timeout(Duration::from_millis(300));
        let mut received = Vec::new();
        while received.len() < KEYS {
            assert!(Instant::now() < deadline, "only {received:?} were received");
            for n in 0..KEYS {
                let line = format!("SET before:{n} 1 PX 1");
                assert_eq!(writer.command(&line).unwrap(), Value::ok());
            }
            while let Ok(value) = subscriber.receive() {
                let key = value.list().and_then(|all| all.last()).cloned();
                if !received.contains(&key) {
                    received.push(key);
                }
            }
        }
        subscriber.set_timeout(TIMEOUT);
    }
    for n in 0..KEYS {
        assert_eq!(writer.command(&format!("SET once:{n} 1 PX 50")).unwrap(), Value::ok());
    }
    let mut is_gone = |n| writer.command(&format!("EXISTS once:{n}")).unwrap() == Value::Integer(0);
    for n in 0..KEYS {
        let deadline = Instant::now() + TIMEOUT;
        while !is_gone(n) {
            assert!(Instant::now() < deadline, "once:{n} is still there");
        }
    }
    // One more key of each partition marks the end.
    for n in 0..KEYS {
        assert_eq!(writer.command(&format!("SET {{once:{n}}}:end 1 PX 1")).unwrap(), Value::ok());
    }
    for (at, subscriber) in subscribers.iter_mut().enumerate() {
        let (mut events, mut ends) = (vec![0; KEYS], 0);
        while ends < KEYS {
            let key = message(subscriber, TOPIC);
            ends += usize::from(key.ends_with(":end"));
            let number = key.strip_prefix("once:").and_then(|n| n.parse::<usize>().ok());
            if let Some(number) = number {
                events[number] += 1;
            }
        }
        assert_eq!(events, vec![1; KEYS], "subscriber {at}");
    }
}
