//! Commands that a client sends over several connections, one after the other and without waiting
//! for answers, are started in that order.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::{Client, Value};
use convoke_tests::{Cluster, Member};
use rustix::process::Signal;

use crate::safe::wait_until_safe;

/// Rounds of each test.
const ROUNDS: usize = 100;

/// A member that was paused for longer first confirms that it still holds its leases.
const PAUSED_MAX: Duration = Duration::from_millis(300);

/// Interval at which the state of the process is polled.
const POLL: Duration = Duration::from_micros(200);

/// Pauses the member, calls `send`, whose requests wait in the member's sockets, and resumes it.
/// Returns how long it was paused.
#[track_caller]
fn while_paused(member: &Member, pid: i64, send: impl FnOnce()) -> Duration {
    let since = Instant::now();
    member.signal(Signal::STOP);
    loop {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, state) = text.rsplit_once(") ").unwrap();
        if state.starts_with('T') {
            break;
        }
        assert!(since.elapsed() < TIMEOUT, "the process does not stop");
        thread::sleep(POLL);
    }
    send();
    member.signal(Signal::CONT);
    since.elapsed()
}

fn pid(client: &mut Client) -> i64 {
    let info = client.command("INFO server").unwrap();
    let text = String::from_utf8_lossy(info.bytes().unwrap()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("process_id:"));
    line.unwrap().trim().parse().unwrap()
}

/// One worker, as on a machine of two cores, and several.
const WORKERS: [&str; 2] = ["1", "4"];

#[test]
fn a_read_sent_after_a_write_on_another_connection_sees_it() {
    for workers in WORKERS {
        let cluster = Cluster::new();
        let member = cluster.launch().option("--workers", workers).start();
        // From then on it answers immediately.
        wait_until_safe(&cluster, std::slice::from_ref(&member));
        let (mut writer, mut reader) = (member.client(), member.client());
        let pid = pid(&mut writer);
        reader.command("PING").unwrap();
        let mut rounds = 0;
        while rounds < ROUNDS {
            let (key, value) = (format!("k:{rounds}"), format!("v:{rounds}"));
            let paused = while_paused(&member, pid, || {
                writer.send(&[b"SET", key.as_bytes(), value.as_bytes()]).unwrap();
                reader.send(&[b"GET", key.as_bytes()]).unwrap();
            });
            let shown = reader.receive().unwrap();
            assert_eq!(writer.receive().unwrap(), Value::ok());
            if paused < PAUSED_MAX {
                assert_eq!(shown, Value::from(&*value), "{workers} workers, round {rounds}");
                rounds += 1;
            }
        }
    }
}

#[test]
fn a_message_published_after_a_subscription_was_sent_is_delivered() {
    for workers in WORKERS {
        let cluster = Cluster::new();
        let member = cluster.launch().option("--workers", workers).start();
        let (mut publisher, mut subscriber) = (member.client(), member.client());
        let pid = pid(&mut publisher);
        subscriber.command("PING").unwrap();
        for round in 0..ROUNDS {
            let channel = format!("c:{round}");
            while_paused(&member, pid, || {
                subscriber.send(&[b"SUBSCRIBE", channel.as_bytes()]).unwrap();
                publisher.send(&[b"PUBLISH", channel.as_bytes(), b"m"]).unwrap();
            });
            let count = publisher.receive().unwrap();
            assert_eq!(count, Value::Integer(1), "{workers} workers, round {round}");
            let words = subscriber.receive().unwrap();
            assert_eq!(words.list().unwrap()[0], Value::from("subscribe"));
            let message = subscriber.receive().unwrap();
            assert_eq!(message.list().unwrap()[2], Value::from("m"));
        }
    }
}
