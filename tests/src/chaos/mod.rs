//! Runs clients of real members under faults, and checks the recorded history against the
//! guarantees of `host/grid/README.md`.
//!
//! - [`history`]: requests and answers of clients with their times, as lines of JSON
//! - [`check`]: checks a history for the guarantees of each kind of key
//! - `workload`: the requests of clients; `client`: a single client
//! - `nemesis`: the faults and their injection; `network` and `clock`: the tools for it
//! - `fleet`: the members
//! - [`mod@run`]: a whole run
//!
//! A seed determines the clusters, requests and faults, though not the scheduling of processes. All
//! members and namespaces are removed at the end of a run, even if it fails.

pub mod check;
mod client;
mod clock;
mod fleet;
pub mod history;
mod nemesis;
mod network;
pub mod random;
pub mod run;
mod stop;
mod workload;

pub use nemesis::Step;
pub use run::{Options, Summary, run};
pub use stop::Stop;
