//! Membership streams to other members: kept, reused, and opened when needed.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use convoke_membership::{AtAddress, Hello, Member, MemberId, Message, Reach};
use convoke_wire::{ClusterKeys, Frame, SealedStream};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::calls::{self, Call};
use super::input::Input;

/// Frame kind: a membership message.
const KIND_MEMBERSHIP: u8 = 1;
/// Frame kind: a message that its receiver may skip, see [`Message::is_supplement`].
const KIND_SUPPLEMENT: u8 = 2;
/// Messages that may wait for one stream, or for one to open.
const QUEUE_MESSAGES_MAX: usize = 256;
/// Maximum number of streams to one member: both sides may have connected at the same time.
const LINKS_PER_MEMBER_MAX: usize = 3;
/// Maximum number of dials in progress.
const CALLS_MAX: usize = 64;
/// Delay between the calls to two addresses of a member, in milliseconds: time for the first to
/// answer on a local network. All of them together, plus [`calls::CONNECT_MS_MAX`], fit into the
/// time for a second opinion.
const ADDRESS_MS: u64 = 10;
/// A stream that cannot be written to for this long is closed, in milliseconds.
const WRITE_MS_MAX: u64 = 10_000;

struct Link {
    serial: u64,
    /// The local address of the stream.
    local: Option<IpAddr>,
    queue: mpsc::Sender<Message>,
    writer: JoinHandle<()>,
    _reader: Reader,
}

/// The task that reads a stream. It is aborted with its link, since it would never end if the
/// peer's host is lost.
struct Reader(AbortHandle);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls one member.
struct Caller {
    me: MemberId,
    keys: Arc<ClusterKeys>,
    inputs: mpsc::Sender<Input>,
    hello: Arc<[u8]>,
    connect_ms: u64,
}

impl Caller {
    /// Calls all addresses concurrently, each a little later than the previous one, so that several
    /// unresponsive addresses take no longer than one: a second opinion has a deadline.
    async fn reach(&self, member: &Member) -> Reach {
        let mut calls = JoinSet::new();
        for (number, address) in (0..).zip(member.addresses.iter().copied()) {
            let (keys, hello) = (Arc::clone(&self.keys), Arc::clone(&self.hello));
            let connect_ms = self.connect_ms;
            calls.spawn(async move {
                // Even a sleep of zero would last until the timer's next millisecond.
                if number > 0 {
                    tokio::time::sleep(Duration::from_millis(ADDRESS_MS * number)).await;
                }
                calls::call_surely(address, &keys, &hello, connect_ms).await
            });
        }
        let mut found = Vec::new();
        while let Some(done) = calls.join_next().await {
            found.push(match done {
                Ok(Ok(call)) => self.identify(member.id, call).await,
                Ok(Err(error)) => error.found(),
                Err(_) => AtAddress::Silent,
            });
            if found.last() == Some(&AtAddress::Member) {
                break;
            }
        }
        Reach::of(found)
    }

    /// Whether the member that answered is the one that was called.
    async fn identify(&self, expected: MemberId, call: Call) -> AtAddress {
        let id = call.hello.member.id;
        if id == self.me {
            return AtAddress::Caller;
        }
        let _ = self.inputs.send(Input::Connected { call: Box::new(call), called: true }).await;
        if id == expected { AtAddress::Member } else { AtAddress::OtherProcess }
    }
}

/// All membership streams of this member.
pub(crate) struct Links {
    me: MemberId,
    keys: Arc<ClusterKeys>,
    inputs: mpsc::Sender<Input>,
    open: HashMap<MemberId, Vec<Link>>,
    /// Messages for members that are being called.
    waiting: HashMap<MemberId, VecDeque<Message>>,
    calls: Arc<Semaphore>,
    serial: u64,
}

impl Links {
    pub(crate) fn new(me: MemberId, keys: Arc<ClusterKeys>, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            me,
            keys,
            inputs,
            open: HashMap::new(),
            waiting: HashMap::new(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            serial: 0,
        }
    }

    /// Whether there is a stream to this member.
    pub(crate) fn is_open(&self, id: MemberId) -> bool {
        self.open.contains_key(&id)
    }

    /// Members with an open stream.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Sends over an open stream; opens one with `hello` if there is none.
    pub(crate) fn send(&mut self, to: &Member, message: Message, hello: impl FnOnce() -> Vec<u8>) {
        let mut message = message;
        for link in self.open.get(&to.id).into_iter().flatten() {
            match link.queue.try_send(message) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    // The peer reads too slowly. The message is dropped; the protocol asks again.
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(back)) => message = back,
            }
        }
        let calling = self.waiting.contains_key(&to.id);
        let queue = self.waiting.entry(to.id).or_default();
        if queue.len() < QUEUE_MESSAGES_MAX {
            queue.push_back(message);
        }
        if !calling {
            self.call(to, &hello(), calls::CONNECT_MS_MAX);
        }
    }

    /// Calls a member at all its addresses until it answers at one of them.
    pub(crate) fn call(&mut self, member: &Member, hello: &[u8], connect_ms: u64) {
        let caller = Caller {
            me: self.me,
            keys: Arc::clone(&self.keys),
            inputs: self.inputs.clone(),
            hello: hello.into(),
            connect_ms,
        };
        let (calls, member) = (Arc::clone(&self.calls), member.clone());
        tokio::spawn(async move {
            let Ok(_turn) = calls.acquire().await else { return };
            let reach = caller.reach(&member).await;
            let _ = caller.inputs.send(Input::Reached { id: member.id, reach }).await;
        });
    }

    /// A call ended. Messages that are still waiting for it are dropped; the protocol asks again.
    pub(crate) fn called(&mut self, id: MemberId) {
        self.waiting.remove(&id);
    }

    /// Adds a stream after its handshake.
    pub(crate) fn add(&mut self, hello: &Hello, stream: SealedStream<TcpStream>) {
        let id = hello.member.id;
        let links = self.open.entry(id).or_default();
        // The newest stream is preferred: an older one may lead to an address that no longer
        // exists.
        links.truncate(LINKS_PER_MEMBER_MAX - 1);
        self.serial += 1;
        let serial = self.serial;
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES_MAX);
        for message in self.waiting.remove(&id).unwrap_or_default() {
            let _ = queue.try_send(message);
        }
        let local = stream.get_ref().local_addr().ok().map(|address| address.ip());
        let (reader, writer) = stream.split_with(TcpStream::into_split);
        let reader = tokio::spawn(read(reader, hello.member.clone(), serial, self.inputs.clone()));
        let writer = tokio::spawn(write(writer, messages));
        let reader = Reader(reader.abort_handle());
        links.insert(0, Link { serial, local, queue, writer, _reader: reader });
    }

    /// Removes a stream that ended. Returns whether it was the last one to that member.
    pub(crate) fn ended(&mut self, id: MemberId, serial: u64) -> bool {
        let Some(links) = self.open.get_mut(&id) else { return false };
        links.retain(|link| link.serial != serial);
        if links.is_empty() {
            self.open.remove(&id);
            return true;
        }
        false
    }

    /// Closes the streams whose local address is not in `used`. Returns the members without a
    /// remaining stream.
    pub(crate) fn keep_from(&mut self, used: &[IpAddr]) -> Vec<MemberId> {
        for links in self.open.values_mut() {
            links.retain(|link| link.local.is_none_or(|ip| ip.is_loopback() || used.contains(&ip)));
        }
        let without = self.open.extract_if(|_, links| links.is_empty());
        without.map(|(id, _)| id).collect()
    }

    /// Closes the streams to all members for which `keep` is false.
    pub(crate) fn keep_only(&mut self, keep: impl Fn(MemberId) -> bool) {
        self.open.retain(|id, _| keep(*id));
    }

    /// Closes all streams after their queued messages are sent.
    pub(crate) async fn flush(&mut self) {
        let links: Vec<Link> = self.open.drain().flat_map(|(_, links)| links).collect();
        for Link { queue, writer, .. } in links {
            drop(queue);
            let _ = writer.await;
        }
    }
}

async fn read(
    mut reader: convoke_wire::FrameReader<OwnedReadHalf>,
    from: Member,
    serial: u64,
    inputs: mpsc::Sender<Input>,
) {
    let fault = loop {
        match reader.next().await {
            Ok(Some(frame)) if frame.kind == KIND_MEMBERSHIP => {
                match Message::decode(&frame.payload) {
                    Ok(message) => {
                        let input = Input::Message { from: Box::new(from.clone()), message };
                        if inputs.send(input).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => break Some(error.to_string()),
                }
            }
            Ok(Some(frame)) if frame.kind == KIND_SUPPLEMENT => {
                // A message that only a newer version knows is skipped, too.
                if let Ok(message) = Message::decode(&frame.payload) {
                    let input = Input::Message { from: Box::new(from.clone()), message };
                    if inputs.send(input).await.is_err() {
                        return;
                    }
                }
            }
            // A frame kind that only a newer version knows.
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let _ = inputs.send(Input::LinkEnded { id: from.id, serial, fault }).await;
}

async fn write(
    mut writer: convoke_wire::FrameWriter<OwnedWriteHalf>,
    mut messages: mpsc::Receiver<Message>,
) {
    let mut batch = Vec::new();
    while messages.recv_many(&mut batch, QUEUE_MESSAGES_MAX).await > 0 {
        for message in batch.drain(..) {
            let payload = Bytes::from(message.encode());
            let kind = if message.is_supplement() { KIND_SUPPLEMENT } else { KIND_MEMBERSHIP };
            let frame = Frame { kind, request: 0, payload };
            if writer.write(&frame).is_err() {
                return;
            }
        }
        let flush = tokio::time::timeout(Duration::from_millis(WRITE_MS_MAX), writer.flush());
        if !matches!(flush.await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = writer.close().await;
}
