//! Sessions: messages to another member, each delivered exactly once and in order for as long as
//! both processes live, on however many connections.
//!
//! Each direction has its own connection; when a newer one opens, the remaining data of the older
//! one is ignored. The sender numbers its messages from one, and keeps them until the receiver has
//! acknowledged them. On a new connection it continues after the last message that the receiver has
//! processed, and is informed again of refused messages. If the receiver does not know the session
//! (since it removed the sender and dropped its state), the sender starts a new one. Messages in
//! transit are then lost, and tasks that wait for them are woken.

mod incoming;
mod out_of_band;
mod outgoing;
mod receipt;

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use convoke_membership::MemberId;

use incoming::Incoming;
use out_of_band::OutOfBand;
use outgoing::Outgoing;

pub use crate::limits::MESSAGE_BYTES_MAX;
pub use incoming::Opened;
pub(crate) use incoming::Verdict;
pub use outgoing::{BATCH_BYTES_MAX, OUTGOING_BYTES_MAX};
pub(crate) use outgoing::{MessageState, Sent};
pub use receipt::Receipt;

/// Another member, with the sessions to and from it.
#[derive(Debug)]
pub struct Peer {
    id: MemberId,
    outgoing: Outgoing,
    incoming: Incoming,
    out_of_band: OutOfBand,
}

impl Peer {
    pub(crate) fn new(id: MemberId, session: u64) -> Self {
        Self {
            id,
            outgoing: Outgoing::new(session),
            incoming: Incoming::default(),
            out_of_band: OutOfBand::default(),
        }
    }

    /// The member's id.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Queues an out-of-band message; drops the oldest if there are too many.
    pub(crate) fn push_out_of_band(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.out_of_band.push(encode);
    }

    /// The next out-of-band message, to be sent back over the connection that this peer opened.
    pub fn poll_out_of_band(&self, context: &mut Context<'_>) -> Poll<Bytes> {
        self.out_of_band.poll(context)
    }

    /// Queues a message.
    pub(crate) fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Sent {
        self.outgoing.push(encode)
    }

    /// Bytes that wait to be sent or acknowledged.
    #[inline]
    pub(crate) fn backlog(&self) -> usize {
        self.outgoing.backlog()
    }

    /// Whether more bytes wait than [`OUTGOING_BYTES_MAX`]: then operations that need this member
    /// are refused, and events dropped.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.outgoing.is_full()
    }

    /// The state of a message.
    #[inline]
    pub(crate) fn state(&self, sent: Sent) -> MessageState {
        self.outgoing.state(sent)
    }

    /// Whether a message may have left this process.
    pub(crate) fn was_handed_over(&self, sent: Sent) -> bool {
        self.outgoing.was_handed_over(sent)
    }

    /// The last message that was queued.
    pub(crate) fn last_sent(&self) -> Sent {
        self.outgoing.last_sent()
    }

    /// Registers `waker` until the state of a message may be known: it is acknowledged, the session
    /// ends, the member leaves the view, or the next tick comes. Returns `false`, and registers
    /// nothing, if that is the case already.
    pub(crate) fn wait(&self, sent: Sent, since: Duration, waker: &Waker) -> bool {
        self.outgoing.wait(sent, since, waker)
    }

    /// Wakes the tasks that have waited since this time or longer.
    pub(crate) fn wake_old(&self, since: Duration) {
        self.outgoing.wake_old(since);
    }

    /// Whether the member has left the view.
    pub(crate) fn is_over(&self) -> bool {
        self.outgoing.is_over()
    }

    /// The member has left the view: wakes all waiting tasks.
    pub(crate) fn end(&self) {
        self.outgoing.end();
    }

    /// The session that the sender names when it opens a connection. If it has changed by the time
    /// of the receipt, the connection must be closed.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.outgoing.session()
    }

    /// The last message that is known to be processed. The sender names it when it opens a
    /// connection.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.outgoing.acknowledged()
    }

    /// The receiver resumed `session`: messages after `received` are to be sent (again). Returns
    /// `false` when the connection must be closed, since the session has changed.
    pub(crate) fn handle_resumed(
        &self,
        session: u64,
        received: u64,
        refused: &[u64],
        fresh_session: u64,
    ) -> bool {
        self.outgoing.handle_resumed(session, received, refused, fresh_session)
    }

    /// Handles that the connection closed.
    pub fn handle_closed(&self) {
        self.outgoing.handle_closed();
    }

    /// Handles a receipt for messages of a session.
    pub(crate) fn handle_received(&self, session: u64, received: u64, refused: &[u64]) {
        self.outgoing.handle_received(session, received, refused);
    }

    /// Ready when there are messages to open a connection for.
    pub fn poll_connect(&self, context: &mut Context<'_>) -> Poll<()> {
        self.outgoing.poll_connect(context)
    }

    /// Ready when the open connection has something to send, or is closed.
    pub fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.outgoing.poll_sendable(context)
    }

    /// The next bytes for the open connection. `None` when it is closed, or not open yet.
    pub fn poll_send(&self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.outgoing.poll_send(context)
    }

    /// Handles a new connection, whose number is unique in this process. The sender named its
    /// session and the last message that it knows to be acknowledged.
    pub(crate) fn handle_opened(&self, connection: u64, session: u64, acknowledged: u64) -> Opened {
        self.incoming.handle_opened(connection, session, acknowledged)
    }

    /// Handles bytes of a connection: passes each complete message to `each`. `None` when the
    /// connection must be closed: a newer one has opened, or a message is malformed.
    pub(crate) fn handle_bytes(
        &self,
        connection: u64,
        bytes: &[u8],
        each: impl FnMut(&[u8]) -> Verdict,
    ) -> Option<Receipt> {
        self.incoming.handle_bytes(connection, bytes, each)
    }

    /// Ends the session: messages in transit are lost.
    #[cfg(test)]
    fn reset(&self, fresh_session: u64) {
        self.outgoing.reset(fresh_session);
        self.incoming.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::receipt::REFUSED_MAX;
    use super::*;

    /// All bytes that the sender currently has for the connection.
    fn sent(peer: &Peer) -> Vec<Bytes> {
        let mut context = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while let Poll::Ready(Some(bytes)) = peer.poll_send(&mut context) {
            all.push(bytes);
        }
        all
    }

    /// Opens a connection from one peer to the other. `None` when it must be closed.
    fn open(from: &Peer, to: &Peer) -> Option<u64> {
        let session = from.session();
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let opened = to.handle_opened(connection, session, from.acknowledged());
        let Receipt::Resume { session, received, refused } = opened.receipt else {
            panic!("the first receipt is Resume");
        };
        let useful = from.handle_resumed(session, received, &refused, session + 1);
        useful.then_some(opened.connection)
    }

    fn pair() -> (Peer, Peer) {
        let id = |n| MemberId::from_bytes([n; 16]);
        (Peer::new(id(2), 7), Peer::new(id(1), 99))
    }

    fn numbers(messages: &[Vec<u8>]) -> Vec<u64> {
        let number = |m: &Vec<u8>| u64::from_be_bytes(m[..8].try_into().unwrap());
        messages.iter().map(number).collect()
    }

    proptest! {
        #[test]
        fn each_message_arrives_once_and_in_order_when_connections_break(
            steps in proptest::collection::vec((0..4_u8, 1..40_usize, 1..3_000_usize), 1..60),
        ) {
            let (sender, receiver) = pair();
            let mut got = Vec::new();
            let mut pushed = 0_u64;
            let mut connection = open(&sender, &receiver).expect("the session is resumed");
            // Delivers bytes; a break may truncate them.
            let deliver = |connection: u64, bytes: &[u8], got: &mut Vec<Vec<u8>>| {
                receiver.handle_bytes(connection, bytes, |message| {
                    got.push(message.to_vec());
                    Verdict::Processed
                })
            };
            for (what, count, size) in steps {
                match what {
                    0 | 1 => for _ in 0..count {
                        pushed += 1;
                        sender.push(|bytes| {
                            bytes.extend_from_slice(&pushed.to_be_bytes());
                            bytes.resize(bytes.len() + size, 0);
                        });
                    },
                    2 => {
                        for bytes in sent(&sender) {
                            for piece in bytes.chunks(size) {
                                let receipt = deliver(connection, piece, &mut got);
                                prop_assert!(receipt.is_some());
                            }
                        }
                        let received = got.len() as u64;
                        sender.handle_received(sender.session(), received, &[]);
                        prop_assert_eq!(sender.backlog(), 0);
                    }
                    _ => {
                        let all: Vec<u8> = sent(&sender).concat();
                        let cut = (count * size).min(all.len());
                        deliver(connection, &all[..cut], &mut got);
                        sender.handle_closed();
                        let broken = std::mem::replace(
                            &mut connection,
                            open(&sender, &receiver).expect("the session is resumed"),
                        );
                        // The rest of the broken connection arrives late and is ignored.
                        prop_assert!(deliver(broken, &all[cut..], &mut got).is_none());
                    }
                }
            }
            for bytes in sent(&sender) {
                deliver(connection, &bytes, &mut got);
            }
            prop_assert_eq!(numbers(&got), (1..=pushed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_receiver_that_lost_its_state_makes_the_sender_start_a_new_session() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let first = sender.push(|bytes| bytes.push(1));
        let bytes = sent(&sender).concat();
        receiver.handle_bytes(connection, &bytes, |_| Verdict::Processed).unwrap();
        sender.handle_received(first.session, 1, &[]);
        let second = sender.push(|bytes| bytes.push(2));
        receiver.reset(100);
        sender.handle_closed();
        assert!(open(&sender, &receiver).is_none());
        assert_eq!(
            (sender.state(first), sender.state(second)),
            (MessageState::Lost, MessageState::Lost)
        );
        assert!(open(&sender, &receiver).is_some());
    }

    #[test]
    fn a_refusal_whose_receipt_is_lost_is_repeated_on_the_next_connection() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let [a, b] = [1, 2].map(|n| sender.push(|bytes| bytes.push(n)));
        let verdict = |m: &[u8]| if m == [2] { Verdict::Refused } else { Verdict::Processed };
        receiver.handle_bytes(connection, &sent(&sender).concat(), verdict).unwrap();
        sender.handle_closed();
        open(&sender, &receiver).unwrap();
        assert_eq!(
            (sender.state(a), sender.state(b)),
            (MessageState::Received, MessageState::Refused)
        );
    }

    #[test]
    fn a_receiver_that_forgot_refusals_ends_the_session() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let first = sender.push(|bytes| bytes.push(1));
        for _ in 0..REFUSED_MAX {
            sender.push(|bytes| bytes.push(1));
        }
        for bytes in sent(&sender) {
            receiver.handle_bytes(connection, &bytes, |_| Verdict::Refused).unwrap();
        }
        sender.handle_closed();
        assert!(open(&sender, &receiver).is_none());
        assert_eq!(sender.state(first), MessageState::Lost);
    }

    #[test]
    fn a_receipt_of_another_session_is_ignored() {
        let (sender, receiver) = pair();
        open(&sender, &receiver);
        let sent = sender.push(|bytes| bytes.push(1));
        sender.handle_received(sent.session + 1, 1, &[]);
        assert_eq!(sender.state(sent), MessageState::Open);
    }

    #[test]
    fn a_refusal_is_part_of_the_receipt_that_covers_it() {
        let (sender, receiver) = pair();
        let connection = open(&sender, &receiver).unwrap();
        let [a, b] = [1, 2].map(|n| sender.push(|bytes| bytes.push(n)));
        assert!(!sender.was_handed_over(a));
        let bytes = sent(&sender).concat();
        assert!(sender.was_handed_over(b));
        let verdict = |m: &[u8]| if m == [2] { Verdict::Refused } else { Verdict::Processed };
        let receipt = receiver.handle_bytes(connection, &bytes, verdict);
        assert_eq!(sender.state(a), MessageState::Open);
        let Some(Receipt::Received { received, refused }) = receipt else { panic!() };
        sender.handle_received(a.session, received, &refused);
        assert_eq!(
            (sender.state(a), sender.state(b)),
            (MessageState::Received, MessageState::Refused)
        );
    }

    #[test]
    fn a_receipt_for_messages_that_were_never_sent_is_ignored() {
        let (sender, receiver) = pair();
        open(&sender, &receiver);
        let sent = sender.push(|bytes| bytes.push(1));
        sender.handle_received(sent.session, 9, &[]);
        assert_eq!(sender.state(sent), MessageState::Open);
    }

    #[test]
    fn fuzz_receipt() {
        let samples = [
            Receipt::Resume { session: 7, received: u64::MAX, refused: vec![1, 2, 3] },
            Receipt::Received { received: 300, refused: vec![5, u64::MAX] },
        ]
        .map(|receipt| receipt.encode());
        convoke_harness::check!(&samples, |bytes| {
            let Some(receipt) = Receipt::decode(bytes) else { return };
            assert_eq!(Receipt::decode(&receipt.encode()), Some(receipt.clone()));
            // Whatever a receiver acknowledges, the sender keeps unacknowledged messages.
            let (sender, receiver) = pair();
            open(&sender, &receiver).unwrap();
            let last = [0; 3].map(|byte| sender.push(|bytes| bytes.push(byte)))[2];
            drop(sent(&sender));
            match receipt {
                Receipt::Received { received, refused } => {
                    sender.handle_received(sender.session(), received, &refused);
                    assert_eq!(sender.state(last) == MessageState::Open, received != 3);
                }
                Receipt::Resume { session, received, refused } => {
                    sender.handle_resumed(session, received, &refused, 8);
                }
            }
        });
    }

    /// Bytes of a connection: complete messages are processed exactly once and in order.
    #[test]
    fn fuzz_session() {
        let (sender, receiver) = pair();
        open(&sender, &receiver).unwrap();
        for message in [&b"one"[..], b"", b"three"] {
            sender.push(|bytes| bytes.extend_from_slice(message));
        }
        let large = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
        let samples = [
            sent(&sender).concat(),
            large.to_be_bytes().to_vec(),
            (large + 1).to_be_bytes().to_vec(),
        ];
        convoke_harness::check!(&samples, |bytes| {
            let (_, receiver) = pair();
            let opened = receiver.handle_opened(1, 7, 0);
            let mut framed = Vec::new();
            // The second half arrives later.
            for piece in [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] {
                receiver.handle_bytes(opened.connection, piece, |message| {
                    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
                    framed.extend_from_slice(message);
                    Verdict::Processed
                });
            }
            assert!(bytes.starts_with(&framed));
        });
    }
}
