//! What members put on the network: keys, sealed streams, sealed datagrams.
//!
//! For: turning a cluster name and a password into keys ([`ClusterKeys`]), any byte pipe into a
//! stream of sealed [`Frame`]s ([`connect`], [`accept`]), and a payload into a sealed datagram
//! ([`DatagramSealer`], [`DatagramOpener`]).
//!
//! Promises: nothing is handed up that a holder of the keys did not send. A frame arrives once, in
//! order, unchanged, or the stream ends with an error; a datagram is delivered at most once to whom
//! it was addressed. What an unauthenticated peer may send is bounded in size and time, and
//! [`HandshakeGate`] bounds how many may do so at once, and lets none of them keep those out that
//! know the password. No bytes, however wrong, make this crate panic.
//!
//! Honest limits: whoever knows the password is a member, and one captured handshake or datagram
//! lets a stranger guess passwords offline, at the price of one Argon2id each. So: long, generated
//! passwords. Streams are forward secret; datagrams are not. A snapshot of a running machine that
//! is started more than once continues the same stream keys at the same record counter; two such
//! copies use nonces twice as long as their connections from before the snapshot last. Datagrams
//! have a random salt against that, streams have nothing: start a snapshot once.
//!
//! Must never know: sockets, addresses other than as an [`Origin`] by which room is shared, what a
//! frame's kind or a hello means, who is a member, and any crate above this one.

mod datagram;
mod frame;
mod gate;
mod handshake;
mod keys;
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
pub use frame::{FRAME_BYTES_MAX, Frame};
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
pub use peer::{EVERYBODY, PeerId};
pub use reader::FrameReader;
pub use record::RECORD_BYTES_MAX;
pub use replay::REPLAY_WINDOW;
pub use stream::{SealedStream, StreamError};
pub use version::{PROTOCOL_VERSIONS, VersionRange};
pub use writer::{BUFFERED_BYTES_MAX, FrameWriter, WRITE_BYTES_MAX};
