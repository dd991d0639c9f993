//! Errors of fetching a component.

use std::time::Duration;

use crate::digest::Digest;
use crate::limits::{ATTEMPTS_MAX, REDIRECTS_MAX};

/// A component could not be fetched. The text is one line: what, from where, what to do.
/// Nothing was cached.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {reference}: {cause}")]
pub struct FetchError {
    /// The reference, as [`Reference`](crate::Reference) displays it.
    pub reference: String,
    /// Why it could not be fetched.
    pub cause: Cause,
}

/// Why a component could not be fetched. `at` is a host and a path, without the query, which
/// may contain a signature. Texts of servers are cut and stripped of control characters.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection could be made.
    #[error(
        "cannot connect to {at} ({why}) after {ATTEMPTS_MAX} attempts; check the host, the port, and that the network is up"
    )]
    Connect {
        /// Host and path.
        at: String,
        /// The error of the system.
        why: String,
    },
    /// The connection was closed before the response was complete.
    #[error(
        "the connection to {at} was interrupted ({why}) in {ATTEMPTS_MAX} attempts; try again, or check that server"
    )]
    Broken {
        /// Host and path.
        at: String,
        /// The error of the system.
        why: String,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of {at} is not trusted ({why}); add its CA to this system's certificates, or set SSL_CERT_FILE to a PEM file that contains it"
    )]
    Certificate {
        /// Host and path.
        at: String,
        /// The problem with the certificate.
        why: String,
    },
    /// The TLS handshake failed.
    #[error(
        "the TLS handshake with {at} failed ({why}); check the port, and that it serves https with TLS 1.2 or 1.3"
    )]
    Tls {
        /// Host and path.
        at: String,
        /// The reason.
        why: String,
    },
    /// No trusted root certificates, or another failure to create the client.
    #[error(
        "TLS cannot be used on this machine ({0}); install the system's certificates (ca-certificates), or set SSL_CERT_FILE to a PEM file"
    )]
    NoRoots(String),
    /// The URL is plain HTTP, and not on this machine.
    #[error("{at} is plain http; only https is allowed, except on this machine")]
    Plain {
        /// Host and path.
        at: String,
    },
    /// A redirect to plain HTTP, or from this machine to another one.
    #[error(
        "it redirects to {to}, which is not allowed: https may redirect only to https, and http only on this machine; use another URL"
    )]
    Redirect {
        /// The target, with its scheme.
        to: String,
    },
    /// More than [`REDIRECTS_MAX`] redirects.
    #[error("{at} leads to more than {REDIRECTS_MAX} redirects; use the final URL")]
    Redirects {
        /// Host and path of the original request.
        at: String,
    },
    /// A status other than 200.
    #[error("{at} returned {status}{}; {}", quoted(.body), advice(*.status))]
    Status {
        /// Host and path.
        at: String,
        /// The status code.
        status: u16,
        /// The beginning of the response body; may be empty.
        body: String,
    },
    /// The server requires credentials.
    #[error(
        "{at} requires credentials, which are not supported; make it public, or copy the file to this machine and configure its path"
    )]
    Credentials {
        /// Host and path.
        at: String,
    },
    /// The registry's token server gave no anonymous token.
    #[error(
        "cannot get a token of the registry: {0}; check the registry, or copy the file to this machine and configure its path"
    )]
    Token(String),
    /// No data arrived within the idle timeout.
    #[error("{at} sent nothing for {after:?}; try again, or check that server")]
    Idle {
        /// Host and path.
        at: String,
        /// [`Limits::idle`](crate::Limits::idle).
        after: Duration,
    },
    /// The fetch exceeded its total time.
    #[error(
        "it took longer than {after:?}; try again on a faster network, or copy the file to this machine and configure its path"
    )]
    Slow {
        /// [`Limits::fetch`](crate::Limits::fetch).
        after: Duration,
    },
    /// A response that is too large.
    #[error("the response of {at} {}; check that the reference names a component", too_large(*.announced, *.bytes_max))]
    TooLarge {
        /// Host and path.
        at: String,
        /// The announced length in bytes, if that was too large.
        announced: Option<u64>,
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// The component has another digest than the configured one.
    #[error(
        "its digest is {found}, but the configuration requires {pinned}; nothing was cached. If it is the intended component, set digest = \"{found}\""
    )]
    Digest {
        /// The digest of the component, or the one announced by the manifest.
        found: Digest,
        /// The configured digest.
        pinned: Digest,
    },
    /// A manifest has another digest than the requested one.
    #[error(
        "the registry returned the manifest {found} for {asked}; nothing was cached; check the registry"
    )]
    ManifestDigest {
        /// The digest of the manifest.
        found: Digest,
        /// The requested digest.
        asked: Digest,
    },
    /// Not an image manifest, or not exactly one component in it.
    #[error("{0}")]
    Manifest(String),
}

impl Cause {
    /// Whether the same request may succeed if retried.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

fn quoted(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(" ({body:?})") }
}

fn advice(status: u16) -> String {
    match status {
        404 | 410 => "not found; check the reference".into(),
        403 => {
            "credentials are not supported; make it public, or copy the file to this machine and \
                configure its path"
                .into()
        }
        429 => format!("{ATTEMPTS_MAX} attempts; wait before trying again"),
        500.. => format!("{ATTEMPTS_MAX} attempts; try again later, or check that server"),
        _ => "expected 200; check the reference".into(),
    }
}

fn too_large(announced: Option<u64>, bytes_max: u64) -> String {
    match announced {
        Some(bytes) => format!("has {bytes} bytes; the limit is {bytes_max}"),
        None => format!("is larger than the limit of {bytes_max} bytes"),
    }
}
