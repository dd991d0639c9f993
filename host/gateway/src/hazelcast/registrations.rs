//! Listeners of one connection: of maps of the grid, and of topics.

use std::sync::Arc;

use convoke_grid::Listener;
use convoke_hazelcast::error::ErrorCode;
use uuid::Uuid;

use super::errors::Failure;
use super::server::Server;
use super::settings::LISTENERS_MAX;
use crate::pubsub::Subscription;

/// What a client listens to, until it is dropped.
pub(super) struct Registered {
    server: Arc<Server>,
    /// The id of a listener of the grid.
    listener: Option<u64>,
    _subscription: Option<Subscription>,
}

impl Registered {
    /// Events of a map of the grid, and messages.
    pub(super) fn new(
        server: &Arc<Server>,
        listener: Option<(&str, Arc<dyn Listener>)>,
        subscription: Option<Subscription>,
    ) -> Self {
        let listener = listener.map(|(map, listener)| server.grid.listen(map, listener));
        Self { server: Arc::clone(server), listener, _subscription: subscription }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(id) = self.listener {
            self.server.grid.unlisten(id);
        }
    }
}

/// The listeners of one connection, by the id that its client knows.
#[derive(Default)]
pub(super) struct Registrations(Vec<(Uuid, Registered)>);

impl Registrations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a listener, which is created only if there is room for it. Returns its id.
    pub(super) fn add(&mut self, create: impl FnOnce() -> Registered) -> Result<Uuid, Failure> {
        if self.0.len() >= LISTENERS_MAX {
            let text = format!("this connection has {LISTENERS_MAX} listeners already");
            return Err(Failure::new(ErrorCode::IllegalState, text));
        }
        let uuid = Uuid::now_v7();
        self.0.push((uuid, create()));
        Ok(uuid)
    }

    /// Removes a listener. Returns whether there was one of this id.
    pub(super) fn remove(&mut self, uuid: Uuid) -> bool {
        let Some(at) = self.0.iter().position(|(known, _)| *known == uuid) else { return false };
        self.0.swap_remove(at);
        true
    }
}
