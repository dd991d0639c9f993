//! The task of one query: lists, watches, restarts after failures, and publishes the state.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api::{Api, Change, Objects};
use super::failure::{Failure, Kind, rbac};
use super::model::{Endpoint, EndpointSlice, Object, Pod};
use super::query::Query;
use crate::grant::KubernetesAccess;
use crate::limits;
use crate::schedule::{BackOff, jittered};

/// The waits after failures of the API server.
const BACK_OFF: BackOff = BackOff::new(limits::API_BACK_OFF_MS_MIN, limits::API_BACK_OFF_MS_MAX);

/// The current state of one query.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// No response yet.
    Waiting,
    /// The last attempt failed; another one follows.
    Failed(Failure),
    Listed {
        endpoints: Arc<Vec<Endpoint>>,
        /// Whether a watch is open, so that changes arrive without polling.
        watched: bool,
    },
}

impl Known {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting)
    }
}

/// A running task. Dropping it aborts the task.
#[derive(Debug)]
pub(super) struct Watcher {
    known: watch::Receiver<Known>,
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    pub(super) fn start(mode: String, access: KubernetesAccess, query: Query) -> Self {
        let (tell, known) = watch::channel(Known::Waiting);
        let running = Running {
            mode,
            access,
            tell,
            api: None,
            objects: Objects::new(),
            may_watch: true,
            was_listed: false,
            refused_since: None,
            explained: HashSet::new(),
            query,
        };
        let task = tokio::spawn(async move {
            if running.query.is_of_service() {
                running.run::<EndpointSlice>().await;
            } else {
                running.run::<Pod>().await;
            }
        });
        Self { known, task }
    }

    pub(super) fn known(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }
}

struct Running {
    mode: String,
    access: KubernetesAccess,
    query: Query,
    tell: watch::Sender<Known>,
    /// Rebuilt when the credentials are rejected.
    api: Option<Arc<Api>>,
    objects: Objects,
    /// False after the last watch was denied. Watching is tried again after each list, since
    /// the Role may be changed at any time.
    may_watch: bool,
    /// Whether listing has succeeded before.
    was_listed: bool,
    /// Since when requests that were allowed before are denied.
    refused_since: Option<Instant>,
    /// Denials for which the required Role was logged.
    explained: HashSet<String>,
}

impl Running {
    async fn run<T: Object + 'static>(mut self) {
        let mut failures = 0u32;
        loop {
            let wait = match self.round::<T>().await {
                Ok(wait_ms) => {
                    failures = 0;
                    jittered(Duration::from_millis(wait_ms))
                }
                Err(failure) => {
                    if failure.kind == Kind::Unauthorized {
                        self.api = None;
                    }
                    if !self.may_be_temporary(&failure) {
                        self.explain(&failure);
                        self.tell.send_replace(Known::Failed(failure));
                    }
                    failures = failures.saturating_add(1);
                    BACK_OFF.jittered(failures - 1)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// One list, and the watches that follow it. Returns the wait until the next list, in
    /// milliseconds.
    async fn round<T: Object + 'static>(&mut self) -> Result<u64, Failure> {
        let (objects, mut version) = self.list::<T>().await?;
        self.objects = objects;
        (self.was_listed, self.refused_since) = (true, None);
        self.publish();
        loop {
            let opened = Instant::now();
            match self.watch::<T>(&version).await {
                Ok(newer) => version = newer,
                Err(failure) if failure.kind == Kind::Expired => {
                    return Ok(limits::API_BACK_OFF_MS_MIN);
                }
                Err(failure) if failure.kind == Kind::Forbidden => {
                    self.explain(&failure);
                    self.may_watch = false;
                    self.publish();
                    return Ok(limits::API_LIST_AGAIN_MS);
                }
                Err(failure) => return Err(failure),
            }
            // Avoids a busy loop with a server that closes watches at once.
            let min = Duration::from_millis(limits::API_BACK_OFF_MS_MIN);
            tokio::time::sleep(min.saturating_sub(opened.elapsed())).await;
        }
    }

    /// Whether a denial may be temporary: after a restart an API server denies requests until
    /// it has loaded its Roles. The known endpoints are kept meanwhile.
    fn may_be_temporary(&mut self, failure: &Failure) -> bool {
        if failure.kind != Kind::Forbidden || !self.was_listed {
            return false;
        }
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        since.elapsed() < Duration::from_millis(limits::TEMPORARY_DENIAL_MS)
    }

    /// Lists. If the credentials are rejected, they are read again first, since tokens are
    /// rotated while in use.
    async fn list<T: Object>(&mut self) -> Result<(Objects, String), Failure> {
        let api = self.api().await?;
        match api.list::<T>(&self.query).await {
            Err(failure) if failure.kind == Kind::Unauthorized => {
                self.api = None;
                self.api().await?.list::<T>(&self.query).await
            }
            Err(failure) if failure.kind == Kind::Expired => api.list::<T>(&self.query).await,
            listed => listed,
        }
    }

    async fn api(&mut self) -> Result<Arc<Api>, Failure> {
        if let Some(api) = &self.api {
            return Ok(Arc::clone(api));
        }
        let api = Arc::new(Api::open(&self.access).await?);
        self.api = Some(Arc::clone(&api));
        Ok(api)
    }

    /// Follows changes until the watch ends. Returns the resource version to resume from.
    async fn watch<T: Object + 'static>(&mut self, from: &str) -> Result<String, Failure> {
        let api = self.api().await?;
        let mut version = from.to_owned();
        let mut changes = match api.watch(&self.query, from).await {
            Err(failure) if failure.kind == Kind::Unauthorized => {
                // The next list reads the token again.
                self.api = None;
                return Err(Failure { kind: Kind::Expired, ..failure });
            }
            changes => changes?,
        };
        if !self.may_watch {
            self.may_watch = true;
            self.explained.clear();
            self.publish();
            tracing::info!(mode = %self.mode, "mode {:?}: watching the API server for changes", self.mode);
        }
        let query = self.query.clone();
        while let Some(changes) = changes.next::<T>(&api.asking(&query, "watch")).await? {
            let mut changed = false;
            for change in changes {
                match change {
                    Change::Put(object) => {
                        changed = true;
                        version.clone_from(&object.meta().resource_version);
                        self.objects.insert(object.meta().name.clone(), object.endpoints());
                    }
                    Change::Removed(object) => {
                        changed = true;
                        version.clone_from(&object.meta().resource_version);
                        self.objects.remove(&object.meta().name);
                    }
                    Change::Version(newer) => version = newer,
                }
            }
            if self.objects.len() > limits::PODS_MAX {
                return Err(Failure::new(Kind::Expired, "too many objects"));
            }
            if changed {
                self.publish();
            }
        }
        Ok(version)
    }

    fn publish(&self) {
        let endpoints = self.objects.values().flatten().take(limits::PODS_MAX).cloned().collect();
        let watched = self.may_watch;
        self.tell.send_replace(Known::Listed { endpoints: Arc::new(endpoints), watched });
    }

    /// Logs the required Role and RoleBinding, once for each denial.
    fn explain(&mut self, failure: &Failure) {
        if failure.kind != Kind::Forbidden || !self.explained.insert(failure.text.clone()) {
            return;
        }
        let is_listed = matches!(*self.tell.borrow(), Known::Listed { .. });
        let meanwhile = if is_listed {
            format!("; until then it polls every {} s", limits::API_LIST_AGAIN_MS / 1_000)
        } else {
            String::new()
        };
        tracing::warn!(
            mode = %self.mode,
            "mode {:?}: {}{meanwhile}. The minimal Role and RoleBinding:\n\n{}",
            self.mode,
            failure.text,
            rbac(&self.query, &failure.account)
        );
    }
}
