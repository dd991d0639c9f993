//! What a server knows of each connected client, for other connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use convoke_grid::Unblock;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::maintenance::Subscribed;
use crate::output_buffer::OutputBuffer;

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
    pub(crate) shard_topics: AtomicUsize,
    /// Its commands that were started.
    pub(crate) commands: AtomicU64,
    /// Number of watched keys.
    pub(crate) watched: AtomicUsize,
    /// Size of the input that was not parsed yet, in bytes.
    pub(crate) input_bytes: AtomicUsize,
    /// Ends its blocked command.
    pub(crate) unblock: Mutex<Option<Arc<Unblock>>>,
    /// Whether that command returns an error then.
    pub(crate) unblocks_with_error: AtomicBool,
    /// What `CLIENT TRACKING` has turned on; see [`TrackingFlags`].
    pub(crate) tracking: Mutex<Option<TrackingFlags>>,
    /// What `CLIENT MAINT_NOTIFICATIONS` has turned on.
    pub(crate) maintenance: Mutex<Option<Subscribed>>,
    /// The client that gets its messages about keys has disconnected.
    pub(crate) has_lost_redirection: AtomicBool,
    /// Messages for the client, which were not sent yet.
    pub(crate) output_buffer: Arc<OutputBuffer>,
    /// Whether there may be messages.
    pub(crate) is_receiver: AtomicBool,
    pub(crate) is_monitor: AtomicBool,
    /// Whether its reads do not count as uses of keys.
    pub(crate) no_touch: AtomicBool,
    /// Number of queued commands; -1 outside of a transaction.
    pub(crate) queued: AtomicI64,
    pub(crate) is_blocked: AtomicBool,
    pub(crate) is_trusted: AtomicBool,
    pub(crate) protocol: AtomicUsize,
    pub(crate) names: Mutex<ClientNames>,
    killed: AtomicBool,
    gone: AtomicBool,
    pub(crate) waker: AtomicWaker,
}

/// What `CLIENT TRACKING` has turned on for a client, for `CLIENT LIST`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrackingFlags {
    pub(crate) is_broadcast: bool,
    /// The client that gets the messages; 0 for this one.
    pub(crate) redirect: u64,
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
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        now_ms: u64,
        output_buffer: Arc<OutputBuffer>,
    ) -> Self {
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
            shard_topics: AtomicUsize::new(0),
            commands: AtomicU64::new(0),
            watched: AtomicUsize::new(0),
            input_bytes: AtomicUsize::new(0),
            unblock: Mutex::new(None),
            unblocks_with_error: AtomicBool::new(false),
            tracking: Mutex::new(None),
            maintenance: Mutex::new(None),
            has_lost_redirection: AtomicBool::new(false),
            output_buffer,
            is_receiver: AtomicBool::new(false),
            is_monitor: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            queued: AtomicI64::new(-1),
            is_blocked: AtomicBool::new(false),
            is_trusted: AtomicBool::new(false),
            protocol: AtomicUsize::new(2),
            names: Mutex::default(),
            killed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
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

    /// Returns what ends a blocked command that begins now.
    pub(crate) fn begin_blocking(&self) -> Arc<Unblock> {
        let unblock = Arc::<Unblock>::default();
        self.unblocks_with_error.store(false, Ordering::Relaxed);
        *self.unblock.lock() = Some(Arc::clone(&unblock));
        unblock
    }

    /// A blocked command has ended. Returns whether it was ended to return an error.
    pub(crate) fn end_blocking(&self) -> bool {
        let ended = self.unblock.lock().take();
        ended.is_some_and(|unblock| unblock.is_set())
            && self.unblocks_with_error.load(Ordering::Relaxed)
    }

    /// Ends the blocked command of the client, with an error or as if its time had passed. Returns
    /// whether there was one.
    pub(crate) fn unblock(&self, with_error: bool) -> bool {
        let unblock = self.unblock.lock();
        let Some(unblock) = unblock.as_ref().filter(|unblock| !unblock.is_set()) else {
            return false;
        };
        self.unblocks_with_error.store(with_error, Ordering::Relaxed);
        unblock.set();
        true
    }

    /// The connection is closed.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Makes the connection look for messages from now on.
    pub(crate) fn receives_messages(&self) {
        if !self.is_receiver.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        load(&self.topics) + load(&self.patterns) + load(&self.shard_topics) > 0
    }
}
