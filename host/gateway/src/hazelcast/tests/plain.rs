//! Maps of plain bytes, which clients of Hazelcast share with those of Redis.

use convoke_grid::map::Format;
use convoke_grid::{MapCatalog, MapSettings};
use convoke_hazelcast::data::type_id;

use super::*;
use crate::resp::client::Client;
use crate::resp::encode::Protocol;
use crate::testing::{call, client_of, single_member_grid_with};
use crate::trust::Trust;

const NAME: &str = "resp:0";

/// A blob of an array of bytes.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as i32).to_be_bytes();
    [&[0; 4][..], &type_id::BYTE_ARRAY.to_be_bytes(), &length, bytes].concat()
}

/// A client of Hazelcast and one of Redis on the same grid.
async fn both(format: Format) -> (Connection, Client) {
    let defaults = MapSettings { format, ..MapSettings::default() };
    let grid = single_member_grid_with(MapCatalog { defaults, named: Vec::new() });
    let (_, address) = server_on(grid.clone(), Passwords::default()).await;
    let resp = crate::testing::server_on(grid, Passwords::default());
    (Connection::authenticated(address, 1).await, client_of(&resp, Trust::Full))
}

async fn reply(client: &mut Client, command: &str) -> String {
    let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
    let mut bytes = Vec::new();
    call(client, &words).await.write(&mut bytes, Protocol::Resp2);
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

impl Connection {
    async fn shared_get(&mut self, key: &[u8]) -> Vec<u8> {
        let get = map::Get { thread_id: 1, name: NAME, key: data(key) };
        self.map(maps::Request::Get(get)).await
    }

    async fn shared_value(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let response = self.shared_get(key).await;
        let (value,) = map::Get::read_response(parsed(&response)).unwrap();
        value.map(|value| value.bytes().to_vec())
    }

    async fn shared_put(&mut self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let (key, value) = (data(key), data(value));
        let put = map::Put { thread_id: 1, ttl: -1, name: NAME, key, value };
        self.map(maps::Request::Put(put)).await
    }
}

#[tokio::test]
async fn an_entry_is_the_same_for_both_protocols() {
    let (mut connection, mut redis) = both(Format::Default).await;
    reply(&mut redis, "set a 1").await;
    assert_eq!(connection.shared_value(&text("a")).await, Some(text("1")));
    assert_eq!(connection.shared_value(&bytes(b"a")).await, Some(text("1")));
    let response = connection.shared_put(&text("a"), &text("2")).await;
    let (old,) = map::Put::read_response(parsed(&response)).unwrap();
    assert_eq!(old.map(Data::bytes), Some(&text("1")[..]));
    assert_eq!(reply(&mut redis, "incr a").await, ":3");
    let (key, test, value) = (text("a"), bytes(b"3"), bytes(b"\xff"));
    let (key, test_value, value) = (data(&key), data(&test), data(&value));
    let same = map::ReplaceIfSame { thread_id: 1, name: NAME, key, test_value, value };
    let response = connection.map(maps::Request::ReplaceIfSame(same)).await;
    assert_eq!(map::ReplaceIfSame::read_response(parsed(&response)).unwrap(), (true,));
    assert_eq!(reply(&mut redis, "strlen a").await, ":1");
    assert_eq!(connection.shared_value(&text("a")).await, Some(bytes(b"\xff")));
    reply(&mut redis, "del a").await;
    assert_eq!(connection.shared_value(&text("a")).await, None);
}

#[tokio::test]
async fn a_map_of_plain_bytes_has_arrays_only() {
    let (mut connection, mut redis) = both(Format::PlainBytes).await;
    reply(&mut redis, "set a 1").await;
    assert_eq!(connection.shared_value(&text("a")).await, Some(bytes(b"1")));
}

#[tokio::test]
async fn what_is_not_plain_is_refused() {
    let (mut connection, mut redis) = both(Format::Default).await;
    let number = Value::Int(7).encode();
    for response in [
        connection.shared_put(&number, &text("v")).await,
        connection.shared_put(&text("k"), &number).await,
        connection.shared_get(&number).await,
    ] {
        assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    }
    reply(&mut redis, "rpush list a").await;
    let response = connection.shared_get(&text("list")).await;
    assert_eq!(error_of(&response), ErrorCode::ClassCast.code());
    let add = map::AddNearCacheInvalidationListener {
        listener_flags: entry_event::INVALIDATION,
        local_only: true,
        name: NAME,
    };
    let response = connection.map(maps::Request::AddNearCacheInvalidationListener(add)).await;
    assert_eq!(error_of(&response), ErrorCode::UnsupportedOperation.code());
}

#[tokio::test]
async fn a_database_that_is_not_plain_is_not_a_map() {
    let (mut connection, _) = both(Format::Opaque).await;
    let response = connection.shared_get(&text("k")).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
}

#[tokio::test]
async fn requests_on_many_entries_have_all_that_are_plain() {
    let (mut connection, mut redis) = both(Format::Default).await;
    reply(&mut redis, "mset a 1 b 2 c 3").await;
    reply(&mut redis, "rpush list a").await;
    let response = connection.map(maps::Request::Values(map::Values { name: NAME })).await;
    let (values,) = map::Values::read_response(parsed(&response)).unwrap();
    let mut values: Vec<_> = values.iter().map(|value| value.bytes().to_vec()).collect();
    values.sort();
    assert_eq!(values, ["1", "2", "3"].map(text));
    let keys = [text("a"), text("list"), bytes(b"b"), text("x")];
    let keys: Vec<Data<'_>> = keys[..1].iter().chain(&keys[2..]).map(|key| data(key)).collect();
    let all = map::GetAll { name: NAME, keys: List::from(&keys[..]) };
    let response = connection.map(maps::Request::GetAll(all)).await;
    let (entries,) = map::GetAll::read_response(parsed(&response)).unwrap();
    let entries: Vec<_> = entries.iter().map(|(_, value)| value.bytes().to_vec()).collect();
    assert_eq!(entries, ["1", "2"].map(text));
    let greater = queries::greater_text("1");
    let removal = map::RemoveAll { name: NAME, predicate: data(&greater) };
    connection.map(maps::Request::RemoveAll(removal)).await;
    assert_eq!(reply(&mut redis, "exists a b c list").await, ":2");
    let (name, value) = (NAME, bytes(b"1"));
    let contains = map::ContainsValue { name, value: data(&value) };
    let response = connection.map(maps::Request::ContainsValue(contains)).await;
    assert_eq!(map::ContainsValue::read_response(parsed(&response)).unwrap(), (true,));
}

#[tokio::test]
async fn changes_of_redis_clients_are_events() {
    let (mut connection, mut redis) = both(Format::Default).await;
    let listener = map::AddEntryListener {
        include_value: true,
        listener_flags: i32::MAX,
        local_only: true,
        name: NAME,
    };
    connection.map(maps::Request::AddEntryListener(listener)).await;
    for command in ["set k 1", "incr k", "del k"] {
        reply(&mut redis, command).await;
    }
    for expected in [
        (entry_event::ADDED, Some(text("1")), None),
        (entry_event::UPDATED, Some(text("2")), Some(text("1"))),
        (entry_event::REMOVED, None, Some(text("2"))),
    ] {
        let message = connection.receive().await.unwrap();
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        assert_eq!(event.key.map(Data::bytes), Some(&text("k")[..]));
        let blob = |data: Option<Data<'_>>| data.map(|data| data.bytes().to_vec());
        assert_eq!((event.event_type, blob(event.value), blob(event.old_value)), expected);
    }
}
