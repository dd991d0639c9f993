//! How two ends of a pipe become a sealed stream.
//!
//! ```text
//! initiator                                                  responder
//! "CNVK" oldest newest 0        length, message 1     ──▶
//!                 ◀──   "CNVK" status 0 version  0       length, message 2
//!                 ◀──   "CNVK" status 1 oldest   newest  length 0    no version in common
//!                 ◀──   "CNVK" status 2 0        0       length 0    credentials differ
//!                 ◀──   "CNVK" status 3 0        0       length 0    busy
//! length, sealed hello                                ──▶
//! ```
//!
//! The nine clear bytes in front (the length is a u16 BE) stay as they are in all versions, and an
//! initiator's whole opening stays within [`HANDSHAKE_BYTES_MAX`]: so a stranger and a member of
//! another version are told apart before any cryptography.
//!
//! The messages are `Noise_NNpsk0_25519_AESGCM_SHA256` under the cluster's stream key. The prologue
//! is the initiator's clear bytes without the length, and a digest of the cluster name: who alters
//! the offer, or has another name or password, fails at message 1. The payload of message 2 is the
//! version chosen, which authenticates it, and the responder's hello. The initiator's hello is the
//! first record of the stream; only it proves to the responder that message 1 was no replay.

use crate::keys::ClusterKeys;
use crate::record::{LENGTH_BYTES, RecordOpener, RecordSealer, TAG_BYTES};
use crate::stream::SealedStream;
use crate::version::{PROTOCOL_VERSIONS, VersionRange};
use snow::{Builder, HandshakeState};
use std::future::Future;
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// How long a whole handshake may take, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 2_000;
/// The most that is read from an initiator before it has proved anything, in bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 256;
/// The longest hello, in bytes.
pub const HELLO_BYTES_MAX: usize = 2_048;

const MAGIC: [u8; 4] = *b"CNVK";
const HEADER_BYTES: usize = 9;
const NOISE: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// An ephemeral key and a tag.
const MESSAGE_1_BYTES: usize = 32 + TAG_BYTES;
/// The same around the version and the hello.
const MESSAGE_2_BYTES_MAX: usize = 32 + 1 + HELLO_BYTES_MAX + TAG_BYTES;

const ACCEPTED: u8 = 0;
const REFUSED_VERSION: u8 = 1;
const REFUSED_CREDENTIALS: u8 = 2;
const REFUSED_BUSY: u8 = 3;

/// Why there is no stream.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The peer's first bytes are not a member's: another program listens or calls there.
    #[error(
        "the peer is not a Convoke member (it began with \"{}\"); is this the right port?",
        .began.escape_ascii()
    )]
    NotAMember {
        /// Those bytes, as far as they were read: nine at most.
        began: Vec<u8>,
    },
    /// The peer is a member of another cluster. Both sides are told, and no more than this.
    #[error("cluster name or password differs from the peer's; members need both the same")]
    Credentials,
    /// The two builds have no protocol version in common.
    #[error("no protocol version in common: this member speaks {ours}, the peer {theirs}; {}", older(*.ours, *.theirs))]
    Version {
        /// What this build speaks.
        ours: VersionRange,
        /// What the peer speaks.
        theirs: VersionRange,
    },
    /// Too many handshakes at once at the side that answers.
    #[error("too many handshakes at once on the answering side; try again shortly")]
    Busy,
    /// At the side that answers: newer connections needed the room before this one had sent its
    /// first message. See [`HandshakeGate`](crate::HandshakeGate).
    #[error("dropped for newer connections before its first message came")]
    Dropped,
    /// The peer refused for a reason that this build does not know.
    #[error("the peer refused with code {status}, which this member does not know; is it newer?")]
    Refused {
        /// The code.
        status: u8,
    },
    /// The peer began as a member and then broke the protocol.
    #[error("the handshake is malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Over the time that a handshake may take.
    #[error("no handshake within {ms_max} ms; the peer is silent, overloaded, or not a member")]
    TimedOut {
        /// The time it had, in milliseconds.
        ms_max: u64,
    },
    /// The peer closed the pipe.
    #[error("the peer closed the connection before the handshake was done")]
    Closed,
    /// The pipe failed.
    #[error("the connection failed during the handshake: {0}")]
    Io(#[source] io::Error),
    /// Our own hello is over [`HELLO_BYTES_MAX`]; nothing was sent.
    #[error("a hello of {bytes} bytes is too large; at most {HELLO_BYTES_MAX} are allowed")]
    HelloTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The operating system gave no randomness for a key.
    #[error("the operating system gave no randomness for the handshake")]
    NoRandomness,
}

fn older(ours: VersionRange, theirs: VersionRange) -> &'static str {
    if ours.max < theirs.min {
        "this member is older: upgrade it"
    } else {
        "the peer is older: upgrade it"
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Opens a handshake on a pipe that this side dialled. Gives the stream and the peer's hello.
///
/// `hello` is opaque to this crate, at most [`HELLO_BYTES_MAX`] bytes, and reaches only a peer that
/// has proved to know the cluster's name and password. On an error the pipe is dropped.
pub async fn connect<S>(
    io: S,
    keys: &ClusterKeys,
    hello: &[u8],
) -> Result<(SealedStream<S>, Vec<u8>), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    check_hello(hello)?;
    within(HANDSHAKE_MS_MAX, initiate(io, keys, hello)).await
}

/// Answers a handshake on a pipe that a peer dialled. Gives the stream and the peer's hello.
///
/// A peer with other credentials, or of another version, gets nine bytes that say so; another program
/// gets no answer. On an error the pipe is dropped. Nothing here bounds how many run at once: see
/// [`HandshakeGate`](crate::HandshakeGate).
///
/// Both halves of the proof are in when this returns. At the initiator [`connect`] returns one flight
/// earlier; its first frame may reach a responder that has given up meanwhile.
pub async fn accept<S>(
    io: S,
    keys: &ClusterKeys,
    hello: &[u8],
) -> Result<(SealedStream<S>, Vec<u8>), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    check_hello(hello)?;
    within(HANDSHAKE_MS_MAX, respond(io, keys, hello, || true)).await
}

async fn initiate<S>(
    mut io: S,
    keys: &ClusterKeys,
    hello: &[u8],
) -> Result<(SealedStream<S>, Vec<u8>), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ours = PROTOCOL_VERSIONS;
    let offer = [ours.min, ours.max, 0];
    let prologue = prologue(offer, keys);
    let mut noise =
        builder(keys, &prologue).build_initiator().map_err(|error| noise_failed(&error))?;
    let mut message = [0; MESSAGE_1_BYTES];
    let bytes = noise.write_message(&[], &mut message).map_err(|error| noise_failed(&error))?;
    io.write_all(&with_header(offer, &message[..bytes])).await?;
    io.flush().await?;

    let ([status, a, b], bytes) = read_header(&mut io).await?;
    match status {
        ACCEPTED if !ours.contains(a) => return Err(malformed("it chose a version not offered")),
        ACCEPTED if bytes > MESSAGE_2_BYTES_MAX => return Err(malformed("message 2 is too long")),
        ACCEPTED => {}
        REFUSED_VERSION => return Err(refused_version(ours, VersionRange { min: a, max: b })),
        REFUSED_CREDENTIALS => return Err(HandshakeError::Credentials),
        REFUSED_BUSY => return Err(HandshakeError::Busy),
        status => return Err(HandshakeError::Refused { status }),
    }
    let mut message = vec![0; bytes];
    io.read_exact(&mut message).await?;
    let mut payload = vec![0; MESSAGE_2_BYTES_MAX];
    // A peer that accepts and then cannot authenticate does not know the secret either.
    let bytes =
        noise.read_message(&message, &mut payload).map_err(|_| HandshakeError::Credentials)?;
    payload.truncate(bytes);
    if payload.first() != Some(&a) {
        return Err(malformed("the version was altered on its way"));
    }
    payload.remove(0);

    let (outward, inward) = split_keys(&mut noise);
    let mut sealer = RecordSealer::new(&outward);
    let mut record = vec![0; LENGTH_BYTES];
    record.extend_from_slice(hello);
    sealer.seal_tail(&mut record, 0).expect("the first record of a stream");
    io.write_all(&record).await?;
    io.flush().await?;
    let opener = RecordOpener::new(&inward);
    Ok((SealedStream { io, sealer, opener, version: a }, payload))
}

/// Answers. `has_room` is asked once the peer has proved to know name and password.
pub(crate) async fn respond<S>(
    mut io: S,
    keys: &ClusterKeys,
    hello: &[u8],
    has_room: impl FnOnce() -> bool,
) -> Result<(SealedStream<S>, Vec<u8>), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ours = PROTOCOL_VERSIONS;
    let (offer, bytes) = read_header(&mut io).await?;
    let theirs = VersionRange { min: offer[0], max: offer[1] };
    let Some(version) = ours.meet(theirs) else {
        skip(&mut io, bytes).await?;
        let error = refused_version(ours, theirs);
        return Err(refuse(&mut io, [REFUSED_VERSION, ours.min, ours.max], error).await);
    };
    if bytes > HANDSHAKE_BYTES_MAX - HEADER_BYTES {
        return Err(malformed("message 1 is too long"));
    }
    let mut message = [0; HANDSHAKE_BYTES_MAX];
    io.read_exact(&mut message[..bytes]).await?;

    let prologue = prologue(offer, keys);
    let mut noise =
        builder(keys, &prologue).build_responder().map_err(|error| noise_failed(&error))?;
    let mut nothing = [0; HANDSHAKE_BYTES_MAX];
    if noise.read_message(&message[..bytes], &mut nothing).is_err() {
        let refusal = [REFUSED_CREDENTIALS, 0, 0];
        return Err(refuse(&mut io, refusal, HandshakeError::Credentials).await);
    }
    if !has_room() {
        return Err(refuse(&mut io, [REFUSED_BUSY, 0, 0], HandshakeError::Busy).await);
    }
    let mut message = vec![0; MESSAGE_2_BYTES_MAX];
    let payload = [&[version], hello].concat();
    let bytes =
        noise.write_message(&payload, &mut message).map_err(|error| noise_failed(&error))?;
    io.write_all(&with_header([ACCEPTED, version, 0], &message[..bytes])).await?;
    io.flush().await?;

    let (inward, outward) = split_keys(&mut noise);
    let mut opener = RecordOpener::new(&inward);
    let hello = read_hello(&mut io, &mut opener).await?;
    let sealer = RecordSealer::new(&outward);
    Ok((SealedStream { io, sealer, opener, version }, hello))
}

async fn read_hello<S: AsyncRead + Unpin>(
    io: &mut S,
    opener: &mut RecordOpener,
) -> Result<Vec<u8>, HandshakeError> {
    let bytes = usize::from(io.read_u16().await?);
    if !(TAG_BYTES..=HELLO_BYTES_MAX + TAG_BYTES).contains(&bytes) {
        return Err(malformed("the hello has a length that no member sends"));
    }
    let mut hello = vec![0; bytes];
    io.read_exact(&mut hello).await?;
    let bytes =
        opener.open(&mut hello).map_err(|_| malformed("the hello does not authenticate"))?;
    hello.truncate(bytes);
    Ok(hello)
}

/// Reads the nine clear bytes: three that depend on the direction, and the length that follows.
/// A stranger is known by the first byte that differs, however little it sends.
async fn read_header<S: AsyncRead + Unpin>(io: &mut S) -> Result<([u8; 3], usize), HandshakeError> {
    let mut header = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        match io.read(&mut header[filled..]).await? {
            0 => return Err(HandshakeError::Closed),
            bytes => filled += bytes,
        }
        let known = filled.min(MAGIC.len());
        if header[..known] != MAGIC[..known] {
            return Err(HandshakeError::NotAMember { began: header[..filled].to_vec() });
        }
    }
    let [_, _, _, _, a, b, c, l0, l1] = header;
    Ok(([a, b, c], usize::from(u16::from_be_bytes([l0, l1]))))
}

fn with_header([a, b, c]: [u8; 3], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("bounded by MESSAGE_2_BYTES_MAX");
    let [l0, l1] = length.to_be_bytes();
    let [m0, m1, m2, m3] = MAGIC;
    [&[m0, m1, m2, m3, a, b, c, l0, l1], body].concat()
}

/// Reads what the peer has announced, within the bound: a TCP connection that is closed with bytes
/// unread is reset, and the reset could overtake the refusal.
async fn skip<S: AsyncRead + Unpin>(io: &mut S, bytes: usize) -> Result<(), HandshakeError> {
    let mut skipped = [0; HANDSHAKE_BYTES_MAX];
    let bytes = bytes.min(HANDSHAKE_BYTES_MAX - HEADER_BYTES);
    io.read_exact(&mut skipped[..bytes]).await?;
    Ok(())
}

/// Says no, and gives back why. That the refusal could not be sent changes nothing.
async fn refuse<S: AsyncWrite + Unpin>(
    io: &mut S,
    refusal: [u8; 3],
    error: HandshakeError,
) -> HandshakeError {
    if io.write_all(&with_header(refusal, &[])).await.is_ok() {
        // Shutting down flushes; a peer that has left already is no news.
        let _ = io.shutdown().await;
    }
    error
}

fn refused_version(ours: VersionRange, theirs: VersionRange) -> HandshakeError {
    if !theirs.is_valid() || ours.meet(theirs).is_some() {
        return malformed("the versions that it names make no sense");
    }
    HandshakeError::Version { ours, theirs }
}

fn prologue([a, b, c]: [u8; 3], keys: &ClusterKeys) -> Vec<u8> {
    [&MAGIC[..], &[a, b, c], keys.cluster()].concat()
}

fn builder<'a>(keys: &'a ClusterKeys, prologue: &'a [u8]) -> Builder<'a> {
    Builder::new(NOISE.parse().expect("a pattern that snow knows"))
        .psk(0, keys.streams())
        .and_then(|builder| builder.prologue(prologue))
        .expect("each is set once")
}

/// The keys from initiator to responder and back.
fn split_keys(noise: &mut HandshakeState) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    debug_assert!(noise.is_handshake_finished());
    let (forth, back) = noise.dangerously_get_raw_split();
    (Zeroizing::new(forth), Zeroizing::new(back))
}

/// For steps that do not authenticate anything: pattern, lengths and buffers are constants of ours,
/// so that besides randomness only the peer's key can be at fault.
fn noise_failed(error: &snow::Error) -> HandshakeError {
    match error {
        snow::Error::Rng => HandshakeError::NoRandomness,
        _ => malformed("its key makes no sense"),
    }
}

fn malformed(what: &'static str) -> HandshakeError {
    HandshakeError::Malformed { what }
}

pub(crate) fn check_hello(hello: &[u8]) -> Result<(), HandshakeError> {
    if hello.len() > HELLO_BYTES_MAX {
        return Err(HandshakeError::HelloTooLarge { bytes: hello.len() });
    }
    Ok(())
}

pub(crate) async fn within<T>(
    ms_max: u64,
    handshake: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    tokio::time::timeout(Duration::from_millis(ms_max), handshake)
        .await
        .unwrap_or(Err(HandshakeError::TimedOut { ms_max }))
}

#[cfg(test)]
mod tests;
