//! Modes that are not built in, in real members: loaded, changed, hostile; and the
//! commands for those who write them.

mod commands;
mod examples;
mod external_servers;
mod failed_discovery;
mod fault_isolation;
mod hot_reload;
mod multiple_instances;
mod remote_components;
