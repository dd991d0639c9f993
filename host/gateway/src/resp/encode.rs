//! Encoding of replies: RESP2, or RESP3 for clients that select it with `HELLO 3`.

use convoke_grid::{GroupUse, OpError, Reply, StreamError};
use convoke_script::number_text;

/// Protocol version of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Encodes maps and sets as arrays, and doubles as bulk strings.
    #[default]
    Resp2,
    /// Has types for maps, sets, doubles, nulls and push messages.
    Resp3,
}

/// Writes replies into a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    /// The buffer that is appended to.
    pub buffer: &'a mut Vec<u8>,
    /// The protocol version.
    pub protocol: Protocol,
}

impl Encoder<'_> {
    /// A simple string, such as `+OK`.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error. Control characters are replaced by spaces, so that it stays one line.
    pub fn error(&mut self, text: &str) {
        let plain: Vec<u8> =
            text.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }).collect();
        self.line(b'-', &plain);
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) {
        self.number(b':', number);
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.number(b'$', length(bytes.len()));
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A null bulk string in RESP2, a null in RESP3.
    pub fn nil(&mut self) {
        self.buffer.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// A null array in RESP2, a null in RESP3.
    pub fn nil_list(&mut self) {
        self.buffer.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The header of an array of `count` elements.
    pub fn list(&mut self, count: usize) {
        self.number(b'*', length(count));
    }

    /// The header of a map of `count` pairs.
    pub fn map(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length(count * 2)),
            Protocol::Resp3 => self.number(b'%', length(count)),
        }
    }

    /// The header of a set of `count` elements.
    pub fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length(count)),
            Protocol::Resp3 => self.number(b'~', length(count)),
        }
    }

    /// The header of a push message of `count` elements; an array in RESP2.
    pub fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length(count)),
            Protocol::Resp3 => self.number(b'>', length(count)),
        }
    }

    /// A floating-point number: a bulk string in RESP2.
    pub fn double(&mut self, number: f64) {
        let text = number_text(number);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A truth value: 1 or 0 in RESP2.
    pub fn boolean(&mut self, is_true: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(is_true.into()),
            Protocol::Resp3 => self.line(b'#', if is_true { b"t" } else { b"f" }),
        }
    }

    /// A number of any length: a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// A text with its format: a bulk string in RESP2.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.number(b'=', length(text.len() + 4));
                self.buffer.extend_from_slice(&format);
                self.buffer.push(b':');
                self.buffer.extend_from_slice(text);
                self.buffer.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A floating-point number in decimal notation: a bulk string in RESP2.
    pub fn decimal(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text),
        }
    }

    /// Ordered pairs: a flat array in RESP2, an array of pairs in RESP3.
    pub fn pairs<T>(&mut self, pairs: &[(T, T)], one: impl Fn(&mut Self, &T)) {
        match self.protocol {
            Protocol::Resp2 => self.list(pairs.len() * 2),
            Protocol::Resp3 => self.list(pairs.len()),
        }
        for (first, second) in pairs {
            if self.protocol == Protocol::Resp3 {
                self.list(2);
            }
            one(self, first);
            one(self, second);
        }
    }

    /// A value for each of several keys: an array of pairs in RESP2, a map in RESP3.
    pub fn by_key<T>(&mut self, pairs: &[(T, T)], one: impl Fn(&mut Self, &T)) {
        match self.protocol {
            Protocol::Resp2 => self.list(pairs.len()),
            Protocol::Resp3 => self.map(pairs.len()),
        }
        for (key, value) in pairs {
            if self.protocol == Protocol::Resp2 {
                self.list(2);
            }
            one(self, key);
            one(self, value);
        }
    }

    /// A reply of the grid.
    pub fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Done => self.simple("OK"),
            Reply::Nil => self.nil(),
            Reply::NilList => self.nil_list(),
            Reply::Integer(number) => self.integer(*number),
            Reply::Double(number) => self.double(*number),
            Reply::Bytes(bytes) => self.bulk(bytes),
            Reply::Word(word) => self.simple(word),
            Reply::List(all) => {
                self.list(all.len());
                all.iter().for_each(|one| self.reply(one));
            }
            Reply::Set(all) => {
                self.set(all.len());
                all.iter().for_each(|one| self.reply(one));
            }
            Reply::Map(pairs) => {
                self.map(pairs.len());
                for (key, value) in pairs {
                    self.reply(key);
                    self.reply(value);
                }
            }
            Reply::Pairs(pairs) => self.pairs(pairs, |encoder, one| encoder.reply(one)),
            Reply::ByKey(pairs) => self.by_key(pairs, |encoder, one| encoder.reply(one)),
            Reply::Failed(error) => self.error(&error_text(error)),
            Reply::Decimal(text) => self.decimal(text.as_bytes()),
        }
    }

    /// The result of an operation: its reply or an error.
    pub fn result(&mut self, result: &Result<Reply, OpError>) {
        match result {
            Ok(reply) => self.reply(reply),
            Err(error) => self.error(&error_text(error)),
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.push(kind);
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A line with a number. Formatted by hand because it is the most frequent output.
    fn number(&mut self, kind: u8, number: i64) {
        self.buffer.push(kind);
        if number < 0 {
            self.buffer.push(b'-');
        }
        // Digits in reverse order; 20 are enough for 64 bits.
        let (mut digits, mut at, mut rest) = ([0; 20], 20, number.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.buffer.extend_from_slice(&digits[at..]);
        self.buffer.extend_from_slice(b"\r\n");
    }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The error message of an operation, with its code. Worded as in Redis where Redis has that error,
/// since clients compare messages.
#[must_use]
pub fn error_text(error: &OpError) -> String {
    match error {
        OpError::WrongType => {
            "WRONGTYPE Operation against a key holding the wrong kind of value".into()
        }
        OpError::NotAnInteger => "ERR value is not an integer or out of range".into(),
        OpError::NotANumber => "ERR value is not a valid float".into(),
        OpError::FieldNotAnInteger => "ERR hash value is not an integer".into(),
        OpError::FieldNotANumber => "ERR hash value is not a float".into(),
        OpError::Overflow => "ERR increment or decrement would overflow".into(),
        OpError::NotFinite => "ERR increment would produce NaN or Infinity".into(),
        OpError::NotAScore => "ERR resulting score is not a number (NaN)".into(),
        OpError::NoSuchKey => "ERR no such key".into(),
        OpError::NoSuchMember => "ERR could not decode requested zset member".into(),
        OpError::KeyExists => "BUSYKEY Target key name already exists.".into(),
        OpError::BadChecksum => "ERR DUMP payload version or checksum are wrong".into(),
        OpError::BadValue => "ERR Bad data format".into(),
        OpError::SameKey => "ERR source and destination objects are the same".into(),
        OpError::NoSuchIndex => "ERR index out of range".into(),
        OpError::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)".into(),
        OpError::Full => "OOM command not allowed when used memory > 'maxmemory'.".into(),
        OpError::TooFewMembers { .. } => {
            format!("NOREPLICAS Not enough good replicas to write: {error}")
        }
        OpError::NoDataMember | OpError::NoCluster | OpError::Unavailable => {
            format!("CLUSTERDOWN {error}")
        }
        OpError::Busy | OpError::Conflict => format!("TRYAGAIN {error}"),
        OpError::Indeterminate => format!("INDETERMINATE {error}"),
        OpError::NotAHyperLogLog => "WRONGTYPE Key is not a valid HyperLogLog string value.".into(),
        OpError::CorruptHyperLogLog => "INVALIDOBJ Corrupted HLL object detected".into(),
        OpError::NotStrings => "ERR The specified keys must contain string values".into(),
        OpError::LcsTooLarge => {
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len".into()
        }
        OpError::NotSortable => "ERR One or more scores can't be converted into double".into(),
        OpError::NotAString => {
            "ERR Key should be of string type if conditions are specified".into()
        }
        OpError::NotADigest => "ERR must be exactly 16 hexadecimal characters".into(),
        OpError::Infinite => "ERR value cannot be Infinity".into(),
        OpError::AddedOverflow => "ERR applied increment would overflow".into(),
        OpError::Stream(error) => stream_error_text(error),
        OpError::KeyTooLong
        | OpError::AnswerTooLong
        | OpError::Held
        | OpError::Changed
        | OpError::TooManyMaps
        | OpError::TooManyKeys
        | OpError::TookTooLong
        | OpError::Malformed => format!("ERR {error}"),
    }
}

/// The error message of an operation on a stream, with its code.
fn stream_error_text(error: &StreamError) -> String {
    match error {
        StreamError::IdTooSmall => {
            "ERR The ID specified in XADD is equal or smaller than the target stream top item".into()
        }
        StreamError::Exhausted => {
            "ERR The stream has exhausted the last possible ID, unable to add more items".into()
        }
        StreamError::NoStream => {
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.".into()
        }
        StreamError::NoGroup { key, group, by: GroupUse::Describe } => {
            format!("NOGROUP No such consumer group '{group}' for key name '{key}'")
        }
        StreamError::NoGroup { key, group, by } => {
            let by = if *by == GroupUse::Read { " in XREADGROUP with GROUP option" } else { "" };
            format!("NOGROUP No such key '{key}' or consumer group '{group}'{by}")
        }
        StreamError::GroupExists => "BUSYGROUP Consumer Group name already exists".into(),
        StreamError::BelowLastEntry => {
            "ERR The ID specified in XSETID is smaller than the target stream top item".into()
        }
        StreamError::BelowDeleted => {
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id".into()
        }
        StreamError::AddedBelowLength => {
            "ERR The entries_added specified in XSETID is smaller than the target stream length"
                .into()
        }
        StreamError::NameTooLong
        | StreamError::TooManyGroups
        | StreamError::TooManyConsumers => format!("ERR {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, protocol: Protocol) -> String {
        let mut buffer = Vec::new();
        Encoder { buffer: &mut buffer, protocol }.reply(reply);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn replies_are_encoded_in_both_protocols() {
        let pair = || vec![(Reply::bytes(b"m"), Reply::Double(1.5))];
        for (reply, resp2, resp3) in [
            (Reply::Done, "+OK\r\n", "+OK\r\n"),
            (Reply::Nil, "$-1\r\n", "_\r\n"),
            (Reply::NilList, "*-1\r\n", "_\r\n"),
            (Reply::Integer(-70), ":-70\r\n", ":-70\r\n"),
            (Reply::Double(2.0), "$1\r\n2\r\n", ",2\r\n"),
            (Reply::bytes(b"a\r\n"), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
            (Reply::Word("none".into()), "+none\r\n", "+none\r\n"),
            (Reply::List(vec![Reply::Nil]), "*1\r\n$-1\r\n", "*1\r\n_\r\n"),
            (Reply::Set(vec![Reply::Done]), "*1\r\n+OK\r\n", "~1\r\n+OK\r\n"),
            (Reply::Map(pair()), "*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n", "%1\r\n$1\r\nm\r\n,1.5\r\n"),
            (
                Reply::Pairs(pair()),
                "*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n",
                "*1\r\n*2\r\n$1\r\nm\r\n,1.5\r\n",
            ),
            (Reply::Decimal("1.25".into()), "$4\r\n1.25\r\n", ",1.25\r\n"),
            (
                Reply::ByKey(pair()),
                "*1\r\n*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n",
                "%1\r\n$1\r\nm\r\n,1.5\r\n",
            ),
            (Reply::Failed(OpError::NoSuchKey), "-ERR no such key\r\n", "-ERR no such key\r\n"),
        ] {
            assert_eq!(written(&reply, Protocol::Resp2), resp2, "{reply:?}");
            assert_eq!(written(&reply, Protocol::Resp3), resp3, "{reply:?}");
        }
    }

    #[test]
    fn all_digits_of_an_integer_are_written() {
        for number in [0, 1, -1, 9, 10, i64::MAX, i64::MIN] {
            let text = written(&Reply::Integer(number), Protocol::Resp2);
            assert_eq!(text, format!(":{number}\r\n"));
        }
    }

    #[test]
    fn control_characters_in_an_error_become_spaces() {
        let mut buffer = Vec::new();
        let mut encoder = Encoder { buffer: &mut buffer, protocol: Protocol::Resp2 };
        encoder.error("ERR unknown command 'a\r\nb'");
        assert_eq!(buffer, b"-ERR unknown command 'a  b'\r\n");
    }

    #[test]
    fn unknown_outcomes_and_failures_have_different_error_codes() {
        assert!(error_text(&OpError::Indeterminate).starts_with("INDETERMINATE "));
        assert!(error_text(&OpError::Unavailable).starts_with("CLUSTERDOWN "));
        assert!(error_text(&OpError::Busy).starts_with("TRYAGAIN "));
    }
}
