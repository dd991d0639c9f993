//! Settings and limits of the server.

use std::time::Duration;

use crate::trust::Passwords;

/// The version of Hazelcast that is reported to clients.
pub(super) const HAZELCAST_VERSION: &str = "5.7.0";
/// The same version, in numbers: major, minor, patch.
pub(super) const VERSION_NUMBERS: (u8, u8, u8) = (5, 7, 0);

/// Maximum number of operations of one connection that are in progress in the grid. More requests
/// are not read.
pub(super) const OPERATIONS_MAX: usize = 4_096;
/// Maximum number of requests of one connection that wait, for a lock for example, or concern many
/// keys. Further ones are refused; the client sends them again.
pub(super) const TASKS_MAX: usize = 10_000;
/// Maximum number of bytes of such requests of one connection. Further ones are refused.
pub(super) const TASKS_BYTES_MAX: usize = 64 << 20;
/// Limit of the responses of one connection that were not sent, in bytes. Beyond it, no more
/// requests start.
pub(super) const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Maximum number of bytes of keys and values in one response.
pub(super) const RESULT_BYTES_MAX: usize = 64 << 20;
/// Maximum number of requests of one member that read many entries at the same time. Further ones
/// wait.
pub(super) const COLLECTING_MAX: usize = 8;
/// Maximum number of listeners of one client, on all its connections to a member.
pub(super) const LISTENERS_MAX: usize = 1_000;
/// Maximum number of names of data structures that are remembered.
pub(super) const PROXIES_MAX: usize = 10_000;
/// Time for which a client waits for the response to a request, in milliseconds.
pub(super) const INVOCATION_MS_MAX: u64 = 120_000;

/// Settings of the server for clients of Hazelcast.
#[derive(Clone, Debug)]
pub struct HazelcastSettings {
    /// The name of the cluster, which clients have to name as well. Hazelcast calls it `dev`
    /// unless it is configured.
    pub cluster_name: String,
    /// Passwords of clients. Without any, all clients are admitted that name the cluster.
    pub passwords: Passwords,
    /// Maximum number of connections. A client has one to each member, at least.
    pub clients_max: usize,
    /// Connections that send nothing for this long are closed; `None` for never. Clients send
    /// something every 5 s, so it should be 60 s or more.
    pub idle: Option<Duration>,
}

impl Default for HazelcastSettings {
    fn default() -> Self {
        Self {
            cluster_name: "dev".into(),
            passwords: Passwords::default(),
            clients_max: 10_000,
            idle: None,
        }
    }
}
