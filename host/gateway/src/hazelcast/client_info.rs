//! What the server knows of each connection, for other threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::task::AtomicWaker;

use super::registrations::Registrations;
use crate::output_buffer::OutputBuffer;

/// The part of a connection's state that other threads read. Times are in milliseconds of the
/// server's monotonic clock.
pub(super) struct ClientInfo {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    /// Time of the connection.
    pub(super) since_ms: u64,
    /// Time of the last request.
    pub(super) active_ms: AtomicU64,
    /// Since when the client has not read pending output; 0 if none is pending.
    pub(super) stalled_ms: AtomicU64,
    /// Since when no more data of an incomplete large request has arrived; 0 if there is none.
    pub(super) starved_ms: AtomicU64,
    pub(super) is_trusted: AtomicBool,
    /// Whether it is sent the members and partitions.
    pub(super) watches_view: AtomicBool,
    /// Whether requests are in progress.
    pub(super) is_busy: AtomicBool,
    /// Events that were not sent yet.
    pub(super) events: Arc<OutputBuffer>,
    /// Its listeners.
    pub(super) registrations: Registrations,
    killed: AtomicBool,
    pub(super) waker: AtomicWaker,
}

impl ClientInfo {
    pub(super) fn new(id: u64, peer: SocketAddr, now_ms: u64, events: Arc<OutputBuffer>) -> Self {
        Self {
            id,
            peer,
            since_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            stalled_ms: AtomicU64::new(0),
            starved_ms: AtomicU64::new(0),
            is_trusted: AtomicBool::new(false),
            watches_view: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            events,
            registrations: Registrations::default(),
            killed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Closes the connection at its next turn.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}
