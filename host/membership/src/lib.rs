//! Who is here.
//!
//! A cluster is a set of members that hold the same [`View`]: a versioned list
//! of members, oldest first. The oldest living member is the *coordinator*: it
//! alone adds and removes members. SWIM tells who is alive; the view tells, in
//! one order that all share, who belongs.
//!
//! This crate promises
//! - no sockets, no clock, no randomness of its own: [`Membership`] takes
//!   packets, messages and the time, and gives packets, messages and events, so
//!   that the code that runs in production is the code that runs in simulation;
//! - one order: members that stay keep their places, whatever joins, leaves,
//!   splits or heals around them;
//! - one rule for two clusters that meet, whoever met whom first
//!   ([`view::Rank`]).
//!
//! It must never know how a member was found, how bytes are sealed, or what
//! data a member holds.
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
pub use message::{DecodeError, Hello, Message, Refusal, Standing};
pub use terms::Terms;
pub use view::{View, ViewId};
