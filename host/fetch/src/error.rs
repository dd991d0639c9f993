//! Why a component could not be brought.

use std::time::Duration;

use crate::limits::{ATTEMPTS_MAX, REDIRECTS_MAX};
use crate::sha256::Sha256;

/// A component that could not be brought, on one line: what, where, what to do.
/// Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {reference}: {cause}")]
pub struct FetchError {
    /// What was asked for, as [`Reference`](crate::Reference) shows it.
    pub reference: String,
    /// Why it was not brought.
    pub cause: Cause,
}

/// Why a component was not brought. `at` is a host and a path, without the query,
/// which may hold a signature; texts of others are cut and cleaned.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection, and what the system said last.
    #[error(
        "no connection to {at} ({why}), asked {ATTEMPTS_MAX} times; check the host, the port, and that the network is up"
    )]
    Connect {
        /// Where to.
        at: String,
        /// The system's words.
        why: String,
    },
    /// The connection ended before the answer did.
    #[error(
        "the connection to {at} broke off ({why}), {ATTEMPTS_MAX} times; try again, or look at that server"
    )]
    Broken {
        /// Where to.
        at: String,
        /// The system's words.
        why: String,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of {at} is not trusted ({why}); add its authority to this system's certificates, or name a PEM file that has it in SSL_CERT_FILE"
    )]
    Certificate {
        /// Where to.
        at: String,
        /// What is wrong with the certificate.
        why: String,
    },
    /// No agreement on TLS.
    #[error(
        "{at} does not speak TLS as it should ({why}); check the port, and that it serves https with TLS 1.2 or 1.3"
    )]
    Tls {
        /// Where to.
        at: String,
        /// What went wrong.
        why: String,
    },
    /// Not one root of trust, or no client for another reason.
    #[error(
        "no TLS on this machine ({0}); install the system's certificates (ca-certificates), or name a PEM file of them in SSL_CERT_FILE"
    )]
    NoRoots(String),
    /// Neither HTTPS nor this machine.
    #[error("{at} would be asked over plain http; only https is used, except on this machine")]
    Plain {
        /// Where to.
        at: String,
    },
    /// A redirect to plain HTTP, or off this machine without TLS.
    #[error(
        "it redirects to {to}, which is refused: redirects from https stay with https, and plain ones on this machine; name a place that does so"
    )]
    Redirect {
        /// Where to, with its scheme.
        to: String,
    },
    /// More than [`REDIRECTS_MAX`].
    #[error("{at} leads to more than {REDIRECTS_MAX} redirects; name the place where it lies")]
    Redirects {
        /// Where the first of them was.
        at: String,
    },
    /// A status that is not 200.
    #[error("{at} answered {status}{}; {}", quoted(.said), advice(*.status))]
    Status {
        /// Who answered.
        at: String,
        /// The status.
        status: u16,
        /// The beginning of the answer, or nothing.
        said: String,
    },
    /// Something is only given to who shows credentials.
    #[error(
        "{at} wants credentials, which are not supported: only what anybody may read is fetched; make it public, or bring the file by other means and name its path"
    )]
    Credentials {
        /// Who wants them.
        at: String,
    },
    /// No token for anybody.
    #[error(
        "the registry's tokens cannot be had: {0}; look at the registry, or bring the file by other means and name its path"
    )]
    Token(String),
    /// Silence.
    #[error("{at} sent nothing for {after:?}; try again, or look at that server")]
    Idle {
        /// Who was silent.
        at: String,
        /// [`Limits::idle`](crate::Limits::idle).
        after: Duration,
    },
    /// Too slow on the whole.
    #[error(
        "it took longer than {after:?}; try again on a faster network, or bring the file by other means and name its path"
    )]
    Slow {
        /// [`Limits::fetch`](crate::Limits::fetch).
        after: Duration,
    },
    /// An answer beyond its bound.
    #[error("what {at} sends {}; check that the reference names a component", too_large(*.announced, *.bytes_max))]
    TooLarge {
        /// Who sends it.
        at: String,
        /// The length that was announced, in bytes, if that was refused.
        announced: Option<u64>,
        /// The bound, in bytes.
        bytes_max: u64,
    },
    /// Another component than the pinned one.
    #[error(
        "it is {found}, and {pinned} is pinned; nothing was kept. If it is the component you mean, pin it with digest = \"{found}\""
    )]
    Digest {
        /// What is there.
        found: Sha256,
        /// What was asked for.
        pinned: Sha256,
    },
    /// A manifest with another digest than the one it was asked for by.
    #[error(
        "the registry gave the manifest {found} for {asked}; nothing was kept. Look at the registry"
    )]
    ManifestDigest {
        /// What is there.
        found: Sha256,
        /// What was asked for.
        asked: Sha256,
    },
    /// No image manifest, or one that does not hold exactly one component.
    #[error("{0}")]
    Manifest(String),
}

impl Cause {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said:?})") }
}

fn advice(status: u16) -> String {
    match status {
        404 | 410 => "nothing is there; check the reference".into(),
        403 => "only what anybody may read is fetched; make it public, or bring the file by other \
                means and name its path"
            .into(),
        429 => format!("asked {ATTEMPTS_MAX} times; wait before asking again"),
        500.. => format!("asked {ATTEMPTS_MAX} times; try again later, or look at that server"),
        _ => "expected 200; check the reference".into(),
    }
}

fn too_large(announced: Option<u64>, bytes_max: u64) -> String {
    match announced {
        Some(bytes) => format!("has {bytes} bytes, and at most {bytes_max} are taken"),
        None => format!("is longer than the {bytes_max} bytes that are taken"),
    }
}
