//! What Redis clients speak: RESP2 and RESP3.
//!
//! One [`Server`](server::Server) for a member, whose clients take turns (`lanes`). In
//! its turn a `connection` reads requests (`request`), begins what they ask for
//! (`commands`) and writes the answers (`encode`) in the order of the requests.

pub mod commands;
pub mod encode;
pub mod request;
pub mod server;

pub(crate) mod answer;
mod args;
pub(crate) mod client;
mod connection;
mod lanes;
