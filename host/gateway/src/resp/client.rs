//! The state of one client connection: user, database, transaction, subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use convoke_grid::op::{Effect, Op};
use convoke_grid::{ClientTraits, Map, OpError, Origin, Version};
use parking_lot::Mutex;

use super::answer::Answer;
use super::client_info::ClientInfo;
use super::encode::Protocol;
use super::request::OwnedRequest;
use super::script_cache::RecentScript;
use super::server::Server;
use super::stats::InProgress;
use super::tracking::Mode;
use crate::output_buffer::{MessageKind, OutputBuffer};
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

/// The kinds of subscriptions, each with names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// A channel.
    Named,
    /// All channels that match a pattern.
    Pattern,
    /// A shard channel.
    Shard,
}

/// What `CLIENT TRACKING` has turned on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientTracking {
    pub(crate) mode: Mode,
    pub(crate) noloop: bool,
    /// `CLIENT CACHING` was called for the next command.
    pub(crate) is_chosen: bool,
}

impl ClientTracking {
    /// Whether what the client reads now is to be noted.
    pub(crate) fn notes_reads(self) -> bool {
        match self.mode {
            Mode::Read => true,
            Mode::OptIn => self.is_chosen,
            Mode::OptOut => !self.is_chosen,
            Mode::Broadcast => false,
        }
    }
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
    pub(crate) tracking: Option<ClientTracking>,
    /// Whether its reads do not count as uses of keys.
    pub(crate) no_touch: bool,
    /// The lane of its connection, for statistics.
    pub(crate) lane: usize,
    /// The command that was just started, if it has no reply yet.
    pub(crate) in_progress: Option<InProgress>,
    /// When the current turn of its connection began. Commands that wait for other members are
    /// timed with it: the clock is then read once a turn.
    pub(crate) turn_started: Instant,
    pub(crate) recent_script: Option<RecentScript>,
    topics: BTreeMap<Bytes, Subscription>,
    patterns: BTreeMap<Bytes, Subscription>,
    shard_topics: BTreeMap<Bytes, Subscription>,
}

impl Client {
    /// `None` if the map of database 0 cannot be opened.
    pub(crate) fn new(server: &Arc<Server>, info: Arc<ClientInfo>) -> Option<Self> {
        let trust = server.settings.passwords.trust_without_password();
        let mut client = Self {
            map: server.database(0).ok()?,
            server: Arc::clone(server),
            output_buffer: Arc::clone(&info.output_buffer),
            info,
            protocol: Protocol::default(),
            trust: Trust::Unauthenticated,
            database: 0,
            transaction: None,
            watched: Arc::default(),
            reply_mode: ReplyMode::On,
            tracking: None,
            no_touch: false,
            lane: 0,
            in_progress: None,
            turn_started: Instant::now(),
            recent_script: None,
            topics: BTreeMap::new(),
            patterns: BTreeMap::new(),
            shard_topics: BTreeMap::new(),
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

    /// Sets whether its reads do not count as uses of keys.
    pub(crate) fn set_no_touch(&mut self, is_on: bool) {
        self.no_touch = is_on;
        self.info.no_touch.store(is_on, Ordering::Relaxed);
    }

    /// Size of the commands queued until `EXEC`, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.bytes)
    }

    /// Number of channels, patterns and shard channels that the client is subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.topics.len() + self.patterns.len() + self.shard_topics.len()
    }

    /// The number of subscriptions that a confirmation reports: shard channels are counted apart.
    pub(crate) fn subscriptions_like(&self, channel: Channel) -> usize {
        match channel {
            Channel::Named | Channel::Pattern => self.topics.len() + self.patterns.len(),
            Channel::Shard => self.shard_topics.len(),
        }
    }

    fn of(&self, channel: Channel) -> &BTreeMap<Bytes, Subscription> {
        match channel {
            Channel::Named => &self.topics,
            Channel::Pattern => &self.patterns,
            Channel::Shard => &self.shard_topics,
        }
    }

    fn of_mut(&mut self, channel: Channel) -> &mut BTreeMap<Bytes, Subscription> {
        match channel {
            Channel::Named => &mut self.topics,
            Channel::Pattern => &mut self.patterns,
            Channel::Shard => &mut self.shard_topics,
        }
    }

    /// The channels, patterns or shard channels that the client is subscribed to.
    pub(crate) fn all(&self, channel: Channel) -> Vec<Bytes> {
        self.of(channel).keys().cloned().collect()
    }

    pub(crate) fn subscribe(&mut self, topic: &[u8], channel: Channel) {
        if self.of(channel).contains_key(topic) {
            return;
        }
        let topic = Bytes::copy_from_slice(topic);
        let output_buffer = Arc::clone(&self.output_buffer) as _;
        let pubsub = &self.server.pubsub;
        let subscription = match channel {
            Channel::Shard => pubsub.subscribe_shard(&topic, output_buffer),
            Channel::Named => pubsub.subscribe(&topic, false, output_buffer),
            Channel::Pattern => pubsub.subscribe(&topic, true, output_buffer),
        };
        self.of_mut(channel).insert(topic, subscription);
        self.count_subscriptions();
        self.info.receives_messages();
    }

    pub(crate) fn unsubscribe(&mut self, topic: &[u8], channel: Channel) {
        if self.of_mut(channel).remove(topic).is_some() {
            self.count_subscriptions();
        }
    }

    fn count_subscriptions(&self) {
        self.info.topics.store(self.topics.len(), Ordering::Relaxed);
        self.info.patterns.store(self.patterns.len(), Ordering::Relaxed);
        self.info.shard_topics.store(self.shard_topics.len(), Ordering::Relaxed);
    }

    /// What the client asks of its operations.
    pub(crate) fn traits(&self) -> ClientTraits {
        let is_named = self.tracking.is_some_and(|tracking| tracking.noloop);
        let (member, client) = (self.server.grid.me(), self.info.id);
        ClientTraits {
            origin: is_named.then_some(Origin { member, client }),
            no_touch: self.no_touch,
        }
    }

    /// Counts a command that was in progress, and notes it if it was slow.
    pub(crate) fn note_completed(&self, command: &InProgress, answer: &Answer) {
        let stats = &self.server.stats;
        let elapsed = self.turn_started.saturating_duration_since(command.started);
        let time = (!command.is_blocking).then_some(elapsed);
        let ended = stats.note_answer(answer);
        stats.count(self.lane, command.command, time.map(|time| (time, 1)), ended);
        if let Some(time) = time.filter(|time| stats.slow_log.is_slow(time)) {
            self.note_slow(command.is_fast, time, command.arguments.shown());
        }
    }

    /// Notes a command that took long.
    pub(crate) fn note_slow(&self, is_fast: bool, time: Duration, arguments: Vec<Vec<u8>>) {
        let class = if is_fast { "fast-command" } else { "command" };
        self.server.stats.slow_log.note(class, time, arguments, || {
            (self.info.peer.to_string(), self.info.names.lock().name.clone())
        });
    }

    /// Ends client-side caching.
    pub(crate) fn end_tracking(&mut self) {
        if self.tracking.take().is_some() {
            self.server.tracking.disable(self.info.id);
            *self.info.tracking.lock() = None;
            self.info.has_lost_redirection.store(false, Ordering::Relaxed);
        }
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
        self.end_tracking();
        *self.info.maintenance.lock() = None;
        self.server.monitors.remove(&self.info);
        // Nothing of it follows the reply: a client takes what does for the reply to its next command.
        self.info.output_buffer.discard(MessageKind::Line);
        self.transaction = None;
        self.info.queued.store(-1, Ordering::Relaxed);
        self.watched.lock().clear();
        self.info.watched.store(0, Ordering::Relaxed);
        self.reply_mode = ReplyMode::On;
        self.set_no_touch(false);
        self.set_protocol(Protocol::Resp2);
        let _ = self.select(0);
        self.info.names.lock().name.clear();
        self.set_trust(self.server.settings.passwords.trust_without_password());
    }

    fn end_subscriptions(&mut self) {
        self.topics.clear();
        self.patterns.clear();
        self.shard_topics.clear();
        self.count_subscriptions();
    }
}

/// The operation with what the client asks of it, as far as that concerns it. An origin is named only
/// if the operation may change something.
pub(crate) fn with_traits(op: Op<'_>, mut client: ClientTraits) -> Op<'_> {
    if client.origin.is_some() && op.effect() == Effect::Reads {
        client.origin = None;
    }
    if client == ClientTraits::default() { op } else { Op::From { client, op: Box::new(op) } }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.info.set_gone();
        self.end_tracking();
        self.server.monitors.remove(&self.info);
        self.server.remove_client(self.info.id);
    }
}
