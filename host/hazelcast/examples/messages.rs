//! Measures what a message costs on this host:
//! `cargo run --release -p convoke-hazelcast --features client --example messages`

use std::hint::black_box;
use std::num::NonZero;
use std::time::Instant;

use convoke_hazelcast::codec::{List, Request, map};
use convoke_hazelcast::data::{Data, PARTITIONS, Value, murmur3};
use convoke_hazelcast::frame::{Split, Splitter};

/// Messages in the input of one step, as a client sends them without waiting.
const PIPELINE: usize = 64;

/// Messages of a measurement.
const MESSAGES: usize = 4_000_000;

fn main() {
    let (key, value) = (Value::Text("session:0123456789").encode(), vec![7; 256]);
    let (key, value) = (Data::new(&key).expect("a blob"), Data::new(&value).expect("a blob"));
    let get = map::Get { thread_id: 1, name: "sessions", key };
    served("Map.get, 256 B", map::Request::Get(get), |output, id| {
        map::Get::respond(output, id, 0, Some(value));
    });
    let put = map::Put { thread_id: 1, ttl: -1, name: "sessions", key, value };
    served("Map.put, 256 B", map::Request::Put(put), |output, id| {
        map::Put::respond(output, id, 0, None);
    });
    let entries = vec![(key, value); 1_000];
    let entries = List::from(&entries[..]);
    let put_all = map::PutAll { trigger_map_loader: true, name: "sessions", entries };
    served("Map.putAll, 1,000 of 256 B", map::Request::PutAll(put_all), |output, id| {
        map::PutAll::respond(output, id, 0);
    });
    hashed();
}

/// Splits and decodes requests, finds their partitions, and writes responses.
fn served(name: &str, request: map::Request<'_>, respond: impl Fn(&mut Vec<u8>, i64)) {
    let mut input = Vec::new();
    for id in 0..PIPELINE {
        request.write(&mut input, id.try_into().expect("small"), 0);
    }
    let partitions = NonZero::new(PARTITIONS).expect("not 0");
    let mut splitter = Splitter::after_preamble();
    splitter.set_authenticated();
    let (mut output, mut served, began) = (Vec::new(), 0, Instant::now());
    while served < MESSAGES && (served == 0 || began.elapsed().as_secs() < 3) {
        output.clear();
        let mut rest = black_box(&input[..]);
        while let Split::Message(message) = splitter.split(rest).expect("valid") {
            let correlation_id = message.header().correlation_id;
            match Request::decode(message).expect("valid") {
                Request::Map(map::Request::Get(map::Get { key, .. }))
                | Request::Map(map::Request::Put(map::Put { key, .. })) => {
                    black_box(key.partition(partitions));
                }
                request => drop(black_box(request)),
            }
            respond(&mut output, correlation_id);
            rest = &rest[message.bytes().len()..];
            served += 1;
        }
        black_box(&output);
    }
    let ns = began.elapsed().as_secs_f64() * 1e9 / served as f64;
    println!("{name:<30} {ns:>10.0} ns each  {:>12.0} a second", 1e9 / ns);
}

fn hashed() {
    for bytes in [16, 256, 64 * 1024] {
        let content = vec![7; bytes];
        let (times, began) = (256 * 1024 * 1024 / (bytes + 64), Instant::now());
        for _ in 0..times {
            black_box(murmur3(black_box(&content)));
        }
        let ns = began.elapsed().as_secs_f64() * 1e9 / times as f64;
        println!("hash of {bytes:>6} B                {ns:>10.0} ns each");
    }
}
