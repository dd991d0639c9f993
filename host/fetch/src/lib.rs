//! Fetches components from web servers and OCI registries, by digest, into a cache.
//!
//! - A [`Reference`] names a component: `https://host[:port]/path`, or
//!   `oci://registry[:port]/repository[:tag][@sha256:…]`.
//! - A [`Fetcher`] returns the bytes with a given SHA-256: from the cache if they are there, so
//!   that a start needs no network, or else from the reference.
//!
//! Guarantees: bytes with another digest are never returned or cached, even if the cache is
//! modified; all sizes and times are bounded ([`limits`]); connections to other machines use
//! TLS, after redirects as well; every error is one line that says what to do.
//!
//! The trusted root certificates are the system's. On Linux and the BSDs, `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` override them; macOS and Windows use the system's store. `HTTPS_PROXY` and
//! `NO_PROXY` are honoured; requests to this machine never use a proxy.
//!
//! Credentials are not supported. Web servers are accessed anonymously, and registries with the
//! token that they issue to anonymous clients; no file of passwords is read.
//!
//! This crate must not know what a component is, imports or may do, or who uses it.

mod artifact;
mod cache;
mod digest;
mod error;
mod fetcher;
mod http;
pub mod limits;
mod manifest;
mod reference;
mod registry;
mod token;
mod web_address;

pub use artifact::Artifact;
pub use digest::{Digest, DigestError};
pub use error::{Cause, FetchError};
pub use fetcher::Fetcher;
pub use limits::Limits;
pub use reference::{Reference, ReferenceError};
pub use web_address::WebAddress;
