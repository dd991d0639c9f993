//! The server for clients of Hazelcast 4 and 5, in any language, without changes to the client.
//!
//! Requests and responses are those of `convoke_hazelcast`. Clients of Hazelcast connect to every
//! member and send each request to the primary of its key, or connect to one member, which forwards.
//!
//! Files import only those above their own:
//!
//! 1. Data: `keys` (the stored form of keys and values), `errors`, `settings`, `names` (what the grid
//!    stores for each structure).
//! 2. What connections share: `clients` (a client with all its connections, and its locks),
//!    `registrations` (listeners), `client_info` (a connection), `waits` (requests that wait), `view`
//!    (the members and partitions), `id_generator`, `schemas` (of compact records), `objects` (data
//!    structures that clients have named), `server`, `destroyed` (what is destroyed on any member),
//!    `lock_reports` (locks, for other members), `whole` (all entries of a map).
//! 3. One connection: `session` (its state), `authentication`,
//!    `schema_requests`, the structures `map`, `collections`, `multi_map`, `replicated_map` (with
//!    `cleared`, their common event), `topic`, `pn_counter`, `flake_id` and `cache`, `proxies`,
//!    `object_events`, `losses` (partitions that lost their data), and `dispatch` by service.
//! 4. `connection` and `listener`.

mod authentication;
mod cache;
mod cleared;
mod client_info;
mod clients;
mod collections;
mod connection;
mod destroyed;
mod dispatch;
mod errors;
mod flake_id;
mod id_generator;
mod keys;
mod listener;
mod lock_reports;
mod losses;
mod map;
mod multi_map;
mod names;
mod object_events;
mod objects;
mod pn_counter;
mod proxies;
mod registrations;
mod replicated_map;
mod schema_requests;
mod schemas;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod topic;
mod view;
mod waits;
mod whole;

pub use server::{HazelcastCounters, Server};
pub use settings::HazelcastSettings;
