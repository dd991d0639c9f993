//! Requests by service.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use convoke_hazelcast::codec::Request;
use convoke_hazelcast::codec::client::{self, Request as ClientRequest};
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::error::{ErrorCode, respond_unsupported};
use convoke_hazelcast::message::Message;
use uuid::Uuid;

use super::authentication::{Credentials, authenticate};
use super::errors::Failure;
use super::proxies::is_offered;
use super::session::{Begun, Session};
use super::{
    cache, collections, flake_id, losses, map, multi_map, object_events, pn_counter,
    replicated_map, topic, view,
};
use crate::trust::Trust;

/// Begins a request.
pub(super) fn begin(session: &mut Session, output: &mut Vec<u8>, message: Message<'_>) -> Begun {
    let header = message.header();
    let id = header.correlation_id;
    let request = match Request::decode(message) {
        Ok(request) => request,
        Err(error) => {
            ErrorCode::HazelcastSerialization.respond(output, id, &error.to_string());
            return Begun::Done;
        }
    };
    let begun = if session.trust == Trust::Unauthenticated {
        begin_unauthenticated(session, output, id, &request)
    } else if !matches!(request, Request::Client(_) | Request::Unsupported(_))
        && session.server.pubsub.ledger.is_full()
    {
        Err(Failure::try_again("too much memory is held for clients; nothing was done"))
    } else {
        match &request {
            request if losses::concerns(request) => losses::begin(session, output, id, request),
            Request::Map(request) => map::begin(session, output, id, request),
            Request::MultiMap(request) => multi_map::begin(session, output, id, request),
            Request::ReplicatedMap(request) => replicated_map::begin(session, output, id, request),
            Request::Topic(request) => topic::begin(session, output, id, request),
            Request::PnCounter(request) => pn_counter::begin(session, output, id, request),
            Request::FlakeIdGenerator(request) => flake_id::begin(session, request),
            Request::Queue(_) | Request::List(_) | Request::Set(_) | Request::Ringbuffer(_) => {
                collections::begin(session, output, id, &request)
            }
            Request::Cache(request) => cache::begin(session, output, message, request),
            Request::Client(request) => begin_client(session, output, id, request),
            _ => {
                respond_unsupported(output, id, header.message_type);
                Ok(Begun::Done)
            }
        }
    };
    begun.unwrap_or_else(|failure| {
        failure.respond(output, id);
        Begun::Done
    })
}

fn begin_unauthenticated(
    session: &mut Session,
    output: &mut Vec<u8>,
    id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    match request {
        Request::Client(ClientRequest::Authentication(r)) => {
            let credentials = Credentials {
                uuid: r.uuid,
                serialization_version: r.serialization_version,
                cluster_name: r.cluster_name,
                user: r.username,
                password: r.password.map(|password| password.bytes()),
            };
            authenticate(session, &credentials, |response| {
                client::Authentication::respond(output, id, response);
            });
        }
        Request::Client(ClientRequest::AuthenticationCustom(r)) => {
            let credentials = Credentials {
                uuid: r.uuid,
                serialization_version: r.serialization_version,
                cluster_name: r.cluster_name,
                user: None,
                password: Some(r.credentials.bytes()),
            };
            authenticate(session, &credentials, |response| {
                client::AuthenticationCustom::respond(output, id, response);
            });
        }
        _ => return Err(Failure::new(ErrorCode::Authentication, "authenticate first")),
    }
    Ok(Begun::Done)
}

fn begin_client(
    session: &mut Session,
    output: &mut Vec<u8>,
    id: i64,
    request: &ClientRequest<'_>,
) -> Result<Begun, Failure> {
    let server = Arc::clone(&session.server);
    match request {
        ClientRequest::Ping(_) => client::Ping::respond(output, id, 0),
        ClientRequest::Statistics(_) => client::Statistics::respond(output, id, 0),
        ClientRequest::AddClusterViewListener(_) => {
            client::AddClusterViewListener::respond(output, id, 0);
            session.info.watches_view.store(true, Ordering::Release);
            session.view = Some((id, 0, 0));
            write_view(session, output);
            view::write_cluster_version(output, id);
        }
        ClientRequest::CreateProxy(r) => {
            if !is_offered(r.service_name) {
                return Err(Failure::unsupported(request.name(), r.service_name));
            }
            server.create(r.service_name, r.name)?;
            client::CreateProxy::respond(output, id, 0);
        }
        ClientRequest::CreateProxies(r) => {
            for (name, service) in r.proxies {
                // A client that connects again names all that it has used.
                let _ = server.create(service, name);
            }
            client::CreateProxies::respond(output, id, 0);
        }
        ClientRequest::DestroyProxy(r) => {
            if !session.trust.may_write() {
                return Err(map::denied());
            }
            if r.service_name == service_name::CACHE {
                return Ok(cache::destroy(session, id, r.name));
            }
            if is_offered(r.service_name) {
                return Ok(Begun::Task);
            }
            client::DestroyProxy::respond(output, id, 0);
        }
        // It finds the structures that exist.
        ClientRequest::GetDistributedObjects(_) => return Ok(Begun::Task),
        // The client waits for no backups: all of them are complete before a response is sent.
        ClientRequest::LocalBackupListener(_) => {
            client::LocalBackupListener::respond(output, id, 0, Uuid::now_v7());
        }
        ClientRequest::TriggerPartitionAssignment(_) => {
            client::TriggerPartitionAssignment::respond(output, id, 0);
        }
        ClientRequest::SendSchema(_)
        | ClientRequest::FetchSchema(_)
        | ClientRequest::SendAllSchemas(_) => return Ok(Begun::Task),
        ClientRequest::AddDistributedObjectListener(r) => {
            let uuid = object_events::listen(session, id, r.local_only)?;
            client::AddDistributedObjectListener::respond(output, id, 0, uuid);
        }
        ClientRequest::RemoveDistributedObjectListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            client::RemoveDistributedObjectListener::respond(output, id, 0, removed);
        }
        ClientRequest::Authentication(_) | ClientRequest::AuthenticationCustom(_) => {
            return Err(Failure::new(ErrorCode::IllegalState, "the client is authenticated"));
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(Begun::Done)
}

/// Appends the members and partitions to the output, if they have changed since they were sent.
/// Returns whether they have.
pub(super) fn write_view(session: &mut Session, output: &mut Vec<u8>) -> bool {
    let Some((id, members_sent, partitions_sent)) = session.view else { return false };
    let view = session.server.view();
    let versions = (view.members_version.max(1), view.partitions_version.max(1));
    if versions == (members_sent, partitions_sent) {
        return false;
    }
    if versions.0 != members_sent {
        view.write_members(output, id);
    }
    if versions.1 != partitions_sent {
        view.write_partitions(output, id);
    }
    session.view = Some((id, versions.0, versions.1));
    true
}
