//! Servers that members fetch components from: a web server with TLS, and an OCI registry.

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

use crate::server_thread::ServerThread;
use crate::tls::{Identity, accept};

/// A component on a web server and in a registry. Dropping it stops both.
#[derive(Debug)]
pub struct ComponentServer {
    web: SocketAddr,
    registry: SocketAddr,
    authority: String,
    digest: String,
    site: Arc<Site>,
    _thread: ServerThread,
}

/// The files of both servers, by path.
#[derive(Debug)]
struct Site {
    files: HashMap<String, Bytes>,
    requests: AtomicUsize,
}

impl ComponentServer {
    /// Starts both on free ports of loopback.
    ///
    /// # Panics
    /// If there are no free ports.
    #[must_use]
    pub fn with(component: Vec<u8>) -> Self {
        let digest = sha256(&component);
        let manifest = manifest(&component).to_string();
        let files = [
            ("/mine.wasm".to_owned(), component.clone()),
            ("/v2/shop/mine/manifests/1".to_owned(), manifest.into_bytes()),
            (format!("/v2/shop/mine/blobs/{digest}"), component),
        ];
        let files = files.into_iter().map(|(path, bytes)| (path, bytes.into())).collect();
        let site = Arc::new(Site { files, requests: AtomicUsize::new(0) });
        let Identity { authority, acceptor } = Identity::of_loopback();
        let served = Arc::clone(&site);
        let (thread, [web, registry]) = ServerThread::start(|| async move {
            let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let web = bind().await.expect("a free port");
            let registry = bind().await.expect("a free port");
            let addresses = [&web, &registry].map(|l| l.local_addr().expect("it is bound"));
            let site = Arc::clone(&served);
            tokio::spawn(accept(web, acceptor, move |stream| {
                serve_connection(stream, Arc::clone(&site))
            }));
            tokio::spawn(async move {
                while let Ok((stream, _)) = registry.accept().await {
                    tokio::spawn(serve_connection(stream, Arc::clone(&served)));
                }
            });
            addresses
        });
        Self { web, registry, authority, digest, site, _thread: thread }
    }

    /// Its reference on the web server.
    #[must_use]
    pub fn https(&self) -> String {
        format!("https://{}/mine.wasm", self.web)
    }

    /// Its reference in the registry.
    #[must_use]
    pub fn oci(&self) -> String {
        format!("oci://{}/shop/mine:1", self.registry)
    }

    /// Its digest, as in the configuration.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes the certificate to trust, for `SSL_CERT_FILE`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn authority(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        fs::write(&path, &self.authority).expect("the folder is writable");
        path
    }

    /// Number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.site.requests.load(Ordering::Relaxed)
    }
}

/// The SHA-256 digest, as in registries and configurations.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let digits = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ["sha256:".to_owned(), digits].concat()
}

/// The OCI image manifest of a component.
fn manifest(component: &[u8]) -> Value {
    let of = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": of("application/vnd.wasm.config.v0+json", b"{}"),
        "layers": [of("application/wasm", component)],
    })
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin, site: Arc<Site>) {
    let service = service_fn(move |request: Request<Incoming>| {
        site.requests.fetch_add(1, Ordering::Relaxed);
        let file = site.files.get(request.uri().path()).cloned();
        let status = if file.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::new(file.unwrap_or_default()));
        *response.status_mut() = status;
        async { Ok::<_, Infallible>(response) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
