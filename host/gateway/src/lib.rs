//! What clients speak.
//!
//! For now HTTP: health for orchestrators, metrics for Prometheus, status for
//! people and scripts, and the admin pages of a domain server. The crate promises that a client, however slow or rude,
//! holds a bounded number of connections for a bounded time, and disturbs
//! nobody else. It must never know how a member works: it asks a [`Node`].

pub mod admin;
pub mod http;
pub mod resp;

/// What the endpoints tell of.
pub trait Node: Send + Sync + 'static {
    /// Whether this member belongs to a cluster and is not about to leave.
    fn is_ready(&self) -> bool;

    /// Everything, for `/status`.
    fn status(&self) -> serde_json::Value;

    /// Who is here, for a domain server's admin pages.
    fn overview(&self) -> admin::Overview;

    /// Everything that counts, for `/metrics`: Prometheus text format 0.0.4.
    fn metrics(&self) -> String;
}
