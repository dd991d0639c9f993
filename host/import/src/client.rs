//! A connection to a server that speaks RESP2.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::reply::{Decoder, Malformed, Value};
use crate::trouble::Trouble;

/// How long connecting and authenticating may take, in milliseconds.
const CONNECT_MS_MAX: u64 = 5_000;
/// How long a server may take to accept or send further bytes, in milliseconds: longer than any
/// operation of a member, and than `DUMP` of a value of some megabytes.
const SILENT_MS_MAX: u64 = 30_000;
/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Memory for the replies to commands that are not about values, in bytes.
pub(crate) const SMALL_REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A server, and how to authenticate.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) user: Option<String>,
    /// Empty if there is none.
    pub(crate) password: Zeroizing<Vec<u8>>,
    /// How to give another password, for errors.
    pub(crate) password_hint: &'static str,
}

/// Without the password.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// Requests that are sent together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    count: usize,
}

impl Requests {
    /// Adds a request with these arguments.
    pub(crate) fn push<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        self.begin(arguments.len());
        arguments.iter().for_each(|argument| self.argument(argument.as_ref()));
    }

    /// Begins a request with a number of arguments, which have to be added.
    pub(crate) fn begin(&mut self, arguments: usize) {
        self.bytes.extend_from_slice(format!("*{arguments}\r\n").as_bytes());
        self.count += 1;
    }

    /// Adds an argument of the request that was begun last.
    pub(crate) fn argument(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl<A: AsRef<[u8]>, const N: usize> From<[A; N]> for Requests {
    /// One request.
    fn from(arguments: [A; N]) -> Self {
        let mut requests = Self::default();
        requests.push(&arguments);
        requests
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection. After an error it must not be used any more, since replies may be outstanding.
pub(crate) struct Connection {
    address: Address,
    stream: Box<dyn Stream>,
    input: BytesMut,
    decoder: Decoder,
    /// Whether a reply has been received.
    has_replied: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection to {}", self.address)
    }
}

impl Connection {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// [`Trouble::Final`] if the user or the password is wrong.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, Trouble> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        timeout(limit, Self::connect(endpoint)).await.unwrap_or_else(|_| {
            let address = &endpoint.address;
            let hint = if endpoint.tls.is_some() { "; without TLS, use redis://" } else { "" };
            Err(Trouble::Lost(format!(
                "{address} does not answer within {CONNECT_MS_MAX} ms{hint}"
            )))
        })
    }

    async fn connect(endpoint: &Endpoint) -> Result<Self, Trouble> {
        let address = &endpoint.address;
        let failed = |error: &dyn fmt::Display| {
            Trouble::Lost(format!("cannot connect to {address}: {error}"))
        };
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let stream: Box<dyn Stream> = match &endpoint.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from(address.host.clone());
                let name = name.map_err(|error| Trouble::Final(failed(&error).to_string()))?;
                let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                Box::new(connected.map_err(|error| {
                    let is_certificate = error.get_ref().is_some_and(|inner| {
                        matches!(
                            inner.downcast_ref::<rustls::Error>(),
                            Some(rustls::Error::InvalidCertificate(_))
                        )
                    });
                    let why = failed(&format!("TLS: {error}")).to_string();
                    match is_certificate {
                        true => Trouble::Final(format!(
                            "{why}; --source-ca names a file with the authority that has issued the \
                             certificate of the server"
                        )),
                        false => Trouble::Lost(why),
                    }
                })?)
            }
        };
        let mut connection = Self {
            address: address.clone(),
            stream,
            input: BytesMut::new(),
            decoder: Decoder::default(),
            has_replied: false,
        };
        connection.authenticate(endpoint).await?;
        Ok(connection)
    }

    async fn authenticate(&mut self, endpoint: &Endpoint) -> Result<(), Trouble> {
        if !endpoint.password.is_empty() || endpoint.user.is_some() {
            let mut words: Vec<&[u8]> = vec![b"AUTH"];
            words.extend(endpoint.user.as_deref().map(str::as_bytes));
            words.push(&endpoint.password);
            let mut request = Requests::default();
            request.push(&words);
            let reply = self.call(&request).await?;
            let text = reply.error().unwrap_or_default();
            // A server without a password has nothing to check.
            let needs_none =
                text.contains("without any password") || text.contains("no password is set");
            if !text.is_empty() && !needs_none {
                return Err(Trouble::Final(format!(
                    "{} refuses the password: {text}",
                    self.address
                )));
            }
        }
        let reply = self.call(&Requests::from(["PING"])).await?;
        match reply.code() {
            None => Ok(()),
            Some("NOAUTH") => Err(Trouble::Final(format!(
                "{} requires a password; {}",
                self.address, endpoint.password_hint
            ))),
            // Some users may do no more than their task.
            Some("NOPERM") => Ok(()),
            Some("LOADING" | "BUSY" | "MASTERDOWN") => {
                Err(Trouble::Lost(format!("{} is not ready: {}", self.address, text_of(&reply))))
            }
            Some(_) => Err(Trouble::Final(format!(
                "{} refuses clients: {}",
                self.address,
                text_of(&reply)
            ))),
        }
    }

    /// Sends a request, and returns its reply.
    pub(crate) async fn call(&mut self, request: &Requests) -> Result<Value, Trouble> {
        let mut replies = self.call_all(request, SMALL_REPLY_BYTES_MAX).await?;
        replies.pop().ok_or_else(|| Trouble::Lost("there was no request".to_owned()))
    }

    /// Sends requests, and returns their replies, which may use `room` bytes of memory together.
    pub(crate) async fn call_all(
        &mut self,
        requests: &Requests,
        room: usize,
    ) -> Result<Vec<Value>, Trouble> {
        self.decoder.set_room(room);
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let (input, decoder) = (&mut self.input, &mut self.decoder);
        let address = &self.address;
        let has_replied = &mut self.has_replied;
        let lost = |error: &dyn fmt::Display| {
            Trouble::Lost(format!("the connection to {address} was lost: {error}"))
        };
        let limit = Duration::from_millis(SILENT_MS_MAX);
        let silent = || lost(&format!("nothing was received for {SILENT_MS_MAX} ms"));
        // At the same time: a server may read no further requests before its replies are read.
        let write = async {
            let mut left = requests.bytes.as_slice();
            while !left.is_empty() {
                let written = timeout(limit, writer.write(left)).await.map_err(|_| silent())?;
                match written.map_err(|error| lost(&error))? {
                    0 => return Err(lost(&io::Error::from(io::ErrorKind::WriteZero))),
                    count => left = &left[count..],
                }
            }
            timeout(limit, writer.flush()).await.map_err(|_| silent())?.map_err(|e| lost(&e))
        };
        let read = async {
            let mut replies = Vec::with_capacity(requests.count);
            while replies.len() < requests.count {
                match decoder.decode(input) {
                    Ok(Some(reply)) => {
                        *has_replied = true;
                        replies.push(reply);
                        continue;
                    }
                    Ok(None) => {}
                    Err(why) if !*has_replied || why == Malformed::Tls => {
                        return Err(Trouble::Final(format!("{address} cannot be used: {why}")));
                    }
                    Err(why) => return Err(lost(&why)),
                }
                input.reserve(READ_BYTES);
                let read = timeout(limit, reader.read_buf(input)).await.map_err(|_| silent())?;
                let why = match read {
                    Ok(0) => "the server has closed it".to_owned(),
                    Ok(_) => continue,
                    Err(error) => error.to_string(),
                };
                return Err(match *has_replied {
                    true => lost(&why),
                    false => Trouble::Lost(format!(
                        "{address} closes the connection without a reply; if it expects TLS, use \
                         rediss://"
                    )),
                });
            }
            Ok(replies)
        };
        let ((), replies) = tokio::try_join!(write, read)?;
        Ok(replies)
    }
}

/// The text of an error reply, on one line.
pub(crate) fn text_of(reply: &Value) -> String {
    /// Length of a text from a server in a message, in characters.
    const TEXT_CHARS_MAX: usize = 200;
    let text = reply.error().map_or_else(|| format!("unexpected reply {reply:?}"), str::to_owned);
    convoke_text::excerpt(&text, TEXT_CHARS_MAX)
}
