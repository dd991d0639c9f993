//! Reads a value in pieces of bounded size.

use super::stream::StreamReader;
use super::{Kind, Piece, Store, deadlines_request, elements, set_deadlines};
use crate::client::{Requests, text_of};
use crate::reply::Value;
use crate::trouble::Trouble;

/// Memory for the reply with a piece, in bytes.
pub(super) const PIECE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Memory for a reply with a single element, which cannot be divided, in bytes: larger than the
/// largest element that the cluster stores.
pub(super) const ELEMENT_BYTES_MAX: usize = 2 * convoke_grid::VALUE_BYTES_MAX;
/// Length of a piece of a string, in bytes.
const STRING_PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// Elements of a piece, at first and at most. Fewer if they are large.
pub(super) const COUNT_MAX: u64 = 4_096;

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Trouble(Trouble),
    /// The value has been deleted, has expired, or has another type by now.
    Gone,
    /// This key cannot be read; the reason.
    Failed(String),
}

impl From<Trouble> for Unread {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Where a value continues.
#[derive(Debug)]
enum Position {
    /// A string or a list: at this offset.
    Offset(u64),
    /// At this cursor of `SSCAN`, `HSCAN` or `ZSCAN`.
    Cursor(Vec<u8>),
    Stream(Box<StreamReader>),
    End,
}

/// Reads one value.
#[derive(Debug)]
pub(crate) struct Reader {
    key: Vec<u8>,
    kind: Kind,
    position: Position,
    count: u64,
}

impl Reader {
    pub(crate) fn new(key: &[u8], kind: &Kind) -> Self {
        let position = match kind {
            Kind::String | Kind::List => Position::Offset(0),
            Kind::Stream => Position::Stream(Box::default()),
            _ => Position::Cursor(b"0".to_vec()),
        };
        Self { key: key.to_vec(), kind: kind.clone(), position, count: COUNT_MAX }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self, store: &mut impl Store) -> Result<Option<Piece>, Unread> {
        loop {
            let key = &self.key;
            let count = self.count.to_string();
            let (name, offset_end, request) = match (&mut self.position, &self.kind) {
                (Position::End, _) => return Ok(None),
                (Position::Stream(stream), _) => return stream.next(store, key).await,
                (Position::Offset(at), Kind::String) => {
                    let end = *at + STRING_PIECE_BYTES;
                    let (first, last) = (at.to_string(), (end - 1).to_string());
                    let words = [b"GETRANGE", &**key, first.as_bytes(), last.as_bytes()];
                    ("GETRANGE", end, Requests::from(words))
                }
                (Position::Offset(at), _) => {
                    let end = *at + self.count;
                    let (first, last) = (at.to_string(), (end - 1).to_string());
                    let words = [b"LRANGE", &**key, first.as_bytes(), last.as_bytes()];
                    ("LRANGE", end, Requests::from(words))
                }
                (Position::Cursor(cursor), kind) => {
                    let name = match kind {
                        Kind::Set => "SSCAN",
                        Kind::Hash => "HSCAN",
                        Kind::SortedSet => "ZSCAN",
                        other => return Err(Unread::Failed(format!("{other} cannot be read"))),
                    };
                    let words = [name.as_bytes(), key, cursor, b"COUNT", count.as_bytes()];
                    (name, 0, Requests::from(words))
                }
            };
            let room = if self.count == 1 { ELEMENT_BYTES_MAX } else { PIECE_BYTES_MAX };
            let reply = store.call(key, request, room).await?;
            if reply == Value::TooLarge {
                self.divide()?;
                continue;
            }
            if reply.code() == Some("WRONGTYPE") {
                return Err(Unread::Gone);
            }
            if reply.error().is_some() {
                return Err(Unread::Failed(format!("{name}: {}", text_of(&reply))));
            }
            let unexpected = || Unread::Failed(format!("unexpected reply to {name}"));
            match &mut self.position {
                Position::Cursor(cursor) => {
                    let mut parts = reply.into_list().ok_or_else(unexpected)?.into_iter();
                    let next = parts.next().and_then(|next| next.text().map(<[u8]>::to_vec));
                    let all = parts.next().and_then(Value::into_strings);
                    let (Some(next), Some(all)) = (next, all) else { return Err(unexpected()) };
                    let is_end = next == b"0";
                    *cursor = next;
                    if is_end {
                        self.position = Position::End;
                    }
                    if all.is_empty() {
                        continue;
                    }
                    let mut piece = elements(&self.kind, all).ok_or_else(unexpected)?;
                    self.read_deadlines(store, &mut piece).await?;
                    return Ok(Some(piece));
                }
                _ if self.kind == Kind::String => {
                    let bytes = reply.into_bytes().ok_or_else(unexpected)?;
                    let is_end = (bytes.len() as u64) < STRING_PIECE_BYTES;
                    self.position =
                        if is_end { Position::End } else { Position::Offset(offset_end) };
                    return Ok(Some(Piece::Bytes(bytes)));
                }
                _ => {
                    let all = reply.into_strings().ok_or_else(unexpected)?;
                    let is_end = (all.len() as u64) < self.count;
                    self.position =
                        if is_end { Position::End } else { Position::Offset(offset_end) };
                    if all.is_empty() {
                        return Ok(None);
                    }
                    return Ok(Some(Piece::Elements(all)));
                }
            }
        }
    }

    /// Halves the pieces.
    fn divide(&mut self) -> Result<(), Unread> {
        if self.count == 1 {
            let mib = ELEMENT_BYTES_MAX >> 20;
            return Err(Unread::Failed(format!("an element has more than {mib} MiB")));
        }
        self.count = (self.count / 2).max(1);
        Ok(())
    }

    async fn read_deadlines(
        &self,
        store: &mut impl Store,
        piece: &mut Piece,
    ) -> Result<(), Trouble> {
        if let Piece::Fields(fields) = piece
            && store.can_expire_fields()
        {
            let request = deadlines_request(&self.key, fields);
            let reply = store.call(&self.key, request, PIECE_BYTES_MAX).await?;
            set_deadlines(fields, reply);
        }
        Ok(())
    }
}
