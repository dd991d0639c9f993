//! The RESP server, for Redis clients: RESP2 and RESP3.
//!
//! A member has one [`Server`](server::Server), whose connections take turns (`lanes`). In its turn
//! a `connection` parses requests (`request`), starts their commands (`commands`) and writes the
//! replies (`encode`) in the order of the requests.

pub mod commands;
pub mod encode;
pub mod request;
pub mod server;

pub(crate) mod answer;
mod args;
pub(crate) mod client;
pub(crate) mod client_info;
mod connection;
mod lanes;
pub(crate) mod outcome;
