//! One client: who it is, and what it has begun.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use convoke_grid::{Map, OpError, Version};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::commands::Command;
use super::encode::Protocol;
use super::request::Request;
use super::server::Server;
use crate::output_buffer::OutputBuffer;
use crate::pubsub::Subscription;
use crate::trust::Trust;

/// Commands of one transaction, at most.
pub(crate) const QUEUED_MAX: usize = 65_536;
/// Bytes of one transaction, at most.
pub(crate) const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Topics and patterns of one client, at most.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 65_536;
/// Keys that one client watches, at most.
pub(crate) const WATCHED_MAX: usize = 65_536;

/// What others may see of a client: for `CLIENT LIST` and its like.
pub(crate) struct ClientInfo {
    pub(crate) id: u64,
    pub(crate) from: SocketAddr,
    pub(crate) at: SocketAddr,
    /// When it connected; this and what follows by [`Server::elapsed_ms`].
    pub(crate) since_ms: u64,
    /// When it last began a command.
    pub(crate) active_ms: AtomicU64,
    /// Since when the client does not take what is to be sent; zero when it does.
    pub(crate) stalled_ms: AtomicU64,
    /// Since when nothing comes of a long request that has begun to arrive; zero when there
    /// is none.
    pub(crate) starved_ms: AtomicU64,
    /// The place of its last command in the table.
    pub(crate) command: AtomicUsize,
    pub(crate) database: AtomicUsize,
    pub(crate) topics: AtomicUsize,
    pub(crate) patterns: AtomicUsize,
    /// Commands of its transaction; -1 without one.
    pub(crate) queued: AtomicI64,
    pub(crate) is_waiting: AtomicBool,
    pub(crate) is_trusted: AtomicBool,
    pub(crate) protocol: AtomicUsize,
    pub(crate) names: Mutex<ClientNames>,
    killed: AtomicBool,
    pub(crate) waker: AtomicWaker,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientNames {
    pub(crate) name: String,
    pub(crate) library: String,
    pub(crate) library_version: String,
    pub(crate) user: &'static str,
}

impl ClientInfo {
    pub(crate) fn new(id: u64, from: SocketAddr, at: SocketAddr, now_ms: u64) -> Self {
        Self {
            id,
            from,
            at,
            since_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            stalled_ms: AtomicU64::new(0),
            starved_ms: AtomicU64::new(0),
            command: AtomicUsize::new(usize::MAX),
            database: AtomicUsize::new(0),
            topics: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            queued: AtomicI64::new(-1),
            is_waiting: AtomicBool::new(false),
            is_trusted: AtomicBool::new(false),
            protocol: AtomicUsize::new(2),
            names: Mutex::default(),
            killed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Its connection ends as soon as it can.
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

/// A command that waits for `EXEC`.
pub(crate) struct Queued {
    /// The row that was admitted, and is to be done.
    pub(crate) command: &'static Command,
    bytes: Vec<u8>,
    arguments: Vec<Range<usize>>,
}

impl Queued {
    pub(crate) fn new(command: &'static Command, request: &Request<'_>) -> Self {
        let (mut bytes, mut arguments) = (Vec::new(), Vec::with_capacity(request.len()));
        for argument in request.from(0) {
            let start = bytes.len();
            bytes.extend_from_slice(argument);
            arguments.push(start..bytes.len());
        }
        Self { command, bytes, arguments }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request::of(&self.bytes, &self.arguments)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.arguments.len() * size_of::<Range<usize>>()
    }
}

/// What was begun with `MULTI`.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(crate) queued: Vec<Queued>,
    pub(crate) bytes: usize,
    /// A command was refused: none is done.
    pub(crate) broken: bool,
}

/// A key that must not change until `EXEC`.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) database: usize,
    pub(crate) key: Bytes,
    /// Unknown until it was asked for, or when it could not be.
    pub(crate) version: Result<Version, OpError>,
}

/// Which answers a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// All.
    On,
    /// Not that of the next command.
    SkipNext,
    /// Not that of this command.
    Skip,
    /// None.
    Off,
}

/// See the [module](self).
pub(crate) struct Client {
    pub(crate) server: Arc<Server>,
    pub(crate) info: Arc<ClientInfo>,
    pub(crate) protocol: Protocol,
    pub(crate) trust: Trust,
    pub(crate) database: usize,
    pub(crate) map: Arc<Map>,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) watched: Arc<Mutex<Vec<Watched>>>,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) output_buffer: Arc<OutputBuffer>,
    topics: BTreeMap<Bytes, Subscription>,
    patterns: BTreeMap<Bytes, Subscription>,
}

impl Client {
    /// `None` when the first database's map cannot be opened.
    pub(crate) fn new(server: &Arc<Server>, info: Arc<ClientInfo>) -> Option<Self> {
        let trust = server.settings.passwords.trust_without_password();
        let mut client = Self {
            map: server.database(0).ok()?,
            server: Arc::clone(server),
            info,
            protocol: Protocol::default(),
            trust: Trust::Unauthenticated,
            database: 0,
            transaction: None,
            watched: Arc::default(),
            reply_mode: ReplyMode::On,
            output_buffer: server.pubsub.output_buffer(),
            topics: BTreeMap::new(),
            patterns: BTreeMap::new(),
        };
        client.trust(trust);
        Some(client)
    }

    /// It may do so much from now on.
    pub(crate) fn trust(&mut self, trust: Trust) {
        self.trust = trust;
        self.info.is_trusted.store(trust > Trust::Unauthenticated, Ordering::Relaxed);
        self.info.names.lock().user = trust.user();
    }

    pub(crate) fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        let number = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.info.protocol.store(number, Ordering::Relaxed);
    }

    pub(crate) fn select(&mut self, database: usize) -> Result<(), OpError> {
        self.map = self.server.database(database)?;
        self.database = database;
        self.info.database.store(database, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that are kept for it until `EXEC`.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.bytes)
    }

    /// Topics and patterns that it is subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.topics.len() + self.patterns.len()
    }

    /// All topics, or all patterns.
    pub(crate) fn all(&self, is_pattern: bool) -> Vec<Bytes> {
        let all = if is_pattern { &self.patterns } else { &self.topics };
        all.keys().cloned().collect()
    }

    pub(crate) fn subscribe(&mut self, topic: &[u8], is_pattern: bool) {
        let all = if is_pattern { &mut self.patterns } else { &mut self.topics };
        if all.contains_key(topic) {
            return;
        }
        let topic = Bytes::copy_from_slice(topic);
        let output_buffer = Arc::clone(&self.output_buffer) as _;
        let subscription = self.server.pubsub.subscribe(&topic, is_pattern, output_buffer);
        all.insert(topic, subscription);
        self.count_subscriptions();
    }

    pub(crate) fn unsubscribe(&mut self, topic: &[u8], is_pattern: bool) {
        let all = if is_pattern { &mut self.patterns } else { &mut self.topics };
        if all.remove(topic).is_some() {
            self.count_subscriptions();
        }
    }

    fn count_subscriptions(&self) {
        self.info.topics.store(self.topics.len(), Ordering::Relaxed);
        self.info.patterns.store(self.patterns.len(), Ordering::Relaxed);
    }

    /// As it was when it connected, but for whether it is trusted.
    pub(crate) fn reset(&mut self) {
        self.end_subscriptions();
        self.transaction = None;
        self.info.queued.store(-1, Ordering::Relaxed);
        self.watched.lock().clear();
        self.reply_mode = ReplyMode::On;
        self.speak(Protocol::Resp2);
        let _ = self.select(0);
        self.info.names.lock().name.clear();
        self.trust(self.server.settings.passwords.trust_without_password());
    }

    fn end_subscriptions(&mut self) {
        self.topics.clear();
        self.patterns.clear();
        self.count_subscriptions();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.server.gone(self.info.id);
    }
}
