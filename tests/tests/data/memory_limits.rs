//! Slow clients hold a bounded amount of the member's memory; commands of others are
//! refused as busy meanwhile.

use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::SOON;
use convoke_tests::resp::{Client, Value};
use convoke_tests::slots::Slots;
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::safe::wait_until_safe;

/// What a member holds for all clients together, in KiB.
const HELD_KIB_MAX: u64 = 512 << 10;

/// Beyond it: one request of the largest size that has begun to arrive, and what the
/// allocator keeps.
const BEYOND_KIB_MAX: u64 = 192 << 10;

/// A value at the limit.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// A write that makes no progress for this long is held back.
const HELD_BACK: Duration = Duration::from_millis(500);

/// Checks that the member has never held more than `kib` beyond what it held `before`.
#[track_caller]
fn expect_peak_below(member: &Member, before: u64, kib: u64) {
    let (_, peak) = member.resident_kib();
    let more = peak.saturating_sub(before);
    assert!(more <= kib, "{} MiB more than before, {} are allowed", more >> 10, kib >> 10);
}

/// Asks again while the member is busy, until it is not.
#[track_caller]
fn until_not_busy(client: &mut Client, line: &str) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = client.ask(line).unwrap();
        if !answer.error().is_some_and(|text| text.starts_with("BUSY ")) {
            return answer;
        }
        assert!(Instant::now() < deadline, "it is still busy");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn transactions_that_are_never_done_hold_a_bounded_amount() {
    const CLIENTS: usize = 24;
    const COMMANDS: usize = 60;
    let cluster = Cluster::alone();
    let member = cluster.start();
    let (before, _) = member.resident_kib();
    let value = vec![b'v'; 1 << 20];
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| member.client()).collect();
    let mut busy = 0;
    for client in &mut clients {
        assert_eq!(client.ask("MULTI").unwrap(), Value::ok());
        for number in 0..COMMANDS {
            let key = format!("k:{number}");
            let answer = client.call(&[b"SET", key.as_bytes(), &value]).unwrap();
            busy += usize::from(answer.error().is_some_and(|text| text.starts_with("BUSY ")));
        }
    }
    assert!(busy > 0, "{} MiB were taken", CLIENTS * COMMANDS);
    expect_peak_below(&member, before, HELD_KIB_MAX + BEYOND_KIB_MAX);
    let mut other = member.client();
    assert_eq!(other.ask("PING").unwrap(), Value::Word("PONG".to_owned()));
    let last = clients.last_mut().unwrap().ask("EXEC").unwrap();
    assert!(last.error().is_some_and(|text| text.starts_with("EXECABORT ")), "{last:?}");
    drop(clients);
    assert_eq!(until_not_busy(&mut other, "SET a 1"), Value::ok());
    assert_eq!(other.ask("DBSIZE").unwrap(), Value::Integer(1), "nothing else was done");
}

#[test]
fn long_requests_that_never_end_hold_a_bounded_amount_and_one_at_a_time_ends() {
    const CLIENTS: usize = 20;
    let cluster = Cluster::alone();
    let member = cluster.start();
    let (before, _) = member.resident_kib();
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE_BYTES_MAX}\r\n");
    let chunk = vec![b'v'; 1 << 20];
    let mut held_back = 0;
    let mut clients: Vec<(Client, usize)> = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = member.client();
        client.send_bytes(head.as_bytes()).unwrap();
        client.stream().set_write_timeout(Some(HELD_BACK)).unwrap();
        let mut sent = 0;
        // All but the last chunk.
        while sent < VALUE_BYTES_MAX - chunk.len() {
            match client.stream().write(&chunk[..chunk.len().min(VALUE_BYTES_MAX - sent)]) {
                Ok(count) => sent += count,
                Err(error) => {
                    let is_timeout =
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(is_timeout, "{error}");
                    held_back += 1;
                    break;
                }
            }
        }
        clients.push((client, sent));
    }
    assert!(held_back > 0, "{} MiB were taken", CLIENTS * 63);
    expect_peak_below(&member, before, HELD_KIB_MAX + BEYOND_KIB_MAX);
    let mut other = member.client();
    let answer = other.ask("GET a").unwrap();
    assert!(answer.error().is_some_and(|text| text.starts_with("BUSY ")), "{answer:?}");
    // All requests come to their end, one at a time, and are answered.
    let threads: Vec<_> = clients
        .into_iter()
        .map(|(mut client, sent)| {
            thread::spawn(move || {
                client.stream().set_write_timeout(Some(2 * SOON)).unwrap();
                let mut rest = vec![b'v'; VALUE_BYTES_MAX - sent];
                rest.extend(b"\r\n");
                client.send_bytes(&rest).unwrap();
                client.set_patience(2 * SOON);
                client.receive().unwrap()
            })
        })
        .collect();
    for thread in threads {
        let answer = thread.join().unwrap();
        let is_busy = answer.error().is_some_and(|text| text.starts_with("BUSY "));
        assert!(is_busy || answer == Value::ok(), "{answer:?}");
    }
    assert_eq!(until_not_busy(&mut other, "SET a 1"), Value::ok());
}

#[test]
fn answers_behind_one_that_takes_long_are_bounded() {
    const COMMANDS: usize = 2_000;
    let cluster = Cluster::alone();
    let file = cluster.write("settings.toml", "[maps.\"*\"]\nbackups = 0\n").display().to_string();
    let members: Vec<Member> =
        (0..2).map(|_| cluster.launch().option("--config", &file).start()).collect();
    wait_until_safe(&cluster, &members);
    let mut client = members[0].client();
    // A key on each member.
    let (slots, here) = (Slots::of(&cluster, &members), members[0].resp());
    let led = |by_this: bool| {
        let mut keys = (0..).map(|number| format!("k:{number}"));
        keys.find(|key| (slots.owner(key.as_bytes()) == here) == by_this).unwrap()
    };
    let (near, far) = (led(true), led(false));
    let value = vec![b'v'; 1 << 20];
    assert_eq!(client.call(&[b"SET", near.as_bytes(), &value]).unwrap(), Value::ok());
    let (before, _) = members[0].resident_kib();
    members[1].signal(Signal::STOP);
    // The first one waits for a member that does not answer.
    let mut requests = vec![vec!["GET".to_owned(), far]];
    requests.extend((1..COMMANDS).map(|_| vec!["GET".to_owned(), near.clone()]));
    let bytes: String = requests.iter().map(|words| format!("{}\r\n", words.join(" "))).collect();
    client.send_bytes(bytes.as_bytes()).unwrap();
    client.set_patience(2 * SOON);
    // It is answered, even if with an error, and then the others are.
    client.receive().unwrap();
    for _ in 1..COMMANDS {
        assert_eq!(client.receive().unwrap(), Value::Bytes(value.clone()));
    }
    members[1].signal(Signal::CONT);
    expect_peak_below(&members[0], before, BEYOND_KIB_MAX);
}
