//! Every bound of this crate, with its unit in its name and the reason beside it.

use std::time::Duration;

/// Largest component, in bytes. Python and JavaScript modes carry their engine and
/// take 12 to 18 MiB.
pub const BYTES_MAX: u64 = 64 << 20;

/// Largest manifest, in bytes: what registries have to accept.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// Largest answer of a server of tokens, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// What is read of an answer that is a refusal, in bytes.
pub const REFUSAL_BYTES_MAX: u64 = 4 << 10;

/// What is shown of a server's own words, in characters.
pub const EXCERPT_CHARS_MAX: usize = 160;

/// Longest reference, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 2_048;

/// Redirects of one request.
pub const REDIRECTS_MAX: usize = 5;

/// Times that one request is made before its failure counts.
pub const ATTEMPTS_MAX: u32 = 3;

/// Wait after the first failure, in milliseconds; doubled after the second.
pub const BACK_OFF_MS: u64 = 250;

/// Until a connection is open, its name looked up and TLS agreed on, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 10_000;

/// Silence after which a server is given up, in milliseconds. Longer than
/// [`CONNECT_MS_MAX`], which it would hide.
pub const IDLE_MS_MAX: u64 = 20_000;

/// A whole fetch with all its requests and attempts, in milliseconds.
pub const FETCH_MS_MAX: u64 = 180_000;

/// Components in the cache; beyond it, those are removed that were not used for longest.
pub const KEPT_MAX: usize = 64;

/// After this many seconds, a file that is still being written belongs to a process that
/// was killed: longer than any fetch.
pub const UNFINISHED_S_MAX: u64 = 3_600;

/// What a [`Fetcher`](crate::Fetcher) keeps to. The default is this module's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest component, in bytes: [`BYTES_MAX`].
    pub bytes_max: u64,
    /// Until a connection is open: [`CONNECT_MS_MAX`].
    pub connect: Duration,
    /// Silence after which a server is given up: [`IDLE_MS_MAX`].
    pub idle: Duration,
    /// A whole fetch: [`FETCH_MS_MAX`].
    pub fetch: Duration,
    /// Wait after the first failure: [`BACK_OFF_MS`].
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
