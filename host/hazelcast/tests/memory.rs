//! What a decoder allocates follows from the length of its input, not from the lengths and counts
//! that the input announces.
//!
//! Its own test binary: the memory of the whole process is measured.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke_hazelcast::cache::{CacheConfigHolder, ExpiryPolicy};
use convoke_hazelcast::codec::{Encoded, List, Request};
use convoke_hazelcast::data::{Data, Value};
use convoke_hazelcast::frame::{Split, Splitter};
use convoke_hazelcast::message::Message;
use convoke_hazelcast::query::{Aggregation, Entry, Layout, Projection, Query};
use convoke_hazelcast::schema::{FieldDescriptor, Schema};
use convoke_hazelcast::topic::ReliableTopicMessage;
use data_encoding::HEXLOWER;

/// How much larger the process may become while inputs of a few kilobytes are decoded, in bytes. A
/// single list that is allocated as it is announced takes gigabytes.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Numbers that an input may announce, in both byte orders.
const ANNOUNCED: [u32; 5] = [0x7fff_ffff, 0x7fff_fff0, 0x4000_0000, 0x0fff_ffff, 0x0400_0000];

const MESSAGES: &str = include_str!("../src/codec/tests/messages.txt");
const SENT: &str = include_str!("../src/codec/tests/sent.txt");
const POLICIES: &str = include_str!("../src/cache/tests/policies.txt");
const VECTORS: &str = include_str!("../src/query/tests/vectors.txt");

/// A value of the memory of this process, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn vectors(kind: &str) -> impl Iterator<Item = &'static str> {
    VECTORS.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix(' '))
}

/// The words of each vector at an index, as blobs.
fn blobs(kind: &str, word: usize) -> impl Iterator<Item = Vec<u8>> {
    vectors(kind).map(move |line| hex(line.split(' ').nth(word).unwrap()))
}

fn layouts() -> BTreeMap<i64, Arc<Layout>> {
    let layouts = vectors("schema").map(|line| {
        let mut words = line.split(' ');
        let (id, type_name) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
        let field = |field: &'static str| {
            let (field_name, kind) = field.split_once(':').unwrap();
            FieldDescriptor { kind: kind.parse().unwrap(), field_name }
        };
        let fields: Vec<_> = words.map(field).collect();
        let schema = Schema { type_name, fields: List::from(&fields[..]) };
        (id, Arc::new(Layout::new(&schema).unwrap()))
    });
    layouts.collect()
}

/// Each input with each number in place of any four of its bytes.
fn for_each_announcement(sample: &[u8], mut run: impl FnMut(&[u8])) {
    run(sample);
    for at in 0..sample.len().saturating_sub(3) {
        for number in ANNOUNCED {
            for bytes in [number.to_be_bytes(), number.to_le_bytes()] {
                let mut announced = sample.to_vec();
                announced[at..at + 4].copy_from_slice(&bytes);
                run(&announced);
            }
        }
    }
}

fn split(bytes: &[u8]) {
    let (mut splitter, mut rest) = (Splitter::after_preamble(), bytes);
    splitter.set_authenticated();
    while let Ok(split) = splitter.split(rest) {
        if matches!(split, Split::Incomplete { .. }) {
            break;
        }
        rest = &rest[split.consumed()..];
    }
    if let Ok(message) = Message::parse(bytes)
        && let Ok(request) = Request::decode(message)
    {
        // Each item of a list is read.
        let _ = format!("{request:?}");
    }
}

/// Reads a blob as everything that it may be.
fn read(data: Data<'_>, entries: &[(Vec<u8>, Vec<u8>)], layouts: &BTreeMap<i64, Arc<Layout>>) {
    let find = |id| layouts.get(&id).cloned();
    let (query, projection) = (Query::decode(data), Projection::decode(data));
    let mut aggregation = Aggregation::decode(data);
    for (key, value) in entries {
        let (key, value) = (Data::new(key).unwrap(), Data::new(value).unwrap());
        let entry = Entry { key, value, layouts: &find };
        let _ = query.as_ref().map(|query| query.predicate.matches(&entry));
        let _ = projection.as_ref().map(|projection| projection.apply(&entry));
        let _ = aggregation.as_mut().map(|aggregation| aggregation.add(&entry));
    }
    let _ = aggregation.map(Aggregation::finish);
    let _ = Value::decode(data).map(|value| value.encode());
    let _ = ReliableTopicMessage::decode(data);
    let _ = (ExpiryPolicy::of_factory(data), ExpiryPolicy::decode(data));
}

#[test]
fn announced_lengths_are_not_allocated() {
    let layouts = layouts();
    let entries: Vec<_> = blobs("entry", 1).zip(blobs("entry", 2)).collect();
    let few: Vec<_> = entries.iter().step_by(5).cloned().collect();
    let predicates: Vec<_> = blobs("predicate", 0).step_by(60).collect();
    let before = memory("VmPeak");
    let check = |what: &str| {
        let grown = memory("VmPeak").saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "{what}: the process grew by {grown} bytes");
    };
    for message in MESSAGES.lines().chain(SENT.lines()).map(hex) {
        for_each_announcement(&message, split);
        check("messages");
    }
    for policy in POLICIES.lines().map(hex) {
        for_each_announcement(&policy, |bytes| {
            let Some(data) = Data::new(bytes) else { return };
            let _ = (ExpiryPolicy::of_factory(data), ExpiryPolicy::decode(data));
        });
        check("policies");
    }
    let others = blobs("aggregate", 0).step_by(9).chain(blobs("project", 0));
    for blob in predicates.iter().cloned().chain(others) {
        for_each_announcement(&blob, |bytes| {
            if let Some(data) = Data::new(bytes) {
                read(data, &few, &layouts);
            }
        });
        check("predicates, aggregators and projections");
    }
    // Entries, as predicates read them.
    let queries: Vec<_> = predicates.iter().filter_map(|blob| Data::new(blob)).collect();
    let queries: Vec<_> = queries.into_iter().filter_map(|data| Query::decode(data).ok()).collect();
    let find = |id| layouts.get(&id).cloned();
    for (_, value) in entries.iter().step_by(3) {
        for_each_announcement(value, |bytes| {
            let Some(value) = Data::new(bytes) else { return };
            let entry = Entry { key: value, value, layouts: &find };
            for query in queries.iter().step_by(4) {
                let _ = query.predicate.matches(&entry);
            }
            let _ = Value::decode(value).map(|value| value.encode());
        });
        check("entries");
    }
    for message in MESSAGES.lines().map(hex) {
        for_each_announcement(&message, |bytes| {
            let Some(encoded) = Encoded::from_bytes(bytes) else { return };
            if let Ok(config) = CacheConfigHolder::decode(&encoded) {
                let _ = (config.expiry_policy(), config.encode());
            }
        });
    }
    check("configurations of caches");
}
