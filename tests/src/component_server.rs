//! Where components lie that members fetch: a web server that speaks TLS, and a registry.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::server_thread::Background;
use crate::tls::{Identity, accept};

/// A component on a web server and in a registry. Dropping it ends both.
#[derive(Debug)]
pub struct Shelf {
    web: SocketAddr,
    registry: SocketAddr,
    authority: String,
    digest: String,
    shown: Arc<Shown>,
    _background: Background,
}

/// What both servers answer with, by path.
#[derive(Debug)]
struct Shown {
    contents: HashMap<String, Bytes>,
    requests: AtomicUsize,
}

impl Shelf {
    /// Starts both on free ports of loopback.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn with(component: Vec<u8>) -> Self {
        let digest = sha256(&component);
        let manifest = manifest(&component).to_string();
        let contents = [
            ("/mine.wasm".to_owned(), component.clone()),
            ("/v2/shop/mine/manifests/1".to_owned(), manifest.into_bytes()),
            (format!("/v2/shop/mine/blobs/{digest}"), component),
        ];
        let contents = contents.into_iter().map(|(path, bytes)| (path, bytes.into())).collect();
        let shown = Arc::new(Shown { contents, requests: AtomicUsize::new(0) });
        let Identity { authority, acceptor } = Identity::of_loopback();
        let served = Arc::clone(&shown);
        let (background, [web, registry]) = Background::start(|| async move {
            let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let web = bind().await.expect("a free port");
            let registry = bind().await.expect("a free port");
            let addresses = [&web, &registry].map(|l| l.local_addr().expect("it is bound"));
            let shown = Arc::clone(&served);
            tokio::spawn(accept(web, acceptor, move |stream| converse(stream, Arc::clone(&shown))));
            tokio::spawn(async move {
                while let Ok((stream, _)) = registry.accept().await {
                    tokio::spawn(converse(stream, Arc::clone(&served)));
                }
            });
            addresses
        });
        Self { web, registry, authority, digest, shown, _background: background }
    }

    /// Where it lies on the web server.
    #[must_use]
    pub fn https(&self) -> String {
        format!("https://{}/mine.wasm", self.web)
    }

    /// Where it lies in the registry.
    #[must_use]
    pub fn oci(&self) -> String {
        format!("oci://{}/shop/mine:1", self.registry)
    }

    /// As configurations pin it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes whom to trust, for `SSL_CERT_FILE`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn authority(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        fs::write(&path, &self.authority).expect("the folder is ours");
        path
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shown.requests.load(Ordering::Relaxed)
    }
}

/// As registries and configurations write it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let digits = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ["sha256:".to_owned(), digits].concat()
}

/// Of an image that is one component, in the shape of the OCI image specification.
fn manifest(component: &[u8]) -> Value {
    let of = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": of("application/vnd.wasm.config.v0+json", b"{}"),
        "layers": [of("application/wasm", component)],
    })
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shown: Arc<Shown>) {
    let service = service_fn(move |request: Request<Incoming>| {
        shown.requests.fetch_add(1, Ordering::Relaxed);
        let content = shown.contents.get(request.uri().path()).cloned();
        let status = if content.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::new(content.unwrap_or_default()));
        *response.status_mut() = status;
        async { Ok::<_, Infallible>(response) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
