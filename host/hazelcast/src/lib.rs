//! The open binary client protocol of Hazelcast, the server's side.
//!
//! Takes bytes that a client sent, and returns requests ([`frame::Splitter`], [`codec::Request`]);
//! writes responses, events and errors. It knows nothing of sockets, members, or what is stored.
//!
//! Guarantees: no input makes this crate panic or use more memory than its length and the limits of
//! [`limits`] permit. Requests are borrowed from the bytes that were received; a message that was
//! not fragmented is not copied.
//!
//! Limitations: requests of some services are only known by name ([`codec::message_name`]), among
//! them SQL, transactions, executors and the CP subsystem.
//!
//! To read the code, start with [`frame`], then [`message`], [`codec`] with its macros and one of
//! its services such as [`codec::map`], [`error`], and [`data`]; then [`query`].
//!
//! ```
//! use convoke_hazelcast::codec::{Request, client};
//! use convoke_hazelcast::frame::{Split, Splitter};
//!
//! // The preamble, and a ping with correlation id 7.
//! let received = b"CP2\x16\0\0\0\0\xe0\0\x0b\0\0\x07\0\0\0\0\0\0\0\xff\xff\xff\xff";
//! let (mut splitter, mut input, mut output) = (Splitter::new(), &received[..], Vec::new());
//! loop {
//!     let split = splitter.split(input)?;
//!     input = &input[split.consumed()..];
//!     let message = match &split {
//!         Split::Incomplete { .. } => break,
//!         Split::Preamble | Split::Fragment { .. } => continue,
//!         Split::Message(message) => *message,
//!         Split::Reassembled { message, .. } => message.message(),
//!     };
//!     let correlation_id = message.header().correlation_id;
//!     match Request::decode(message)? {
//!         Request::Client(client::Request::Ping(_)) => {
//!             client::Ping::respond(&mut output, correlation_id, 0);
//!         }
//!         request => unreachable!("{request:?}"),
//!     }
//! }
//! assert_eq!(output, b"\x13\0\0\0\0\xe0\x01\x0b\0\0\x07\0\0\0\0\0\0\0\0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// First, as others use its macros.
#[macro_use]
pub mod codec;

pub mod cache;
pub mod data;
pub mod error;
pub mod frame;
pub mod limits;
pub mod message;
pub mod query;
pub mod schema;
pub mod topic;
