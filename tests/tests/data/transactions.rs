//! Transactions on keys of several members are atomic, even if members are lost meanwhile.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::safe::wait_until_safe;

/// Accounts between which amounts are transferred; their sum is zero.
const ACCOUNTS: u64 = 12;
/// Names, one of which holds the token.
const NAMES: u64 = 12;
/// Transactions that are acknowledged between two events.
const BETWEEN: u64 = 500;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Clients of all members that run transactions until they are stopped.
struct Transfers {
    ends: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Transfers {
    fn on(members: &[Member]) -> Self {
        let (ends, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = members
            .iter()
            .enumerate()
            .map(|(n, member)| {
                let (ends, committed) = (Arc::clone(&ends), Arc::clone(&committed));
                let mut client = member.client();
                thread::spawn(move || {
                    let mut at = n as u64;
                    while !ends.load(Ordering::Relaxed) {
                        at += 1;
                        // The member may be gone.
                        let Ok(done) = transfer(&mut client, at) else { return };
                        let Ok(_) = rename(&mut client, at) else { return };
                        committed.fetch_add(u64::from(done), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self { ends, committed, threads }
    }

    fn wait_for_more(&self) {
        let (before, since) = (self.committed.load(Ordering::Relaxed), Instant::now());
        while self.committed.load(Ordering::Relaxed) < before + BETWEEN {
            assert!(since.elapsed() < WAIT_MAX, "no transaction is committed");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("the client did not panic");
        }
    }
}

/// Transfers an amount. Returns whether it was acknowledged.
fn transfer(client: &mut Client, at: u64) -> std::io::Result<bool> {
    let (from, to) = (at % ACCOUNTS, (at * 7 + 1) % ACCOUNTS);
    let (from, to) = (format!("account:{from}"), format!("account:{to}"));
    let requests =
        [vec!["MULTI"], vec!["DECRBY", &from, "3"], vec!["INCRBY", &to, "3"], vec!["EXEC"]];
    let replies = client.call_all(&requests)?;
    Ok(replies[3].list().is_some())
}

fn rename(client: &mut Client, at: u64) -> std::io::Result<Value> {
    let (from, to) = (format!("name:{}", at % NAMES), format!("name:{}", (at * 5 + 2) % NAMES));
    client.call(&[b"RENAME", from.as_bytes(), to.as_bytes()])
}

/// The amounts of all accounts, as one transaction returns them.
fn sum(client: &mut Client) -> i64 {
    let mut requests = vec![vec!["MULTI".to_owned()]];
    requests.extend((0..ACCOUNTS).map(|n| vec!["GET".to_owned(), format!("account:{n}")]));
    requests.push(vec!["EXEC".to_owned()]);
    let replies = client.call_all(&requests).expect("the member answers");
    let last = replies.last().and_then(|reply| reply.list());
    let number = |value: &Value| {
        let text = value.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        text.map_or(0, |text| text.parse::<i64>().expect("a number"))
    };
    last.unwrap_or_else(|| panic!("{replies:?}")).iter().map(number).sum()
}

fn tokens(client: &mut Client) -> Option<i64> {
    let names: Vec<String> = (0..NAMES).map(|n| format!("name:{n}")).collect();
    let mut exists = vec!["EXISTS"];
    exists.extend(names.iter().map(String::as_str));
    let replies = client.call_all(&[vec!["MULTI"], exists, vec!["EXEC"]]).ok()?;
    replies[2].list()?[0].integer()
}

#[track_caller]
fn check(members: &[Member]) {
    for member in members {
        let mut client = member.client();
        assert_eq!(sum(&mut client), 0, "a transfer was applied partially");
        assert_eq!(tokens(&mut client), Some(1), "a rename was applied partially");
    }
}

#[test]
fn transactions_are_atomic_when_members_are_killed_or_leave() {
    let cluster = Cluster::new();
    let mut members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    let token = members[0].client().call(&[b"SET", b"name:0", b"token"]);
    assert_eq!(token.expect("the member answers"), Value::ok());
    for (victim, kills) in [(2, true), (0, true), (1, false), (0, true)] {
        let transfers = Transfers::on(&members);
        transfers.wait_for_more();
        // No partial transaction is visible meanwhile.
        for member in &members {
            assert_eq!(sum(&mut member.client()), 0);
            assert_eq!(tokens(&mut member.client()), Some(1));
        }
        if kills {
            members[victim].kill();
        } else {
            members[victim].signal(Signal::TERM);
            members[victim].wait_exit(WAIT_MAX);
        }
        transfers.wait_for_more();
        members[victim] = cluster.start();
        wait_until_safe(&cluster, &members);
        transfers.stop();
        check(&members);
    }
}

#[test]
fn a_client_without_cluster_support_can_combine_any_keys() {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    for member in &members {
        let mut client = member.client();
        for (line, expected) in [
            ("FLUSHALL", Value::ok()),
            ("HSET session:1 a 1", Value::Integer(1)),
            ("EXPIRE session:1 2100", Value::Integer(1)),
            ("RENAME session:1 session:2", Value::ok()),
            ("EXISTS session:1 session:2", Value::Integer(1)),
            ("PERSIST session:2", Value::Integer(1)),
            ("RPUSH queue job", Value::Integer(1)),
            ("LMOVE queue queue:active RIGHT LEFT", Value::from("job")),
            ("RPOPLPUSH queue:active queue:done", Value::from("job")),
            ("BLMOVE queue queue:active LEFT LEFT 0.01", Value::Nil),
            ("MSETNX one 1 two 2 three 3", Value::Integer(1)),
            ("MSETNX three 3 four 4", Value::Integer(0)),
            ("COPY one four", Value::Integer(1)),
            ("SADD set:1 a b c", Value::Integer(3)),
            ("SADD set:2 b c d", Value::Integer(3)),
            ("SMOVE set:1 set:2 a", Value::Integer(1)),
            ("SINTERSTORE set:3 set:1 set:2", Value::Integer(2)),
            ("ZUNIONSTORE sorted 2 set:1 set:2", Value::Integer(4)),
            ("ZRANGESTORE sorted:2 sorted 0 1", Value::Integer(2)),
            ("DBSIZE", Value::Integer(11)),
        ] {
            let reply = client.command(line).expect("the member answers");
            assert_eq!(reply, expected, "{line}");
        }
    }
}

#[test]
fn commands_of_one_connection_do_not_overtake_a_transaction() {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(3);
    wait_until_safe(&cluster, &members);
    for member in &members {
        let mut client = member.client();
        for n in 0..60 {
            let (a, b) = (format!("a:{n}"), format!("b:{n}"));
            let (a, b) = (a.as_str(), b.as_str());
            assert_eq!(client.command(&format!("SET {a} 1")).expect("a reply"), Value::ok());
            let none = Value::Nil;
            let one = Value::from("1");
            for (requests, expected) in [
                (
                    vec![vec!["RENAME", a, b], vec!["GET", b], vec!["GET", a]],
                    vec![Value::ok(), one.clone(), none.clone()],
                ),
                (
                    vec![vec!["MSETNX", a, "1", "c", "1"], vec!["INCR", a], vec!["INCR", "c"]],
                    vec![Value::Integer(1), Value::Integer(2), Value::Integer(2)],
                ),
                (
                    vec![vec!["DEL", b, "c"], vec!["COPY", a, b], vec!["INCR", a], vec!["GET", b]],
                    vec![Value::Integer(2), Value::Integer(1), Value::Integer(3), Value::from("2")],
                ),
                (
                    vec![vec!["RENAME", a, b], vec!["MGET", a, b], vec!["DEL", b], vec!["GET", b]],
                    vec![
                        Value::ok(),
                        Value::List(vec![none.clone(), Value::from("3")]),
                        Value::Integer(1),
                        none.clone(),
                    ],
                ),
            ] {
                let replies = client.call_all(&requests).expect("the member answers");
                assert_eq!(replies, expected, "{requests:?}");
            }
        }
    }
}

#[test]
fn a_blocked_move_that_times_out_returns_a_null_array() {
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(2);
    wait_until_safe(&cluster, &members);
    let mut client = members[0].client();
    for line in ["BLMOVE a b LEFT LEFT 0.01", "BRPOPLPUSH {t}a {t}b 0.01"] {
        client.send_bytes(format!("{line}\r\n").as_bytes()).expect("the member reads");
        let mut reply = [0; 16];
        let length = client.stream().read(&mut reply).expect("the member answers");
        assert_eq!(&reply[..length], b"*-1\r\n", "{line}");
    }
}
