//! Requests as they come over the wire: arrays of bulk strings, or lines.
//!
//! The parser looks at what has arrived and either finds a whole request, whose
//! arguments are ranges of the buffer, or wants more. It keeps how far it got, so
//! that a long request that comes in pieces is looked at once.

use std::ops::Range;

/// Arguments of one request, at most.
pub const ARGUMENTS_MAX: usize = 1_024 * 1_024;
/// Bytes of one argument, at most.
pub const ARGUMENT_BYTES_MAX: usize = convoke_grid::VALUE_BYTES_MAX;
/// Bytes of a request that is one line, and of the line that begins another.
pub const LINE_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of one whole request, at most.
pub const REQUEST_BYTES_MAX: usize = 2 * ARGUMENT_BYTES_MAX;
/// Arguments of a request of a client that has not proved who it is.
pub const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
/// Bytes of an argument of a client that has not proved who it is.
pub const UNAUTHENTICATED_ARGUMENT_BYTES_MAX: usize = 16 * 1_024;

/// What is wrong with a request. The connection is of no use after that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is no number, or too great.
    #[error("invalid multibulk length")]
    Arguments,
    /// The length of an argument is no number, or too great.
    #[error("invalid bulk length")]
    Length,
    /// An argument does not begin as one does.
    #[error("expected '$', got '{}'", char::from(*.0))]
    Dollar(u8),
    /// The line with the number of arguments does not end.
    #[error("too big mbulk count string")]
    ArgumentsLine,
    /// The line with the length of an argument does not end.
    #[error("too big bulk count string")]
    LengthLine,
    /// A line does not end.
    #[error("too big inline request")]
    Line,
    /// A line has a quote that is not closed.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// More arguments than a stranger may send.
    #[error("unauthenticated multibulk length")]
    StrangerArguments,
    /// A longer argument than a stranger may send.
    #[error("unauthenticated bulk length")]
    StrangerLength,
    /// The whole request is too long.
    #[error("request of more than {REQUEST_BYTES_MAX} bytes")]
    Request,
}

/// Reads requests out of a buffer.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Arguments found so far, as ranges of the buffer.
    arguments: Vec<Range<usize>>,
    /// Arguments of the request that is being read; none between requests.
    wanted: Option<usize>,
    /// The length of the argument that is being read.
    length: Option<usize>,
    /// How far the buffer was read.
    at: usize,
    /// The arguments of a line that had quotes, one behind the other.
    unquoted: Vec<u8>,
}

/// A whole request.
#[derive(Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    arguments: &'a [Range<usize>],
    /// How many bytes of the buffer it took.
    pub taken: usize,
}

impl<'a> Request<'a> {
    /// Of arguments that lie in `bytes`.
    #[must_use]
    pub fn of(bytes: &'a [u8], arguments: &'a [Range<usize>]) -> Self {
        Self { bytes, arguments, taken: 0 }
    }

    /// Number of arguments, the command's name among them. Zero for an empty line.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Whether it is an empty line, which is no request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// An argument.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.arguments.get(index).map(|range| &self.bytes[range.clone()])
    }

    /// All arguments from one on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        let rest = self.arguments.get(index..).unwrap_or_default();
        let bytes = self.bytes;
        rest.iter().map(move |range| &bytes[range.clone()])
    }
}

/// What a look at the buffer came to.
enum Line {
    /// It ends before this place; what follows begins at the other.
    Ends(usize, usize),
    /// It has not ended yet.
    Open,
}

impl RequestParser {
    /// The next request of `buffer`, which begins where the last one ended; `None`
    /// when it is not whole yet. `trusted` when the client has proved who it is.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn next<'a>(
        &'a mut self,
        buffer: &'a [u8],
        trusted: bool,
    ) -> Result<Option<Request<'a>>, ProtocolError> {
        if self.wanted.is_none() {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.begin(buffer, trusted)? {
                        return Ok(None);
                    }
                }
                Some(_) => return self.line(buffer),
            }
        }
        while self.arguments.len() < self.wanted.unwrap_or(0) {
            if !self.argument(buffer, trusted)? {
                return Ok(None);
            }
        }
        let taken = self.at;
        self.wanted = None;
        self.at = 0;
        Ok(Some(Request { bytes: buffer, arguments: &self.arguments, taken }))
    }

    /// Reads the number of arguments. Returns whether it was there.
    fn begin(&mut self, buffer: &[u8], trusted: bool) -> Result<bool, ProtocolError> {
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
        if !trusted && count > UNAUTHENTICATED_ARGUMENTS_MAX as i64 {
            return Err(ProtocolError::StrangerArguments);
        }
        self.arguments.clear();
        // No argument, or fewer: an empty request, which is passed over.
        self.wanted = Some(usize::try_from(count).unwrap_or(0));
        self.at = next;
        Ok(true)
    }

    /// Reads one argument. Returns whether it was there.
    fn argument(&mut self, buffer: &[u8], trusted: bool) -> Result<bool, ProtocolError> {
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
                if !trusted && length > UNAUTHENTICATED_ARGUMENT_BYTES_MAX {
                    return Err(ProtocolError::StrangerLength);
                }
                if next + length > REQUEST_BYTES_MAX {
                    return Err(ProtocolError::Request);
                }
                self.at = next;
                self.length = Some(length);
                length
            }
        };
        // The line end behind it is taken for granted, as Redis does.
        if buffer.len() < self.at + length + 2 {
            return Ok(false);
        }
        self.arguments.push(self.at..self.at + length);
        self.at += length + 2;
        self.length = None;
        Ok(true)
    }

    /// Reads a request that is one line.
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
        Ok(Some(Request { bytes: &self.unquoted, arguments: &self.arguments, taken: end + 1 }))
    }
}

/// Where a line that begins at `from` ends.
fn find_line(buffer: &[u8], from: usize) -> Line {
    // Lengths are short: most lines end within a few bytes.
    match buffer[from..].iter().position(|byte| *byte == b'\r') {
        Some(at) if from + at + 1 < buffer.len() => Line::Ends(from + at, from + at + 2),
        _ => Line::Open,
    }
}

/// A number as lengths are written.
fn number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some(if negative { -number } else { number })
}

/// Splits a line at blanks. What is in double quotes may have escapes (`\n`,
/// `\x41`, `\"` …), what is in single quotes only `\'`. `None` when a quote is
/// not closed, or something follows one without a blank.
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
                // A quote within a word begins a quoted part of it.
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
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = behind;
            }
            [b'\\', escaped, behind @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = behind;
            }
            [byte, behind @ ..] => {
                bytes.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

fn single_quoted<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        match rest {
            [b'\'', behind @ ..] => return Some(behind),
            [b'\\', b'\'', behind @ ..] => {
                bytes.push(b'\'');
                rest = behind;
            }
            [byte, behind @ ..] => {
                bytes.push(*byte);
                rest = behind;
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

    /// Feeds pieces as they come, and gives what was read.
    fn read(pieces: &[&[u8]], trusted: bool) -> Result<Parsed, ProtocolError> {
        let (mut parser, mut buffer, mut all) = (RequestParser::default(), Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            let mut at = 0;
            while let Some(request) = parser.next(&buffer[at..], trusted)? {
                let arguments: Vec<_> = request.from(0).map(<[u8]>::to_vec).collect();
                let taken = request.taken;
                assert!(taken > 0);
                at += taken;
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
    fn arrays_and_lines_are_requests_and_empty_ones_are_passed_over() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\nPING  a \r\n*0\r\n*-1\r\nset k \"a b\\x41\\n\" 'it\\'s'\n";
        let wanted = [vec!["GET", "k"], vec!["PING", "a"], vec!["set", "k", "a bA\n", "it's"]];
        assert_eq!(texts(&read(&[bytes], true).unwrap()), wanted);
    }

    #[test]
    fn what_is_no_request_is_refused_in_the_words_that_clients_know() {
        for (bytes, words) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*3000000000\r\n", "invalid multibulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"get \"k\r\n", "unbalanced quotes in request"),
            (b"get \"k\"x\r\n", "unbalanced quotes in request"),
        ] {
            assert_eq!(read(&[bytes], true).unwrap_err().to_string(), words, "{bytes:?}");
        }
        let long = vec![b'1'; LINE_BYTES_MAX + 2];
        for (begin, words) in [
            ("*", "too big mbulk count string"),
            ("*1\r\n$", "too big bulk count string"),
            ("a", "too big inline request"),
        ] {
            let bytes = [begin.as_bytes(), &long].concat();
            assert_eq!(read(&[&bytes], true).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn a_stranger_may_send_little() {
        let error = read(&[b"*11\r\n"], false).unwrap_err();
        assert_eq!(error.to_string(), "unauthenticated multibulk length");
        let error = read(&[b"*1\r\n$16385\r\n"], false).unwrap_err();
        assert_eq!(error.to_string(), "unauthenticated bulk length");
        assert!(read(&[b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"], false).is_ok());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_requests_are_cut_into_pieces(
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

        #[test]
        fn arbitrary_bytes_do_no_harm(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'*'), Just(b'$'), Just(b'1'), Just(b'\r'), Just(b'\n')],
                0..200,
            ),
        ) {
            let _ = read(&[&bytes], true);
            let _ = read(&[&bytes], false);
        }
    }
}
