//! Two members: requests to a member that is not the primary, and events from the other one.

use std::future::poll_fn;
use std::time::Instant;

use convoke_grid::{GridSettings, KeyHasher, MapCatalog, Peer, Receipt};
use convoke_hazelcast::codec::events::DistributedObjectEvent;
use convoke_hazelcast::codec::service_name;
use convoke_membership::{Member, MemberId, View, ViewId};

use super::*;
use crate::testing::Process;

/// Time between ticks of a grid.
const TICK: Duration = Duration::from_millis(5);

fn grid(id: MemberId) -> Grid {
    let settings =
        GridSettings { partitions: Some(7), min_members: 1, hasher: KeyHasher::new([7; 16]) };
    Grid::new(id, Arc::new(Process::new()), settings, MapCatalog::default())
}

fn member(id: MemberId, age: u64) -> Member {
    Member {
        id,
        addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 6_900 + age as u16))],
        name: age.to_string(),
        group: "test".into(),
        lite: false,
        modes: String::new(),
        http: None,
        resp: None,
        hazelcast: None,
        generation: 1,
        age,
    }
}

/// Passes the messages of a member to another one.
async fn carry(from: Grid, to: Grid) {
    loop {
        let Some(peer) = from.peer(to.me()) else {
            tokio::time::sleep(TICK).await;
            continue;
        };
        poll_fn(|context| peer.poll_connect(context)).await;
        connect(&from, &to, &peer).await;
        peer.handle_closed();
        tokio::time::sleep(TICK).await;
    }
}

async fn connect(from: &Grid, to: &Grid, peer: &Peer) -> Option<()> {
    let session = peer.session();
    let opened = to.handle_opened(from.me(), session, peer.acknowledged())?;
    let Receipt::Resume { session: named, received, refused } = opened.receipt else {
        return None;
    };
    if named != session || !from.handle_resumed(to.me(), session, received, &refused) {
        return None;
    }
    let back = to.peer(from.me())?;
    loop {
        tokio::select! {
            bytes = poll_fn(|context| peer.poll_send(context)) => {
                let receipt = to.handle_bytes(from.me(), opened.connection, &bytes?)?;
                let Receipt::Received { received, refused } = receipt else { return None };
                from.handle_received(to.me(), session, received, &refused);
            }
            bytes = poll_fn(|context| back.poll_out_of_band(context)) => {
                from.handle_out_of_band(to.me(), &bytes);
            }
        }
    }
}

/// Members of the cluster, as clients see them.
struct Both([(MemberId, u16); 2], usize);

impl Cluster for Both {
    fn nodes(&self) -> Vec<ClusterNode> {
        let ip = Ipv4Addr::LOCALHOST.into();
        let node = |(at, (member, port)): (usize, &(MemberId, u16))| ClusterNode {
            id: at.to_string().repeat(40),
            member: *member,
            endpoint: None,
            hazelcast: Some(Endpoint { ip, hostname: None, port: *port }),
            this: at == self.1,
            stores: true,
        };
        self.0.iter().enumerate().map(node).collect()
    }
}

/// Two members that each have partitions, and the addresses of their servers.
async fn two_members() -> [(Arc<Server>, SocketAddr); 2] {
    let ids = [MemberId::new_now(), MemberId::new_now()];
    let grids = ids.map(grid);
    let alone = View::founded_by(member(ids[0], 1));
    let id = ViewId { version: 2, ..alone.id };
    let both = alone.with(id, &[member(ids[1], 2)], &[]).unwrap();
    for grid in &grids {
        grid.expect_view(&both);
        grid.handle_view(&both);
        let ticking = grid.clone();
        tokio::spawn(async move {
            loop {
                ticking.tick();
                tokio::time::sleep(TICK).await;
            }
        });
    }
    tokio::spawn(carry(grids[0].clone(), grids[1].clone()));
    tokio::spawn(carry(grids[1].clone(), grids[0].clone()));
    let has_primaries = |grid: &Grid| {
        grid.table().is_some_and(|table| {
            let primaries = || table.partitions.iter().map(|assignment| assignment.primary());
            grid.is_safe() && ids.iter().all(|id| primaries().any(|p| p == Some(*id)))
        })
    };
    let end = Instant::now() + WAIT_MAX;
    while !grids.iter().all(has_primaries) {
        assert!(Instant::now() < end, "both members get partitions");
        tokio::time::sleep(TICK).await;
    }
    let mut listeners = Vec::new();
    for _ in 0..2 {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    }
    let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
    let members = [(ids[0], ports[0]), (ids[1], ports[1])];
    let mut servers = Vec::new();
    for (at, listener) in listeners.into_iter().enumerate() {
        let address = listener.local_addr().unwrap();
        let grid = grids[at].clone();
        let pubsub = PubSub::new(grid.clone());
        let cluster = Arc::new(Both(members, at));
        let server =
            Server::new(grid, pubsub, HazelcastSettings::default(), cluster, address.port());
        tokio::spawn(Arc::clone(&server).serve(vec![listener]));
        servers.push((server, address));
    }
    servers.try_into().ok().unwrap()
}

/// A key whose primary is this member.
fn key_of(server: &Server) -> Vec<u8> {
    let (table, tags) = (server.grid.table().unwrap(), server.tags().unwrap());
    let keys = (0..).map(|number| text(&number.to_string()));
    let is_primary = |key: &Vec<u8>| {
        let partition = usize::from(tags.partition(data(key)));
        table.partitions[partition].primary() == Some(server.grid.me())
    };
    keys.into_iter().find(is_primary).unwrap()
}

#[tokio::test]
async fn the_owner_of_a_lock_writes_at_once_through_another_member() {
    let [(first, _), (_, second)] = two_members().await;
    let key = key_of(&first);
    let mut owner = Connection::authenticated(second, 1).await;
    let lock = map::Lock { thread_id: 1, ttl: -1, reference_id: 1, name: "m", key: data(&key) };
    owner.map(maps::Request::Lock(lock)).await;
    let begin = Instant::now();
    for _ in 0..20 {
        owner.put(&key, &text("mine")).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
    let mut other = Connection::authenticated(second, 2).await;
    let set = map::Set { thread_id: 1, ttl: -1, name: "m", key: data(&key), value: data(&key) };
    let waiting = other.send(Request::Map(maps::Request::Set(set))).await;
    let unlock = map::Unlock { thread_id: 1, reference_id: 2, name: "m", key: data(&key) };
    owner.map(maps::Request::Unlock(unlock)).await;
    let written = other.receive().await.unwrap();
    assert_eq!(parsed(&written).header().correlation_id, waiting);
    map::Set::read_response(parsed(&written)).unwrap();
    assert_eq!(owner.get(&key).await, Some(key));
}

#[tokio::test]
async fn a_map_event_is_sent_once_to_clients_of_both_members() {
    let [(one, first), (two, second)] = two_members().await;
    // A client of all members registers at each of them.
    let mut smart =
        [Connection::authenticated(first, 1).await, Connection::authenticated(second, 1).await];
    let mut single = Connection::authenticated(second, 2).await;
    let listener = |local_only| {
        maps::Request::AddEntryListener(map::AddEntryListener {
            include_value: false,
            listener_flags: entry_event::CLEAR_ALL,
            local_only,
            name: "m",
        })
    };
    for connection in &mut smart {
        connection.map(listener(true)).await;
    }
    single.map(listener(false)).await;
    for server in [&one, &two] {
        server.grid.announcements_received().await;
    }
    let mut writer = Connection::authenticated(first, 3).await;
    for number in 0..20 {
        writer.put(&text(&number.to_string()), &text("v")).await;
    }
    for _ in 0..2 {
        writer.map(maps::Request::Clear(map::Clear { name: "m" })).await;
        writer.put(&text("again"), &text("v")).await;
    }
    for count in [20, 1] {
        let message = single.receive().await.unwrap();
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        assert_eq!(event.number_of_affected_entries, count);
        let [first, second] = &mut smart;
        let message = tokio::select! {
            message = first.receive() => message,
            message = second.receive() => message,
        };
        let message = message.unwrap();
        let event = EntryEvent::decode(parsed(&message)).unwrap();
        assert_eq!(event.number_of_affected_entries, count);
    }
}

#[tokio::test]
async fn a_schema_can_be_read_from_each_member() {
    let [(one, first), (two, second)] = two_members().await;
    let schema = convoke_hazelcast::schema::Schema { type_name: "t", fields: List::default() };
    let mut connection = Connection::authenticated(first, 1).await;
    let send = client_messages::Request::SendSchema(client::SendSchema { schema });
    let response = connection.call(Request::Client(send)).await;
    let (members,) = client::SendSchema::read_response(parsed(&response)).unwrap();
    let mut members: Vec<Uuid> = members.iter().collect();
    members.sort();
    let mut expected = [&one, &two].map(|server| Uuid::from_bytes(*server.grid.me().as_bytes()));
    expected.sort();
    assert_eq!(members, expected);
    let mut other = Connection::authenticated(second, 2).await;
    let fetch = client::FetchSchema { schema_id: schema.id() };
    let fetch = Request::Client(client_messages::Request::FetchSchema(fetch));
    let response = other.call(fetch).await;
    assert_eq!(client::FetchSchema::read_response(parsed(&response)).unwrap(), (Some(schema),));
}

#[tokio::test]
async fn data_structures_are_known_to_all_members() {
    let [(one, first), (two, second)] = two_members().await;
    let mut listener = Connection::authenticated(second, 1).await;
    let add = client::AddDistributedObjectListener { local_only: false };
    let add = client_messages::Request::AddDistributedObjectListener(add);
    listener.call(Request::Client(add)).await;
    two.grid.announcements_received().await;
    let (name, service_name) = ("m", service_name::MAP);
    let create = client::CreateProxy { name, service_name };
    let create = Request::Client(client_messages::Request::CreateProxy(create));
    let mut connections =
        [Connection::authenticated(first, 2).await, Connection::authenticated(second, 3).await];
    for connection in &mut connections {
        connection.call(create).await;
    }
    let destroy = client::DestroyProxy { name, service_name };
    let destroy = Request::Client(client_messages::Request::DestroyProxy(destroy));
    for event_type in ["CREATED", "DESTROYED"] {
        let message = listener.receive().await.unwrap();
        let event = DistributedObjectEvent::decode(parsed(&message)).unwrap();
        assert_eq!((event.name, event.event_type), (name, event_type));
        if event_type == "CREATED" {
            connections[0].call(destroy).await;
        }
    }
    let end = Instant::now() + WAIT_MAX;
    while [&one, &two].iter().any(|server| !server.proxies.lock().is_empty()) {
        assert!(Instant::now() < end, "both members forget it");
        tokio::time::sleep(TICK).await;
    }
}

#[tokio::test]
async fn a_query_finds_the_entries_of_both_members() {
    let [(one, first), (two, _)] = two_members().await;
    let mut connection = Connection::authenticated(first, 1).await;
    for key in [key_of(&one), key_of(&two)] {
        connection.put(&key, &text("v")).await;
    }
    let other = text("w");
    let contains = map::ContainsValue { name: "m", value: data(&other) };
    let response = connection.map(maps::Request::ContainsValue(contains)).await;
    assert_eq!(map::ContainsValue::read_response(parsed(&response)).unwrap(), (false,));
    let response = connection.map(maps::Request::EntrySet(map::EntrySet { name: "m" })).await;
    let (entries,) = map::EntrySet::read_response(parsed(&response)).unwrap();
    assert_eq!(entries.len(), 2);
}
