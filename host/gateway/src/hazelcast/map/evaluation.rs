//! Evaluation of queries on entries. Schemas of compact records that this member does not know are
//! read from the cluster first.

use std::cell::Cell;
use std::collections::HashSet;

use convoke_grid::Event;
use convoke_hazelcast::data::Data;
use convoke_hazelcast::query::{Entry, Error, Predicate, Types};

use super::super::errors::Failure;
use super::super::server::Server;
use super::Format;

/// Number of bytes of keys and values after which other requests are served.
const YIELD_BYTES: usize = 64 << 10;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Evaluates queries; see the [module](self).
pub(super) struct Evaluator<'s> {
    server: &'s Server,
    /// Ids of schemas that do not exist.
    missing: HashSet<i64>,
    /// Bytes that were evaluated since other requests were served.
    unyielded: usize,
}

/// The result of `work`, or the id of a schema that is to be read first.
fn attempt<R>(
    server: &Server,
    missing: &HashSet<i64>,
    (key, value): (Data<'_>, Data<'_>),
    work: impl FnOnce(&Entry<'_>) -> Result<R, Error>,
) -> Result<Result<R, Error>, i64> {
    let unknown = Cell::new(None);
    let layouts = |id| {
        let known = server.schemas.known(id);
        if known.is_none() && !missing.contains(&id) {
            unknown.set(Some(id));
        }
        known.flatten()
    };
    let result = work(&Entry { key, value, layouts: &layouts });
    match unknown.get() {
        Some(id) => Err(id),
        None => Ok(result),
    }
}

impl<'s> Evaluator<'s> {
    pub(super) fn new(server: &'s Server) -> Self {
        Self { server, missing: HashSet::new(), unyielded: 0 }
    }

    /// Calls `work` with an entry, again whenever a schema was missing.
    pub(super) async fn evaluate<R>(
        &mut self,
        (key, value): (Data<'_>, Data<'_>),
        mut work: impl FnMut(&Entry<'_>) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        self.unyielded += key.bytes().len() + value.bytes().len();
        if self.unyielded >= YIELD_BYTES {
            self.unyielded = 0;
            tokio::task::yield_now().await;
        }
        loop {
            match attempt(self.server, &self.missing, (key, value), &mut work) {
                Ok(result) => return Ok(result?),
                Err(id) => self.load(id).await?,
            }
        }
    }

    /// Reads a schema.
    async fn load(&mut self, id: i64) -> Result<(), Failure> {
        if !self.server.load_schema(id).await? {
            self.missing.insert(id);
        }
        Ok(())
    }

    /// As [`event_matches`], also if a schema has to be read.
    pub(super) async fn event_matches(
        &mut self,
        format: Format,
        predicate: &Predicate,
        event: &Event,
    ) -> bool {
        loop {
            match try_event(self.server, &self.missing, format, predicate, event) {
                Ok(matches) => return matches,
                Err(id) => {
                    if self.load(id).await.is_err() {
                        return false;
                    }
                }
            }
        }
    }
}

/// Whether a predicate matches the new value of an event, or the old one if the entry is gone. An
/// event whose value cannot be evaluated does not match. `None` if a schema has to be read first.
pub(super) fn event_matches(
    server: &Server,
    format: Format,
    predicate: &Predicate,
    event: &Event,
) -> Option<bool> {
    try_event(server, &HashSet::new(), format, predicate, event).ok()
}

fn try_event(
    server: &Server,
    missing: &HashSet<i64>,
    format: Format,
    predicate: &Predicate,
    event: &Event,
) -> Result<bool, i64> {
    let Some(key) = format.client_key(&event.key) else { return Ok(false) };
    let value = event.value.as_ref().or(event.old_value.as_ref());
    let value = value.map(|value| format.client_value(value));
    let blobs = Data::new(&key).zip(value.as_ref().and_then(|value| Data::new(value)));
    let Some(blobs) = blobs else { return Ok(false) };
    // Other events may be of entries of another type.
    attempt(server, missing, blobs, |entry| predicate.matches_among(entry, &mut Types::default()))
        .map(|result| result.unwrap_or(false))
}
