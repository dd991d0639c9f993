//! The state of one client connection: user, database, transaction, subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::{Map, OpError, Version};
use parking_lot::Mutex;

use super::client_info::ClientInfo;
use super::encode::Protocol;
use super::request::OwnedRequest;
use super::server::Server;
use crate::output_buffer::OutputBuffer;
use crate::pubsub::Subscription;
use crate::trust::Trust;

/// Maximum number of commands in one transaction.
pub(crate) const QUEUED_MAX: usize = 65_536;
/// Maximum size of the queued commands of one transaction, in bytes.
pub(crate) const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Maximum number of channels and patterns that one client is subscribed to.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 65_536;
/// Maximum number of keys that one client watches.
pub(crate) const WATCHED_MAX: usize = 65_536;

/// A command that is queued until `EXEC`.
pub(crate) struct Queued {
    /// Index of the row of the command table that the request resolved to.
    pub(crate) command: usize,
    pub(crate) request: OwnedRequest,
}

/// A transaction that was started with `MULTI`.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(crate) queued: Vec<Queued>,
    pub(crate) bytes: usize,
    /// A command was rejected while queuing, so `EXEC` fails with `EXECABORT`.
    pub(crate) is_aborted: bool,
}

/// A watched key: `EXEC` does nothing if its version has changed.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) database: usize,
    pub(crate) key: Bytes,
    /// Version of the entry when it was watched, or why it could not be read.
    pub(crate) version: Result<Version, OpError>,
}

/// Which replies are sent to the client, set by `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// All replies.
    On,
    /// Suppress the reply to the next command.
    SkipNext,
    /// Suppress the reply to the current command.
    Skip,
    /// No replies.
    Off,
}

/// The state of one client connection; see the [module](self).
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
    /// `None` if the map of database 0 cannot be opened.
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
        client.set_trust(trust);
        Some(client)
    }

    /// Sets the permissions of this connection.
    pub(crate) fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
        self.info.is_trusted.store(trust > Trust::Unauthenticated, Ordering::Relaxed);
        self.info.names.lock().user = trust.user();
    }

    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
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

    /// Size of the commands queued until `EXEC`, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.bytes)
    }

    /// Number of channels and patterns that the client is subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.topics.len() + self.patterns.len()
    }

    /// The channels, or the patterns, that the client is subscribed to.
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

    /// Whether the reply of the current command is suppressed. Advances the reply mode.
    pub(crate) fn is_silent(&mut self) -> bool {
        match self.reply_mode {
            ReplyMode::On => false,
            ReplyMode::Off => true,
            ReplyMode::Skip => {
                self.reply_mode = ReplyMode::On;
                true
            }
            ReplyMode::SkipNext => {
                self.reply_mode = ReplyMode::Skip;
                true
            }
        }
    }

    /// Resets the connection to its initial state, as `RESET` does. The user is reset as well.
    pub(crate) fn reset(&mut self) {
        self.end_subscriptions();
        self.transaction = None;
        self.info.queued.store(-1, Ordering::Relaxed);
        self.watched.lock().clear();
        self.reply_mode = ReplyMode::On;
        self.set_protocol(Protocol::Resp2);
        let _ = self.select(0);
        self.info.names.lock().name.clear();
        self.set_trust(self.server.settings.passwords.trust_without_password());
    }

    fn end_subscriptions(&mut self) {
        self.topics.clear();
        self.patterns.clear();
        self.count_subscriptions();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.server.remove_client(self.info.id);
    }
}
