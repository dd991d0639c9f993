//! The handshake that turns a byte pipe into a sealed stream.
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
//! The nine bytes in front of each message (the length is a u16 BE) are not encrypted and do not
//! change between versions, and an initiator's first message never exceeds [`HANDSHAKE_BYTES_MAX`].
//! So other programs and members of other versions are recognized before any cryptography.
//!
//! The messages are `Noise_NNpsk0_25519_AESGCM_SHA256` with the cluster's stream key. The prologue
//! consists of the initiator's clear bytes without the length, and a digest of the cluster name:
//! with an altered offer, another name or another password, message 1 does not authenticate. The
//! payload of message 2 is the chosen version, which authenticates it, and the responder's hello.
//! The initiator's hello is the first record of the stream; only it proves to the responder that
//! message 1 was not replayed.

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

/// Time limit of a handshake, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 2_000;
/// Maximum number of bytes that are read from an initiator before it is authenticated.
pub const HANDSHAKE_BYTES_MAX: usize = 256;
/// The longest hello, in bytes.
pub const HELLO_BYTES_MAX: usize = 3_072;

const MAGIC: [u8; 4] = *b"CNVK";
const HEADER_BYTES: usize = 9;
const NOISE: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// An ephemeral key and an authentication tag.
const MESSAGE_1_BYTES: usize = 32 + TAG_BYTES;
/// An ephemeral key, the version, the hello and an authentication tag.
const MESSAGE_2_BYTES_MAX: usize = 32 + 1 + HELLO_BYTES_MAX + TAG_BYTES;

const ACCEPTED: u8 = 0;
const REFUSED_VERSION: u8 = 1;
const REFUSED_CREDENTIALS: u8 = 2;
const REFUSED_BUSY: u8 = 3;

/// Why a handshake failed.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The peer's first bytes are not those of a member: it is another program.
    #[error(
        "the peer is not a Convoke member (it began with \"{}\"); is this the right port?",
        .began.escape_ascii()
    )]
    NotAMember {
        /// These bytes, as far as they were read: at most nine.
        began: Vec<u8>,
    },
    /// The peer is a member of another cluster. Both sides learn this and nothing else.
    #[error(
        "cluster name or password differs from the peer's; both must be the same on all members"
    )]
    Credentials,
    /// The two builds have no protocol version in common.
    #[error("no protocol version in common: this member supports {ours}, the peer {theirs}; {}", older(*.ours, *.theirs))]
    Version {
        /// The versions that this build supports.
        ours: VersionRange,
        /// The versions that the peer supports.
        theirs: VersionRange,
    },
    /// The responder has too many handshakes in progress.
    #[error("the peer has too many handshakes in progress; try again shortly")]
    Busy,
    /// On the responder: its slot was needed for newer connections before its first message
    /// arrived. See [`HandshakeGate`](crate::HandshakeGate).
    #[error("dropped for newer connections before its first message arrived")]
    Dropped,
    /// The peer refused with a code that this build does not know.
    #[error(
        "the peer refused with code {status}, which this member does not know; is the peer newer?"
    )]
    Refused {
        /// The code.
        status: u8,
    },
    /// The peer began as a member and then violated the protocol.
    #[error("the handshake is malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The handshake took too long.
    #[error(
        "no handshake within {ms_max} ms; the peer does not respond, is overloaded, or is not a member"
    )]
    TimedOut {
        /// The time limit, in milliseconds.
        ms_max: u64,
    },
    /// The peer closed the pipe.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// The pipe failed.
    #[error("the connection failed during the handshake: {0}")]
    Io(#[source] io::Error),
    /// This side's hello is longer than [`HELLO_BYTES_MAX`]; nothing was sent.
    #[error("a hello of {bytes} bytes is too large; at most {HELLO_BYTES_MAX} are allowed")]
    HelloTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The operating system provided no random bytes for a key.
    #[error("the operating system provided no random bytes for the handshake")]
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

/// Performs the handshake as initiator. Returns the stream and the peer's hello.
///
/// `hello` is opaque to this crate, at most [`HELLO_BYTES_MAX`] bytes, and is only sent to a peer
/// that has authenticated. On an error the pipe is dropped.
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

/// Performs the handshake as responder. Returns the stream and the peer's hello.
///
/// A peer with other credentials or of another version gets nine bytes that say so; another program
/// gets no reply. On an error the pipe is dropped. The number of concurrent handshakes is not
/// bounded here: see [`HandshakeGate`](crate::HandshakeGate).
///
/// When this returns, both sides are authenticated. [`connect`] returns one message earlier on the
/// initiator, so its first frame may reach a responder that has given up.
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
        ACCEPTED if !ours.contains(a) => {
            return Err(malformed("the peer chose a version that was not offered"));
        }
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
    // A peer that accepts and cannot authenticate does not know the secret either.
    let bytes =
        noise.read_message(&message, &mut payload).map_err(|_| HandshakeError::Credentials)?;
    payload.truncate(bytes);
    if payload.first() != Some(&a) {
        return Err(malformed("the version was altered in transit"));
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

/// Responds. `has_room` is called once the peer has authenticated.
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
    let Some(version) = ours.newest_common(theirs) else {
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
        return Err(malformed("the hello has an invalid length"));
    }
    let mut hello = vec![0; bytes];
    io.read_exact(&mut hello).await?;
    let bytes =
        opener.open(&mut hello).map_err(|_| malformed("the hello does not authenticate"))?;
    hello.truncate(bytes);
    Ok(hello)
}

/// Reads the nine clear bytes: three that depend on the direction, and the length that follows.
/// Another program is recognized by the first byte that differs.
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

/// Reads the announced bytes, within the bound: closing a TCP connection with unread bytes resets
/// it, and the reset could overtake the refusal.
async fn skip<S: AsyncRead + Unpin>(io: &mut S, bytes: usize) -> Result<(), HandshakeError> {
    let mut skipped = [0; HANDSHAKE_BYTES_MAX];
    let bytes = bytes.min(HANDSHAKE_BYTES_MAX - HEADER_BYTES);
    io.read_exact(&mut skipped[..bytes]).await?;
    Ok(())
}

/// Sends a refusal and returns `error`, even if sending fails.
async fn refuse<S: AsyncWrite + Unpin>(
    io: &mut S,
    refusal: [u8; 3],
    error: HandshakeError,
) -> HandshakeError {
    if io.write_all(&with_header(refusal, &[])).await.is_ok() {
        // Shutting down flushes. An error means that the peer has already gone.
        let _ = io.shutdown().await;
    }
    error
}

fn refused_version(ours: VersionRange, theirs: VersionRange) -> HandshakeError {
    if !theirs.is_valid() || ours.newest_common(theirs).is_some() {
        return malformed("its version range is invalid");
    }
    HandshakeError::Version { ours, theirs }
}

fn prologue([a, b, c]: [u8; 3], keys: &ClusterKeys) -> Vec<u8> {
    [&MAGIC[..], &[a, b, c], keys.cluster()].concat()
}

fn builder<'a>(keys: &'a ClusterKeys, prologue: &'a [u8]) -> Builder<'a> {
    Builder::new(NOISE.parse().expect("a pattern that snow supports"))
        .psk(0, keys.streams())
        .and_then(|builder| builder.prologue(prologue))
        .expect("each is set once")
}

/// The keys from initiator to responder, and back.
fn split_keys(noise: &mut HandshakeState) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    debug_assert!(noise.is_handshake_finished());
    let (forth, back) = noise.dangerously_get_raw_split();
    (Zeroizing::new(forth), Zeroizing::new(back))
}

/// For steps that authenticate nothing: pattern, lengths and buffers are constants, so only the
/// random number generator or the peer's key can be at fault.
fn noise_failed(error: &snow::Error) -> HandshakeError {
    match error {
        snow::Error::Rng => HandshakeError::NoRandomness,
        _ => malformed("invalid Noise public key"),
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
