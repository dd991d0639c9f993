//! Third-party modes in real members: loading, reloading, failures, waiting for lookups; and the
//! commands for authors of modes.

mod commands;
mod examples;
mod external_servers;
mod failed_discovery;
mod fault_isolation;
mod hot_reload;
mod multiple_instances;
mod remote_components;
