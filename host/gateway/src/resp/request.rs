//! Parsing of requests: arrays of bulk strings, or inline commands.
//!
//! The parser either finds a complete request, whose arguments are ranges of the buffer, or returns
//! that it needs more data. It remembers its position, so that a large request that arrives in
//! pieces is scanned only once.

use std::ops::Range;

/// Maximum number of arguments of one request.
pub const ARGUMENTS_MAX: usize = 1_024 * 1_024;
/// Maximum size of one argument, in bytes.
pub const ARGUMENT_BYTES_MAX: usize = convoke_grid::VALUE_BYTES_MAX;
/// Maximum length of an inline command, and of the header line of another request, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1_024;
/// Maximum size of one request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 2 * ARGUMENT_BYTES_MAX;
/// Maximum number of arguments of a request of an unauthenticated client.
pub const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
/// Maximum size of an argument of an unauthenticated client, in bytes.
pub const UNAUTHENTICATED_ARGUMENT_BYTES_MAX: usize = 16 * 1_024;

/// A protocol error. The connection cannot be used after it, since the start of the next request is
/// unknown. Messages are those of Redis where it has that error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is not a number, or too large.
    #[error("invalid multibulk length")]
    Arguments,
    /// The length of an argument is not a number, or too large.
    #[error("invalid bulk length")]
    Length,
    /// An argument does not start with `$`.
    #[error("expected '$', got '{}'", char::from(*.0))]
    Dollar(u8),
    /// The header line with the number of arguments is too long.
    #[error("too big mbulk count string")]
    ArgumentsLine,
    /// The header line with the length of an argument is too long.
    #[error("too big bulk count string")]
    LengthLine,
    /// An inline command is too long.
    #[error("too big inline request")]
    Line,
    /// An inline command has an unclosed quote.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// More arguments than an unauthenticated client may send.
    #[error("unauthenticated multibulk length")]
    UnauthenticatedArguments,
    /// A longer argument than an unauthenticated client may send.
    #[error("unauthenticated bulk length")]
    UnauthenticatedLength,
    /// The request exceeds [`REQUEST_BYTES_MAX`].
    #[error("request of more than {REQUEST_BYTES_MAX} bytes")]
    Request,
}

/// An incremental parser of requests.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Arguments parsed so far, as ranges of the buffer.
    arguments: Vec<Range<usize>>,
    /// Number of arguments of the current request; `None` between requests.
    wanted: Option<usize>,
    /// Length of the current argument, in bytes.
    length: Option<usize>,
    /// Position in the buffer.
    at: usize,
    /// The arguments of an inline command, unquoted and concatenated.
    unquoted: Vec<u8>,
}

/// A complete request.
#[derive(Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range<usize>],
    /// Number of bytes of the buffer that it occupied.
    pub consumed: usize,
}

impl<'a> Request<'a> {
    /// A request whose arguments are ranges of `bytes`.
    #[must_use]
    pub fn of(bytes: &'a [u8], arguments: &'a [Range<usize>]) -> Self {
        Self { bytes, arguments, consumed: 0 }
    }

    /// Number of arguments, including the command name. Zero for an empty line.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Whether it is an empty line, which is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// The argument at `index`; the command name is at 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.arguments.get(index).map(|range| &self.bytes[range.clone()])
    }

    /// All arguments from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        let rest = self.arguments.get(index..).unwrap_or_default();
        let bytes = self.bytes;
        rest.iter().map(move |range| &bytes[range.clone()])
    }
}

/// A request that owns its arguments, for a command that starts later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OwnedRequest {
    bytes: Vec<u8>,
    arguments: Vec<Range<usize>>,
}

impl From<&Request<'_>> for OwnedRequest {
    fn from(request: &Request<'_>) -> Self {
        Self::of(request.from(0))
    }
}

impl OwnedRequest {
    /// A request with these arguments, the first of which is the name of the command.
    pub(crate) fn of<'a>(all: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let (mut bytes, mut arguments) = (Vec::new(), Vec::with_capacity(all.len()));
        for argument in all {
            let start = bytes.len();
            bytes.extend_from_slice(argument);
            arguments.push(start..bytes.len());
        }
        Self { bytes, arguments }
    }

    pub(crate) fn as_request(&self) -> Request<'_> {
        Request::of(&self.bytes, &self.arguments)
    }

    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.arguments.len() * size_of::<Range<usize>>()
    }
}

/// Result of searching for the end of a line.
enum Line {
    /// The line ends before the first position; the next one starts at the second.
    Ends(usize, usize),
    /// The end has not arrived yet.
    Open,
}

impl RequestParser {
    /// Parses the next request of `buffer`, which starts where the last one ended. Returns `None`
    /// if it is incomplete. Limits are lower unless `is_authenticated`.
    ///
    /// # Errors
    /// If the bytes are not a valid request.
    pub fn next<'a>(
        &'a mut self,
        buffer: &'a [u8],
        is_authenticated: bool,
    ) -> Result<Option<Request<'a>>, ProtocolError> {
        if self.wanted.is_none() {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.begin(buffer, is_authenticated)? {
                        return Ok(None);
                    }
                }
                Some(_) => return self.line(buffer),
            }
        }
        while self.arguments.len() < self.wanted.unwrap_or(0) {
            if !self.argument(buffer, is_authenticated)? {
                return Ok(None);
            }
        }
        let consumed = self.at;
        self.wanted = None;
        self.at = 0;
        Ok(Some(Request { bytes: buffer, arguments: &self.arguments, consumed }))
    }

    /// Parses the number of arguments. Returns whether the line was complete.
    fn begin(&mut self, buffer: &[u8], is_authenticated: bool) -> Result<bool, ProtocolError> {
        let (end, next) = match find_line(buffer, 0) {
            Line::Ends(end, next) => (end, next),
            Line::Open if buffer.len() > LINE_BYTES_MAX => {
                return Err(ProtocolError::ArgumentsLine);
            }
            Line::Open => return Ok(false),
        };
        let count = number(&buffer[1..end]).ok_or(ProtocolError::Arguments)?;
        if count > ARGUMENTS_MAX as i64 {
            return Err(ProtocolError::Arguments);
        }
        if !is_authenticated && count > UNAUTHENTICATED_ARGUMENTS_MAX as i64 {
            return Err(ProtocolError::UnauthenticatedArguments);
        }
        self.arguments.clear();
        // Zero or a negative number: an empty request, which is ignored.
        self.wanted = Some(usize::try_from(count).unwrap_or(0));
        self.at = next;
        Ok(true)
    }

    /// Parses one argument. Returns whether it was complete.
    fn argument(&mut self, buffer: &[u8], is_authenticated: bool) -> Result<bool, ProtocolError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(first) = buffer.get(self.at) else { return Ok(false) };
                if *first != b'$' {
                    return Err(ProtocolError::Dollar(*first));
                }
                let (end, next) = match find_line(buffer, self.at) {
                    Line::Ends(end, next) => (end, next),
                    Line::Open if buffer.len() - self.at > LINE_BYTES_MAX => {
                        return Err(ProtocolError::LengthLine);
                    }
                    Line::Open => return Ok(false),
                };
                let length = number(&buffer[self.at + 1..end]).ok_or(ProtocolError::Length)?;
                let length = usize::try_from(length).map_err(|_| ProtocolError::Length)?;
                if length > ARGUMENT_BYTES_MAX {
                    return Err(ProtocolError::Length);
                }
                if !is_authenticated && length > UNAUTHENTICATED_ARGUMENT_BYTES_MAX {
                    return Err(ProtocolError::UnauthenticatedLength);
                }
                if next + length > REQUEST_BYTES_MAX {
                    return Err(ProtocolError::Request);
                }
                self.at = next;
                self.length = Some(length);
                length
            }
        };
        // The trailing CRLF is not checked, as in Redis.
        if buffer.len() < self.at + length + 2 {
            return Ok(false);
        }
        self.arguments.push(self.at..self.at + length);
        self.at += length + 2;
        self.length = None;
        Ok(true)
    }

    /// Parses an inline command.
    fn line<'a>(&'a mut self, buffer: &'a [u8]) -> Result<Option<Request<'a>>, ProtocolError> {
        let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
            return if buffer.len() > LINE_BYTES_MAX { Err(ProtocolError::Line) } else { Ok(None) };
        };
        let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        if line.len() > LINE_BYTES_MAX {
            return Err(ProtocolError::Line);
        }
        self.arguments.clear();
        self.unquoted.clear();
        split(line, &mut self.unquoted, &mut self.arguments).ok_or(ProtocolError::Quotes)?;
        Ok(Some(Request { bytes: &self.unquoted, arguments: &self.arguments, consumed: end + 1 }))
    }
}

/// Finds the end of the line that starts at `from`.
fn find_line(buffer: &[u8], from: usize) -> Line {
    // Header lines are short, so the scan is cheap.
    match buffer[from..].iter().position(|byte| *byte == b'\r') {
        Some(at) if from + at + 1 < buffer.len() => Line::Ends(from + at, from + at + 2),
        _ => Line::Open,
    }
}

/// Parses the number of a header line. As in Redis, it has no leading zeros.
fn number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let is_number = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !is_number || (digits[0] == b'0' && text != b"0") {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some(if negative { -number } else { number })
}

/// Splits a line at whitespace. Double-quoted strings may contain escapes (`\n`, `\x41`, `\"` …),
/// single-quoted ones only `\'`. Returns `None` if a quote is not closed, or is not followed by
/// whitespace.
pub(crate) fn split(
    line: &[u8],
    bytes: &mut Vec<u8>,
    arguments: &mut Vec<Range<usize>>,
) -> Option<()> {
    let mut rest = line.trim_ascii_start();
    while let Some(first) = rest.first() {
        let start = bytes.len();
        match first {
            b'"' => rest = double_quoted(&rest[1..], bytes)?,
            b'\'' => rest = single_quoted(&rest[1..], bytes)?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                // A quote inside a word starts a quoted part of it.
                let quote = rest[..end].iter().position(|byte| matches!(byte, b'"' | b'\''));
                let plain = quote.unwrap_or(end);
                bytes.extend_from_slice(&rest[..plain]);
                rest = match quote.map(|at| rest[at]) {
                    Some(b'"') => double_quoted(&rest[plain + 1..], bytes)?,
                    Some(_) => single_quoted(&rest[plain + 1..], bytes)?,
                    None => &rest[end..],
                };
            }
        }
        arguments.push(start..bytes.len());
        if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return None;
        }
        rest = rest.trim_ascii_start();
    }
    Some(())
}

fn double_quoted<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        match rest {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

fn single_quoted<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        match rest {
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                bytes.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parsed = Vec<Vec<Vec<u8>>>;

    /// Feeds the pieces to a parser and returns the requests.
    fn read(pieces: &[&[u8]], is_authenticated: bool) -> Result<Parsed, ProtocolError> {
        let (mut parser, mut buffer, mut all) = (RequestParser::default(), Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            let mut at = 0;
            while let Some(request) = parser.next(&buffer[at..], is_authenticated)? {
                let arguments: Vec<_> = request.from(0).map(<[u8]>::to_vec).collect();
                let consumed = request.consumed;
                assert!(consumed > 0);
                at += consumed;
                if !arguments.is_empty() {
                    all.push(arguments);
                }
            }
            buffer.drain(..at);
        }
        Ok(all)
    }

    fn texts(parsed: &Parsed) -> Vec<Vec<String>> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        parsed.iter().map(|request| request.iter().map(text).collect()).collect()
    }

    #[test]
    fn arrays_and_inline_commands_are_parsed_and_empty_ones_ignored() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\nPING  a \r\n*0\r\n*-1\r\nset k \"a b\\x41\\n\" 'it\\'s'\n";
        let wanted = [vec!["GET", "k"], vec!["PING", "a"], vec!["set", "k", "a bA\n", "it's"]];
        assert_eq!(texts(&read(&[bytes], true).unwrap()), wanted);
    }

    #[test]
    fn invalid_requests_are_rejected_with_the_errors_of_redis() {
        for (bytes, message) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*3000000000\r\n", "invalid multibulk length"),
            (b"*01\r\n$4\r\nPING\r\n", "invalid multibulk length"),
            (b"*-0\r\n", "invalid multibulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"get \"k\r\n", "unbalanced quotes in request"),
            (b"get \"k\"x\r\n", "unbalanced quotes in request"),
        ] {
            assert_eq!(read(&[bytes], true).unwrap_err().to_string(), message, "{bytes:?}");
        }
        let long = vec![b'1'; LINE_BYTES_MAX + 2];
        for (begin, message) in [
            ("*", "too big mbulk count string"),
            ("*1\r\n$", "too big bulk count string"),
            ("a", "too big inline request"),
        ] {
            let bytes = [begin.as_bytes(), &long].concat();
            assert_eq!(read(&[&bytes], true).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn unauthenticated_clients_have_lower_limits() {
        let error = read(&[b"*11\r\n"], false).unwrap_err();
        assert_eq!(error.to_string(), "unauthenticated multibulk length");
        let error = read(&[b"*1\r\n$16385\r\n"], false).unwrap_err();
        assert_eq!(error.to_string(), "unauthenticated bulk length");
        assert!(read(&[b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"], false).is_ok());
    }

    proptest! {
        #[test]
        fn requests_are_parsed_the_same_however_they_are_split(
            requests in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..5),
                0..8,
            ),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut bytes = Vec::new();
            for request in &requests {
                bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
                for argument in request {
                    bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
                    bytes.extend_from_slice(argument);
                    bytes.extend_from_slice(b"\r\n");
                }
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces, true).unwrap(), requests);
        }
    }

    /// However bytes are split, they are the same requests, within the limits.
    #[test]
    fn fuzz_request() {
        let samples: [&[u8]; 9] = [
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n",
            b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n\r\nin a value\r\n",
            b"PING\r\nset k \"a b\\x41\\n\" 'it\\'s'\n\r\n*0\r\n*-1\r\n",
            b"*2147483647\r\n$3\r\nGET\r\n",
            b"*1\r\n$536870912\r\n",
            b"*2\r\n$3\r\nGET\r\n$-1\r\n",
            b"*1\r\n*1\r\n$4\r\nPING\r\n",
            b"*11\r\n$16385\r\n",
            b"GET k\"x\"y\r\n",
        ];
        convoke_harness::check!(&samples, |bytes| {
            for is_authenticated in [true, false] {
                let whole = read(&[bytes], is_authenticated);
                let (first, second) = bytes.split_at(bytes.len() / 2);
                let pieces = [&first[..first.len() / 2], &first[first.len() / 2..], second];
                let pieced = read(&pieces, is_authenticated);
                let single: Vec<_> = bytes.chunks(1).collect();
                let bytewise = read(&single, is_authenticated);
                assert_eq!(whole, pieced);
                assert_eq!(whole, bytewise);
                let Ok(requests) = whole else { continue };
                for request in &requests {
                    let length: usize = request.iter().map(Vec::len).sum();
                    assert!(length <= bytes.len());
                }
                // Encoded as arrays, they are the same.
                let mut encoded = Vec::new();
                for request in &requests {
                    encoded.extend(format!("*{}\r\n", request.len()).into_bytes());
                    for argument in request {
                        encoded.extend(format!("${}\r\n", argument.len()).into_bytes());
                        encoded.extend([argument, &b"\r\n"[..]].concat());
                    }
                }
                assert_eq!(read(&[&encoded], true), Ok(requests));
            }
        });
    }
}
