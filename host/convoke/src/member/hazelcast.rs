//! The server of this member for clients of Hazelcast.

use std::sync::Arc;
use std::time::Duration;

use convoke_gateway::hazelcast::{HazelcastSettings, Server};
use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::server::Cluster;
use convoke_grid::Grid;

use crate::settings::Settings;

/// A connection on which nothing arrives for this long is closed, in seconds: the client, which
/// sends something every 5 s, or its host is gone. As in Hazelcast.
const IDLE_S_MAX: u64 = 300;

/// The server of a member. `port` is where it serves.
pub(super) fn server(
    grid: Grid,
    pubsub: Arc<PubSub>,
    settings: &Settings,
    cluster: Arc<dyn Cluster>,
    port: u16,
) -> Arc<Server> {
    let clients = &settings.clients;
    let settings = HazelcastSettings {
        cluster_name: settings.cluster_name.clone(),
        passwords: clients.passwords(),
        clients_max: clients.clients_max as usize,
        idle: Some(Duration::from_secs(IDLE_S_MAX)),
    };
    Server::new(grid, pubsub, settings, cluster, port)
}
