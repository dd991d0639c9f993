//! Client-side caching: which keys the clients of this member have read, and the messages that they
//! get when a key changes.
//!
//! A key is noted before its read is started, and the members that change keys report each change
//! (see [`convoke_grid::tracking`]). So a change after a read always finds the key noted. Messages are
//! placed behind the replies of commands in progress, which may have been executed before the change.
//! What a script reads is known only when it is done, maybe on another member: meanwhile changes are
//! recorded in a [`ReadWindow`].
//! Whenever a change may have been missed, clients are notified that any key may have changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use convoke_grid::{Change, Grid, Later, Tracker};
use parking_lot::Mutex;

use super::client_info::ClientInfo;
use super::encode::{Encoder, Protocol};
use super::read_keys::ReadKeys;
use crate::databases::{DATABASES, map_name};
use crate::output_buffer::{MessageKind, OutboundMessage};

/// Maximum number of keys that are noted, as `tracking-table-max-keys` in Redis. Beyond it, keys
/// are reported as changed and forgotten.
pub(crate) const TRACKED_KEYS_MAX: usize = 1_000_000;
/// Maximum size of the notes, in bytes.
pub(crate) const TRACKED_BYTES_MAX: usize = 256 << 20;
/// Maximum number of prefixes of one client.
pub(crate) const PREFIXES_MAX: usize = 1_024;
/// Estimated size of the note of a key without its name, in bytes.
const NOTE_BYTES: usize = 96;
/// Size of the note that a client has read a key, in bytes.
const READER_BYTES: usize = 8;
/// Maximum number of keys in one message of the broadcast mode.
const BROADCAST_KEYS_MAX: usize = 10_000;
/// Maximum size of the changes recorded while a script runs, in bytes. Beyond it, all keys that it
/// read are reported as changed.
const WINDOW_BYTES_MAX: usize = 1 << 20;
/// How long the removal of all keys of a partition is held back, in milliseconds, so that `FLUSHALL`
/// leads to one message.
const FLUSH_MS: u64 = 10;

/// Which keys a client is notified about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those that it read.
    Read,
    /// Those that it read with a command after `CLIENT CACHING YES`.
    OptIn,
    /// Those that it read, except with a command after `CLIENT CACHING NO`.
    OptOut,
    /// All keys that begin with one of its prefixes, or all.
    Broadcast,
}

/// What `CLIENT TRACKING ON` asks for.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Changes that the client itself makes are not reported to it.
    pub(crate) noloop: bool,
    /// The client that gets the messages instead.
    pub(crate) redirect: Option<Arc<ClientInfo>>,
    /// For [`Mode::Broadcast`]; added to those that the client has, and kept in order.
    pub(crate) prefixes: Vec<Bytes>,
}

/// A client for which keys are tracked.
struct Tracked {
    info: Arc<ClientInfo>,
    options: Options,
}

/// The clients that have read a key: their numbers, ascending.
type Readers = Vec<u64>;

/// A key that has changed, and the client of this member that changed it, if it is known.
type Changed<'a> = (&'a Bytes, Option<u64>);

/// The keys that have changed while a script runs.
struct Window {
    /// The client that runs it.
    client: u64,
    changed: BTreeSet<Bytes>,
    bytes: usize,
    /// Any key may have changed.
    is_any: bool,
}

impl Window {
    fn note_change(&mut self, key: &Bytes) {
        if self.is_any || self.changed.contains(key) {
            return;
        }
        self.bytes += NOTE_BYTES + key.len();
        if self.bytes > WINDOW_BYTES_MAX {
            self.note_any();
        } else {
            self.changed.insert(key.clone());
        }
    }

    fn note_any(&mut self) {
        (self.is_any, self.bytes, self.changed) = (true, 0, BTreeSet::new());
    }
}

#[derive(Default)]
struct State {
    keys: BTreeMap<Bytes, Readers>,
    bytes: usize,
    items: usize,
    clients: HashMap<u64, Tracked>,
    /// Clients in broadcast mode.
    broadcasts: Vec<u64>,
    /// The last key that was forgotten for lack of room: the next one follows it.
    forgotten: Bytes,
    /// Scripts that run for clients that keep what they read.
    windows: HashMap<u64, Window>,
    last_window: u64,
}

/// Figures for `INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrackingFigures {
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    pub(crate) items: usize,
    pub(crate) prefixes: usize,
}

/// The tracking of one member; see the [module](self).
pub(crate) struct Tracking {
    grid: Grid,
    state: Mutex<State>,
    /// Whether this member follows the maps. Locked before `state`, and while the grid is called,
    /// whose locks are taken before `state` too.
    is_following: Mutex<bool>,
    /// All clients will be notified that any key may have changed.
    is_flushing: AtomicBool,
    /// Number of clients, for those that only want to know whether there is any.
    count: AtomicUsize,
    this: Weak<Self>,
}

impl Tracking {
    pub(crate) fn new(grid: Grid) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            grid,
            state: Mutex::default(),
            is_following: Mutex::new(false),
            is_flushing: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            this: Weak::clone(this),
        })
    }

    /// Begins to track for a client, or changes how. Completes once all members report changes.
    pub(crate) fn enable(&self, info: &Arc<ClientInfo>, mut options: Options) -> Later<()> {
        let mut is_following = self.is_following.lock();
        {
            let mut state = self.state.lock();
            if let Some(before) = state.clients.remove(&info.id) {
                let all = before.options.prefixes.into_iter().chain(options.prefixes);
                options.prefixes = all.collect();
            }
            options.prefixes.sort_unstable();
            options.prefixes.dedup();
            state.broadcasts.retain(|id| *id != info.id);
            if options.mode == Mode::Broadcast {
                state.broadcasts.push(info.id);
            }
            let to = options.redirect.as_ref().unwrap_or(info);
            to.receives_messages();
            // It may be notified that the other client has disconnected.
            info.receives_messages();
            state.clients.insert(info.id, Tracked { info: Arc::clone(info), options });
            self.count.store(state.clients.len(), Ordering::Relaxed);
        }
        if *is_following {
            return self.grid.announcements_received();
        }
        let Some(this) = self.this.upgrade() else { return Box::pin(std::future::ready(())) };
        *is_following = true;
        let maps: Vec<String> = (0..DATABASES).map(map_name).collect();
        self.grid.follow(&maps, this)
    }

    /// Ends tracking for a client.
    pub(crate) fn disable(&self, id: u64) {
        let mut is_following = self.is_following.lock();
        let is_last = {
            let mut state = self.state.lock();
            if state.clients.remove(&id).is_none() {
                return;
            }
            state.broadcasts.retain(|other| *other != id);
            self.count.store(state.clients.len(), Ordering::Relaxed);
            if state.clients.is_empty() {
                *state = State::default();
            }
            state.clients.is_empty()
        };
        if is_last && std::mem::take(&mut *is_following) {
            self.grid.unfollow();
        }
    }

    /// Notes that a client reads keys. Must be called before the read is started.
    pub(crate) fn note_reads<'k>(&self, id: u64, keys: impl IntoIterator<Item = &'k [u8]>) {
        let mut state = self.state.lock();
        if !state.clients.contains_key(&id) {
            return;
        }
        for key in keys {
            state.note_read(id, key);
        }
    }

    /// Records changes while a script runs for a client. Must be called before the script is started.
    pub(crate) fn begin_reads(self: &Arc<Self>, client: u64) -> ReadWindow {
        let mut state = self.state.lock();
        state.last_window += 1;
        let id = state.last_window;
        let window = Window { client, changed: BTreeSet::new(), bytes: 0, is_any: false };
        state.windows.insert(id, window);
        ReadWindow { tracking: Arc::clone(self), id }
    }

    /// The prefixes of a client.
    pub(crate) fn prefixes(&self, id: u64) -> Vec<Bytes> {
        let state = self.state.lock();
        state.clients.get(&id).map(|client| client.options.prefixes.clone()).unwrap_or_default()
    }

    pub(crate) fn figures(&self) -> TrackingFigures {
        if self.count.load(Ordering::Relaxed) == 0 {
            return TrackingFigures::default();
        }
        let state = self.state.lock();
        let mut prefixes: Vec<&Bytes> =
            state.clients.values().flat_map(|client| &client.options.prefixes).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        TrackingFigures {
            clients: state.clients.len(),
            keys: state.keys.len(),
            items: state.items,
            prefixes: prefixes.len(),
        }
    }

    /// Notifies all clients that any key may have changed.
    fn flush(&self) {
        let mut state = self.state.lock();
        state.forget_all();
        for client in state.clients.values() {
            client.notify(Notice::Any);
        }
    }

    /// As `flush` after a moment, together with what other partitions report until then.
    fn flush_soon(&self) {
        if self.is_flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.is_flushing.store(false, Ordering::Release);
            return self.flush();
        };
        let this = Weak::clone(&self.this);
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(FLUSH_MS)).await;
            if let Some(this) = this.upgrade() {
                // Reset first: what is reported from here on is not included.
                this.is_flushing.store(false, Ordering::Release);
                this.flush();
            }
        });
    }
}

impl Tracker for Tracking {
    fn handle_changes(&self, changes: &[Change]) {
        let mut is_cleared = false;
        {
            let mut state = self.state.lock();
            let mut changed: Vec<Changed<'_>> = Vec::new();
            for change in changes {
                let Some(key) = &change.key else {
                    is_cleared = true;
                    continue;
                };
                let here = change.origin.filter(|origin| origin.member == self.grid.me());
                let origin = here.map(|origin| origin.client);
                state.handle_change(key, origin);
                if !state.broadcasts.is_empty() {
                    changed.push((key, origin));
                }
            }
            if is_cleared {
                state.windows.values_mut().for_each(Window::note_any);
            }
            state.broadcast(&changed);
        }
        if is_cleared {
            self.flush_soon();
        }
    }

    fn handle_uncertain(&self) {
        let is_anything = {
            let mut state = self.state.lock();
            state.windows.values_mut().for_each(Window::note_any);
            !state.keys.is_empty() || !state.broadcasts.is_empty()
        };
        if is_anything {
            self.flush();
        }
    }
}

/// What a client is notified of.
#[derive(Clone)]
enum Notice {
    /// A key has changed.
    Key(Bytes),
    /// These keys have changed: their number, and their encoding.
    Keys(usize, Bytes),
    /// Any key may have changed.
    Any,
}

impl Notice {
    /// Notices of keys, each of bounded size.
    fn of_keys(keys: &BTreeSet<&Bytes>) -> Vec<Self> {
        let keys: Vec<&Bytes> = keys.iter().copied().collect();
        let encoded = |keys: &[&Bytes]| {
            let mut buffer = Vec::new();
            // Strings have one encoding in both protocols.
            let mut encoder = Encoder { buffer: &mut buffer, protocol: Protocol::Resp3 };
            keys.iter().for_each(|key| encoder.bulk(key));
            Self::Keys(keys.len(), buffer.into())
        };
        keys.chunks(BROADCAST_KEYS_MAX).map(encoded).collect()
    }

    fn message(self, is_redirected: bool) -> OutboundMessage {
        let (kind, payload) = match self {
            Self::Key(key) => (MessageKind::Invalidation { is_redirected }, key),
            Self::Keys(count, keys) => (MessageKind::Invalidations { is_redirected, count }, keys),
            Self::Any => (MessageKind::InvalidationOfAll { is_redirected }, Bytes::new()),
        };
        OutboundMessage { kind, payload, ..OutboundMessage::default() }
    }
}

impl Tracked {
    /// Notifies the client.
    fn notify(&self, notice: Notice) {
        let (to, message) = match self.options.redirect.as_ref() {
            Some(other) if other.is_gone() => {
                if self.info.has_lost_redirection.swap(true, Ordering::Relaxed) {
                    return;
                }
                let kind = MessageKind::RedirectionLost(other.id);
                (&self.info, OutboundMessage { kind, ..OutboundMessage::default() })
            }
            redirect => (redirect.unwrap_or(&self.info), notice.message(redirect.is_some())),
        };
        to.output_buffer.push(message);
    }

    /// Whether the client is not notified of a change that this client has made.
    fn is_spared(&self, origin: Option<u64>) -> bool {
        self.options.noloop && origin == Some(self.info.id)
    }
}

/// A script that runs for a client that keeps what it reads. The changes since it was started are
/// recorded until it is dropped.
pub(crate) struct ReadWindow {
    tracking: Arc<Tracking>,
    id: u64,
}

impl ReadWindow {
    /// Notes the keys that the script has read, and notifies the client of those that have changed
    /// meanwhile. Must be called before the reply is sent.
    pub(crate) fn end(self, keys: ReadKeys) {
        let mut state = self.tracking.state.lock();
        let Some(window) = state.windows.remove(&self.id) else { return };
        let Some(client) = state.clients.get(&window.client) else { return };
        if client.options.mode == Mode::Broadcast {
            return;
        }
        let Some(keys) = keys.into_keys() else {
            return client.notify(Notice::Any);
        };
        for key in keys {
            if !window.is_any && !window.changed.contains(&key) {
                state.note_read(window.client, &key);
            } else if let Some(client) = state.clients.get(&window.client) {
                client.notify(Notice::Key(key));
            }
        }
    }
}

impl Drop for ReadWindow {
    fn drop(&mut self) {
        self.tracking.state.lock().windows.remove(&self.id);
    }
}

impl State {
    fn note_read(&mut self, id: u64, key: &[u8]) {
        if key.len() > convoke_grid::KEY_BYTES_MAX {
            return;
        }
        if let Some(readers) = self.keys.get_mut(key) {
            if let Err(at) = readers.binary_search(&id) {
                readers.insert(at, id);
                self.bytes += READER_BYTES;
                self.items += 1;
            }
        } else {
            self.keys.insert(Bytes::copy_from_slice(key), vec![id]);
            self.bytes += NOTE_BYTES + READER_BYTES + key.len();
            self.items += 1;
        }
        while self.keys.len() > TRACKED_KEYS_MAX || self.bytes > TRACKED_BYTES_MAX {
            if !self.forget_one() {
                return;
            }
        }
    }

    /// Forgets a key, and what it takes. Returns its readers.
    fn take(&mut self, key: &[u8]) -> Readers {
        let readers = self.keys.remove(key).unwrap_or_default();
        if !readers.is_empty() {
            self.bytes -= NOTE_BYTES + key.len() + READER_BYTES * readers.len();
            self.items -= readers.len();
        }
        readers
    }

    /// Forgets one key for lack of room: its readers are notified that it has changed.
    fn forget_one(&mut self) -> bool {
        let after = (Bound::Excluded(self.forgotten.clone()), Bound::Unbounded);
        let next = self.keys.range(after).next().or_else(|| self.keys.first_key_value());
        let Some(key) = next.map(|(key, _)| key.clone()) else { return false };
        for id in self.take(&key) {
            if let Some(client) = self.clients.get(&id) {
                client.notify(Notice::Key(key.clone()));
            }
        }
        self.forgotten = key;
        true
    }

    fn forget_all(&mut self) {
        self.keys.clear();
        (self.bytes, self.items) = (0, 0);
    }

    /// A key has changed, because of client `origin` of this member if it is known: notifies the
    /// clients that have read it.
    fn handle_change(&mut self, key: &Bytes, origin: Option<u64>) {
        for window in self.windows.values_mut() {
            let client = self.clients.get(&window.client);
            if !client.is_some_and(|client| client.is_spared(origin)) {
                window.note_change(key);
            }
        }
        for id in self.take(key) {
            // A client that changed its mode since, or has disconnected, is not notified.
            let client = self.clients.get(&id);
            let client = client.filter(|client| client.options.mode != Mode::Broadcast);
            if let Some(client) = client.filter(|client| !client.is_spared(origin)) {
                client.notify(Notice::Key(key.clone()));
            }
        }
    }

    /// Notifies clients in broadcast mode of the keys that were changed together: in one message for
    /// each prefix.
    fn broadcast(&self, changed: &[Changed<'_>]) {
        if changed.is_empty() {
            return;
        }
        // Clients that have a prefix in common get the same messages.
        let mut shared: HashMap<&Bytes, Vec<Notice>> = HashMap::new();
        let with_prefix = |prefix: &Bytes, client: Option<&Tracked>| {
            let keys = changed.iter().filter(|(key, origin)| {
                key.starts_with(prefix) && !client.is_some_and(|client| client.is_spared(*origin))
            });
            Notice::of_keys(&keys.map(|(key, _)| *key).collect())
        };
        for client in self.broadcasts.iter().filter_map(|id| self.clients.get(id)) {
            let has_own = changed.iter().any(|(_, origin)| client.is_spared(*origin));
            for prefix in &client.options.prefixes {
                let own = has_own.then(|| with_prefix(prefix, Some(client)));
                let notices = match &own {
                    Some(own) => own,
                    None => shared.entry(prefix).or_insert_with(|| with_prefix(prefix, None)),
                };
                notices.iter().for_each(|notice| client.notify(notice.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
