//! A client of the protocol against a server on a grid of a single member.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use convoke_grid::Grid;
use convoke_hazelcast::codec::client as client_messages;
use convoke_hazelcast::codec::events::{EntryEvent, MembersView, PartitionsView};
use convoke_hazelcast::codec::map as maps;
use convoke_hazelcast::codec::{List, Request, client, entry_event, map};
use convoke_hazelcast::data::{Data, Value};
use convoke_hazelcast::error::{self, ErrorCode};
use convoke_hazelcast::frame::{Split, Splitter};
use convoke_hazelcast::message::{Message, MessageType};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::{HazelcastSettings, Server};
use crate::pubsub::PubSub;
use crate::resp::server::{Cluster, ClusterNode, Endpoint};
use crate::testing::single_member_grid;
use crate::trust::Passwords;

mod cluster;
mod queries;
mod structures;
mod two_members;

/// Longest time that a test waits for a message.
const WAIT_MAX: Duration = Duration::from_secs(20);

struct Single {
    grid: Grid,
    port: u16,
}

impl Cluster for Single {
    fn nodes(&self) -> Vec<ClusterNode> {
        let ip = Ipv4Addr::LOCALHOST.into();
        vec![ClusterNode {
            id: "0".repeat(40),
            member: self.grid.me(),
            endpoint: None,
            hazelcast: Some(Endpoint { ip, hostname: None, port: self.port }),
            this: true,
            stores: true,
        }]
    }
}

/// A server, and its address.
pub(in crate::hazelcast) async fn server(passwords: Passwords) -> (Arc<Server>, SocketAddr) {
    server_on(single_member_grid(), passwords).await
}

/// A server on a grid, and its address.
pub(in crate::hazelcast) async fn server_on(
    grid: Grid,
    passwords: Passwords,
) -> (Arc<Server>, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = HazelcastSettings { passwords, ..HazelcastSettings::default() };
    let cluster = Arc::new(Single { grid: grid.clone(), port: address.port() });
    let server = Server::new(grid.clone(), PubSub::new(grid), settings, cluster, 0);
    tokio::spawn(Arc::clone(&server).serve(vec![listener]));
    (server, address)
}

/// A connection of a client.
pub(in crate::hazelcast) struct Connection {
    stream: TcpStream,
    splitter: Splitter,
    input: Vec<u8>,
    last_id: i64,
}

impl Connection {
    /// Connects and sends the preamble.
    pub(in crate::hazelcast) async fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"CP2").await.unwrap();
        let mut splitter = Splitter::after_preamble();
        splitter.set_authenticated();
        Self { stream, splitter, input: Vec::new(), last_id: 0 }
    }

    /// Connects and authenticates without a password.
    pub(in crate::hazelcast) async fn authenticated(address: SocketAddr, uuid: u64) -> Self {
        let mut connection = Self::open(address).await;
        let status = connection.authenticate("dev", None, None, uuid).await;
        assert_eq!(status, client::AUTHENTICATED);
        connection
    }

    pub(in crate::hazelcast) async fn authenticate(
        &mut self,
        cluster_name: &str,
        username: Option<&str>,
        password: Option<&str>,
        uuid: u64,
    ) -> u8 {
        let request = client_messages::Authentication {
            uuid: Some(Uuid::from_u64_pair(1, uuid)),
            serialization_version: 1,
            routing_mode: 1,
            cp_direct_to_leader_routing: false,
            cluster_name,
            username,
            password: password
                .map(|password| convoke_hazelcast::codec::Secret::new(password.as_bytes())),
            client_type: "PYH",
            client_hazelcast_version: "5.7.0",
            client_name: "test",
            labels: List::default(),
        };
        let response =
            self.call(Request::Client(client_messages::Request::Authentication(request))).await;
        let response = client_messages::Authentication::read_response(parsed(&response)).unwrap();
        assert!(response.status != client::AUTHENTICATED || response.partition_count == 7);
        response.status
    }

    /// Sends a request; returns its correlation id.
    pub(in crate::hazelcast) async fn send(&mut self, request: Request<'_>) -> i64 {
        self.send_to(request, -1).await
    }

    async fn send_to(&mut self, request: Request<'_>, partition: i32) -> i64 {
        self.last_id += 1;
        let mut bytes = Vec::new();
        request.write(&mut bytes, self.last_id, partition);
        self.stream.write_all(&bytes).await.unwrap();
        self.last_id
    }

    /// Sends requests at once; returns the correlation id of the last one.
    pub(in crate::hazelcast) async fn send_all(&mut self, requests: &[Request<'_>]) -> i64 {
        let mut bytes = Vec::new();
        for request in requests {
            self.last_id += 1;
            request.write(&mut bytes, self.last_id, -1);
        }
        self.stream.write_all(&bytes).await.unwrap();
        self.last_id
    }

    /// The next message. `None` if the connection is closed.
    pub(in crate::hazelcast) async fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            let split = self.splitter.split(&self.input).unwrap();
            if let Split::Message(message) = split {
                let message = message.bytes().to_vec();
                self.input.drain(..message.len());
                return Some(message);
            }
            let read = self.stream.read_buf(&mut self.input);
            let count = tokio::time::timeout(WAIT_MAX, read).await.expect("a message").unwrap_or(0);
            if count == 0 {
                return None;
            }
        }
    }

    /// Sends a request and returns its response.
    pub(in crate::hazelcast) async fn call(&mut self, request: Request<'_>) -> Vec<u8> {
        self.call_in(request, -1).await
    }

    /// As [`call`](Self::call), in a partition.
    pub(in crate::hazelcast) async fn call_in(
        &mut self,
        request: Request<'_>,
        partition: i32,
    ) -> Vec<u8> {
        let id = self.send_to(request, partition).await;
        loop {
            let message = self.receive().await.expect("a response");
            if parsed(&message).header().correlation_id == id {
                return message;
            }
        }
    }

    /// Sends a request to a map and returns its response.
    async fn map(&mut self, request: maps::Request<'_>) -> Vec<u8> {
        self.call(Request::Map(request)).await
    }

    async fn put(&mut self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let (key, value) = (data(key), data(value));
        let put = map::Put { thread_id: 1, ttl: -1, name: "m", key, value };
        let response = self.map(maps::Request::Put(put)).await;
        let (value,) = map::Put::read_response(parsed(&response)).unwrap();
        value.map(|value| value.bytes().to_vec())
    }

    async fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let get = map::Get { thread_id: 1, name: "m", key: data(key) };
        let response = self.map(maps::Request::Get(get)).await;
        let (value,) = map::Get::read_response(parsed(&response)).unwrap();
        value.map(|value| value.bytes().to_vec())
    }
}

pub(in crate::hazelcast) fn parsed(bytes: &[u8]) -> Message<'_> {
    Message::parse(bytes).unwrap()
}

pub(in crate::hazelcast) fn data(bytes: &[u8]) -> Data<'_> {
    Data::new(bytes).unwrap()
}

pub(in crate::hazelcast) fn text(text: &str) -> Vec<u8> {
    Value::Text(text).encode()
}

/// The code of an error.
pub(in crate::hazelcast) fn error_of(response: &[u8]) -> i32 {
    error::decode(parsed(response)).unwrap().iter().next().unwrap().error_code
}

#[tokio::test]
async fn a_client_is_admitted_by_cluster_name_and_password() {
    let (server, address) = server(Passwords::new(b"secret", b"look")).await;
    for (cluster, user, password, expected) in [
        ("dev", None, Some("secret"), client::AUTHENTICATED),
        ("dev", Some("default"), Some("secret"), client::AUTHENTICATED),
        ("dev", Some("readonly"), Some("look"), client::AUTHENTICATED),
        ("prod", None, Some("secret"), client::CREDENTIALS_FAILED),
        ("dev", None, None, client::CREDENTIALS_FAILED),
        ("dev", Some("root"), Some("secret"), client::CREDENTIALS_FAILED),
    ] {
        let mut connection = Connection::open(address).await;
        let refused = connection.map(maps::Request::Size(map::Size { name: "m" })).await;
        assert_eq!(error_of(&refused), ErrorCode::Authentication.code());
        assert_eq!(connection.authenticate(cluster, user, password, 1).await, expected);
    }
    let refused = server.counters.refused.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn a_reader_may_not_write() {
    let (_server, address) = server(Passwords::new(b"secret", b"look")).await;
    let mut connection = Connection::open(address).await;
    connection.authenticate("dev", Some("readonly"), Some("look"), 1).await;
    let (key, value) = (text("k"), text("v"));
    assert_eq!(connection.get(&key).await, None);
    let (key, value) = (data(&key), data(&value));
    let set = map::Set { thread_id: 1, ttl: -1, name: "m", key, value };
    let lock = map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "m", key };
    for request in [
        maps::Request::Set(set),
        maps::Request::Lock(lock),
        maps::Request::Clear(map::Clear { name: "m" }),
    ] {
        let response = connection.map(request).await;
        assert_eq!(error_of(&response), ErrorCode::AccessControl.code(), "{request:?}");
    }
}

#[tokio::test]
async fn a_client_is_sent_the_members_and_partitions() {
    let (server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let listener = client_messages::AddClusterViewListener {};
    let listener = client_messages::Request::AddClusterViewListener(listener);
    let id = connection.send(Request::Client(listener)).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let message = connection.receive().await.unwrap();
        assert_eq!(parsed(&message).header().correlation_id, id);
        seen.push(message);
    }
    let me = super::view::uuid(server.grid.me());
    let members = MembersView::decode(parsed(&seen[1])).unwrap();
    let infos: Vec<_> = members.member_infos.iter().collect();
    assert_eq!((infos.len(), infos[0].uuid), (1, me));
    assert_eq!(infos[0].address.port, i32::from(address.port()));
    let partitions = PartitionsView::decode(parsed(&seen[2])).unwrap();
    let owners: Vec<_> = partitions.partitions.iter().collect();
    assert_eq!((owners.len(), owners[0].0, owners[0].1.len()), (1, me, 7));
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let key = text("k");
    let processor =
        map::ExecuteOnKey { thread_id: 1, name: "m", entry_processor: data(&key), key: data(&key) };
    let response = connection.map(maps::Request::ExecuteOnKey(processor)).await;
    assert_eq!(error_of(&response), ErrorCode::HazelcastSerialization.code());
    let journal = map::EventJournalSubscribe { name: "m" };
    let response = connection.map(maps::Request::EventJournalSubscribe(journal)).await;
    assert_eq!(error_of(&response), ErrorCode::UnsupportedOperation.code());
    let name = map::Size { name: "resp:0" };
    let response = connection.map(maps::Request::Size(name)).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalArgument.code());
    let ping = client_messages::Request::Ping(client_messages::Ping {});
    let response = connection.call(Request::Client(ping)).await;
    client_messages::Ping::read_response(parsed(&response)).unwrap();
}

#[tokio::test]
async fn values_are_returned_as_they_were_stored() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let keys: Vec<Vec<u8>> = (0..50).map(|number| Value::Int(number).encode()).collect();
    for key in &keys {
        assert_eq!(connection.put(key, key).await, None);
    }
    // The same payload, another type.
    assert_eq!(connection.get(&text("")).await, None);
    for key in &keys {
        assert_eq!(connection.get(key).await.as_ref(), Some(key));
        assert_eq!(connection.put(key, &text("v")).await.as_ref(), Some(key));
    }
    let response = connection.map(maps::Request::Size(map::Size { name: "m" })).await;
    assert_eq!(map::Size::read_response(parsed(&response)).unwrap(), (50,));
    let response = connection.map(maps::Request::KeySet(map::KeySet { name: "m" })).await;
    let (found,) = map::KeySet::read_response(parsed(&response)).unwrap();
    let mut found: Vec<Vec<u8>> = found.iter().map(|key| key.bytes().to_vec()).collect();
    found.sort();
    assert_eq!(found, keys);
    let response = connection.map(maps::Request::Clear(map::Clear { name: "m" })).await;
    map::Clear::read_response(parsed(&response)).unwrap();
    assert_eq!(connection.get(&keys[0]).await, None);
}

#[tokio::test]
async fn conditions_compare_values() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let (key, a, b) = (text("k"), text("a"), text("b"));
    let (k, a_data, b_data) = (data(&key), data(&a), data(&b));
    let replace = map::Replace { thread_id: 1, name: "m", key: k, value: b_data };
    let response = connection.map(maps::Request::Replace(replace)).await;
    assert_eq!(map::Replace::read_response(parsed(&response)).unwrap(), (None,));
    assert_eq!(connection.get(&key).await, None);
    let absent = map::PutIfAbsent { thread_id: 1, ttl: -1, name: "m", key: k, value: a_data };
    let response = connection.map(maps::Request::PutIfAbsent(absent)).await;
    assert_eq!(map::PutIfAbsent::read_response(parsed(&response)).unwrap(), (None,));
    let response = connection.map(maps::Request::PutIfAbsent(absent)).await;
    let (old,) = map::PutIfAbsent::read_response(parsed(&response)).unwrap();
    assert_eq!(old, Some(a_data));
    for (test_value, expected) in [(b_data, false), (a_data, true)] {
        let same =
            map::ReplaceIfSame { thread_id: 1, name: "m", key: k, test_value, value: b_data };
        let response = connection.map(maps::Request::ReplaceIfSame(same)).await;
        assert_eq!(map::ReplaceIfSame::read_response(parsed(&response)).unwrap(), (expected,));
    }
    for (value, expected) in [(a_data, false), (b_data, true)] {
        let same = map::RemoveIfSame { thread_id: 1, name: "m", key: k, value };
        let response = connection.map(maps::Request::RemoveIfSame(same)).await;
        assert_eq!(map::RemoveIfSame::read_response(parsed(&response)).unwrap(), (expected,));
    }
    assert_eq!(connection.get(&key).await, None);
}

#[tokio::test]
async fn an_entry_expires_after_its_time_to_live() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let (key, value) = (text("k"), text("v"));
    let set = map::Set { thread_id: 1, ttl: 200, name: "m", key: data(&key), value: data(&value) };
    connection.map(maps::Request::Set(set)).await;
    assert!(connection.get(&key).await.is_some());
    tokio::time::timeout(WAIT_MAX, async { while connection.get(&key).await.is_some() {} })
        .await
        .expect("it expires");
    let set = map::SetWithMaxIdle {
        thread_id: 1,
        ttl: 0,
        max_idle: 600_000,
        name: "m",
        key: data(&key),
        value: data(&value),
    };
    connection.map(maps::Request::SetWithMaxIdle(set)).await;
    let view = map::GetEntryView { thread_id: 1, name: "m", key: data(&key) };
    let response = connection.map(maps::Request::GetEntryView(view)).await;
    let (max_idle, view) = map::GetEntryView::read_response(parsed(&response)).unwrap();
    assert_eq!(max_idle, 600_000);
    assert_eq!(view.unwrap().value, data(&value));
}

#[tokio::test]
async fn a_locked_key_is_written_by_its_owner_only() {
    let (server, address) = server(Passwords::default()).await;
    let mut owner = Connection::authenticated(address, 1).await;
    let mut other = Connection::authenticated(address, 2).await;
    let (key, value) = (text("k"), text("v"));
    let k = data(&key);
    let lock = map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "m", key: k };
    owner.map(maps::Request::Lock(lock)).await;
    // The same request again is not a second lock.
    owner.map(maps::Request::Lock(lock)).await;
    let is_locked = maps::Request::IsLocked(map::IsLocked { name: "m", key: k });
    let response = other.map(is_locked).await;
    assert_eq!(map::IsLocked::read_response(parsed(&response)).unwrap(), (true,));
    let try_put = map::TryPut { thread_id: 1, timeout: 5, name: "m", key: k, value: data(&value) };
    let response = other.map(maps::Request::TryPut(try_put)).await;
    assert_eq!(map::TryPut::read_response(parsed(&response)).unwrap(), (false,));
    let try_lock =
        map::TryLock { thread_id: 1, lease: -1, timeout: 5, reference_id: 1, name: "m", key: k };
    let response = other.map(maps::Request::TryLock(try_lock)).await;
    assert_eq!(map::TryLock::read_response(parsed(&response)).unwrap(), (false,));
    let unlock = map::Unlock { thread_id: 2, reference_id: 2, name: "m", key: k };
    let response = owner.map(maps::Request::Unlock(unlock)).await;
    assert_eq!(error_of(&response), ErrorCode::IllegalMonitorState.code());
    // The other one waits, and is answered pings meanwhile.
    let set = map::Set { thread_id: 1, ttl: -1, name: "m", key: k, value: data(&value) };
    let waiting = other.send(Request::Map(maps::Request::Set(set))).await;
    let ping = client_messages::Request::Ping(client_messages::Ping {});
    other.call(Request::Client(ping)).await;
    assert_eq!(other.get(&key).await, None);
    assert_eq!(owner.put(&key, &text("mine")).await, None);
    let unlock = map::Unlock { thread_id: 1, reference_id: 3, name: "m", key: k };
    let response = owner.map(maps::Request::Unlock(unlock)).await;
    map::Unlock::read_response(parsed(&response)).unwrap();
    let written = other.receive().await.unwrap();
    assert_eq!(parsed(&written).header().correlation_id, waiting);
    assert_eq!(owner.get(&key).await, Some(value));
    drop(server);
}

#[tokio::test]
async fn locks_of_a_client_that_is_gone_are_released() {
    let (server, address) = server(Passwords::default()).await;
    let mut owner = Connection::authenticated(address, 1).await;
    let mut other = Connection::authenticated(address, 2).await;
    let key = text("k");
    let lock = |reference_id| map::Lock {
        thread_id: 1,
        ttl: -1,
        reference_id,
        name: "m",
        key: data(&key),
    };
    owner.map(maps::Request::Lock(lock(1))).await;
    owner.map(maps::Request::Lock(lock(2))).await;
    drop(owner);
    let waiting = other.send(Request::Map(maps::Request::Lock(lock(1)))).await;
    tokio::time::timeout(WAIT_MAX, async {
        while server.connections() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the connection is closed");
    let due = server.clients.tick(server.elapsed_ms() + 50_000);
    assert_eq!((due.renew.len(), due.release.len()), (0, 0), "it may connect again");
    let due = server.clients.tick(server.elapsed_ms() + 61_000);
    assert_eq!(due.release.len(), 1);
    server.maintain_locks(due).await;
    let locked = other.receive().await.unwrap();
    assert_eq!(parsed(&locked).header().correlation_id, waiting);
    map::Lock::read_response(parsed(&locked)).unwrap();
}

#[tokio::test]
async fn a_listener_receives_events_of_entries() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    let all = entry_event::ADDED | entry_event::REMOVED | entry_event::UPDATED;
    let listener = map::AddEntryListener {
        include_value: true,
        listener_flags: all,
        local_only: true,
        name: "m",
    };
    let response = connection.map(maps::Request::AddEntryListener(listener)).await;
    let (uuid,) = map::AddEntryListener::read_response(parsed(&response)).unwrap();
    let mut writer = Connection::authenticated(address, 2).await;
    let key = text("k");
    writer.put(&key, &text("a")).await;
    writer.put(&key, &text("b")).await;
    let remove = map::Remove { thread_id: 1, name: "m", key: data(&key) };
    writer.map(maps::Request::Remove(remove)).await;
    let (a, b) = (text("a"), text("b"));
    for (event_type, value, old_value) in [
        (entry_event::ADDED, Some(data(&a)), None),
        (entry_event::UPDATED, Some(data(&b)), Some(data(&a))),
        (entry_event::REMOVED, None, Some(data(&b))),
    ] {
        let message = connection.receive().await.unwrap();
        assert_eq!(parsed(&message).header().message_type, map::AddEntryListener::ENTRY);
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        assert_eq!((event.event_type, event.key), (event_type, Some(data(&key))));
        assert_eq!((event.value, event.old_value), (value, old_value));
        assert!((0..7).contains(&parsed(&message).header().partition_id));
    }
    let remove = map::RemoveEntryListener { registration_id: uuid, name: "m" };
    let response = connection.map(maps::Request::RemoveEntryListener(remove)).await;
    assert_eq!(map::RemoveEntryListener::read_response(parsed(&response)).unwrap(), (true,));
    writer.put(&key, &text("c")).await;
    assert!(connection.get(&key).await.is_some(), "the next message is the response");
}

#[tokio::test]
async fn a_connection_that_violates_the_framing_is_closed() {
    let (_server, address) = server(Passwords::default()).await;
    let mut connection = Connection::authenticated(address, 1).await;
    connection.stream.write_all(&[1, 0, 0, 0, 0, 0]).await.unwrap();
    assert!(connection.receive().await.is_none());
    let mut connection = Connection::open(address).await;
    let huge = client_messages::Request::Ping(client_messages::Ping {});
    let mut bytes = Vec::new();
    huge.write(&mut bytes, 1, -1);
    bytes[..4].copy_from_slice(&100_000_000_i32.to_le_bytes());
    connection.stream.write_all(&bytes).await.unwrap();
    assert!(connection.receive().await.is_none());
    let _: MessageType = MessageType::ERROR;
}
