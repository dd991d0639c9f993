//! Slow clients hold a bounded amount of the member's memory; commands of others are
//! refused as busy meanwhile.

use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::{Client, Value};
use convoke_tests::slots::Slots;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::safe::wait_until_safe;

/// The memory limit of all clients of a member together, in KiB.
const HELD_KIB_MAX: u64 = 512 << 10;

/// On top of it: one incoming request of the largest size, and the overhead of the allocator.
const BEYOND_KIB_MAX: u64 = 192 << 10;

/// The largest value.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// A write that makes no progress for this time is throttled by the member.
const STALLED: Duration = Duration::from_millis(500);

/// Checks that the peak memory of the member is at most `kib` above `before`.
#[track_caller]
fn expect_peak_below(member: &Member, before: u64, kib: u64) {
    let (_, peak) = member.resident_kib();
    let more = peak.saturating_sub(before);
    assert!(more <= kib, "{} MiB more than before, {} are allowed", more >> 10, kib >> 10);
}

/// Repeats the command while the member answers `BUSY`.
#[track_caller]
fn retry_while_busy(client: &mut Client, line: &str) -> Value {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer = client.command(line).unwrap();
        if !answer.error().is_some_and(|text| text.starts_with("BUSY ")) {
            return answer;
        }
        assert!(Instant::now() < deadline, "it is still busy");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn unfinished_transactions_use_bounded_memory() {
    const CLIENTS: usize = 24;
    const COMMANDS: usize = 60;
    let cluster = Cluster::exclusive();
    let member = cluster.start();
    let (before, _) = member.resident_kib();
    let value = vec![b'v'; 1 << 20];
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| member.client()).collect();
    let mut busy = 0;
    for client in &mut clients {
        assert_eq!(client.command("MULTI").unwrap(), Value::ok());
        for number in 0..COMMANDS {
            let key = format!("k:{number}");
            let answer = client.call(&[b"SET", key.as_bytes(), &value]).unwrap();
            busy += usize::from(answer.error().is_some_and(|text| text.starts_with("BUSY ")));
        }
    }
    assert!(busy > 0, "{} MiB were accepted", CLIENTS * COMMANDS);
    expect_peak_below(&member, before, HELD_KIB_MAX + BEYOND_KIB_MAX);
    let mut other = member.client();
    assert_eq!(other.command("PING").unwrap(), Value::Simple("PONG".to_owned()));
    let last = clients.last_mut().unwrap().command("EXEC").unwrap();
    assert!(last.error().is_some_and(|text| text.starts_with("EXECABORT ")), "{last:?}");
    drop(clients);
    assert_eq!(retry_while_busy(&mut other, "SET a 1"), Value::ok());
    assert_eq!(other.command("DBSIZE").unwrap(), Value::Integer(1), "nothing else was executed");
}

#[test]
fn incomplete_large_requests_use_bounded_memory_and_can_be_completed() {
    const CLIENTS: usize = 20;
    let cluster = Cluster::exclusive();
    let member = cluster.start();
    let (before, _) = member.resident_kib();
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE_BYTES_MAX}\r\n");
    let chunk = vec![b'v'; 1 << 20];
    let mut stalled = 0;
    let mut clients: Vec<(Client, usize)> = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = member.client();
        client.send_bytes(head.as_bytes()).unwrap();
        client.stream().set_write_timeout(Some(STALLED)).unwrap();
        let mut sent = 0;
        // All but the last chunk.
        while sent < VALUE_BYTES_MAX - chunk.len() {
            match client.stream().write(&chunk[..chunk.len().min(VALUE_BYTES_MAX - sent)]) {
                Ok(count) => sent += count,
                Err(error) => {
                    let is_timeout =
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(is_timeout, "{error}");
                    stalled += 1;
                    break;
                }
            }
        }
        clients.push((client, sent));
    }
    assert!(stalled > 0, "{} MiB were accepted", CLIENTS * 63);
    expect_peak_below(&member, before, HELD_KIB_MAX + BEYOND_KIB_MAX);
    let mut other = member.client();
    let answer = other.command("GET a").unwrap();
    assert!(answer.error().is_some_and(|text| text.starts_with("BUSY ")), "{answer:?}");
    // All requests are completed, one at a time, and answered.
    let threads: Vec<_> = clients
        .into_iter()
        .map(|(mut client, sent)| {
            thread::spawn(move || {
                client.stream().set_write_timeout(Some(2 * TIMEOUT)).unwrap();
                let mut rest = vec![b'v'; VALUE_BYTES_MAX - sent];
                rest.extend(b"\r\n");
                client.send_bytes(&rest).unwrap();
                client.set_timeout(2 * TIMEOUT);
                client.receive().unwrap()
            })
        })
        .collect();
    for thread in threads {
        let answer = thread.join().unwrap();
        let is_busy = answer.error().is_some_and(|text| text.starts_with("BUSY "));
        assert!(is_busy || answer == Value::ok(), "{answer:?}");
    }
    assert_eq!(retry_while_busy(&mut other, "SET a 1"), Value::ok());
}

#[test]
fn pipelined_answers_behind_a_slow_one_use_bounded_memory() {
    const COMMANDS: usize = 2_000;
    let cluster = Cluster::exclusive();
    let file = cluster.write("settings.toml", "[maps.\"*\"]\nbackups = 0\n").display().to_string();
    let members: Vec<Member> =
        (0..2).map(|_| cluster.launch().option("--config", &file).start()).collect();
    wait_until_safe(&cluster, &members);
    let mut client = members[0].client();
    // A key on each member.
    let (slots, here) = (Slots::of(&cluster, &members), members[0].resp());
    let key = |owned_by_this: bool| {
        let mut keys = (0..).map(|number| format!("k:{number}"));
        keys.find(|key| (slots.owner(key.as_bytes()) == here) == owned_by_this).unwrap()
    };
    let (near, far) = (key(true), key(false));
    let value = vec![b'v'; 1 << 20];
    assert_eq!(client.call(&[b"SET", near.as_bytes(), &value]).unwrap(), Value::ok());
    let (before, _) = members[0].resident_kib();
    members[1].signal(Signal::STOP);
    // The first one waits for a member that does not answer.
    let mut requests = vec![vec!["GET".to_owned(), far]];
    requests.extend((1..COMMANDS).map(|_| vec!["GET".to_owned(), near.clone()]));
    let bytes: String = requests.iter().map(|words| format!("{}\r\n", words.join(" "))).collect();
    client.send_bytes(bytes.as_bytes()).unwrap();
    client.set_timeout(2 * TIMEOUT);
    // It is answered, possibly with an error, and then the others are.
    client.receive().unwrap();
    for _ in 1..COMMANDS {
        assert_eq!(client.receive().unwrap(), Value::Bytes(value.clone()));
    }
    members[1].signal(Signal::CONT);
    expect_peak_below(&members[0], before, BEYOND_KIB_MAX);
}
