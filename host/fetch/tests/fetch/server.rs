//! An HTTP server for tests that can misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Size of a request head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Interval between the bytes of a slow body.
const SLOW_INTERVAL: Duration = Duration::from_millis(10);

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The path, with its query.
    pub(crate) path: String,
    /// All header lines, with names in lower case.
    head: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The response to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    head: String,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    /// Sends nothing more, and keeps the connection open.
    Silence,
    /// Sends one byte after another, forever.
    Slow,
}

impl Answer {
    pub(crate) fn ok(body: &[u8]) -> Self {
        Self::status("200 OK", body)
    }

    pub(crate) fn status(status: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
        Self { head, body: body.to_vec(), end: End::Close }.announcing(body.len() as u64)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::status("302 Found", b"").header("location", to)
    }

    /// Sets a `Content-Length` other than the body's.
    pub(crate) fn announcing(mut self, bytes: u64) -> Self {
        let lines = self.head.lines().filter(|line| !line.starts_with("content-length"));
        self.head = lines.map(|line| format!("{line}\r\n")).collect();
        self.header("content-length", &bytes.to_string())
    }

    /// Removes the `Content-Length`: the body ends with the connection.
    pub(crate) fn unannounced(mut self) -> Self {
        let lines = self.head.lines().filter(|line| !line.starts_with("content-length"));
        self.head = lines.map(|line| format!("{line}\r\n")).collect();
        self
    }

    pub(crate) fn then_stall(mut self) -> Self {
        self.end = End::Silence;
        self
    }

    pub(crate) fn then_trickle(mut self) -> Self {
        self.end = End::Slow;
        self
    }
}

/// A server on a free port of 127.0.0.1, stopped when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl Server {
    /// Starts a server; without `tls` it serves plain HTTP.
    pub(crate) async fn start(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen, answer) = (tls.clone(), Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let answer = |request: Request| {
                        seen.lock().expect("no panic").push(request.clone());
                        answer(&request)
                    };
                    match tls {
                        None => serve(stream, answer).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, requests, task: task.abort_handle() }
    }

    /// `https://127.0.0.1:PORT` and `path`.
    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The paths of [`requests`](Self::requests).
    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one request; `None` if the client disconnected, or sent TLS to a server without it.
async fn serve<S>(mut stream: S, answer: impl FnOnce(Request) -> Answer) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = read(&mut stream).await?;
    let answer = answer(request);
    stream.write_all(format!("{}\r\n", answer.head).as_bytes()).await.ok()?;
    stream.write_all(&answer.body).await.ok()?;
    stream.flush().await.ok()?;
    match answer.end {
        End::Close => stream.shutdown().await.ok()?,
        End::Silence => drop(stream.read_u8().await),
        End::Slow => loop {
            stream.write_all(b".").await.ok()?;
            stream.flush().await.ok()?;
            tokio::time::sleep(SLOW_INTERVAL).await;
        },
    }
    Some(())
}

async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        if !head[0].is_ascii_alphabetic() {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()?;
            return None;
        }
        assert!(head.len() < HEAD_BYTES_MAX, "a head without an end");
    }
    let head = String::from_utf8(head).expect("text");
    let path = head.split(' ').nth(1).expect("a request line").to_owned();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let head =
        lines.map(|(name, value)| format!("{}: {value}\n", name.to_ascii_lowercase())).collect();
    Some(Request { path, head })
}
