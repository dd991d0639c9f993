//! Who servers on loopback are, to clients that are told to trust them.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

/// A certificate for 127.0.0.1 that nobody else vouches for, and its key.
pub(crate) struct Identity {
    /// The certificate as PEM, for those who are to trust it.
    pub(crate) authority: String,
    /// Takes connections under it.
    pub(crate) acceptor: TlsAcceptor,
}

impl Identity {
    pub(crate) fn of_loopback() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate of its own");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .expect("a key that fits its certificate");
        Self { authority: made.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// Converses with each client, once its handshake is done; for ever.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    converse: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, converse) = (acceptor.clone(), converse.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream).await;
            }
        });
    }
}
