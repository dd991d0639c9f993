//! Nearly valid messages of Hazelcast's client protocol, whole and in fragments, and random bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use convoke_harness::{mutate, noise};
use convoke_hazelcast::codec::client::{self, Authentication, Ping};
use convoke_hazelcast::codec::{List, Request};
use convoke_hazelcast::frame::{Flags, Frames, PREAMBLE, Split, Splitter};
use convoke_hazelcast::message::{Message, MessageType};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::Run;
use crate::report::shown;
use crate::server::{ANSWER_MAX, Served, is_timeout, reset_on_close};

/// Time without input after which a connection with invalid messages is abandoned.
const IDLE_MAX: Duration = Duration::from_millis(3);

/// Messages of one connection, at most.
const MESSAGES_MAX: usize = 6;

/// Each message that is supported, in hexadecimal digits, one a line; and requests of clients.
const LINES: [&str; 2] = [
    include_str!("../../../host/hazelcast/src/codec/tests/messages.txt"),
    include_str!("../../../host/hazelcast/src/codec/tests/sent.txt"),
];

fn unhex(line: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(line.get(at..at + 2)?, 16).ok();
    (0..line.len()).step_by(2).map(byte).collect()
}

fn authentication() -> Vec<u8> {
    let request = Authentication {
        uuid: None,
        serialization_version: 1,
        routing_mode: 1,
        cp_direct_to_leader_routing: false,
        cluster_name: "dev",
        username: None,
        password: None,
        client_type: "FUZ",
        client_hazelcast_version: "5.7.0",
        client_name: "fuzz",
        labels: List::default(),
    };
    let mut bytes = PREAMBLE.to_vec();
    Request::Client(client::Request::Authentication(request)).write(&mut bytes, 1, -1);
    bytes
}

/// A message in fragments of a few frames each.
fn fragments(random: &mut StdRng, message: &[u8]) -> Vec<u8> {
    let mut frames = Frames::new(message).peekable();
    let (id, mut bytes, mut is_first) = (random.random::<u64>(), Vec::new(), true);
    let mut push = |flags: Flags, content: &[u8]| {
        let length = u32::try_from(content.len() + 6).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&flags.0.to_le_bytes());
        bytes.extend_from_slice(content);
    };
    while frames.peek().is_some() {
        let some: Vec<_> = frames.by_ref().take(random.random_range(1..5)).collect();
        let mut flags = Flags::NONE;
        if std::mem::take(&mut is_first) {
            flags = flags | Flags::BEGIN_FRAGMENT;
        }
        if frames.peek().is_none() {
            flags = flags | Flags::END_FRAGMENT;
        }
        push(flags, &id.to_le_bytes());
        for (at, frame) in some.iter().enumerate() {
            let flags = frame.flags.without(Flags::IS_FINAL);
            let is_last = at + 1 == some.len();
            push(if is_last { flags | Flags::IS_FINAL } else { flags }, frame.content);
        }
    }
    bytes
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_nodelay(true)?;
    reset_on_close(&stream)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// Reads until the other side closes the connection, or sends nothing for a while. Returns what
/// was received.
fn drain(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(IDLE_MAX))?;
    let (mut all, mut bytes) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            Err(error) if is_timeout(&error) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

/// Whether a new client is still answered.
fn answers(address: SocketAddr) -> io::Result<bool> {
    let mut stream = connect(address)?;
    let mut bytes = authentication();
    Request::Client(client::Request::Ping(Ping {})).write(&mut bytes, 2, -1);
    stream.write_all(&bytes)?;
    let (mut splitter, mut input, mut piece) = (Splitter::after_preamble(), Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(false);
        }
        input.extend_from_slice(&piece[..count]);
        let mut next = |input: &[u8]| match splitter.split(input) {
            Ok(Split::Message(message)) => Some((message.bytes().len(), message.header())),
            _ => None,
        };
        while let Some((length, header)) = next(&input) {
            if header.correlation_id == 2 {
                return Ok(header.message_type != MessageType::ERROR);
            }
            input.drain(..length);
        }
    }
}

/// Whether everything that was received is whole messages, but the last one.
fn are_messages(received: &[u8]) -> bool {
    let (mut splitter, mut rest) = (Splitter::after_preamble(), received);
    splitter.set_authenticated();
    loop {
        match splitter.split(rest) {
            Ok(Split::Message(message)) => rest = &rest[message.bytes().len()..],
            Ok(Split::Incomplete { .. }) => return true,
            _ => return false,
        }
    }
}

pub(crate) fn messages(run: &mut Run) {
    let served = Served::start();
    let all: Vec<_> = LINES.iter().flat_map(|lines| lines.lines()).filter_map(unhex).collect();
    let is_request = |bytes: &&Vec<u8>| {
        Message::parse(bytes).is_ok_and(|message| message.header().message_type.is_request())
    };
    let requests: Vec<_> = all.iter().filter(is_request).collect();
    let mut last = Vec::new();
    while run.has_time() {
        run.report.count();
        let random = &mut run.random;
        let mut bytes = if random.random_bool(0.9) { authentication() } else { PREAMBLE.to_vec() };
        for _ in 0..random.random_range(1..=MESSAGES_MAX) {
            let mut message = match random.random_range(0..20) {
                0 => noise(random, 400),
                1 => all[random.random_range(0..all.len())].clone(),
                _ => requests[random.random_range(0..requests.len())].clone(),
            };
            if random.random_bool(0.1) {
                message = fragments(random, &message);
            }
            if random.random_bool(0.5) {
                mutate(random, &mut message, &last);
            }
            bytes.extend_from_slice(&message);
            last = message;
        }
        let sent = connect(served.hazelcast).and_then(|mut stream| {
            // The connection may be closed before everything is sent.
            let _ = stream.write_all(&bytes);
            drain(&mut stream)
        });
        match sent {
            Ok(received) if !are_messages(&received) => {
                run.report.add("no message", &shown(&received), &shown(&bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                run.report.add("no more connections", &error.to_string(), &shown(&bytes));
            }
            _ => {}
        }
        let is_hung = !answers(served.hazelcast).unwrap_or(false);
        let hang = is_hung.then_some("a ping is not answered any more");
        if run.report.add_state(hang, || shown(&bytes)) {
            return;
        }
    }
}
