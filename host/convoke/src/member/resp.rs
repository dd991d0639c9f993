//! The RESP server of this member.

use std::sync::Arc;

use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::run_scripts;
use convoke_gateway::resp::server::{Cluster, RespSettings, Server};
use convoke_grid::Grid;

use crate::settings::ClientSettings;

/// The server of a member. It also runs scripts for other members, even if RESP is turned off;
/// `port` is then 0.
pub(crate) fn server(
    grid: Grid,
    pubsub: Arc<PubSub>,
    settings: &ClientSettings,
    cluster: Arc<dyn Cluster>,
    port: u16,
) -> Arc<Server> {
    let settings = RespSettings {
        passwords: settings.passwords(),
        clients_max: settings.clients_max as usize,
        idle: settings.idle,
        redis_cluster: settings.redis_cluster,
    };
    let server = Server::new(grid, pubsub, settings, cluster, port);
    run_scripts(&server);
    server
}
