//! Requests to one API server, each bounded in time and size.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use convoke_text::escaped;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;

use super::access::{self, Credentials};
use super::failure::{Asking, Failure};
use super::model::{Endpoint, Event, EventHead, EventKind, Object, Page, Status};
use super::query::Query;
use crate::grant::KubernetesAccess;
use crate::limits;

/// Endpoints by the name of the object that they come from.
pub(super) type Objects = BTreeMap<String, Vec<Endpoint>>;

/// Bytes shown of a response that is not a list.
const SHOWN_BYTES: usize = 60;
/// Bytes shown of the cause of an error.
const CAUSE_BYTES_MAX: usize = 200;

/// A client for one API server.
pub(super) struct Api {
    client: Client,
    account: String,
    server: String,
}

impl Api {
    /// Reads the credentials. Does not connect yet.
    pub(super) async fn open(access: &KubernetesAccess) -> Result<Self, Failure> {
        let Credentials { config, account, server } = access::credentials(access).await?;
        let client = Client::try_from(config).map_err(|error| {
            Failure::temporary(format!("cannot create a client for {server}: {error}"))
        })?;
        Ok(Self { client, account, server })
    }

    /// The context for error texts about a request.
    pub(super) fn asking<'a>(&'a self, query: &'a Query, verb: &'static str) -> Asking<'a> {
        Asking { query, verb, account: &self.account, server: &self.server }
    }

    /// Fetches all pages of a list. Also returns the list's resource version.
    pub(super) async fn list<T: Object>(
        &self,
        query: &Query,
    ) -> Result<(Objects, String), Failure> {
        let mut objects = Objects::new();
        let mut token: Option<String> = None;
        loop {
            let page: Page<T> = self.page(query, token.as_deref()).await?;
            for object in &page.items {
                objects.insert(object.meta().name.clone(), object.endpoints());
            }
            if objects.values().map(Vec::len).sum::<usize>() > limits::PODS_MAX
                || objects.len() > limits::PODS_MAX
            {
                let max = limits::PODS_MAX;
                return Err(Failure::temporary(format!(
                    "more than {max} pods match; configure a service, or restrict the query with label-selector"
                )));
            }
            if page.metadata.token.is_empty() {
                return Ok((objects, page.metadata.resource_version));
            }
            token = Some(page.metadata.token);
        }
    }

    async fn page<T: Object>(
        &self,
        query: &Query,
        token: Option<&str>,
    ) -> Result<Page<T>, Failure> {
        let path = query.list_path(token);
        let bound = Duration::from_millis(limits::API_ANSWER_MS_MAX);
        let answered = tokio::time::timeout(bound, async {
            let response = self.get(query, "list", &path).await?;
            self.whole(response).await
        });
        let body = answered.await.map_err(|_| self.silent())??;
        serde_json::from_slice(&body).map_err(|_| self.not_a_list(&path, &body))
    }

    /// Opens a watch that starts after resource version `version`.
    pub(super) async fn watch(&self, query: &Query, version: &str) -> Result<Changes, Failure> {
        let path = query.watch_path(version);
        let bound = Duration::from_millis(limits::API_ANSWER_MS_MAX);
        let response = tokio::time::timeout(bound, self.get(query, "watch", &path));
        let response = response.await.map_err(|_| self.silent())??;
        let chunks = response.into_body().into_data_stream();
        let chunks = chunks.map(|chunk| match chunk {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(innermost(&error)),
        });
        Ok(Changes { chunks: chunks.boxed(), buffer: Vec::new() })
    }

    /// A response with status 200, or the failure.
    async fn get(
        &self,
        query: &Query,
        verb: &'static str,
        path: &str,
    ) -> Result<Response<Body>, Failure> {
        let request = Request::get(path)
            .header(http::header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| {
                Failure::temporary(format!("cannot create a request for {path}: {error}"))
            })?;
        let response = self.client.send(request).await.map_err(|error| self.unreachable(&error))?;
        let code = response.status();
        if code == StatusCode::OK {
            return Ok(response);
        }
        let body = self.whole(response).await?;
        let status = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Status { message: shown(&body), ..Status::default() });
        Err(Failure::of_status(code.as_u16(), &status, &self.asking(query, verb)))
    }

    async fn whole(&self, response: Response<Body>) -> Result<Vec<u8>, Failure> {
        let body = Limited::new(response.into_body(), limits::API_ANSWER_BYTES_MAX);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let mib = limits::API_ANSWER_BYTES_MAX >> 20;
                Err(Failure::temporary(format!(
                    "a response of the API server at {} is larger than {mib} MiB; restrict the query with label-selector",
                    self.server
                )))
            }
            Err(error) => Err(Failure::temporary(format!(
                "the response of the API server at {} was interrupted: {}",
                self.server,
                innermost(&*error)
            ))),
        }
    }

    fn silent(&self) -> Failure {
        let ms = limits::API_ANSWER_MS_MAX;
        Failure::temporary(format!(
            "no response from the API server at {} within {ms} ms",
            self.server
        ))
    }

    fn not_a_list(&self, path: &str, body: &[u8]) -> Failure {
        let path = path.split('?').next().unwrap_or_default();
        Failure::temporary(format!(
            "{}{path} did not return a list ({}); check that it is an API server",
            self.server,
            shown(body)
        ))
    }

    fn unreachable(&self, error: &kube::Error) -> Failure {
        let all = causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let (last, server) = (innermost(error), &self.server);
        if all.contains("certificate") || all.contains("UnknownIssuer") {
            return Failure::temporary(format!(
                "the certificate of the API server at {server} is not trusted: {last}"
            ));
        }
        Failure::temporary(format!("the API server at {server} cannot be reached: {last}"))
    }
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause on one line; the outer errors of the libraries add no information.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = causes(error).last().map(ToString::to_string);
    escaped(&last.unwrap_or_default(), CAUSE_BYTES_MAX)
}

fn shown(body: &[u8]) -> String {
    format!(
        "{:?}",
        escaped(&String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]), SHOWN_BYTES)
    )
}

/// The stream of changes of a watch.
pub(super) struct Changes {
    chunks: BoxStream<'static, Result<Vec<u8>, String>>,
    buffer: Vec<u8>,
}

/// One change of the list.
pub(super) enum Change<T> {
    Put(T),
    Removed(T),
    /// A bookmark: the resource version to resume from.
    Version(String),
}

impl Changes {
    /// Waits for changes and returns all that have arrived; `None` when the watch has ended.
    pub(super) async fn next<T: Object>(
        &mut self,
        asking: &Asking<'_>,
    ) -> Result<Option<Vec<Change<T>>>, Failure> {
        loop {
            let mut changes = Vec::new();
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    changes.extend(change(&line, asking)?);
                }
            }
            if !changes.is_empty() {
                return Ok(Some(changes));
            }
            let idle = Duration::from_millis(limits::WATCH_IDLE_MS_MAX);
            match tokio::time::timeout(idle, self.chunks.next()).await {
                // No events and no bookmarks: the connection may be dead, so the watch is
                // opened again.
                Err(_) | Ok(None) => return Ok(None),
                Ok(Some(Ok(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => {
                    let server = asking.server;
                    return Err(Failure::temporary(format!(
                        "the watch of {server} was interrupted: {error}"
                    )));
                }
            }
            if self.buffer.len() > limits::WATCH_LINE_BYTES_MAX {
                return Err(Failure::temporary(format!(
                    "a watch event of {} is larger than {} MiB",
                    asking.server,
                    limits::WATCH_LINE_BYTES_MAX >> 20
                )));
            }
        }
    }
}

/// Parses one line of a watch response.
fn change<T: Object>(line: &[u8], asking: &Asking<'_>) -> Result<Option<Change<T>>, Failure> {
    let nonsense = || {
        Failure::temporary(format!(
            "{} sent an invalid watch event ({})",
            asking.server,
            shown(line)
        ))
    };
    let EventHead { kind } = serde_json::from_slice(line).map_err(|_| nonsense())?;
    if kind == EventKind::Error {
        let Event::<Status> { object } = serde_json::from_slice(line).map_err(|_| nonsense())?;
        return Err(Failure::of_status(object.code, &object, asking));
    }
    let Event::<T> { object } = serde_json::from_slice(line).map_err(|_| nonsense())?;
    Ok(match kind {
        EventKind::Added | EventKind::Modified => Some(Change::Put(object)),
        EventKind::Deleted => Some(Change::Removed(object)),
        EventKind::Bookmark => Some(Change::Version(object.meta().resource_version.clone())),
        EventKind::Error | EventKind::Unknown => None,
    })
}
