//! Clients on real members under faults, and whether what they were answered keeps the
//! promises of `host/grid/README.md`.
//!
//! - [`history`]: what clients asked for and were answered, with times, as lines of JSON
//! - [`check`]: what each kind of key promises, checked on a history
//! - `workload`: what clients do; `client`: one of them
//! - `nemesis`: which faults there are, and how they are injected; `network` and `clock`:
//!   by which tools
//! - `fleet`: the members
//! - [`run`]: all of it, for some minutes
//!
//! It promises that one seed chooses the same clusters, requests and faults again (though
//! processes never do the same twice), and that all members and namespaces are gone
//! after it, whatever becomes of it.

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
