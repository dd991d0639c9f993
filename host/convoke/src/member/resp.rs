//! The RESP server of this member.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::server::{Cluster, ClusterNode, Endpoint, RespSettings, Server};
use convoke_grid::Grid;
use convoke_membership::{Member, Service};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use super::ports;
use super::state::Place;
use crate::settings::{ClientAddress, ClientSettings, Settings};

/// Where it listens.
pub(crate) struct RespPort {
    listeners: Vec<TcpListener>,
    /// The number.
    pub(crate) port: u16,
    /// Whether clients on other hosts can reach it.
    pub(crate) is_public: bool,
}

impl RespPort {
    /// Binds it, unless it is turned off. Whoever needs no password may come from
    /// this machine only.
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
        let on_loopback_only =
            if is_public { "" } else { "; without --client-password-file from this machine only" };
        let addresses: Vec<String> = listeners
            .iter()
            .filter_map(|listener| Some(listener.local_addr().ok()?.ip().to_string()))
            .collect();
        let addresses = addresses.join(", ");
        info!(port, %addresses, "RESP for clients{on_loopback_only}");
        Ok(Some(Self { listeners, port, is_public }))
    }

    /// Where other members may send clients.
    pub(crate) fn told(&self, ips: &[IpAddr], public: Option<&ClientAddress>) -> Option<Service> {
        let is_reached = self.is_public || public.is_some() || ips.iter().all(IpAddr::is_loopback);
        is_reached.then(|| ClientAddress::service(public, self.port))
    }

    /// Serves from now on.
    pub(crate) fn serve(
        self,
        grid: Grid,
        pubsub: Arc<PubSub>,
        settings: &ClientSettings,
        place: watch::Receiver<Arc<Place>>,
    ) -> Arc<Server> {
        let settings = RespSettings {
            passwords: settings.passwords(),
            clients_max: settings.clients_max as usize,
            idle: settings.idle,
            redis_cluster: settings.redis_cluster,
        };
        let members = Arc::new(Members { place });
        let server = Server::new(grid, pubsub, settings, members, self.port);
        tokio::spawn(Arc::clone(&server).serve(self.listeners));
        server
    }
}

fn endpoint(member: &Member, resp: &Service) -> Endpoint {
    let literal = resp.host.as_ref().and_then(|host| host.parse().ok());
    Endpoint {
        ip: literal.unwrap_or(member.address().ip()),
        hostname: resp.host.clone().filter(|_| literal.is_none()),
        port: resp.port,
    }
}

/// The members, as nodes of a Redis Cluster.
struct Members {
    place: watch::Receiver<Arc<Place>>,
}

impl Cluster for Members {
    fn nodes(&self) -> Vec<ClusterNode> {
        let place = Arc::clone(&self.place.borrow());
        let members = place.view.iter().flat_map(|view| view.members());
        members
            .map(|member| {
                // 40 hexadecimal digits, as clients expect: the id, and eight more.
                let id = format!("{:0<40}", member.id.to_string().replace('-', ""));
                ClusterNode {
                    id,
                    member: member.id,
                    endpoint: member.resp.as_ref().map(|resp| endpoint(member, resp)),
                    this: member.id == place.me.id,
                    stores: !member.lite,
                }
            })
            .collect()
    }
}
