//! Data structures that clients have destroyed. On all members, the requests that wait for such a
//! structure and its listeners end, and it is forgotten that clients have named it.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use convoke_grid::Subscriber;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::names::{self, Object};
use super::registrations::Registered;
use super::server::Server;
use super::view;
use crate::pubsub::Subscription;

/// Separates the names of the service and of the structure in a report, after the id of the member.
const SEPARATOR: char = '\0';
/// Length of the id of a member in a report, in bytes.
const ID_BYTES: usize = 16;

/// A structure is about to be destroyed: ends what waits for it and listens to it, on all members. A
/// member that does not keep up keeps both.
pub(super) async fn report(server: &Server, object: &Object<'_>) {
    drop(end(server, object));
    let names = format!("{}{SEPARATOR}{}", object.service, object.name);
    let report = [view::uuid(server.grid.me()).as_bytes(), names.as_bytes()].concat();
    if let Ok(delivered) = server.grid.publish_shard(&names::destroyed(), &report) {
        delivered.await;
    }
}

/// Ends what waits for a structure, and returns its listeners, which are to be dropped.
fn end(server: &Server, object: &Object<'_>) -> Vec<Registered> {
    let connections = server.infos();
    let listeners = connections.iter().flat_map(|info| info.registrations.take_of(object));
    let listeners = listeners.collect();
    server.waits.destroyed(object);
    listeners
}

/// Follows the reports of other members until it is dropped.
pub(super) fn follow(server: &Arc<Server>) -> Subscription {
    let follower = Follower { server: Arc::downgrade(server), runtime: Handle::current() };
    server.pubsub.subscribe_shard(&names::destroyed(), Arc::new(follower))
}

struct Follower {
    server: Weak<Server>,
    /// Where listeners are dropped.
    runtime: Handle,
}

impl Subscriber for Follower {
    fn deliver(&self, _: &Bytes, _: Option<&Bytes>, _: &Bytes) {}

    fn deliver_shard(&self, _: &Bytes, report: &Bytes) {
        let Some(server) = self.server.upgrade() else { return };
        let Some((member, names)) = report.split_first_chunk::<ID_BYTES>() else { return };
        if Uuid::from_bytes(*member) == view::uuid(server.grid.me()) {
            return;
        }
        let names = str::from_utf8(names).ok().and_then(|text| text.split_once(SEPARATOR));
        let Some((service, name)) = names else { return };
        server.proxies.lock().remove(&(service.into(), name.into()));
        let listeners = end(&server, &Object::new(service, name));
        if !listeners.is_empty() {
            self.runtime.spawn(async move { drop(listeners) });
        }
    }
}
