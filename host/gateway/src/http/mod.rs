//! HTTP: `/health/live`, `/health/ready`, `/metrics`, `/status`, and on a domain
//! server the admin pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use crate::{Node, admin};

/// Connections at once on one address. For one more the oldest is cut off, so
/// that idle clients never keep a health check out.
const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take to arrive, and an idle connection stays.
const HEAD_MS_MAX: u64 = 10_000;
/// How long a connection lives, however busy.
const CONNECTION_MS_MAX: u64 = 600_000;
/// Largest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A pause after the system refuses to accept.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Which pages there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Those of every member.
    Member,
    /// A domain server's admin pages as well.
    Admin,
}

/// Serves on all `listeners` for as long as the process runs.
pub async fn serve(listeners: Vec<TcpListener>, node: Arc<dyn Node>, pages: Pages) {
    let router = router(node, pages);
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(accept(listener, router.clone())))
        .collect();
    for server in servers {
        let _ = server.await;
    }
}

fn router(node: Arc<dyn Node>, pages: Pages) -> Router {
    let (more, there_are) = match pages {
        Pages::Member => (Router::new(), ""),
        Pages::Admin => (admin::router(), "/, /members, /groups, /modes, "),
    };
    more.route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .fallback(move || async move {
            let text =
                format!("there are {there_are}/health/live, /health/ready, /metrics and /status\n");
            (StatusCode::NOT_FOUND, text)
        })
        .with_state(node)
}

async fn ready(State(node): State<Arc<dyn Node>>) -> Response {
    if node.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not in a cluster\n").into_response()
    }
}

async fn metrics(State(node): State<Arc<dyn Node>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, node.metrics()).into_response()
}

async fn status(State(node): State<Arc<dyn Node>>) -> Response {
    Json(node.status()).into_response()
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if connections.len() >= CONNECTIONS_MAX {
                    connections.retain(|connection| !connection.is_finished());
                }
                if connections.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = connections.pop_front()
                {
                    oldest.abort();
                }
                let connection = tokio::spawn(converse(stream, router.clone()));
                connections.push_back(connection.abort_handle());
            }
            Err(error) => {
                warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let bounded = tokio::time::timeout(Duration::from_millis(CONNECTION_MS_MAX), connection);
    if let Ok(Err(error)) = bounded.await {
        debug!(%error, "an HTTP connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    struct Made {
        ready: bool,
    }

    impl Node for Made {
        fn is_ready(&self) -> bool {
            self.ready
        }

        fn status(&self) -> serde_json::Value {
            serde_json::json!({ "cluster": { "size": 2 } })
        }

        fn overview(&self) -> admin::Overview {
            admin::Overview { cluster: "shop".into(), ..admin::Overview::default() }
        }

        fn metrics(&self) -> String {
            "convoke_members 2\n".into()
        }
    }

    async fn ask(ready: bool, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(vec![listener], Arc::new(Made { ready }), Pages::Admin));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    async fn get(ready: bool, path: &str) -> String {
        ask(ready, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }

    #[tokio::test]
    async fn readiness_follows_the_member_and_liveness_does_not() {
        assert!(get(true, "/health/ready").await.starts_with("HTTP/1.1 200"));
        assert!(get(false, "/health/ready").await.starts_with("HTTP/1.1 503"));
        assert!(get(false, "/health/live").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn status_is_json_and_metrics_are_prometheus_text() {
        assert!(get(true, "/status").await.ends_with(r#"{"cluster":{"size":2}}"#));
        let metrics = get(true, "/metrics").await;
        assert!(metrics.contains("version=0.0.4") && metrics.ends_with("convoke_members 2\n"));
    }

    #[tokio::test]
    async fn what_is_not_there_says_what_is() {
        let answer = get(true, "/etc/passwd").await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/status"));
    }

    #[tokio::test]
    async fn a_domain_server_has_pages_for_people_and_for_scripts() {
        let page = get(true, "/").await;
        assert!(page.contains("content-security-policy") && page.contains("Cluster shop"));
        assert!(get(true, "/members").await.contains(r#""members":[]"#));
        assert!(get(true, "/groups").await.contains(r#""groups":[]"#));
        assert!(get(true, "/modes").await.contains(r#""modes":[]"#));
    }

    #[tokio::test]
    async fn noise_and_heads_without_end_are_turned_away() {
        assert!(ask(true, "\x16\x03\x01 nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        let endless = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX * 2));
        assert!(ask(true, &endless).await.starts_with("HTTP/1.1 431"));
    }
}
