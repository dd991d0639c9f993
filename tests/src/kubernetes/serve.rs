//! The plain port and the TLS port of the server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::answers;
use super::state::State;
use crate::ports;
use crate::tls::accept;

/// Serves both ports until the runtime is stopped.
pub(super) async fn bind(
    plain: SocketAddr,
    tls: SocketAddr,
    acceptor: TlsAcceptor,
    state: Arc<State>,
) {
    let plain = ports::bind(async || TcpListener::bind(plain).await).await;
    let tls = ports::bind(async || TcpListener::bind(tls).await).await;
    let served = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            tokio::spawn(serve_connection(stream, Arc::clone(&served)));
        }
    });
    tokio::spawn(accept(tls, acceptor, move |stream| serve_connection(stream, Arc::clone(&state))));
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            match answers::answer(&state, &request) {
                Some(response) => Ok::<_, Infallible>(response),
                None => std::future::pending().await,
            }
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
