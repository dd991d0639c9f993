//! The receiving side of a data stream.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use convoke_grid::grid::ALIVE_MS;
use convoke_grid::{Grid, Receipt};
use convoke_membership::MemberId;
use convoke_wire::{Frame, FrameReader, FrameWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{MESSAGES, OPEN, OUT_OF_BAND, Opening, RECEIPT};
use crate::member::calls::Call;

/// Time limit of the first frame, in milliseconds.
const OPEN_MS_MAX: u64 = 2_000;
/// Time that a stream waits for the view that contains its sender, in milliseconds.
const VIEW_MS_MAX: u64 = 500;
/// A receipt that takes longer than this to send ends the stream, in milliseconds.
const WRITE_MS_MAX: u64 = 10_000;
/// Time without input after which a stream is closed, in milliseconds. Its sender, which sends at
/// least every [`ALIVE_MS`], has opened another stream or no longer exists.
const SILENT_MS_MAX: u64 = 30 * ALIVE_MS;

type Reader = FrameReader<OwnedReadHalf>;
type Writer = FrameWriter<OwnedWriteHalf>;

/// Receives messages until the stream ends. `viewed` changes when the grid gets a new view.
pub(super) async fn receive(grid: Grid, viewed: watch::Receiver<()>, call: Box<Call>) {
    let Call { hello, stream } = *call;
    let from = hello.member.id;
    let (mut reader, mut writer) = stream.split_with(TcpStream::into_split);
    let Some(Opening { session, partitions, acknowledged }) = opened(&mut reader).await else {
        return;
    };
    if !shares_view(&grid, viewed, from, partitions).await {
        // One of the two members is missing in the sender's view, or the sender has not received
        // the latest view yet. It will connect again.
        return;
    }
    let Some(opened) = grid.handle_opened(from, session, acknowledged) else { return };
    if answer(&mut writer, &opened.receipt).await.is_some() {
        let _ = take(&grid, from, opened.connection, &mut reader, &mut writer).await;
    }
}

/// Whether the sender is in the view, with the same number of partitions. The coordinator publishes
/// a newcomer and connects to it at once, so the stream may arrive before the view; waiting a
/// moment saves both sides another handshake.
async fn shares_view(
    grid: &Grid,
    mut viewed: watch::Receiver<()>,
    from: MemberId,
    partitions: u16,
) -> bool {
    let shares = |_: &()| grid.partitions() == partitions && grid.peer(from).is_some();
    let seen = viewed.wait_for(shares);
    let seen = tokio::time::timeout(Duration::from_millis(VIEW_MS_MAX), seen);
    matches!(seen.await, Ok(Ok(_)))
}

/// Reads the opening frame.
async fn opened(reader: &mut Reader) -> Option<Opening> {
    let opening = tokio::time::timeout(Duration::from_millis(OPEN_MS_MAX), reader.next());
    let frame = opening.await.ok()?.ok()??;
    let opening = Opening::decode(&frame.payload)?;
    (frame.kind == OPEN).then_some(opening)
}

async fn take(
    grid: &Grid,
    from: MemberId,
    connection: u64,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Option<()> {
    let peer = grid.peer(from)?;
    let silence = Duration::from_millis(SILENT_MS_MAX);
    loop {
        tokio::select! {
            payload = poll_fn(|context| peer.poll_out_of_band(context)) => {
                send(writer, OUT_OF_BAND, payload).await?;
            }
            next = tokio::time::timeout(silence, reader.next()) => {
                let frame = next.ok()?.ok()??;
                if frame.kind == MESSAGES {
                    let receipt = grid.handle_bytes(from, connection, &frame.payload)?;
                    answer(writer, &receipt).await?;
                }
            }
        }
    }
}

async fn answer(writer: &mut Writer, receipt: &Receipt) -> Option<()> {
    send(writer, RECEIPT, Bytes::from(receipt.encode())).await
}

async fn send(writer: &mut Writer, kind: u8, payload: Bytes) -> Option<()> {
    writer.write(&Frame { kind, request: 0, payload }).ok()?;
    let flush = tokio::time::timeout(Duration::from_millis(WRITE_MS_MAX), writer.flush());
    flush.await.ok()?.ok()
}
