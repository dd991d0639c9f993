//! A client of caches against a server on a grid of a single member.

use convoke_grid::op::{KeyOp, PlainOp};
use convoke_hazelcast::cache::CacheConfigHolder;
use convoke_hazelcast::codec::cache::{self, Request};
use convoke_hazelcast::codec::events::{CacheEvent, CacheInvalidation};
use convoke_hazelcast::codec::{
    Encoded, List, Packed, Request as AnyRequest, cache_event, client, service_name,
};
use convoke_hazelcast::data::{Data, Value};
use convoke_hazelcast::error::ErrorCode;
use convoke_hazelcast::message::Message;
use std::sync::LazyLock;

use super::super::tests::{Connection, data, error_of, parsed, server, text};
use super::{NO_COMPLETION, Tag};
use crate::trust::Passwords;

/// Messages as clients in Java send them, and expiry policies.
const MESSAGES: &str = include_str!("../../../../hazelcast/src/codec/tests/messages.txt");
const POLICIES: &str = include_str!("../../../../hazelcast/src/cache/tests/policies.txt");
/// Lines of factories of policies: 30 s after the creation, and never.
const CREATED: usize = 0;
const ETERNAL: usize = 4;
/// The line of a policy: 30 s after an access.
const ACCESSED_POLICY: usize = 10;
const NAME: &str = "/hz/my-manager/c1";
/// Number of partitions of the grid.
const PARTITIONS: i32 = 7;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn blob(line: usize) -> Vec<u8> {
    bytes(POLICIES.lines().nth(line).unwrap())
}

/// The message `Cache.createConfig`.
static CREATE_CONFIG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let is_it = |bytes: &Vec<u8>| bytes[6..10] == 0x13_0600_u32.to_le_bytes();
    MESSAGES.lines().map(bytes).find(is_it).unwrap()
});

/// The configuration that a client sends, after a change.
fn config<'a>(change: impl FnOnce(&mut CacheConfigHolder<'a>)) -> Vec<u8> {
    let request = AnyRequest::decode(Message::parse(&CREATE_CONFIG).unwrap()).unwrap();
    let AnyRequest::Cache(Request::CreateConfig(request)) = request else { panic!("{request:?}") };
    let mut holder = CacheConfigHolder::decode(&request.cache_config).unwrap();
    change(&mut holder);
    holder.encode()
}

fn encoded(bytes: &[u8]) -> Encoded<'_> {
    Encoded::from_bytes(bytes).unwrap()
}

fn number(number: i32) -> Vec<u8> {
    Value::Int(number).encode()
}

/// A connection to a server, and what it needs to send requests to a cache.
struct Client(Connection);

impl Client {
    async fn call(&mut self, request: Request<'_>) -> Vec<u8> {
        self.0.call(AnyRequest::Cache(request)).await
    }

    /// Creates the cache; returns the response.
    async fn create(&mut self, config: &[u8]) -> Vec<u8> {
        let create =
            cache::CreateConfig { create_also_on_others: true, cache_config: encoded(config) };
        self.call(Request::CreateConfig(create)).await
    }

    async fn create_eternal(&mut self) {
        let eternal = blob(ETERNAL);
        let config = config(|holder| holder.expiry_policy_factory = data(&eternal));
        self.create(&config).await;
    }

    async fn put(&mut self, key: &[u8], value: &[u8], completion_id: i32) -> Option<Vec<u8>> {
        let put = cache::Put {
            get: true,
            completion_id,
            name: NAME,
            key: data(key),
            value: data(value),
            expiry_policy: None,
        };
        let response = self.call(Request::Put(put)).await;
        let (value,) = cache::Put::read_response(parsed(&response)).unwrap();
        value.map(|value| value.bytes().to_vec())
    }

    async fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let get = cache::Get { name: NAME, key: data(key), expiry_policy: None };
        let response = self.call(Request::Get(get)).await;
        let (value,) = cache::Get::read_response(parsed(&response)).unwrap();
        value.map(|value| value.bytes().to_vec())
    }

    async fn size(&mut self) -> i32 {
        let response = self.call(Request::Size(cache::Size { name: NAME })).await;
        cache::Size::read_response(parsed(&response)).unwrap().0
    }

    /// The configuration that the cluster has.
    async fn config(&mut self) -> Option<Vec<u8>> {
        let get = cache::GetConfig { name: NAME, simple_name: "c1" };
        let response = self.call(Request::GetConfig(get)).await;
        let (config,) = cache::GetConfig::read_response(parsed(&response)).unwrap();
        config.map(|config| config.bytes().to_vec())
    }
}

async fn connected() -> (std::sync::Arc<super::super::Server>, Client, std::net::SocketAddr) {
    let (server, address) = server(Passwords::default()).await;
    let connection = Connection::authenticated(address, 1).await;
    (server, Client(connection), address)
}

#[tokio::test]
async fn the_first_configuration_remains_until_the_cache_is_destroyed() {
    let (server, mut client, _) = connected().await;
    assert_eq!(client.config().await, None);
    let (first, other) = (config(|_| {}), config(|holder| holder.statistics_enabled = true));
    for sent in [&first, &other] {
        let response = client.create(sent).await;
        let (stored,) = cache::CreateConfig::read_response(parsed(&response)).unwrap();
        assert_eq!(stored, Some(encoded(&first)));
    }
    let stored = client.config().await.unwrap();
    assert_eq!(encoded(&stored), encoded(&first));
    let (key, value) = (number(1), text("a"));
    client.put(&key, &value, -1).await;
    // Another member removes the configuration.
    let map = server.grid.open_system("hazelcast-caches").unwrap();
    let (partition, remove) =
        (server.grid.partition_of(NAME.as_bytes()), KeyOp::Plain(PlainOp::Take));
    server.submit_key(&map, partition, NAME.as_bytes(), remove).await.unwrap();
    let get = cache::Get { name: NAME, key: data(&key), expiry_policy: None };
    let response = client.call(Request::Get(get)).await;
    assert_eq!(error_of(&response), ErrorCode::CacheNotExists.code());
    client.create(&first).await;
    let destroy = client::DestroyProxy { name: NAME, service_name: service_name::CACHE };
    client.0.call(AnyRequest::Client(client::Request::DestroyProxy(destroy))).await;
    assert_eq!(client.config().await, None);
    let get = cache::Get { name: NAME, key: data(&key), expiry_policy: None };
    let response = client.call(Request::Get(get)).await;
    assert_eq!(error_of(&response), ErrorCode::CacheNotExists.code());
    client.create(&other).await;
    assert_eq!(client.get(&key).await, None);
}

#[tokio::test]
async fn an_entry_is_compared_replaced_and_removed() {
    let (_server, mut client, _) = connected().await;
    client.create_eternal().await;
    let (key, a, b) = (number(1), text("a"), text("b"));
    let is_true = |response: &[u8]| {
        let (value,) = cache::Replace::read_response(parsed(response)).unwrap();
        Value::decode(value.unwrap()) == Some(Value::Bool(true))
    };
    let replace = |old: Option<&'static [u8]>, new| {
        Request::Replace(cache::Replace {
            completion_id: -1,
            name: NAME,
            key: data(Box::leak(number(1).into_boxed_slice())),
            old_value: old.map(data),
            new_value: new,
            expiry_policy: None,
        })
    };
    let leaked: &'static [u8] = Box::leak(b.clone().into_boxed_slice());
    assert!(!is_true(&client.call(replace(None, data(&a))).await));
    assert_eq!(client.put(&key, &a, -1).await, None);
    assert_eq!(client.put(&key, &a, -1).await, Some(a.clone()));
    assert!(!is_true(&client.call(replace(Some(leaked), data(&b))).await));
    assert!(is_true(&client.call(replace(None, data(&b))).await));
    assert!(is_true(&client.call(replace(Some(leaked), data(&a))).await));
    assert_eq!(client.get(&key).await, Some(a.clone()));
    for (current_value, removed) in [(Some(data(&b)), false), (Some(data(&a)), true), (None, false)]
    {
        let remove =
            cache::Remove { completion_id: -1, name: NAME, key: data(&key), current_value };
        let response = client.call(Request::Remove(remove)).await;
        assert_eq!(cache::Remove::read_response(parsed(&response)).unwrap(), (removed,));
    }
    assert_eq!(client.size().await, 0);
}

#[tokio::test]
async fn a_synchronous_listener_learns_that_an_operation_is_done_after_its_events() {
    let (_server, mut client, address) = connected().await;
    client.create_eternal().await;
    let listener = cache::AddEntryListener { local_only: true, name: NAME };
    let listener = client.0.send(AnyRequest::Cache(Request::AddEntryListener(listener))).await;
    client.0.receive().await.unwrap();
    let mut other = Client(Connection::authenticated(address, 2).await);
    let (key, a, b) = (number(1), text("a"), text("b"));
    client.put(&key, &a, 1).await;
    client.put(&key, &b, 2).await;
    // Only the client of an operation is notified that it is done.
    other.put(&key, &a, 3).await;
    let remove_all = cache::RemoveAll { completion_id: 4, name: NAME };
    client.call(Request::RemoveAll(remove_all)).await;
    // Those before were passed over while waiting for responses.
    let put = cache::PutIfAbsent {
        completion_id: 5,
        name: NAME,
        key: data(&key),
        value: data(&a),
        expiry_policy: None,
    };
    let put = client.0.send(AnyRequest::Cache(Request::PutIfAbsent(put))).await;
    let (mut kinds, mut partitions) = (Vec::new(), Vec::new());
    let mut completed = 0;
    while completed < 5 {
        let message = client.0.receive().await.unwrap();
        let header = parsed(&message).header();
        if header.correlation_id == put {
            continue;
        }
        assert_eq!(header.correlation_id, listener);
        let event = CacheEvent::decode(parsed(&message)).unwrap();
        if event.kind == cache_event::COMPLETED {
            completed = event.completion_id;
            partitions.push(header.partition_id);
        }
        let entry = event.keys.iter().next().unwrap();
        assert_eq!(entry.name, NAME);
        kinds.push((event.kind, event.completion_id, entry.data_value.map(|v| v.bytes().to_vec())));
    }
    let last: Vec<_> = kinds.iter().rev().take(2).rev().cloned().collect();
    assert_eq!(
        last,
        [(cache_event::CREATED, -1, Some(a)), (cache_event::COMPLETED, 5, None)],
        "{kinds:?}"
    );
}

#[tokio::test]
async fn an_iteration_visits_all_entries_although_others_change() {
    let (_server, mut client, _) = connected().await;
    client.create_eternal().await;
    for key in 0..200 {
        client.put(&number(key), &text("a"), -1).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    for partition in 0..PARTITIONS {
        let mut pointer = (i32::MAX, -1);
        while pointer.0 >= 0 {
            let pointers = [pointer];
            let iterate = cache::Iterate {
                batch: 3,
                name: NAME,
                iteration_pointers: Packed::from(&pointers),
            };
            let response = client.iterate(partition, iterate).await;
            let (pointers, keys) = cache::Iterate::read_response(parsed(&response)).unwrap();
            pointer = pointers.iter().last().unwrap();
            assert!(pointer.0 < 0 || keys.iter().len() >= 3, "a client would stop here");
            for key in keys {
                assert!(seen.insert(key.bytes().to_vec()), "an entry is visited once");
            }
            // New entries may be visited or not.
            let other = 1_000 + i32::try_from(seen.len()).unwrap();
            client.put(&number(other), &text("b"), -1).await;
        }
    }
    assert!((0..200).all(|key| seen.contains(&number(key))));
}

impl Client {
    async fn iterate(&mut self, partition: i32, iterate: cache::Iterate<'_>) -> Vec<u8> {
        self.0.call_in(AnyRequest::Cache(Request::Iterate(iterate)), partition).await
    }
}

#[tokio::test]
async fn a_near_cache_is_notified_of_changes() {
    let (_server, mut client, address) = connected().await;
    client.create_eternal().await;
    let listener = cache::AddNearCacheInvalidationListener { local_only: true, name: NAME };
    client.call(Request::AddNearCacheInvalidationListener(listener)).await;
    let mut writer = Client(Connection::authenticated(address, 2).await);
    let key = number(1);
    writer.put(&key, &text("a"), 7).await;
    writer.call(Request::Clear(cache::Clear { name: NAME })).await;
    for expected in [Some(data(&key)), None] {
        let message = client.0.receive().await.unwrap();
        let invalidation = CacheInvalidation::decode(parsed(&message)).unwrap();
        assert_eq!((invalidation.name, invalidation.key), (NAME, expected));
    }
}

#[tokio::test]
async fn a_configuration_that_is_not_offered_is_refused() {
    let (_server, mut client, _) = connected().await;
    let object = text("an object");
    let object = data(&object);
    for refused in [
        config(|holder| holder.cache_loader_factory = Some(object)),
        config(|holder| holder.cache_writer_factory = Some(object)),
        config(|holder| holder.expiry_policy_factory = object),
        config(|holder| holder.in_memory_format = "NATIVE"),
        config(|holder| holder.eviction_config_holder.comparator = Some(object)),
        config(|holder| holder.split_brain_protection_name = Some("quorum")),
    ] {
        let response = client.create(&refused).await;
        assert_eq!(error_of(&response), ErrorCode::UnsupportedOperation.code());
    }
    assert_eq!(client.config().await, None);
    client.create_eternal().await;
    let put = cache::Put {
        get: false,
        completion_id: -1,
        name: NAME,
        key: object,
        value: object,
        expiry_policy: Some(object),
    };
    let processor = cache::EntryProcessor {
        completion_id: -1,
        name: NAME,
        key: object,
        entry_processor: object,
        arguments: List::default(),
    };
    for request in [Request::Put(put), Request::EntryProcessor(processor)] {
        let response = client.call(request).await;
        assert_eq!(error_of(&response), ErrorCode::UnsupportedOperation.code());
    }
    let accessed = blob(ACCESSED_POLICY);
    let put = cache::Put { expiry_policy: Some(data(&accessed)), ..put };
    let response = client.call(Request::Put(put)).await;
    cache::Put::read_response(parsed(&response)).unwrap();
}

#[tokio::test]
async fn listeners_and_statistics_are_in_the_configuration_of_all_clients() {
    let (_server, mut client, _) = connected().await;
    let created = blob(CREATED);
    let sent = config(|holder| holder.expiry_policy_factory = data(&created));
    client.create(&sent).await;
    let uuid = uuid::Uuid::from_u128(1);
    let listener = text("a listener");
    for should_register in [true, true, false, true] {
        let registration = cache::ListenerRegistration {
            should_register,
            uuid,
            name: NAME,
            listener_config: data(&listener),
        };
        client.call(Request::ListenerRegistration(registration)).await;
    }
    let management = cache::ManagementConfig { is_stat: true, enabled: true, uuid, name: NAME };
    client.call(Request::ManagementConfig(management)).await;
    let stored = client.config().await.unwrap();
    let stored = CacheConfigHolder::decode(&encoded(&stored)).unwrap();
    let listeners: Vec<Data<'_>> = stored.listener_configurations.unwrap().iter().collect();
    assert_eq!((listeners, stored.statistics_enabled), (vec![data(&listener)], true));
    assert_eq!(stored.expiry_policy_factory, data(&created));
}

#[tokio::test]
async fn a_reader_may_not_write() {
    let (_server, address) = server(Passwords::new(b"secret", b"look")).await;
    let mut connection = Connection::open(address).await;
    connection.authenticate("dev", None, Some("secret"), 1).await;
    let mut writer = Client(connection);
    let mut connection = Connection::open(address).await;
    connection.authenticate("dev", Some("readonly"), Some("look"), 2).await;
    let mut reader = Client(connection);
    let (config, key) = (config(|_| {}), number(1));
    let response = reader.create(&config).await;
    assert_eq!(error_of(&response), ErrorCode::AccessControl.code());
    writer.create(&config).await;
    writer.put(&key, &text("a"), -1).await;
    let response = reader.create(&config).await;
    cache::CreateConfig::read_response(parsed(&response)).unwrap();
    assert_eq!(reader.get(&key).await, Some(text("a")));
    let remove = cache::GetAndRemove { completion_id: -1, name: NAME, key: data(&key) };
    for request in [
        Request::GetAndRemove(remove),
        Request::RemoveAll(cache::RemoveAll { completion_id: -1, name: NAME }),
        Request::Clear(cache::Clear { name: NAME }),
        Request::Destroy(cache::Destroy { name: NAME }),
    ] {
        let response = reader.call(request).await;
        assert_eq!(error_of(&response), ErrorCode::AccessControl.code(), "{request:?}");
    }
    assert_eq!(reader.size().await, 1);
}

#[tokio::test]
async fn requests_on_a_key_are_executed_in_their_order() {
    let (_server, mut client, address) = connected().await;
    client.create_eternal().await;
    // No request has used the configuration yet, and this client does not wait.
    let mut other = Client(Connection::authenticated(address, 2).await);
    let key = number(1);
    let mut last = 0;
    for round in 0..200 {
        let value = number(round);
        let put = cache::Put {
            get: false,
            completion_id: -1,
            name: NAME,
            key: data(&key),
            value: data(&value),
            expiry_policy: None,
        };
        last = other.0.send(AnyRequest::Cache(Request::Put(put))).await;
    }
    loop {
        let message = other.0.receive().await.unwrap();
        if parsed(&message).header().correlation_id == last {
            break;
        }
    }
    assert_eq!(other.get(&key).await, Some(number(199)));
}

#[test]
fn a_tag_is_decoded() {
    let client = uuid::Uuid::from_u128(7);
    for (completion_id, member) in [(0, None), (i32::MIN, Some(uuid::Uuid::from_u128(9)))] {
        let bytes = Tag { client, completion_id, member }.encode();
        let tag = Tag::decode(&bytes).unwrap();
        assert_eq!((tag.client, tag.completion_id, tag.member), (client, completion_id, member));
    }
    assert!(Tag { client, completion_id: NO_COMPLETION, member: None }.encode().is_empty());
    assert!(Tag::decode(&[0; 19]).is_none());
}
