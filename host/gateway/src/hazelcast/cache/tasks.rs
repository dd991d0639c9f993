//! Requests that need the configuration of a cache from the cluster, or consist of several
//! operations. Each is a future that has a copy of its message, and returns the encoded response.

use std::sync::Arc;

use convoke_grid::OpError;
use convoke_hazelcast::cache::CacheConfigHolder;
use convoke_hazelcast::codec::cache::{self, Request};
use convoke_hazelcast::codec::{Encoded, List, Request as AnyRequest, client, service_name};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;
use convoke_hazelcast::message::Message;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::super::destroyed;
use super::super::errors::Failure;
use super::super::keys::write_key;
use super::super::names::Object;
use super::super::server::Server;
use super::super::session::{Begun, Session};
use super::super::view;
use super::settings::Cache;
use super::{Tag, bulk, configs, entry, may_write};
use crate::trust::Trust;

/// Maximum number of listeners in the configuration of a cache.
const CONFIG_LISTENERS_MAX: usize = 100;

/// What a task needs.
pub(super) struct Task<'a> {
    pub(super) server: &'a Arc<Server>,
    client: Uuid,
    trust: Trust,
    /// See [`Session::cache_order`].
    pub(super) order: &'a Arc<Mutex<()>>,
    pub(super) correlation_id: i64,
    pub(super) partition_id: i32,
    pub(super) output: Vec<u8>,
}

impl Task<'_> {
    /// The cache of this full name.
    pub(super) async fn find(&self, name: &str) -> Result<Arc<Cache>, Failure> {
        configs::find(self.server, name).await
    }

    /// The partition and the stored form of a key.
    pub(super) fn place(&self, key: Data<'_>) -> Result<(u16, Vec<u8>), Failure> {
        let tags = self.server.tags().ok_or(OpError::NoCluster)?;
        let mut stored = Vec::new();
        let partition = write_key(tags, key, &mut stored);
        Ok((partition, stored))
    }

    /// The tag of an operation, which this member reports as done, or else the primary.
    pub(super) fn tag(&self, completion_id: i32, by_this_member: bool) -> Vec<u8> {
        let member = by_this_member.then(|| view::uuid(self.server.grid.me()));
        Tag { client: self.client, completion_id, member }.encode()
    }
}

/// Leaves a request to a task.
pub(super) fn later(session: &Session, message: Message<'_>) -> Result<Begun, Failure> {
    let Some(client) = session.client() else {
        return Err(Failure::new(ErrorCode::Authentication, "authenticate first"));
    };
    let (server, client, trust) = (Arc::clone(&session.server), client.uuid, session.trust);
    let (order, bytes) = (Arc::clone(&session.cache_order), message.bytes().to_vec());
    Ok(Begun::Future(Box::pin(run(server, client, trust, order, bytes))))
}

/// Begins a request that is neither one on a key nor about a listener.
pub(super) fn begin(
    session: &Session,
    message: Message<'_>,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    match request {
        Request::Destroy(_)
        | Request::CreateConfig(_)
        | Request::GetConfig(_)
        | Request::ManagementConfig(_)
        | Request::ListenerRegistration(_)
        // Without a loader, which a configuration cannot have, there is nothing to load.
        | Request::LoadAll(_) => later(session, message),
        _ if bulk::is_supported(request) => later(session, message),
        _ => Err(Failure::unsupported(request.name(), "this request")),
    }
}

async fn run(
    server: Arc<Server>,
    client: Uuid,
    trust: Trust,
    order: Arc<Mutex<()>>,
    message: Vec<u8>,
) -> Vec<u8> {
    // It was decoded before.
    let Ok(message) = Message::parse(&message) else { return Vec::new() };
    let Ok(AnyRequest::Cache(request)) = AnyRequest::decode(message) else { return Vec::new() };
    let header = message.header();
    let mut task = Task {
        server: &server,
        client,
        trust,
        order: &order,
        correlation_id: header.correlation_id,
        partition_id: header.partition_id,
        output: Vec::new(),
    };
    if let Err(failure) = execute(&mut task, &request).await {
        task.output.clear();
        failure.respond(&mut task.output, header.correlation_id);
    }
    task.output
}

async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if let Some(request) = entry::entry_request(request)? {
        return entry::execute(task, &request).await;
    }
    let id = task.correlation_id;
    match request {
        Request::CreateConfig(r) => {
            let may_write = task.trust.may_write();
            let config = configs::create(task.server, r.cache_config, may_write).await?;
            let config = Encoded::from_bytes(&config);
            cache::CreateConfig::respond(&mut task.output, id, 0, config);
        }
        Request::GetConfig(r) => {
            let config = configs::read(task.server, r.name).await?;
            let config = config.as_deref().and_then(Encoded::from_bytes);
            cache::GetConfig::respond(&mut task.output, id, 0, config);
        }
        Request::ManagementConfig(r) => {
            may_write(task.trust)?;
            set_management(task.server, r).await?;
            cache::ManagementConfig::respond(&mut task.output, id, 0);
        }
        Request::ListenerRegistration(r) => {
            may_write(task.trust)?;
            set_listener(task.server, r).await?;
            cache::ListenerRegistration::respond(&mut task.output, id, 0);
        }
        Request::Destroy(r) => {
            destroy_all(task.server, r.name).await?;
            cache::Destroy::respond(&mut task.output, id, 0);
        }
        Request::LoadAll(r) => {
            task.find(r.name).await?;
            cache::LoadAll::respond(&mut task.output, id, 0);
        }
        _ => bulk::execute(task, request).await?,
    }
    Ok(())
}

/// Removes a cache with its entries, and returns the encoded response.
pub(super) async fn destroy(server: Arc<Server>, correlation_id: i64, name: Box<str>) -> Vec<u8> {
    let mut output = Vec::new();
    match destroy_all(&server, &name).await {
        Ok(()) => client::DestroyProxy::respond(&mut output, correlation_id, 0),
        Err(failure) => failure.respond(&mut output, correlation_id),
    }
    output
}

async fn destroy_all(server: &Arc<Server>, name: &str) -> Result<(), Failure> {
    // From now on, requests find no cache.
    configs::remove(server, name).await?;
    destroyed::report(server, &Object::new(service_name::CACHE, name)).await;
    server.remove_proxy(service_name::CACHE, name);
    let map = configs::entries(server, name)?;
    bulk::clear(server, &map).await
}

/// Switches statistics or management on or off: clients keep both, the configuration says whether
/// they do.
async fn set_management(
    server: &Server,
    request: &cache::ManagementConfig<'_>,
) -> Result<(), Failure> {
    let (is_stat, enabled) = (request.is_stat, request.enabled);
    configs::update(server, request.name, |mut config| {
        let flag =
            if is_stat { &mut config.statistics_enabled } else { &mut config.management_enabled };
        if *flag == enabled {
            return Ok(None);
        }
        *flag = enabled;
        Ok(Some(config.encode()))
    })
    .await
}

/// Adds a listener to the configuration that other clients get, or removes it.
async fn set_listener(
    server: &Server,
    request: &cache::ListenerRegistration<'_>,
) -> Result<(), Failure> {
    let (listener, is_added) = (request.listener_config, request.should_register);
    configs::update(server, request.name, |config| {
        let listeners = config.listener_configurations.unwrap_or_default();
        let mut listeners: Vec<Data<'_>> = listeners.iter().collect();
        let place = listeners.iter().position(|known| *known == listener);
        match (place, is_added) {
            (Some(_), true) | (None, false) => return Ok(None),
            (Some(place), false) => drop(listeners.remove(place)),
            (None, true) if listeners.len() >= CONFIG_LISTENERS_MAX => {
                let text = format!("the cache has {CONFIG_LISTENERS_MAX} listeners already");
                return Err(Failure::new(ErrorCode::IllegalState, text));
            }
            (None, true) => listeners.push(listener),
        }
        let listeners = Some(List::from(&listeners[..]));
        let changed = CacheConfigHolder { listener_configurations: listeners, ..config };
        Ok(Some(changed.encode()))
    })
    .await
}
