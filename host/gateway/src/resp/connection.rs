//! A client's connection: requests come in, answers go out in their order.
//!
//! Commands begin as they are read and finish as they may; what is answered is
//! kept in order here. A command that is a barrier keeps those behind it from
//! beginning.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::answer::{Answer, LaterAnswer, Next, Outcome};
use super::client::{Client, ReplyMode};
use super::commands;
use super::encode::{Encoder, Protocol};
use super::lanes::{Home, Turns};
use super::request::RequestParser;
use crate::ledger::{Account, FREE_BYTES};
use crate::output_buffer::{OutboundMessage, Overflowed};
use crate::trust::Trust;

/// Commands of one client that may be under way at once.
const PIPELINE_MAX: usize = 1_024;
/// Bytes of their requests, beyond which no further one begins, and of their answers, if
/// those are as large as the largest of late.
const PIPELINE_BYTES_MAX: usize = 8 << 20;
/// A request that is under way is held here, and on its way to another member.
const REQUEST_COPIES: usize = 2;
/// What an answer is taken to have, in bytes, before there was one.
const ANSWER_BYTES_AT_FIRST: usize = 256 * 1_024;
/// Bytes of answers beyond which no further command begins until some are taken.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Bytes that are read at once, and in one turn.
const READ_BYTES: usize = 64 * 1_024;
/// A buffer that is larger is given back when it is empty.
const KEPT_BYTES_MAX: usize = 64 * 1_024;

thread_local! {
    /// What is read goes here first: an idle client has no buffer of its own.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A command that is under way, and the answers of those behind it that are done.
struct Pending {
    awaited: Awaited,
    protocol: Protocol,
    is_silent: bool,
    /// Bytes of its request.
    request_bytes: usize,
    behind: Vec<u8>,
}

/// What a command that is under way waits for.
enum Awaited {
    /// Its answer.
    Answer(LaterAnswer),
    /// What it does next.
    Next(Pin<Box<dyn Future<Output = Next> + Send>>),
}

/// How a step went.
enum Step {
    /// Something was done; there may be more to do.
    Done,
    /// There is nothing to do now.
    Idle,
    /// The connection is over.
    End,
}

/// See the [module](self).
pub(crate) struct Connection {
    stream: TcpStream,
    client: Client,
    parser: RequestParser,
    input: Vec<u8>,
    /// How much of the input was dealt with.
    taken: usize,
    /// What is left of the input is the beginning of a request.
    is_starved: bool,
    /// In this turn the socket was looked at; it wakes this when it has more.
    has_looked: bool,
    pending: VecDeque<Pending>,
    /// Bytes of the requests of those.
    under_way_bytes: usize,
    /// Bytes of answers behind those.
    behind_bytes: usize,
    /// Bytes that the largest answer had of late that came later than at once.
    answer_bytes: usize,
    /// The command begun last must end before another begins.
    barrier: bool,
    output: Vec<u8>,
    /// How much of the output was sent.
    sent: usize,
    /// There may be more in the output_buffer than the output had room for.
    has_messages: bool,
    /// The client sends no more.
    is_closed: bool,
    /// No further command begins; what is answered is still sent.
    is_ending: bool,
    /// What is held for it.
    account: Account,
    /// Kept for as long as it is served.
    _home: Arc<Home>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, client: Client, home: Arc<Home>) -> Self {
        let account = Account::new(&client.server.pubsub.ledger);
        Self {
            stream,
            client,
            parser: RequestParser::default(),
            input: Vec::new(),
            taken: 0,
            is_starved: true,
            has_looked: false,
            pending: VecDeque::new(),
            under_way_bytes: 0,
            behind_bytes: 0,
            answer_bytes: ANSWER_BYTES_AT_FIRST,
            barrier: false,
            output: Vec::new(),
            sent: 0,
            has_messages: false,
            is_closed: false,
            is_ending: false,
            account,
            _home: home,
        }
    }

    /// Whether it is to read: not while there is enough to do already.
    fn wants_input(&self) -> bool {
        let has_plenty = self.input.len() - self.taken >= READ_BYTES && !self.is_starved;
        let is_full = self.is_full() && !self.barrier;
        !(self.is_closed || self.is_ending || has_plenty || is_full)
    }

    /// Whether a command may begin that has arrived.
    fn may_begin(&self) -> bool {
        !self.barrier && !self.is_ending && !self.is_full()
    }

    /// Whether the output has room for answers and messages.
    fn has_room(&self) -> bool {
        self.unsent() < OUTPUT_BYTES_MAX
    }

    /// Reads once.
    fn read(&mut self, context: &mut Context<'_>) -> Step {
        if !self.wants_input() {
            return Step::Idle;
        }
        self.has_looked = true;
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
                self.is_closed = true;
                Step::Done
            }
            Poll::Ready(Ok(())) => {
                // Before any of it is done: once the client has an answer, what it sends
                // next, here or on another connection, wakes each in its order.
                if self.stream.poll_read_ready(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                Step::Done
            }
            Poll::Ready(Err(error)) => {
                debug!(client = %self.client.info.from, %error, "a client's connection broke off");
                Step::End
            }
            Poll::Pending => Step::Idle,
        }
    }

    /// Whether a request has arrived in part, and more of it than does not count.
    fn has_long_request(&self) -> bool {
        self.is_starved && self.input.len() - self.taken > FREE_BYTES
    }

    /// Notes since when nothing came of a long request.
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

    /// Whether no further command is to begin until some are answered.
    fn is_full(&self) -> bool {
        let most = (PIPELINE_BYTES_MAX / self.answer_bytes.max(1)).clamp(1, PIPELINE_MAX);
        self.pending.len() >= most
            || self.under_way_bytes >= PIPELINE_BYTES_MAX
            || self.unsent() + self.behind_bytes >= OUTPUT_BYTES_MAX
    }

    /// Bytes that are held for the client.
    fn held_bytes(&self) -> usize {
        let under_way = REQUEST_COPIES * self.under_way_bytes + self.behind_bytes;
        self.input.len() + self.output.len() + under_way + self.client.queued_bytes()
    }

    /// Forgets what was dealt with.
    fn make_room(&mut self) {
        if self.taken == self.input.len() {
            self.input.clear();
            if self.input.capacity() > KEPT_BYTES_MAX {
                self.input = Vec::new();
            }
        } else if self.taken >= READ_BYTES {
            self.input.drain(..self.taken);
        } else {
            return;
        }
        self.taken = 0;
    }

    /// Begins what was asked for.
    fn begin(&mut self, context: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        while self.may_begin() {
            let is_trusted = self.client.trust > Trust::Unauthenticated;
            let request = match self.parser.next(&self.input[self.taken..], is_trusted) {
                Ok(Some(request)) => request,
                Ok(None) => {
                    self.is_starved = true;
                    break;
                }
                Err(error) => {
                    debug!(client = %self.client.info.from, %error, "a client sent no request");
                    let words = format!("ERR Protocol error: {error}");
                    self.follow(Outcome::Last(Answer::Error(words.into())), 0, context);
                    return Step::Done;
                }
            };
            step = Step::Done;
            self.is_starved = false;
            let length = request.taken;
            if !request.is_empty() {
                let last = self.pending.back_mut();
                let is_behind = last.is_some();
                let sink = last.map_or(&mut self.output, |last| &mut last.behind);
                let before = sink.len();
                let outcome = commands::begin(&mut self.client, &request, sink);
                if is_behind {
                    self.behind_bytes += sink.len() - before;
                }
                self.follow(outcome, length, context);
            }
            self.taken += length;
            self.account.set(self.held_bytes());
            self.account.has_arrived();
        }
        if matches!(step, Step::Done) {
            let now = self.client.server.elapsed_ms();
            self.client.info.active_ms.store(now, Ordering::Relaxed);
        }
        step
    }

    /// Keeps the outcome of a command. `request_bytes` is the length of its request.
    fn follow(&mut self, outcome: Outcome, request_bytes: usize, context: &mut Context<'_>) {
        let is_silent = self.is_silent();
        let protocol = self.client.protocol;
        let is_first = self.pending.is_empty();
        match advance(outcome, &mut self.client, context, is_first) {
            Advanced::Done(answer, is_last) => {
                // Confirmations of subscriptions are sent even to a client that turned replies off.
                if !is_silent || answer.is_unasked() {
                    self.answer(&answer);
                }
                self.is_ending |= is_last;
            }
            Advanced::UnderWay { awaited, is_barrier, waits } => {
                self.barrier = is_barrier;
                self.client.info.is_waiting.store(waits, Ordering::Relaxed);
                self.under_way_bytes += request_bytes;
                self.pending.push_back(Pending {
                    awaited,
                    protocol,
                    is_silent,
                    request_bytes,
                    behind: Vec::new(),
                });
            }
        }
    }

    /// Writes an answer behind all others.
    fn answer(&mut self, answer: &Answer) {
        let protocol = self.client.protocol;
        match self.pending.back_mut() {
            None => answer.write(&mut self.output, protocol),
            Some(last) => {
                let before = last.behind.len();
                answer.write(&mut last.behind, protocol);
                self.behind_bytes += last.behind.len() - before;
            }
        }
    }

    /// Whether the command that was begun just now is to be answered.
    fn is_silent(&mut self) -> bool {
        match self.client.reply_mode {
            ReplyMode::On => false,
            ReplyMode::Off => true,
            ReplyMode::Skip => {
                self.client.reply_mode = ReplyMode::On;
                true
            }
            ReplyMode::SkipNext => {
                self.client.reply_mode = ReplyMode::Skip;
                true
            }
        }
    }

    /// Takes answers that are there, in order.
    fn finish(&mut self, context: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        while self.unsent() < OUTPUT_BYTES_MAX
            && let Some(first) = self.pending.front_mut()
        {
            let outcome = match &mut first.awaited {
                Awaited::Answer(later) => {
                    let Poll::Ready(answer) = later.as_mut().poll(context) else { break };
                    Outcome::Now(answer)
                }
                Awaited::Next(next) => {
                    let Poll::Ready(next) = next.as_mut().poll(context) else { break };
                    next(&mut self.client)
                }
            };
            step = Step::Done;
            let answer = match advance(outcome, &mut self.client, context, true) {
                Advanced::Done(answer, is_last) => {
                    self.is_ending |= is_last;
                    answer
                }
                Advanced::UnderWay { awaited, .. } => {
                    first.awaited = awaited;
                    break;
                }
            };
            let before = self.output.len();
            if !first.is_silent || answer.is_unasked() {
                answer.write(&mut self.output, first.protocol);
            }
            let bytes = self.output.len() - before;
            self.answer_bytes = bytes.max(self.answer_bytes - self.answer_bytes / 8);
            self.output.extend_from_slice(&first.behind);
            self.behind_bytes -= first.behind.len();
            self.under_way_bytes -= first.request_bytes;
            self.pending.pop_front();
            if self.pending.is_empty() {
                self.barrier = false;
                self.client.info.is_waiting.store(false, Ordering::Relaxed);
            }
        }
        step
    }

    /// Sends what the client subscribed to.
    fn tell(&mut self, context: &mut Context<'_>) -> Step {
        if !self.pending.is_empty() || !self.has_room() {
            if !self.client.info.is_subscribed() {
                return Step::Idle;
            }
            // It may take nothing for long: what it misses ends it all the same.
            self.client.output_buffer.overflow_waker.register(context.waker());
            return if self.client.output_buffer.has_overflowed() {
                self.cut_off_subscriber()
            } else {
                Step::Idle
            };
        }
        let output_buffer = Arc::clone(&self.client.output_buffer);
        output_buffer.waker.register(context.waker());
        let protocol = self.client.protocol;
        let (output, sent) = (&mut self.output, self.sent);
        let mut is_full = false;
        let taken = output_buffer.take(|message| {
            push(&message, &mut Encoder { buffer: output, protocol });
            is_full = output.len() - sent >= OUTPUT_BYTES_MAX;
            is_full
        });
        self.has_messages = is_full;
        match taken {
            Ok(true) => Step::Done,
            Ok(false) => Step::Idle,
            Err(Overflowed) => self.cut_off_subscriber(),
        }
    }

    fn cut_off_subscriber(&self) -> Step {
        self.client.server.counters.cut_off.fetch_add(1, Ordering::Relaxed);
        warn!(client = %self.client.info.from, "a subscriber does not keep up; it is cut off");
        Step::End
    }

    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    fn write(&mut self, context: &mut Context<'_>) -> Step {
        if self.unsent() == 0 {
            let is_over = self.pending.is_empty() && (self.is_ending || self.is_closed);
            // Who has hung up waits for nothing.
            let is_gone = self.is_closed && self.client.info.is_waiting.load(Ordering::Relaxed);
            return if is_over || is_gone { Step::End } else { Step::Idle };
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
                    // A client that always leaves something to send must not make it grow.
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

impl Turns for Connection {
    /// Takes what is answered, reads once, begins what that brought, and sends.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.client.info.waker.register(context.waker());
        if self.client.info.is_killed() {
            return Poll::Ready(());
        }
        self.is_ending |= self.client.server.is_finishing.load(Ordering::Relaxed);
        self.has_looked = false;
        for step in [Self::finish, Self::read, Self::begin, Self::tell] {
            if let Step::End = step(self, context) {
                return Poll::Ready(());
            }
        }
        // If the output was full before it was written, there may be more to begin or send.
        let was_full = !self.has_room();
        loop {
            match self.write(context) {
                Step::Done => {}
                Step::Idle => break,
                Step::End => return Poll::Ready(()),
            }
        }
        let may_read = self.wants_input() && !self.has_looked;
        let may_begin = self.may_begin() && !self.is_starved;
        if may_read || may_begin || ((was_full || self.has_messages) && self.has_room()) {
            context.waker().wake_by_ref();
        }
        self.account.set(self.held_bytes());
        Poll::Pending
    }
}

/// How far a command got.
enum Advanced {
    /// It is done; the connection is to end if it was the last one.
    Done(Answer, bool),
    /// It waits.
    UnderWay { awaited: Awaited, is_barrier: bool, waits: bool },
}

/// Goes on with a command until it is done or has to wait. What it waits for is polled
/// at once: it is on its way before another command begins. `is_first` when all commands before
/// it are answered.
fn advance(
    mut outcome: Outcome,
    client: &mut Client,
    context: &mut Context<'_>,
    is_first: bool,
) -> Advanced {
    loop {
        let (mut later, is_barrier, waits) = match outcome {
            Outcome::Now(answer) => return Advanced::Done(answer, false),
            Outcome::Last(answer) => return Advanced::Done(answer, true),
            Outcome::Later(later) => (later, false, false),
            Outcome::Barrier(later) => (later, true, false),
            Outcome::Waits(later) => (later, true, true),
            Outcome::First(next) if is_first => {
                outcome = next(client);
                continue;
            }
            Outcome::First(next) => {
                let awaited = Awaited::Next(Box::pin(std::future::ready(next)));
                return Advanced::UnderWay { awaited, is_barrier: true, waits: false };
            }
            Outcome::Then(mut next) => match next.as_mut().poll(context) {
                Poll::Ready(next) => {
                    outcome = next(client);
                    continue;
                }
                Poll::Pending => {
                    let awaited = Awaited::Next(next);
                    return Advanced::UnderWay { awaited, is_barrier: true, waits: false };
                }
            },
        };
        return match later.as_mut().poll(context) {
            Poll::Ready(answer) => Advanced::Done(answer, false),
            Poll::Pending => {
                Advanced::UnderWay { awaited: Awaited::Answer(later), is_barrier, waits }
            }
        };
    }
}

/// Writes a message to a subscriber.
fn push(message: &OutboundMessage, encoder: &mut Encoder<'_>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribers_are_told_in_the_words_of_their_protocol() {
        let tell = |pattern: Option<&'static str>, protocol| {
            let message = OutboundMessage {
                topic: "t".into(),
                pattern: pattern.map(Into::into),
                payload: "1".into(),
            };
            let mut buffer = Vec::new();
            push(&message, &mut Encoder { buffer: &mut buffer, protocol });
            String::from_utf8(buffer).unwrap()
        };
        assert_eq!(tell(None, Protocol::Resp3), ">3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$1\r\n1\r\n");
        assert_eq!(
            tell(Some("*"), Protocol::Resp2),
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nt\r\n$1\r\n1\r\n"
        );
    }
}
