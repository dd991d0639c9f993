//! Iteration over all entries of a map, in parts: requests of other clients are executed between
//! them, and memory is limited.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use convoke_grid::op::{Op, SeveralOp};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::data::Data;
use tokio::sync::SemaphorePermit;

use super::super::errors::Failure;
use super::super::server::Server;
use super::super::settings::{INVOCATION_MS_MAX, RESULT_BYTES_MAX};
use super::super::whole::{SCAN_KEYS, scan};
use super::Format;
use crate::ledger::Account;

/// If values that were read at once are longer, fewer are read the next time, in bytes.
const PART_BYTES: usize = 1 << 20;
/// Number of bytes by which a result grows before it is counted again.
const COUNTED_BYTES: usize = 64 << 10;

/// An entry: the blob of its key, and its value.
pub(super) type Entry = (Vec<u8>, Bytes);

/// Key and value of an entry.
pub(super) fn blobs(entry: &Entry) -> Option<(Data<'_>, Data<'_>)> {
    Some((Data::new(&entry.0)?, Data::new(&entry.1)?))
}

/// The bytes of a result, which are limited, and count as memory that is held for clients.
pub(super) struct Budget<'s> {
    server: &'s Server,
    bytes: usize,
    counted: usize,
    account: Account,
    /// Limits the number of requests whose results are collected at the same time.
    _permit: SemaphorePermit<'s>,
}

impl<'s> Budget<'s> {
    /// Waits until a result may be collected.
    pub(super) async fn begin(server: &'s Server) -> Result<Self, Failure> {
        let wait = Duration::from_millis(INVOCATION_MS_MAX);
        let permit = tokio::time::timeout(wait, server.collecting.acquire()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Failure::try_again("too many other requests read many entries"));
        };
        let account = Account::new(&server.pubsub.ledger);
        Ok(Self { server, bytes: 0, counted: 0, account, _permit: permit })
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.set(self.bytes.saturating_add(bytes))
    }

    /// Sets the bytes of the result so far.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), Failure> {
        self.bytes = bytes;
        if bytes > RESULT_BYTES_MAX {
            return Err(Failure::result_too_large());
        }
        if bytes.abs_diff(self.counted) >= COUNTED_BYTES {
            self.counted = bytes;
            self.account.set(bytes);
            if self.server.pubsub.ledger.is_full() {
                let text = "too much memory is held for clients; the result was not collected";
                return Err(Failure::try_again(text));
            }
        }
        Ok(())
    }
}

/// Reads the values of keys, some at a time: how many depends on how long they are.
pub(super) struct ValueReader {
    at_once: usize,
}

impl Default for ValueReader {
    fn default() -> Self {
        Self { at_once: SCAN_KEYS as usize }
    }
}

impl ValueReader {
    /// Takes keys from the front, and returns their entries. Keys that are gone, and those that are
    /// not of clients of Hazelcast, are left out.
    pub(super) async fn next(
        &mut self,
        server: &Server,
        map: &Arc<Map>,
        partition: u16,
        keys: &mut VecDeque<Bytes>,
    ) -> Result<Vec<Entry>, Failure> {
        loop {
            let count = keys.len().min(self.at_once);
            if count == 0 {
                return Ok(Vec::new());
            }
            let stored = keys.iter().take(count).map(|key| &key[..]).collect();
            let get = Op::Several(SeveralOp::Get(stored));
            let values = match server.submit(map, partition, &get).await {
                Ok(Reply::List(values)) => values,
                Err(OpError::AnswerTooLong) if count > 1 => {
                    self.at_once = count / 2;
                    continue;
                }
                Ok(_) => return Err(OpError::Malformed.into()),
                Err(error) => return Err(error.into()),
            };
            let mut bytes = 0;
            let format = Format::of(map);
            let entries = keys.drain(..count).zip(values).filter_map(|(key, value)| match value {
                Reply::Bytes(value) => {
                    bytes += value.len();
                    Some((format.client_key(&key)?, format.client_value(&value)))
                }
                _ => None,
            });
            let entries = entries.collect();
            if bytes > PART_BYTES {
                self.at_once = (count / 2).max(1);
            } else if bytes < PART_BYTES / 4 {
                self.at_once = (self.at_once * 2).min(SCAN_KEYS as usize);
            }
            return Ok(entries);
        }
    }
}

/// An iteration over the entries of a map.
pub(super) struct EntryScan<'s> {
    server: &'s Server,
    map: Arc<Map>,
    partitions: VecDeque<u16>,
    /// The current partition, and the cursor of its next step.
    current: Option<(u16, u64)>,
    keys: VecDeque<Bytes>,
    values: ValueReader,
}

impl<'s> EntryScan<'s> {
    /// Iterates over all partitions.
    pub(super) fn new(server: &'s Server, name: &str) -> Result<Self, Failure> {
        let all: Range<u16> = 0..server.tags().ok_or(OpError::NoCluster)?.partitions();
        Self::of(server, name, all)
    }

    /// Iterates over these partitions.
    pub(super) fn of(
        server: &'s Server,
        name: &str,
        partitions: impl IntoIterator<Item = u16>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            server,
            map: server.open(name)?,
            partitions: partitions.into_iter().collect(),
            current: None,
            keys: VecDeque::new(),
            values: ValueReader::default(),
        })
    }

    /// The partition of the entries that were returned last.
    pub(super) fn partition(&self) -> u16 {
        self.current.map_or(0, |(partition, _)| partition)
    }

    /// How the map is stored.
    pub(super) fn format(&self) -> Format {
        Format::of(&self.map)
    }

    /// The map.
    pub(super) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// The stored keys of the next step. `None` at the end.
    pub(super) async fn next_keys(&mut self) -> Result<Option<Vec<Bytes>>, Failure> {
        // An operation may complete at once: without this, other requests would wait.
        tokio::task::yield_now().await;
        let (partition, cursor) = match self.current {
            Some((partition, cursor)) if cursor > 0 => (partition, cursor),
            _ => match self.partitions.pop_front() {
                Some(partition) => (partition, 0),
                None => return Ok(None),
            },
        };
        let (keys, next) = scan(self.server, &self.map, partition, (cursor, SCAN_KEYS)).await?;
        self.current = Some((partition, next));
        Ok(Some(keys))
    }

    /// The next entries, of one partition; there may be none of them. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entry>>, Failure> {
        if self.keys.is_empty() {
            match self.next_keys().await? {
                Some(keys) => self.keys = keys.into(),
                None => return Ok(None),
            }
        } else {
            tokio::task::yield_now().await;
        }
        let partition = self.partition();
        self.values.next(self.server, &self.map, partition, &mut self.keys).await.map(Some)
    }
}
