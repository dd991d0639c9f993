//! A stream of data from another member.

use std::time::Duration;

use bytes::Bytes;
use convoke_grid::{Grid, Receipt};
use convoke_membership::MemberId;
use convoke_wire::{Frame, FrameReader, FrameWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tracing::error;

use super::{MESSAGES, OPEN, RECEIPT};
use crate::member::calls::Call;

/// How long the first frame may take.
const OPEN_MS_MAX: u64 = 2_000;
/// A receipt that cannot be sent within this ends the stream.
const WRITE_MS_MAX: u64 = 10_000;

type Reader = FrameReader<OwnedReadHalf>;
type Writer = FrameWriter<OwnedWriteHalf>;

/// Takes what comes, until the stream ends.
pub(super) async fn receive(grid: Grid, call: Box<Call>) {
    let Call { hello, stream } = *call;
    let from = hello.member.id;
    let (mut reader, mut writer) = stream.split_with(TcpStream::into_split);
    let Some((session, partitions)) = opened(&mut reader).await else { return };
    if partitions != grid.partitions() {
        error!(
            member = %hello.member.address(),
            "that member cuts its data into {partitions} partitions, this one into {}: they can share none; set the same --partitions on both",
            grid.partitions()
        );
        // The other says so as well, and calls again much later.
        let _ = answer(&mut writer, &Receipt::Resume { session: 0, received: 0 }).await;
        return;
    }
    // Perhaps it is not in the view yet: it calls again.
    let Some(receipt) = grid.handle_opened(from, session) else { return };
    if answer(&mut writer, &receipt).await.is_some() {
        let _ = take(&grid, from, session, &mut reader, &mut writer).await;
    }
}

/// The session and number of partitions that the stream begins with.
async fn opened(reader: &mut Reader) -> Option<(u64, u16)> {
    let opening = tokio::time::timeout(Duration::from_millis(OPEN_MS_MAX), reader.next());
    let frame = opening.await.ok()?.ok()??;
    let (session, rest) = frame.payload.split_first_chunk::<8>()?;
    let partitions = <[u8; 2]>::try_from(rest).ok()?;
    let opening = (u64::from_be_bytes(*session), u16::from_be_bytes(partitions));
    (frame.kind == OPEN).then_some(opening)
}

async fn take(
    grid: &Grid,
    from: MemberId,
    session: u64,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Option<()> {
    while let Ok(Some(frame)) = reader.next().await {
        if frame.kind == MESSAGES {
            let receipt = grid.handle_bytes(from, session, &frame.payload)?;
            answer(writer, &receipt).await?;
        }
    }
    None
}

async fn answer(writer: &mut Writer, receipt: &Receipt) -> Option<()> {
    let payload = Bytes::from(receipt.encode());
    writer.write(&Frame { kind: RECEIPT, request: 0, payload }).ok()?;
    let flush = tokio::time::timeout(Duration::from_millis(WRITE_MS_MAX), writer.flush());
    flush.await.ok()?.ok()
}
