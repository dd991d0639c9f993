//! Changes of keys, reported to members whose clients keep values in a cache of their own.
//!
//! A member that follows a map learns of each change of its keys, wherever the change happens. It
//! notes which keys its clients read before it passes the reads on, so that a change that follows a
//! read is always reported after the key was noted. Whenever reports may be missing, because a
//! member is lost, a primary changes, or a connection is interrupted, the member is notified:
//! see [`Tracker::handle_uncertain`].

use bytes::Bytes;
use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

/// The client that caused a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The member that the client is connected to.
    pub member: MemberId,
    /// Number of the client on that member.
    pub client: u64,
}

/// What a client asks of its operations beside their effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTraits {
    /// The client as the origin of what it changes, if it does not want to be notified of it.
    pub origin: Option<Origin>,
    /// Whether its reads do not count as uses of keys: they change neither the time of the last use
    /// nor an idle deadline.
    pub no_touch: bool,
}

/// A change of a key, or of all keys that one partition has of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Name of the map.
    pub map: Box<str>,
    /// The key; `None` if all keys of a partition were removed at once.
    pub key: Option<Bytes>,
    /// The client that caused the change, if it asked to be named: see
    /// [`Op::From`](crate::Op::From).
    pub origin: Option<Origin>,
}

/// Receives the changes of the maps that a member follows. Must not block, and must not call the
/// grid.
pub trait Tracker: Send + Sync {
    /// Keys have changed, or were removed, or have expired, in this order.
    fn handle_changes(&self, changes: &[Change]);

    /// Changes may have been missed: any key may have changed.
    fn handle_uncertain(&self);
}
