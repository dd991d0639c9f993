//! Serves clients, over RESP, the protocol of Hazelcast, and HTTP.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use convoke_gateway::http::{self, Pages, Web};
use convoke_gateway::notifications;
use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::server::Cluster;
use convoke_grid::Grid;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::client_port::{ClientPort, HAZELCAST, RESP};
use super::nodes::Nodes;
use super::state::{Counters, MemberState};
use super::{events, hazelcast, resp};
use crate::settings::Settings;
use crate::status::Status;

/// The ports of protocols that can be turned off; `None` for those that are.
pub(super) struct BoundPorts {
    pub(super) resp: Option<ClientPort>,
    pub(super) hazelcast: Option<ClientPort>,
}

impl BoundPorts {
    pub(super) fn bind(settings: &Settings, ips: &[IpAddr]) -> Result<Self, String> {
        let clients = &settings.clients;
        let has_password = !clients.password.is_empty();
        Ok(Self {
            resp: ClientPort::bind(&RESP, clients.resp_port, has_password, ips)?,
            hazelcast: ClientPort::bind(&HAZELCAST, clients.hazelcast_port, has_password, ips)?,
        })
    }
}

/// The ports for clients.
pub(super) struct ClientPorts {
    pub(super) http: Vec<TcpListener>,
    pub(super) bound: BoundPorts,
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
    let BoundPorts { resp: resp_port, hazelcast: hazelcast_port } = ports.bound;
    let cluster: Arc<dyn Cluster> = Arc::new(Nodes {
        member_state: state_receiver.clone(),
        hazelcast_port: hazelcast_port.as_ref().map(|bound| bound.port),
    });
    let port = resp_port.as_ref().map_or(0, |bound| bound.port);
    let resp = resp::server(grid.clone(), Arc::clone(&pubsub), clients, Arc::clone(&cluster), port);
    // The tasks below keep the server, even if no client can connect.
    let scripts = Arc::clone(&resp);
    let resp = resp_port.map(|port| {
        tokio::spawn(Arc::clone(&resp).serve(port.listeners));
        resp
    });
    let hazelcast = hazelcast_port.map(|bound| {
        let pubsub = Arc::clone(&pubsub);
        let server = hazelcast::server(grid.clone(), pubsub, settings, cluster, bound.port);
        tokio::spawn(Arc::clone(&server).serve(bound.listeners));
        server
    });
    let status = Arc::new(Status {
        cluster_name: settings.cluster_name.clone(),
        member_state: state_receiver.clone(),
        modes: OnceLock::new(),
        counters: Arc::clone(counters),
        grid: grid.clone(),
        resp,
        hazelcast,
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
