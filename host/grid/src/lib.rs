//! What the members hold together: maps and topics, cut into partitions, each
//! with a primary and backups.
//!
//! This crate promises
//! - what was acknowledged is on the backups that its map has; as many members
//!   may be lost at once as it has backups, and nothing of it is lost;
//! - an outcome that is not known is [`OpError::Indeterminate`], never done and
//!   never a plain failure;
//! - a read never shows what a crash could still take back;
//! - one member answers for a partition at a time, within one view: whoever was
//!   away is refused, and what it held is merged, not dropped;
//! - a transaction over several partitions happens as a whole or not at all, and nobody sees a
//!   part of it;
//! - copies that should be equal are compared, and made equal.
//!
//! It must never know sockets, threads, a clock or randomness of its own, or what
//! a client speaks.
//!
//! Read in this order, from what lies in memory to what travels: [`entry`],
//! `fragment`, [`op`], `partition`, [`session`], `message`, [`table`], [`plan`],
//! `control`, [`grid`].

pub mod clock;
pub mod core;
pub mod entry;
pub mod event;
pub mod glob;
pub mod grid;
pub mod map;
pub mod op;
pub mod plan;
pub mod session;
pub mod slot;
pub mod table;
pub mod topic;

mod access;
mod calls;
mod control;
mod edit;
mod encoding;
mod error;
mod fragment;
mod lease;
mod message;
mod ordered;
mod partition;
mod reply;
#[cfg(test)]
mod testing;
mod value;

pub use access::KeyHasher;
pub use clock::{Clock, Version};
pub use core::{GridSettings, Host, Report};
pub use entry::KINDS_MAX;
pub use error::OpError;
pub use event::{Class, Event};
pub use grid::{Grid, Later, Listener, Started};
pub use map::{MAPS_MAX, Map, MapCatalog, MapSettings, Maps};
pub use message::FORMAT;
pub use op::{KeyOp, Op};
pub use reply::Reply;
pub use session::{Opened, Peer, Receipt};
pub use topic::{Subscriber, SubscriptionId, TopicFilter};
pub use value::{Score, Type};

/// Length of a key, in bytes, at most.
pub const KEY_BYTES_MAX: usize = 16 * 1024;
/// Length of a value, or of one element of a structure, in bytes, at most.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
