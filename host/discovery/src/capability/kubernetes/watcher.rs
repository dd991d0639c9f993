//! The task of one query: lists, watches, begins anew, and tells what it knows.

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
use crate::{back_off, limits};

/// Bounds of the wait after a failure, in milliseconds.
const BACK_OFF: (u64, u64) = (limits::API_BACK_OFF_MS_MIN, limits::API_BACK_OFF_MS_MAX);

/// What is known of one query.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Nothing yet.
    Waiting,
    /// The last attempt failed; another follows.
    Failed(Failure),
    Listed {
        endpoints: Arc<Vec<Endpoint>>,
        /// Changes are told by the server.
        watched: bool,
    },
}

impl Known {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting)
    }
}

/// A running task. Dropping it ends it.
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
            told: HashSet::new(),
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
    /// Made anew when the credentials are refused.
    api: Option<Arc<Api>>,
    objects: Objects,
    /// Whether the last watch was not refused for want of the verb; each list is followed by
    /// another try, since a Role may be mended at any time.
    may_watch: bool,
    /// Whether the account could list before.
    was_listed: bool,
    /// Since when it may not do what it could before.
    refused_since: Option<Instant>,
    /// Refusals that the operator was told what to apply for.
    told: HashSet<String>,
}

impl Running {
    async fn run<T: Object + 'static>(mut self) {
        let mut failures = 0u32;
        loop {
            let wait = match self.round::<T>().await {
                Ok(wait_ms) => {
                    failures = 0;
                    back_off::jittered(Duration::from_millis(wait_ms))
                }
                Err(failure) => {
                    if failure.kind == Kind::Unauthorized {
                        self.api = None;
                    }
                    if !self.may_pass(&failure) {
                        self.explain(&failure);
                        self.tell.send_replace(Known::Failed(failure));
                    }
                    failures = failures.saturating_add(1);
                    back_off::after(failures - 1, BACK_OFF)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// One list, and the watches that go on from it. Gives the wait until the
    /// next list.
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
            // A server that hangs up at once is not asked in a circle.
            let min = Duration::from_millis(limits::API_BACK_OFF_MS_MIN);
            tokio::time::sleep(min.saturating_sub(opened.elapsed())).await;
        }
    }

    /// Whether it is too early to believe a refusal: a server that was restarted refuses
    /// accounts for a moment, until it has read their Roles. What is known stands meanwhile.
    fn may_pass(&mut self, failure: &Failure) -> bool {
        if failure.kind != Kind::Forbidden || !self.was_listed {
            return false;
        }
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        since.elapsed() < Duration::from_millis(limits::REFUSAL_DOUBTED_MS)
    }

    /// Lists; with credentials read anew when the old ones are refused, since
    /// tokens are replaced while they are in use.
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

    /// Follows changes until the watch is over, and gives the version to go on from.
    async fn watch<T: Object + 'static>(&mut self, from: &str) -> Result<String, Failure> {
        let api = self.api().await?;
        let mut version = from.to_owned();
        let mut changes = match api.watch(&self.query, from).await {
            Err(failure) if failure.kind == Kind::Unauthorized => {
                // The next list reads the token anew.
                self.api = None;
                return Err(Failure { kind: Kind::Expired, ..failure });
            }
            changes => changes?,
        };
        if !self.may_watch {
            self.may_watch = true;
            self.told.clear();
            self.publish();
            tracing::info!(mode = %self.mode, "mode {:?}: changes are told by the API server from now on", self.mode);
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

    /// What to apply, once for each refusal.
    fn explain(&mut self, failure: &Failure) {
        if failure.kind != Kind::Forbidden || !self.told.insert(failure.text.clone()) {
            return;
        }
        let is_listed = matches!(*self.tell.borrow(), Known::Listed { .. });
        let meanwhile = if is_listed {
            format!("; until then it is listed every {} s", limits::API_LIST_AGAIN_MS / 1_000)
        } else {
            String::new()
        };
        tracing::warn!(
            mode = %self.mode,
            "mode {:?}: {}{meanwhile}. The least that is needed:\n\n{}",
            self.mode,
            failure.text,
            rbac(&self.query, &failure.account)
        );
    }
}
