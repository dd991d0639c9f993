//! The network protocol between members: keys, sealed streams and sealed datagrams.
//!
//! Turns a cluster name and a password into keys ([`ClusterKeys`]), a byte pipe into a stream of
//! sealed [`Frame`]s ([`connect`], [`accept`]), and a payload into a sealed datagram
//! ([`DatagramSealer`], [`DatagramOpener`]).
//!
//! Guarantees: only data from holders of the keys is delivered. A frame arrives once, in order and
//! unchanged, or the stream ends with an error; a datagram is delivered at most once, and only to
//! its receiver. What an unauthenticated peer may send is bounded in size and time;
//! [`HandshakeGate`] bounds how many may do so at once, and never lets them keep out peers that
//! know the password. No input makes this crate panic.
//!
//! Limitations: any peer that knows the password is a member, and with one recorded handshake or
//! datagram an attacker can guess passwords offline, at the cost of one Argon2id evaluation each.
//! Use long, generated passwords. Streams are forward secret; datagrams are not. Resuming a
//! snapshot of a running virtual machine more than once continues the same stream keys at the same
//! record counter, so the copies reuse nonces until their connections from before the snapshot end.
//! Datagrams have a random salt against this, streams do not: resume a snapshot only once.
//!
//! This crate knows nothing of sockets, of addresses other than as an [`Origin`], of the meaning of
//! a frame kind or a hello, of which peers are members, and of any crate above it.

mod datagram;
mod error;
mod frame;
mod gate;
mod handshake;
mod keys;
mod limits;
mod peer;
mod reader;
mod record;
mod replay;
mod stream;
mod version;
mod writer;

pub use datagram::{
    DATAGRAM_BYTES_MAX, DATAGRAM_PAYLOAD_BYTES_MAX, DatagramOpener, DatagramSealer, OpenError,
    Opened, SENDERS_MAX, SealError,
};
pub use error::StreamError;
pub use frame::Frame;
pub use gate::{
    CROWDED_MS_MAX, HandshakeGate, Origin, PROVED_MAX, WAITING_MAX, WAITING_PER_ORIGIN_MAX,
};
pub use handshake::{
    HANDSHAKE_BYTES_MAX, HANDSHAKE_MS_MAX, HELLO_BYTES_MAX, HandshakeError, accept, connect,
};
pub use keys::{
    ARGON2_KIB, ARGON2_PASSES, CLUSTER_NAME_BYTES_MAX, ClusterKeys, DatagramKey, KeyError,
    PASSWORD_BYTES_MAX,
};
pub use limits::{BUFFERED_BYTES_MAX, FRAME_BYTES_MAX, WRITE_BYTES_MAX};
pub use peer::{BROADCAST, PeerId};
pub use reader::FrameReader;
pub use record::RECORD_BYTES_MAX;
pub use replay::REPLAY_WINDOW;
pub use stream::SealedStream;
pub use version::{PROTOCOL_VERSIONS, VersionRange};
pub use writer::FrameWriter;
