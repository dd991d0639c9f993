//! Routing of operations: they are executed here, or sent to the primary.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use convoke_membership::MemberId;

use super::state::{Grid, Inner, Later};
use super::unblock::Unblock;
use crate::calls::{Answer, Progress};
use crate::encoding;
use crate::limits::{KEY_BYTES_MAX, MESSAGE_BYTES_MAX, OP_MS_MAX};
use crate::map::Map;
use crate::message::{Message, RemoteResult};
use crate::op::{ANSWER_BYTES_MAX, Effect, Op};
use crate::partition::ticket::{Ticket, TicketState, is_received};
use crate::partition::{Executed, Slot};
use crate::{OpError, Reply};

/// Time that a write waits for other members to make room in a map at its bound, in milliseconds;
/// then it is refused.
const ROOM_MS_MAX: u64 = 1_000;
/// Time that an operation waits for locked keys, in milliseconds; then it is refused. Shorter than
/// the time that its client waits.
const QUEUE_MS_MAX: u64 = 4_000;
/// Maximum number of operations of one member that are blocked here.
const BLOCKED_MAX: usize = 100_000;
/// Maximum length of an operation that is sent to another member, in bytes.
const OP_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// The result of starting an operation.
pub enum Started {
    /// It has been executed, or has failed.
    Now(Result<Reply, OpError>),
    /// It is in progress.
    Later(Later<Result<Reply, OpError>>),
}

/// An operation that outlives the borrowed request.
pub(super) struct Owned {
    map: Arc<Map>,
    partition: u16,
    /// The encoded operation.
    op: Vec<u8>,
    effect: Effect,
    started: Duration,
    _room: Room,
}

/// Maximum number of bytes of operations that wait for another member or for an element; beyond it,
/// operations are refused as busy.
pub const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A reservation of waiting bytes for an operation.
struct Room {
    inner: Arc<Inner>,
    bytes: usize,
}

impl Room {
    fn take(inner: &Arc<Inner>, bytes: usize) -> Result<Self, OpError> {
        let room = Self { inner: Arc::clone(inner), bytes };
        // Dropping it returns the bytes, even if they exceeded the maximum.
        let before = inner.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > WAITING_BYTES_MAX { Err(OpError::Busy) } else { Ok(room) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.inner.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Owned {
    fn op(&self) -> Result<Op<'_>, OpError> {
        postcard::from_bytes(&self.op).map_err(|_| OpError::Malformed)
    }

    /// The error for an operation that may have been executed or not.
    fn unknown_outcome(&self) -> OpError {
        if self.effect == Effect::Reads { OpError::Unavailable } else { OpError::Indeterminate }
    }
}

impl Grid {
    /// Starts an operation in one partition of a map. Operations are executed in the order in which
    /// they are started, as long as one member is the primary.
    pub fn start(&self, map: &Arc<Map>, partition: u16, op: &Op<'_>) -> Started {
        let inner = &self.inner;
        let now = inner.shared.now();
        if let Op::Transaction(_) | Op::Request { .. } = op {
            return self.start_transaction(map, partition, op, now);
        }
        if partition < self.partitions() && inner.may_serve(now) {
            match inner.execute(map, partition, op, now) {
                Executed::Done(Err(OpError::Full), None)
                    if inner.may_find_room(map, op.effect(), || Ok(op.added_bytes())) => {}
                Executed::Done(reply, None) => return Started::Now(reply),
                Executed::Done(reply, Some(ticket)) => {
                    let replicated =
                        await_replication(Arc::clone(inner), ticket, reply, op.effect());
                    return Started::Later(Box::pin(replicated));
                }
                Executed::Queued(slot) => {
                    return match self.own(map, partition, op, now) {
                        Ok(owned) => {
                            Started::Later(Box::pin(after_queue(Arc::clone(inner), owned, slot)))
                        }
                        Err(error) => {
                            slot.close();
                            Started::Now(Err(error))
                        }
                    };
                }
                // Transactions are started below.
                Executed::Runs(_) => return Started::Now(Err(OpError::Malformed)),
                Executed::NotPrimary => {}
            }
        }
        match self.own(map, partition, op, now) {
            Ok(owned) => Started::Later(Box::pin(route(Arc::clone(inner), owned))),
            Err(error) => Started::Now(Err(error)),
        }
    }

    /// Starts a transaction, here if this member is the primary of its home partition. A slot for
    /// it is reserved first: once it runs, it cannot be refused any more.
    fn start_transaction(&self, map: &Arc<Map>, home: u16, op: &Op<'_>, now: Duration) -> Started {
        let inner = &self.inner;
        let owned = match self.own(map, home, op, now) {
            Ok(owned) => owned,
            Err(error) => return Started::Now(Err(error)),
        };
        if inner.may_serve(now) {
            match inner.execute(map, home, op, now) {
                Executed::Done(reply, None) => return Started::Now(reply),
                Executed::Runs(slot) => {
                    return Started::Later(Box::pin(after_run(Arc::clone(inner), owned, slot)));
                }
                Executed::Done(_, Some(_)) | Executed::Queued(_) | Executed::NotPrimary => {}
            }
        }
        Started::Later(Box::pin(route(Arc::clone(inner), owned)))
    }

    fn own(
        &self,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        started: Duration,
    ) -> Result<Owned, OpError> {
        self.inner.own(map, partition, op, started)
    }

    /// Passes the bytes of a key to `take`, if this member can answer immediately. Otherwise
    /// returns `None`, and [`Grid::start`] must be used.
    pub fn get_here(
        &self,
        map: &Map,
        partition: u16,
        key: &[u8],
        take: &mut dyn FnMut(Option<&[u8]>),
    ) -> Option<Result<(), OpError>> {
        let inner = &self.inner;
        let now = inner.shared.now();
        // [`Grid::start`] refuses a key that is too long.
        if key.len() > KEY_BYTES_MAX || !inner.may_serve(now) {
            return None;
        }
        let now_ms = inner.shared.clock.now_ms(now);
        let partition = inner.partitions.get(usize::from(partition))?;
        partition.lock().get(&inner.shared, map, now_ms, key, take)
    }

    /// Executes an operation once it has an element to return, so that its reply is not nil; after
    /// `wait` it returns nil.
    pub fn block(
        &self,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        wait: Option<Duration>,
    ) -> Later<Result<Reply, OpError>> {
        self.block_until(map, partition, op, wait, Arc::default())
    }

    /// Like [`Grid::block`], but also returns nil once `unblock` is set. An operation that is
    /// already being executed is completed, and its reply is returned.
    pub fn block_until(
        &self,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        wait: Option<Duration>,
        unblock: Arc<Unblock>,
    ) -> Later<Result<Reply, OpError>> {
        match self.own(map, partition, op, self.inner.shared.now()) {
            Ok(owned) => Box::pin(block(Arc::clone(&self.inner), owned, wait, unblock)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Handles an operation requested by another member.
    pub(super) fn handle_ask(
        &self,
        from: MemberId,
        id: u64,
        partition: u16,
        map: &str,
        waits: bool,
        op: &Op<'_>,
    ) {
        let inner = &self.inner;
        let map = match inner.shared.maps.open(map) {
            Ok(map) => map,
            Err(error) => return inner.answer(from, id, RemoteResult::Done(Err(error))),
        };
        // Without a lease, the other member tries again.
        let now = inner.shared.now();
        if !inner.may_serve(now) {
            return inner.answer(from, id, RemoteResult::NotPrimary);
        }
        // A member that does not read its answers gets no further ones.
        if inner.shared.peer(from).is_none_or(|peer| peer.is_full()) {
            return inner.answer(from, id, RemoteResult::Done(Err(OpError::Busy)));
        }
        if waits {
            return self.block_for(from, id, partition, &map, op, now);
        }
        let effect = op.effect();
        inner.finish(from, id, effect, inner.execute(&map, partition, op, now));
    }

    /// Handles a blocking operation of another member.
    fn block_for(
        &self,
        from: MemberId,
        id: u64,
        partition: u16,
        map: &Arc<Map>,
        op: &Op<'_>,
        now: Duration,
    ) {
        let inner = &self.inner;
        let slot = Arc::new(Slot::default());
        let effect = op.effect();
        match inner.execute_or_wait(map, partition, op, &slot, now) {
            Some(executed) => inner.finish(from, id, effect, executed),
            None => {
                {
                    let mut blocked = inner.blocked.lock();
                    if blocked.len() >= BLOCKED_MAX {
                        slot.close();
                        return inner.answer(from, id, RemoteResult::Done(Err(OpError::Busy)));
                    }
                    blocked.insert((from, id), Arc::clone(&slot));
                }
                let inner = Arc::clone(inner);
                let host = Arc::clone(&inner.shared.host);
                let (map, op) = (Arc::clone(map), encoding::encoded(op));
                host.spawn(Box::pin(async move {
                    let executed = poll_fn(|context| slot.poll(context.waker())).await;
                    inner.blocked.lock().remove(&(from, id));
                    match executed {
                        Some(executed) => inner.finish(from, id, effect, executed),
                        None => {
                            let nothing = match postcard::from_bytes(&op) {
                                Ok(op) => inner.found_nothing(&map, partition, &op),
                                Err(_) => Executed::Done(Err(OpError::Malformed), None),
                            };
                            inner.finish(from, id, effect, nothing);
                        }
                    }
                }));
            }
        }
    }

    /// Handles the cancellation of an operation by another member. The answer is the result if it
    /// was executed already, and otherwise nil.
    pub(super) fn handle_cancel(&self, from: MemberId, id: u64) {
        if let Some(slot) = self.inner.blocked.lock().get(&(from, id)) {
            slot.close();
        }
    }
}

impl Inner {
    /// Copies an operation so that it outlives its request.
    pub(super) fn own(
        self: &Arc<Self>,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        started: Duration,
    ) -> Result<Owned, OpError> {
        op.check_keys()?;
        match self.partitions.len() {
            0 => return Err(OpError::NoCluster),
            partitions if usize::from(partition) >= partitions => return Err(OpError::Malformed),
            _ => {}
        }
        let (effect, op) = (op.effect(), encoding::encoded(op));
        Ok(Owned {
            _room: Room::take(self, op.len())?,
            map: Arc::clone(map),
            partition,
            op,
            effect,
            started,
        })
    }

    /// Whether a full map may soon have room for an operation, since other members were asked to
    /// evict.
    fn may_find_room(
        &self,
        map: &Map,
        effect: Effect,
        added_bytes: impl FnOnce() -> Result<usize, OpError>,
    ) -> bool {
        let may_fit = |max: u64| added_bytes().is_ok_and(|bytes| bytes as u64 <= max);
        effect == Effect::Adds
            && map.settings().evicts_at().is_some_and(may_fit)
            && !self.shared.peers.read().is_empty()
    }

    /// Executes an operation here, if this member is the primary. `now` is when the lease was
    /// checked.
    fn execute(
        self: &Arc<Self>,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        now: Duration,
    ) -> Executed {
        match op {
            Op::Transaction(step) => return self.transact(map, partition, op, step, now),
            Op::Request { request, .. } => return self.start_request(partition, request),
            _ => {}
        }
        if op.effect() == Effect::Adds {
            self.make_room(map, || op.added_bytes());
        }
        self.at(partition, |partition| partition.execute(&self.shared, map, now, op))
    }

    /// Executes an operation here, or blocks it until it has an element to return.
    fn execute_or_wait(
        &self,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        slot: &Arc<Slot>,
        now: Duration,
    ) -> Option<Executed> {
        self.at(partition, |partition| partition.execute_or_wait(&self.shared, map, now, op, slot))
    }

    /// The result of a blocked operation that ends without an element.
    fn found_nothing(&self, map: &Map, partition: u16, op: &Op<'_>) -> Executed {
        let now = self.shared.now();
        if !self.may_serve(now) {
            return Executed::NotPrimary;
        }
        self.at(partition, |partition| partition.found_nothing(&self.shared, map, now, op))
    }

    fn answer(&self, to: MemberId, id: u64, outcome: RemoteResult) {
        let version = self.shared.clock.last();
        self.shared.send(to, &Message::Answer { id, version, outcome });
    }

    /// Answers another member once the operation is replicated.
    fn finish(self: &Arc<Self>, to: MemberId, id: u64, effect: Effect, executed: Executed) {
        match executed {
            Executed::NotPrimary => self.answer(to, id, RemoteResult::NotPrimary),
            Executed::Queued(slot) => {
                // Registered, so that it can be cancelled.
                self.blocked.lock().insert((to, id), Arc::clone(&slot));
                let inner = Arc::clone(self);
                self.shared.host.spawn(Box::pin(async move {
                    let executed = wait_in_queue(&inner, &slot, inner.shared.now()).await;
                    inner.blocked.lock().remove(&(to, id));
                    inner.finish(to, id, effect, executed);
                }));
            }
            Executed::Runs(slot) => {
                let inner = Arc::clone(self);
                self.shared.host.spawn(Box::pin(async move {
                    let executed = poll_fn(|context| slot.poll(context.waker())).await;
                    inner.finish(to, id, effect, executed.unwrap_or(Executed::NotPrimary));
                }));
            }
            Executed::Done(reply, None) => {
                self.answer(to, id, RemoteResult::Done(sendable(reply, effect)));
            }
            Executed::Done(reply, Some(ticket)) => {
                let inner = Arc::clone(self);
                self.shared.host.spawn(Box::pin(async move {
                    let reply = await_replication(Arc::clone(&inner), ticket, reply, effect).await;
                    inner.answer(to, id, RemoteResult::Done(sendable(reply, effect)));
                }));
            }
        }
    }
}

/// The reply, if it fits in one message; otherwise an error. The error does not mean that a write
/// was not executed.
fn sendable(reply: Result<Reply, OpError>, effect: Effect) -> Result<Reply, OpError> {
    match reply {
        Ok(reply) if reply.bytes_at_most(ANSWER_BYTES_MAX).is_none() => {
            Err(if effect == Effect::Reads {
                OpError::AnswerTooLong
            } else {
                OpError::Indeterminate
            })
        }
        reply => reply,
    }
}

/// Waits for an operation that is queued for locks. It fails if its time limit passes before it is
/// executed.
async fn wait_in_queue(inner: &Arc<Inner>, slot: &Slot, since: Duration) -> Executed {
    let timer = inner.calls.begin(inner.shared.me, since + Duration::from_millis(QUEUE_MS_MAX));
    let mut is_late = false;
    let executed = poll_fn(|context| {
        if !is_late && inner.calls.poll(timer, context).is_ready() {
            is_late = true;
            slot.close();
        }
        // An operation that is being executed is awaited.
        slot.poll(context.waker())
    })
    .await;
    inner.calls.end(timer);
    executed.unwrap_or(Executed::Done(Err(OpError::Conflict), None))
}

/// Waits for an operation that is queued for locks here. Routes it again if this member is no
/// longer the primary.
async fn after_queue(inner: Arc<Inner>, owned: Owned, slot: Arc<Slot>) -> Result<Reply, OpError> {
    let waiting = Blocked(slot);
    match wait_in_queue(&inner, &waiting.0, owned.started).await {
        Executed::Done(reply, None) => reply,
        Executed::Done(reply, Some(ticket)) => {
            await_replication(inner, ticket, reply, owned.effect).await
        }
        _ => route(inner, owned).await,
    }
}

/// Waits for a transaction that this member runs. Routes it again if this member cannot run it.
async fn after_run(inner: Arc<Inner>, owned: Owned, slot: Arc<Slot>) -> Result<Reply, OpError> {
    match poll_fn(|context| slot.poll(context.waker())).await {
        Some(Executed::Done(reply, None)) => reply,
        _ => route(inner, owned).await,
    }
}

/// Waits until all required backups have the changes.
pub(super) async fn await_replication(
    inner: Arc<Inner>,
    ticket: Ticket,
    reply: Result<Reply, OpError>,
    effect: Effect,
) -> Result<Reply, OpError> {
    let mut since = None;
    let limit = Duration::from_millis(OP_MS_MAX);
    let mut is_first = true;
    // Without enough members, others may continue without this one, and without the write.
    let may_say = || effect == Effect::Reads || inner.shared.has_enough_members(inner.shared.now());
    let replicated = poll_fn(|context| {
        // This is woken by receipts, by a new table, and periodically.
        if is_received(&ticket.needs) && may_say() {
            return Poll::Ready(true);
        }
        let now = inner.shared.now();
        let since = *since.get_or_insert(now);
        let mut waits = false;
        for need in &ticket.needs {
            if let Some(sent) = need.sent {
                waits |= need.peer.wait(sent, now, context.waker());
            }
        }
        // The receipt may have arrived before the waker was registered.
        if !waits && is_received(&ticket.needs) && may_say() {
            return Poll::Ready(true);
        }
        // Most writes return here after one wait: initially, only the receipt is missing.
        if std::mem::take(&mut is_first) && waits {
            return Poll::Pending;
        }
        let primary = inner.primary(ticket.partition);
        let mut partition = inner.partitions[usize::from(ticket.partition)].lock();
        match partition.ticket_state(&ticket, primary) {
            TicketState::Replicated if may_say() => Poll::Ready(true),
            TicketState::Unknown => Poll::Ready(false),
            TicketState::Replicated | TicketState::Open => {
                if now.saturating_sub(since) >= limit {
                    return Poll::Ready(false);
                }
                partition.wake_at(now, context.waker());
                Poll::Pending
            }
        }
    });
    match replicated.await {
        true => reply,
        // A value that could still be undone is not returned.
        false if effect == Effect::Reads => Err(OpError::Unavailable),
        false => Err(OpError::Indeterminate),
    }
}

/// Executes an operation on the primary of its partition, and retries on other members as long as
/// it was certainly not executed.
pub(super) async fn route(inner: Arc<Inner>, owned: Owned) -> Result<Reply, OpError> {
    let deadline = owned.started + Duration::from_millis(OP_MS_MAX);
    let room_until =
        if inner.may_find_room(&owned.map, owned.effect, || Ok(owned.op()?.added_bytes())) {
            owned.started + Duration::from_millis(ROOM_MS_MAX)
        } else {
            owned.started
        };
    loop {
        let now = inner.shared.now();
        if now >= deadline {
            return Err(OpError::Unavailable);
        }
        if inner.has_no_data_member() {
            return Err(OpError::NoDataMember);
        }
        match inner.primary(owned.partition) {
            Some(primary) if primary == inner.shared.me => {
                if inner.may_serve(now) {
                    match inner.execute(&owned.map, owned.partition, &owned.op()?, now) {
                        Executed::Done(Err(OpError::Full), None) if now < room_until => {}
                        Executed::Done(reply, None) => return reply,
                        Executed::Done(reply, Some(ticket)) => {
                            return await_replication(inner, ticket, reply, owned.effect).await;
                        }
                        Executed::Queued(slot) => {
                            let waiting = Blocked(slot);
                            match wait_in_queue(&inner, &waiting.0, owned.started).await {
                                Executed::Done(reply, None) => return reply,
                                Executed::Done(reply, Some(ticket)) => {
                                    return await_replication(inner, ticket, reply, owned.effect)
                                        .await;
                                }
                                _ => continue,
                            }
                        }
                        Executed::Runs(slot) => {
                            let executed = poll_fn(|context| slot.poll(context.waker())).await;
                            if let Some(Executed::Done(reply, None)) = executed {
                                return reply;
                            }
                            continue;
                        }
                        Executed::NotPrimary => {}
                    }
                }
                wait_for_change(&inner, owned.partition).await;
            }
            Some(primary) => match ask(&inner, &owned, primary, deadline, None).await {
                AskResult::Done(Err(OpError::Full)) if now < room_until => {
                    wait_for_change(&inner, owned.partition).await;
                }
                AskResult::Done(reply) => return reply,
                AskResult::Unknown => return Err(owned.unknown_outcome()),
                AskResult::Again => wait_for_change(&inner, owned.partition).await,
            },
            None => wait_for_change(&inner, owned.partition).await,
        }
    }
}

/// Waits until the state of a partition may have changed, for at most one tick.
async fn wait_for_change(inner: &Arc<Inner>, partition: u16) {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        let now = inner.shared.now();
        inner.partitions[usize::from(partition)].lock().wake_at(now, context.waker());
        Poll::Pending
    })
    .await;
}

/// The result of a request to another member.
enum AskResult {
    Done(Result<Reply, OpError>),
    /// It was not executed; another member may be the primary.
    Again,
    /// It may have been executed or not.
    Unknown,
}

/// Sends a request to one member. With `unblock`, the operation may block there.
async fn ask(
    inner: &Arc<Inner>,
    owned: &Owned,
    primary: MemberId,
    deadline: Duration,
    unblock: Option<&Unblock>,
) -> AskResult {
    let Ok(op) = owned.op() else { return AskResult::Done(Err(OpError::Malformed)) };
    if owned.op.len() > OP_BYTES_MAX {
        return AskResult::Done(Err(OpError::TooLong));
    }
    let Some(peer) = inner.shared.peer(primary) else { return AskResult::Again };
    if peer.is_full() {
        return AskResult::Done(Err(OpError::Busy));
    }
    let id = inner.calls.begin(primary, deadline);
    let mut call = OpenCall { inner, id, to: primary, is_open: true };
    let message = Message::Request {
        id: call.id,
        version: inner.shared.clock.last(),
        partition: owned.partition,
        map: &owned.map.name,
        waits: unblock.is_some(),
        op,
    };
    let sent = peer.push(|bytes| message.encode(bytes));
    let progress = if let Some(unblock) = unblock {
        let later = || inner.shared.now() + Duration::from_millis(OP_MS_MAX);
        let waited =
            poll_fn(|context| match inner.calls.poll_and_keep(call.id, later(), context) {
                Poll::Pending if unblock.poll(context.waker()) => Poll::Ready(Progress::Late),
                progress => progress,
            })
            .await;
        match waited {
            Progress::Late => {
                // If it was executed before this arrives, the answer is in transit.
                inner.shared.send(primary, &Message::Cancel { id: call.id });
                poll_fn(|context| inner.calls.poll(call.id, context)).await
            }
            progress => progress,
        }
    } else {
        poll_fn(|context| inner.calls.poll(call.id, context)).await
    };
    call.is_open = false;
    match progress {
        Progress::Answered(Answer::RemoteResult(RemoteResult::Done(reply))) => {
            AskResult::Done(reply)
        }
        Progress::Answered(Answer::RemoteResult(RemoteResult::NotPrimary)) => AskResult::Again,
        Progress::Gone if owned.effect == Effect::Reads || !peer.was_handed_over(sent) => {
            AskResult::Again
        }
        _ => AskResult::Unknown,
    }
}

/// A request that is cancelled when its task is dropped.
struct OpenCall<'a> {
    inner: &'a Arc<Inner>,
    id: u64,
    to: MemberId,
    is_open: bool,
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        if self.is_open && self.inner.calls.end(self.id) {
            self.inner.shared.send(self.to, &Message::Cancel { id: self.id });
        }
    }
}

/// A blocked operation of this member, closed when its task is dropped.
struct Blocked(Arc<Slot>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn block(
    inner: Arc<Inner>,
    owned: Owned,
    wait: Option<Duration>,
    unblock: Arc<Unblock>,
) -> Result<Reply, OpError> {
    let deadline = wait.map_or(Duration::MAX, |wait| owned.started.saturating_add(wait));
    let mut was_served = false;
    loop {
        let now = inner.shared.now();
        if (now >= deadline && was_served) || unblock.is_set() {
            return Ok(Reply::Nil);
        }
        if now >= deadline {
            // Only the primary knows whether an element was returned, and it has not answered yet.
            return match route(inner, owned).await {
                Ok(Reply::NilList) => Ok(Reply::Nil),
                reply => reply,
            };
        }
        if inner.has_no_data_member() {
            return Err(OpError::NoDataMember);
        }
        match inner.primary(owned.partition) {
            Some(primary) if primary == inner.shared.me => {
                if !inner.may_serve(now) {
                    wait_for_change(&inner, owned.partition).await;
                    continue;
                }
                let blocked = Blocked(Arc::new(Slot::default()));
                let op = owned.op()?;
                let executed = match inner.execute_or_wait(
                    &owned.map,
                    owned.partition,
                    &op,
                    &blocked.0,
                    now,
                ) {
                    Some(executed) => executed,
                    None => {
                        let timer = inner.calls.begin(inner.shared.me, deadline);
                        let mut is_late = false;
                        let filled = poll_fn(|context| {
                            let is_over = inner.calls.poll(timer, context).is_ready();
                            if !is_late && (is_over || unblock.poll(context.waker())) {
                                is_late = true;
                                blocked.0.close();
                            }
                            // An operation that is being executed is awaited.
                            blocked.0.poll(context.waker())
                        })
                        .await;
                        inner.calls.end(timer);
                        match filled {
                            Some(executed) => executed,
                            None => {
                                was_served = false;
                                inner.found_nothing(&owned.map, owned.partition, &op)
                            }
                        }
                    }
                };
                match executed {
                    Executed::Done(reply, None) => return reply,
                    Executed::Done(reply, Some(ticket)) => {
                        return await_replication(inner, ticket, reply, owned.effect).await;
                    }
                    Executed::NotPrimary => wait_for_change(&inner, owned.partition).await,
                    // A blocked operation waits for locks in the same way as for an element.
                    Executed::Queued(_) | Executed::Runs(_) => {
                        was_served = true;
                        wait_for_change(&inner, owned.partition).await;
                    }
                }
            }
            Some(primary) => match ask(&inner, &owned, primary, deadline, Some(&unblock)).await {
                AskResult::Done(reply) => return reply,
                AskResult::Unknown => return Err(OpError::Indeterminate),
                AskResult::Again => wait_for_change(&inner, owned.partition).await,
            },
            None => wait_for_change(&inner, owned.partition).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use convoke_membership::{Member, View, ViewId};

    use super::super::testing::{self, member};
    use super::*;
    use crate::op::{End, GenericOp, KeyOp, SeveralOp};

    /// The view of one member alone, and the next view with another member.
    fn views(one: Member, other: &Member) -> (View, View) {
        let id = ViewId { epoch: 1, version: 2, coordinator: one.id };
        let alone = View::founded_by(one);
        let both = alone.with(id, std::slice::from_ref(other), &[]).expect("a view");
        (alone, both)
    }

    #[test]
    fn an_old_connection_of_a_member_that_returned_is_ignored() {
        let (me, other) = (member(1, false), member(2, false));
        let grid = testing::grid(me.id);
        let (alone, both) = views(me, &other);
        grid.handle_view(&both);
        let before = grid.handle_opened(other.id, 7, 0).expect("a member");
        grid.handle_view(&alone);
        grid.handle_view(&both);
        let after = grid.handle_opened(other.id, 8, 0).expect("a member");
        assert!(grid.handle_bytes(other.id, before.connection, b"").is_none());
        assert!(grid.handle_bytes(other.id, after.connection, b"").is_some());
    }

    #[test]
    fn data_is_not_safe_while_the_table_is_of_an_older_view() {
        let (me, other) = (member(1, false), member(2, false));
        let grid = testing::grid(me.id);
        let (alone, both) = views(me, &other);
        testing::adopt_view(&grid, &alone);
        assert!(grid.is_safe());
        assert_eq!(grid.progress(), (7, 7));
        grid.expect_view(&both);
        assert!(!grid.is_safe());
        assert_eq!(grid.progress(), (7, 14));
        grid.expect_view(&alone);
        assert!(grid.is_safe());
    }

    #[test]
    fn an_admitted_member_does_not_serve_before_it_has_the_new_table() {
        let (me, other) = (member(1, false), member(2, false));
        let grid = testing::grid(me.id);
        testing::adopt_view(&grid, &View::founded_by(me.clone()));
        let map = grid.open("m").unwrap();
        let ask = || grid.start(&map, 0, &Op::Key(b"k", KeyOp::Generic(GenericOp::Remove)));
        let read = || grid.get_here(&map, 0, b"k", &mut |_| {});
        assert!(matches!(ask(), Started::Now(Ok(_))) && read().is_some());
        // The cluster of another member admits it, with a new generation.
        let taken_in = Member { generation: 2, age: 2, ..me };
        let id = ViewId { epoch: 2, version: 2, coordinator: other.id };
        let view = View::founded_by(other).with(id, &[taken_in], &[]).expect("a view");
        grid.expect_view(&view);
        assert!(matches!(ask(), Started::Later(_)) && read().is_none());
        grid.tick();
        assert!(matches!(ask(), Started::Later(_)) && read().is_none());
    }

    #[test]
    fn a_blocking_operation_times_out_with_nil_only_if_the_primary_said_so() {
        let me = member(1, false);
        let grid = testing::grid(me.id);
        let map = grid.open("m").unwrap();
        let keys = vec![&b"l"[..]];
        let pop = SeveralOp::PopFirst { keys, end: End::Front, count: 1 };
        let mut wait = grid.block(&map, 0, &Op::Several(pop), Some(Duration::ZERO));
        let mut poll = || wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending(), "there is no primary yet");
        testing::adopt_view(&grid, &View::founded_by(me));
        assert_eq!(poll(), Poll::Ready(Ok(Reply::Nil)));
    }

    #[test]
    fn a_key_that_is_too_long_is_not_read_in_place() {
        let me = member(1, false);
        let grid = testing::grid(me.id);
        testing::adopt_view(&grid, &View::founded_by(me));
        let map = grid.open("m").unwrap();
        let read = |bytes: usize| grid.get_here(&map, 0, &vec![b'k'; bytes], &mut |_| {});
        assert_eq!(read(KEY_BYTES_MAX), Some(Ok(())));
        assert_eq!(read(KEY_BYTES_MAX + 1), None);
    }

    #[test]
    fn an_expected_data_member_counts_before_its_view_is_handled() {
        let (lite, full) = (member(1, true), member(2, false));
        let grid = testing::grid(lite.id);
        let map = grid.open("m").unwrap();
        let ask = || match grid.start(&map, 0, &Op::Key(b"k", KeyOp::Generic(GenericOp::Remove))) {
            Started::Now(reply) => Poll::Ready(reply),
            Started::Later(mut later) => {
                later.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            }
        };
        let (alone, both) = views(lite, &full);
        assert!(ask().is_pending(), "unknown before the first view");
        grid.expect_view(&alone);
        grid.handle_view(&alone);
        assert_eq!(ask(), Poll::Ready(Err(OpError::NoDataMember)));
        // Clients may see the view before the grid has handled it.
        grid.expect_view(&both);
        assert!(ask().is_pending());
        grid.handle_view(&alone);
        assert!(ask().is_pending());
        grid.handle_view(&both);
        assert!(ask().is_pending());
    }
}
