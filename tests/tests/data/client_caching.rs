//! Client-side caching over several members: a client keeps no old value.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Member};

use crate::safe::wait_until_safe;

/// Keys of all partitions and primaries.
const KEYS: u64 = 300;
/// From an acknowledged write to its invalidation message, while a member is lost.
const INVALIDATION_MAX: Duration = Duration::from_secs(20);
/// How long a read of messages waits.
const MESSAGES_WAIT: Duration = Duration::from_millis(20);

/// A client that caches what it reads.
struct Cache {
    reader: Client,
    /// Receives the invalidation messages.
    messages: Client,
    values: BTreeMap<Vec<u8>, Value>,
    /// Messages about all keys.
    flushes: usize,
}

impl Cache {
    fn on(member: &Member) -> Self {
        let (mut reader, mut messages) = (member.client(), member.client());
        let id = messages.command("CLIENT ID").unwrap().integer().expect("a number");
        messages.command("SUBSCRIBE __redis__:invalidate").expect("it subscribes");
        messages.set_timeout(MESSAGES_WAIT);
        let on = reader.command(&format!("CLIENT TRACKING ON REDIRECT {id}"));
        assert_eq!(on.unwrap(), Value::ok());
        Self { reader, messages, values: BTreeMap::new(), flushes: 0 }
    }

    fn read(&mut self, key: &str) -> Value {
        let value = self.reader.call(&[b"GET", key.as_bytes()]).expect("a member answers");
        self.values.insert(key.into(), value.clone());
        value
    }

    /// Removes what messages have reported as changed.
    fn receive(&mut self) {
        loop {
            let message = match self.messages.receive() {
                Ok(message) => message,
                Err(error) if error.kind() == ErrorKind::TimedOut => return,
                Err(error) => panic!("the connection for messages: {error}"),
            };
            match &message.list().expect("a message")[2] {
                Value::Nil => {
                    self.values.clear();
                    self.flushes += 1;
                }
                Value::List(keys) => {
                    for key in keys {
                        self.values.remove(key.bytes().expect("a key"));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until nothing is cached but this value.
    #[track_caller]
    fn expect_only(&mut self, value: &Value) {
        let start = Instant::now();
        loop {
            self.receive();
            let old = self.values.iter().find(|(_, cached)| *cached != value);
            let Some((key, cached)) = old else { return };
            assert!(
                start.elapsed() < INVALIDATION_MAX,
                "{:?} is still cached as {cached:?}, instead of {value:?}",
                String::from_utf8_lossy(key)
            );
        }
    }
}

fn key(number: u64) -> String {
    format!("key:{number}")
}

/// Writes until it is acknowledged: while a member is lost, the outcome may be unknown.
fn write(writer: &mut Client, key: &str, value: &str) {
    let start = Instant::now();
    loop {
        let answer = writer.call(&[b"SET", key.as_bytes(), value.as_bytes()]).expect("it answers");
        if answer == Value::ok() {
            return;
        }
        assert!(start.elapsed() < INVALIDATION_MAX, "{answer:?}");
    }
}

/// The client is connected to one member, the writer to another, and the third one is killed: it
/// was the primary of a third of the keys.
#[test]
fn a_client_keeps_no_old_value_when_a_primary_is_killed() {
    let cluster = Cluster::exclusive();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let mut cache = Cache::on(&members[0]);
    let mut writer = members[1].client();
    let rounds = ["0", "1", "killed", "3", "joined", "5"];
    for number in 0..KEYS {
        write(&mut writer, &key(number), "first");
    }
    let mut before = Value::Bytes(b"first".to_vec());
    for round in rounds {
        for number in 0..KEYS {
            assert_eq!(cache.read(&key(number)), before, "{round}: {number}");
        }
        match round {
            "killed" => members.remove(2).kill(),
            "joined" => {
                members.push(cluster.start());
                wait_until_safe(&cluster, &members);
            }
            _ => {}
        }
        for number in 0..KEYS {
            write(&mut writer, &key(number), round);
        }
        before = Value::Bytes(round.into());
        cache.expect_only(&before);
        if round == "1" {
            assert_eq!(cache.flushes, 0, "each key was reported by name");
        }
    }
    // A script of the client reads keys wherever they are.
    for number in 0..KEYS {
        let script: [&[u8]; 4] =
            [b"EVAL", b"return redis.call('get', ARGV[1])", b"0", &key(number).into_bytes()];
        let value = cache.reader.call(&script).expect("a member answers");
        cache.values.insert(key(number).into_bytes(), value);
    }
    for number in 0..KEYS {
        write(&mut writer, &key(number), "last");
    }
    cache.expect_only(&Value::Bytes(b"last".to_vec()));
}
