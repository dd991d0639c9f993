//! Queries, iteration, and listeners of maps.

use std::collections::BTreeSet;
use std::time::Duration;

use convoke_hazelcast::codec::events::{
    DistributedObjectEvent, MapInvalidation, MapPartitionLostEvent,
};
use convoke_hazelcast::codec::structures::{AnchorDataListHolder, PagingPredicateHolder};
use convoke_hazelcast::codec::{Packed, replicated_map, service_name};
use convoke_hazelcast::schema::{FieldDescriptor, Schema};

use super::*;

/// A predicate, aggregator or projection: its factory, class and fields.
fn object(factory: i32, class: i32, fields: &[&[u8]]) -> Vec<u8> {
    let header = [&[0; 4][..], &(-2_i32).to_be_bytes(), &[1], &factory.to_be_bytes()];
    [&header.concat()[..], &class.to_be_bytes(), &fields.concat()].concat()
}

/// A text as a field of an object.
fn field(text: &str) -> Vec<u8> {
    [&(text.len() as i32).to_be_bytes(), text.as_bytes()].concat()
}

fn int(number: i32) -> Vec<u8> {
    Value::Int(number).encode()
}

/// The predicate `this > number`.
fn greater(number: i32) -> Vec<u8> {
    object(-20, 4, &[&field("this"), &int(number)[4..], &[0, 0]])
}

/// The predicate that a value is greater than a text.
pub(super) fn greater_text(value: &str) -> Vec<u8> {
    object(-20, 4, &[&field("this"), &text(value)[4..], &[0, 0]])
}

/// The predicate that an attribute has this text.
fn equal(attribute: &str, value: &str) -> Vec<u8> {
    object(-20, 3, &[&field(attribute), &text(value)[4..]])
}

impl Connection {
    /// Stores 0 to 9 by their texts.
    async fn put_numbers(&mut self) {
        for number in 0..10 {
            self.put(&text(&number.to_string()), &int(number)).await;
        }
    }

    async fn size(&mut self) -> i32 {
        let response = self.map(maps::Request::Size(map::Size { name: "m" })).await;
        map::Size::read_response(parsed(&response)).unwrap().0
    }

    async fn lock(&mut self, key: &[u8]) {
        let key = data(key);
        let lock = map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "m", key };
        self.map(maps::Request::Lock(lock)).await;
    }

    async fn values_with(&mut self, predicate: &[u8]) -> Vec<i32> {
        let predicate = data(predicate);
        let request = map::ValuesWithPredicate { name: "m", predicate };
        let response = self.map(maps::Request::ValuesWithPredicate(request)).await;
        let (values,) = map::ValuesWithPredicate::read_response(parsed(&response)).unwrap();
        let mut numbers: Vec<i32> = values.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Listens to all events of the map.
    async fn listen(&mut self, predicate: Option<&[u8]>) {
        let response = match predicate {
            None => {
                let listener = map::AddEntryListener {
                    include_value: true,
                    listener_flags: i32::MAX,
                    local_only: true,
                    name: "m",
                };
                self.map(maps::Request::AddEntryListener(listener)).await
            }
            Some(predicate) => {
                let listener = map::AddEntryListenerWithPredicate {
                    include_value: false,
                    listener_flags: i32::MAX,
                    local_only: true,
                    name: "m",
                    predicate: data(predicate),
                };
                self.map(maps::Request::AddEntryListenerWithPredicate(listener)).await
            }
        };
        map::AddEntryListener::read_response(parsed(&response)).ok();
    }

    /// The type of the next event, its key, and the number of entries.
    async fn event(&mut self) -> (i32, Option<Vec<u8>>, i32) {
        let message = self.receive().await.unwrap();
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        let key = event.key.map(|key| key.bytes().to_vec());
        (event.event_type, key, event.number_of_affected_entries)
    }
}

fn number(data: Data<'_>) -> i32 {
    match Value::decode(data) {
        Some(Value::Int(number)) => number,
        Some(Value::Long(number)) => i32::try_from(number).unwrap(),
        value => panic!("{value:?}"),
    }
}

#[tokio::test]
async fn a_query_returns_the_entries_that_match() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    connection.put_numbers().await;
    assert_eq!(connection.values_with(&greater(6)).await, [7, 8, 9]);
    let predicate = greater(7);
    let request = map::KeySetWithPredicate { name: "m", predicate: data(&predicate) };
    let response = connection.map(maps::Request::KeySetWithPredicate(request)).await;
    let (keys,) = map::KeySetWithPredicate::read_response(parsed(&response)).unwrap();
    let keys: BTreeSet<Vec<u8>> = keys.iter().map(|key| key.bytes().to_vec()).collect();
    assert_eq!(keys, [text("8"), text("9")].into());

    let sum = object(-29, 11, &[&field("this")]);
    let request = map::AggregateWithPredicate {
        name: "m",
        aggregator: data(&sum),
        predicate: data(&predicate),
    };
    let response = connection.map(maps::Request::AggregateWithPredicate(request)).await;
    let (result,) = map::AggregateWithPredicate::read_response(parsed(&response)).unwrap();
    assert_eq!(result.map(number), Some(17));

    let projection = object(-30, 0, &[&field("__key")]);
    let request = map::ProjectWithPredicate {
        name: "m",
        projection: data(&projection),
        predicate: data(&predicate),
    };
    let response = connection.map(maps::Request::ProjectWithPredicate(request)).await;
    let (results,) = map::ProjectWithPredicate::read_response(parsed(&response)).unwrap();
    let results: BTreeSet<Vec<u8>> = results.iter().map(|r| r.unwrap().bytes().to_vec()).collect();
    assert_eq!(results, keys);
}

#[tokio::test]
async fn a_page_continues_after_its_anchor() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    connection.put_numbers().await;
    let mut anchors: Vec<(i32, Vec<u8>, Vec<u8>)> = Vec::new();
    for (page, expected) in [(0, vec![0, 1, 2, 3]), (1, vec![4, 5, 6, 7]), (2, vec![8, 9])] {
        let pages: Vec<i32> = anchors.iter().map(|(page, ..)| *page).collect();
        let blobs: Vec<_> =
            anchors.iter().map(|(_, key, value)| (data(key), data(value))).collect();
        let predicate = PagingPredicateHolder {
            page_size: 4,
            page,
            iteration_type_id: 1,
            anchor_data_list_holder: AnchorDataListHolder {
                anchor_page_list: Packed::from(&pages[..]),
                anchor_data_list: List::from(&blobs[..]),
            },
            predicate_data: None,
            comparator_data: None,
            partition_key_data: None,
            partition_keys_data: None,
        };
        let request = map::ValuesWithPagingPredicate { name: "m", predicate };
        let response = connection.map(maps::Request::ValuesWithPagingPredicate(request)).await;
        let (values, holder) =
            map::ValuesWithPagingPredicate::read_response(parsed(&response)).unwrap();
        assert_eq!(values.iter().map(number).collect::<Vec<_>>(), expected);
        let pages = holder.anchor_page_list.iter();
        let blobs = holder.anchor_data_list.iter();
        let owned = |data: Data<'_>| data.bytes().to_vec();
        anchors = pages.zip(blobs).map(|(page, (k, v))| (page, owned(k), owned(v))).collect();
    }
}

#[tokio::test]
async fn what_a_query_cannot_evaluate_is_an_error() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    connection.put_numbers().await;
    for (predicate, code) in [
        (object(-20, 8, &[&field("java.lang.String")]), ErrorCode::UnsupportedOperation),
        (object(77, 1, &[]), ErrorCode::UnsupportedOperation),
        (object(-20, 4, &[]), ErrorCode::HazelcastSerialization),
        (equal("name", "x"), ErrorCode::Query),
    ] {
        let request = map::KeySetWithPredicate { name: "m", predicate: data(&predicate) };
        let response = connection.map(maps::Request::KeySetWithPredicate(request)).await;
        assert_eq!(error_of(&response), code.code());
    }
}

#[tokio::test]
async fn entries_that_match_are_removed_also_if_they_are_locked() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    connection.put_numbers().await;
    Connection::authenticated(address, 2).await.lock(&text("8")).await;
    let predicate = greater(6);
    let request = map::RemoveAll { name: "m", predicate: data(&predicate) };
    let response = connection.map(maps::Request::RemoveAll(request)).await;
    map::RemoveAll::read_response(parsed(&response)).unwrap();
    assert_eq!((connection.size().await, connection.get(&text("8")).await), (7, None));
}

#[tokio::test]
async fn a_map_is_cleared_except_for_locked_keys() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    connection.put_numbers().await;
    let mut listener = Connection::authenticated(address, 2).await;
    listener.listen(None).await;
    listener.lock(&text("3")).await;
    // A locked key without an entry.
    listener.lock(&text("none")).await;
    connection.map(maps::Request::Clear(map::Clear { name: "m" })).await;
    assert_eq!(connection.get(&text("3")).await, Some(int(3)));
    assert_eq!(connection.size().await, 1);
    assert_eq!(listener.event().await, (entry_event::CLEAR_ALL, None, 9));
    // Nothing is removed, and nothing is reported.
    connection.map(maps::Request::Clear(map::Clear { name: "m" })).await;
    connection.put(&text("5"), &int(5)).await;
    assert_eq!(listener.event().await, (entry_event::ADDED, Some(text("5")), 1));
    connection.map(maps::Request::EvictAll(map::EvictAll { name: "m" })).await;
    assert_eq!(listener.event().await, (entry_event::EVICT_ALL, None, 1));
}

#[tokio::test]
async fn a_destroyed_map_has_no_locks() {
    let (_server, address) = server(Passwords::default()).await;
    let mut owner = Connection::authenticated(address, 1).await;
    owner.lock(&text("k")).await;
    let destroy = client::DestroyProxy { name: "m", service_name: service_name::MAP };
    owner.call(Request::Client(client_messages::Request::DestroyProxy(destroy))).await;
    let mut other = Connection::authenticated(address, 2).await;
    let put = async { other.put(&text("k"), &int(1)).await };
    tokio::time::timeout(Duration::from_secs(20), put).await.expect("the key is not locked");
    assert_eq!(owner.get(&text("k")).await, Some(int(1)));
}

#[tokio::test]
async fn an_evicted_entry_is_reported_as_such() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let mut listener = Connection::authenticated(address, 2).await;
    listener.listen(None).await;
    connection.put(&text("k"), &int(1)).await;
    let key = text("k");
    let evict = map::Evict { thread_id: 1, name: "m", key: data(&key) };
    let response = connection.map(maps::Request::Evict(evict)).await;
    assert_eq!(map::Evict::read_response(parsed(&response)).unwrap(), (true,));
    assert_eq!(listener.event().await, (entry_event::ADDED, Some(text("k")), 1));
    assert_eq!(listener.event().await, (entry_event::EVICTED, Some(text("k")), 1));
}

#[tokio::test]
async fn a_comparison_of_values_ignores_their_hashes() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let (key, old, new) = (text("k"), int(1), int(2));
    connection.put(&key, &old).await;
    let hashed = |blob: &[u8]| [&[0, 0, 0, 7], &blob[4..]].concat();
    let (test, other) = (hashed(&old), hashed(&text("1")));
    for (test, is_replaced) in [(&other, false), (&test, true)] {
        let replace = map::ReplaceIfSame {
            thread_id: 1,
            name: "m",
            key: data(&key),
            test_value: data(test),
            value: data(&new),
        };
        let response = connection.map(maps::Request::ReplaceIfSame(replace)).await;
        let replaced = map::ReplaceIfSame::read_response(parsed(&response)).unwrap();
        assert_eq!(replaced, (is_replaced,));
    }
    let test = hashed(&new);
    let remove = map::RemoveIfSame { thread_id: 1, name: "m", key: data(&key), value: data(&test) };
    let response = connection.map(maps::Request::RemoveIfSame(remove)).await;
    assert_eq!(map::RemoveIfSame::read_response(parsed(&response)).unwrap(), (true,));
    assert_eq!(connection.get(&key).await, None);
}

#[tokio::test]
async fn an_event_is_sent_if_the_predicate_matches_the_value() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let mut listener = Connection::authenticated(address, 2).await;
    listener.listen(Some(&greater(5))).await;
    let key = text("k");
    // 7 and its removal match.
    for number in [1, 7, 2, 9] {
        connection.put(&key, &int(number)).await;
    }
    let remove = map::Remove { thread_id: 1, name: "m", key: data(&key) };
    connection.map(maps::Request::Remove(remove)).await;
    for event_type in [entry_event::UPDATED, entry_event::UPDATED, entry_event::REMOVED] {
        assert_eq!(listener.event().await, (event_type, Some(key.clone()), 1));
    }
}

#[tokio::test]
async fn an_iteration_finds_each_entry_that_exists_all_the_time() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let all: BTreeSet<Vec<u8>> = (0..200).map(|number| text(&format!("k{number}"))).collect();
    for key in &all {
        connection.put(key, &int(1)).await;
    }
    let mut found = Vec::new();
    for partition in 0..7 {
        let mut pointers = vec![(i32::MAX, -1)];
        while pointers.last().is_some_and(|(index, _)| *index >= 0) {
            let request = map::FetchKeys {
                batch: 5,
                name: "m",
                iteration_pointers: Packed::from(&pointers[..]),
            };
            connection.last_id += 1;
            let mut bytes = Vec::new();
            let request = Request::Map(maps::Request::FetchKeys(request));
            request.write(&mut bytes, connection.last_id, partition);
            connection.stream.write_all(&bytes).await.unwrap();
            let response = connection.receive().await.unwrap();
            let (next, keys) = map::FetchKeys::read_response(parsed(&response)).unwrap();
            let next: Vec<_> = next.iter().collect();
            let keys = keys.iter().map(|key| key.bytes().to_vec());
            found.extend(keys.filter(|key| all.contains(key)));
            pointers = next;
            // The table of the partition grows meanwhile.
            let more = text(&format!("more{}", found.len()));
            connection.put(&more, &int(1)).await;
        }
    }
    assert_eq!(found.len(), all.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn compact_records_are_queried_with_their_schema() {
    let (server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let fields = [FieldDescriptor { kind: 9, field_name: "n" }];
    let schema = Schema { type_name: "t", fields: List::from(&fields) };
    let fetch = client::FetchSchema { schema_id: schema.id() };
    let fetch = Request::Client(client_messages::Request::FetchSchema(fetch));
    let response = connection.call(fetch).await;
    assert_eq!(client::FetchSchema::read_response(parsed(&response)).unwrap(), (None,));
    let send = client_messages::Request::SendSchema(client::SendSchema { schema });
    let response = connection.call(Request::Client(send)).await;
    let (members,) = client::SendSchema::read_response(parsed(&response)).unwrap();
    let me = Uuid::from_bytes(*server.grid.me().as_bytes());
    assert_eq!(members.iter().collect::<Vec<_>>(), [me]);
    let response = connection.call(fetch).await;
    let (stored,) = client::FetchSchema::read_response(parsed(&response)).unwrap();
    assert_eq!(stored, Some(schema));

    let record = |number: i32| {
        let fields = [&schema.id().to_be_bytes()[..], &number.to_be_bytes()].concat();
        [&[0; 4][..], &(-55_i32).to_be_bytes(), &fields].concat()
    };
    for number in 0..5 {
        connection.put(&text(&number.to_string()), &record(number)).await;
    }
    // Another member would have to read the schema first.
    server.schemas.forget_all();
    let predicate = object(-20, 4, &[&field("n"), &int(2)[4..], &[0, 0]]);
    let request = map::KeySetWithPredicate { name: "m", predicate: data(&predicate) };
    let response = connection.map(maps::Request::KeySetWithPredicate(request)).await;
    let (keys,) = map::KeySetWithPredicate::read_response(parsed(&response)).unwrap();
    assert_eq!(keys.len(), 2);
    server.schemas.forget_all();
    let mut listener = Connection::authenticated(address, 2).await;
    listener.listen(Some(&predicate)).await;
    for number in [1, 3, 4] {
        connection.put(&text("new"), &record(number)).await;
    }
    for _ in 0..2 {
        assert_eq!(listener.event().await, (entry_event::UPDATED, Some(text("new")), 1));
    }
    // The same of a replicated map.
    server.schemas.forget_all();
    let mut listener = Connection::authenticated(address, 3).await;
    let predicate = data(&predicate);
    let add =
        replicated_map::AddEntryListenerWithPredicate { local_only: true, name: "m", predicate };
    let add = replicated_map::Request::AddEntryListenerWithPredicate(add);
    listener.call(Request::ReplicatedMap(add)).await;
    for number in [1, 3, 4] {
        let (key, value) = (text("new"), record(number));
        let put = replicated_map::Put { ttl: 0, name: "m", key: data(&key), value: data(&value) };
        connection.call(Request::ReplicatedMap(replicated_map::Request::Put(put))).await;
    }
    for number in [3, 4] {
        let message = listener.receive().await.unwrap();
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        assert_eq!(event.value, Some(data(&record(number))));
    }
}

#[tokio::test]
async fn keys_of_several_types_are_queried_and_removed() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let id = Value::Uuid(Uuid::from_u64_pair(1, 2)).encode();
    for key in [&id, &int(7), &text("x")] {
        connection.put(key, &int(1)).await;
    }
    let keys = |response: &[u8]| {
        let (keys,) = map::KeySetWithPredicate::read_response(parsed(response)).unwrap();
        keys.iter().map(|key| key.bytes().to_vec()).collect::<Vec<_>>()
    };
    let predicate = equal("__key", "x");
    let request = map::KeySetWithPredicate { name: "m", predicate: data(&predicate) };
    let response = connection.map(maps::Request::KeySetWithPredicate(request)).await;
    assert_eq!(keys(&response), [text("x")]);
    // All keys but one are not equal to it, and are removed.
    let others = object(-20, 9, &[&field("__key"), &text("x")[4..]]);
    let remove = |predicate| maps::Request::RemoveAll(map::RemoveAll { name: "m", predicate });
    let response = connection.map(remove(data(&others))).await;
    map::RemoveAll::read_response(parsed(&response)).unwrap();
    assert_eq!(connection.size().await, 1);
    // If the operand can be converted to the type of no key, nothing is removed.
    connection.map(maps::Request::Clear(map::Clear { name: "m" })).await;
    connection.put(&id, &int(1)).await;
    connection.put(&Value::Uuid(Uuid::nil()).encode(), &int(1)).await;
    let response = connection.map(remove(data(&others))).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    assert_eq!(connection.size().await, 2);
}

#[tokio::test]
async fn a_reader_may_query_but_not_change() {
    let (_server, address) = server(Passwords::new(b"secret", b"look")).await;
    let mut connection = Connection::open(address).await;
    connection.authenticate("dev", Some("readonly"), Some("look"), 1).await;
    assert_eq!(connection.values_with(&greater(6)).await, [0; 0]);
    let predicate = greater(6);
    let request = map::RemoveAll { name: "m", predicate: data(&predicate) };
    let response = connection.map(maps::Request::RemoveAll(request)).await;
    assert_eq!(error_of(&response), ErrorCode::AccessControl.code());
    let schema = Schema { type_name: "t", fields: List::default() };
    let send = client_messages::Request::SendSchema(client::SendSchema { schema });
    let response = connection.call(Request::Client(send)).await;
    assert_eq!(error_of(&response), ErrorCode::AccessControl.code());
}

#[tokio::test]
async fn creation_and_destruction_of_a_map_are_reported() {
    let (_server, address) = server(Passwords::default()).await;
    let mut listener = Connection::authenticated(address, 1).await;
    let add = client::AddDistributedObjectListener { local_only: true };
    let add = client_messages::Request::AddDistributedObjectListener(add);
    listener.call(Request::Client(add)).await;
    let mut connection = Connection::authenticated(address, 2).await;
    let (name, service_name) = ("m", service_name::MAP);
    let create = client::CreateProxy { name, service_name };
    let create = Request::Client(client_messages::Request::CreateProxy(create));
    connection.call(create).await;
    connection.call(create).await;
    let destroy = client::DestroyProxy { name, service_name };
    connection.call(Request::Client(client_messages::Request::DestroyProxy(destroy))).await;
    for event_type in ["CREATED", "DESTROYED"] {
        let message = listener.receive().await.unwrap();
        let event = DistributedObjectEvent::decode(parsed(&message)).unwrap();
        assert_eq!((event.name, event.service_name), (name, service_name));
        assert_eq!(event.event_type, event_type);
    }
}

#[tokio::test]
async fn a_lost_partition_is_reported() {
    let (server, address) = server(Passwords::default()).await;
    let mut listener = Connection::authenticated(address, 1).await;
    let add = map::AddPartitionLostListener { local_only: true, name: "m" };
    listener.map(maps::Request::AddPartitionLostListener(add)).await;
    server.announce_loss(3).await.unwrap();
    let message = listener.receive().await.unwrap();
    let event = MapPartitionLostEvent::decode(parsed(&message)).unwrap();
    assert_eq!(event.partition_id, 3);
}

#[tokio::test]
async fn invalidations_of_a_partition_are_numbered() {
    let (_server, address) = server(Passwords::default()).await;
    let mut near = Connection::authenticated(address, 1).await;
    let add = map::AddNearCacheInvalidationListener {
        listener_flags: entry_event::INVALIDATION,
        local_only: true,
        name: "m",
    };
    near.map(maps::Request::AddNearCacheInvalidationListener(add)).await;
    let mut connection = Connection::authenticated(address, 2).await;
    let mut uuid = None;
    for sequence in 1..4 {
        connection.put(&text("k"), &int(1)).await;
        let message = near.receive().await.unwrap();
        let event = MapInvalidation::decode(parsed(&message)).unwrap();
        assert_eq!((event.sequence, event.key), (sequence, Some(data(&text("k")))));
        uuid = Some(event.partition_uuid);
    }
    let names = ["m", "other"];
    let fetch =
        map::FetchNearCacheInvalidationMetadata { uuid: Uuid::now_v7(), names: List::from(&names) };
    let response = near.map(maps::Request::FetchNearCacheInvalidationMetadata(fetch)).await;
    let (sequences, uuids) =
        map::FetchNearCacheInvalidationMetadata::read_response(parsed(&response)).unwrap();
    let sequences: Vec<_> = sequences.iter().collect();
    assert_eq!((sequences.len(), sequences[0].0), (2, "m"));
    assert_eq!((sequences[1].0, sequences[1].1.len()), ("other", 0));
    assert_eq!(sequences[0].1.iter().map(|(_, last)| last).collect::<Vec<_>>(), [3]);
    assert!(uuids.iter().all(|(_, id)| Some(id) == uuid));
    assert_eq!(uuids.len(), 7);
}
