//! Every limit of this crate, with its unit in its name, and its reason.

use std::time::Duration;

/// Size of a component, in bytes. Python and JavaScript modes contain their engine and take 12
/// to 18 MiB.
pub const BYTES_MAX: u64 = 64 << 20;

/// Size of a manifest, in bytes: the size that registries have to accept (OCI distribution
/// specification).
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// Size of a response of a token server, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// Bytes that are read of an error response.
pub const ERROR_BODY_BYTES_MAX: u64 = 4 << 10;

/// Characters that are shown of a server's text.
pub const EXCERPT_CHARS_MAX: usize = 160;

/// Length of a reference, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 2_048;

/// Redirects of one request.
pub const REDIRECTS_MAX: usize = 5;

/// Attempts of one request.
pub const ATTEMPTS_MAX: u32 = 3;

/// Wait after the first failed attempt, in milliseconds; doubled after the second.
pub const BACK_OFF_MS: u64 = 250;

/// Timeout for connecting, including DNS lookup and TLS handshake, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 10_000;

/// Time without data after which a request is aborted, in milliseconds. It has to be longer
/// than [`CONNECT_MS_MAX`], which it would hide otherwise.
pub const IDLE_MS_MAX: u64 = 20_000;

/// Duration of a fetch with all its requests and attempts, in milliseconds.
pub const FETCH_MS_MAX: u64 = 180_000;

/// Components in the cache; beyond it, the least recently used ones are removed.
pub const CACHED_MAX: usize = 64;

/// Age at which a partial file is considered abandoned by a killed process, in seconds: longer
/// than any fetch.
pub const UNFINISHED_S_MAX: u64 = 3_600;

/// The limits of a [`Fetcher`](crate::Fetcher). The default values are the constants of this
/// module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of a component, in bytes: [`BYTES_MAX`].
    pub bytes_max: u64,
    /// Timeout for connecting: [`CONNECT_MS_MAX`].
    pub connect: Duration,
    /// Time without data after which a request is aborted: [`IDLE_MS_MAX`].
    pub idle: Duration,
    /// Duration of a fetch: [`FETCH_MS_MAX`].
    pub fetch: Duration,
    /// Wait after the first failed attempt: [`BACK_OFF_MS`].
    pub back_off: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: BYTES_MAX,
            connect: Duration::from_millis(CONNECT_MS_MAX),
            idle: Duration::from_millis(IDLE_MS_MAX),
            fetch: Duration::from_millis(FETCH_MS_MAX),
            back_off: Duration::from_millis(BACK_OFF_MS),
        }
    }
}

const _: () = assert!(CONNECT_MS_MAX < IDLE_MS_MAX && IDLE_MS_MAX < FETCH_MS_MAX);
const _: () = assert!(FETCH_MS_MAX < 1_000 * UNFINISHED_S_MAX);
