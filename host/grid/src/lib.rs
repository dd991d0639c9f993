//! The data of the cluster: maps and topics, divided into partitions that have a primary and
//! backups.
//!
//! This crate guarantees:
//! - An acknowledged write is on all synchronous backups of its map: no data is lost if at most as
//!   many members as there are backups are lost at once.
//! - An unknown outcome is reported as [`OpError::Indeterminate`], never as success or as another
//!   error.
//! - A read never returns a value that a crash could undo.
//! - Within one view, one member serves a partition at a time. Messages of a member that was
//!   partitioned are refused, and its data is merged, not dropped.
//! - A transaction over several partitions is executed completely or not at all, and is never
//!   partially visible.
//! - Copies are compared and repaired.
//!
//! It uses no sockets, threads, clock or randomness of its own, and knows no client protocols.
//!
//! Read in this order, from memory to network: [`entry`], `fragment`, `access`, [`op`];
//! [`session`], [`table`], `message`, `shared`, `partition`; [`plan`], `control`, [`grid`]. Each
//! uses those before it, never those after it.

pub mod clock;
pub mod entry;
pub mod event;
pub mod geo;
pub mod glob;
pub mod grid;
pub mod host;
pub mod map;
pub mod op;
pub mod plan;
pub mod session;
pub mod slot;
pub mod table;
pub mod topic;
pub mod tracking;

mod access;
mod calls;
mod control;
mod edit;
mod encoding;
mod error;
mod fragment;
mod hasher;
mod item;
mod lease;
mod limits;
mod message;
mod nesting;
mod ordered;
mod partition;
mod partitions;
mod reply;
mod shared;
#[cfg(test)]
mod testing;
mod value;

pub use clock::{Clock, Version};
pub use entry::KINDS_MAX;
pub use error::{GroupUse, OpError, StreamError};
pub use event::{Class, Event};
pub use grid::{
    AbortReason, Grid, Later, Listener, OpenTransaction, Running, Started, StepResult,
    TransactionAge, Unblock,
};
pub use hasher::KeyHasher;
pub use host::{GridSettings, Host, Report};
pub use limits::{
    KEY_BYTES_MAX, MAPS_MAX, STREAM_CONSUMERS_MAX, STREAM_ENTRY_BYTES_MAX, STREAM_GROUPS_MAX,
    STREAM_NAME_BYTES_MAX, VALUE_BYTES_MAX,
};
pub use map::{Map, MapCatalog, MapSettings, Maps};
pub use message::FORMAT;
pub use op::{KeyOp, Op};
pub use partition::step::Step;
pub use reply::Reply;
pub use session::{Opened, Peer, Receipt};
pub use topic::{Subscriber, SubscriptionId, TopicFilter};
pub use tracking::{Change, ClientTraits, Origin, Tracker};
pub use value::{Score, StreamId, Type};
