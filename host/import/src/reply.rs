//! Replies in RESP2, decoded as they arrive, in bounded memory.

use std::fmt;

use bytes::{Buf as _, BytesMut};

/// Largest simple string, error or number, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Maximum nesting of arrays.
const DEPTH_MAX: usize = 16;
/// Memory of one value beside its bytes.
const VALUE_BYTES: usize = 32;
/// First byte of a TLS alert, with which a TLS server answers a client that does not use TLS (RFC
/// 8446, section 5.1).
const TLS_ALERT: u8 = 0x15;

/// A reply.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A simple string, such as `OK`.
    Simple(String),
    /// An error, which begins with its code.
    Error(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Nil,
    List(Vec<Self>),
    /// A reply for which there was no room. All of it was read, and nothing of it was kept.
    TooLarge,
}

impl Value {
    /// The text of an error.
    pub(crate) fn error(&self) -> Option<&str> {
        if let Self::Error(text) = self { Some(text) } else { None }
    }

    /// The code of an error: its first word.
    pub(crate) fn code(&self) -> Option<&str> {
        self.error().map(|text| text.split(' ').next().unwrap_or_default())
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The bytes of a bulk string, or of a simple one.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(crate) fn into_list(self) -> Option<Vec<Self>> {
        if let Self::List(all) = self { Some(all) } else { None }
    }

    /// The elements of an array of bulk strings.
    pub(crate) fn into_strings(self) -> Option<Vec<Vec<u8>>> {
        self.into_list()?.into_iter().map(Self::into_bytes).collect()
    }
}

/// Without the bytes of values, which may be secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Nil => f.write_str("nil"),
            Self::List(all) => f.debug_list().entries(all).finish(),
            Self::TooLarge => f.write_str("a reply that is too large"),
        }
    }
}

/// Why input is not RESP2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it expects TLS: use rediss:// and its TLS port")]
    Tls,
    #[error("it does not speak the Redis protocol")]
    NotResp,
    #[error("its reply has a line of more than 64 KiB")]
    Line,
    #[error("its reply has more than {DEPTH_MAX} lists within lists")]
    Depth,
}

/// An array whose elements are still arriving.
#[derive(Debug)]
struct OpenList {
    left: u64,
    values: Vec<Value>,
}

/// A bulk string that is still arriving.
#[derive(Debug)]
struct OpenBulk {
    /// Bytes that have not arrived, without the line break behind them.
    left: u64,
    /// What has arrived; `None` if there is no room for it.
    kept: Option<Vec<u8>>,
}

/// Decodes a sequence of replies.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    lists: Vec<OpenList>,
    bulk: Option<OpenBulk>,
    /// Memory that the replies to come may use, in bytes.
    room: usize,
    /// Memory that the current reply uses.
    used: usize,
    is_too_large: bool,
}

impl Decoder {
    /// Sets how much memory all replies may use from now on, in bytes. A reply that exceeds it is
    /// [`Value::TooLarge`], and leaves the room to those behind it.
    pub(crate) fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
    }

    /// Takes the next reply off the input; `None` if it is not complete yet.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Value>, Malformed> {
        loop {
            if let Some(bulk) = &mut self.bulk {
                let arrived = usize::try_from(bulk.left).unwrap_or(usize::MAX).min(input.len());
                if let Some(kept) = &mut bulk.kept {
                    kept.extend_from_slice(&input[..arrived]);
                }
                input.advance(arrived);
                bulk.left -= arrived as u64;
                if bulk.left > 0 || input.len() < 2 {
                    return Ok(None);
                }
                if !input.starts_with(b"\r\n") {
                    return Err(Malformed::NotResp);
                }
                input.advance(2);
                let kept = self.bulk.take().and_then(|bulk| bulk.kept);
                if let Some(value) = self.complete(kept.map_or(Value::TooLarge, Value::Bytes)) {
                    return Ok(Some(value));
                }
                continue;
            }
            match input.first() {
                None => return Ok(None),
                Some(&TLS_ALERT) => return Err(Malformed::Tls),
                Some(kind) if !b"+-:$*".contains(kind) => return Err(Malformed::NotResp),
                Some(_) => {}
            }
            let Some(end) = input.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n')
            else {
                let is_long = input.len() >= LINE_BYTES_MAX;
                return if is_long { Err(Malformed::Line) } else { Ok(None) };
            };
            let line = input.split_to(end + 1);
            let line = line.strip_suffix(b"\r\n").ok_or(Malformed::NotResp)?;
            if let Some(value) = self.line(line[0], &line[1..])? {
                return Ok(Some(value));
            }
        }
    }

    /// A line without its line break; returns a reply that it completes.
    fn line(&mut self, kind: u8, text: &[u8]) -> Result<Option<Value>, Malformed> {
        let number = || {
            let number = str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
            number.ok_or(Malformed::NotResp)
        };
        let value = match kind {
            b'+' => Value::Simple(String::from_utf8_lossy(text).into_owned()),
            b'-' => Value::Error(String::from_utf8_lossy(text).into_owned()),
            b':' => Value::Integer(number()?),
            _ => match number()? {
                -1 => Value::Nil,
                length => {
                    let length = u64::try_from(length).map_err(|_| Malformed::NotResp)?;
                    return self.open(kind, length);
                }
            },
        };
        self.reserve(text.len() as u64);
        Ok(self.complete(value))
    }

    fn open(&mut self, kind: u8, length: u64) -> Result<Option<Value>, Malformed> {
        if kind == b'$' {
            let fits = self.reserve(length);
            let kept = fits.then(|| Vec::with_capacity(length as usize));
            self.bulk = Some(OpenBulk { left: length, kept });
            return Ok(None);
        }
        self.reserve(0);
        if length == 0 {
            return Ok(self.complete(Value::List(Vec::new())));
        }
        if self.lists.len() == DEPTH_MAX {
            return Err(Malformed::Depth);
        }
        self.lists.push(OpenList { left: length, values: Vec::new() });
        Ok(None)
    }

    /// Uses room for a value. Returns false if there is not enough.
    fn reserve(&mut self, bytes: u64) -> bool {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(VALUE_BYTES);
        self.used = self.used.saturating_add(bytes);
        if self.used > self.room && !self.is_too_large {
            self.is_too_large = true;
            self.lists.iter_mut().for_each(|list| list.values = Vec::new());
        }
        !self.is_too_large
    }

    /// Adds a value to the innermost list. Returns the reply if that completes it.
    fn complete(&mut self, mut value: Value) -> Option<Value> {
        while let Some(list) = self.lists.last_mut() {
            if !self.is_too_large {
                list.values.push(value);
            }
            list.left -= 1;
            if list.left > 0 {
                return None;
            }
            let values = self.lists.pop().map(|list| list.values);
            value = Value::List(values.unwrap_or_default());
        }
        let used = std::mem::take(&mut self.used);
        if std::mem::take(&mut self.is_too_large) {
            return Some(Value::TooLarge);
        }
        self.room = self.room.saturating_sub(used);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 20;

    fn decode_all(text: &[u8], room: usize, step: usize) -> Result<Vec<Value>, Malformed> {
        let mut decoder = Decoder::default();
        decoder.set_room(room);
        let (mut input, mut values) = (BytesMut::new(), Vec::new());
        for some in text.chunks(step.max(1)) {
            input.extend_from_slice(some);
            while let Some(value) = decoder.decode(&mut input)? {
                values.push(value);
            }
        }
        Ok(values)
    }

    #[test]
    fn each_type_of_reply_is_decoded_however_it_arrives() {
        let text = b"+OK\r\n-ERR no\r\n:-7\r\n$4\r\na\r\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n\
            *2\r\n*1\r\n:1\r\n$1\r\nx\r\n";
        let all = [
            Value::Simple("OK".to_owned()),
            Value::Error("ERR no".to_owned()),
            Value::Integer(-7),
            Value::Bytes(b"a\r\nb".to_vec()),
            Value::Bytes(Vec::new()),
            Value::Nil,
            Value::Nil,
            Value::List(Vec::new()),
            Value::List(vec![Value::List(vec![Value::Integer(1)]), Value::Bytes(b"x".to_vec())]),
        ];
        for step in [1, 2, 3, 7, text.len()] {
            assert_eq!(decode_all(text, ROOM, step).unwrap(), all, "{step}");
        }
    }

    #[test]
    fn a_reply_beyond_the_room_is_skipped_and_the_next_ones_are_not() {
        let large = vec![b'x'; 1_000];
        let mut text = b"$1000\r\n".to_vec();
        text.extend_from_slice(&large);
        text.extend_from_slice(b"\r\n*3\r\n:1\r\n$1000\r\n");
        text.extend_from_slice(&large);
        text.extend_from_slice(b"\r\n+OK\r\n$2\r\nok\r\n");
        let values = decode_all(&text, 500, 11).unwrap();
        assert_eq!(values, [Value::TooLarge, Value::TooLarge, Value::Bytes(b"ok".to_vec())]);
    }

    #[test]
    fn replies_use_up_the_room_together() {
        let text = b"$100\r\n".iter().chain(&[b'x'; 100]).chain(b"\r\n");
        let text: Vec<u8> = text.copied().collect();
        let values = decode_all(&text.repeat(3), 2 * (100 + VALUE_BYTES), 64).unwrap();
        assert!(matches!(values[..], [Value::Bytes(_), Value::Bytes(_), Value::TooLarge]));
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for (text, why) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Malformed::NotResp),
            (b"\x15\x03\x03\x00\x02\x02\x0a", Malformed::Tls),
            (b"$3\r\nabcd\r\n", Malformed::NotResp),
            (b"$-2\r\n", Malformed::NotResp),
            (b":1x\r\n", Malformed::NotResp),
            (b"+OK\n", Malformed::NotResp),
        ] {
            assert_eq!(decode_all(text, ROOM, 4), Err(why), "{}", text.escape_ascii());
        }
        let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
        assert_eq!(decode_all(deep.as_bytes(), ROOM, 4), Err(Malformed::Depth));
        assert_eq!(decode_all(&[b'+'; LINE_BYTES_MAX], ROOM, 4_096), Err(Malformed::Line));
    }

    #[test]
    fn fuzz_reply() {
        let samples: [&[u8]; 5] = [
            b"+OK\r\n",
            b"*2\r\n$3\r\nfoo\r\n*2\r\n:1\r\n$-1\r\n",
            b"-ERR no\r\n",
            b"$600\r\n",
            b"*3\r\n+a\r\n:70\r\n$0\r\n\r\n",
        ];
        convoke_harness::check!(&samples, |bytes| {
            /// Memory of a value, as it is counted.
            fn size(value: &Value) -> usize {
                VALUE_BYTES
                    + match value {
                        Value::Bytes(bytes) => bytes.len(),
                        Value::List(all) => all.iter().map(size).sum(),
                        _ => 0,
                    }
            }
            let (at_once, slowly) = (decode_all(bytes, 512, usize::MAX), decode_all(bytes, 512, 1));
            assert_eq!(at_once, slowly, "chunks make no difference");
            let kept = at_once.unwrap_or_default();
            let kept = kept.iter().filter(|value| **value != Value::TooLarge);
            assert!(kept.map(size).sum::<usize>() <= 512);
        });
    }
}
