//! A client connection: reads requests from its socket, begins them, and writes responses and
//! events. Responses are in the order in which requests complete.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use convoke_hazelcast::frame::{Split, Splitter};
use convoke_hazelcast::message::Message;
use futures_util::stream::{FuturesUnordered, Stream as _};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::dispatch;
use super::errors::Failure;
use super::map;
use super::session::{Begun, Completed, Pending, RequestFuture, Session, TaskInfo, respond};
use super::settings::{OPERATIONS_MAX, OUTPUT_BYTES_MAX, TASKS_BYTES_MAX, TASKS_MAX};
use crate::lanes::{LaneAssignment, LaneTask};
use crate::ledger::{Account, FREE_BYTES};
use crate::output_buffer::Overflowed;
use crate::trust::Trust;

/// Maximum number of bytes read in one turn.
const READ_BYTES: usize = 64 * 1_024;
/// A larger buffer is freed when it is empty.
const KEPT_BYTES_MAX: usize = 64 * 1_024;
/// Bytes that an operation in progress counts as.
const OPERATION_BYTES: usize = 256;

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
pub(super) struct Connection {
    stream: TcpStream,
    session: Session,
    splitter: Splitter,
    input: Vec<u8>,
    /// Length of the part of `input` that was split into messages.
    consumed: usize,
    /// Length of `input` after `consumed` below which there is no further message.
    bytes_min: usize,
    /// The socket was polled in this turn, so it wakes this connection when more data arrives.
    has_polled: bool,
    pending: FuturesUnordered<Pending>,
    /// Number of pending tasks, how many of them may change something at any time, and the bytes of
    /// their requests.
    tasks: usize,
    blocking: usize,
    task_bytes: usize,
    /// Bytes of the messages of operations that may become tasks.
    kept_bytes: usize,
    output: Vec<u8>,
    /// Length of the part of `output` that was sent.
    sent: usize,
    /// There may be more events than `output` had room for.
    has_events: bool,
    /// The client has closed its side.
    is_input_closed: bool,
    /// Memory held for this client.
    account: Account,
    /// Counts this connection in its lane until it is dropped.
    _assignment: Arc<LaneAssignment>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        session: Session,
        assignment: Arc<LaneAssignment>,
    ) -> Self {
        let account = Account::new(&session.server.pubsub.ledger);
        Self {
            stream,
            session,
            splitter: Splitter::new(),
            input: Vec::new(),
            consumed: 0,
            bytes_min: 0,
            has_polled: false,
            pending: FuturesUnordered::new(),
            tasks: 0,
            blocking: 0,
            task_bytes: 0,
            kept_bytes: 0,
            output: Vec::new(),
            sent: 0,
            has_events: false,
            is_input_closed: false,
            account,
            _assignment: assignment,
        }
    }

    fn is_finishing(&self) -> bool {
        self.session.server.is_finishing.load(Ordering::Relaxed)
    }

    /// Input that was not split into messages.
    fn unparsed(&self) -> usize {
        self.input.len() - self.consumed
    }

    /// Whether the input may hold a whole message.
    fn may_split(&self) -> bool {
        self.unparsed() >= self.bytes_min.max(1)
    }

    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    fn has_room(&self) -> bool {
        self.unsent() < OUTPUT_BYTES_MAX
    }

    /// Whether another request may start.
    fn may_start(&self) -> bool {
        let operations = self.pending.len() - self.tasks;
        !self.is_finishing() && self.has_room() && operations < OPERATIONS_MAX
    }

    /// Whether to read from the socket: not while enough requests have arrived.
    fn wants_input(&self) -> bool {
        let has_backlog = self.may_split() && self.unparsed() >= READ_BYTES;
        !self.is_input_closed && !has_backlog && self.may_start()
    }

    /// Whether an incomplete message exceeds the bytes that are not counted.
    fn has_long_message(&self) -> bool {
        !self.may_split() && self.unparsed() > FREE_BYTES
    }

    fn held_bytes(&self) -> usize {
        let pending = self.pending.len() * OPERATION_BYTES + self.task_bytes + self.kept_bytes;
        self.input.len() + self.output.len() + pending
    }

    /// Reads from the socket once.
    fn read(&mut self, context: &mut Context<'_>) -> Step {
        if !self.wants_input() {
            return Step::Idle;
        }
        self.has_polled = true;
        if self.has_long_message() && !self.account.may_grow(context.waker()) {
            self.session.info.starved_ms.store(0, Ordering::Relaxed);
            return Step::Idle;
        }
        self.make_room();
        let (input, stream) = (&mut self.input, Pin::new(&mut self.stream));
        let (read, count) = SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = stream.poll_read(context, &mut buffer);
            input.extend_from_slice(buffer.filled());
            (read, buffer.filled().len())
        });
        self.note_long_message(count > 0);
        match read {
            Poll::Ready(Ok(())) if count == 0 => {
                self.is_input_closed = true;
                Step::Done
            }
            Poll::Ready(Ok(())) => {
                // Polled before any of these requests begins, so that connections are woken in the
                // order in which their requests arrive.
                if self.stream.poll_read_ready(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                Step::Done
            }
            Poll::Ready(Err(error)) => {
                debug!(client = %self.session.info.peer, %error, "client connection failed");
                Step::End
            }
            Poll::Pending => Step::Idle,
        }
    }

    /// Records since when no data of a large incomplete message has arrived.
    fn note_long_message(&self, came: bool) {
        let starved_ms = &self.session.info.starved_ms;
        let since = starved_ms.load(Ordering::Relaxed);
        if !self.has_long_message() {
            if since > 0 {
                starved_ms.store(0, Ordering::Relaxed);
            }
        } else if came || since == 0 {
            starved_ms.store(self.session.server.elapsed_ms(), Ordering::Relaxed);
        }
    }

    /// Discards the part of the input that was split.
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

    /// Begins the requests that have arrived.
    fn begin_requests(&mut self, context: &mut Context<'_>) -> Step {
        let (mut step, mut begun) = (Step::Idle, 0);
        while self.may_split() && self.may_start() {
            let split = match self.splitter.split(&self.input[self.consumed..]) {
                Ok(Split::Incomplete { bytes_min }) => {
                    self.bytes_min = bytes_min;
                    break;
                }
                Ok(split) => split,
                Err(error) => {
                    let peer = self.session.info.peer;
                    if self.session.client().is_none() {
                        let refusals = &self.session.server.refusals;
                        refusals.add(peer, format_args!("it does not speak the protocol: {error}"));
                    } else {
                        debug!(client = %peer, %error, "client sent an invalid message");
                    }
                    return Step::End;
                }
            };
            step = Step::Done;
            self.bytes_min = 0;
            let length = split.consumed();
            let message = match &split {
                Split::Message(message) => Some(*message),
                Split::Reassembled { message, .. } => Some(message.message()),
                _ => None,
            };
            if let Some(message) = message {
                begun += 1;
                let session = &mut self.session;
                match dispatch::begin(session, &mut self.output, message) {
                    Begun::Done => {}
                    Begun::Operation(mut operation) => {
                        // Otherwise the client would have to send it again after a second.
                        if operation.may_be_held {
                            operation.message = Some(message.bytes().to_vec());
                            self.kept_bytes += message.bytes().len();
                        }
                        self.pending.push(Pending::Operation(operation));
                    }
                    Begun::Task => self.begin_task(message.bytes().to_vec(), None, false),
                    Begun::Blocking => self.begin_task(message.bytes().to_vec(), None, true),
                    Begun::Future(future) => {
                        self.begin_task(message.bytes().to_vec(), Some(future), false);
                    }
                }
                if self.session.trust > Trust::Unauthenticated {
                    self.splitter.set_authenticated();
                }
            }
            self.consumed += length;
            self.account.set(self.held_bytes());
            self.account.request_completed();
        }
        if begun > 0 {
            let server = &self.session.server;
            server.counters.requests.fetch_add(begun, Ordering::Relaxed);
            self.session.info.active_ms.store(server.elapsed_ms(), Ordering::Relaxed);
            // What was begun is polled once, so that it is sent before other requests.
            self.collect(context);
        }
        step
    }

    /// Begins a task that executes a message, or one that was made for it.
    fn begin_task(&mut self, message: Vec<u8>, future: Option<RequestFuture>, is_blocking: bool) {
        let bytes = message.len();
        let is_full =
            self.tasks >= TASKS_MAX || self.task_bytes.saturating_add(bytes) > TASKS_BYTES_MAX;
        let session = &self.session;
        let Some(client) = session.client().filter(|_| !is_full) else {
            let failure = Failure::try_again("too many requests of this connection wait");
            if let Ok(message) = Message::parse(&message) {
                failure.respond(&mut self.output, message.header().correlation_id);
            }
            return;
        };
        let (server, client) = (Arc::clone(&session.server), Arc::clone(client));
        let may_write = session.trust.may_write();
        let mut task =
            future.unwrap_or_else(|| Box::pin(map::run(server, client, message, may_write)));
        // Polled at once, so that requests are executed in the order in which they arrive; the real
        // waker is registered later.
        let mut unwatched = Context::from_waker(Waker::noop());
        match task.as_mut().poll(&mut unwatched) {
            Poll::Ready(response) => self.output.extend_from_slice(&response),
            Poll::Pending => {
                let info = TaskInfo { bytes, is_blocking };
                self.pending.push(Pending::Task(task, info));
                self.tasks += 1;
                self.blocking += usize::from(is_blocking);
                self.task_bytes += bytes;
            }
        }
    }

    /// Writes the responses of requests that are complete.
    fn collect(&mut self, context: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        // Polled even if there is no room, so that operations that were begun are sent.
        while let Poll::Ready(Some(completed)) = Pin::new(&mut self.pending).poll_next(context) {
            step = Step::Done;
            match completed {
                Completed::Operation(reply, correlation_id, with, kept) => {
                    self.kept_bytes -= kept;
                    respond(&mut self.output, correlation_id, reply, with);
                }
                Completed::Held(message) => {
                    self.kept_bytes -= message.len();
                    self.begin_task(message, None, false);
                }
                Completed::Task(response, info) => {
                    self.tasks -= 1;
                    self.blocking -= usize::from(info.is_blocking);
                    self.task_bytes -= info.bytes;
                    if self.output.is_empty() {
                        self.output = response;
                    } else {
                        self.output.extend_from_slice(&response);
                    }
                }
            }
            if !self.has_room() {
                break;
            }
        }
        self.session.info.is_busy.store(!self.pending.is_empty(), Ordering::Relaxed);
        step
    }

    /// Writes events: members and partitions, and those of listeners.
    fn write_events(&mut self, context: &mut Context<'_>) -> Step {
        let mut step = Step::Idle;
        if self.session.view.is_some() && dispatch::write_view(&mut self.session, &mut self.output)
        {
            step = Step::Done;
        }
        if !self.session.info.registrations.has_listened() && !self.has_events {
            return step;
        }
        let events = Arc::clone(&self.session.info.events);
        if !self.has_room() {
            // The client may not read for a long time; an overflow must close the connection all
            // the same.
            events.overflow_waker.register(context.waker());
            return if events.has_overflowed() { self.cut_off() } else { step };
        }
        events.waker.register(context.waker());
        let (output, sent) = (&mut self.output, self.sent);
        let mut is_full = false;
        let taken = events.take(|event| {
            output.extend_from_slice(&event.payload);
            is_full = output.len() - sent >= OUTPUT_BYTES_MAX;
            is_full
        });
        self.has_events = is_full;
        match taken {
            Ok(true) => Step::Done,
            Ok(false) => step,
            Err(Overflowed) => self.cut_off(),
        }
    }

    fn cut_off(&self) -> Step {
        self.session.server.counters.cut_off.fetch_add(1, Ordering::Relaxed);
        warn!(client = %self.session.info.peer, "closing the connection of a listener that does not keep up");
        Step::End
    }

    fn write(&mut self, context: &mut Context<'_>) -> Step {
        if self.unsent() == 0 {
            // What waits has changed nothing: it is not waited for.
            let idle = self.tasks - self.blocking;
            let is_over =
                self.is_input_closed || (self.is_finishing() && self.pending.len() == idle);
            return if is_over { Step::End } else { Step::Idle };
        }
        let info = &self.session.info;
        match Pin::new(&mut self.stream).poll_write(context, &self.output[self.sent..]) {
            Poll::Ready(Ok(count)) if count > 0 => {
                self.sent += count;
                info.stalled_ms.store(0, Ordering::Relaxed);
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
                if info.stalled_ms.load(Ordering::Relaxed) == 0 {
                    info.stalled_ms.store(self.session.server.elapsed_ms(), Ordering::Relaxed);
                }
                Step::Idle
            }
        }
    }
}

impl LaneTask for Connection {
    /// Writes completed responses, reads once, begins requests, writes events, and sends.
    fn run_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.session.info.waker.register(context.waker());
        if self.session.info.is_killed() {
            return Poll::Ready(());
        }
        self.has_polled = false;
        for step in [Self::collect, Self::read, Self::begin_requests, Self::write_events] {
            if let Step::End = step(self, context) {
                return Poll::Ready(());
            }
        }
        let was_full = !self.has_room();
        loop {
            match self.write(context) {
                Step::Done => {}
                Step::Idle => break,
                Step::End => return Poll::Ready(()),
            }
        }
        let may_read = self.wants_input() && !self.has_polled;
        let may_begin = self.may_split() && self.may_start();
        if may_read || may_begin || ((was_full || self.has_events) && self.has_room()) {
            context.waker().wake_by_ref();
        }
        self.account.set(self.held_bytes());
        Poll::Pending
    }
}
