//! The RESP server of this member.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::run_scripts;
use convoke_gateway::resp::server::{Cluster, ClusterNode, Endpoint, RespSettings, Server};
use convoke_grid::Grid;
use convoke_membership::{Member, Service};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use super::ports;
use super::state::MemberState;
use crate::settings::{ClientAddress, ClientSettings, Settings};

/// The RESP port with its listeners.
pub(crate) struct RespPort {
    listeners: Vec<TcpListener>,
    /// The port number.
    pub(crate) port: u16,
    /// Whether clients on other hosts can reach it.
    pub(crate) is_public: bool,
}

impl RespPort {
    /// Binds the port, unless RESP is turned off. Without a client password only loopback is
    /// served.
    pub(crate) fn bind(settings: &Settings, ips: &[IpAddr]) -> Result<Option<Self>, String> {
        let Some(start) = settings.clients.resp_port else { return Ok(None) };
        let is_public = !settings.clients.password.is_empty();
        let loopback: IpAddr = match ips.first() {
            Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let mut hosts: Vec<IpAddr> =
            ips.iter().copied().filter(|ip| is_public || ip.is_loopback()).collect();
        if !hosts.iter().any(IpAddr::is_loopback) {
            hosts.push(loopback);
        }
        let listeners = ports::bind_resp(&hosts, start)?;
        let port = listeners[0].local_addr().map_err(|error| error.to_string())?.port();
        let on_loopback_only = if is_public {
            ""
        } else {
            "; from this host only, since no --client-password-file is set"
        };
        let addresses: Vec<String> = listeners
            .iter()
            .filter_map(|listener| Some(listener.local_addr().ok()?.ip().to_string()))
            .collect();
        let addresses = addresses.join(", ");
        info!(port, %addresses, "RESP for clients{on_loopback_only}");
        Ok(Some(Self { listeners, port, is_public }))
    }

    /// The endpoint to advertise to other members, if clients on other hosts can reach it.
    pub(crate) fn advertised(
        &self,
        ips: &[IpAddr],
        public: Option<&ClientAddress>,
    ) -> Option<Service> {
        let is_reached = self.is_public || public.is_some() || ips.iter().all(IpAddr::is_loopback);
        is_reached.then(|| ClientAddress::service(public, self.port))
    }

    /// Starts to serve.
    pub(crate) fn serve(self, server: &Arc<Server>) {
        tokio::spawn(Arc::clone(server).serve(self.listeners));
    }
}

/// The server of a member. It also runs scripts for other members, even if RESP is turned off;
/// `port` is then 0.
pub(crate) fn server(
    grid: Grid,
    pubsub: Arc<PubSub>,
    settings: &ClientSettings,
    member_state: watch::Receiver<Arc<MemberState>>,
    port: u16,
) -> Arc<Server> {
    let settings = RespSettings {
        passwords: settings.passwords(),
        clients_max: settings.clients_max as usize,
        idle: settings.idle,
        redis_cluster: settings.redis_cluster,
    };
    let members = Arc::new(Members { member_state });
    let server = Server::new(grid, pubsub, settings, members, port);
    run_scripts(&server);
    server
}

fn endpoint(member: &Member, resp: &Service) -> Endpoint {
    let literal = resp.host.as_ref().and_then(|host| host.parse().ok());
    Endpoint {
        ip: literal.unwrap_or(member.address().ip()),
        hostname: resp.host.clone().filter(|_| literal.is_none()),
        port: resp.port,
    }
}

/// The members as nodes of a Redis Cluster.
struct Members {
    member_state: watch::Receiver<Arc<MemberState>>,
}

impl Cluster for Members {
    fn nodes(&self) -> Vec<ClusterNode> {
        let member_state = Arc::clone(&self.member_state.borrow());
        let members = member_state.view.iter().flat_map(|view| view.members());
        members
            .map(|member| {
                // Clients expect 40 hexadecimal digits: the id, padded with zeros.
                let id = format!("{:0<40}", member.id.to_string().replace('-', ""));
                ClusterNode {
                    id,
                    member: member.id,
                    endpoint: member.resp.as_ref().map(|resp| endpoint(member, resp)),
                    hazelcast: None,
                    this: member.id == member_state.me.id,
                    stores: !member.lite,
                }
            })
            .collect()
    }
}
