//! The requests that write pieces of a value.

use super::{Field, Group, Pending, Piece, StreamInfo};
use crate::client::Requests;

/// The requests that add a piece to the value of `key`.
pub(crate) fn requests(key: &[u8], piece: &Piece) -> Requests {
    match piece {
        Piece::Bytes(bytes) => Requests::from([b"APPEND", key, bytes]),
        Piece::Elements(all) => one(b"RPUSH", key, all.iter().map(Vec::as_slice)),
        Piece::Members(all) => one(b"SADD", key, all.iter().map(Vec::as_slice)),
        Piece::Scored(all) => {
            one(b"ZADD", key, all.iter().flat_map(|(member, score)| [&**score, &**member]))
        }
        Piece::Fields(all) => fields(key, all),
        Piece::Entries(all) => {
            let mut requests = Requests::default();
            for entry in all {
                requests.begin(3 + entry.fields.len());
                [b"XADD", key, &*entry.id].iter().for_each(|word| requests.argument(word));
                entry.fields.iter().for_each(|word| requests.argument(word));
            }
            requests
        }
        Piece::StreamEnd(info) => end(key, info),
        Piece::Group(group) => self::group(key, group),
        Piece::Pending(group, all) => {
            let mut requests = Requests::default();
            all.iter().for_each(|pending| claim(&mut requests, key, group, pending));
            requests
        }
    }
}

/// The request that creates a stream without entries. It has one, which [`trim`] removes.
pub(crate) fn empty_stream(key: &[u8]) -> Requests {
    let mut requests = Requests::from([&b"XADD"[..], key, b"0-1", b"field", b"value"]);
    requests.push(&[&b"XTRIM"[..], key, b"MAXLEN", b"0"]);
    requests
}

fn one<'a>(name: &[u8], key: &[u8], arguments: impl Iterator<Item = &'a [u8]> + Clone) -> Requests {
    let mut request = Requests::default();
    request.begin(2 + arguments.clone().count());
    request.argument(name);
    request.argument(key);
    arguments.for_each(|argument| request.argument(argument));
    request
}

fn fields(key: &[u8], all: &[Field]) -> Requests {
    let mut requests =
        one(b"HSET", key, all.iter().flat_map(|field| [&*field.name, &*field.value]));
    for field in all {
        if let Some(deadline_ms) = field.deadline_ms {
            let deadline = deadline_ms.to_string();
            let words: [&[u8]; 6] =
                [b"HPEXPIREAT", key, deadline.as_bytes(), b"FIELDS", b"1", &field.name];
            requests.push(&words);
        }
    }
    requests
}

fn end(key: &[u8], info: &StreamInfo) -> Requests {
    match &info.history {
        None => Requests::from([b"XSETID", key, &info.last_id]),
        Some((added, deleted)) => {
            let added = added.to_string();
            let words: [&[u8]; 7] = [
                b"XSETID",
                key,
                &info.last_id,
                b"ENTRIESADDED",
                added.as_bytes(),
                b"MAXDELETEDID",
                deleted,
            ];
            Requests::from(words)
        }
    }
}

fn group(key: &[u8], group: &Group) -> Requests {
    let mut words: Vec<&[u8]> = vec![b"XGROUP", b"CREATE", key, &group.name, &group.last_id];
    let read = group.read.map(|read| read.to_string());
    if let Some(read) = &read {
        words.extend([&b"ENTRIESREAD"[..], read.as_bytes()]);
    }
    let mut requests = Requests::default();
    requests.push(&words);
    for consumer in &group.consumers {
        let words: [&[u8]; 5] = [b"XGROUP", b"CREATECONSUMER", key, &group.name, consumer];
        requests.push(&words);
    }
    requests
}

fn claim(requests: &mut Requests, key: &[u8], group: &[u8], pending: &Pending) {
    let (idle, deliveries) = (pending.idle_ms.to_string(), pending.deliveries.to_string());
    let words: [&[u8]; 12] = [
        b"XCLAIM",
        key,
        group,
        &pending.consumer,
        b"0",
        &pending.id,
        b"IDLE",
        idle.as_bytes(),
        b"RETRYCOUNT",
        deliveries.as_bytes(),
        b"FORCE",
        b"JUSTID",
    ];
    requests.push(&words);
}
