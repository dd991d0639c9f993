//! A client connection: reads requests from its socket, starts their commands, and writes replies
//! and messages. The commands in progress are in its [`Pipeline`].

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::answer::Answer;
use super::client::Client;
use super::command_state::CommandState;
use super::dispatch;
use super::encode::{Encoder, Protocol};
use super::pipeline::{OUTPUT_BYTES_MAX, Pipeline};
use super::request::RequestParser;
use crate::lanes::{LaneAssignment, LaneTask};
use crate::ledger::{Account, FREE_BYTES};
use crate::output_buffer::{MessageKind, OutboundMessage, Overflowed};
use crate::trust::Trust;

/// Maximum number of bytes read in one turn.
const READ_BYTES: usize = 64 * 1_024;
/// A larger buffer is freed when it is empty.
const KEPT_BYTES_MAX: usize = 64 * 1_024;

thread_local! {
    /// Shared read buffer, so that an idle client needs no buffer of its own.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Result of one step of a turn.
enum Step {
    /// Progress was made, and there may be more to do.
    Done,
    /// There is nothing to do now; the waker is registered.
    Idle,
    /// The connection is closed.
    End,
}

/// A client connection; see the [module](self).
pub(crate) struct Connection {
    stream: TcpStream,
    client: Client,
    parser: RequestParser,
    input: Vec<u8>,
    /// Length of the part of `input` that was parsed.
    consumed: usize,
    /// The rest of `input` is an incomplete request.
    is_starved: bool,
    /// The socket was polled in this turn, so it wakes this connection when more data arrives.
    has_polled: bool,
    pipeline: Pipeline,
    output: Vec<u8>,
    /// Length of the part of `output` that was sent.
    sent: usize,
    /// The output buffer may hold more messages than `output` had room for.
    has_messages: bool,
    /// The client has closed its side.
    is_input_closed: bool,
    /// No further command starts; pending replies are still sent.
    is_closing: bool,
    /// Memory held for this client.
    account: Account,
    /// Counts this connection in its lane until it is dropped.
    _assignment: Arc<LaneAssignment>,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        mut client: Client,
        assignment: Arc<LaneAssignment>,
    ) -> Self {
        client.lane = assignment.lane();
        let account = Account::new(&client.server.pubsub.ledger);
        Self {
            stream,
            client,
            parser: RequestParser::default(),
            input: Vec::new(),
            consumed: 0,
            is_starved: true,
            has_polled: false,
            pipeline: Pipeline::default(),
            output: Vec::new(),
            sent: 0,
            has_messages: false,
            is_input_closed: false,
            is_closing: false,
            account,
            _assignment: assignment,
        }
    }

    /// Whether to read from the socket: not while enough requests are waiting already.
    fn wants_input(&self) -> bool {
        let has_backlog = self.input.len() - self.consumed >= READ_BYTES && !self.is_starved;
        let is_full = self.pipeline.is_full(self.unsent()) && !self.pipeline.has_barrier();
        !(self.is_input_closed || self.is_closing || has_backlog || is_full)
    }

    /// Whether a command that has arrived may start.
    fn may_start(&self) -> bool {
        !self.is_closing && !self.pipeline.has_barrier() && !self.pipeline.is_full(self.unsent())
    }

    /// Whether `output` has room for replies and messages.
    fn has_room(&self) -> bool {
        self.unsent() < OUTPUT_BYTES_MAX
    }

    /// Reads from the socket once.
    fn read(&mut self, context: &mut Context<'_>) -> Step {
        if !self.wants_input() {
            return Step::Idle;
        }
        self.has_polled = true;
        if self.has_long_request() && !self.account.may_grow(context.waker()) {
            self.client.info.starved_ms.store(0, Ordering::Relaxed);
            return Step::Idle;
        }
        self.make_room();
        let input = &mut self.input;
        let stream = Pin::new(&mut self.stream);
        let (read, count) = SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = stream.poll_read(context, &mut buffer);
            input.extend_from_slice(buffer.filled());
            (read, buffer.filled().len())
        });
        self.note_long_request(count > 0);
        match read {
            Poll::Ready(Ok(())) if count == 0 => {
                self.is_input_closed = true;
                Step::Done
            }
            Poll::Ready(Ok(())) => {
                // Polled before any of these commands runs: once the client has a reply, what it
                // sends next, on this or another connection, must wake each connection in order of
                // arrival.
                if self.stream.poll_read_ready(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                Step::Done
            }
            Poll::Ready(Err(error)) => {
                debug!(client = %self.client.info.peer, %error, "client connection failed");
                Step::End
            }
            Poll::Pending => Step::Idle,
        }
    }

    /// Whether an incomplete request exceeds the bytes that are not counted.
    fn has_long_request(&self) -> bool {
        self.is_starved && self.input.len() - self.consumed > FREE_BYTES
    }

    /// Records since when no data of a large incomplete request has arrived.
    fn note_long_request(&self, came: bool) {
        let starved_ms = &self.client.info.starved_ms;
        let is_long = self.has_long_request();
        let since = starved_ms.load(Ordering::Relaxed);
        if !is_long {
            if since > 0 {
                starved_ms.store(0, Ordering::Relaxed);
            }
        } else if came || since == 0 {
            starved_ms.store(self.client.server.elapsed_ms(), Ordering::Relaxed);
        }
    }

    /// Memory held for the client, in bytes.
    fn held_bytes(&self) -> usize {
        let pending = self.pipeline.held_bytes();
        self.input.len() + self.output.len() + pending + self.client.queued_bytes()
    }

    /// Discards the parsed part of the input.
    fn make_room(&mut self) {
        if self.consumed == self.input.len() {
            self.input.clear();
            if self.input.capacity() > KEPT_BYTES_MAX {
                self.input = Vec::new();
            }
        } else if self.consumed >= READ_BYTES {
            self.input.drain(..self.consumed);
        } else {
            return;
        }
        self.consumed = 0;
    }

    /// Parses and starts the requests that have arrived.
    fn start_commands(&mut self, context: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        let mut started = 0;
        while self.may_start() {
            let is_trusted = self.client.trust > Trust::Unauthenticated;
            let request = match self.parser.next(&self.input[self.consumed..], is_trusted) {
                Ok(Some(request)) => request,
                Ok(None) => {
                    self.is_starved = true;
                    break;
                }
                Err(error) => {
                    debug!(client = %self.client.info.peer, %error, "client sent an invalid request");
                    let message = format!("ERR Protocol error: {error}");
                    self.track(CommandState::Close(Answer::Error(message.into())), 0, context);
                    step = Step::Done;
                    break;
                }
            };
            step = Step::Done;
            self.is_starved = false;
            let length = request.consumed;
            if !request.is_empty() {
                started += 1;
                let client = &mut self.client;
                let outcome = self
                    .pipeline
                    .with_sink(&mut self.output, |sink| dispatch::begin(client, &request, sink));
                self.track(outcome, length, context);
            }
            self.consumed += length;
            self.account.set(self.held_bytes());
            self.account.request_completed();
        }
        if started > 0 {
            // At once: it is an atomic addition.
            self.client.server.counters.commands.add(self.client.lane, started);
        }
        if matches!(step, Step::Done) {
            let left = self.input.len() - self.consumed;
            self.client.info.input_bytes.store(left, Ordering::Relaxed);
            let now = self.client.server.elapsed_ms();
            self.client.info.active_ms.store(now, Ordering::Relaxed);
        }
        step
    }

    /// Writes the reply of a command, or keeps the command in the pipeline. `request_bytes` is the
    /// size of its request.
    fn track(&mut self, outcome: CommandState, request_bytes: usize, context: &mut Context<'_>) {
        let (client, output) = (&mut self.client, &mut self.output);
        self.is_closing |= self.pipeline.track(outcome, request_bytes, client, output, context);
    }

    /// Writes the replies of completed commands, in order.
    fn collect_answers(&mut self, context: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        while self.has_room()
            && let Some(is_last) =
                self.pipeline.collect_next(&mut self.client, &mut self.output, context)
        {
            self.is_closing |= is_last;
            step = Step::Done;
        }
        step
    }

    /// Writes messages of subscriptions to the output.
    fn write_messages(&mut self, context: &mut Context<'_>) -> Step {
        if !self.client.info.is_receiver.load(Ordering::Acquire) {
            return Step::Idle;
        }
        // Messages are behind the replies of all commands that were started before: a key may have
        // been read before it changed. Nothing is cached from the reply of a blocked command, so
        // it holds back no messages.
        let is_behind = !self.pipeline.is_empty() && !self.pipeline.is_only_blocked(&self.client);
        let has_room = self.has_room() && (!is_behind || self.pipeline.has_room());
        let is_held_back = is_behind && self.client.info.is_blocked.load(Ordering::Relaxed);
        if !has_room || is_held_back {
            // The client may not read for a long time; an overflow must close the connection all
            // the same.
            self.client.output_buffer.overflow_waker.register(context.waker());
            return if self.client.output_buffer.has_overflowed() {
                self.disconnect_subscriber()
            } else {
                Step::Idle
            };
        }
        let output_buffer = Arc::clone(&self.client.output_buffer);
        output_buffer.waker.register(context.waker());
        let protocol = self.client.protocol;
        let is_subscribed = self.client.subscriptions() > 0;
        let (output, sent, pipeline) = (&mut self.output, self.sent, &mut self.pipeline);
        let mut is_full = false;
        let result = output_buffer.take(|message| {
            let write = |buffer: &mut Vec<u8>| {
                push(&message, is_subscribed, &mut Encoder { buffer, protocol });
            };
            if is_behind {
                pipeline.with_sink(output, write);
                is_full = !pipeline.has_room();
            } else {
                write(output);
                is_full = output.len() - sent >= OUTPUT_BYTES_MAX;
            }
            is_full
        });
        self.has_messages = is_full;
        match result {
            Ok(true) => Step::Done,
            Ok(false) => Step::Idle,
            Err(Overflowed) => self.disconnect_subscriber(),
        }
    }

    fn disconnect_subscriber(&self) -> Step {
        self.client.server.counters.cut_off.fetch_add(1, Ordering::Relaxed);
        warn!(client = %self.client.info.peer, "closing the connection of a subscriber that does not keep up");
        Step::End
    }

    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    fn write(&mut self, context: &mut Context<'_>) -> Step {
        if self.unsent() == 0 {
            let is_over = self.pipeline.is_empty() && (self.is_closing || self.is_input_closed);
            // A blocked command of a client that has disconnected is abandoned.
            let is_abandoned =
                self.is_input_closed && self.client.info.is_blocked.load(Ordering::Relaxed);
            return if is_over || is_abandoned { Step::End } else { Step::Idle };
        }
        match Pin::new(&mut self.stream).poll_write(context, &self.output[self.sent..]) {
            Poll::Ready(Ok(count)) if count > 0 => {
                self.sent += count;
                self.client.info.stalled_ms.store(0, Ordering::Relaxed);
                if self.unsent() == 0 {
                    self.sent = 0;
                    self.output.clear();
                    if self.output.capacity() > KEPT_BYTES_MAX {
                        self.output = Vec::new();
                    }
                } else if self.sent >= OUTPUT_BYTES_MAX.max(self.unsent()) {
                    // The buffer must not grow without bound if it never becomes empty.
                    self.output.drain(..self.sent);
                    self.sent = 0;
                }
                Step::Done
            }
            Poll::Ready(_) => Step::End,
            Poll::Pending => {
                let stalled = &self.client.info.stalled_ms;
                if stalled.load(Ordering::Relaxed) == 0 {
                    stalled.store(self.client.server.elapsed_ms(), Ordering::Relaxed);
                }
                Step::Idle
            }
        }
    }
}

impl LaneTask for Connection {
    /// Writes completed replies, reads once, starts commands, writes messages, and sends.
    fn run_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.client.info.waker.register(context.waker());
        if self.client.info.is_killed() {
            return Poll::Ready(());
        }
        self.client.turn_started = Instant::now();
        self.is_closing |= self.client.server.is_finishing.load(Ordering::Relaxed);
        self.has_polled = false;
        for step in [Self::collect_answers, Self::read, Self::start_commands, Self::write_messages]
        {
            if let Step::End = step(self, context) {
                return Poll::Ready(());
            }
        }
        // If the output was full before it was written, there may be more to start or send.
        let was_full = !self.has_room();
        loop {
            match self.write(context) {
                Step::Done => {}
                Step::Idle => break,
                Step::End => return Poll::Ready(()),
            }
        }
        let may_read = self.wants_input() && !self.has_polled;
        let may_start = self.may_start() && !self.is_starved;
        let may_push = self.has_messages && (self.pipeline.is_empty() || self.pipeline.has_room());
        if may_read || may_start || ((was_full || may_push) && self.has_room()) {
            context.waker().wake_by_ref();
        }
        self.account.set(self.held_bytes());
        Poll::Pending
    }
}

/// The channel of the messages about keys that have changed, in RESP2.
const INVALIDATION_CHANNEL: &[u8] = b"__redis__:invalidate";

/// Encodes a message for a client.
fn push(message: &OutboundMessage, is_subscribed: bool, encoder: &mut Encoder<'_>) {
    let is_resp3 = encoder.protocol == Protocol::Resp3;
    match message.kind {
        MessageKind::Published => {
            encoder.push(if message.pattern.is_some() { 4 } else { 3 });
            match &message.pattern {
                Some(pattern) => {
                    encoder.bulk(b"pmessage");
                    encoder.bulk(pattern);
                }
                None => encoder.bulk(b"message"),
            }
            encoder.bulk(&message.topic);
            encoder.bulk(&message.payload);
        }
        MessageKind::Shard => {
            encoder.push(3);
            encoder.bulk(b"smessage");
            encoder.bulk(&message.topic);
            encoder.bulk(&message.payload);
        }
        MessageKind::Invalidation { is_redirected }
        | MessageKind::Invalidations { is_redirected, .. }
        | MessageKind::InvalidationOfAll { is_redirected } => {
            if is_resp3 {
                encoder.push(2);
                encoder.bulk(b"invalidate");
            } else if is_redirected && is_subscribed {
                encoder.push(3);
                encoder.bulk(b"message");
                encoder.bulk(INVALIDATION_CHANNEL);
            } else {
                // RESP2 has no messages beside replies, except for a subscriber.
                return;
            }
            match message.kind {
                MessageKind::InvalidationOfAll { .. } => encoder.nil(),
                MessageKind::Invalidations { count, .. } => {
                    encoder.list(count);
                    encoder.buffer.extend_from_slice(&message.payload);
                }
                _ => {
                    encoder.list(1);
                    encoder.bulk(&message.payload);
                }
            }
        }
        MessageKind::RedirectionLost(id) => {
            if is_resp3 {
                encoder.push(2);
                encoder.bulk(b"tracking-redir-broken");
                encoder.integer(i64::try_from(id).unwrap_or(i64::MAX));
            }
        }
        MessageKind::Encoded if is_resp3 => encoder.buffer.extend_from_slice(&message.payload),
        MessageKind::Encoded => {}
        MessageKind::Line => encoder.simple(&String::from_utf8_lossy(&message.payload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &OutboundMessage, is_subscribed: bool, protocol: Protocol) -> String {
        let mut buffer = Vec::new();
        push(message, is_subscribed, &mut Encoder { buffer: &mut buffer, protocol });
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn messages_about_keys_need_resp3_or_a_subscriber() {
        let key = |is_redirected| MessageKind::Invalidation { is_redirected };
        let all = |is_redirected| MessageKind::InvalidationOfAll { is_redirected };
        let lost = MessageKind::RedirectionLost(5);
        let resp3 = |end: &str| format!(">2\r\n$10\r\ninvalidate\r\n{end}");
        let channel = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
        let resp2 = |end: &str| format!("{channel}{end}");
        let broken = ">2\r\n$21\r\ntracking-redir-broken\r\n:5\r\n";
        let shard = "*3\r\n$8\r\nsmessage\r\n$1\r\nt\r\n$1\r\nk\r\n";
        for (kind, is_subscribed, protocol, expected) in [
            (key(false), false, Protocol::Resp3, resp3("*1\r\n$1\r\nk\r\n")),
            (all(true), false, Protocol::Resp3, resp3("_\r\n")),
            (key(true), true, Protocol::Resp2, resp2("*1\r\n$1\r\nk\r\n")),
            (all(true), true, Protocol::Resp2, resp2("$-1\r\n")),
            (key(true), false, Protocol::Resp2, String::new()),
            (key(false), true, Protocol::Resp2, String::new()),
            (lost, false, Protocol::Resp2, String::new()),
            (lost, false, Protocol::Resp3, broken.into()),
            (MessageKind::Shard, true, Protocol::Resp2, shard.into()),
            (MessageKind::Line, true, Protocol::Resp3, "+k\r\n".into()),
        ] {
            let (topic, payload) = ("t".into(), "k".into());
            let message = OutboundMessage { kind, topic, payload, pattern: None };
            assert_eq!(written(&message, is_subscribed, protocol), expected, "{kind:?}");
        }
    }

    #[test]
    fn messages_are_encoded_in_the_protocol_of_the_subscriber() {
        let pushed = |pattern: Option<&'static str>, protocol| {
            let message = OutboundMessage {
                topic: "t".into(),
                pattern: pattern.map(Into::into),
                payload: "1".into(),
                ..OutboundMessage::default()
            };
            written(&message, true, protocol)
        };
        assert_eq!(pushed(None, Protocol::Resp3), ">3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$1\r\n1\r\n");
        assert_eq!(
            pushed(Some("*"), Protocol::Resp2),
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nt\r\n$1\r\n1\r\n"
        );
    }
}
