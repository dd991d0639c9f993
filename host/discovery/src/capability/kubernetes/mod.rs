//! `convoke:host/kubernetes`: pod addresses. Granted by namespace.
//!
//! One task for each query lists and then watches; a mode that asks again gets the current
//! state. Tokens and API server addresses are not visible to modes.

mod access;
mod api;
mod failure;
mod model;
mod query;
mod watcher;

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use wasmtime::component::Linker;

use super::view::{Capability, Context, Grant, HasContext, View};
use crate::backend::FakePods;
use crate::bindings::imports::convoke::host::kubernetes::{
    self, Answer, KubernetesError, Pod, Query as PodQuery,
};
use crate::limits;
use failure::{Failure, Kind};
use model::Endpoint;
use query::Query;
use watcher::{Known, Watcher};

pub(crate) enum Kubernetes {}

impl Capability for Kubernetes {
    const INTERFACE: &'static str = "convoke:host/kubernetes";
    const GRANT: Option<Grant> = Some(Grant {
        is_granted: |grants| !grants.kubernetes.is_empty(),
        capability: "kubernetes",
        example: ".",
    });
    const DESCRIPTION: &'static str = "read pod addresses through the Kubernetes API";

    type Shared = Watchers;
    type Own = ();

    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
        kubernetes::add_to_linker::<_, HasContext<Self>>(linker, T::view)
    }
}

/// The grant pattern for the namespace that the host runs in.
const OWN: &str = ".";

/// The queries of one mode. They outlive its instances and end with the mode.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_query: Mutex<HashMap<Query, Watcher>>,
    /// Set once it has been read; it does not change while the process runs.
    own_namespace: OnceLock<String>,
}

impl kubernetes::Host for Context<'_, Kubernetes> {
    async fn list_pods(
        &mut self,
        request: PodQuery,
    ) -> wasmtime::Result<Result<Answer, KubernetesError>> {
        let query = match self.admit_query(request) {
            Ok(query) => query,
            Err(refused) => return Ok(Err(refused)),
        };
        self.caller.mode.called(format_args!("kubernetes: pods of {query:?}"));
        if let Some(fakes) = self.caller.mode.host.backend.fakes() {
            return Ok(match &fakes.failing {
                Some(why) => Err(KubernetesError::Temporary(why.clone())),
                None => answers_of_fakes(&fakes.kubernetes, &query),
            });
        }
        let mut known = match self.watch(&query) {
            Ok(known) => known,
            Err(refused) => return Ok(Err(refused)),
        };
        let bound = Duration::from_millis(limits::FIRST_ANSWER_MS_MAX);
        let first = tokio::time::timeout(bound, known.wait_for(|known| !known.is_waiting()));
        Ok(match self.caller.unless_stopped(first).await {
            Some(Ok(Ok(known))) => answer(&query, &known),
            Some(Ok(Err(_))) => Err(KubernetesError::Other("the watch has ended".into())),
            Some(Err(_)) => Err(KubernetesError::Temporary(format!(
                "no response from the API server within {} ms",
                limits::FIRST_ANSWER_MS_MAX
            ))),
            None => Err(KubernetesError::Temporary("this member is leaving".into())),
        })
    }
}

impl Context<'_, Kubernetes> {
    /// The query with its namespace, if it is valid and granted.
    fn admit_query(&self, request: PodQuery) -> Result<Query, KubernetesError> {
        let grants = &self.caller.mode.grants.kubernetes;
        let own = request.namespace.is_none();
        let namespace = match request.namespace {
            Some(namespace) => namespace,
            None => self.own_namespace()?,
        };
        let query = Query::new(&namespace, request.service.as_deref(), &request.label_selector)
            .map_err(KubernetesError::Other)?;
        if !grants.covers(&namespace, own) {
            self.caller.mode.warn_denied("kubernetes", if own { OWN } else { &namespace });
            return Err(KubernetesError::Denied);
        }
        Ok(query)
    }

    fn own_namespace(&self) -> Result<String, KubernetesError> {
        // A rehearsal reads no files of this host.
        if self.caller.mode.host.backend.fakes().is_some() && self.caller.mode.rehearsal.is_none() {
            return Ok("default".to_owned());
        }
        let known = &self.shared.own_namespace;
        if let Some(namespace) = known.get() {
            return Ok(namespace.clone());
        }
        let access = &self.caller.mode.grants.kubernetes.access;
        let namespace = access::own_namespace(access).map_err(to_wit)?;
        Ok(known.get_or_init(|| namespace).clone())
    }

    fn watch(&self, query: &Query) -> Result<tokio::sync::watch::Receiver<Known>, KubernetesError> {
        let mut watchers = self.shared.by_query.lock().unwrap_or_else(PoisonError::into_inner);
        if !watchers.contains_key(query) && watchers.len() >= limits::QUERIES_MAX {
            let max = limits::QUERIES_MAX;
            return Err(KubernetesError::Other(format!("more than {max} different queries")));
        }
        let start = || {
            let access = self.caller.mode.grants.kubernetes.access.clone();
            Watcher::start(self.caller.mode.name.clone(), access, query.clone())
        };
        Ok(watchers.entry(query.clone()).or_insert_with(start).known())
    }
}

/// The response from fakes.
fn answers_of_fakes(pods: &[FakePods], query: &Query) -> Result<Answer, KubernetesError> {
    let fits = |pods: &&FakePods| {
        pods.namespace == query.namespace() && pods.service.as_deref() == query.service()
    };
    let Some(found) = pods.iter().find(fits) else {
        return Err(KubernetesError::NotFound(format!("there is no fake for {query:?}")));
    };
    let pods = found.pods.iter().map(|pod| Pod {
        name: pod.name.clone(),
        addresses: pod.addresses.iter().map(ToString::to_string).collect(),
        ready: pod.ready,
        ports: pod.ports.iter().map(|(name, port)| (name.clone(), *port)).collect(),
        zone: pod.zone.clone(),
    });
    let namespace = query.namespace().to_owned();
    Ok(Answer { namespace, pods: pods.collect(), watched: true })
}

fn answer(query: &Query, known: &Known) -> Result<Answer, KubernetesError> {
    match known {
        Known::Waiting => Err(KubernetesError::Temporary("no response yet".into())),
        Known::Failed(failure) => Err(to_wit(failure.clone())),
        Known::Listed { endpoints, watched } => Ok(Answer {
            namespace: query.namespace().to_owned(),
            pods: endpoints.iter().map(pod).collect(),
            watched: *watched,
        }),
    }
}

fn pod(endpoint: &Endpoint) -> Pod {
    Pod {
        name: endpoint.name.clone(),
        addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
        ready: endpoint.ready,
        ports: endpoint.ports.clone(),
        zone: endpoint.zone.clone(),
    }
}

fn to_wit(failure: Failure) -> KubernetesError {
    let Failure { kind, text, .. } = failure;
    match kind {
        Kind::NotInCluster => KubernetesError::NotInCluster(text),
        Kind::Unauthorized => KubernetesError::Unauthorized(text),
        Kind::Forbidden => KubernetesError::Forbidden(text),
        Kind::NotFound => KubernetesError::NotFound(text),
        Kind::Temporary | Kind::Expired => KubernetesError::Temporary(text),
        Kind::Other => KubernetesError::Other(text),
    }
}
