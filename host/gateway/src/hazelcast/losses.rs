//! Partitions that have lost their data, for listeners of clients. The member that finds out, which
//! coordinates or is the next primary, announces it in the lost partition to all members.

use std::sync::Arc;

use convoke_grid::op::{Op, WholeOp};
use convoke_grid::{Class, Event, Listener, OpError};
use convoke_hazelcast::codec::Request;
use convoke_hazelcast::codec::client::{self, Request as ClientRequest};
use convoke_hazelcast::codec::events::{MapPartitionLostEvent, PartitionLostEvent};
use convoke_hazelcast::codec::map::{self, Request as MapRequest};
use convoke_hazelcast::codec::service_name;
use uuid::Uuid;

use super::errors::Failure;
use super::map::listeners::Registration;
use super::names::Object;
use super::server::Server;
use super::session::{Begun, Session};
use super::view;

/// The name of the map whose events are about lost partitions. It is empty.
const MAP: &str = "hazelcast-losses";
/// The name of these events.
const LOST: &str = "partition-lost";

/// Which event a client is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LossEvent {
    /// To a listener of the cluster.
    OfCluster,
    /// To a listener of one map.
    OfMap,
}

struct LossListener {
    registration: Registration,
    event: LossEvent,
}

impl Listener for LossListener {
    fn handle_event(&self, event: &Event) {
        let partition = event.value.as_deref().and_then(|value| value.first_chunk());
        let Some(partition) = partition.map(|bytes| u16::from_be_bytes(*bytes)) else { return };
        if event.class != Class::Announced || !self.registration.is_wanted_of(partition) {
            return;
        }
        let server = &self.registration.server;
        let id = self.registration.correlation_id();
        let (me, partition_id) = (view::uuid(server.grid.me()), i32::from(partition));
        let mut message = Vec::new();
        match self.event {
            LossEvent::OfCluster => {
                // All copies are lost: as many backups as the partition may have.
                let backups = server.grid.table().map_or(0, |table| {
                    let replicas = table.partitions.get(usize::from(partition));
                    replicas.map_or(0, |assignment| assignment.replicas.len().saturating_sub(1))
                });
                let lost_backup_count = i32::try_from(backups).unwrap_or(i32::MAX);
                let event =
                    PartitionLostEvent { partition_id, lost_backup_count, source: Some(me) };
                event.write(&mut message, client::AddPartitionLostListener::PARTITION_LOST, id);
            }
            LossEvent::OfMap => {
                let event = MapPartitionLostEvent { partition_id, uuid: me };
                event.write(&mut message, map::AddPartitionLostListener::PARTITION_LOST, id);
            }
        }
        self.registration.push_of(message, Some(partition));
    }
}

/// Registers a listener. Returns its id.
fn listen(
    session: &mut Session,
    correlation_id: i64,
    local_only: bool,
    event: LossEvent,
    object: Option<Object<'_>>,
) -> Result<Uuid, Failure> {
    let name = session.server.grid.open_system(MAP)?.name.clone();
    let registration = session.listeners.registration(correlation_id, local_only);
    session.listeners.register(object, &name, Arc::new(LossListener { registration, event }))
}

/// Whether a request is about a listener of lost partitions.
pub(super) const fn concerns(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Client(
            ClientRequest::AddPartitionLostListener(_)
                | ClientRequest::RemovePartitionLostListener(_)
        ) | Request::Map(
            MapRequest::AddPartitionLostListener(_) | MapRequest::RemovePartitionLostListener(_)
        )
    )
}

/// Registers or removes a listener.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    match request {
        Request::Client(ClientRequest::AddPartitionLostListener(r)) => {
            let uuid = listen(session, id, r.local_only, LossEvent::OfCluster, None)?;
            client::AddPartitionLostListener::respond(output, id, 0, uuid);
        }
        Request::Client(ClientRequest::RemovePartitionLostListener(r)) => {
            let removed = session.listeners.remove(r.registration_id);
            client::RemovePartitionLostListener::respond(output, id, 0, removed);
        }
        Request::Map(MapRequest::AddPartitionLostListener(r)) => {
            session.server.open(r.name)?;
            let object = Some(Object::new(service_name::MAP, r.name));
            let uuid = listen(session, id, r.local_only, LossEvent::OfMap, object)?;
            map::AddPartitionLostListener::respond(output, id, 0, uuid);
        }
        Request::Map(MapRequest::RemovePartitionLostListener(r)) => {
            let removed = session.listeners.remove(r.registration_id);
            map::RemovePartitionLostListener::respond(output, id, 0, removed);
        }
        _ => return Err(Failure::unsupported("this request", "as a listener")),
    }
    Ok(Begun::Done)
}

impl Server {
    /// Announces the partitions that were lost since there were `known` losses. Returns how many
    /// there are now.
    pub(super) fn announce_losses(self: &Arc<Self>, known: u64) -> u64 {
        let (count, partitions) = self.grid.losses_since(known);
        for partition in partitions {
            let server = Arc::clone(self);
            tokio::spawn(async move { server.announce_loss(partition).await });
        }
        count
    }

    /// Announces a lost partition, once its next primary serves.
    pub(super) async fn announce_loss(&self, partition: u16) -> Result<(), OpError> {
        let map = self.grid.open_system(MAP)?;
        let value = partition.to_be_bytes();
        let op = Op::Whole(WholeOp::Announce { name: LOST, value: &value });
        self.submit(&map, partition, &op).await?;
        Ok(())
    }
}
