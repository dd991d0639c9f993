//! What clients speak: RESP, as Redis clients do ([`resp`]), and HTTP ([`http`]).
//!
//! Both ask the same grid, and trust the same passwords ([`trust`]). The crate
//! promises that a client, however slow or rude, holds a bounded number of
//! connections and a bounded amount of memory, and disturbs nobody else. It must
//! never know how a member works: of that it asks a [`Node`].

pub mod admin;
pub mod http;
pub mod notifications;
pub mod pubsub;
pub mod resp;
pub mod trust;

mod ledger;
mod output_buffer;
#[cfg(test)]
mod testing;

use serde_json::Value;

/// On this topic each member tells its own subscribers who is here, whenever that
/// changes: [`Node::members`], as JSON.
pub const MEMBERS_TOPIC: &str = "__cluster__:members";
/// On this topic each member tells its own subscribers how the data is, whenever
/// that changes: [`Node::partitions`], as JSON.
pub const PARTITIONS_TOPIC: &str = "__cluster__:partitions";

/// What the endpoints tell of.
pub trait Node: Send + Sync + 'static {
    /// Why this member is not ready, in words; `None` when it belongs to a cluster, others can
    /// reach it, and it is not about to leave.
    fn unready(&self) -> Option<String>;

    /// Everything, for `/status`.
    fn status(&self) -> Value;

    /// Who is here, for `/events`.
    fn members(&self) -> Value;

    /// Whether all copies of the data are complete, for `/events`.
    fn partitions(&self) -> Value;

    /// Who is here, for a domain server's admin pages.
    fn overview(&self) -> admin::Overview;

    /// Everything that counts, for `/metrics`: Prometheus text format 0.0.4.
    fn metrics(&self) -> String;
}
