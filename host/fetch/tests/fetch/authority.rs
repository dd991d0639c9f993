//! A certificate authority that only the process of one test trusts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The environment variable that names the folder with the server's certificate.
const FOLDER: &str = "CONVOKE_FETCH_TEST_AUTHORITY";

/// Runs `test` in a process that trusts only one certificate authority, through `SSL_CERT_FILE`
/// as an operator sets it. The environment of a running process cannot be changed safely, so
/// the test `name` runs itself in a child process.
pub(crate) fn trusting<T>(name: &str, test: T)
where
    T: AsyncFnOnce(TlsAcceptor),
{
    rerun(name, "authority.pem", test);
}

/// Runs `test` in a process without trusted root certificates.
pub(crate) fn without_trust_roots<T>(name: &str, test: T)
where
    T: AsyncFnOnce(TlsAcceptor),
{
    rerun(name, "no-roots.pem", test);
}

fn rerun<T>(name: &str, roots: &str, test: T)
where
    T: AsyncFnOnce(TlsAcceptor),
{
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let acceptor = acceptor(&PathBuf::from(folder));
        return runtime.expect("a runtime").block_on(test(acceptor));
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let output = Command::new(std::env::current_exe().expect("the path of this program"))
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", folder.path().join(roots))
        .env_remove("SSL_CERT_DIR")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("it runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// An acceptor with a certificate that no authority has signed.
pub(crate) fn self_signed() -> TlsAcceptor {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("server.pem"), identity.cert.pem()).expect("written");
    fs::write(folder.path().join("server.key"), identity.signing_key.serialize_pem())
        .expect("written");
    acceptor(folder.path())
}

fn write(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "An authority for one test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&key).expect("signed");
    let issuer = Issuer::new(authority, key);

    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
    let server = server.signed_by(&key, &issuer).expect("signed");

    fs::write(folder.join("authority.pem"), certificate.pem()).expect("written");
    fs::write(folder.join("no-roots.pem"), "").expect("written");
    fs::write(folder.join("server.pem"), server.pem()).expect("written");
    fs::write(folder.join("server.key"), key.serialize_pem()).expect("written");
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key that fits its certificate");
    TlsAcceptor::from(Arc::new(config))
}
