//! What the parts of a running member know of one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use convoke_membership::{Member, MemberId, View};

/// Where this member stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) me: Member,
    /// None while it starts, and once it has left.
    pub(crate) view: Option<View>,
    /// What it says in a handshake, encoded.
    pub(crate) hello: Arc<[u8]>,
    /// Members that do not answer just now.
    pub(crate) suspects: Arc<[MemberId]>,
    pub(crate) leaving: bool,
}

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Datagrams to the member port that did not authenticate.
    pub(crate) foreign: AtomicU64,
    /// Datagrams that came twice.
    pub(crate) replayed: AtomicU64,
    /// Datagrams of this cluster that could not be read.
    pub(crate) malformed: AtomicU64,
    /// Connections to the member port that were turned away.
    pub(crate) refused: AtomicU64,
    /// Members that were lost.
    pub(crate) lost: AtomicU64,
    /// Members with an open stream.
    pub(crate) links: AtomicUsize,
    /// Candidates known now.
    pub(crate) candidates: AtomicUsize,
    /// Calls made to candidates.
    pub(crate) probes: AtomicU64,
    /// Partitions of which no complete copy was left.
    pub(crate) lost_partitions: AtomicU64,
}

/// Counts one more.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
