//! What Redis clients speak: RESP2 and RESP3.
//!
//! One [`Server`](server::Server) for a member, one task for each client
//! (`connection`), which reads requests (`request`), begins what they ask for
//! (`commands`) and writes the answers (`encode`) in the order of the requests.

pub mod commands;
pub mod encode;
pub mod request;
pub mod server;

pub(crate) mod answer;
pub(crate) mod client;
mod connection;
mod words;
