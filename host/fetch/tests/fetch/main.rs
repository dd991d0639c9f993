//! Components from real servers on this machine: over TLS and its own authority, and
//! from a registry.

mod authority;
mod bounds;
mod cache;
mod https;
mod oci;
mod registry;
mod server;

use std::time::Duration;

use convoke_fetch::{FetchError, Fetcher, Limits};

/// What is fetched: no component, which this crate does not know.
const BYTES: &[u8] = b"\0asm, and so on";

/// Long enough for a busy machine where nothing is to time out, and no time lost
/// between attempts.
fn limits() -> Limits {
    Limits { back_off: Duration::from_millis(1), ..Limits::default() }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("32 bytes")
}

/// As registries write it.
fn named(bytes: &[u8]) -> String {
    let digits: String = digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Fetches [`BYTES`] without a cache.
async fn fetch(reference: &str) -> Result<bytes::Bytes, FetchError> {
    fetch_within(reference, limits()).await
}

async fn fetch_within(reference: &str, limits: Limits) -> Result<bytes::Bytes, FetchError> {
    let reference = reference.parse().expect("a reference");
    Fetcher::new(None, limits).fetch(&reference, digest(BYTES)).await
}

/// The line that an operator sees, without the reference in front.
async fn refusal(reference: &str) -> String {
    line(reference, fetch(reference).await)
}

fn line(reference: &str, outcome: Result<bytes::Bytes, FetchError>) -> String {
    let error = outcome.expect_err("it is refused").to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");
    let start = format!("cannot fetch {reference}: ");
    error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned()
}
