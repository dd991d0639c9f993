//! Protocols for clients: RESP, for Redis clients ([`resp`]), HTTP ([`http`]), and the protocol of
//! Hazelcast ([`hazelcast`]).
//!
//! All access the same grid and check the same passwords ([`trust`]). Any client, however slow or
//! malicious, is limited to a bounded number of connections and a bounded amount of memory, and
//! does not affect other clients. This crate does not know how a member works: it asks a [`Node`].

pub mod admin;
pub mod hazelcast;
pub mod http;
pub mod notifications;
pub mod pubsub;
pub mod resp;
pub mod trust;

mod clock;
mod databases;
mod lanes;
mod ledger;
mod output_buffer;
mod refusals;
#[cfg(test)]
mod testing;

use serde_json::Value;

/// Channel on which each member publishes [`Node::members`] to its own subscribers, as JSON, at
/// each change.
pub const MEMBERS_TOPIC: &str = "__cluster__:members";
/// Channel on which each member publishes [`Node::partitions`] to its own subscribers, as JSON, at
/// each change.
pub const PARTITIONS_TOPIC: &str = "__cluster__:partitions";

/// How long a member that leaves waits for pending replies to clients, in milliseconds.
pub const FINISH_MS_MAX: u64 = 2_000;
/// Interval at which a member that leaves checks for pending replies, in milliseconds.
pub(crate) const FINISH_POLL_MS: u64 = 5;

/// The member that the HTTP endpoints report on.
pub trait Node: Send + Sync + 'static {
    /// Why this member is not ready; `None` if it is in a cluster, other members can reach it, and
    /// it is not leaving.
    fn unready(&self) -> Option<String>;

    /// The status of the member, for `/status`.
    fn status(&self) -> Value;

    /// The members of the cluster, for `/events`.
    fn members(&self) -> Value;

    /// The state of the partitions, and whether all replicas are complete, for `/events`.
    fn partitions(&self) -> Value;

    /// The members and modes, for the admin pages of a domain server.
    fn overview(&self) -> admin::Overview;

    /// All metrics, for `/metrics`, in Prometheus text format 0.0.4.
    fn metrics(&self) -> String;
}
