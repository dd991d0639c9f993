//! Values, read with the commands of their types: whole, or in pieces of bounded size.

pub(crate) mod digest;
pub(crate) mod reader;
mod stream;
pub(crate) mod writer;

use std::borrow::Cow;
use std::fmt;

use convoke_grid::Score;
use convoke_grid::op::{Content, ContentField};

use crate::client::Requests;
use crate::reply::Value;
use crate::trouble::Trouble;

/// Whose keys are read: the source, or the cluster.
pub(crate) trait Store {
    /// Sends the requests of each key, and returns their replies, which may use `room` bytes
    /// together.
    ///
    /// # Errors
    /// [`Trouble::Lost`] if the server is unreachable or busy.
    async fn call_each(
        &mut self,
        requests: &[(&[u8], Requests)],
        room: usize,
    ) -> Result<Vec<Vec<Value>>, Trouble>;

    /// Whether fields of hashes can expire.
    fn can_expire_fields(&self) -> bool;

    /// Sends one request for a key.
    async fn call(
        &mut self,
        key: &[u8],
        request: impl Into<Requests>,
        room: usize,
    ) -> Result<Value, Trouble> {
        let replies = self.call_each(&[(key, request.into())], room).await?;
        let reply = replies.into_iter().flatten().next();
        reply.ok_or_else(|| Trouble::Lost("there is no reply".to_owned()))
    }
}

/// Type of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Stream,
    /// Of a module, under the name that `TYPE` returns.
    Other(String),
}

impl Kind {
    /// Number of kinds without those of modules.
    pub(crate) const COUNT: usize = 6;

    /// The kind that `TYPE` returns; `None` if there is no key.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "none" => None,
            "string" => Some(Self::String),
            "list" => Some(Self::List),
            "set" => Some(Self::Set),
            "zset" => Some(Self::SortedSet),
            "hash" => Some(Self::Hash),
            "stream" => Some(Self::Stream),
            other => Some(Self::Other(convoke_text::excerpt(other, 40))),
        }
    }

    /// Position among the kinds; `None` for those of modules.
    pub(crate) fn index(&self) -> Option<usize> {
        match self {
            Self::String => Some(0),
            Self::List => Some(1),
            Self::Set => Some(2),
            Self::SortedSet => Some(3),
            Self::Hash => Some(4),
            Self::Stream => Some(5),
            Self::Other(_) => None,
        }
    }
}

/// In the plural, as in a summary.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "strings",
            Self::List => "lists",
            Self::Set => "sets",
            Self::SortedSet => "sorted sets",
            Self::Hash => "hashes",
            Self::Stream => "streams",
            Self::Other(name) => return write!(f, "values of type {name}"),
        })
    }
}

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// When it expires, in milliseconds since 1970.
    pub(crate) deadline_ms: Option<u64>,
}

/// An entry of a stream: its ID, and its fields and values in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: Vec<u8>,
    pub(crate) fields: Vec<Vec<u8>>,
}

/// What `XINFO STREAM` says of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamInfo {
    pub(crate) last_id: Vec<u8>,
    /// Number of entries ever added, and the greatest ID that was deleted: from Redis 7 on.
    pub(crate) history: Option<(u64, Vec<u8>)>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: Vec<u8>,
    pub(crate) last_id: Vec<u8>,
    /// Number of entries that it has read, if known.
    pub(crate) read: Option<u64>,
    pub(crate) consumers: Vec<Vec<u8>>,
}

/// An entry that was delivered to a consumer, and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: Vec<u8>,
    pub(crate) consumer: Vec<u8>,
    pub(crate) idle_ms: u64,
    pub(crate) deliveries: u64,
}

/// A part of a value, in the order in which parts have to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Of a string.
    Bytes(Vec<u8>),
    /// Of a list.
    Elements(Vec<Vec<u8>>),
    /// Of a set.
    Members(Vec<Vec<u8>>),
    /// Of a sorted set: members and scores.
    Scored(Vec<(Vec<u8>, Vec<u8>)>),
    Fields(Vec<Field>),
    Entries(Vec<Entry>),
    /// After all entries.
    StreamEnd(StreamInfo),
    Group(Group),
    /// Of the group with this name.
    Pending(Vec<u8>, Vec<Pending>),
}

/// The request for a whole value. Streams and values of modules have none.
pub(crate) fn whole_request(kind: &Kind, key: &[u8]) -> Option<Requests> {
    Some(match kind {
        Kind::String => Requests::from([&b"GET"[..], key]),
        Kind::List => Requests::from([b"LRANGE", key, b"0", b"-1"]),
        Kind::Set => Requests::from([&b"SMEMBERS"[..], key]),
        Kind::SortedSet => Requests::from([b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        Kind::Hash => Requests::from([&b"HGETALL"[..], key]),
        Kind::Stream | Kind::Other(_) => return None,
    })
}

/// The value in a reply to [`whole_request`]; `None` if the key does not exist any more, has
/// another type by now, or is too large.
pub(crate) fn whole_piece(kind: &Kind, reply: Value) -> Option<Piece> {
    if *kind == Kind::String {
        return reply.into_bytes().map(Piece::Bytes);
    }
    let all = reply.into_strings().filter(|all| !all.is_empty())?;
    elements(kind, all)
}

/// The elements of a reply, which are pairs for sorted sets and hashes.
fn elements(kind: &Kind, all: Vec<Vec<u8>>) -> Option<Piece> {
    match kind {
        Kind::List => Some(Piece::Elements(all)),
        Kind::Set => Some(Piece::Members(all)),
        Kind::SortedSet => pairs(all).map(Piece::Scored),
        Kind::Hash => {
            let field = |(name, value)| Field { name, value, deadline_ms: None };
            Some(Piece::Fields(pairs(all)?.into_iter().map(field).collect()))
        }
        Kind::String | Kind::Stream | Kind::Other(_) => None,
    }
}

fn pairs(all: Vec<Vec<u8>>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut all, mut pairs) = (all.into_iter(), Vec::new());
    while let Some(first) = all.next() {
        pairs.push((first, all.next()?));
    }
    Some(pairs)
}

/// A score; `None` if the text is not one.
pub(crate) fn score(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|score| !score.is_nan())
}

/// The request for the deadlines of fields.
pub(crate) fn deadlines_request(key: &[u8], fields: &[Field]) -> Requests {
    let mut request = Requests::default();
    request.begin(4 + fields.len());
    for word in [b"HPEXPIRETIME", key, b"FIELDS", fields.len().to_string().as_bytes()] {
        request.argument(word);
    }
    fields.iter().for_each(|field| request.argument(&field.name));
    request
}

/// Stores the deadlines of a reply to [`deadlines_request`]. A field that has expired meanwhile
/// keeps none.
pub(crate) fn set_deadlines(fields: &mut Vec<Field>, reply: Value) {
    /// The reply for a field that does not exist.
    const GONE: i64 = -2;
    let Some(deadlines) = reply.into_list() else { return };
    let mut deadlines = deadlines.into_iter().map(|deadline| deadline.integer().unwrap_or(-1));
    fields.retain_mut(|field| {
        let deadline = deadlines.next().unwrap_or(-1);
        field.deadline_ms = u64::try_from(deadline).ok();
        deadline != GONE
    });
}

/// A whole value in the encoding of `RESTORE`; `None` for parts of streams.
pub(crate) fn payload(piece: &Piece) -> Option<Vec<u8>> {
    let borrowed = |all: &'_ [Vec<u8>]| all.iter().map(|one| Cow::from(one.clone())).collect();
    let content: Content<'_> = match piece {
        Piece::Bytes(bytes) => Content::Bytes(Cow::from(bytes)),
        Piece::Elements(all) => Content::List(borrowed(all)),
        Piece::Members(all) => Content::Set(borrowed(all)),
        Piece::Scored(all) => {
            let scored = |(name, text): &'_ (Vec<u8>, Vec<u8>)| {
                Some((Score::new(score(text)?)?, Cow::from(name.clone())))
            };
            Content::SortedSet(all.iter().map(scored).collect::<Option<_>>()?)
        }
        Piece::Fields(all) => {
            let field = |field: &Field| ContentField {
                name: Cow::from(field.name.clone()),
                value: Cow::from(field.value.clone()),
                deadline_ms: field.deadline_ms,
            };
            Content::Hash(all.iter().map(field).collect())
        }
        _ => return None,
    };
    Some(convoke_gateway::resp::rdb::payload(&content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Value {
        Value::List(words.iter().map(|word| Value::Bytes(word.as_bytes().to_vec())).collect())
    }

    #[test]
    fn whole_values_are_taken_from_replies() {
        let piece = whole_piece(&Kind::SortedSet, strings(&["a", "1.5", "b", "inf"])).unwrap();
        let Piece::Scored(all) = &piece else { panic!("{piece:?}") };
        assert_eq!(score(&all[1].1), Some(f64::INFINITY));
        assert!(payload(&piece).is_some());
        assert_eq!(whole_piece(&Kind::Set, strings(&[])), None);
        assert_eq!(whole_piece(&Kind::Hash, strings(&["odd"])), None);
        assert_eq!(whole_piece(&Kind::List, Value::Error("WRONGTYPE".to_owned())), None);
        assert_eq!(whole_piece(&Kind::Set, Value::TooLarge), None);
    }

    #[test]
    fn deadlines_of_fields_are_set_and_expired_fields_left_out() {
        let Some(Piece::Fields(mut fields)) =
            whole_piece(&Kind::Hash, strings(&["a", "1", "b", "2", "c", "3"]))
        else {
            panic!("a hash")
        };
        let reply = [Value::Integer(7_000), Value::Integer(-2), Value::Integer(-1)];
        set_deadlines(&mut fields, Value::List(reply.to_vec()));
        let left: Vec<_> = fields.iter().map(|field| (&*field.name, field.deadline_ms)).collect();
        assert_eq!(left, [(&b"a"[..], Some(7_000)), (b"c", None)]);
    }
}
