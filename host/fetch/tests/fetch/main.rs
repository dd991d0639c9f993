//! Components from servers on this machine: web servers with TLS and their own certificate
//! authority, and a registry.

mod authority;
mod bounds;
mod cache;
mod https;
mod oci;
mod registry;
mod server;

use std::time::Duration;

use convoke_fetch::{Digest, FetchError, Fetcher, Limits};

/// The fetched bytes. Not a valid component, which does not matter to this crate.
const BYTES: &[u8] = b"\0asm, and so on";

/// Long enough for a busy machine if no timeout is expected, and without waits between
/// attempts.
fn limits() -> Limits {
    Limits { back_off: Duration::from_millis(1), ..Limits::default() }
}

/// The digest as registries write it.
fn digest_text(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn digest(bytes: &[u8]) -> Digest {
    digest_text(bytes).parse().expect("a digest")
}

/// Fetches [`BYTES`] without a cache.
async fn fetch(reference: &str) -> Result<bytes::Bytes, FetchError> {
    fetch_within(reference, limits()).await
}

async fn fetch_within(reference: &str, limits: Limits) -> Result<bytes::Bytes, FetchError> {
    let reference = reference.parse().expect("a reference");
    Fetcher::new(None, limits).fetch(&reference, digest(BYTES)).await
}

/// The error text, without the reference at its start.
async fn failure(reference: &str) -> String {
    line(reference, fetch(reference).await)
}

fn line(reference: &str, outcome: Result<bytes::Bytes, FetchError>) -> String {
    let error = outcome.expect_err("it fails").to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");
    let start = format!("cannot fetch {reference}: ");
    error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned()
}
