//! Multimaps, replicated maps, topics, counters and generators of ids.

use convoke_hazelcast::codec::events::{EntryEvent, TopicEvent};
use convoke_hazelcast::codec::{
    Packed, flake_id, multi_map, pn_counter, replicated_map, service_name, topic,
};

use super::*;

type MultiMapRequest<'a> = multi_map::Request<'a>;
type ReplicatedMapRequest<'a> = replicated_map::Request<'a>;

pub(super) async fn multi(connection: &mut Connection, request: MultiMapRequest<'_>) -> Vec<u8> {
    connection.call(Request::MultiMap(request)).await
}

pub(super) async fn put(connection: &mut Connection, key: &[u8], value: &[u8]) -> bool {
    let put = multi_map::Put { thread_id: 1, name: "mm", key: data(key), value: data(value) };
    let response = multi(connection, MultiMapRequest::Put(put)).await;
    multi_map::Put::read_response(parsed(&response)).unwrap().0
}

fn sorted<'a>(values: List<'a, Data<'a>>) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = values.iter().map(|value| value.bytes().to_vec()).collect();
    values.sort();
    values
}

async fn get(connection: &mut Connection, key: &[u8]) -> Vec<Vec<u8>> {
    let get = multi_map::Get { thread_id: 1, name: "mm", key: data(key) };
    let response = multi(connection, MultiMapRequest::Get(get)).await;
    sorted(multi_map::Get::read_response(parsed(&response)).unwrap().0)
}

/// A blob whose hash is set.
fn with_hash(blob: &[u8], hash: u8) -> Vec<u8> {
    let mut blob = blob.to_vec();
    blob[3] = hash;
    blob
}

#[tokio::test]
async fn a_multimap_has_several_values_for_a_key() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let (k, l, a, b) = (text("k"), text("l"), text("a"), text("b"));
    assert!(put(&mut client, &k, &with_hash(&a, 9)).await);
    assert!(!put(&mut client, &k, &a).await, "the hash does not count");
    assert!(put(&mut client, &k, &b).await);
    assert!(put(&mut client, &l, &a).await);
    assert_eq!(get(&mut client, &k).await, [b.clone(), with_hash(&a, 9)]);
    let size = MultiMapRequest::Size(multi_map::Size { name: "mm" });
    let response = multi(&mut client, size).await;
    assert_eq!(multi_map::Size::read_response(parsed(&response)).unwrap(), (3,));
    let key_set = MultiMapRequest::KeySet(multi_map::KeySet { name: "mm" });
    let response = multi(&mut client, key_set).await;
    let (keys,) = multi_map::KeySet::read_response(parsed(&response)).unwrap();
    assert_eq!(sorted(keys), [k.clone(), l.clone()]);
    let entry_set = MultiMapRequest::EntrySet(multi_map::EntrySet { name: "mm" });
    let response = multi(&mut client, entry_set).await;
    let (entries,) = multi_map::EntrySet::read_response(parsed(&response)).unwrap();
    assert_eq!(entries.iter().filter(|(key, _)| *key == data(&k)).count(), 2);
    for (value, expected) in [(&a, true), (&text("c"), false)] {
        let contains = multi_map::ContainsValue { name: "mm", value: data(value) };
        let response = multi(&mut client, MultiMapRequest::ContainsValue(contains)).await;
        let found = multi_map::ContainsValue::read_response(parsed(&response)).unwrap();
        assert_eq!(found, (expected,));
        let contains = multi_map::ContainsEntry {
            thread_id: 1,
            name: "mm",
            key: data(&k),
            value: data(value),
        };
        let response = multi(&mut client, MultiMapRequest::ContainsEntry(contains)).await;
        let found = multi_map::ContainsEntry::read_response(parsed(&response)).unwrap();
        assert_eq!(found, (expected,));
    }
    let remove =
        multi_map::RemoveEntry { thread_id: 1, name: "mm", key: data(&k), value: data(&a) };
    for expected in [true, false] {
        let response = multi(&mut client, MultiMapRequest::RemoveEntry(remove)).await;
        let removed = multi_map::RemoveEntry::read_response(parsed(&response)).unwrap();
        assert_eq!(removed, (expected,));
    }
    let count = multi_map::ValueCount { thread_id: 1, name: "mm", key: data(&k) };
    let response = multi(&mut client, MultiMapRequest::ValueCount(count)).await;
    assert_eq!(multi_map::ValueCount::read_response(parsed(&response)).unwrap(), (1,));
    let remove = multi_map::Remove { thread_id: 1, name: "mm", key: data(&k) };
    let response = multi(&mut client, MultiMapRequest::Remove(remove)).await;
    let (removed,) = multi_map::Remove::read_response(parsed(&response)).unwrap();
    assert_eq!(sorted(removed), [b]);
    assert_eq!(get(&mut client, &k).await, [[0_u8; 0]; 0]);
    // A map of the same name is another structure, and none can have the name of the stored one.
    assert_eq!(client.get(&l).await, None);
    let size = maps::Request::Size(map::Size { name: "hazelcast:multimap:mm" });
    let response = client.map(size).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    let destroy =
        client_messages::DestroyProxy { name: "mm", service_name: service_name::MULTI_MAP };
    client.call(Request::Client(client_messages::Request::DestroyProxy(destroy))).await;
    assert_eq!(get(&mut client, &l).await, [[0_u8; 0]; 0]);
}

#[tokio::test]
async fn null_is_neither_key_nor_value_of_a_multimap() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let (null, a) = ([0; 8], text("a"));
    for (key, value) in [(&null[..], &a[..]), (&a[..], &null[..])] {
        let put = multi_map::Put { thread_id: 1, name: "mm", key: data(key), value: data(value) };
        let response = multi(&mut client, MultiMapRequest::Put(put)).await;
        assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    }
}

#[tokio::test]
async fn a_key_of_a_multimap_can_be_locked() {
    let (_server, address) = server(Passwords::default()).await;
    let mut owner = Connection::authenticated(address, 1).await;
    let mut other = Connection::authenticated(address, 2).await;
    let (k, a) = (text("k"), text("a"));
    let lock =
        multi_map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "mm", key: data(&k) };
    let response = multi(&mut owner, MultiMapRequest::Lock(lock)).await;
    multi_map::Lock::read_response(parsed(&response)).unwrap();
    let try_lock = multi_map::TryLock {
        thread_id: 1,
        lease: -1,
        timeout: 5,
        reference_id: 1,
        name: "mm",
        key: data(&k),
    };
    let response = multi(&mut other, MultiMapRequest::TryLock(try_lock)).await;
    assert_eq!(multi_map::TryLock::read_response(parsed(&response)).unwrap(), (false,));
    let delete = multi_map::Delete { thread_id: 1, name: "mm", key: data(&k) };
    let waiting = other.send(Request::MultiMap(MultiMapRequest::Delete(delete))).await;
    assert!(put(&mut owner, &k, &a).await);
    let unlock = multi_map::Unlock { thread_id: 1, reference_id: 2, name: "mm", key: data(&k) };
    let response = multi(&mut owner, MultiMapRequest::Unlock(unlock)).await;
    multi_map::Unlock::read_response(parsed(&response)).unwrap();
    let deleted = other.receive().await.unwrap();
    assert_eq!(parsed(&deleted).header().correlation_id, waiting);
    assert_eq!(get(&mut owner, &k).await, [[0_u8; 0]; 0]);
    let is_locked = multi_map::IsLocked { name: "mm", key: data(&k) };
    let response = multi(&mut owner, MultiMapRequest::IsLocked(is_locked)).await;
    assert_eq!(multi_map::IsLocked::read_response(parsed(&response)).unwrap(), (false,));
}

/// The next event of entries: its type, value, old value, and number of entries.
pub(super) async fn event(
    connection: &mut Connection,
) -> (i32, Option<Vec<u8>>, Option<Vec<u8>>, i32) {
    let message = connection.receive().await.unwrap();
    let event = EntryEvent::decode(parsed(&message)).unwrap();
    let bytes = |value: Option<Data<'_>>| value.map(|value| value.bytes().to_vec());
    let count = event.number_of_affected_entries;
    (event.event_type, bytes(event.value), bytes(event.old_value), count)
}

#[tokio::test]
async fn a_listener_of_a_multimap_receives_an_event_for_each_value() {
    let (_server, address) = server(Passwords::default()).await;
    let mut listener = Connection::authenticated(address, 1).await;
    let mut writer = Connection::authenticated(address, 2).await;
    let add = multi_map::AddEntryListener { include_value: true, local_only: true, name: "mm" };
    multi(&mut listener, MultiMapRequest::AddEntryListener(add)).await;
    let (k, a, b) = (text("k"), text("a"), text("b"));
    put(&mut writer, &k, &a).await;
    put(&mut writer, &k, &a).await;
    put(&mut writer, &k, &b).await;
    let clear = multi_map::Clear { name: "mm" };
    multi(&mut writer, MultiMapRequest::Clear(clear)).await;
    put(&mut writer, &k, &b).await;
    let remove = multi_map::Remove { thread_id: 1, name: "mm", key: data(&k) };
    multi(&mut writer, MultiMapRequest::Remove(remove)).await;
    for expected in [
        (entry_event::ADDED, Some(a), None, 1),
        (entry_event::ADDED, Some(b.clone()), None, 1),
        (entry_event::CLEAR_ALL, None, None, 1),
        (entry_event::ADDED, Some(b.clone()), None, 1),
        (entry_event::REMOVED, None, Some(b), 1),
    ] {
        assert_eq!(event(&mut listener).await, expected);
    }
}

#[tokio::test]
async fn a_replicated_map_is_a_map_whose_entries_are_evicted_when_they_expire() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let mut listener = Connection::authenticated(address, 2).await;
    let add = replicated_map::AddEntryListener { local_only: true, name: "r" };
    let add = ReplicatedMapRequest::AddEntryListener(add);
    listener.call(Request::ReplicatedMap(add)).await;
    let (k, a, b) = (text("k"), text("a"), text("b"));
    for (value, ttl, old) in [(&a, 0, None), (&b, 30, Some(data(&a)))] {
        let put = replicated_map::Put { ttl, name: "r", key: data(&k), value: data(value) };
        let response = client.call(Request::ReplicatedMap(ReplicatedMapRequest::Put(put))).await;
        assert_eq!(replicated_map::Put::read_response(parsed(&response)).unwrap(), (old,));
    }
    for expected in [
        (entry_event::ADDED, Some(a.clone()), None, 1),
        (entry_event::UPDATED, Some(b.clone()), Some(a.clone()), 1),
        (entry_event::EVICTED, None, Some(b.clone()), 1),
    ] {
        assert_eq!(event(&mut listener).await, expected);
    }
    let entries = [(data(&k), data(&a)), (data(&a), data(&b)), (data(&b), data(&b))];
    let put_all = replicated_map::PutAll { name: "r", entries: List::from(&entries) };
    client.call(Request::ReplicatedMap(ReplicatedMapRequest::PutAll(put_all))).await;
    let size = ReplicatedMapRequest::Size(replicated_map::Size { name: "r" });
    let response = client.call(Request::ReplicatedMap(size)).await;
    assert_eq!(replicated_map::Size::read_response(parsed(&response)).unwrap(), (3,));
    let hashed = with_hash(&b, 3);
    let contains = replicated_map::ContainsValue { name: "r", value: data(&hashed) };
    let contains = Request::ReplicatedMap(ReplicatedMapRequest::ContainsValue(contains));
    let response = client.call(contains).await;
    assert_eq!(replicated_map::ContainsValue::read_response(parsed(&response)).unwrap(), (true,));
    let mut viewed = 0;
    for partition_id in 0..7 {
        let mut fetch = replicated_map::FetchEntryViews {
            cursor_id: Uuid::nil(),
            new_iteration: true,
            partition_id,
            batch_size: 1,
            name: "r",
        };
        loop {
            let request = ReplicatedMapRequest::FetchEntryViews(fetch);
            let response = client.call(Request::ReplicatedMap(request)).await;
            let (cursor_id, views) =
                replicated_map::FetchEntryViews::read_response(parsed(&response)).unwrap();
            if views.iter().count() == 0 {
                break;
            }
            viewed += views.iter().count();
            (fetch.cursor_id, fetch.new_iteration) = (cursor_id, false);
        }
    }
    assert_eq!(viewed, 3);
    let clear = ReplicatedMapRequest::Clear(replicated_map::Clear { name: "r" });
    client.call(Request::ReplicatedMap(clear)).await;
    for _ in 0..3 {
        assert_eq!(event(&mut listener).await.0, entry_event::ADDED);
    }
    assert_eq!(event(&mut listener).await, (entry_event::CLEAR_ALL, None, None, 3));
    let response = client.map(maps::Request::Size(map::Size { name: "r" })).await;
    assert_eq!(map::Size::read_response(parsed(&response)).unwrap(), (0,), "another structure");
}

#[tokio::test]
async fn messages_of_a_topic_are_delivered_in_order_and_unseen_by_redis() {
    let (server, address) = server(Passwords::default()).await;
    let mut publisher = Connection::authenticated(address, 1).await;
    let mut listener = Connection::authenticated(address, 2).await;
    let add = topic::AddMessageListener { local_only: true, name: "t" };
    let add = Request::Topic(topic::Request::AddMessageListener(add));
    let response = listener.call(add).await;
    let (uuid,) = topic::AddMessageListener::read_response(parsed(&response)).unwrap();
    let all = convoke_grid::topic::SubscriptionQuery::ShardTopics(None);
    let listed = server.grid.subscriptions_here(&all).unwrap();
    assert_eq!(listed, convoke_grid::topic::SubscriptionInfo::Names([].into()));
    let messages: Vec<Vec<u8>> = (0..40).map(|number| Value::Int(number).encode()).collect();
    let (single, many) = messages.split_at(20);
    for message in single {
        let publish = topic::Publish { name: "t", message: data(message) };
        publisher.send(Request::Topic(topic::Request::Publish(publish))).await;
    }
    let many: Vec<Data<'_>> = many.iter().map(|message| data(message)).collect();
    let publish = topic::PublishAll { name: "t", messages: List::from(&many[..]) };
    publisher.call(Request::Topic(topic::Request::PublishAll(publish))).await;
    for expected in &messages {
        let message = listener.receive().await.unwrap();
        let event = TopicEvent::decode(parsed(&message)).unwrap();
        assert_eq!(event.item.bytes(), expected);
        assert_eq!(event.uuid, super::super::view::uuid(server.grid.me()));
        assert!(event.publish_time > 1_600_000_000_000);
    }
    let remove = topic::RemoveMessageListener { registration_id: uuid, name: "t" };
    let remove = Request::Topic(topic::Request::RemoveMessageListener(remove));
    let response = listener.call(remove).await;
    assert_eq!(topic::RemoveMessageListener::read_response(parsed(&response)).unwrap(), (true,));
    let publish = topic::Publish { name: "t", message: many[0] };
    publisher.call(Request::Topic(topic::Request::Publish(publish))).await;
    assert_eq!(listener.get(&messages[0]).await, None, "the next message is the response");
}

pub(super) type Timestamps = Vec<(Uuid, i64)>;

pub(super) async fn count(
    connection: &mut Connection,
    delta: i64,
    get_before_update: bool,
    timestamps: &Timestamps,
) -> Result<(i64, Timestamps), i32> {
    let add = pn_counter::Add {
        delta,
        get_before_update,
        target_replica_uuid: Uuid::nil(),
        name: "c",
        replica_timestamps: Packed::from(&timestamps[..]),
    };
    let response = connection.call(Request::PnCounter(pn_counter::Request::Add(add))).await;
    if parsed(&response).header().message_type == MessageType::ERROR {
        return Err(error_of(&response));
    }
    let (value, _, timestamps) = pn_counter::Add::read_response(parsed(&response)).unwrap();
    Ok((value, timestamps.iter().collect()))
}

#[tokio::test]
async fn a_counter_reports_that_what_a_client_has_seen_was_lost() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let get = pn_counter::Get {
        target_replica_uuid: Uuid::nil(),
        name: "c",
        replica_timestamps: Packed::default(),
    };
    let response = client.call(Request::PnCounter(pn_counter::Request::Get(get))).await;
    let (value, _, timestamps) = pn_counter::Get::read_response(parsed(&response)).unwrap();
    assert_eq!((value, timestamps.iter().count()), (0, 0));
    let (value, first) = count(&mut client, i64::MAX, false, &Vec::new()).await.unwrap();
    assert_eq!((value, first[0].1), (i64::MAX, 1));
    let (value, second) = count(&mut client, 2, true, &first).await.unwrap();
    assert_eq!((value, second[0]), (i64::MAX, (first[0].0, 2)));
    let (value, third) = count(&mut client, 0, false, &second).await.unwrap();
    assert_eq!((value, third[0]), (i64::MIN + 1, (first[0].0, 3)));
    let destroy =
        client_messages::DestroyProxy { name: "c", service_name: service_name::PN_COUNTER };
    client.call(Request::Client(client_messages::Request::DestroyProxy(destroy))).await;
    let lost = count(&mut client, 1, false, &third).await;
    assert_eq!(lost, Err(ErrorCode::ConsistencyLost.code()));
    let (value, _) = count(&mut client, 1, false, &Vec::new()).await.unwrap();
    assert_eq!(value, 1);
}

#[tokio::test]
async fn ids_are_unique_and_batches_are_bounded() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let mut batch = async |name: &str, batch_size| {
        let request = flake_id::Request::NewIdBatch(flake_id::NewIdBatch { batch_size, name });
        client.call(Request::FlakeIdGenerator(request)).await
    };
    let mut last = 0;
    for (name, size) in [("a", 100), ("b", 1), ("a", 100_000)] {
        let response = batch(name, size).await;
        let (base, increment, count) =
            flake_id::NewIdBatch::read_response(parsed(&response)).unwrap();
        assert_eq!((increment, count), (1 << 16, size));
        assert!(base > last);
        last = base + i64::from(count - 1) * increment;
    }
    for size in [0, -1, 100_001] {
        assert_eq!(error_of(&batch("a", size).await), ErrorCode::IllegalArgument.code());
    }
}

#[tokio::test]
async fn a_reader_may_not_write_to_any_structure() {
    let (_server, address) = server(Passwords::new(b"secret", b"look")).await;
    let mut client = Connection::open(address).await;
    client.authenticate("dev", Some("readonly"), Some("look"), 1).await;
    let key = text("k");
    let (key, value) = (data(&key), data(&key));
    let lock = multi_map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "mm", key };
    let add = pn_counter::Add {
        delta: 1,
        get_before_update: false,
        target_replica_uuid: Uuid::nil(),
        name: "c",
        replica_timestamps: Packed::default(),
    };
    let refused = [
        Request::MultiMap(MultiMapRequest::Put(multi_map::Put {
            thread_id: 1,
            name: "mm",
            key,
            value,
        })),
        Request::MultiMap(MultiMapRequest::Lock(lock)),
        Request::MultiMap(MultiMapRequest::Clear(multi_map::Clear { name: "mm" })),
        Request::ReplicatedMap(ReplicatedMapRequest::Put(replicated_map::Put {
            ttl: 0,
            name: "r",
            key,
            value,
        })),
        Request::ReplicatedMap(ReplicatedMapRequest::Clear(replicated_map::Clear { name: "r" })),
        Request::Topic(topic::Request::Publish(topic::Publish { name: "t", message: value })),
        Request::PnCounter(pn_counter::Request::Add(add)),
        Request::FlakeIdGenerator(flake_id::Request::NewIdBatch(flake_id::NewIdBatch {
            batch_size: 1,
            name: "f",
        })),
    ];
    for request in refused {
        let response = client.call(request).await;
        assert_eq!(error_of(&response), ErrorCode::AccessControl.code(), "{request:?}");
    }
    let get = multi_map::Get { thread_id: 1, name: "mm", key };
    let response = multi(&mut client, MultiMapRequest::Get(get)).await;
    assert_eq!(multi_map::Get::read_response(parsed(&response)).unwrap().0.iter().count(), 0);
}

#[tokio::test]
async fn clients_of_redis_cannot_use_the_channels_of_topics() {
    let grid = single_member_grid();
    let server = crate::testing::server_on(grid, Passwords::default());
    let mut client = crate::testing::client_of(&server, crate::trust::Trust::Full);
    for command in [&[b"SSUBSCRIBE", &b"internal:x"[..]][..], &[b"SPUBLISH", b"internal:x", b""]] {
        let answer = crate::testing::call(&mut client, command).await;
        let error = crate::resp::answer::Answer::Error("ERR the channel name is reserved".into());
        assert_eq!(answer, error);
    }
}

#[tokio::test]
async fn locked_keys_remain_when_a_multimap_is_cleared() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let keys: Vec<Vec<u8>> = (0..20).map(|number| Value::Int(number).encode()).collect();
    for key in &keys {
        assert!(put(&mut client, key, &text("a")).await);
        assert!(put(&mut client, key, &text("b")).await);
    }
    let lock =
        multi_map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "mm", key: data(&keys[3]) };
    multi(&mut client, MultiMapRequest::Lock(lock)).await;
    let mut listener = Connection::authenticated(address, 2).await;
    let add = multi_map::AddEntryListener { include_value: true, local_only: true, name: "mm" };
    multi(&mut listener, MultiMapRequest::AddEntryListener(add)).await;
    multi(&mut client, MultiMapRequest::Clear(multi_map::Clear { name: "mm" })).await;
    assert_eq!(event(&mut listener).await, (entry_event::CLEAR_ALL, None, None, 19));
    let key_set = MultiMapRequest::KeySet(multi_map::KeySet { name: "mm" });
    let response = multi(&mut client, key_set).await;
    let (left,) = multi_map::KeySet::read_response(parsed(&response)).unwrap();
    assert_eq!(sorted(left), [keys[3].clone()]);
    assert_eq!(get(&mut client, &keys[3]).await, [text("a"), text("b")]);
}

#[tokio::test]
async fn a_replicated_map_refuses_a_negative_time_to_live() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let key = text("k");
    let put = replicated_map::Put { ttl: -1, name: "r", key: data(&key), value: data(&key) };
    let put = Request::ReplicatedMap(ReplicatedMapRequest::Put(put));
    let response = client.call(put).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
}

#[tokio::test]
async fn a_name_that_no_structure_can_have_is_an_error_that_says_why() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let create = |name, service_name| {
        let create = client_messages::CreateProxy { name, service_name };
        Request::Client(client_messages::Request::CreateProxy(create))
    };
    let long = "n".repeat(2_000);
    for (service, name, reason) in [
        (service_name::MAP, "resp:16", "\"resp:\" are reserved"),
        (service_name::MAP, "hazelcast:multimap:m", "\"hazelcast:\" are reserved"),
        (service_name::MAP, "lease:m", "\"lease:\" are reserved"),
        (service_name::MAP, "", "0 bytes"),
        (service_name::MAP, &long, "2000 bytes"),
        (service_name::MULTI_MAP, &long, "2000 bytes"),
        (service_name::REPLICATED_MAP, &long, "2000 bytes"),
        (service_name::TOPIC, &long.repeat(100), "200000 bytes"),
    ] {
        let response = client.call(create(name, service)).await;
        let errors = error::decode(parsed(&response)).unwrap();
        let error = errors.iter().next().unwrap();
        assert_eq!(error.error_code, ErrorCode::IllegalArgument.code(), "{name}");
        let text = error.message.unwrap_or_default();
        assert!(text.contains(reason), "{service}: {text}");
    }
}

#[tokio::test]
async fn a_client_has_a_limited_number_of_listeners_of_all_structures() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let mut second = Connection::authenticated(address, 1).await;
    let of_map = || {
        let add = map::AddEntryListener {
            include_value: false,
            listener_flags: entry_event::ADDED,
            local_only: true,
            name: "m",
        };
        Request::Map(maps::Request::AddEntryListener(add))
    };
    let of_topic = || {
        let add = topic::AddMessageListener { local_only: true, name: "t" };
        Request::Topic(topic::Request::AddMessageListener(add))
    };
    let mut last = Vec::new();
    for _ in 0..super::super::settings::LISTENERS_MAX / 2 {
        client.call(of_map()).await;
        last = second.call(of_topic()).await;
    }
    let (uuid,) = topic::AddMessageListener::read_response(parsed(&last)).unwrap();
    for request in [of_map(), of_topic()] {
        let response = client.call(request).await;
        assert_eq!(error_of(&response), ErrorCode::IllegalState.code());
    }
    let mut other = Connection::authenticated(address, 2).await;
    let response = other.call(of_map()).await;
    map::AddEntryListener::read_response(parsed(&response)).unwrap();
    let remove = topic::RemoveMessageListener { registration_id: uuid, name: "t" };
    second.call(Request::Topic(topic::Request::RemoveMessageListener(remove))).await;
    let response = client.call(of_map()).await;
    map::AddEntryListener::read_response(parsed(&response)).unwrap();
}
