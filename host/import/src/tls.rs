//! TLS to the source.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// The settings of a client that trusts the certificate authorities in a PEM file; without a file,
/// those that the system trusts.
pub(crate) fn config(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used: {error}"))?;
    let builder = match authorities {
        None => builder
            .with_platform_verifier()
            .map_err(|error| format!("the system's certificates cannot be read: {error}"))?,
        Some(file) => {
            let named = |why: String| format!("--source-ca {}: {why}", file.display());
            let certificates = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| named(error.to_string()))?;
            if certificates.is_empty() {
                return Err(named("the file contains no certificate in PEM format".to_owned()));
            }
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate).map_err(|error| named(error.to_string()))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}
