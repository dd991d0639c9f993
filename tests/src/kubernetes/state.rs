//! The state of the server: versioned objects, their history, accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

/// How the server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behavior {
    /// According to its objects.
    #[default]
    Normal,
    /// No response.
    Silent,
    /// An HTML page.
    Garbage,
    /// Half of each list, then the connection is closed.
    CloseMidBody,
    /// 503 to every request.
    Unavailable,
}

/// The state, with a notification for watches.
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// The newest version.
    pub(super) changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) behavior: Behavior,
    pub(super) account: String,
    pub(super) token: String,
    tokens: u32,
    pub(super) version: u64,
    /// Events before this version are compacted.
    pub(super) oldest: u64,
    /// By resource and name.
    pub(super) objects: BTreeMap<(String, String), Value>,
    /// Version, resource, event.
    pub(super) history: Vec<(u64, String, Value)>,
    denied: BTreeSet<(String, String)>,
    requests: BTreeMap<String, usize>,
}

impl State {
    pub(super) fn new(account: &str) -> Self {
        let inner = Inner {
            behavior: Behavior::Normal,
            account: account.to_owned(),
            token: token(account, 0),
            tokens: 0,
            version: 1,
            oldest: 1,
            objects: BTreeMap::new(),
            history: Vec::new(),
            denied: BTreeSet::new(),
            requests: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(1) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn token(&self) -> String {
        self.lock().token.clone()
    }

    pub(super) fn rotate(&self) {
        let mut inner = self.lock();
        inner.tokens += 1;
        inner.token = token(&inner.account, inner.tokens);
    }

    pub(super) fn set_behavior(&self, behavior: Behavior) {
        self.lock().behavior = behavior;
    }

    pub(super) fn deny(&self, verb: &str, resource: &str, denied: bool) {
        let rule = (verb.to_owned(), resource.to_owned());
        let mut inner = self.lock();
        if denied {
            inner.denied.insert(rule);
        } else {
            inner.denied.remove(&rule);
        }
    }

    pub(super) fn compact(&self) {
        let mut inner = self.lock();
        inner.version += 1;
        inner.oldest = inner.version;
        inner.history.clear();
        self.changed.send_replace(inner.version);
    }

    pub(super) fn put(&self, mut object: Value) {
        let resource = if object["kind"] == "Pod" { "pods" } else { "endpointslices" };
        let name = object["metadata"]["name"].as_str().expect("objects have names").to_owned();
        let mut inner = self.lock();
        inner.version += 1;
        object["metadata"]["resourceVersion"] = inner.version.to_string().into();
        let key = (resource.to_owned(), name);
        let kind = if inner.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        inner.record_event(resource, kind, &object);
        inner.objects.insert(key, object);
        self.changed.send_replace(inner.version);
    }

    pub(super) fn remove(&self, resource: &str, name: &str) {
        let mut inner = self.lock();
        let key = (resource.to_owned(), name.to_owned());
        let Some(mut object) = inner.objects.remove(&key) else { return };
        inner.version += 1;
        object["metadata"]["resourceVersion"] = inner.version.to_string().into();
        inner.record_event(resource, "DELETED", &object);
        self.changed.send_replace(inner.version);
    }

    pub(super) fn requests(&self, verb: &str) -> usize {
        self.lock().requests.get(verb).copied().unwrap_or(0)
    }
}

impl Inner {
    fn record_event(&mut self, resource: &str, kind: &str, object: &Value) {
        let event = json!({ "type": kind, "object": object });
        self.history.push((self.version, resource.to_owned(), event));
    }

    pub(super) fn is_denied(&self, verb: &str, resource: &str) -> bool {
        self.denied.contains(&(verb.to_owned(), resource.to_owned()))
    }

    pub(super) fn count(&mut self, verb: &str) {
        *self.requests.entry(verb.to_owned()).or_default() += 1;
    }
}

/// A token like those of service accounts: a JWT whose second part has the account. The claims are
/// padded to a multiple of three bytes and encoded in base64url.
fn token(account: &str, number: u32) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut claims = json!({ "sub": account, "jti": number }).to_string();
    while !claims.len().is_multiple_of(3) {
        claims.push(' ');
    }
    let encoded = claims.as_bytes().chunks(3).flat_map(|three| {
        let bits = three.iter().fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
    });
    format!("e30.{}.c2ln", encoded.collect::<String>())
}
