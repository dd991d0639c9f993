//! Structures on two members.

use convoke_hazelcast::codec::events::TopicEvent;
use convoke_hazelcast::codec::{multi_map, replicated_map, service_name, topic};

use super::super::collections::tests::linked::Members;
use super::structures::{count, event, multi, put};
use super::*;

async fn publish(connection: &mut Connection, number: i32) {
    let message = Value::Int(number).encode();
    let publish = topic::Publish { name: "t", message: data(&message) };
    let response = connection.call(Request::Topic(topic::Request::Publish(publish))).await;
    topic::Publish::read_response(parsed(&response)).unwrap();
}

async fn listen(connection: &mut Connection, local_only: bool) {
    let add = topic::AddMessageListener { local_only, name: "t" };
    let response = connection.call(Request::Topic(topic::Request::AddMessageListener(add))).await;
    topic::AddMessageListener::read_response(parsed(&response)).unwrap();
}

async fn message(connection: &mut Connection) -> Vec<u8> {
    let message = connection.receive().await.unwrap();
    TopicEvent::decode(parsed(&message)).unwrap().item.bytes().to_vec()
}

#[tokio::test]
async fn a_client_of_all_members_receives_each_message_once() {
    let members = Members::start().await;
    let mut first = Connection::authenticated(members.address(0), 1).await;
    let mut second = Connection::authenticated(members.address(1), 1).await;
    let mut single = Connection::authenticated(members.address(1), 2).await;
    listen(&mut first, true).await;
    listen(&mut second, true).await;
    listen(&mut single, false).await;
    let mut publishers = [
        Connection::authenticated(members.address(0), 3).await,
        Connection::authenticated(members.address(1), 3).await,
    ];
    for number in 0..10 {
        publish(&mut publishers[number as usize % 2], number).await;
    }
    for number in 0..10 {
        let listener = if number % 2 == 0 { &mut first } else { &mut second };
        assert_eq!(message(listener).await, Value::Int(number).encode());
        assert_eq!(message(&mut single).await, Value::Int(number).encode());
    }
    for mut listener in [first, second, single] {
        assert_eq!(listener.get(&text("k")).await, None, "the next message is the response");
    }
}

#[tokio::test]
async fn entries_of_all_members_are_found_and_cleared_with_one_event() {
    let members = Members::start().await;
    let mut first = Connection::authenticated(members.address(0), 1).await;
    let mut second = Connection::authenticated(members.address(1), 1).await;
    for listener in [&mut first, &mut second] {
        let add = multi_map::AddEntryListener { include_value: true, local_only: true, name: "mm" };
        multi(listener, multi_map::Request::AddEntryListener(add)).await;
    }
    members.announced().await;
    let mut writer = Connection::authenticated(members.address(1), 2).await;
    let keys: Vec<Vec<u8>> = (0..40).map(|number| Value::Int(number).encode()).collect();
    for key in &keys {
        assert!(put(&mut writer, key, &text("a")).await);
    }
    let size = multi_map::Request::Size(multi_map::Size { name: "mm" });
    let response = multi(&mut writer, size).await;
    assert_eq!(multi_map::Size::read_response(parsed(&response)).unwrap(), (40,));
    let key_set = multi_map::Request::KeySet(multi_map::KeySet { name: "mm" });
    let response = multi(&mut writer, key_set).await;
    let (found,) = multi_map::KeySet::read_response(parsed(&response)).unwrap();
    assert_eq!(found.iter().count(), 40);
    multi(&mut writer, multi_map::Request::Clear(multi_map::Clear { name: "mm" })).await;
    let mut added = 0;
    // The member that cleared it sends the event; the other one sends only those of its keys.
    loop {
        let (event_type, .., count) = event(&mut second).await;
        if event_type == entry_event::CLEAR_ALL {
            assert_eq!(count, 40);
            break;
        }
        added += 1;
    }
    let get = first.send(Request::Map(maps::Request::Size(map::Size { name: "m" }))).await;
    loop {
        let message = first.receive().await.unwrap();
        if parsed(&message).header().correlation_id == get {
            break;
        }
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        assert_eq!(event.event_type, entry_event::ADDED);
        added += 1;
    }
    assert_eq!(added, 40);
}

#[tokio::test]
async fn what_one_member_changes_or_destroys_is_so_on_the_other() {
    let members = Members::start().await;
    let mut first = Connection::authenticated(members.address(0), 1).await;
    let mut second = Connection::authenticated(members.address(1), 2).await;
    let (value, seen) = count(&mut first, 5, false, &Vec::new()).await.unwrap();
    assert_eq!(value, 5);
    let (value, _) = count(&mut second, 2, true, &seen).await.unwrap();
    assert_eq!(value, 5);
    let key = text("k");
    let put = replicated_map::Put { ttl: 0, name: "r", key: data(&key), value: data(&key) };
    let put = Request::ReplicatedMap(replicated_map::Request::Put(put));
    first.call(put).await;
    let create = |name, service_name| {
        let create = client_messages::CreateProxy { name, service_name };
        Request::Client(client_messages::Request::CreateProxy(create))
    };
    first.call(create("t", service_name::TOPIC)).await;
    first.call(create("r", service_name::REPLICATED_MAP)).await;
    let list = || {
        let list = client_messages::GetDistributedObjects {};
        Request::Client(client_messages::Request::GetDistributedObjects(list))
    };
    let names = |response: &[u8]| {
        let response = client_messages::GetDistributedObjects::read_response(parsed(response));
        let (objects,) = response.unwrap();
        objects.iter().map(|object| object.name.to_owned()).collect::<Vec<_>>()
    };
    // The other member learns of the topic, which holds nothing, from an event.
    for connection in [&mut first, &mut second] {
        let are_known = async { while names(&connection.call(list()).await) != ["c", "r", "t"] {} };
        tokio::time::timeout(WAIT_MAX, are_known).await.expect("all of them are known");
    }
    for (name, service_name) in [
        ("t", service_name::TOPIC),
        ("r", service_name::REPLICATED_MAP),
        ("c", service_name::PN_COUNTER),
    ] {
        let destroy = client_messages::DestroyProxy { name, service_name };
        second.call(Request::Client(client_messages::Request::DestroyProxy(destroy))).await;
    }
    let are_gone = async { while !names(&first.call(list()).await).is_empty() {} };
    tokio::time::timeout(WAIT_MAX, are_gone).await.expect("all of them are gone");
    let lost = count(&mut first, 1, false, &seen).await;
    assert_eq!(lost, Err(ErrorCode::ConsistencyLost.code()));
}

/// The lock of a key by the first thread, in the map `m`.
fn lock<'a>(key: &'a [u8]) -> map::Lock<'a> {
    map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "m", key: data(key) }
}

/// Waits until a condition holds.
async fn until(mut condition: impl FnMut() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, holds).await.expect("the condition");
}

#[tokio::test]
async fn a_lock_remains_if_its_client_connects_to_another_member() {
    let members = Members::start().await;
    let (first, second) = (members.server(0), members.server(1));
    let mut client = Connection::authenticated(members.address(0), 1).await;
    let key = text("k");
    client.map(maps::Request::Lock(lock(&key))).await;
    let due = first.clients.tick(first.elapsed_ms() + 3_000);
    assert_eq!(due.report.len(), 1);
    first.maintain_locks(due).await;
    until(|| second.clients.unclaimed_locks() == 1).await;
    drop(client);
    until(|| first.connections() == 0).await;
    let mut client = Connection::authenticated(members.address(1), 1).await;
    // The member that granted it asks the others before it releases the lock.
    let due = first.clients.tick(first.elapsed_ms() + 70_000);
    assert_eq!((due.ask.len(), due.release.len()), (1, 0));
    first.maintain_locks(due).await;
    let uuid = Uuid::from_u64_pair(1, 1);
    until(|| first.clients.is_elsewhere(uuid)).await;
    let due = first.clients.tick(first.elapsed_ms() + 76_000);
    assert_eq!((due.renew.len(), due.release.len()), (0, 0));
    let due = second.clients.tick(second.elapsed_ms() + 61_000);
    assert_eq!(due.renew.len(), 1, "the other member renews it now");
    second.maintain_locks(due).await;
    let unlock = map::Unlock { thread_id: 1, reference_id: 2, name: "m", key: data(&key) };
    let response = client.map(maps::Request::Unlock(unlock)).await;
    map::Unlock::read_response(parsed(&response)).unwrap();
}

#[tokio::test]
async fn a_member_that_leaves_reports_its_locks() {
    let members = Members::start().await;
    let mut client = Connection::authenticated(members.address(0), 1).await;
    let key = text("k");
    client.map(maps::Request::Lock(lock(&key))).await;
    members.server(0).finish().await;
    until(|| members.server(1).clients.unclaimed_locks() == 1).await;
}

#[tokio::test]
async fn a_lock_of_a_client_of_all_members_is_renewed_and_released_on_all() {
    let members = Members::start().await;
    let (first, second) = (members.server(0), members.server(1));
    let mut clients = [
        Connection::authenticated(members.address(0), 1).await,
        Connection::authenticated(members.address(1), 1).await,
    ];
    let key = text("k");
    clients[0].map(maps::Request::Lock(lock(&key))).await;
    let uuid = Uuid::from_u64_pair(1, 1);
    let due = first.clients.tick(first.elapsed_ms() + 3_000);
    first.maintain_locks(due).await;
    until(|| second.clients.locks_of(uuid) == 1).await;
    let due = second.clients.tick(second.elapsed_ms() + 61_000);
    assert_eq!(due.renew.len(), 1);
    let unlock = map::Unlock { thread_id: 1, reference_id: 2, name: "m", key: data(&key) };
    let response = clients[1].map(maps::Request::Unlock(unlock)).await;
    map::Unlock::read_response(parsed(&response)).unwrap();
    let due = second.clients.tick(second.elapsed_ms());
    assert_eq!(due.released.len(), 1);
    second.maintain_locks(due).await;
    until(|| first.clients.locks_of(uuid) == 0).await;
}
