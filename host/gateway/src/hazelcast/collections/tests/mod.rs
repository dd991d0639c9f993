//! A client of the protocol that uses collections, on one member and on two.

pub(in crate::hazelcast) mod linked;

use std::task::{Context, Waker};
use std::time::Duration;

use convoke_grid::op::{ItemsOp, KeyOp, Op};
use convoke_grid::{MapCatalog, MapSettings, Reply};
use convoke_hazelcast::codec::client::{self, Request as ClientRequest};
use convoke_hazelcast::codec::events::ItemEvent;
use convoke_hazelcast::codec::{List, Request, item_event, list, queue, ringbuffer, set};
use convoke_hazelcast::codec::{service_name, structures::DistributedObjectInfo};
use convoke_hazelcast::data::{Data, Value};
use convoke_hazelcast::error::ErrorCode;

use super::super::tests::{Connection, data, error_of, parsed, server, server_on, text};
use super::{Kind, kind};
use crate::testing::single_member_grid_with;
use crate::trust::Passwords;
use linked::Members;

/// Longest time that a test waits for a condition.
const WAIT_MAX: Duration = Duration::from_secs(20);

async fn offer(connection: &mut Connection, name: &str, item: &[u8]) -> bool {
    let offer = queue::Offer { timeout_millis: 0, name, value: data(item) };
    let response = connection.call(Request::Queue(queue::Request::Offer(offer))).await;
    queue::Offer::read_response(parsed(&response)).unwrap().0
}

#[tokio::test]
async fn null_is_no_item() {
    let (_server, address) = server(Passwords::default()).await;
    let mut client = Connection::authenticated(address, 1).await;
    let (null, a) = ([0; 8], text("a"));
    let offer = queue::Offer { timeout_millis: 0, name: "q", value: data(&null) };
    let items = [data(&a), data(&null)];
    let add_all = queue::AddAll { name: "q", data_list: List::from(&items[..]) };
    for request in [queue::Request::Offer(offer), queue::Request::AddAll(add_all)] {
        let response = client.call(Request::Queue(request)).await;
        assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    }
    assert_eq!(poll(&mut client, "q", 0).await, None);
    let add = set::Request::Add(set::Add { name: "s", value: data(&null) });
    let response = client.call(Request::Set(add)).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
}

async fn poll(connection: &mut Connection, name: &str, timeout_millis: i64) -> Option<Vec<u8>> {
    let poll = queue::Poll { timeout_millis, name };
    let response = connection.call(Request::Queue(queue::Request::Poll(poll))).await;
    let (item,) = queue::Poll::read_response(parsed(&response)).unwrap();
    item.map(|item| item.bytes().to_vec())
}

async fn size(connection: &mut Connection, name: &str) -> i32 {
    let size = Request::Queue(queue::Request::Size(queue::Size { name }));
    queue::Size::read_response(parsed(&connection.call(size).await)).unwrap().0
}

fn take(name: &str) -> Request<'_> {
    Request::Queue(queue::Request::Take(queue::Take { name }))
}

/// The item in the response to [`take`].
fn taken(response: &[u8]) -> Vec<u8> {
    let (item,) = queue::Take::read_response(parsed(response)).unwrap();
    item.unwrap().bytes().to_vec()
}

#[tokio::test]
async fn a_queue_returns_items_in_order() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let (a, b) = (text("a"), text("b"));
    let all = [data(&a), data(&b)];
    let add = queue::AddAll { name: "q", data_list: List::from(&all) };
    let response = connection.call(Request::Queue(queue::Request::AddAll(add))).await;
    assert_eq!(queue::AddAll::read_response(parsed(&response)).unwrap(), (true,));
    assert_eq!(poll(&mut connection, "q", 0).await, Some(a.clone()));
    assert_eq!(poll(&mut connection, "other", 0).await, None);
    assert!(offer(&mut connection, "q", &a).await);
    let drain = Request::Queue(queue::Request::DrainTo(queue::DrainTo { name: "q" }));
    let response = connection.call(drain).await;
    let (items,) = queue::DrainTo::read_response(parsed(&response)).unwrap();
    assert_eq!(items.iter().collect::<Vec<_>>(), [data(&b), data(&a)]);
    assert_eq!(poll(&mut connection, "q", 20).await, None);
    let room = queue::RemainingCapacity { name: "q" };
    let response = connection.call(Request::Queue(queue::Request::RemainingCapacity(room))).await;
    assert_eq!(queue::RemainingCapacity::read_response(parsed(&response)).unwrap(), (i32::MAX,));
}

#[tokio::test]
async fn requests_are_executed_in_the_order_in_which_they_arrive() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let items = [text("a"), text("b"), text("c")];
    let put = queue::Put { name: "q", value: data(&items[0]) };
    let offer = |timeout_millis, item| {
        let offer = queue::Offer { timeout_millis, name: "q", value: data(item) };
        Request::Queue(queue::Request::Offer(offer))
    };
    let requests =
        [Request::Queue(queue::Request::Put(put)), offer(0, &items[1]), offer(600_000, &items[2])];
    connection.send_all(&requests).await;
    for item in items {
        assert_eq!(poll(&mut connection, "q", 0).await, Some(item));
    }
}

#[tokio::test]
async fn a_client_that_waits_gets_the_next_item_unless_it_is_gone() {
    let (server, address) = server(Passwords::default()).await;
    let mut gone = Connection::authenticated(address, 1).await;
    let mut waiting = Connection::authenticated(address, 2).await;
    let mut writer = Connection::authenticated(address, 3).await;
    gone.send(take("q")).await;
    // A response to another request: the first one has begun.
    assert_eq!(size(&mut gone, "q").await, 0);
    let id = waiting.send(take("q")).await;
    assert_eq!(size(&mut waiting, "q").await, 0);
    drop(gone);
    tokio::time::timeout(WAIT_MAX, async {
        while server.connections() > 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the connection is closed");
    let (a, b) = (text("a"), text("b"));
    assert!(offer(&mut writer, "q", &a).await);
    let response = waiting.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    assert_eq!(taken(&response), a);
    let id = waiting.send(Request::Queue(queue::Request::Poll(queue::Poll {
        timeout_millis: 600_000,
        name: "q",
    })));
    let id = id.await;
    assert!(offer(&mut writer, "q", &b).await);
    let response = waiting.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    assert_eq!(size(&mut writer, "q").await, 0);
}

#[tokio::test]
async fn a_client_that_waits_is_sent_to_another_member_when_its_own_leaves() {
    let (server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let id = connection.send(take("q")).await;
    assert_eq!(size(&mut connection, "q").await, 0);
    server.finish().await;
    let response = connection.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    assert_eq!(error_of(&response), ErrorCode::RetryableHazelcast.code());
    assert_eq!(connection.receive().await, None, "the connection is closed");
}

#[tokio::test]
async fn at_the_memory_limit_items_are_refused_and_none_is_evicted() {
    let defaults = MapSettings { memory_bytes_max: Some(100_000), ..MapSettings::default() };
    let catalog = MapCatalog { defaults, named: Vec::new() };
    let grid = single_member_grid_with(catalog);
    let (_server, address) = server_on(grid, Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let item = text(&"x".repeat(40_000));
    for _ in 0..2 {
        assert!(offer(&mut connection, "q", &item).await);
    }
    let third = queue::Offer { timeout_millis: 0, name: "q", value: data(&item) };
    let response = connection.call(Request::Queue(queue::Request::Offer(third))).await;
    assert_eq!(error_of(&response), ErrorCode::ReachedMaxSize.code());
    assert_eq!(poll(&mut connection, "q", 0).await, Some(item.clone()));
    assert!(offer(&mut connection, "q", &item).await);
    assert_eq!(size(&mut connection, "q").await, 2);
}

#[tokio::test]
async fn a_full_list_makes_room_for_an_item_that_waits() {
    let (server, _) = server(Passwords::default()).await;
    let (map, mut key) = (Kind::Queue.open(&server.grid).unwrap(), Vec::new());
    let partition = kind::key(&server, "q", &mut key).unwrap();
    let insert = |item| KeyOp::Items(ItemsOp::Insert { at: None, items: vec![item], max: 1 });
    let (a, b) = (text("a"), text("b"));
    let first = server.submit_key(&map, partition, &key, insert(&a)).await;
    assert_eq!(first, Ok(Reply::Integer(1)));
    let op = Op::Key(&key, insert(&b));
    let mut waiting = server.grid.block(&map, partition, &op, None);
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    let pop = server.submit_key(&map, partition, &key, KeyOp::Items(ItemsOp::Pop)).await;
    assert_eq!(pop, Ok(Reply::bytes(&a)));
    assert_eq!(waiting.await, Ok(Reply::Integer(1)));
}

#[tokio::test]
async fn a_listener_receives_events_of_its_collection() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let listener = |include_value| {
        let add = queue::AddListener { include_value, local_only: true, name: "q" };
        Request::Queue(queue::Request::AddListener(add))
    };
    let response = connection.call(listener(true)).await;
    let (uuid,) = queue::AddListener::read_response(parsed(&response)).unwrap();
    let mut writer = Connection::authenticated(address, 2).await;
    let item = text("a");
    assert!(offer(&mut writer, "other", &item).await);
    assert!(offer(&mut writer, "q", &item).await);
    poll(&mut writer, "q", 0).await;
    for event_type in [item_event::ADDED, item_event::REMOVED] {
        let message = connection.receive().await.unwrap();
        assert_eq!(parsed(&message).header().message_type, queue::AddListener::ITEM);
        let event = ItemEvent::decode(parsed(&message)).unwrap();
        assert_eq!((event.event_type, event.item), (event_type, Some(data(&item))));
    }
    let remove = queue::RemoveListener { registration_id: uuid, name: "q" };
    let remove = || Request::Queue(queue::Request::RemoveListener(remove));
    for was_there in [true, false] {
        let response = connection.call(remove()).await;
        let removed = queue::RemoveListener::read_response(parsed(&response)).unwrap();
        assert_eq!(removed, (was_there,));
    }
    connection.call(listener(false)).await;
    assert!(offer(&mut writer, "q", &item).await);
    let message = connection.receive().await.unwrap();
    assert_eq!(ItemEvent::decode(parsed(&message)).unwrap().item, None);
}

#[tokio::test]
async fn an_index_that_a_list_does_not_have_is_out_of_bounds() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let item = text("a");
    let value = data(&item);
    let requests = [
        list::Request::Get(list::Get { index: 0, name: "l" }),
        list::Request::Get(list::Get { index: -1, name: "l" }),
        list::Request::Set(list::Set { index: 0, name: "l", value }),
        list::Request::RemoveWithIndex(list::RemoveWithIndex { index: 0, name: "l" }),
        list::Request::AddWithIndex(list::AddWithIndex { index: 1, name: "l", value }),
        list::Request::Sub(list::Sub { from: 0, to: 1, name: "l" }),
    ];
    for request in requests {
        let response = connection.call(Request::List(request)).await;
        assert_eq!(error_of(&response), ErrorCode::IndexOutOfBounds.code(), "{request:?}");
    }
    let insert = list::AddWithIndex { index: 0, name: "l", value };
    let response = connection.call(Request::List(list::Request::AddWithIndex(insert))).await;
    list::AddWithIndex::read_response(parsed(&response)).unwrap();
    let get = list::Get { index: 0, name: "l" };
    let response = connection.call(Request::List(list::Request::Get(get))).await;
    assert_eq!(list::Get::read_response(parsed(&response)).unwrap(), (Some(value),));
    let sub = list::Sub { from: 1, to: 0, name: "l" };
    let response = connection.call(Request::List(list::Request::Sub(sub))).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
}

#[tokio::test]
async fn items_are_equal_whatever_their_hash_is() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let plain = text("a");
    let mut hashed = plain.clone();
    hashed[3] = 7;
    for (item, is_new) in [(&hashed, true), (&plain, false), (&hashed, false)] {
        let add = set::Add { name: "s", value: data(item) };
        let response = connection.call(Request::Set(set::Request::Add(add))).await;
        assert_eq!(set::Add::read_response(parsed(&response)).unwrap(), (is_new,));
    }
    let all = set::GetAll { name: "s" };
    let response = connection.call(Request::Set(set::Request::GetAll(all))).await;
    let (items,) = set::GetAll::read_response(parsed(&response)).unwrap();
    assert_eq!(items.iter().collect::<Vec<_>>(), [data(&hashed)]);
}

fn read_many(from: i64, min: i32, filter: Option<Data<'_>>) -> Request<'_> {
    let read = ringbuffer::ReadMany {
        start_sequence: from,
        min_count: min,
        max_count: 10,
        name: "r",
        filter,
    };
    Request::Ringbuffer(ringbuffer::Request::ReadMany(read))
}

async fn add(connection: &mut Connection, items: &[Data<'_>]) -> i64 {
    let add = ringbuffer::AddAll { overflow_policy: 0, name: "r", value_list: List::from(items) };
    let response = connection.call(Request::Ringbuffer(ringbuffer::Request::AddAll(add))).await;
    ringbuffer::AddAll::read_response(parsed(&response)).unwrap().0
}

#[tokio::test]
async fn a_reader_of_a_ringbuffer_waits_for_enough_items() {
    let (_server, address) = server(Passwords::default()).await;
    let mut reader = Connection::authenticated(address, 1).await;
    let mut writer = Connection::authenticated(address, 2).await;
    let items: Vec<Vec<u8>> = (0..3).map(|number| Value::Int(number).encode()).collect();
    let items: Vec<Data<'_>> = items.iter().map(|item| data(item)).collect();
    // Far beyond the tail: it reads what is added next.
    let id = reader.send(read_many(100, 3, None)).await;
    let tail = Request::Ringbuffer(ringbuffer::Request::TailSequence(ringbuffer::TailSequence {
        name: "r",
    }));
    let response = reader.call(tail).await;
    assert_eq!(ringbuffer::TailSequence::read_response(parsed(&response)).unwrap(), (-1,));
    assert_eq!(add(&mut writer, &items[..2]).await, 1);
    assert_eq!(add(&mut writer, &items[2..]).await, 2);
    let response = reader.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    let (count, next, found, sequences) =
        ringbuffer::ReadMany::read_response(parsed(&response)).unwrap();
    assert_eq!((count, next), (3, 3));
    assert_eq!(found.iter().collect::<Vec<_>>(), items);
    assert_eq!(sequences.unwrap().iter().collect::<Vec<_>>(), [0, 1, 2]);
    let response = reader.call(read_many(0, 1, Some(items[0]))).await;
    assert_eq!(error_of(&response), ErrorCode::UnsupportedOperation.code());
    for (from, min) in [(-1, 1), (0, -1), (0, 11)] {
        let response = reader.call(read_many(from, min, None)).await;
        assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    }
}

#[tokio::test]
async fn an_item_that_was_overwritten_is_stale() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let item = text("a");
    let batch = vec![data(&item); 1_000];
    for _ in 0..11 {
        add(&mut connection, &batch).await;
    }
    let read = |sequence| {
        let read = ringbuffer::ReadOne { sequence, name: "r" };
        Request::Ringbuffer(ringbuffer::Request::ReadOne(read))
    };
    let response = connection.call(read(1_000)).await;
    let found = ringbuffer::ReadOne::read_response(parsed(&response)).unwrap();
    assert_eq!(found, (Some(data(&item)),));
    for stale in [999, -1] {
        let response = connection.call(read(stale)).await;
        assert_eq!(error_of(&response), ErrorCode::StaleSequence.code());
    }
    let response = connection.call(read(11_001)).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
}

/// The data structures that exist: services and names.
async fn objects(connection: &mut Connection) -> Vec<(String, String)> {
    let get = ClientRequest::GetDistributedObjects(client::GetDistributedObjects {});
    let response = connection.call(Request::Client(get)).await;
    let (objects,) = client::GetDistributedObjects::read_response(parsed(&response)).unwrap();
    let pair = |object: DistributedObjectInfo<'_>| (object.service_name.into(), object.name.into());
    objects.iter().map(pair).collect()
}

#[tokio::test]
async fn a_collection_is_listed_until_it_is_destroyed() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    offer(&mut connection, "q@key", &text("a")).await;
    for service_name in [service_name::RELIABLE_TOPIC, service_name::LIST] {
        let create = client::CreateProxy { name: "empty", service_name };
        let create = Request::Client(ClientRequest::CreateProxy(create));
        client::CreateProxy::read_response(parsed(&connection.call(create).await)).unwrap();
    }
    let pair = |service: &str, name: &str| (service.to_owned(), name.to_owned());
    assert_eq!(
        objects(&mut connection).await,
        [
            pair(service_name::LIST, "empty"),
            pair(service_name::QUEUE, "q@key"),
            pair(service_name::RELIABLE_TOPIC, "empty"),
        ]
    );
    for (service_name, name) in [(service_name::LIST, "empty"), (service_name::QUEUE, "q@key")] {
        let destroy = client::DestroyProxy { name, service_name };
        let destroy = Request::Client(ClientRequest::DestroyProxy(destroy));
        client::DestroyProxy::read_response(parsed(&connection.call(destroy).await)).unwrap();
    }
    assert_eq!(objects(&mut connection).await, [pair(service_name::RELIABLE_TOPIC, "empty")]);
    assert_eq!(size(&mut connection, "q@key").await, 0);
}

#[tokio::test]
async fn a_reader_may_not_change_collections() {
    let (_server, address) = server(Passwords::new(b"secret", b"look")).await;
    let mut connection = Connection::open(address).await;
    connection.authenticate("dev", Some("readonly"), Some("look"), 1).await;
    let item = text("a");
    let value = data(&item);
    for request in [
        take("q"),
        Request::Queue(queue::Request::DrainTo(queue::DrainTo { name: "q" })),
        Request::List(list::Request::Add(list::Add { name: "l", value })),
        Request::Set(set::Request::Clear(set::Clear { name: "s" })),
        Request::Ringbuffer(ringbuffer::Request::Add(ringbuffer::Add {
            overflow_policy: 0,
            name: "r",
            value,
        })),
    ] {
        let response = connection.call(request).await;
        assert_eq!(error_of(&response), ErrorCode::AccessControl.code(), "{request:?}");
    }
    assert_eq!(size(&mut connection, "q").await, 0);
    let listener = list::AddListener { include_value: true, local_only: false, name: "l" };
    let response = connection.call(Request::List(list::Request::AddListener(listener))).await;
    list::AddListener::read_response(parsed(&response)).unwrap();
}

#[tokio::test]
async fn items_and_events_reach_clients_of_any_member() {
    let members = Members::start().await;
    let mut first = Connection::authenticated(members.address(0), 1).await;
    let mut second = Connection::authenticated(members.address(1), 1).await;
    let name = members.name_at(0);
    let item = text("a");
    for connection in [&mut first, &mut second] {
        let listener = queue::AddListener { include_value: true, local_only: true, name: &name };
        connection.call(Request::Queue(queue::Request::AddListener(listener))).await;
    }
    members.announced().await;
    let mut writer = Connection::authenticated(members.address(0), 2).await;
    // The second member waits for an item at the first one.
    let id = second.send(take(&name)).await;
    assert_eq!(size(&mut second, &name).await, 0);
    assert!(offer(&mut writer, &name, &item).await);
    let response = second.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    assert_eq!(taken(&response), item);
    // Only the member with the primary sends the events.
    for event_type in [item_event::ADDED, item_event::REMOVED] {
        let event = first.receive().await.unwrap();
        assert_eq!(ItemEvent::decode(parsed(&event)).unwrap().event_type, event_type);
    }
    let id = second.send(take("other")).await;
    assert!(offer(&mut second, "other", &item).await);
    let response = second.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
}

#[tokio::test]
async fn a_client_that_waits_is_informed_when_the_member_with_its_queue_is_lost() {
    let mut members = Members::start().await;
    let mut client = Connection::authenticated(members.address(1), 1).await;
    let name = members.name_at(0);
    let (a, b) = (text("a"), text("b"));
    assert!(offer(&mut client, &name, &a).await);
    let waiting = [client.send(take(&name)).await, client.send(take(&name)).await];
    let response = client.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, waiting[0]);
    assert_eq!(taken(&response), a);
    members.lose_first().await;
    // The lost member may have removed an item for it.
    let response = client.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, waiting[1]);
    assert_eq!(error_of(&response), ErrorCode::IndeterminateOperationState.code());
    assert!(offer(&mut client, &name, &b).await);
    assert_eq!(poll(&mut client, &name, 0).await, Some(b));
}

#[tokio::test]
async fn a_reader_of_a_ringbuffer_waits_on_when_its_member_is_lost() {
    let mut members = Members::start().await;
    let mut reader = Connection::authenticated(members.address(1), 1).await;
    let mut writer = Connection::authenticated(members.address(1), 2).await;
    let name = members.name_at(0);
    let items = [text("a"), text("b")];
    let add = |item| ringbuffer::Add { overflow_policy: 0, name: &name, value: data(item) };
    let add = |item| Request::Ringbuffer(ringbuffer::Request::Add(add(item)));
    writer.call(add(&items[0])).await;
    let read = ringbuffer::ReadOne { sequence: 1, name: &name };
    let id = reader.send(Request::Ringbuffer(ringbuffer::Request::ReadOne(read))).await;
    members.lose_first().await;
    writer.call(add(&items[1])).await;
    let response = reader.receive().await.unwrap();
    assert_eq!(parsed(&response).header().correlation_id, id);
    let found = ringbuffer::ReadOne::read_response(parsed(&response)).unwrap();
    assert_eq!(found, (Some(data(&items[1])),));
}
