//! The server for clients of Hazelcast 4 and 5, in any language, without changes to the client.
//!
//! Requests and responses are those of `convoke_hazelcast`. Clients of Hazelcast connect to every
//! member and send each request to the primary of its key, or connect to one member, which forwards.
//!
//! Files import only those above their own:
//!
//! 1. Data: `keys` (the stored form of keys and values), `errors`, `settings`.
//! 2. What connections share: `client_info` (a connection), `clients` (a client with all its
//!    connections, and its locks), `view` (the members and partitions), `schemas` (of compact
//!    records), `objects` (data structures that clients have named), `server`.
//! 3. One connection: `session` (its state), `authentication`, `schema_requests`, `map`,
//!    `collections`, `proxies`, `object_events`, `losses` (partitions that lost their data), and
//!    `dispatch` by service.
//! 4. `connection` and `listener`.

mod authentication;
mod client_info;
mod clients;
mod collections;
mod connection;
mod dispatch;
mod errors;
mod keys;
mod listener;
mod losses;
mod map;
mod object_events;
mod objects;
mod proxies;
mod schema_requests;
mod schemas;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod view;

pub use server::{HazelcastCounters, Server};
pub use settings::HazelcastSettings;
