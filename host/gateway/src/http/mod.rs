//! The HTTP server: health, metrics and status without authentication; maps, topics and events for
//! authenticated clients (`access.rs`); on a domain server, admin pages.

mod access;
mod admin_pages;
mod body;
mod failure;
mod maps;
mod streams;
mod web;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, middleware, routing};
use futures_util::future::join_all;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use access::ConnectionInfo;
pub use web::Web;

use crate::Node;

/// Maximum number of connections per listener. Beyond it, the oldest connection that carries no
/// stream is closed, so that idle clients never block a health check.
const CONNECTIONS_MAX: usize = 2 * streams::STREAMS_MAX;
/// Time for a request head to arrive, and for a connection to stay idle, in milliseconds.
const HEAD_MS_MAX: u64 = 10_000;
/// Lifetime of a connection that carries no stream, in milliseconds.
const CONNECTION_MS_MAX: u64 = 600_000;
/// Maximum size of a request head, in bytes: larger than any key in a path.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Pause after a failed `accept`, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Which pages are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The pages of every member.
    Member,
    /// The pages of every member and the admin pages of a domain server.
    Admin,
}

/// Serves on all `listeners` until the future is dropped.
pub async fn serve(listeners: Vec<TcpListener>, web: Arc<Web>, pages: Pages) {
    let router = router(&web, pages);
    join_all(listeners.into_iter().map(|listener| accept(listener, router.clone()))).await;
}

fn router(web: &Arc<Web>, pages: Pages) -> Router {
    let (public, admin_paths) = match pages {
        Pages::Member => (Router::new(), ""),
        Pages::Admin => (admin_pages::router(), "/, /members, /groups, /modes, "),
    };
    let public = public
        .route("/health/live", routing::get(|| async { "live\n" }))
        .route("/health/ready", routing::get(ready))
        .route("/metrics", routing::get(metrics))
        .route("/status", routing::get(status))
        .with_state(Arc::clone(&web.node));
    let entry = routing::get(maps::get).put(maps::put).delete(maps::delete);
    Router::new()
        .route("/maps/{map}/{*key}", entry)
        .route("/topics", routing::get(streams::topics))
        .route("/topics/{*topic}", routing::get(streams::topic).post(streams::publish))
        .route("/events", routing::get(streams::events))
        // All routes above this line serve data: every request to them is checked.
        .route_layer(middleware::from_fn_with_state(Arc::clone(web), access::admit))
        .with_state(Arc::clone(web))
        .merge(public)
        .fallback(move || async move {
            let text = format!(
                "not found; available paths: {admin_paths}/health/live, /health/ready, /metrics, /status, /events, /maps/MAP/KEY, /topics/TOPIC, /topics?pattern=GLOB\n"
            );
            (StatusCode::NOT_FOUND, text)
        })
}

async fn ready(State(node): State<Arc<dyn Node>>) -> Response {
    match node.unready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(node): State<Arc<dyn Node>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, node.metrics()).into_response()
}

async fn status(State(node): State<Arc<dyn Node>>) -> Response {
    Json(node.status()).into_response()
}

/// A connection that is being served.
struct OpenConnection {
    connection_info: Arc<ConnectionInfo>,
    task: AbortHandle,
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections: VecDeque<OpenConnection> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if connections.len() >= CONNECTIONS_MAX {
                    connections.retain(|connection| !connection.task.is_finished());
                }
                let oldest =
                    connections.iter().position(|open| !open.connection_info.is_streaming());
                if connections.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = oldest.and_then(|at| connections.remove(at))
                {
                    oldest.task.abort();
                }
                let connection_info = ConnectionInfo::new(from);
                let router = router.clone().layer(Extension(Arc::clone(&connection_info)));
                let task =
                    tokio::spawn(serve_connection(stream, router, Arc::clone(&connection_info)));
                connections
                    .push_back(OpenConnection { connection_info, task: task.abort_handle() });
            }
            Err(error) => {
                warn!(%error, "failed to accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, connection_info: Arc<ConnectionInfo>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    loop {
        let bound = Duration::from_millis(CONNECTION_MS_MAX);
        match tokio::time::timeout(bound, connection.as_mut()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => return debug!(%error, "HTTP connection failed"),
            Err(_) if connection_info.is_streaming() => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
