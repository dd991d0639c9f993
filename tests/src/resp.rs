//! A RESP2 client, with and without pipelining.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Timeout for connecting.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Default timeout for an answer: several times as long as a member lets an operation wait.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 64 << 10;

/// Largest simple string, error or number, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Largest bulk string, in bytes.
const VALUE_BYTES_MAX: usize = 512 << 20;

/// Largest number of elements of an array.
const ELEMENTS_MAX: usize = 1 << 20;

/// Maximum nesting of arrays.
const DEPTH_MAX: usize = 16;

/// Bytes of a value that are printed in failures.
const SHOWN_BYTES_MAX: usize = 80;

/// A value of RESP2.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A simple string, such as `+OK`.
    Simple(String),
    /// An error, which begins with its code.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A bulk string.
    Bytes(Vec<u8>),
    /// A null bulk string or null array.
    Nil,
    /// An array.
    List(Vec<Self>),
}

impl Value {
    /// `+OK`.
    #[must_use]
    pub fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// The text of an error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        if let Self::Error(text) = self { Some(text) } else { None }
    }

    /// The integer.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The elements.
    #[must_use]
    pub fn list(&self) -> Option<&[Self]> {
        if let Self::List(all) = self { Some(all) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// Abbreviated, for failures.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bytes(bytes) => {
                let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
                write!(f, "\"{}\"", shown.escape_ascii())?;
                if shown.len() < bytes.len() {
                    write!(f, "… ({} bytes)", bytes.len())?;
                }
                Ok(())
            }
            Self::Nil => f.write_str("nil"),
            Self::List(all) => f.debug_list().entries(all).finish(),
        }
    }
}

/// A connection to one member.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    timeout: Duration,
    input: Vec<u8>,
    /// Bytes of the input that were already returned.
    taken: usize,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, timeout: ANSWER_MAX, input: Vec::new(), taken: 0 })
    }

    /// Sets the timeout for each answer.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The connection, for raw input and output.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a command, and waits for the answer.
    ///
    /// # Errors
    /// If the connection breaks, or the answer times out.
    pub fn call(&mut self, args: &[&[u8]]) -> io::Result<Value> {
        self.send(args)?;
        self.receive()
    }

    /// Like [`Client::call`], with the command as a line of args.
    ///
    /// # Errors
    /// If the connection breaks, or the answer times out.
    pub fn command(&mut self, line: &str) -> io::Result<Value> {
        let args: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        self.call(&args)
    }

    /// Sends a command without reading the answer.
    ///
    /// # Errors
    /// If the connection breaks, or the write times out.
    pub fn send(&mut self, args: &[&[u8]]) -> io::Result<()> {
        self.send_bytes(&encode(args))
    }

    /// Sends arbitrary bytes.
    ///
    /// # Errors
    /// If the connection breaks, or the write times out.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends all requests in one pipeline, then waits for the answers, which are in the same order.
    ///
    /// # Errors
    /// If the connection breaks, or an answer times out.
    pub fn call_all<W: AsRef<[u8]>>(&mut self, requests: &[Vec<W>]) -> io::Result<Vec<Value>> {
        let mut bytes = Vec::new();
        for request in requests {
            let args: Vec<&[u8]> = request.iter().map(AsRef::as_ref).collect();
            bytes.extend(encode(&args));
        }
        self.send_bytes(&bytes)?;
        requests.iter().map(|_| self.receive()).collect()
    }

    /// Waits for the next answer or push message.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it times out, [`ErrorKind::InvalidData`] if it is not RESP, and
    /// others if the connection is closed.
    pub fn receive(&mut self) -> io::Result<Value> {
        let deadline = Instant::now() + self.timeout;
        loop {
            match decode(&self.input[self.taken..]) {
                Ok(Some((value, length))) => {
                    self.taken += length;
                    if self.taken == self.input.len() {
                        self.input = Vec::new();
                        self.taken = 0;
                    }
                    return Ok(value);
                }
                Ok(None) => self.read(deadline)?,
                Err(why) => return Err(io::Error::new(ErrorKind::InvalidData, why)),
            }
        }
    }

    /// Waits until the other side closes the connection, and returns the values received before.
    ///
    /// # Errors
    /// If it is not closed in time.
    pub fn drain(&mut self) -> io::Result<Vec<Value>> {
        let mut values = Vec::new();
        loop {
            match self.receive() {
                Ok(value) => values.push(value),
                Err(error) if is_end(&error) => return Ok(values),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads further input.
    fn read(&mut self, deadline: Instant) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            Ok(count) => {
                self.input.drain(..self.taken);
                self.taken = 0;
                self.input.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether an error means that the other side closed the connection.
#[must_use]
pub fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

/// A request: an array of bulk strings.
#[must_use]
pub fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The value at the beginning of `bytes`, and its length; `None` if it is incomplete.
///
/// # Errors
/// If it is not RESP2, or exceeds the limits above.
pub fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, String> {
    decode_within(bytes, DEPTH_MAX)
}

fn decode_within(bytes: &[u8], depth: usize) -> Result<Option<(Value, usize)>, String> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !b"+-:$*".contains(kind) {
        return Err(format!("no value begins with '{}'", kind.escape_ascii()));
    }
    let Some(length) = bytes.iter().position(|byte| *byte == b'\n') else {
        let is_long = bytes.len() > LINE_BYTES_MAX;
        return if is_long { Err("a line that does not end".to_owned()) } else { Ok(None) };
    };
    let Some(line) = bytes[1..length].strip_suffix(b"\r") else {
        return Err(format!("a line that ends badly: {}", bytes[..length].escape_ascii()));
    };
    let behind = length + 1;
    let text = || String::from_utf8_lossy(line).into_owned();
    let number = || {
        let number = str::from_utf8(line).ok().and_then(|line| line.parse::<i64>().ok());
        number.ok_or_else(|| format!("no number: {}", line.escape_ascii()))
    };
    // -1 is null; other negative numbers are invalid.
    let count = |max: usize| match number()? {
        -1 => Ok(None),
        count => match usize::try_from(count) {
            Ok(count) if count <= max => Ok(Some(count)),
            _ => Err(format!("{count} is not from 0 to {max}")),
        },
    };
    match kind {
        b'+' => Ok(Some((Value::Simple(text()), behind))),
        b'-' => Ok(Some((Value::Error(text()), behind))),
        b':' => Ok(Some((Value::Integer(number()?), behind))),
        b'$' => {
            let Some(length) = count(VALUE_BYTES_MAX)? else {
                return Ok(Some((Value::Nil, behind)));
            };
            let end = behind + length;
            match bytes.get(end..end + 2) {
                None => Ok(None),
                Some(b"\r\n") => Ok(Some((Value::Bytes(bytes[behind..end].to_vec()), end + 2))),
                Some(_) => Err("bytes that do not end where they should".to_owned()),
            }
        }
        _ => {
            let Some(count) = count(ELEMENTS_MAX)? else {
                return Ok(Some((Value::Nil, behind)));
            };
            let Some(depth) = depth.checked_sub(1) else {
                return Err(format!("more than {DEPTH_MAX} lists within lists"));
            };
            let (mut all, mut at) = (Vec::new(), behind);
            for _ in 0..count {
                let Some((value, length)) = decode_within(&bytes[at..], depth)? else {
                    return Ok(None);
                };
                all.push(value);
                at += length;
            }
            Ok(Some((Value::List(all), at)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn whole(text: &str) -> Value {
        let (value, length) = decode(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len(), "{text:?}");
        value
    }

    #[test]
    fn each_type_of_value_is_decoded() {
        assert_eq!(whole("+OK\r\n"), Value::ok());
        assert_eq!(whole("-ERR no\r\n"), Value::Error("ERR no".to_owned()));
        assert_eq!(whole(":-70\r\n"), Value::Integer(-70));
        assert_eq!(whole("$4\r\na\r\nb\r\n"), Value::from("a\r\nb"));
        assert_eq!(whole("$0\r\n\r\n"), Value::from(""));
        assert_eq!(whole("$-1\r\n"), Value::Nil);
        assert_eq!(whole("*-1\r\n"), Value::Nil);
        assert_eq!(whole("*0\r\n"), Value::List(Vec::new()));
        let pair = Value::List(vec![Value::from("a"), Value::List(vec![Value::Integer(1)])]);
        assert_eq!(whole("*2\r\n$1\r\na\r\n*1\r\n:1\r\n"), pair);
    }

    #[test]
    fn an_incomplete_value_is_not_decoded() {
        let text = b"*3\r\n$5\r\nhello\r\n:12\r\n*1\r\n+OK\r\n";
        for length in 0..text.len() {
            assert_eq!(decode(&text[..length]), Ok(None), "{length} bytes");
        }
        assert!(decode(text).unwrap().is_some());
    }

    #[test]
    fn only_the_first_value_is_decoded() {
        assert_eq!(decode(b":1\r\n:2\r\n"), Ok(Some((Value::Integer(1), 4))));
    }

    #[test]
    fn an_invalid_value_is_an_error() {
        for text in [
            "hello\r\n",
            ":x\r\n",
            ":\r\n",
            "$-2\r\n",
            "$99999999999\r\n",
            "*99999999999\r\n",
            "$1\r\nabc",
            "+OK\n",
            "*1\r\n?\r\n",
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(decode("*1\r\n".repeat(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(decode(&[b'+'; LINE_BYTES_MAX + 1]).is_err());
    }

    /// Meaningful bytes in random order, and random ones.
    #[test]
    fn arbitrary_bytes_do_not_panic() {
        let alphabet = b"+-:$*\r\n0123456789ab\0\xff";
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for round in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..round % 40 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let [low, high, ..] = state.to_le_bytes();
                let known = alphabet[usize::from(high) % alphabet.len()];
                bytes.push(if low < 240 { known } else { high });
            }
            if let Ok(Some((_, length))) = decode(&bytes) {
                assert!(length <= bytes.len(), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn long_values_are_abbreviated_in_failures() {
        let shown = format!("{:?}", Value::Bytes(vec![b'x'; 1 << 20]));
        assert!(shown.len() < 2 * SHOWN_BYTES_MAX && shown.contains("1048576 bytes"), "{shown}");
    }

    /// A server that answers `+1`, `+2` and so on to any request.
    fn counting(answers: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 1024];
            let _ = stream.read(&mut bytes).unwrap();
            for number in 1..=answers {
                stream.write_all(format!("+{number}\r\n").as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn answers_are_in_the_order_of_their_requests() {
        let mut client = Client::connect(counting(3)).unwrap();
        let all = client.call_all(&vec![vec!["PING"]; 3]).unwrap();
        let args = ["1", "2", "3"].map(|arg| Value::Simple(arg.to_owned()));
        assert_eq!(all, args);
    }

    #[test]
    fn a_closed_connection_is_distinguished_from_a_timeout() {
        let mut client = Client::connect(counting(1)).unwrap();
        client.set_timeout(Duration::from_millis(1));
        let timeout = client.receive().unwrap_err();
        assert!(!is_end(&timeout) && timeout.kind() == ErrorKind::TimedOut, "{timeout}");
        client.set_timeout(ANSWER_MAX);
        client.send(&[b"PING"]).unwrap();
        assert_eq!(client.drain().unwrap(), [Value::Simple("1".to_owned())]);
    }
}
