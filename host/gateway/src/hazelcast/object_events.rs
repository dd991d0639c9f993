//! Events of the data structures that clients have named, in the whole cluster. They are keys of a
//! map of the grid, whose events tell all members, and listeners of clients, that one was created or
//! destroyed.

use std::sync::Arc;

use convoke_grid::op::{GenericOp, KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf};
use convoke_grid::{Class, Event, Listener, Map, OpError};
use convoke_hazelcast::codec::client::AddDistributedObjectListener;
use convoke_hazelcast::codec::events::DistributedObjectEvent;
use uuid::Uuid;

use super::errors::Failure;
use super::map::listeners::Registration;
use super::objects::{Change, decode};
use super::server::Server;
use super::session::Session;
use super::settings::PROXIES_MAX;
use super::view;
use super::whole::{self, SCAN_KEYS};

/// The name of the map.
const MAP: &str = "hazelcast-objects";
/// Whether an event is that of a creation or a destruction. `None` if it is neither.
fn is_created(event: &Event) -> Option<bool> {
    match (event.class, event.name.as_str()) {
        (Class::Plain, "set") if event.is_first => Some(true),
        (Class::Generic, "del") => Some(false),
        _ => None,
    }
}

/// Updates what this member knows.
struct Follower(std::sync::Weak<Server>);

impl Listener for Follower {
    fn handle_event(&self, event: &Event) {
        let Some(server) = self.0.upgrade() else { return };
        let Some(((service, name), is_created)) = decode(&event.key).zip(is_created(event)) else {
            return;
        };
        let mut proxies = server.proxies.lock();
        let proxy = (service.to_owned(), name.to_owned());
        if !is_created {
            proxies.remove(&proxy);
        } else if proxies.len() < PROXIES_MAX {
            proxies.insert(proxy);
        }
    }
}

/// Reports changes to a client.
struct ObjectListener(Registration);

impl Listener for ObjectListener {
    fn handle_event(&self, event: &Event) {
        let Some(((service_name, name), is_created)) = decode(&event.key).zip(is_created(event))
        else {
            return;
        };
        let grid = &self.0.server.grid;
        let partition = grid.partition_of(&event.key);
        if !self.0.is_wanted_of(partition) {
            return;
        }
        let mut message = Vec::new();
        let event = DistributedObjectEvent {
            source: view::uuid(grid.me()),
            name,
            service_name,
            event_type: if is_created { "CREATED" } else { "DESTROYED" },
        };
        let message_type = AddDistributedObjectListener::DISTRIBUTED_OBJECT;
        event.write(&mut message, message_type, self.0.correlation_id());
        self.0.push_of(message, Some(partition));
    }
}

/// Registers a listener. Returns its id.
pub(super) fn listen(
    session: &mut Session,
    correlation_id: i64,
    local_only: bool,
) -> Result<Uuid, Failure> {
    let name = session.server.grid.open_system(MAP)?.name.clone();
    let registration = session.listeners.registration(correlation_id, local_only);
    session.listeners.register(None, &name, Arc::new(ObjectListener(registration)))
}

impl Server {
    /// Follows the data structures of the cluster, and writes the changes of this member; never
    /// returns.
    pub(super) async fn follow_objects(self: Arc<Self>) {
        let Some(mut changes) = self.objects.unwritten.lock().take() else { return };
        let Ok(map) = self.grid.open_system(MAP) else { return };
        self.grid.listen(&map.name, Arc::new(Follower(Arc::downgrade(&self))));
        self.read_objects(&map).await;
        while let Some(Change { key, is_created }) = changes.recv().await {
            let is_known = |(service, name): (&str, &str)| {
                self.proxies.lock().contains(&(service.to_owned(), name.to_owned()))
            };
            // It was destroyed meanwhile by a client of another member.
            if is_created && !decode(&key).is_some_and(is_known) {
                continue;
            }
            // A client that names a data structure again creates it again, after an error.
            let _ = self.write_object(&map, &key, is_created).await;
        }
    }

    /// Reads the data structures that exist when this member starts.
    async fn read_objects(&self, map: &Arc<Map>) {
        for partition in 0..self.grid.partitions() {
            let mut cursor = 0;
            while let Ok((keys, next)) =
                whole::scan(self, map, partition, (cursor, SCAN_KEYS)).await
            {
                let known = keys.iter().filter_map(|key| decode(key));
                let mut proxies = self.proxies.lock();
                for (service, name) in known {
                    if proxies.len() < PROXIES_MAX {
                        proxies.insert((service.to_owned(), name.to_owned()));
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
    }

    async fn write_object(
        &self,
        map: &Arc<Map>,
        key: &[u8],
        is_created: bool,
    ) -> Result<(), OpError> {
        let op = if is_created {
            KeyOp::Plain(PlainOp::Put {
                kind: 0,
                value: b"",
                lifetime: Lifetime::Forever,
                condition: PutIf::Absent,
                answer: PutAnswer::Done,
            })
        } else {
            KeyOp::Generic(GenericOp::Remove)
        };
        self.submit(map, self.grid.partition_of(key), &Op::Key(key, op)).await?;
        Ok(())
    }
}
