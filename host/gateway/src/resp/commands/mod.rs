//! The commands, by group. `dispatch/table.rs` holds the name, arguments, flags and handler of each.

#![expect(clippy::unnecessary_wraps, reason = "all commands have the signatures of the table")]

pub(super) mod bits;
pub(super) mod blocking;
mod client_filter;
pub(super) mod clients;
pub(super) mod cluster;
pub(super) mod describe;
pub(super) mod facts;
pub(super) mod fields;
pub(super) mod geo;
pub(super) mod hashes;
pub(super) mod hyperloglogs;
pub(super) mod info;
pub(super) mod introspection;
pub(super) mod key_specs;
pub(super) mod keys;
pub(super) mod latency;
pub(super) mod lists;
pub(super) mod multi_partition;
pub(super) mod objects;
pub(super) mod pubsub;
pub(super) mod scans;
pub(super) mod sets;
pub(super) mod sorted_sets;
pub(super) mod sorting;
pub(super) mod streams;
pub(super) mod strings;
mod syntax;
pub(super) mod tracking;
pub(super) mod transactions;
