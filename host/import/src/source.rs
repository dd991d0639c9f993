//! The server that is copied from.

use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;
use crate::client::{Connection, Endpoint, Requests, SMALL_REPLY_BYTES_MAX, text_of};
use crate::info::Info;
use crate::reply::Value;
use crate::trouble::Trouble;
use crate::value::{Kind, Store};

/// A key, for questions whose answer does not depend on it.
const ANY_KEY: &str = "convoke:import";

/// What is known of a key before its value is read.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// `None` if there is no such key any more.
    pub(crate) kind: Option<Kind>,
    /// When it expires.
    pub(crate) deadline: Option<Instant>,
    /// Estimate of its memory, in bytes; 0 if unknown.
    pub(crate) bytes: u64,
}

/// What `PTTL` returned: `Ok(None)` if the key does not expire, `Err` if it does not exist.
pub(crate) fn time_to_live(reply: &Value) -> Result<Option<Duration>, ()> {
    match reply.integer() {
        Some(-1) => Ok(None),
        Some(ms) => u64::try_from(ms).map(Duration::from_millis).map(Some).map_err(|_| ()),
        None => Err(()),
    }
}

/// `SCAN` from a cursor on, for about this number of keys.
pub(crate) fn scan_request(cursor: u64, pattern: Option<&[u8]>, count: usize) -> Requests {
    let (cursor, count) = (cursor.to_string(), count.to_string());
    let mut words: Vec<&[u8]> = vec![b"SCAN", cursor.as_bytes(), b"COUNT", count.as_bytes()];
    if let Some(pattern) = pattern {
        words.extend([&b"MATCH"[..], pattern]);
    }
    let mut request = Requests::default();
    request.push(&words);
    request
}

/// What `SCAN` returned: different keys, and the cursor of the next page.
pub(crate) fn scanned(reply: Value) -> Option<(Vec<Vec<u8>>, u64)> {
    let mut parts = reply.into_list()?.into_iter();
    let next = parts.next()?;
    let next = str::from_utf8(next.text()?).ok()?.parse::<u64>().ok()?;
    let mut keys = parts.next()?.into_strings()?;
    keys.sort_unstable();
    keys.dedup();
    Some((keys, next))
}

/// Codes of errors that pass.
fn is_temporary(reply: &Value) -> bool {
    matches!(reply.code(), Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN"))
}

/// One server, with a connection that is opened again when it is lost.
#[derive(Debug)]
pub(crate) struct Source {
    endpoint: Endpoint,
    connection: Option<Connection>,
    database: u16,
    run_id: Option<String>,
    has_restarted: bool,
    can_measure: bool,
    can_expire_fields: bool,
}

impl Source {
    /// Connects, and checks that keys can be read.
    pub(crate) async fn open(endpoint: Endpoint) -> Result<(Self, Info), Trouble> {
        let mut connection = Connection::open(&endpoint).await?;
        let info = Info::of(&mut connection).await?;
        let address = &endpoint.address;
        if info.is_sentinel() {
            return Err(Trouble::Final(format!(
                "{address} is a Sentinel; give the address of the server that it monitors"
            )));
        }
        if info.is_loading() {
            return Err(Trouble::Final(format!(
                "{address} is still loading its data; try again when it has finished"
            )));
        }
        let mut requests = Requests::from(["MEMORY", "USAGE", ANY_KEY]);
        requests.push(&["HPEXPIRETIME", ANY_KEY, "FIELDS", "1", "field"]);
        requests.push(&["SCAN", "0", "COUNT", "1"]);
        let replies = connection.call_all(&requests, SMALL_REPLY_BYTES_MAX).await?;
        let is_offered = |reply: &Value| {
            !reply
                .error()
                .is_some_and(|text| text.contains("unknown") || text.starts_with("NOPERM"))
        };
        if replies[2].error().is_some() {
            return Err(Trouble::Final(format!(
                "{address} does not list its keys: {}",
                text_of(&replies[2])
            )));
        }
        let source = Self {
            run_id: info.run_id().map(str::to_owned),
            connection: Some(connection),
            database: 0,
            has_restarted: false,
            can_measure: is_offered(&replies[0]),
            can_expire_fields: is_offered(&replies[1]),
            endpoint,
        };
        Ok((source, info))
    }

    /// Another connection to the same server.
    pub(crate) fn another(&self) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            connection: None,
            database: self.database,
            run_id: self.run_id.clone(),
            has_restarted: false,
            can_measure: self.can_measure,
            can_expire_fields: self.can_expire_fields,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.endpoint.address
    }

    pub(crate) fn run_id(&self) -> Option<&str> {
        self.run_id.as_deref()
    }

    /// Whether the server has restarted since the last call: cursors are not valid any more.
    pub(crate) fn take_restarted(&mut self) -> bool {
        std::mem::take(&mut self.has_restarted)
    }

    /// Selects the database of the requests that follow.
    pub(crate) async fn select(&mut self, database: u16) -> Result<(), Trouble> {
        if self.database != database {
            // A connection begins with database 0.
            self.database = database;
            self.connection = None;
        }
        self.connect().await.map(|_| ())
    }

    async fn connect(&mut self) -> Result<&mut Connection, Trouble> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = Connection::open(&self.endpoint).await?;
                let info = Info::of(&mut connection).await?;
                if info.is_loading() {
                    let why = format!("{} is loading its data", self.endpoint.address);
                    return Err(Trouble::Lost(why));
                }
                if info.run_id() != self.run_id.as_deref() || info.run_id().is_none() {
                    self.has_restarted = true;
                    self.run_id = info.run_id().map(str::to_owned);
                }
                if self.database > 0 {
                    let database = self.database.to_string();
                    let request = Requests::from(["SELECT", database.as_str()]);
                    let reply = connection.call(&request).await?;
                    if reply.error().is_some() {
                        let why = text_of(&reply);
                        return Err(match is_temporary(&reply) {
                            true => Trouble::Lost(why),
                            false => Trouble::Final(format!("SELECT {database}: {why}")),
                        });
                    }
                }
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Sends requests, and returns their replies, which may use `room` bytes of memory together.
    pub(crate) async fn call_all(
        &mut self,
        requests: &Requests,
        room: usize,
    ) -> Result<Vec<Value>, Trouble> {
        let result = self.connect().await?.call_all(requests, room).await;
        match result {
            Ok(replies) => match replies.iter().find(|reply| is_temporary(reply)) {
                None => Ok(replies),
                Some(busy) => {
                    Err(Trouble::Lost(format!("{}: {}", self.endpoint.address, text_of(busy))))
                }
            },
            Err(trouble) => {
                self.connection = None;
                Err(trouble)
            }
        }
    }

    /// A page of the keys of the database, and the cursor behind it; 0 at the end.
    pub(crate) async fn scan(
        &mut self,
        cursor: u64,
        pattern: Option<&[u8]>,
        count: usize,
    ) -> Result<(Vec<Vec<u8>>, u64), Trouble> {
        let request = scan_request(cursor, pattern, count);
        let reply = self.call_all(&request, SMALL_REPLY_BYTES_MAX).await?.pop();
        let reply = reply.unwrap_or(Value::Nil);
        let failed = format!("SCAN of {}: {}", self.endpoint.address, text_of(&reply));
        scanned(reply).ok_or(Trouble::Final(failed))
    }

    /// What is known of each of the keys.
    pub(crate) async fn facts(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Facts>, Trouble> {
        let mut requests = Requests::default();
        for key in keys {
            requests.push(&[&b"TYPE"[..], key]);
            requests.push(&[&b"PTTL"[..], key]);
            if self.can_measure {
                requests.push(&[&b"MEMORY"[..], b"USAGE", key]);
            }
        }
        let replies = self.call_all(&requests, SMALL_REPLY_BYTES_MAX).await?;
        let now = Instant::now();
        let each = if self.can_measure { 3 } else { 2 };
        let facts = |replies: &[Value]| {
            let kind = match &replies[0] {
                Value::Simple(name) => Kind::parse(name),
                _ => None,
            };
            let (kind, deadline) = match time_to_live(&replies[1]) {
                Ok(left) => (kind, left.map(|left| now + left)),
                Err(()) => (None, None),
            };
            let bytes = replies.get(2).and_then(Value::integer).unwrap_or(0);
            Facts { kind, deadline, bytes: bytes.try_into().unwrap_or(0) }
        };
        if let Some(refused) = replies
            .iter()
            .find(|reply| matches!(reply.code(), Some("NOPERM")) && self.run_id.is_some())
        {
            let (address, why) = (&self.endpoint.address, text_of(refused));
            return Err(Trouble::Final(format!("{address} does not let keys be read: {why}")));
        }
        Ok(replies.chunks_exact(each).map(facts).collect())
    }
}

impl Store for Source {
    async fn call_each(
        &mut self,
        requests: &[(&[u8], Requests)],
        room: usize,
    ) -> Result<Vec<Vec<Value>>, Trouble> {
        let mut all = Requests::default();
        requests.iter().for_each(|(_, requests)| all.append(requests));
        let mut replies = self.call_all(&all, room).await?.into_iter();
        let of_each = |requests: &Requests| replies.by_ref().take(requests.count()).collect();
        Ok(requests.iter().map(|(_, requests)| requests).map(of_each).collect())
    }

    fn can_expire_fields(&self) -> bool {
        self.can_expire_fields
    }
}
