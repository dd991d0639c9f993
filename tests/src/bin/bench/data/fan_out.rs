//! Messages published on one member to many subscribers on all members.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use convoke_tests::Cluster;
use convoke_tests::Member;
use convoke_tests::resp::{Client, encode};

use super::servers::{self, Redis};
use crate::table::{Row, Table, Unit};

const MEMBERS: usize = 3;
/// Subscribers per member.
const SUBSCRIBERS: usize = 100;
const MESSAGES: usize = 2_000;
const PAYLOAD: [u8; 100] = [b'm'; 100];
const RUNS: usize = 3;

pub(super) fn measure(table: &mut Table, redis: Option<&Redis>) {
    let cluster = Cluster::exclusive();
    let members = servers::members(&cluster, MEMBERS, 1);
    let ours: Vec<SocketAddr> = members.iter().map(Member::resp).collect();
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        if let Some(redis) = redis {
            theirs.push(deliveries(&[redis.address; MEMBERS]));
        }
        own.push(deliveries(&ours));
    }
    table.add(Row {
        what: "deliveries a second, 3 members x 100 subscribers",
        unit: Unit::Count,
        runs: own,
        target: None,
        others: "",
    });
    table.add(Row {
        what: "  one Redis, 300 subscribers",
        unit: Unit::Count,
        runs: theirs,
        target: None,
        others: "",
    });
}

/// Deliveries to subscribers per second.
fn deliveries(servers: &[SocketAddr]) -> f64 {
    let subscribe = |place: usize| {
        let mut client = Client::connect(servers[place % servers.len()]).expect("a server");
        client.command("SUBSCRIBE news").expect("a subscription");
        client
    };
    let subscribers: Vec<Client> = (0..servers.len() * SUBSCRIBERS).map(subscribe).collect();
    let mut publisher = Client::connect(servers[0]).expect("a server");
    let one = encode(&[b"PUBLISH", b"news", &PAYLOAD]);
    let started = Instant::now();
    let deliveries = subscribers.len() * MESSAGES;
    thread::scope(|scope| {
        // One thread reads all connections in turn, since there is little to do for each.
        scope.spawn(move || {
            for mut subscriber in subscribers {
                for _ in 0..MESSAGES {
                    subscriber.receive().expect("a message");
                }
            }
        });
        publisher.send_bytes(&one.repeat(MESSAGES)).expect("the server reads");
        for _ in 0..MESSAGES {
            publisher.receive().expect("an answer");
        }
    });
    deliveries as f64 / started.elapsed().as_secs_f64()
}
