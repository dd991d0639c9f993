//! A harness of requests: what a client sends is decoded, executed on a grid of one member, and
//! answered.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use convoke_hazelcast::frame::{Split, Splitter};
use convoke_hazelcast::message::{Message, MessageType};
use uuid::Uuid;

use super::Single;
use crate::hazelcast::client_info::ClientInfo;
use crate::hazelcast::session::{Begun, Completed, Pending, Session, TaskInfo, respond};
use crate::hazelcast::{HazelcastSettings, Server, dispatch, map};
use crate::pubsub::PubSub;
use crate::testing::single_member_grid;
use crate::trust::Trust;

/// Requests of one input, at most.
const REQUESTS_MAX: usize = 8;

/// How long a request may wait for an item or a lock.
const BLOCKED: Duration = Duration::from_millis(5);

/// A request, a response or an event a line: each message that is supported.
const MESSAGES: &str = include_str!("../../../../hazelcast/src/codec/tests/messages.txt");

/// Requests that clients sent.
const SENT: &str = include_str!("../../../../hazelcast/src/codec/tests/sent.txt");

fn requests(lines: &str) -> impl Iterator<Item = Vec<u8>> {
    let byte = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    let bytes = lines.lines().map(move |line| -> Vec<u8> {
        (0..line.len()).step_by(2).map(|at| byte(line, at)).collect()
    });
    bytes.filter(|bytes| Message::parse(bytes).unwrap().header().message_type.is_request())
}

/// The requests of each service, some in one input.
fn samples() -> Vec<Vec<u8>> {
    let all: Vec<_> = requests(MESSAGES).chain(requests(SENT)).collect();
    let service = |bytes: &[u8]| Message::parse(bytes).unwrap().header().message_type.service_id();
    let services = all.chunk_by(|a, b| service(a) == service(b));
    services.flat_map(|all| all.chunks(REQUESTS_MAX).map(<[Vec<u8>]>::concat)).collect()
}

async fn session() -> Session {
    let grid = single_member_grid();
    let cluster = Arc::new(Single { grid: grid.clone(), port: 5_701 });
    let pubsub = PubSub::new(grid.clone());
    let server = Server::new(grid, pubsub, HazelcastSettings::default(), cluster, 5_701);
    let events = server.pubsub.output_buffer();
    let peer = (Ipv4Addr::LOCALHOST, 40_000).into();
    let info = Arc::new(ClientInfo::new(1, peer, server.elapsed_ms(), events));
    server.add(&info);
    let mut session = Session::new(&server, info);
    assert!(session.set_authenticated(Uuid::from_u64_pair(1, 2), Trust::Full));
    session
}

/// Executes a request. Returns what is sent, and whether that is all: not if it waits.
async fn answered(session: &mut Session, message: Message<'_>) -> (Vec<u8>, bool) {
    let mut output = Vec::new();
    let info = TaskInfo { bytes: message.bytes().len(), is_blocking: false };
    let task = |session: &Session| {
        let client = Arc::clone(session.client().unwrap());
        map::run(Arc::clone(&session.server), client, message.bytes().to_vec(), true)
    };
    let mut pending = match dispatch::begin(session, &mut output, message) {
        Begun::Done => return (output, true),
        Begun::Operation(mut operation) => {
            operation.message = Some(message.bytes().to_vec());
            Pending::Operation(operation)
        }
        Begun::Task | Begun::Blocking => Pending::Task(Box::pin(task(session)), info),
        Begun::Future(future) => Pending::Task(future, info),
    };
    loop {
        match tokio::time::timeout(BLOCKED, pending).await {
            Err(_) => return (output, false),
            Ok(Completed::Operation(reply, id, with, _)) => {
                respond(&mut output, id, reply, with);
                return (output, true);
            }
            Ok(Completed::Held(_)) => pending = Pending::Task(Box::pin(task(session)), info),
            Ok(Completed::Task(response, _)) => {
                output.extend(response);
                return (output, true);
            }
        }
    }
}

/// Checks that the output consists of messages, of which one is a response to the request. The
/// others are events.
fn check(request: Message<'_>, output: &[u8], is_all: bool) {
    let header = request.header();
    let (mut splitter, mut rest, mut responses) = (Splitter::after_preamble(), output, 0);
    splitter.set_authenticated();
    while !rest.is_empty() {
        let Ok(Split::Message(message)) = splitter.split(rest) else {
            panic!("no message: {rest:?} to {request:?}")
        };
        rest = &rest[message.bytes().len()..];
        let sent = message.header();
        assert_eq!(sent.correlation_id, header.correlation_id, "{sent:?} to {request:?}");
        let response = [MessageType::ERROR, header.message_type.response()];
        responses += usize::from(response.contains(&sent.message_type));
    }
    assert_eq!(responses, usize::from(is_all), "{output:?} to {request:?}");
}

#[test]
fn fuzz_hazelcast_request() {
    convoke_harness::check!(&samples(), |bytes| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut session = session().await;
            let (mut splitter, mut rest) = (Splitter::after_preamble(), bytes);
            for _ in 0..REQUESTS_MAX {
                let Ok(split) = splitter.split(rest) else { break };
                rest = &rest[split.consumed()..];
                let message = match &split {
                    Split::Message(message) => *message,
                    Split::Reassembled { message, .. } => message.message(),
                    Split::Fragment { .. } | Split::Preamble => continue,
                    Split::Incomplete { .. } => break,
                };
                let (output, is_all) = answered(&mut session, message).await;
                check(message, &output, is_all);
            }
        });
    });
}
