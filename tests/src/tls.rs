//! TLS for test servers on loopback.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

/// A self-signed certificate for 127.0.0.1, and its key.
pub(crate) struct Identity {
    /// The certificate as PEM, for clients to trust.
    pub(crate) authority: String,
    /// Accepts connections with it.
    pub(crate) acceptor: TlsAcceptor,
}

impl Identity {
    pub(crate) fn of_loopback() -> Self {
        let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let generated = generated.expect("a self-signed certificate");
        let key = PrivatePkcs8KeyDer::from(generated.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS")
            .with_no_client_auth()
            .with_single_cert(vec![generated.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .expect("a key that matches its certificate");
        Self { authority: generated.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// Calls `serve` with each connection after its handshake, indefinitely.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    serve: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        });
    }
}
