//! Brings components from web servers and registries, by digest, into a cache.
//!
//! - A [`Reference`] is where a component lies: `https://host[:port]/path`, or
//!   `oci://registry[:port]/repository[:tag][@sha256:…]`.
//! - A [`Fetcher`] brings the bytes that have one SHA-256, the *pin*: from the cache
//!   if they are there, so that a start needs no network, else from the reference.
//!
//! Promises: bytes with another digest are never returned and never kept, from the
//! cache neither; nothing is read without a bound, and nothing waited for without
//! one ([`limits`]); outside of this machine only TLS is spoken, after redirects too;
//! every refusal is one line that says what to do.
//!
//! Roots of trust are the system's. On Linux and the BSDs, `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name others; macOS and Windows ask their own stores. `HTTPS_PROXY`
//! and `NO_PROXY` are honoured; this machine is never asked through a proxy.
//!
//! Not supported: credentials. Web servers are asked as anybody asks, and registries
//! with the token that they give to anybody; no file of passwords is read.
//!
//! Must never know: what a component is, imports or may do, and who wants it.

mod artifact;
mod cache;
mod error;
mod excerpt;
mod fetcher;
mod http;
pub mod limits;
mod manifest;
mod reference;
mod registry;
mod sha256;
mod token;
mod web_address;

pub use artifact::Artifact;
pub use error::{Cause, FetchError};
pub use fetcher::Fetcher;
pub use limits::Limits;
pub use reference::{Reference, ReferenceError};
pub use sha256::Sha256;
pub use web_address::WebAddress;
