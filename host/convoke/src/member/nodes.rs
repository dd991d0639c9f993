//! The members, as the servers for clients see them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use convoke_gateway::resp::server::{Cluster, ClusterNode, Endpoint};
use convoke_membership::{Member, Service};
use tokio::sync::watch;

use super::state::MemberState;

/// The members as nodes of a cluster.
pub(super) struct Nodes {
    pub(super) member_state: watch::Receiver<Arc<MemberState>>,
    /// The port of this member for clients of Hazelcast, if it has one.
    pub(super) hazelcast_port: Option<u16>,
}

impl Cluster for Nodes {
    fn nodes(&self) -> Vec<ClusterNode> {
        let member_state = Arc::clone(&self.member_state.borrow());
        let members = member_state.view.iter().flat_map(|view| view.members());
        members
            .map(|member| {
                // Clients expect 40 hexadecimal digits: the id, padded with zeros.
                let id = format!("{:0<40}", member.id.to_string().replace('-', ""));
                let this = member.id == member_state.me.id;
                let hazelcast = member.hazelcast.as_ref().map(|service| endpoint(member, service));
                ClusterNode {
                    id,
                    member: member.id,
                    endpoint: member.resp.as_ref().map(|resp| endpoint(member, resp)),
                    hazelcast: hazelcast.or(self.loopback().filter(|_| this)),
                    this,
                    stores: !member.lite,
                }
            })
            .collect()
    }
}

impl Nodes {
    /// Where clients of Hazelcast on this host connect. A client needs at least one member in its
    /// list, even if no member serves other hosts.
    fn loopback(&self) -> Option<Endpoint> {
        let port = self.hazelcast_port?;
        Some(Endpoint { ip: Ipv4Addr::LOCALHOST.into(), hostname: None, port })
    }
}

fn endpoint(member: &Member, service: &Service) -> Endpoint {
    let literal = service.host.as_ref().and_then(|host| host.parse().ok());
    Endpoint {
        ip: literal.unwrap_or(member.address().ip()),
        hostname: service.host.clone().filter(|_| literal.is_none()),
        port: service.port,
    }
}
