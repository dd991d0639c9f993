//! Copies the keys of one database of one server.
//!
//! A page of `SCAN` is read in batches of bounded size ([`read`]) while the batch before it is
//! written (`write`). A value is copied as the payload of `DUMP`. If the cluster cannot read
//! that, the payload is made of what the commands of the type return; if the value is large, it is
//! copied in pieces (`pieces`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client::Requests;
use crate::reply::Value;
use crate::retry::{Backoff, Stop};
use crate::source::Source;
use crate::trouble::Trouble;
use crate::value::{
    Kind, Piece, Store as _, deadlines_request, payload, set_deadlines, whole_piece, whole_request,
};

/// Keys that `SCAN` is asked for at a time.
const PAGE_KEYS: usize = 512;
/// Estimated size of a value that is copied at once, in bytes. Larger ones are copied in pieces.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Estimated size of the values of a batch, in bytes. A single value may be larger.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Memory for the values of a batch, in bytes. Values beyond it, whose size was estimated wrongly,
/// are copied in pieces.
const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Batches that have been read and wait to be written.
const BATCHES_WAITING: usize = 1;
/// Payloads of a type that the cluster refuses in a row before it is read with its own commands.
const REFUSALS_MAX: u32 = 3;

/// A key that is copied.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) deadline: Option<Instant>,
    /// For `RESTORE`; `None` if the value is copied in pieces.
    pub(crate) payload: Option<Vec<u8>>,
}

/// Keys that are written together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// Keys of the page, in its last batch.
    pub(crate) scanned: u64,
    /// Keys that do not exist any more.
    pub(crate) gone: u64,
    /// The cursor behind the page and the process that it belongs to, in the last batch of the
    /// page.
    pub(crate) behind: Option<(u64, Option<String>)>,
    /// Set if the server has restarted: the database begins again.
    pub(crate) begins_again: bool,
}

/// The types whose payloads the cluster refuses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<[AtomicU32; Kind::COUNT]>);

impl Refusals {
    pub(crate) fn note(&self, kind: &Kind, is_refused: bool) {
        let Some(count) = kind.index().map(|index| &self.0[index]) else { return };
        if !is_refused {
            // A type that is refused is not dumped any more, so nothing of it is accepted later.
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < REFUSALS_MAX).then_some(0)
            });
        } else {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_refused(&self, kind: &Kind) -> bool {
        let count = kind.index().map(|index| &self.0[index]);
        count.is_some_and(|count| count.load(Ordering::Relaxed) >= REFUSALS_MAX)
    }
}

/// Reads the keys of the selected database from a cursor on, and sends them in batches.
pub(crate) async fn read(
    source: &mut Source,
    database: u16,
    mut cursor: u64,
    pattern: Option<&[u8]>,
    refusals: &Refusals,
    stop: &Stop,
    batches: mpsc::Sender<Batch>,
) -> Result<(), Trouble> {
    let mut backoff = Backoff::new(stop);
    loop {
        stop.check()?;
        match select(source, database).await {
            Ok(false) => {}
            Ok(true) => {
                cursor = 0;
                let batch = Batch { begins_again: true, ..Batch::default() };
                if batches.send(batch).await.is_err() {
                    return Ok(());
                }
            }
            Err(Trouble::Lost(why)) => {
                backoff.wait(&why).await?;
                continue;
            }
            Err(trouble) => return Err(trouble),
        }
        match read_page(source, cursor, pattern, refusals, &batches).await {
            Ok(None | Some(0)) => return Ok(()),
            Ok(Some(next)) => {
                cursor = next;
                backoff.reset();
            }
            Err(Trouble::Lost(why)) => backoff.wait(&why).await?,
            Err(trouble) => return Err(trouble),
        }
    }
}

/// Selects the database, on a new connection if the last one was lost: until that is lost too,
/// cursors stay valid. Returns whether the server has restarted, so that earlier ones are not.
pub(crate) async fn select(source: &mut Source, database: u16) -> Result<bool, Trouble> {
    source.select(database).await?;
    Ok(source.take_restarted())
}

/// Creates the channel between [`read`] and the writer.
pub(crate) fn channel() -> (mpsc::Sender<Batch>, mpsc::Receiver<Batch>) {
    mpsc::channel(BATCHES_WAITING)
}

/// Reads the keys of one page. Returns the next cursor; `None` if nothing is written any more.
async fn read_page(
    source: &mut Source,
    cursor: u64,
    pattern: Option<&[u8]>,
    refusals: &Refusals,
    batches: &mpsc::Sender<Batch>,
) -> Result<Option<u64>, Trouble> {
    let (keys, next) = source.scan(cursor, pattern, PAGE_KEYS).await?;
    let run_id = source.run_id().map(str::to_owned);
    let facts = source.facts(&keys).await?;
    let scanned = keys.len() as u64;
    let mut batch = Batch::default();
    let mut bytes = 0;
    let mut items = Vec::new();
    for (key, facts) in keys.into_iter().zip(facts) {
        let Some(kind) = facts.kind else {
            batch.gone += 1;
            continue;
        };
        let is_whole = facts.bytes <= WHOLE_BYTES_MAX;
        let added = if is_whole { facts.bytes } else { 0 };
        if bytes > 0 && bytes + added > BATCH_BYTES {
            read_values(source, std::mem::take(&mut items), refusals, &mut batch).await?;
            if batches.send(std::mem::take(&mut batch)).await.is_err() {
                return Ok(None);
            }
            bytes = 0;
        }
        bytes += added;
        items.push((Item { key, kind, deadline: facts.deadline, payload: None }, is_whole));
    }
    read_values(source, items, refusals, &mut batch).await?;
    (batch.scanned, batch.behind) = (scanned, Some((next, run_id)));
    Ok(batches.send(batch).await.ok().map(|()| next))
}

/// How the value of an item is read.
enum Form {
    Dump,
    Whole,
    Pieces,
}

/// Reads the values of items, and adds the items to the batch.
async fn read_values(
    source: &mut Source,
    items: Vec<(Item, bool)>,
    refusals: &Refusals,
    batch: &mut Batch,
) -> Result<(), Trouble> {
    let form = |(item, is_whole): &(Item, bool)| match &item.kind {
        _ if !is_whole => Form::Pieces,
        kind if !refusals.is_refused(kind) => Form::Dump,
        Kind::Stream => Form::Pieces,
        _ => Form::Whole,
    };
    let forms: Vec<Form> = items.iter().map(form).collect();
    let mut requests = Requests::default();
    for ((item, _), form) in items.iter().zip(&forms) {
        match form {
            Form::Dump => requests.push(&[&b"DUMP"[..], &item.key]),
            Form::Whole => {
                if let Some(request) = whole_request(&item.kind, &item.key) {
                    requests.append(&request);
                }
            }
            Form::Pieces => {}
        }
    }
    let mut replies = match requests.count() {
        0 => Vec::new(),
        _ => source.call_all(&requests, BATCH_BYTES_MAX).await?,
    }
    .into_iter();
    for ((mut item, _), form) in items.into_iter().zip(forms) {
        let reply = match form {
            Form::Pieces => None,
            Form::Dump | Form::Whole => replies.next(),
        };
        match (form, reply) {
            (_, None) => {}
            (_, Some(Value::TooLarge)) => {}
            (Form::Dump, Some(Value::Nil)) => {
                batch.gone += 1;
                continue;
            }
            (Form::Dump, Some(reply)) => item.payload = reply.into_bytes(),
            // If it is not a value of this type any more, copying in pieces finds out.
            (_, Some(reply)) => {
                if let Some(mut piece) = whole_piece(&item.kind, reply) {
                    read_deadlines(source, &item.key, &mut piece).await?;
                    item.payload = payload(&piece);
                }
            }
        }
        batch.items.push(item);
    }
    Ok(())
}

/// Reads when the fields of a hash expire.
async fn read_deadlines(source: &mut Source, key: &[u8], piece: &mut Piece) -> Result<(), Trouble> {
    let Piece::Fields(fields) = piece else { return Ok(()) };
    if source.can_expire_fields() {
        let request = deadlines_request(key, fields);
        let reply = source.call_all(&request, BATCH_BYTES_MAX).await?.pop();
        set_deadlines(fields, reply.unwrap_or(Value::Nil));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use zeroize::Zeroizing;

    use super::*;
    use crate::address::Address;
    use crate::client::Endpoint;

    /// A server that closes its connection at the first `SCAN` with a cursor, and has restarted
    /// when it is connected to again. Returns its address.
    async fn restarting() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for run_id in ["a", "b"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut input = vec![0; 4_096];
                while let Ok(length) = stream.read(&mut input).await
                    && length > 0
                {
                    let text = String::from_utf8_lossy(&input[..length]).into_owned();
                    if text.contains("SCAN\r\n$1\r\n7\r\n") {
                        break;
                    }
                    let mut reply = String::new();
                    for request in text.split('*').skip(1) {
                        let next = if run_id == "a" { "7" } else { "0" };
                        let info = format!("run_id:{run_id}");
                        reply += &match request.split("\r\n").nth(2).unwrap_or_default() {
                            "INFO" => format!("${}\r\n{info}\r\n", info.len()),
                            "SCAN" => format!("*2\r\n$1\r\n{next}\r\n*1\r\n$1\r\nk\r\n"),
                            "TYPE" => "+string\r\n".to_owned(),
                            "DUMP" => "$1\r\nx\r\n".to_owned(),
                            "PTTL" => ":-1\r\n".to_owned(),
                            "PING" => "+PONG\r\n".to_owned(),
                            _ => "-ERR unknown command\r\n".to_owned(),
                        };
                    }
                    stream.write_all(reply.as_bytes()).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_database_begins_again_when_the_server_has_restarted() {
        let address = restarting().await;
        let endpoint = Endpoint {
            address: Address { host: address.ip().to_string(), port: address.port() },
            tls: None,
            user: None,
            password: Zeroizing::default(),
            password_hint: "",
        };
        let (mut source, _) = Source::open(endpoint).await.unwrap();
        let (_sender, stop) = watch::channel(false);
        let (stop, refusals) = (Stop::new(stop), Refusals::default());
        let (sender, mut receiver) = channel();
        let reading = read(&mut source, 0, 0, None, &refusals, &stop, sender);
        let collecting = async {
            let mut batches = Vec::new();
            while let Some(batch) = receiver.recv().await {
                let cursor = batch.behind.map(|(cursor, _)| cursor);
                batches.push((batch.begins_again, cursor, batch.items.len()));
            }
            batches
        };
        let (result, batches) = tokio::join!(reading, collecting);
        assert_eq!(result, Ok(()));
        assert_eq!(batches, [(false, Some(7), 1), (true, None, 0), (false, Some(0), 1)]);
    }

    #[test]
    fn a_type_that_is_refused_in_a_row_is_not_dumped_any_more() {
        let refusals = Refusals::default();
        refusals.note(&Kind::Stream, true);
        refusals.note(&Kind::Stream, true);
        refusals.note(&Kind::Stream, false);
        refusals.note(&Kind::Stream, true);
        refusals.note(&Kind::Stream, true);
        assert!(!refusals.is_refused(&Kind::Stream));
        refusals.note(&Kind::Stream, true);
        assert!(refusals.is_refused(&Kind::Stream) && !refusals.is_refused(&Kind::List));
        refusals.note(&Kind::Stream, false);
        assert!(refusals.is_refused(&Kind::Stream));
        // Those of modules are copied in no other way.
        refusals.note(&Kind::Other("x".to_owned()), true);
        assert!(!refusals.is_refused(&Kind::Other("x".to_owned())));
    }
}
