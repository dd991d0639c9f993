//! Data structures that clients of other members have destroyed: this member forgets that its clients
//! have named them.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use convoke_grid::Subscriber;

use super::names;
use super::server::Server;
use crate::pubsub::Subscription;

/// Separates the names of the service and of the structure in a report.
const SEPARATOR: char = '\0';

/// Reports to all members that a structure was destroyed. It stays in the lists of a member that does
/// not keep up.
pub(super) fn report(server: &Server, service: &str, name: &str) {
    let report = format!("{service}{SEPARATOR}{name}");
    drop(server.grid.publish_shard(&names::destroyed(), report.as_bytes()));
}

/// Follows such reports until it is dropped.
pub(super) fn follow(server: &Arc<Server>) -> Subscription {
    let follower = Arc::new(Follower(Arc::downgrade(server)));
    server.pubsub.subscribe_shard(&names::destroyed(), follower)
}

struct Follower(Weak<Server>);

impl Subscriber for Follower {
    fn deliver(&self, _: &Bytes, _: Option<&Bytes>, _: &Bytes) {}

    fn deliver_shard(&self, _: &Bytes, report: &Bytes) {
        let names = str::from_utf8(report).ok().and_then(|text| text.split_once(SEPARATOR));
        if let (Some((service, name)), Some(server)) = (names, self.0.upgrade()) {
            server.proxies.lock().remove(&(service.into(), name.into()));
        }
    }
}
