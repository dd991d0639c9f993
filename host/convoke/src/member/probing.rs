//! Probes on behalf of modes: a handshake that does not join.

use std::net::SocketAddr;
use std::sync::Arc;

use convoke_discovery::{Peer, Probed, Prober};
use convoke_membership::{Hello, Member, MemberStatus};
use convoke_wire::{ClusterKeys, HandshakeError};

use super::calls::{self, CallError};

/// A prober with this cluster's keys.
pub(crate) fn prober(keys: &Arc<ClusterKeys>, me: &Member) -> Prober {
    let keys = Arc::clone(keys);
    let hello: Arc<[u8]> =
        Hello { member: me.clone(), standing: MemberStatus::Observer }.encode().into();
    Prober::new(move |address: SocketAddr| {
        let (keys, hello) = (Arc::clone(&keys), Arc::clone(&hello));
        async move {
            match calls::call(address, &keys, &hello).await {
                Ok(call) => Probed::Member(peer(&call.hello)),
                Err(error) => failed(&error),
            }
        }
    })
}

fn peer(hello: &Hello) -> Peer {
    let (cluster_size, coordinator) = match &hello.standing {
        MemberStatus::In(summary) => (summary.members, summary.coordinator.addresses.clone()),
        MemberStatus::Observer
        | MemberStatus::Starting
        | MemberStatus::Leaving
        | MemberStatus::Data => (0, Vec::new()),
    };
    Peer {
        member_id: hello.member.id.to_string(),
        name: hello.member.name.clone(),
        lite: hello.member.lite,
        cluster_size,
        coordinator,
    }
}

fn failed(error: &CallError) -> Probed {
    match error {
        CallError::Refused => Probed::Closed,
        CallError::Silent => Probed::TimedOut,
        CallError::Handshake(HandshakeError::Credentials) => Probed::OtherCluster,
        CallError::Handshake(
            HandshakeError::NotAMember { .. } | HandshakeError::TimedOut { .. },
        ) => Probed::NotAMember(error.to_string()),
        error => Probed::Other(error.to_string()),
    }
}
