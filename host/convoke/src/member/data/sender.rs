//! The sending side of a data stream: opened when there is something to send, and reopened when it
//! breaks.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use convoke_grid::grid::ALIVE_MS;
use convoke_grid::{Grid, Peer, Receipt};
use convoke_membership::{Hello, MemberStatus};
use convoke_wire::{ClusterKeys, FRAME_BYTES_MAX, Frame, FrameReader, FrameWriter, SealedStream};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::{MESSAGES, OPEN, OUT_OF_BAND, Opening, RECEIPT};
use crate::member::calls;
use crate::member::input::Input;
use crate::member::state::MemberState;

/// Time for which no stream could be opened, or none carried a receipt, after which the driver is
/// notified, in milliseconds. Longer than the restart of a member takes.
const UNREACHABLE_MS: u64 = 3 * ALIVE_MS;
/// Delay before a broken stream is reopened, in milliseconds.
const REDIAL_MS: u64 = 50;
/// Time limit for the receiver to report where the session resumes, in milliseconds.
const RESUME_MS_MAX: u64 = 2_000;
/// A stream that cannot be written to for this long is closed, in milliseconds.
const WRITE_MS_MAX: u64 = 10_000;
/// Time without an acknowledgement after which a stream is closed, in milliseconds. Something is
/// sent every [`ALIVE_MS`], and a half-open connection cannot be detected in any other way.
const UNHEARD_MS_MAX: u64 = 8 * ALIVE_MS;

/// The context of a task that sends to one member.
pub(super) struct Sending {
    pub(super) grid: Grid,
    pub(super) peer: Arc<Peer>,
    pub(super) keys: Arc<ClusterKeys>,
    pub(super) member_state: watch::Receiver<Arc<MemberState>>,
    pub(super) driver: mpsc::Sender<Input>,
}

type Reader = FrameReader<OwnedReadHalf>;
type Writer = FrameWriter<OwnedWriteHalf>;

impl Sending {
    /// Sends for as long as the member is in the view.
    pub(super) async fn run(self) {
        // The time at which the last stream broke or failed to open.
        let mut failing = None;
        loop {
            poll_fn(|context| self.peer.poll_connect(context)).await;
            let since = *failing.get_or_insert_with(Instant::now);
            if let Some(stream) = self.dial().await {
                let (mut reader, mut writer) = stream.split_with(TcpStream::into_split);
                if let Some(session) = self.open(&mut reader, &mut writer).await {
                    failing = None;
                    tokio::select! {
                        _ = self.write(&mut writer) => {}
                        _ = self.receive_receipts(&mut reader, session) => {}
                    }
                    self.peer.handle_closed();
                }
            }
            if failing.is_some() && since.elapsed() >= Duration::from_millis(UNREACHABLE_MS) {
                self.report_unreachable().await;
            }
            tokio::time::sleep(Duration::from_millis(REDIAL_MS)).await;
        }
    }

    async fn report_unreachable(&self) {
        let _ = self.driver.send(Input::DataUnreachable { id: self.peer.id() }).await;
    }

    /// Dials the member at each of its addresses until one answers.
    async fn dial(&self) -> Option<SealedStream<TcpStream>> {
        let member_state = Arc::clone(&self.member_state.borrow());
        let view = member_state.view.as_ref()?;
        let member = view.get(self.peer.id())?;
        let hello =
            Hello { member: member_state.me.clone(), standing: MemberStatus::Data }.encode();
        for address in view.dial_addresses(member) {
            if let Ok(call) = calls::call(address, &self.keys, &hello).await
                && call.hello.member.id == self.peer.id()
            {
                return Some(call.stream);
            }
        }
        None
    }

    /// Opens a session over this stream and returns its number; `None` if the stream cannot be
    /// used.
    async fn open(&self, reader: &mut Reader, writer: &mut Writer) -> Option<u64> {
        let session = self.peer.session();
        let (partitions, acknowledged) = (self.grid.partitions(), self.peer.acknowledged());
        let opening = Opening { session, partitions, acknowledged }.encode();
        let Receipt::Resume { session: named, received, refused } =
            exchange(reader, writer, opening).await?
        else {
            return None;
        };
        let is_ours = named == session;
        let is_useful = || self.grid.handle_resumed(self.peer.id(), session, received, &refused);
        (is_ours && is_useful()).then_some(session)
    }

    async fn write(&self, writer: &mut Writer) -> Option<()> {
        loop {
            // Batches the requests of concurrent clients: every task that is ready to write runs
            // before the flush.
            poll_fn(|context| self.peer.poll_sendable(context)).await;
            tokio::task::yield_now().await;
            let mut bytes = poll_fn(|context| self.peer.poll_send(context)).await?;
            while !bytes.is_empty() {
                let payload = bytes.split_to(bytes.len().min(FRAME_BYTES_MAX));
                writer.write(&Frame { kind: MESSAGES, request: 0, payload }).ok()?;
                flush(writer).await?;
            }
        }
    }

    async fn receive_receipts(&self, reader: &mut Reader, session: u64) -> Option<()> {
        loop {
            let mut next = pin!(reader.next());
            let unserved = Duration::from_millis(UNREACHABLE_MS);
            let next = match tokio::time::timeout(unserved, next.as_mut()).await {
                Ok(next) => next,
                Err(_) => {
                    self.report_unreachable().await;
                    let rest = Duration::from_millis(UNHEARD_MS_MAX - UNREACHABLE_MS);
                    tokio::time::timeout(rest, next).await.ok()?
                }
            };
            let Ok(Some(frame)) = next else { return None };
            match frame.kind {
                RECEIPT => {
                    if let Receipt::Received { received, refused } =
                        Receipt::decode(&frame.payload)?
                    {
                        self.grid.handle_received(self.peer.id(), session, received, &refused);
                    }
                }
                OUT_OF_BAND => self.grid.handle_out_of_band(self.peer.id(), &frame.payload),
                _ => {}
            }
        }
    }
}

/// Sends the opening, and reads the receipt.
async fn exchange(reader: &mut Reader, writer: &mut Writer, opening: Vec<u8>) -> Option<Receipt> {
    let payload = Bytes::from(opening);
    writer.write(&Frame { kind: OPEN, request: 0, payload }).ok()?;
    flush(writer).await?;
    let answer = tokio::time::timeout(Duration::from_millis(RESUME_MS_MAX), reader.next());
    let frame = answer.await.ok()?.ok()??;
    (frame.kind == RECEIPT).then(|| Receipt::decode(&frame.payload)).flatten()
}

async fn flush(writer: &mut Writer) -> Option<()> {
    let flush = tokio::time::timeout(Duration::from_millis(WRITE_MS_MAX), writer.flush());
    flush.await.ok()?.ok()
}
