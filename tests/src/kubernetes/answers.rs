//! Responses to requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::selector;
use super::state::{Behavior, State};

/// Objects of one page, if the request has no limit.
const LIMIT: usize = 10_000;

/// A parsed request.
struct ApiRequest {
    resource: String,
    group: &'static str,
    namespace: String,
    query: HashMap<String, String>,
}

/// The response; `None` if the server does not respond.
pub(super) fn answer<B>(state: &Arc<State>, request: &Request<B>) -> Option<Response<Body>> {
    let mut inner = state.lock();
    match inner.behavior {
        Behavior::Silent => return None,
        Behavior::Garbage => {
            let page = "<!doctype html><title>Sign in</title>";
            return Some(respond(StatusCode::OK, "text/html", Body::from(page)));
        }
        Behavior::Unavailable => {
            return Some(status(503, "ServiceUnavailable", "etcdserver: leader changed"));
        }
        Behavior::Normal | Behavior::CloseMidBody => {}
    }
    let bearer = format!("Bearer {}", inner.token);
    if request
        .headers()
        .get(AUTHORIZATION)
        .is_none_or(|value| value.as_bytes() != bearer.as_bytes())
    {
        return Some(status(401, "Unauthorized", "Unauthorized"));
    }
    let Some(parsed) = read(request) else {
        return Some(status(404, "NotFound", "the server could not find the requested resource"));
    };
    let watches = parsed.query.get("watch").is_some_and(|watch| watch == "true");
    let verb = if watches { "watch" } else { "list" };
    inner.count(verb);
    let ApiRequest { resource, group, namespace, query } = &parsed;
    if inner.is_denied(verb, resource) {
        let full = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
        let message = format!(
            "{full} is forbidden: User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" in the namespace \"{namespace}\"",
            inner.account
        );
        return Some(status(403, "Forbidden", &message));
    }
    let selects = query.get("labelSelector").cloned().unwrap_or_default();
    if watches {
        let from = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        if from < inner.oldest {
            let gone = json!({ "type": "ERROR", "object": status_value(410, "Expired", "too old resource version") });
            return Some(respond(
                StatusCode::OK,
                "application/json",
                Body::from(format!("{gone}\n")),
            ));
        }
        drop(inner);
        return Some(watch(Arc::clone(state), resource.clone(), selects, from));
    }
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(LIMIT);
    let after = query.get("continue").cloned().unwrap_or_default();
    let matching: Vec<&Value> = inner
        .objects
        .iter()
        .filter(|((kind, name), _)| kind == resource && *name > after)
        .map(|(_, object)| object)
        .filter(|object| object["metadata"]["namespace"] == **namespace)
        .filter(|object| selector::fits(&selects, &object["metadata"]["labels"]))
        .collect();
    let page: Vec<&Value> = matching.iter().take(limit).copied().collect();
    let mut meta = json!({ "resourceVersion": inner.version.to_string() });
    if matching.len() > page.len() {
        meta["continue"] =
            page.last().map(|object| object["metadata"]["name"].clone()).unwrap_or_default();
        meta["remainingItemCount"] = (matching.len() - page.len()).into();
    }
    let (kind, version) = match group.is_empty() {
        true => ("PodList", "v1"),
        false => ("EndpointSliceList", "discovery.k8s.io/v1"),
    };
    let list =
        json!({ "kind": kind, "apiVersion": version, "metadata": meta, "items": page }).to_string();
    if inner.behavior == Behavior::CloseMidBody {
        let half = Bytes::from(list.into_bytes()).slice(..20);
        // In two chunks, so that the first one is sent before the connection is closed.
        let broken = stream::unfold(Some(half), |half| async {
            match half {
                Some(half) => Some((Ok(half), None)),
                None => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Err(std::io::Error::other("the server was killed")), None))
                }
            }
        });
        return Some(respond(StatusCode::OK, "application/json", Body::from_stream(broken)));
    }
    Some(respond(StatusCode::OK, "application/json", Body::from(list)))
}

fn read<B>(request: &Request<B>) -> Option<ApiRequest> {
    let path = request.uri().path();
    let (group, rest) = match path.strip_prefix("/api/v1/namespaces/") {
        Some(rest) => ("", rest),
        None => ("discovery.k8s.io", path.strip_prefix("/apis/discovery.k8s.io/v1/namespaces/")?),
    };
    let (namespace, resource) = rest.split_once('/')?;
    let known = if group.is_empty() { "pods" } else { "endpointslices" };
    let query = request.uri().query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    (resource == known).then(|| ApiRequest {
        resource: resource.to_owned(),
        group,
        namespace: namespace.to_owned(),
        query,
    })
}

/// A stream of the events after `from`.
fn watch(state: Arc<State>, resource: String, selects: String, from: u64) -> Response<Body> {
    let changed = state.changed.subscribe();
    let events = stream::unfold((state, changed, from), move |(state, mut changed, from)| {
        let (resource, selects) = (resource.clone(), selects.clone());
        async move {
            loop {
                let (lines, newest, expired) = {
                    let inner = state.lock();
                    let fits = |event: &Value| {
                        selector::fits(&selects, &event["object"]["metadata"]["labels"])
                    };
                    let lines: String = inner
                        .history
                        .iter()
                        .filter(|(version, kind, event)| {
                            *version > from && *kind == resource && fits(event)
                        })
                        .map(|(_, _, event)| format!("{event}\n"))
                        .collect();
                    (lines, inner.version, from < inner.oldest)
                };
                if expired {
                    // The connection is closed; a watch that resumes from there gets 410.
                    return None;
                }
                let from = newest;
                if !lines.is_empty() {
                    let chunk = Ok::<_, std::io::Error>(Bytes::from(lines));
                    return Some((chunk, (state, changed, from)));
                }
                changed.changed().await.ok()?;
            }
        }
    });
    respond(StatusCode::OK, "application/json", Body::from_stream(events))
}

fn status_value(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": message, "reason": reason, "code": code,
    })
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    let body = status_value(code, reason, message).to_string();
    let code = StatusCode::from_u16(code).expect("a status code");
    respond(code, "application/json", Body::from(body))
}

fn respond(code: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let response = Response::builder().status(code).header(CONTENT_TYPE, kind).body(body);
    response.expect("a valid response")
}
