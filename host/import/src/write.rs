//! Writes keys into the cluster.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Requests, SMALL_REPLY_BYTES_MAX, text_of};
use crate::copy::{Batch, Item, Refusals};
use crate::counts::{Counts, name_of};
use crate::options::Existing;
use crate::reply::Value;
use crate::retry::{Backoff, Stop};
use crate::source::{Source, time_to_live};
use crate::target::{Target, Unanswered, unanswered};
use crate::trouble::Trouble;
use crate::value::reader::{Reader, Unread};
use crate::value::{Piece, Store, writer};

/// Lifetime of a value that is being written in pieces under another name, in milliseconds: it
/// vanishes if the import does not continue. Each piece renews it.
const PARTIAL_MS: u64 = 3_600_000;
/// How often a value is copied that changes meanwhile.
const ATTEMPTS_MAX: u32 = 3;

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Copied {
        expires: bool,
    },
    /// It existed already.
    Kept,
    /// It does not exist in the source any more.
    Gone,
    Failed(String),
}

/// The answer to `RESTORE`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Restored {
    Done,
    Exists,
    /// The cluster does not know this form of the value.
    Refused,
    Unanswered(Unanswered),
    Failed(String),
}

fn restored(reply: &Value) -> Restored {
    if let Some(unanswered) = unanswered(reply) {
        return Restored::Unanswered(unanswered);
    }
    let Some(text) = reply.error() else { return Restored::Done };
    match reply.code() {
        Some("BUSYKEY") => Restored::Exists,
        _ if text.contains("Bad data format") || text.contains("payload version") => {
            Restored::Refused
        }
        _ => Restored::Failed(text_of(reply)),
    }
}

/// Errors that every further write would have as well.
fn check_room(reply: &Value) -> Result<(), Trouble> {
    match reply.code() {
        Some("OOM") => Err(Trouble::Final(format!(
            "the cluster has no room for further keys ({}); raise memory-mib of the map, add \
             members, or allow eviction",
            text_of(reply)
        ))),
        Some("NOPERM" | "READONLY" | "NOAUTH") => {
            Err(Trouble::Final(format!("the cluster refuses writes: {}", text_of(reply))))
        }
        _ => Ok(()),
    }
}

/// The time that is left until a deadline, in milliseconds; `None` if it has passed.
fn left_ms(deadline: Instant) -> Option<u64> {
    let left = deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis()).ok().filter(|ms| *ms > 0)
}

/// Writes the keys of one server.
#[derive(Debug)]
pub(crate) struct Writer<'t> {
    pub(crate) target: &'t mut Target,
    /// A connection for values that are copied in pieces.
    pub(crate) source: Source,
    pub(crate) existing: Existing,
    pub(crate) refusals: Refusals,
    pub(crate) stop: Stop,
    /// Part of the names under which values are written in pieces; another one in each run.
    pub(crate) word: String,
}

impl Writer<'_> {
    /// Writes a batch of keys of a database.
    pub(crate) async fn write(
        &mut self,
        database: u16,
        batch: Batch,
        counts: &mut Counts,
    ) -> Result<(), Trouble> {
        self.target.select(database);
        counts.gone += batch.gone;
        let (whole, mut in_pieces): (Vec<Item>, Vec<Item>) =
            batch.items.into_iter().partition(|item| item.payload.is_some());
        in_pieces.extend(self.restore(database, whole, counts).await?);
        for item in in_pieces {
            self.stop.check()?;
            match self.copy_in_pieces(database, &item, counts).await? {
                Written::Copied { expires } => counts.add_copied(&item.kind, expires),
                Written::Kept => counts.kept += 1,
                Written::Gone => counts.gone += 1,
                Written::Failed(why) => counts.add_failed(database, &item.key, &why),
            }
        }
        Ok(())
    }

    /// Writes whole values. Returns those that the cluster cannot read.
    async fn restore(
        &mut self,
        database: u16,
        items: Vec<Item>,
        counts: &mut Counts,
    ) -> Result<Vec<Item>, Trouble> {
        let mut refused = Vec::new();
        // Each with whether an attempt has an unknown outcome.
        let mut left: Vec<(Item, bool)> = items.into_iter().map(|item| (item, false)).collect();
        let mut backoff = Backoff::new(&self.stop);
        while !left.is_empty() {
            let now_gone =
                |(item, _): &(Item, bool)| item.deadline.is_some_and(|at| left_ms(at).is_none());
            let before = left.len();
            left.retain(|one| !now_gone(one));
            counts.gone += (before - left.len()) as u64;
            let requests: Vec<(&[u8], Requests)> =
                left.iter().map(|(item, _)| (&*item.key, self.restore_request(item))).collect();
            let replies = self.target.try_each(&requests, SMALL_REPLY_BYTES_MAX).await?;
            drop(requests);
            let (mut again, mut why) = (Vec::new(), String::new());
            let attempted = left.len();
            for ((item, is_unknown), replies) in std::mem::take(&mut left).into_iter().zip(replies)
            {
                let reply = replies.into_iter().next().unwrap_or(Value::Nil);
                check_room(&reply)?;
                match restored(&reply) {
                    Restored::Done => {
                        self.refusals.note(&item.kind, false);
                        counts.add_copied(&item.kind, item.deadline.is_some());
                    }
                    // Most likely by the attempt before.
                    Restored::Exists if is_unknown => {
                        counts.add_copied(&item.kind, item.deadline.is_some());
                    }
                    Restored::Exists => counts.kept += 1,
                    Restored::Refused => {
                        self.refusals.note(&item.kind, true);
                        refused.push(item);
                    }
                    Restored::Unanswered(unanswered) => {
                        why = text_of(&reply);
                        again.push((item, is_unknown || unanswered == Unanswered::Unknown));
                    }
                    Restored::Failed(why) => counts.add_failed(database, &item.key, &why),
                }
            }
            left = again;
            if left.len() < attempted {
                backoff.reset();
            }
            if !left.is_empty() {
                backoff.wait(&format!("the cluster does not accept writes: {why}")).await?;
            }
        }
        Ok(refused)
    }

    fn restore_request(&self, item: &Item) -> Requests {
        let ttl_ms = item.deadline.and_then(left_ms).unwrap_or(0).to_string();
        let payload = item.payload.as_deref().unwrap_or_default();
        let mut words: Vec<&[u8]> = vec![b"RESTORE", &item.key, ttl_ms.as_bytes(), payload];
        if self.existing == Existing::Replace {
            words.push(b"REPLACE");
        }
        let mut request = Requests::default();
        request.push(&words);
        request
    }

    /// Copies a value piece by piece under another name, which is renamed to the key at the end.
    async fn copy_in_pieces(
        &mut self,
        database: u16,
        item: &Item,
        counts: &mut Counts,
    ) -> Result<Written, Trouble> {
        let mut backoff = Backoff::new(&self.stop);
        let mut attempts = 1;
        loop {
            let is_last = attempts == ATTEMPTS_MAX;
            match self.attempt(database, item, is_last, counts).await {
                Ok(Some(written)) => return Ok(written),
                // It has changed meanwhile.
                Ok(None) => attempts += 1,
                Err(Unread::Gone) => return Ok(Written::Gone),
                Err(Unread::Failed(why)) => return Ok(Written::Failed(why)),
                Err(Unread::Trouble(Trouble::Lost(why))) => backoff.wait(&why).await?,
                Err(Unread::Trouble(trouble)) => return Err(trouble),
            }
        }
    }

    /// Copies a value once. Returns `None` if it has changed meanwhile, unless this is the last
    /// attempt.
    async fn attempt(
        &mut self,
        database: u16,
        item: &Item,
        is_last: bool,
        counts: &mut Counts,
    ) -> Result<Option<Written>, Unread> {
        self.source.select(database).await?;
        let (key, kind) = (&*item.key, &item.kind);
        if self.existing != Existing::Replace {
            let exists =
                self.target.call(key, [&b"EXISTS"[..], key], SMALL_REPLY_BYTES_MAX).await?;
            if exists.integer() == Some(1) {
                return Ok(Some(Written::Kept));
            }
        }
        // Servers that cannot watch keys return an error, and changes are not noticed.
        self.source.call(key, [&b"WATCH"[..], key], SMALL_REPLY_BYTES_MAX).await?;
        let partial = Target::name_beside(key, &self.word);
        self.send(&partial, &Requests::from([&b"DEL"[..], &partial])).await?;
        let (mut reader, mut pending_lost) = (Reader::new(key, kind), 0);
        let (mut is_empty, mut has_pieces) = (true, false);
        while let Some(piece) = reader.next(&mut self.source).await? {
            self.stop.check()?;
            has_pieces = true;
            let mut requests = match &piece {
                Piece::StreamEnd(_) if is_empty => writer::empty_stream(&partial),
                _ => Requests::default(),
            };
            is_empty &= !matches!(piece, Piece::Entries(_));
            requests.append(&writer::requests(&partial, &piece));
            requests.push(&[&b"PEXPIRE"[..], &partial, PARTIAL_MS.to_string().as_bytes()]);
            let replies = match self.send(&partial, &requests).await {
                Err(Unread::Failed(why)) => {
                    self.send(&partial, &Requests::from([&b"DEL"[..], &partial])).await?;
                    return Err(Unread::Failed(why));
                }
                other => other?,
            };
            if matches!(piece, Piece::Pending(..)) {
                let is_none = |reply: &&Value| **reply == Value::List(Vec::new());
                pending_lost += replies.iter().filter(is_none).count() as u64;
            }
        }
        if !has_pieces {
            return Err(Unread::Gone);
        }
        let mut requests = Requests::from([&b"MULTI"[..]]);
        requests.push(&[&b"PTTL"[..], key]);
        requests.push(&[b"EXEC"]);
        let replies = self.source.call_all(&requests, SMALL_REPLY_BYTES_MAX).await?;
        let has_changed = replies.last() == Some(&Value::Nil);
        if has_changed && !is_last {
            return Ok(None);
        }
        let ttl = self.source.call(key, [&b"PTTL"[..], key], SMALL_REPLY_BYTES_MAX).await?;
        let Ok(ttl) = time_to_live(&ttl) else { return Err(Unread::Gone) };
        let written = self.finish(key, &partial, ttl).await?;
        if matches!(written, Written::Copied { .. }) {
            counts.pending_lost += pending_lost;
            if has_changed {
                counts.changed.add(|| name_of(database, key));
            }
        }
        Ok(Some(written))
    }

    /// Gives a value its lifetime and its name.
    async fn finish(
        &mut self,
        key: &[u8],
        partial: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Written, Unread> {
        let ttl_ms = ttl.map(|ttl| ttl.as_millis().max(1).to_string());
        let mut requests = match &ttl_ms {
            Some(ms) => Requests::from([b"PEXPIRE", partial, ms.as_bytes()]),
            None => Requests::from([&b"PERSIST"[..], partial]),
        };
        let rename: &[u8] = match self.existing {
            Existing::Replace => b"RENAME",
            Existing::Skip | Existing::Fail => b"RENAMENX",
        };
        requests.push(&[rename, partial, key]);
        let replies = self.send(partial, &requests).await?;
        if replies.last() == Some(&Value::Integer(0)) {
            self.send(partial, &Requests::from([&b"DEL"[..], partial])).await?;
            return Ok(Written::Kept);
        }
        Ok(Written::Copied { expires: ttl.is_some() })
    }

    /// Sends requests for a key, all of which have to succeed.
    async fn send(&mut self, key: &[u8], requests: &Requests) -> Result<Vec<Value>, Unread> {
        let replies =
            self.target.call_each(&[(key, requests.clone())], SMALL_REPLY_BYTES_MAX).await?;
        let replies: Vec<Value> = replies.into_iter().flatten().collect();
        for reply in &replies {
            check_room(reply)?;
            if reply.error().is_some() {
                return Err(Unread::Failed(text_of(reply)));
            }
        }
        Ok(replies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_to_restore_are_recognized() {
        let of = |text: &str| restored(&Value::Error(text.to_owned()));
        assert_eq!(restored(&Value::Simple("OK".to_owned())), Restored::Done);
        assert_eq!(of("BUSYKEY Target key name already exists."), Restored::Exists);
        assert_eq!(of("ERR Bad data format"), Restored::Refused);
        assert_eq!(of("ERR DUMP payload version or checksum are wrong"), Restored::Refused);
        assert_eq!(of("INDETERMINATE lost"), Restored::Unanswered(Unanswered::Unknown));
        assert_eq!(of("TRYAGAIN busy"), Restored::Unanswered(Unanswered::Refused));
        assert!(matches!(of("ERR key is too long"), Restored::Failed(_)));
        assert!(check_room(&Value::Error("OOM full".to_owned())).is_err());
        assert!(check_room(&Value::Error("NOPERM no".to_owned())).is_err());
        assert!(check_room(&Value::Error("ERR other".to_owned())).is_ok());
    }
}
