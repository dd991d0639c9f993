//! Cluster membership: which members there are, in an order that all of them share.
//!
//! A cluster is a set of members that hold the same [`View`]: a versioned list of
//! members, oldest first. The oldest living member is the *coordinator*, and the only one that adds
//! and removes members. The SWIM failure detector determines which members are alive; the view
//! determines which belong to the cluster.
//!
//! Guarantees:
//! - No sockets, clock or randomness of its own: [`Membership`] takes
//!   packets, messages and the time, and returns packets, messages and events. The code that runs
//!   in production is the code that runs in simulation.
//! - One order: members that stay keep their positions, whatever joins, leaves, splits or heals
//!   around them.
//! - One rule for two clusters that find each other, regardless of which one found the other
//!   ([`view::Rank`]).
//!
//! This crate knows nothing of how a member was found, how bytes are encrypted, or what data a
//! member holds.
//!
//! Read in this order: [`member`], [`view`], [`terms`], [`message`], [`swim`],
//! [`membership`].

pub mod config;
pub mod member;
pub mod membership;
pub mod message;
pub mod swim;
pub mod terms;
pub mod view;

pub use config::Config;
pub use member::{Member, MemberId, Service};
pub use membership::{AtAddress, Departed, Event, Membership, Output, Reach};
pub use message::{DecodeError, Hello, JoinRefusal, MemberStatus, Message};
pub use terms::Terms;
pub use view::{View, ViewId};
