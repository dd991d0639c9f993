//! What a server knows of each connected client, for other connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// The part of a client's state that other connections read, for `CLIENT LIST` and the like.
pub(crate) struct ClientInfo {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Time of the connection, in milliseconds of the server's monotonic clock, as are the times
    /// below.
    pub(crate) since_ms: u64,
    /// Time of the last command.
    pub(crate) active_ms: AtomicU64,
    /// Since when the client has not read pending output; 0 if none is pending.
    pub(crate) stalled_ms: AtomicU64,
    /// Since when no more data of an incomplete large request has arrived; 0 if there is none.
    pub(crate) starved_ms: AtomicU64,
    /// Index of the last command in the command table.
    pub(crate) command: AtomicUsize,
    pub(crate) database: AtomicUsize,
    pub(crate) topics: AtomicUsize,
    pub(crate) patterns: AtomicUsize,
    /// Number of queued commands; -1 outside of a transaction.
    pub(crate) queued: AtomicI64,
    pub(crate) is_blocked: AtomicBool,
    pub(crate) is_trusted: AtomicBool,
    pub(crate) protocol: AtomicUsize,
    pub(crate) names: Mutex<ClientNames>,
    killed: AtomicBool,
    pub(crate) waker: AtomicWaker,
}

/// Names that the client reported, and its user.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientNames {
    pub(crate) name: String,
    pub(crate) library: String,
    pub(crate) library_version: String,
    pub(crate) user: &'static str,
}

impl ClientInfo {
    pub(crate) fn new(id: u64, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Self {
        Self {
            id,
            peer,
            local,
            since_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            stalled_ms: AtomicU64::new(0),
            starved_ms: AtomicU64::new(0),
            command: AtomicUsize::new(usize::MAX),
            database: AtomicUsize::new(0),
            topics: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            queued: AtomicI64::new(-1),
            is_blocked: AtomicBool::new(false),
            is_trusted: AtomicBool::new(false),
            protocol: AtomicUsize::new(2),
            names: Mutex::default(),
            killed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Closes the connection at its next turn.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.topics.load(Ordering::Relaxed) + self.patterns.load(Ordering::Relaxed) > 0
    }
}
