//! Answers as they go over the wire: RESP2, or RESP3 for clients that ask for it.

use convoke_grid::{OpError, Reply};

/// How a client wants its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Arrays and bulk strings for everything.
    #[default]
    Resp2,
    /// Maps, sets, doubles and nulls of their own.
    Resp3,
}

/// Writes answers into a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    /// Where they go.
    pub buffer: &'a mut Vec<u8>,
    /// How they are written.
    pub protocol: Protocol,
}

impl Encoder<'_> {
    /// `+OK`, and its like.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error. Line ends in it become blanks.
    pub fn error(&mut self, text: &str) {
        let plain: Vec<u8> =
            text.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }).collect();
        self.line(b'-', &plain);
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) {
        self.number(b':', number);
    }

    /// Bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.number(b'$', length(bytes.len()));
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// No value.
    pub fn nil(&mut self) {
        self.buffer.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No list.
    pub fn nil_list(&mut self) {
        self.buffer.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of a list of so many.
    pub fn list(&mut self, count: usize) {
        self.number(b'*', length(count));
    }

    /// The head of a map of so many pairs.
    pub fn map(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length(count * 2)),
            Protocol::Resp3 => self.number(b'%', length(count)),
        }
    }

    /// The head of a set of so many.
    pub fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length(count)),
            Protocol::Resp3 => self.number(b'~', length(count)),
        }
    }

    /// The head of what comes unasked: so many elements.
    pub fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.number(b'*', length(count)),
            Protocol::Resp3 => self.number(b'>', length(count)),
        }
    }

    /// A number with a fraction.
    pub fn double(&mut self, number: f64) {
        let text = format_double(number);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// What an operation answered.
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
            Reply::Pairs(pairs) => {
                // One list in RESP2, a list of pairs in RESP3.
                match self.protocol {
                    Protocol::Resp2 => self.list(pairs.len() * 2),
                    Protocol::Resp3 => self.list(pairs.len()),
                }
                for (first, second) in pairs {
                    if self.protocol == Protocol::Resp3 {
                        self.list(2);
                    }
                    self.reply(first);
                    self.reply(second);
                }
            }
            Reply::Failed(error) => self.error(&error_text(error)),
        }
    }

    /// What came of an operation.
    pub fn outcome(&mut self, outcome: &Result<Reply, OpError>) {
        match outcome {
            Ok(reply) => self.reply(reply),
            Err(error) => self.error(&error_text(error)),
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.push(kind);
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A line with a number: what is written most.
    fn number(&mut self, kind: u8, number: i64) {
        self.buffer.push(kind);
        if number < 0 {
            self.buffer.push(b'-');
        }
        // Digits from the last to the first; 20 are enough for 64 bits.
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

/// A number as clients expect it: no fraction where there is none, an exponent
/// where the number is very large or very small.
#[must_use]
pub fn format_double(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number == 0.0 {
        return "0".into();
    }
    let size = number.abs();
    if !(1e-5..1e17).contains(&size) {
        // The shortest digits, with a signed exponent of two digits at least.
        let text = format!("{number:e}");
        if let Some((digits, exponent)) = text.split_once('e') {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            return format!("{digits}e{sign}{exponent:0>2}");
        }
    }
    number.to_string()
}

/// The words for an error, those of Redis where it has some: clients compare them.
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
        OpError::KeyTooLong
        | OpError::AnswerTooLong
        | OpError::Held
        | OpError::Changed
        | OpError::TooManyMaps
        | OpError::Malformed => format!("ERR {error}"),
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
    fn each_answer_is_written_in_either_protocol() {
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
            (Reply::Failed(OpError::NoSuchKey), "-ERR no such key\r\n", "-ERR no such key\r\n"),
        ] {
            assert_eq!(written(&reply, Protocol::Resp2), resp2, "{reply:?}");
            assert_eq!(written(&reply, Protocol::Resp3), resp3, "{reply:?}");
        }
    }

    #[test]
    fn integers_are_written_whole() {
        for number in [0, 1, -1, 9, 10, i64::MAX, i64::MIN] {
            let text = written(&Reply::Integer(number), Protocol::Resp2);
            assert_eq!(text, format!(":{number}\r\n"));
        }
    }

    #[test]
    fn numbers_are_written_as_clients_expect_them() {
        for (number, text) in [
            (3.0, "3"),
            (0.1, "0.1"),
            (-0.0, "0"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5e+300"),
            (1e-7, "1e-07"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_double(number), text);
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_is_in_it() {
        let mut buffer = Vec::new();
        let mut encoder = Encoder { buffer: &mut buffer, protocol: Protocol::Resp2 };
        encoder.error("ERR unknown command 'a\r\nb'");
        assert_eq!(buffer, b"-ERR unknown command 'a  b'\r\n");
    }

    #[test]
    fn a_client_can_tell_what_is_not_known_from_what_was_not_done() {
        assert!(error_text(&OpError::Indeterminate).starts_with("INDETERMINATE "));
        assert!(error_text(&OpError::Unavailable).starts_with("CLUSTERDOWN "));
        assert!(error_text(&OpError::Busy).starts_with("TRYAGAIN "));
    }
}
