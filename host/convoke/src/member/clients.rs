//! Serves clients, over RESP and HTTP.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use convoke_gateway::http::{self, Pages, Web};
use convoke_gateway::notifications;
use convoke_gateway::pubsub::PubSub;
use convoke_grid::Grid;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::events;
use super::resp::{self, RespPort};
use super::state::{Counters, MemberState};
use crate::settings::Settings;
use crate::status::Status;

/// The ports for clients.
pub(super) struct ClientPorts {
    pub(super) http: Vec<TcpListener>,
    /// `None` when RESP is turned off.
    pub(super) resp: Option<RespPort>,
    pub(super) pages: Pages,
}

/// Starts to serve clients.
pub(super) fn serve_clients(
    settings: &Settings,
    ports: ClientPorts,
    grid: &Grid,
    state_receiver: &watch::Receiver<Arc<MemberState>>,
    counters: &Arc<Counters>,
    changed: Arc<Notify>,
) -> (Arc<Status>, Arc<Web>) {
    let (clients, pubsub) = (&settings.clients, PubSub::new(grid.clone()));
    grid.set_own_setting(notifications::SETTING, &clients.notifications.text());
    let port = ports.resp.as_ref().map_or(0, |resp| resp.port);
    let server =
        resp::server(grid.clone(), Arc::clone(&pubsub), clients, state_receiver.clone(), port);
    // The tasks below keep the server, even if no client can connect.
    let scripts = Arc::clone(&server);
    let serve = |port: RespPort| {
        port.serve(&server);
        Arc::clone(&server)
    };
    let status = Arc::new(Status {
        cluster_name: settings.cluster_name.clone(),
        member_state: state_receiver.clone(),
        modes: OnceLock::new(),
        counters: Arc::clone(counters),
        grid: grid.clone(),
        resp: ports.resp.map(serve),
        web: OnceLock::new(),
        is_addressless: AtomicBool::new(false),
        leaving: AtomicBool::new(false),
    });
    let web = Web::new(Arc::clone(&status) as _, grid.clone(), pubsub, clients.passwords());
    let _ = status.web.set(Arc::downgrade(&web));
    tokio::spawn(http::serve(ports.http, Arc::clone(&web), ports.pages));
    tokio::spawn(events::publish_changes(Arc::clone(&status), state_receiver.clone(), changed));
    tokio::spawn(async move {
        let _kept = scripts;
        std::future::pending::<()>().await;
    });
    (status, web)
}
