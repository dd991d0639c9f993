//! What waits for a structure, or listens to it, when a client destroys it.

use convoke_hazelcast::codec::events::{EntryEvent, ItemEvent, TopicEvent};
use convoke_hazelcast::codec::{multi_map, queue, replicated_map, ringbuffer, service_name, topic};

use super::super::collections::tests::linked::Members;
use super::super::names::Object;
use super::*;

async fn destroy(connection: &mut Connection, service_name: &str, name: &str) {
    let destroy = client_messages::DestroyProxy { name, service_name };
    let destroy = client_messages::Request::DestroyProxy(destroy);
    let response = connection.call(Request::Client(destroy)).await;
    client_messages::DestroyProxy::read_response(parsed(&response)).unwrap();
}

/// Waits until this number of requests waits for a structure.
async fn waiting(server: &Server, service: &str, name: &str, count: usize) {
    let waits = async {
        while server.waits.count(&Object::new(service, name)) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, waits).await.expect("the requests wait");
}

fn takes(name: &str) -> [Request<'_>; 2] {
    [
        Request::Queue(queue::Request::Take(queue::Take { name })),
        Request::Queue(queue::Request::Poll(queue::Poll { timeout_millis: 600_000, name })),
    ]
}

fn reads(name: &str) -> [Request<'_>; 2] {
    let many =
        ringbuffer::ReadMany { start_sequence: 0, min_count: 1, max_count: 5, name, filter: None };
    [
        Request::Ringbuffer(ringbuffer::Request::ReadOne(ringbuffer::ReadOne {
            sequence: 0,
            name,
        })),
        Request::Ringbuffer(ringbuffer::Request::ReadMany(many)),
    ]
}

/// The responses to these requests are that the structure was destroyed.
async fn assert_destroyed(connection: &mut Connection, count: usize) {
    for _ in 0..count {
        let response = connection.receive().await.unwrap();
        assert_eq!(error_of(&response), ErrorCode::DistributedObjectDestroyed.code());
    }
}

#[tokio::test]
async fn requests_that_wait_for_an_item_end() {
    let (server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let mut other = Connection::authenticated(address, 2).await;
    let [take, poll] = takes("q");
    let [one, many] = reads("r");
    for request in [take, poll, one, many] {
        client.send(request).await;
    }
    let [take, _] = takes("other");
    client.send(take).await;
    waiting(&server, service_name::QUEUE, "q", 2).await;
    waiting(&server, service_name::RINGBUFFER, "r", 2).await;
    destroy(&mut other, service_name::QUEUE, "q").await;
    assert_destroyed(&mut client, 2).await;
    destroy(&mut other, service_name::RINGBUFFER, "r").await;
    assert_destroyed(&mut client, 2).await;
    // What waits for another queue does so still, and a destroyed one can be used again.
    assert_eq!(server.waits.count(&Object::new(service_name::QUEUE, "other")), 1);
    let [take, _] = takes("q");
    let id = client.send(take).await;
    waiting(&server, service_name::QUEUE, "q", 1).await;
    let item = text("a");
    let offer = queue::Offer { timeout_millis: 0, name: "q", value: data(&item) };
    other.call(Request::Queue(queue::Request::Offer(offer))).await;
    let response = client.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    let (taken,) = queue::Take::read_response(parsed(&response)).unwrap();
    assert_eq!(taken, Some(data(&item)));
}

#[tokio::test]
async fn requests_that_wait_for_a_lock_end() {
    let (server, address) = server(Passwords::default()).await;
    let mut owner = Connection::authenticated(address, 1).await;
    let mut client = Connection::authenticated(address, 2).await;
    let key = text("k");
    let key = data(&key);
    let lock = map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "m", key };
    owner.map(maps::Request::Lock(lock)).await;
    let set = map::Set { thread_id: 1, ttl: -1, name: "m", key, value: key };
    let entries = [(key, key)];
    let put_all =
        map::PutAll { trigger_map_loader: false, name: "m", entries: List::from(&entries) };
    for request in
        [maps::Request::Set(set), maps::Request::Lock(lock), maps::Request::PutAll(put_all)]
    {
        client.send(Request::Map(request)).await;
    }
    waiting(&server, service_name::MAP, "m", 3).await;
    destroy(&mut owner, service_name::MAP, "m").await;
    assert_destroyed(&mut client, 3).await;
    let is_locked = maps::Request::IsLocked(map::IsLocked { name: "m", key });
    let response = client.map(is_locked).await;
    assert_eq!(map::IsLocked::read_response(parsed(&response)).unwrap(), (false,));

    let lock = multi_map::Lock { thread_id: 1, ttl: -1, reference_id: 2, name: "m", key };
    let lock = || Request::MultiMap(multi_map::Request::Lock(lock));
    owner.call(lock()).await;
    client.send(lock()).await;
    waiting(&server, service_name::MULTI_MAP, "m", 1).await;
    destroy(&mut owner, service_name::MULTI_MAP, "m").await;
    assert_destroyed(&mut client, 1).await;
}

/// The next message is the response to this request, and no event.
async fn assert_no_event(connection: &mut Connection) {
    let ping = client_messages::Request::Ping(client_messages::Ping {});
    let id = connection.send(Request::Client(ping)).await;
    let message = connection.receive().await.unwrap();
    assert_eq!(parsed(&message).header().correlation_id, id);
}

#[tokio::test]
async fn listeners_end_except_those_of_replicated_maps() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let mut listener = Connection::authenticated(address, 2).await;
    let key = text("k");
    let of_map = map::AddEntryListener {
        include_value: true,
        listener_flags: entry_event::ADDED,
        local_only: true,
        name: "m",
    };
    let of_multimap =
        multi_map::AddEntryListener { include_value: true, local_only: true, name: "m" };
    let of_queue = queue::AddListener { include_value: true, local_only: true, name: "m" };
    let of_topic = topic::AddMessageListener { local_only: true, name: "m" };
    let of_replicated_map = replicated_map::AddEntryListener { local_only: true, name: "m" };
    let requests = [
        Request::Map(maps::Request::AddEntryListener(of_map)),
        Request::MultiMap(multi_map::Request::AddEntryListener(of_multimap)),
        Request::Queue(queue::Request::AddListener(of_queue)),
        Request::Topic(topic::Request::AddMessageListener(of_topic)),
        Request::ReplicatedMap(replicated_map::Request::AddEntryListener(of_replicated_map)),
    ];
    for request in requests {
        let response = listener.call(request).await;
        assert!(error::decode(parsed(&response)).is_err(), "it is no error");
    }
    for (number, service) in [
        service_name::MAP,
        service_name::MULTI_MAP,
        service_name::QUEUE,
        service_name::TOPIC,
        service_name::REPLICATED_MAP,
    ]
    .into_iter()
    .enumerate()
    {
        for is_destroyed in [false, true] {
            if is_destroyed {
                destroy(&mut client, service, "m").await;
            }
            let k = data(&key);
            let request = match number {
                0 => {
                    let put = map::Set { thread_id: 1, ttl: -1, name: "m", key: k, value: k };
                    Request::Map(maps::Request::Set(put))
                }
                1 => {
                    let put = multi_map::Put { thread_id: 1, name: "m", key: k, value: k };
                    Request::MultiMap(multi_map::Request::Put(put))
                }
                2 => {
                    let offer = queue::Offer { timeout_millis: 0, name: "m", value: k };
                    Request::Queue(queue::Request::Offer(offer))
                }
                3 => {
                    let publish = topic::Publish { name: "m", message: k };
                    Request::Topic(topic::Request::Publish(publish))
                }
                _ => {
                    let put = replicated_map::Put { ttl: 0, name: "m", key: k, value: k };
                    Request::ReplicatedMap(replicated_map::Request::Put(put))
                }
            };
            client.call(request).await;
            if is_destroyed && number < 4 {
                assert_no_event(&mut listener).await;
                continue;
            }
            let message = listener.receive().await.unwrap();
            let is_event = match number {
                2 => ItemEvent::decode(parsed(&message)).is_ok(),
                3 => TopicEvent::decode(parsed(&message)).is_ok(),
                _ => EntryEvent::decode(parsed(&message)).is_ok(),
            };
            assert!(is_event, "{service}");
        }
    }
}

#[tokio::test]
async fn what_waits_or_listens_at_another_member_ends_too() {
    let members = Members::start().await;
    let mut client = Connection::authenticated(members.address(0), 1).await;
    let mut remote = Connection::authenticated(members.address(1), 2).await;
    for member in [0, 1] {
        let name = members.name_at(member);
        let [take, poll] = takes(&name);
        remote.send(take).await;
        remote.send(poll).await;
        waiting(members.server(1), service_name::QUEUE, &name, 2).await;
        destroy(&mut client, service_name::QUEUE, &name).await;
        assert_destroyed(&mut remote, 2).await;
    }
    let listen = topic::AddMessageListener { local_only: false, name: "t" };
    let listen = Request::Topic(topic::Request::AddMessageListener(listen));
    remote.call(listen).await;
    destroy(&mut client, service_name::TOPIC, "t").await;
    let is_gone = async {
        let message = text("a");
        loop {
            let publish = topic::Publish { name: "t", message: data(&message) };
            client.call(Request::Topic(topic::Request::Publish(publish))).await;
            let ping = client_messages::Request::Ping(client_messages::Ping {});
            let id = remote.send(Request::Client(ping)).await;
            let first = remote.receive().await.unwrap();
            if parsed(&first).header().correlation_id == id {
                break;
            }
            remote.receive().await.unwrap();
        }
    };
    tokio::time::timeout(WAIT_MAX, is_gone).await.expect("the listener ends");
}
