//! The cluster that is copied to, through its members.

use std::collections::BTreeMap;

use convoke_grid::slot::{SLOTS, slot};
use futures_util::future::join_all;

use crate::address::Address;
use crate::client::{Connection, Endpoint, Requests, text_of};
use crate::info::Info;
use crate::reply::Value;
use crate::source::{scan_request, scanned};
use crate::trouble::Trouble;
use crate::value::Store;

/// Number of databases of a cluster.
pub(crate) const DATABASES: u16 = 16;

/// What became of a request that has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// It was not executed.
    Refused,
    /// It may have been executed.
    Unknown,
}

/// Whether an error passes, so that the request may be sent again.
pub(crate) fn unanswered(reply: &Value) -> Option<Unanswered> {
    match reply.code()? {
        "INDETERMINATE" => Some(Unanswered::Unknown),
        "TRYAGAIN" | "BUSY" | "CLUSTERDOWN" | "NOREPLICAS" | "MOVED" => Some(Unanswered::Refused),
        _ => None,
    }
}

/// The members of a cluster, with connections that are opened again when they are lost.
#[derive(Debug)]
pub(crate) struct Target {
    /// The members that the user has named; any of them serves every key.
    given: Vec<Endpoint>,
    /// The one that is used, by its position.
    used: usize,
    database: u16,
    /// With `--redis-cluster`, the address of the member that holds each slot.
    slots: Option<Vec<Address>>,
    connections: BTreeMap<Address, Connection>,
}

impl Target {
    /// Connects to the first of the members that can be reached, and checks that it is one.
    pub(crate) async fn open(given: Vec<Endpoint>) -> Result<(Self, Info), Trouble> {
        let mut last = Trouble::Final("there is no member to copy to".to_owned());
        for (used, endpoint) in given.iter().enumerate() {
            let mut connection = match Connection::open(endpoint).await {
                Ok(connection) => connection,
                Err(trouble) => {
                    last = trouble;
                    continue;
                }
            };
            let info = Info::of(&mut connection).await?;
            if !info.is_member() {
                return Err(Trouble::Final(format!(
                    "{} is not a member of a Convoke cluster, but {}; --to names the RESP port of \
                     a member, which its log and /status show",
                    endpoint.address,
                    info.product()
                )));
            }
            let connections = BTreeMap::from([(endpoint.address.clone(), connection)]);
            let mut target = Self { given, used, database: 0, slots: None, connections };
            if info.is_cluster() {
                target.read_slots().await?;
            }
            return Ok((target, info));
        }
        Err(last)
    }

    /// Whether members are nodes of a Redis Cluster, which has one database.
    pub(crate) fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    /// Selects the database of the requests that follow.
    pub(crate) fn select(&mut self, database: u16) {
        if self.database != database {
            self.database = database;
            // A connection begins with database 0.
            self.connections.clear();
        }
    }

    fn endpoint(&self, address: &Address) -> Endpoint {
        Endpoint { address: address.clone(), ..self.given[self.used].clone() }
    }

    async fn connect(&mut self, address: &Address) -> Result<Connection, Trouble> {
        if let Some(connection) = self.connections.remove(address) {
            return Ok(connection);
        }
        let mut connection = Connection::open(&self.endpoint(address)).await?;
        if self.database > 0 {
            let database = self.database.to_string();
            let reply = connection.call(&Requests::from(["SELECT", database.as_str()])).await?;
            if reply.error().is_some() {
                return Err(Trouble::Lost(format!("SELECT {database}: {}", text_of(&reply))));
            }
        }
        Ok(connection)
    }

    /// Reads which member holds which slot.
    async fn read_slots(&mut self) -> Result<(), Trouble> {
        let address = self.given[self.used].address.clone();
        let mut connection = self.connect(&address).await?;
        let reply = connection.call(&Requests::from(["CLUSTER", "SLOTS"])).await?;
        let failed = format!("CLUSTER SLOTS of {address}: {}", text_of(&reply));
        self.connections.insert(address.clone(), connection);
        let ranges = slot_ranges(reply, &address).ok_or(Trouble::Lost(failed))?;
        let mut slots = vec![address; usize::from(SLOTS)];
        for (range, holder) in ranges {
            if let Some(slots) = slots.get_mut(range) {
                slots.fill(holder);
            }
        }
        self.slots = Some(slots);
        Ok(())
    }

    /// The member that requests for a key are sent to.
    fn holder(&self, key: &[u8]) -> &Address {
        match &self.slots {
            Some(slots) => &slots[usize::from(slot(key))],
            None => &self.given[self.used].address,
        }
    }

    /// The addresses of all members that hold keys; with one member for all of them, this one.
    fn holders(&self) -> Vec<Address> {
        let mut all = match &self.slots {
            Some(slots) => slots.clone(),
            None => vec![self.given[self.used].address.clone()],
        };
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Number of keys in the selected database.
    pub(crate) async fn count_keys(&mut self) -> Result<u64, Trouble> {
        let mut count = 0;
        for address in self.holders() {
            let mut connection = self.connect(&address).await?;
            let reply = connection.call(&Requests::from(["DBSIZE"])).await?;
            let keys = reply.integer().and_then(|keys| u64::try_from(keys).ok());
            count += keys.ok_or_else(|| {
                Trouble::Final(format!("{address} does not count its keys: {}", text_of(&reply)))
            })?;
            self.connections.insert(address, connection);
        }
        Ok(count)
    }

    /// The number of members that list different keys; see [`Self::scan`].
    pub(crate) fn parts(&self) -> usize {
        self.holders().len()
    }

    /// Keys of the selected database that one of the [parts](Self::parts) has, and the cursor of the
    /// next page; 0 at the end.
    ///
    /// # Errors
    /// After [`Trouble::Lost`], another member is asked the next time, if one was given.
    pub(crate) async fn scan(
        &mut self,
        part: usize,
        cursor: u64,
        pattern: Option<&[u8]>,
        count: usize,
    ) -> Result<(Vec<Vec<u8>>, u64), Trouble> {
        let scanned = self.try_scan(part, &scan_request(cursor, pattern, count)).await;
        if matches!(scanned, Err(Trouble::Lost(_))) && self.slots.is_none() {
            self.used = (self.used + 1) % self.given.len();
        }
        scanned
    }

    async fn try_scan(
        &mut self,
        part: usize,
        request: &Requests,
    ) -> Result<(Vec<Vec<u8>>, u64), Trouble> {
        let holders = self.holders();
        let gone = || Trouble::Final("the members that hold keys have changed".to_owned());
        let address = holders.get(part).ok_or_else(gone)?;
        let mut connection = self.connect(address).await?;
        let reply = connection.call(request).await?;
        let failed = format!("SCAN of {address}: {}", text_of(&reply));
        self.connections.insert(address.clone(), connection);
        scanned(reply).ok_or(Trouble::Final(failed))
    }

    /// Sends the requests of each key. A reply that is missing, since the connection was lost, is
    /// an error for which [`unanswered`] is not `None`.
    ///
    /// # Errors
    /// [`Trouble::Final`] only.
    pub(crate) async fn try_each(
        &mut self,
        requests: &[(&[u8], Requests)],
        room: usize,
    ) -> Result<Vec<Vec<Value>>, Trouble> {
        let mut by_holder: BTreeMap<Address, (Requests, Vec<usize>)> = BTreeMap::new();
        for (at, (key, requests)) in requests.iter().enumerate() {
            let holder = self.holder(key);
            if !by_holder.contains_key(holder) {
                by_holder.insert(holder.clone(), <_>::default());
            }
            if let Some((all, positions)) = by_holder.get_mut(holder) {
                all.append(requests);
                positions.push(at);
            }
        }
        let mut calls = Vec::new();
        for (address, (all, positions)) in by_holder {
            let connection = match self.connect(&address).await {
                Err(trouble @ (Trouble::Final(_) | Trouble::Interrupted)) => return Err(trouble),
                other => other,
            };
            calls.push(async move {
                let mut connection = match connection {
                    Ok(connection) => connection,
                    Err(trouble) => {
                        let text = format!("CLUSTERDOWN {trouble}");
                        let replies = vec![Value::Error(text); all.count()];
                        return (address, None, positions, replies);
                    }
                };
                match connection.call_all(&all, room).await {
                    Ok(replies) => (address, Some(connection), positions, replies),
                    Err(trouble) => {
                        let text = format!("INDETERMINATE {trouble}");
                        (address, None, positions, vec![Value::Error(text); all.count()])
                    }
                }
            });
        }
        let mut results = vec![Vec::new(); requests.len()];
        let (mut is_lost, mut has_moved) = (false, false);
        for (address, connection, positions, replies) in join_all(calls).await {
            is_lost |= connection.is_none();
            if let Some(connection) = connection {
                self.connections.insert(address, connection);
            }
            has_moved |= replies.iter().any(|reply| reply.code() == Some("MOVED"));
            let mut replies = replies.into_iter();
            for at in positions {
                results[at] = replies.by_ref().take(requests[at].1.count()).collect();
            }
        }
        if is_lost {
            self.used = (self.used + 1) % self.given.len();
        }
        if self.is_cluster() && (is_lost || has_moved) {
            // Without them, the requests are refused again, and this is tried again.
            let _ = self.read_slots().await;
        }
        Ok(results)
    }

    /// A name that is in the same slot as the key, so that it can be renamed to the key: with
    /// `--redis-cluster`, only within a slot.
    /// `word` makes it different from the names of other imports.
    pub(crate) fn name_beside(key: &[u8], word: &str) -> Vec<u8> {
        let wanted = slot(key);
        let names = (0_u32..).map(|number| format!("convoke:import:{word}:{number}").into_bytes());
        names.into_iter().find(|name| slot(name) == wanted).unwrap_or_default()
    }
}

impl Store for Target {
    async fn call_each(
        &mut self,
        requests: &[(&[u8], Requests)],
        room: usize,
    ) -> Result<Vec<Vec<Value>>, Trouble> {
        let replies = self.try_each(requests, room).await?;
        match replies.iter().flatten().find(|reply| unanswered(reply).is_some()) {
            Some(reply) => Err(Trouble::Lost(text_of(reply))),
            None => Ok(replies),
        }
    }

    fn can_expire_fields(&self) -> bool {
        true
    }
}

/// The ranges of slots in a reply to `CLUSTER SLOTS`, and the address of the primary of each.
/// `asked` is the address of the node that has replied, for nodes that do not know their own.
pub(crate) fn slot_ranges(
    reply: Value,
    asked: &Address,
) -> Option<Vec<(std::ops::RangeInclusive<usize>, Address)>> {
    let range = |range: Value| {
        let mut parts = range.into_list()?.into_iter();
        let mut slot = || usize::try_from(parts.next()?.integer()?).ok();
        let slots = slot()?..=slot()?;
        let mut primary = parts.next()?.into_list()?.into_iter();
        let host =
            primary.next()?.text().map(String::from_utf8_lossy).map(|host| host.into_owned());
        let host = host.filter(|host| !host.is_empty() && host != "?");
        let port = u16::try_from(primary.next()?.integer()?).ok()?;
        Some((slots, Address { host: host.unwrap_or_else(|| asked.host.clone()), port }))
    };
    let ranges = reply.into_list()?.into_iter().map(range).collect::<Option<Vec<_>>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_beside_a_key_is_in_its_slot() {
        for key in ["a", "{tag}:b", "odd}{", ""] {
            let name = Target::name_beside(key.as_bytes(), "w");
            assert_eq!(slot(&name), slot(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn slots_are_read_with_the_addresses_of_their_primaries() {
        let node = |host: Value, port| Value::List(vec![host, Value::Integer(port)]);
        let range = |first, last, node| {
            Value::List(vec![Value::Integer(first), Value::Integer(last), node])
        };
        let asked = Address { host: "10.0.0.7".to_owned(), port: 6379 };
        let reply = Value::List(vec![
            range(0, 99, node(Value::Nil, 7000)),
            range(100, 16_383, node(Value::Bytes(b"10.0.0.8".to_vec()), 7001)),
        ]);
        let ranges = slot_ranges(reply, &asked).unwrap();
        let text: Vec<String> =
            ranges.iter().map(|(range, at)| format!("{range:?} {at}")).collect();
        assert_eq!(text, ["0..=99 10.0.0.7:7000", "100..=16383 10.0.0.8:7001"]);
        assert_eq!(slot_ranges(Value::List(Vec::new()), &asked), None);
        assert_eq!(slot_ranges(Value::Error("ERR".to_owned()), &asked), None);
    }

    #[test]
    fn errors_that_pass_are_recognized() {
        let of = |text: &str| unanswered(&Value::Error(text.to_owned()));
        assert_eq!(of("INDETERMINATE lost"), Some(Unanswered::Unknown));
        assert_eq!(of("BUSY 512 MiB"), Some(Unanswered::Refused));
        assert_eq!(of("BUSYKEY Target key name already exists."), None);
        assert_eq!(of("OOM command not allowed"), None);
        assert_eq!(unanswered(&Value::Nil), None);
    }
}
