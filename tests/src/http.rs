//! Single HTTP requests, without a client library.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Timeout of a request.
const EXCHANGE_MAX: Duration = Duration::from_secs(5);

/// The largest response, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Everything after the headers.
    pub body: String,
}

/// Sends a GET request for `path` and reads the response.
///
/// # Errors
/// If the connection is refused or fails, or the response is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// Posts JSON to `path` and reads the response.
///
/// # Errors
/// As [`get`].
pub fn post(address: SocketAddr, path: &str, json: &str) -> io::Result<Answer> {
    let length = json.len();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        ),
    )
}

fn exchange(address: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, EXCHANGE_MAX)?;
    stream.set_read_timeout(Some(EXCHANGE_MAX))?;
    stream.set_write_timeout(Some(EXCHANGE_MAX))?;
    // HTTP/1.0: the response is not chunked and ends with the connection.
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes))
        .ok_or_else(|| io::Error::other(format!("{address} does not speak HTTP")))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_read() {
        let answer = parse("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nnot ready\n").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "not ready\n"));
        assert!(parse("+PONG\r\n").is_none());
    }
}
