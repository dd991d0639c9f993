//! One DNS server and one query to it: over UDP, over TCP if the response is truncated, and
//! without EDNS if the server does not support it.
//!
//! The transports of `hickory-net` (0.26.3) are not used. Its UDP sockets are not connected, so
//! that a host without a DNS server costs the whole timeout; an error response without a
//! question section, as old servers send it, counts as no response; and its server pool queries
//! several servers at the same time and takes the first response, where resolv.conf(5) promises
//! the order of the list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::fault::Fault;
use crate::grant::DnsServer;
use crate::limits;
use crate::zone::interface_index;

/// Length of a message's header, in bytes (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;

/// A server, and what is known about it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) at: DnsServer,
    /// Set once the server turns out not to support EDNS.
    is_plain: AtomicBool,
    /// Set after a timeout: until then, other servers are queried first.
    backed_off_until: Mutex<Option<Instant>>,
}

/// Options of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryOptions {
    /// Use TCP only.
    pub(super) use_vc: bool,
    /// Send EDNS options, unless the server does not support them.
    pub(super) edns: bool,
}

impl Server {
    pub(super) fn new(at: DnsServer) -> Self {
        Self { at, is_plain: AtomicBool::new(false), backed_off_until: Mutex::new(None) }
    }

    /// Whether it is backed off after a timeout.
    pub(super) fn is_backed_off(&self) -> bool {
        let until = *self.backed_off_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note_response(&self, anything: bool) {
        let until =
            (!anything).then(|| Instant::now() + Duration::from_millis(limits::DNS_BACK_OFF_MS));
        *self.backed_off_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// The socket address, with the interface index of a link-local address.
    fn address(&self) -> Result<SocketAddr, Fault> {
        let IpAddr::V6(ip) = self.at.ip else {
            return Ok(SocketAddr::new(self.at.ip, self.at.port));
        };
        let scope = match &self.at.zone {
            None if ip.is_unicast_link_local() => {
                return Err(Fault::Unreachable(format!(
                    "a link-local address needs an interface, such as {ip}%eth0"
                )));
            }
            None => 0,
            Some(zone) => interface_index(zone).ok_or_else(|| {
                Fault::Unreachable(format!("this host has no interface {zone} at present"))
            })?,
        };
        Ok(SocketAddrV6::new(ip, self.at.port, 0, scope).into())
    }
}

/// One query to one server. Its socket stays open between attempts, so that a response that
/// arrives after the timeout of one attempt is used in the next.
pub(super) struct PendingQuery<'a> {
    server: &'a Server,
    question: &'a Query,
    options: QueryOptions,
    id: u16,
    socket: Option<UdpSocket>,
}

impl<'a> PendingQuery<'a> {
    pub(super) fn new(server: &'a Server, question: &'a Query, options: QueryOptions) -> Self {
        Self { server, question, options, id: rand::random(), socket: None }
    }

    /// Sends the query and waits for a response for `time`.
    pub(super) async fn ask(&mut self, time: Duration) -> Result<Answer, Fault> {
        let answered = timeout(time, self.exchange()).await;
        let answer = answered.unwrap_or(Err(Fault::Silent(time)));
        self.server.note_response(!answer.as_ref().is_err_and(Fault::is_silence));
        answer
    }

    async fn exchange(&mut self) -> Result<Answer, Fault> {
        let server = self.server.address()?;
        let message = if self.options.use_vc {
            self.by_tcp(server).await?
        } else {
            let message = self.by_udp(server).await?;
            if message.metadata.truncation {
                // A truncated response is not used: it may hold only some of the records (RFC
                // 7766, section 5).
                self.by_tcp(server).await.map_err(|fault| Fault::Tcp(fault.into()))?
            } else {
                message
            }
        };
        Answer::read(&message, self.question)
    }

    /// Whether to send EDNS options.
    fn edns(&self) -> bool {
        self.options.edns && !self.server.is_plain.load(Ordering::Relaxed)
    }

    /// Queries over UDP, resending until a response arrives.
    async fn by_udp(&mut self, server: SocketAddr) -> Result<Message, Fault> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connected(server).await?,
        };
        let mut edns = self.edns();
        // The future may be dropped at any `await` from here on.
        let socket = self.socket.insert(socket);
        loop {
            socket.send(&encoded(self.id, self.question, edns)?).await?;
            let answered = receive(socket, self.id, self.question);
            match timeout(Duration::from_millis(limits::DNS_RESEND_MS), answered).await {
                Ok(Ok(message)) if edns && lacks_edns(&message) => {
                    self.server.is_plain.store(true, Ordering::Relaxed);
                }
                Ok(message) => return message,
                // The datagram was lost, or was discarded because of its EDNS options, which
                // RFC 6891 (section 7) forbids but some middleboxes do.
                Err(_) => {}
            }
            edns = false;
        }
    }

    /// Queries over a new TCP connection.
    async fn by_tcp(&self, server: SocketAddr) -> Result<Message, Fault> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        loop {
            let edns = self.edns();
            let question = encoded(self.id, self.question, edns)?;
            let mut bytes =
                u16::try_from(question.len()).unwrap_or_default().to_be_bytes().to_vec();
            bytes.extend(question);
            stream.write_all(&bytes).await?;
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            let message = decoded(&answer, self.id, self.question).unwrap_or_else(|| {
                Err(Fault::Unreadable("the response is to another query".into()))
            })?;
            if !edns || !lacks_edns(&message) {
                return Ok(message);
            }
            self.server.is_plain.store(true, Ordering::Relaxed);
        }
    }
}

/// Encodes a query.
fn encoded(id: u16, question: &Query, edns: bool) -> Result<Vec<u8>, Fault> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    if edns {
        let mut opt = Edns::new();
        opt.set_max_payload(limits::DNS_PAYLOAD_BYTES);
        message.set_edns(opt);
    }
    message.to_vec().map_err(|error| Fault::Unreadable(error.to_string()))
}

/// Decodes a response; `None` if it does not belong to the query.
fn decoded(bytes: &[u8], id: u16, question: &Query) -> Option<Result<Message, Fault>> {
    let ours = bytes.len() >= HEADER_BYTES && bytes[..2] == id.to_be_bytes();
    if !ours {
        return None;
    }
    let message = match Message::from_vec(bytes) {
        Ok(message) => message,
        Err(error) => return Some(Err(Fault::Unreadable(error.to_string()))),
    };
    let header = &message.metadata;
    let repeats = match &message.queries[..] {
        // Old servers do not repeat a question that they do not understand.
        [] => header.response_code != ResponseCode::NoError,
        [repeated] => {
            repeated.name() == question.name() && repeated.query_type() == question.query_type()
        }
        _ => false,
    };
    (header.message_type == MessageType::Response && repeats).then_some(Ok(message))
}

/// Whether the response may be due to a server without support for EDNS (RFC 6891, section 7).
fn lacks_edns(message: &Message) -> bool {
    use ResponseCode::{BADVERS, FormErr, NotImp};
    matches!(message.metadata.response_code, FormErr | NotImp | BADVERS)
}

/// A connected socket: it receives from `server` only, and reports an ICMP "port unreachable"
/// as an error.
async fn connected(server: SocketAddr) -> Result<UdpSocket, Fault> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// The first datagram that answers the query; others are ignored.
async fn receive(socket: &UdpSocket, id: u16, question: &Query) -> Result<Message, Fault> {
    let mut buffer = vec![0; limits::DNS_DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(message) = decoded(&buffer[..length], id, question) {
            return message;
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData, Record, RecordType};

    use super::*;

    const ID: u16 = 0x1234;

    fn question() -> Query {
        Query::query(Name::from_ascii("a.test.").unwrap(), RecordType::A)
    }

    fn response(questions: &[Query], code: ResponseCode) -> Message {
        let mut message = Message::new(ID, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        for question in questions {
            message.add_query(question.clone());
        }
        message
    }

    /// A datagram or a TCP message of a server: accepted only as a response to this query.
    #[test]
    fn fuzz_dns_response() {
        let mut found = response(&[question()], ResponseCode::NoError);
        let address = RData::A(A::new(10, 0, 0, 1));
        found.add_answer(Record::from_rdata(question().name().clone(), 30, address));
        let mut edns = response(&[question()], ResponseCode::BADVERS);
        edns.set_edns(Edns::new());
        let mut truncated = response(&[question()], ResponseCode::NoError);
        truncated.metadata.truncation = true;
        let samples = [
            found,
            edns,
            truncated,
            response(&[question()], ResponseCode::NXDomain),
            response(&[], ResponseCode::FormErr),
            response(&[question(), question()], ResponseCode::NoError),
        ]
        .map(|message| message.to_vec().unwrap());
        let accepted = |bytes: &Vec<u8>| decoded(bytes, ID, &question()).is_some();
        assert_eq!(samples.iter().filter(|bytes| accepted(bytes)).count(), 5);
        convoke_harness::check!(&samples, |bytes| {
            let question = question();
            match decoded(bytes, ID, &question) {
                Some(Ok(message)) => {
                    assert_eq!(message.metadata.message_type, MessageType::Response);
                    assert!(message.queries.len() <= 1);
                    let is_answer = Answer::read(&message, &question).is_ok();
                    assert!(!(is_answer && lacks_edns(&message)));
                }
                Some(Err(fault)) => assert!(!fault.to_string().is_empty()),
                None => {}
            }
            let other = decoded(bytes, !ID, &question);
            assert!(other.is_none() || bytes[..2] == (!ID).to_be_bytes());
        });
    }
}
